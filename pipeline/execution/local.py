"""Executor with one worker process for each device of this machine.

Processes are spawned, because CUDA does not work in a forked process. A worker exits when its parent process dies.
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
from typing import ClassVar

from pipeline.config import Config
from pipeline.errors import PipelineError
from pipeline.execution.coordinator import Coordinator
from pipeline.execution.devices import local_devices, use_devices
from pipeline.execution.messages import Claim, Died, Failed, Message, Started, WorkItem
from pipeline.execution.pool import MAX_FINAL_CLAIMS, supervise
from pipeline.execution.worker import RunContext, work

_MAX_EXIT_SECONDS = 10.0  # workers that take longer to exit are killed


class LocalExecutor:
    """Run one process for each device of this machine; see `Executor`."""

    isolates_workers: ClassVar[bool] = True

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self.worker_names = name_workers(context.config.executor.devices)

    @classmethod
    def check(cls, config: Config) -> Config:
        """See `Executor`."""
        return use_devices(config, local_devices(config))

    def run(self, coordinator: Coordinator) -> None:
        """See `Executor`."""
        import torch

        specs = worker_specs(self.worker_names, self._context.config.executor.devices, torch.get_num_threads())
        supervise(coordinator, ProcessPool(self._context, specs))


@dataclass(frozen=True)
class WorkerSpec:
    """Settings of a worker process."""

    name: str
    device: str  # torch name of the device in the worker
    num_threads: int = 0  # torch threads; 0: torch's default
    visible_gpu: str | None = None  # value of CUDA_VISIBLE_DEVICES; None: unchanged


def name_workers(devices: Sequence[str]) -> list[str]:
    """Return a unique name for the worker of each device, valid as a file name."""
    names = [device.replace(":", "-") for device in devices]
    if len(set(names)) < len(names):
        names = [f"{name}-{number}" for number, name in enumerate(names)]
    return names


def worker_specs(names: Sequence[str], devices: Sequence[str], num_threads: int) -> list[WorkerSpec]:
    """Return the settings of one worker for each device.

    Each GPU worker sees only its own GPU, because parts of torch always use the first visible GPU. CPU workers divide
    the threads among them.
    """
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = listed.split(",") if listed else None
    specs = []
    for name, device in zip(names, devices, strict=True):
        kind, _, index = device.partition(":")
        if kind == "cuda":
            gpu = int(index or 0)
            specs.append(WorkerSpec(name, "cuda", visible_gpu=visible[gpu] if visible else str(gpu)))
        else:
            specs.append(WorkerSpec(name, device, num_threads=max(1, num_threads // len(devices))))
    return specs


class ProcessPool:
    """A pool of processes; see `WorkerPool`."""

    def __init__(self, context: RunContext, specs: Sequence[WorkerSpec]) -> None:
        self._context = context
        self._specs = specs
        self._spawn = multiprocessing.get_context("spawn")
        self._processes: dict[int, tuple[BaseProcess, Connection]] = {}
        self._started: list[int] = []  # since the last poll

    def start(self, number: int) -> None:
        """See `WorkerPool`."""
        pipe, pipe_of_worker = self._spawn.Pipe()
        process = self._spawn.Process(
            target=_run_worker,
            args=(pipe_of_worker, self._context, self._specs[number]),
            name=f"worker-{number}",
            daemon=True,
        )
        with _sigint_blocked():
            process.start()
        pipe_of_worker.close()
        self._processes[number] = process, pipe
        self._started.append(number)

    def send(self, number: int, answer: WorkItem | None) -> None:
        """See `WorkerPool`."""
        with suppress(OSError):  # the process has exited; `poll` reports it
            self._processes[number][1].send(answer)

    def poll(self, timeout: float) -> list[tuple[int, Message]]:
        """See `WorkerPool`."""
        messages: list[tuple[int, Message]] = [(number, Started()) for number in self._started]
        self._started.clear()
        waitables = [each for process, pipe in self._processes.values() for each in (process.sentinel, pipe)]
        ready = set(wait(waitables, 0 if messages else timeout))
        for number, (process, pipe) in list(self._processes.items()):
            has_exited = process.sentinel in ready
            if has_exited or pipe in ready:
                messages += [(number, message) for message in _receive_all(pipe)]
            if has_exited:
                process.join()
                messages.append((number, Died(_describe_exit(process.exitcode))))
                pipe.close()
                del self._processes[number]
        return messages

    def kill(self, number: int) -> None:
        """See `WorkerPool`."""
        self._processes[number][0].kill()

    def close(self, at_once: bool) -> None:
        """See `WorkerPool`."""
        deadline = time.monotonic() + _MAX_EXIT_SECONDS
        for number, (process, _) in self._processes.items():
            for _ in range(MAX_FINAL_CLAIMS):
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
    """Channel of a worker in another process; see `WorkerChannel`."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def claim(self, claim: Claim) -> WorkItem | None:
        """See `WorkerChannel`."""
        self.report(claim)
        answer: WorkItem | None = self._pipe.recv()
        return answer

    def report(self, message: Message) -> None:
        """See `WorkerChannel`."""
        self._pipe.send(message)


def failure_message(error: Exception) -> Failed:
    """Return the message that reports an exception that ends a worker."""
    if isinstance(error, PipelineError):
        return Failed(error, str(error))
    return Failed(None, f"{type(error).__name__}: {error}".splitlines()[0], traceback.format_exc())


def _run_worker(pipe: Connection, context: RunContext, spec: WorkerSpec) -> None:
    """Main function of a worker process."""
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # raises SystemExit, so that unfinished files are deleted
    if spec.visible_gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = spec.visible_gpu  # torch reads it on the first use of CUDA
    if spec.num_threads:
        import torch

        torch.set_num_threads(spec.num_threads)
    channel = PipeChannel(pipe)
    try:
        work(context, spec.name, spec.device, channel)
    except (BrokenPipeError, ConnectionResetError, EOFError):  # the parent process has died
        sys.exit(1)
    except Exception as error:
        channel.report(failure_message(error))
        sys.exit(1)


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _receive_all(pipe: Connection) -> Iterator[Message]:
    with suppress(EOFError, OSError):  # the worker has closed its end
        while pipe.poll():
            yield pipe.recv()


def _describe_exit(code: int | None) -> str:
    if code is not None and code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Block SIGINT, so that a process started in the block ignores Ctrl-C.

    A terminal sends SIGINT to all processes of the command; only the main process should handle it.
    """
    resource_tracker.ensure_running()  # otherwise the first process start would launch it, which unblocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
