"""The schema of `executor`: which workers generate the clips, and where they run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.config.checks import require, require_choice
from pipeline.registry import Registry

EXECUTOR_AUTO = "auto"  # inline with one device, local with several
# The entries implement `pipeline.execution.executor.Executor`. Names are known here without importing them.
EXECUTOR_REGISTRY: Registry[Any] = Registry(
    "parler_pipeline.executors",
    {
        "inline": "pipeline.execution.inline:InlineExecutor",
        "local": "pipeline.execution.local:LocalExecutor",
        "ray": "pipeline.execution.ray:RayExecutor",
    },
)


@dataclass
class ExecutorConfig:
    """Which workers generate the clips. Clips do not depend on it, so that it may change from call to call."""

    kind: str = EXECUTOR_AUTO  # inline, local, ray, or the name of an installed executor; auto: inline or local
    devices: Any = "auto"  # for local, one process each: [cuda:0,cuda:1], [cpu,cpu]; auto: all GPUs, else the CPU
    address: str | None = None  # for ray: address of the cluster; null: Ray is started on this machine
    workers: int = 0  # for ray; 0: one for each GPU of the cluster, or one if it has none
    gpus_per_worker: float = 1.0  # for ray, if the cluster has GPUs
    hang_seconds: float = 900.0  # a worker that finishes no take for this long is killed and replaced
    restarts: int = 16  # of a worker in a row, without a take in between; then it is not restarted any more
    backoff_seconds: float = 1.0  # before the second restart in a row; it doubles each time, up to a minute

    def __post_init__(self) -> None:
        if self.kind != EXECUTOR_AUTO and self.kind not in EXECUTOR_REGISTRY:
            require_choice("executor.kind", self.kind, (EXECUTOR_AUTO, *EXECUTOR_REGISTRY.names()))
        self.devices = [self.devices] if isinstance(self.devices, str) and self.devices != "auto" else self.devices
        devices = [] if self.devices == "auto" else self.devices
        is_list = isinstance(devices, list) and all(isinstance(device, str) and device for device in devices)
        is_good = is_list and self.devices != []
        require(is_good, "executor.devices", self.devices, "give auto or a list: [cuda:0,cuda:1], [cpu,cpu]")
        types = {device.partition(":")[0] for device in devices}
        require(len(types) < 2, "executor.devices", self.devices, "clips of different types of device would differ")
        for key in ("workers", "gpus_per_worker", "backoff_seconds"):
            require(getattr(self, key) >= 0, f"executor.{key}", getattr(self, key), "give 0 or more")
        for key in ("hang_seconds", "restarts"):
            require(getattr(self, key) > 0, f"executor.{key}", getattr(self, key), "give a positive number")
