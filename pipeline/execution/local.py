"""Workers in processes of this machine, one for each device. They are spawned: a forked CUDA does not work.

A worker that loses this process ends by itself, so that nothing is left behind whatever happens.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from pipeline.errors import PipelineError
from pipeline.execution.messages import Claim, Died, Failed, Message, Started, WorkItem
from pipeline.execution.worker import RunContext, work

_PATIENCE_SECONDS = 10.0  # for workers that are asked to end


@dataclass(frozen=True)
class WorkerSpec:
    """Where a worker sits."""

    name: str  # of its worker, for people and for its journal
    device: str  # as torch calls it
    threads: int = 0  # of torch; 0: as it likes
    visible_gpu: str | None = None  # the only one it sees, which is then `cuda`


def worker_specs(names: Sequence[str], devices: Sequence[str], threads: int) -> list[WorkerSpec]:
    """A seat for each device.

    A worker on a GPU sees no other, because parts of torch use the first one there is, whatever the tensors say.
    Workers on the CPU share its threads.
    """
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = listed.split(",") if listed else None
    found = []
    for name, device in zip(names, devices, strict=True):
        kind, _, index = device.partition(":")
        if kind == "cuda":
            gpu = int(index or 0)
            found.append(WorkerSpec(name, "cuda", visible_gpu=visible[gpu] if visible else str(gpu)))
        else:
            found.append(WorkerSpec(name, device, threads=max(1, threads // len(devices))))
    return found


class ProcessPool:
    """A pool of processes; see `Pool`."""

    def __init__(self, order: RunContext, worker_specs: Sequence[WorkerSpec]) -> None:
        self._order = order
        self._seats = worker_specs
        self._context = multiprocessing.get_context("spawn")
        self._processes: dict[int, tuple[BaseProcess, Connection]] = {}
        self._started: list[int] = []

    def start(self, number: int) -> None:
        """See `Pool`."""
        here, there = self._context.Pipe()
        process = self._context.Process(
            target=_serve, args=(there, self._order, self._seats[number]), name=f"worker-{number}", daemon=True
        )
        with _deaf_to_ctrl_c():
            process.start()
        there.close()
        self._processes[number] = process, here
        self._started.append(number)

    def send(self, number: int, answer: WorkItem | None) -> None:
        """See `Pool`."""
        with suppress(OSError):  # it died meanwhile: its sentinel says so
            self._processes[number][1].send(answer)

    def poll(self, timeout: float) -> list[tuple[int, Message]]:
        """See `Pool`."""
        messages: list[tuple[int, Message]] = [(number, Started()) for number in self._started]
        self._started.clear()
        everything = [one for process, pipe in self._processes.values() for one in (process.sentinel, pipe)]
        ready = set(wait(everything, 0 if messages else timeout))
        for number, (process, pipe) in list(self._processes.items()):
            has_ended = process.sentinel in ready
            if has_ended or pipe in ready:
                messages += [(number, message) for message in _drain(pipe)]
            if has_ended:
                process.join()
                messages.append((number, Died(_how_it_ended(process.exitcode))))
                pipe.close()
                del self._processes[number]
        return messages

    def kill(self, number: int) -> None:
        """See `Pool`."""
        self._processes[number][0].kill()

    def close(self, at_once: bool) -> None:
        """See `Pool`."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        for number, (process, _) in self._processes.items():
            self.send(number, None)
            if at_once:
                process.terminate()
        for process, pipe in self._processes.values():
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
            pipe.close()
        self._processes.clear()


class PipeChannel:
    """A worker's port where its supervisor is another process."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def claim(self, claim: Claim) -> WorkItem | None:
        self.report(claim)
        answer: WorkItem | None = self._pipe.recv()
        return answer

    def report(self, message: Message) -> None:
        self._pipe.send(message)


def _serve(pipe: Connection, order: RunContext, seat: WorkerSpec) -> None:
    """A worker's whole life."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # unwinds, so that no half-written file stays
    if seat.visible_gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = seat.visible_gpu  # read when torch first looks for GPUs
    if seat.threads:
        import torch

        torch.set_num_threads(seat.threads)
    port = PipeChannel(pipe)
    try:
        work(order, seat.name, seat.device, port)
    except (BrokenPipeError, ConnectionResetError, EOFError):  # nobody is there any more to hear of anything
        sys.exit(1)
    except Exception as error:
        port.report(failure(error))
        sys.exit(1)


def failure(error: Exception) -> Failed:
    """What a worker says of an exception that ends it."""
    if isinstance(error, PipelineError):
        return Failed(error, str(error))
    return Failed(None, f"{type(error).__name__}: {error}".splitlines()[0], traceback.format_exc())


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _drain(pipe: Connection) -> Iterator[Message]:
    with suppress(EOFError, OSError):
        while pipe.poll():
            yield pipe.recv()


def _how_it_ended(code: int | None) -> str:
    if code is not None and code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Ctrl-C reaches every process of a terminal; a worker that is started in here leaves it to this one."""
    resource_tracker.ensure_running()  # or the first worker's start would start it, which lets the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
