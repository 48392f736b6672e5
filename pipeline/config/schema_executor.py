"""The schema of `executor`: who does the work. See `config` for the rest of the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.config.checks import require, require_choice

EXECUTORS = ("auto", "inline", "local", "ray")  # auto: inline with one device, local with several


@dataclass
class ExecutorConfig:
    """Who does the work. Clips do not depend on it, so all of it may change from call to call."""

    kind: str = "auto"
    devices: Any = "auto"  # of local, a process each: [cuda:0,cuda:1], [cpu,cpu]; auto: all GPUs, else the CPU
    address: str | None = None  # of ray: a cluster's; null: a local one is started
    workers: int = 0  # of ray; 0: one for each GPU of the cluster, or one without GPUs
    gpus_per_worker: float = 1.0  # of ray, where there are GPUs
    hang_seconds: float = 900.0  # a worker that makes no clip for so long is ended and replaced
    restarts: int = 16  # of a worker, in a row without a single clip; then its device is given up
    backoff_seconds: float = 1.0  # before the second restart in a row; doubles, up to a minute

    def __post_init__(self) -> None:
        require_choice("executor.kind", self.kind, EXECUTORS)
        self.devices = [self.devices] if isinstance(self.devices, str) and self.devices != "auto" else self.devices
        listed = [] if self.devices == "auto" else self.devices
        is_list = isinstance(listed, list) and all(isinstance(device, str) and device for device in listed)
        is_somebody = is_list and self.devices != []
        require(is_somebody, "executor.devices", self.devices, "give auto or a list: [cuda:0,cuda:1], [cpu,cpu]")
        kinds = {device.partition(":")[0] for device in listed}
        require(len(kinds) < 2, "executor.devices", self.devices, "clips of different kinds of device would differ")
        for key in ("workers", "gpus_per_worker", "backoff_seconds"):
            require(getattr(self, key) >= 0, f"executor.{key}", getattr(self, key), "give 0 or more")
        for key in ("hang_seconds", "restarts"):
            require(getattr(self, key) > 0, f"executor.{key}", getattr(self, key), "give a positive number")
