"""Workers as Ray actors: one GPU each, wherever in the cluster there is one.

Audio never passes through Ray: workers write their shards, and what comes back are the messages of `messages`, a few
numbers each. So every node needs to see the run directory and the checkpoint under the same path.

An actor is watched, and replaced, by the supervisor, not by Ray. One that finds no free GPU waits until there is one.
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

from pipeline.execution.local import failure
from pipeline.execution.messages import Claim, Died, Failed, Message, Started, WorkItem
from pipeline.execution.worker import RunContext, work

_BREATH_SECONDS = 2.0  # how long an actor waits for something to say before it says nothing
_PATIENCE_SECONDS = 10.0  # for workers that are asked to end
_THREADS = 3  # of an actor: one works, one listens, one speaks


class _Worker:
    """The actor. It is its own worker's port."""

    def __init__(self) -> None:
        self._answers: queue.Queue[WorkItem | None] = queue.Queue()
        self._messages: list[Message] = []
        self._has_something = threading.Condition()

    def serve(self, order: RunContext, name: str) -> None:
        """Works until there is nothing left to do."""
        self.report(Started())
        device = order.config.engine.device.partition(":")[0]  # Ray lets it see its own GPU only
        try:
            work(order, name, device, self)
        except Exception as error:
            self.report(failure(error))

    def listen(self, answer: WorkItem | None) -> None:
        """Takes the answer to a claim."""
        self._answers.put(answer)

    def speak(self) -> list[Message]:
        """What was said since, as soon as there is something."""
        with self._has_something:
            self._has_something.wait_for(lambda: self._messages, _BREATH_SECONDS)
            said, self._messages = self._messages, []
        return said

    def claim(self, claim: Claim) -> WorkItem | None:
        """See `WorkerChannel`."""
        self.report(claim)
        return self._answers.get()

    def report(self, message: Message) -> None:
        """See `WorkerChannel`."""
        with self._has_something:
            self._messages.append(message)
            self._has_something.notify()


@dataclass
class _Actor:
    handle: Any
    working: Any | None  # reference to the end of its work; None: it has come
    speaking: Any  # reference to what it says next


class RayPool:
    """A pool of Ray actors; see `Pool`."""

    def __init__(self, order: RunContext) -> None:
        executor = order.config.executor
        on_sigterm = signal.getsignal(signal.SIGTERM)
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # else a warning of theirs for each process of Ray
        own = {} if executor.address else {"include_dashboard": False}
        ray.init(address=executor.address or "local", log_to_driver=False, logging_level="warning", **own)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)  # Ray has put its own in its place
        gpus = ray.cluster_resources().get("GPU", 0.0)
        share = executor.gpus_per_worker if gpus else 0.0
        self.names = [
            f"ray-{number}" for number in range(executor.workers or max(1, int(gpus / share) if share else 1))
        ]
        self._class = ray.remote(num_cpus=1, num_gpus=share, max_restarts=0, max_concurrency=_THREADS)(_Worker)
        self._order = ray.put(order)
        self._actors: dict[int, _Actor] = {}

    def start(self, number: int) -> None:
        """See `Pool`."""
        handle = self._class.remote()
        self._actors[number] = _Actor(
            handle, handle.serve.remote(self._order, self.names[number]), handle.speak.remote()
        )

    def send(self, number: int, answer: WorkItem | None) -> None:
        """See `Pool`."""
        if number in self._actors:
            self._actors[number].handle.listen.remote(answer)

    def poll(self, timeout: float) -> list[tuple[int, Message]]:
        """See `Pool`."""
        waited_for = {actor.speaking: number for number, actor in self._actors.items()}
        waited_for |= {actor.working: number for number, actor in self._actors.items() if actor.working is not None}
        if not waited_for:
            time.sleep(timeout)
            return []
        ray.wait(list(waited_for), timeout=timeout)
        ready, _ = ray.wait(list(waited_for), num_returns=len(waited_for), timeout=0)
        numbers = dict.fromkeys(waited_for[one] for one in ready)
        return [(number, message) for number in numbers for message in self._hear(number, ready)]

    def kill(self, number: int) -> None:
        """See `Pool`."""
        ray.kill(self._actors[number].handle)

    def close(self, at_once: bool) -> None:
        """See `Pool`."""
        if not at_once:
            for number in self._actors:
                self.send(number, None)
            working = [actor.working for actor in self._actors.values() if actor.working is not None]
            if working:
                ray.wait(working, num_returns=len(working), timeout=_PATIENCE_SECONDS)
        for actor in self._actors.values():
            with suppress(RayError):
                ray.kill(actor.handle)
        ray.shutdown()

    def _hear(self, number: int, ready: list[Any]) -> list[Message]:
        """What an actor has said; its death where it has died, or has said that it cannot go on."""
        actor = self._actors[number]
        messages: list[Message] = []
        try:
            if actor.speaking in ready:
                messages = ray.get(actor.speaking)
                actor.speaking = actor.handle.speak.remote()
            if actor.working in ready:
                ray.get(actor.working)
                actor.working = None
        except RayTaskError as error:  # it could not even begin, e.g. because this package is not installed there
            messages.append(Failed(None, str(error).strip().splitlines()[-1], str(error)))
            actor.working = None
        except RayError as error:
            del self._actors[number]
            return [*messages, Died(str(error).strip().splitlines()[0])]
        if any(isinstance(message, Failed) for message in messages):
            ray.kill(actor.handle)
        return messages
