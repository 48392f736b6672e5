"""Executor with Ray actors, each with `executor.gpus_per_worker` GPUs on any node of the cluster."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar

from pipeline.config import Config
from pipeline.errors import ConfigError
from pipeline.execution.coordinator import Coordinator
from pipeline.execution.pool import supervise
from pipeline.execution.worker import RunContext
from pipeline.synthesis import check_settings

if TYPE_CHECKING:
    from collections.abc import Sequence


class RayExecutor:
    """Run workers as Ray actors; see `Executor`.

    All nodes need the run directory and the checkpoint under the same path.
    """

    isolates_workers: ClassVar[bool] = True

    def __init__(self, context: RunContext) -> None:
        from pipeline.execution.ray_pool import RayPool  # imports Ray, which is an optional dependency

        self._pool = RayPool(context)
        self.worker_names: Sequence[str] = self._pool.names

    @classmethod
    def check(cls, config: Config) -> Config:
        """See `Executor`."""
        if find_spec("ray") is None:
            raise ConfigError('executor=ray: Ray is not installed; run pip install "parler-pipeline[ray]"')
        check_settings(config.engine)
        return config

    def run(self, coordinator: Coordinator) -> None:
        """See `Executor`."""
        supervise(coordinator, self._pool)
