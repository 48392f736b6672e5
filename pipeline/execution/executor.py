"""The `Executor` protocol, the registry of executors, and `execute`, which generates the missing shards of a run.

Neither the plan nor the clips depend on the executor, so a run may be resumed with another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import ClassVar, Protocol

from pipeline.config import Config
from pipeline.config.schema_executor import EXECUTOR_REGISTRY
from pipeline.execution.coordinator import Coordinator
from pipeline.execution.devices import local_devices
from pipeline.execution.supervisor import Supervisor, Workload
from pipeline.execution.worker import RunContext
from pipeline.planning.plan_store import read_shard_plan
from pipeline.registry import Registry
from pipeline.reporting.journal import Journal
from pipeline.reporting.progress import Progress
from pipeline.reporting.report import RunStats
from pipeline.types import ModelInfo


class Executor(Protocol):
    """Starts the workers of a run and connects them to its coordinator.

    Register the class, not an instance. For each run, `check` is called first, then an instance is created and its
    `run` is called once. A worker calls `worker.work` with a `WorkerChannel`. It may run on any machine that can read
    the checkpoint and write to the run directory. An executor with workers in other processes implements `WorkerPool`
    and calls `pool.supervise`.

    Attributes:
        isolates_workers: Whether this process survives the crash of a worker.
        worker_names: Name of each worker, unique within the run and valid as a file name.
    """

    isolates_workers: ClassVar[bool]
    worker_names: Sequence[str]

    def __init__(self, context: RunContext) -> None:
        """Determine the workers, e.g. by connecting to a cluster, without starting them."""

    @classmethod
    def check(cls, config: Config) -> Config:
        """Check the settings, before the model is loaded and before anything is written.

        Returns:
            The config with "auto" in `executor` and `engine.device` replaced by actual values.

        Raises:
            ConfigError: A device is not available, or a package is not installed.
        """
        ...

    def run(self, coordinator: Coordinator) -> None:
        """Start the workers, pass their messages to the coordinator, and return when its supervisor is finished.

        Raises:
            PipelineError: A worker reported an error that the user must correct, or all workers were lost.
        """


EXECUTORS: Registry[type[Executor]] = EXECUTOR_REGISTRY  # created in the schema, which validates the names


def check_executor(config: Config) -> Config:
    """Return the config with "auto" in `executor` replaced by actual values.

    Raises:
        ConfigError: The executor does not support this machine or these settings.
    """
    if config.executor.kind == "auto":
        devices = local_devices(config)
        kind = "local" if len(devices) > 1 else "inline"
        config = replace(config, executor=replace(config.executor, kind=kind, devices=devices))
    return EXECUTORS.get(config.executor.kind).check(config)


def execute(context: RunContext, workload: Workload, num_done: int) -> tuple[RunStats, ModelInfo | None]:
    """Generate a workload with the executor of the config.

    Args:
        context: The run. `check_executor` must have returned its config.
        workload: Shards and sub-shards to generate.
        num_done: Number of utterances of the run that are accepted or rejected already.

    Returns:
        Statistics of this command, and the model (None: no worker was started).

    Raises:
        PipelineError: See `Executor.run`.
    """
    executor_class = EXECUTORS.get(context.config.executor.kind)
    if workload.suspects and not executor_class.isolates_workers:  # they may crash their process again
        executor_class = EXECUTORS.get("local")
        context = replace(context, config=executor_class.check(context.config))
    executor = executor_class(context)
    names, run_dir, head = executor.worker_names, context.run_dir, context.head
    if len(names) > 1:  # longest shards first, so that all workers finish at about the same time
        by_length = sorted(workload.shards, key=lambda index: -head.shard_seconds[index])
        workload = replace(workload, shards=tuple(by_length))
    supervisor = Supervisor(
        workload, names, context.config.executor, lambda shard: len(read_shard_plan(run_dir, shard).utterances)
    )
    with ExitStack() as open_:
        journal = None
        if executor.isolates_workers:
            journal = open_.enter_context(Journal(run_dir, context.journal_name("supervisor")))
        progress = open_.enter_context(Progress(head.num_utterances, num_done, head.num_shards, names))
        coordinator = Coordinator(context, supervisor, progress, names, journal)
        executor.run(coordinator)
    return coordinator.run_stats(), coordinator.model
