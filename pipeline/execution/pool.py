"""The loop of the executors whose workers run elsewhere: they only have to provide a `WorkerPool`."""

from __future__ import annotations

import time
from typing import Protocol

from pipeline.execution.coordinator import Coordinator
from pipeline.execution.messages import Message, WorkItem

MAX_FINAL_CLAIMS = 2  # of one worker after the run is finished: one that is not idle, then one that is
_POLL_SECONDS = 0.2  # between two looks for workers that hang and workers to restart
_SUSPENDED_SECONDS = 5.0  # a round that takes longer: this process was suspended or busy, and heard no message


class WorkerPool(Protocol):
    """Starts and ends workers, and carries messages. It decides nothing. Workers are numbered from 0."""

    def start(self, number: int) -> None:
        """Begin to start a worker; do not wait for it."""

    def send(self, number: int, answer: WorkItem | None) -> None:
        """Send the answer to a claim. If the worker has exited meanwhile, do nothing: `poll` reports it."""

    def poll(self, timeout: float) -> list[tuple[int, Message]]:
        """Return the messages since the last call, each with the number of its worker.

        Those of one worker are in order. A worker's `Started` is the first, its `Died` the last.

        Args:
            timeout: How many seconds to wait for the first message.
        """
        ...

    def kill(self, number: int) -> None:
        """End a worker at once; `poll` then reports that it died."""

    def close(self, at_once: bool) -> None:
        """End all workers.

        Args:
            at_once: False: the run is finished; answer None to the `MAX_FINAL_CLAIMS` claims that a worker may still
                make, and wait for it to exit.
        """


def supervise(coordinator: Coordinator, pool: WorkerPool) -> None:
    """Run the workers of a pool until the run is finished, then close the pool.

    Raises:
        PipelineError: An error that the user has to correct, or that no worker is left.
    """
    supervisor = coordinator.supervisor
    is_finished = False
    last_round = time.monotonic()
    try:
        while not supervisor.finished:
            for number in supervisor.workers_to_start(time.monotonic()):
                pool.start(number)
            for number, message in pool.poll(_POLL_SECONDS):
                coordinator.handle(number, message)
            if supervisor.error is not None:
                raise supervisor.error
            now = time.monotonic()
            if now - last_round > _SUSPENDED_SECONDS:
                supervisor.extend_deadlines(now - last_round, now)
            for number in supervisor.hung_workers(now):
                pool.kill(number)
            last_round = now
            for number, item in supervisor.answers():
                pool.send(number, item)
        is_finished = True
    finally:
        pool.close(at_once=not is_finished)
