"""Executor with one worker in the main process. The worker is not supervised."""

from __future__ import annotations

from typing import ClassVar

from pipeline.config import Config
from pipeline.errors import ConfigError
from pipeline.execution.coordinator import Coordinator
from pipeline.execution.devices import use_devices
from pipeline.execution.messages import Claim, Message, Started, WorkItem
from pipeline.execution.worker import RunContext, work


class InlineExecutor:
    """Run one worker in the main process; see `Executor`."""

    isolates_workers: ClassVar[bool] = False
    worker_names = ("main",)

    def __init__(self, context: RunContext) -> None:
        self._context = context

    @classmethod
    def check(cls, config: Config) -> Config:
        """See `Executor`."""
        devices = config.executor.devices
        if devices == "auto":
            devices = [config.engine.device]
        if len(devices) > 1:
            shown = f"[{','.join(devices)}]"
            raise ConfigError(f"executor.devices={shown}: executor=inline supports one device; use executor=local")
        return use_devices(config, devices)

    def run(self, coordinator: Coordinator) -> None:
        """See `Executor`."""
        coordinator.supervisor.workers_to_start(0.0)
        coordinator.handle(0, Started())
        (device,) = self._context.config.executor.devices
        work(self._context, self.worker_names[0], device, InlineChannel(coordinator))


class InlineChannel:
    """Channel of a worker in the process of the coordinator; see `WorkerChannel`."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator

    def claim(self, claim: Claim) -> WorkItem | None:
        """See `WorkerChannel`."""
        self.report(claim)
        ((_, item),) = self._coordinator.supervisor.answers()
        return item

    def report(self, message: Message) -> None:
        """See `WorkerChannel`."""
        self._coordinator.handle(0, message)
