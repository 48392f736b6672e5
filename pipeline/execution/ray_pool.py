"""A pool of Ray actors.

Ray transports only the messages of `messages`; workers write the audio to the run directory themselves. The supervisor
restarts failed actors, so Ray's own restarts are off. An actor waits until Ray has a free GPU for it.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from pipeline.config import ExecutorConfig
from pipeline.execution.local import failure_message
from pipeline.execution.messages import Claim, Died, Failed, Message, Started, WorkItem
from pipeline.execution.pool import MAX_FINAL_CLAIMS
from pipeline.execution.worker import RunContext, work

_MAX_RECEIVE_SECONDS = 2.0  # maximum time for which `_Worker.receive` waits
_MAX_EXIT_SECONDS = 10.0  # workers that take longer to exit are killed
_NUM_THREADS = 3  # threads of an actor: for `run`, `answer` and `receive`


class _Worker:
    """The actor: a worker, and its `WorkerChannel`."""

    def __init__(self) -> None:
        self._answers: queue.Queue[WorkItem | None] = queue.Queue()
        self._messages: list[Message] = []
        self._has_message = threading.Condition()

    def run(self, context: RunContext, name: str) -> None:
        """Run the worker until no work is left."""
        self.report(Started())
        device = context.config.engine.device.partition(":")[0]  # Ray makes only one GPU visible
        try:
            work(context, name, device, self)
        except Exception as error:
            self.report(failure_message(error))

    def answer(self, answer: WorkItem | None) -> None:
        """Pass on the answer to a claim."""
        self._answers.put(answer)

    def receive(self) -> list[Message]:
        """Wait for messages and return all since the last call; empty after `_MAX_RECEIVE_SECONDS`."""
        with self._has_message:
            self._has_message.wait_for(lambda: self._messages, _MAX_RECEIVE_SECONDS)
            messages, self._messages = self._messages, []
        return messages

    def claim(self, claim: Claim) -> WorkItem | None:
        """See `WorkerChannel`."""
        self.report(claim)
        return self._answers.get()

    def report(self, message: Message) -> None:
        """See `WorkerChannel`."""
        with self._has_message:
            self._messages.append(message)
            self._has_message.notify()


@dataclass
class _Actor:
    handle: Any
    running: Any | None  # reference to the result of `_Worker.run`; None: it has returned
    receiving: Any  # reference to the result of `_Worker.receive`


class RayPool:
    """A pool of Ray actors; see `WorkerPool`.

    Attributes:
        names: A name for each worker.
    """

    def __init__(self, context: RunContext) -> None:
        """Start Ray on this machine, or connect to the cluster at `executor.address`."""
        executor = context.config.executor
        _init_ray(executor)
        num_gpus = ray.cluster_resources().get("GPU", 0.0)
        gpus_per_worker = executor.gpus_per_worker if num_gpus else 0.0
        num_workers = executor.workers or max(1, int(num_gpus / gpus_per_worker) if gpus_per_worker else 1)
        self.names = [f"ray-{number}" for number in range(num_workers)]
        self._class = ray.remote(num_cpus=1, num_gpus=gpus_per_worker, max_restarts=0, max_concurrency=_NUM_THREADS)(
            _Worker
        )
        self._context = ray.put(context)
        self._actors: dict[int, _Actor] = {}

    def start(self, number: int) -> None:
        """See `WorkerPool`."""
        handle = self._class.remote()
        self._actors[number] = _Actor(
            handle, handle.run.remote(self._context, self.names[number]), handle.receive.remote()
        )

    def send(self, number: int, answer: WorkItem | None) -> None:
        """See `WorkerPool`."""
        if number in self._actors:
            self._actors[number].handle.answer.remote(answer)

    def poll(self, timeout: float) -> list[tuple[int, Message]]:
        """See `WorkerPool`."""
        number_of = {actor.receiving: number for number, actor in self._actors.items()}
        number_of |= {actor.running: number for number, actor in self._actors.items() if actor.running is not None}
        if not number_of:
            time.sleep(timeout)
            return []
        ray.wait(list(number_of), timeout=timeout)
        ready, _ = ray.wait(list(number_of), num_returns=len(number_of), timeout=0)
        numbers = dict.fromkeys(number_of[future] for future in ready)
        return [(number, message) for number in numbers for message in self._receive(number, ready)]

    def kill(self, number: int) -> None:
        """See `WorkerPool`."""
        ray.kill(self._actors[number].handle)

    def close(self, at_once: bool) -> None:
        """See `WorkerPool`."""
        if not at_once:
            for number in list(self._actors) * MAX_FINAL_CLAIMS:
                self.send(number, None)
            running = [actor.running for actor in self._actors.values() if actor.running is not None]
            if running:
                ray.wait(running, num_returns=len(running), timeout=_MAX_EXIT_SECONDS)
        for actor in self._actors.values():
            with suppress(RayError):  # the actor has died already
                ray.kill(actor.handle)
        ray.shutdown()

    def _receive(self, number: int, ready: list[Any]) -> list[Message]:
        """Return the messages of an actor; the last is `Died` if it has died or cannot continue."""
        actor = self._actors[number]
        messages: list[Message] = []
        try:
            if actor.receiving in ready:
                messages = ray.get(actor.receiving)
                actor.receiving = actor.handle.receive.remote()
            if actor.running in ready:
                ray.get(actor.running)
                actor.running = None
        except RayTaskError as error:  # `run` did not start, e.g. because this package is missing on the node
            messages.append(Failed(None, str(error).strip().splitlines()[-1], str(error)))
            actor.running = None
        except RayError as error:
            del self._actors[number]
            return [*messages, Died(str(error).strip().splitlines()[0])]
        if any(isinstance(message, Failed) for message in messages):
            ray.kill(actor.handle)
        return messages


def _init_ray(executor: ExecutorConfig) -> None:
    on_sigterm = signal.getsignal(signal.SIGTERM)
    # Otherwise tokenizers prints a warning in each process of Ray.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    options = {} if executor.address else {"include_dashboard": False}
    ray.init(address=executor.address or "local", log_to_driver=False, logging_level="warning", **options)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray replaces the handler
