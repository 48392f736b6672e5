"""Main loop of executors whose workers run in other processes. They implement `WorkerPool`."""

from __future__ import annotations

import time
from typing import Protocol

from pipeline.execution.coordinator import Coordinator
from pipeline.execution.messages import Message, WorkItem

MAX_FINAL_CLAIMS = 2  # claims of one worker after the run is finished: one with idle=False, then one with idle=True
_POLL_SECONDS = 0.2  # interval of checks for hung workers and workers to restart
_SUSPENDED_SECONDS = 5.0  # longer iterations mean that this process was suspended or busy and received no messages


class WorkerPool(Protocol):
    """Starts and ends workers and transports messages; makes no decisions. Workers are numbered from 0."""

    def start(self, number: int) -> None:
        """Start a worker without waiting for it."""

    def send(self, number: int, answer: WorkItem | None) -> None:
        """Send the answer to a claim. If the worker has exited meanwhile, do nothing: `poll` reports it."""

    def poll(self, timeout: float) -> list[tuple[int, Message]]:
        """Return the messages since the last call, each with the number of its worker.

        Messages of one worker are in order. `Started` is the first, `Died` the last.

        Args:
            timeout: Maximum time in seconds to wait for a message.
        """
        ...

    def kill(self, number: int) -> None:
        """Kill a worker. `poll` then reports `Died`."""

    def close(self, at_once: bool) -> None:
        """End all workers.

        Args:
            at_once: If False, the run is finished: answer None to the up to `MAX_FINAL_CLAIMS` claims that each worker
                may still make, and wait for it to exit.
        """


def supervise(coordinator: Coordinator, pool: WorkerPool) -> None:
    """Run the workers of a pool until the run is finished, then close the pool.

    Raises:
        PipelineError: A worker reported an error that the user must correct, or all workers were lost.
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
