"""Workers elsewhere: what a pool of them can do, and the loop that keeps one at work."""

from __future__ import annotations

import time
from typing import Protocol

from pipeline.execution.coordinator import Coordinator
from pipeline.execution.messages import Message, WorkItem

_LOOK_SECONDS = 0.2  # how long a message is waited for before looking who hangs and who is due
_LONG_ROUND_SECONDS = 5.0  # a round that takes longer was no look at anybody: this process was suspended, or busy


class Pool(Protocol):
    """Starts and ends workers, and carries what they say. It decides nothing."""

    def start(self, number: int) -> None:
        """Begins to start the worker of a place."""

    def send(self, number: int, answer: WorkItem | None) -> None:
        """Answers a claim. A worker that is gone by now will be told of by `poll`."""

    def poll(self, timeout: float) -> list[tuple[int, Message]]:
        """What was said since, in the order of each worker, its `Died` last; waits so long for the first word."""
        ...

    def kill(self, number: int) -> None:
        """Ends a worker at once; `poll` will say that it died."""

    def close(self, at_once: bool) -> None:
        """Ends all workers: those that have heard that the run is over by themselves, unless it has to be at once."""


def supervise(desk: Coordinator, pool: Pool) -> None:
    """Keeps the pool at work until everything is done.

    Raises:
        PipelineError: What a worker met that a person has to mend, or that no worker is left.
    """
    supervisor = desk.supervisor
    ended_well = False
    looked = time.monotonic()
    try:
        while not supervisor.finished:
            for number in supervisor.workers_to_start(time.monotonic()):
                pool.start(number)
            for number, message in pool.poll(_LOOK_SECONDS):
                desk.take(number, message)
            if supervisor.error is not None:
                raise supervisor.error
            now = time.monotonic()
            if now - looked > _LONG_ROUND_SECONDS:
                supervisor.extend_deadlines(now - looked, now)
            for number in supervisor.overdue(now):
                pool.kill(number)
            looked = now
            for number, task in supervisor.answers():
                pool.send(number, task)
        ended_well = True
    finally:
        pool.close(at_once=not ended_well)
