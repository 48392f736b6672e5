"""Executors: where the workers of a run are. `EXECUTORS` has them by name.

The plan does not depend on the executor, and neither do the clips: it may change from call to call of the same run.
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

    The class is registered, not an instance. `check` is called first; then the class is called once for each run, and
    `run` once. A worker calls `worker.work` with a `WorkerChannel`, and may run anywhere where it can read the
    checkpoint and write the run directory. Executors whose workers run elsewhere provide a `WorkerPool` and let
    `pool.supervise` do the rest.

    Attributes:
        isolates_workers: Whether this process survives a crash of a worker.
        worker_names: A name for each worker, unique within the run and good as a file name.
    """

    isolates_workers: ClassVar[bool]
    worker_names: Sequence[str]

    def __init__(self, context: RunContext) -> None:
        """Decide how many workers there are, e.g. by connecting to a cluster; start none of them."""

    @classmethod
    def check(cls, config: Config) -> Config:
        """Refuse settings that cannot work here. Called before the model is loaded and anything is written.

        Returns:
            The config with all values of `executor` and `engine.device` that "auto" stands for.

        Raises:
            ConfigError: A device that is not here, a package that is not installed.
        """
        ...

    def run(self, coordinator: Coordinator) -> None:
        """Start the workers, pass their messages to the coordinator, and return when its supervisor is finished.

        Raises:
            PipelineError: An error that the user has to correct, or that no worker is left.
        """


EXECUTORS: Registry[type[Executor]] = EXECUTOR_REGISTRY  # it belongs to the schema, which accepts all names in it


def check_executor(config: Config) -> Config:
    """Return the config with the executor and the devices that "auto" stands for.

    Raises:
        ConfigError: The executor cannot work on this machine with these settings.
    """
    if config.executor.kind == "auto":
        devices = local_devices(config)
        kind = "local" if len(devices) > 1 else "inline"
        config = replace(config, executor=replace(config.executor, kind=kind, devices=devices))
    return EXECUTORS.get(config.executor.kind).check(config)


def execute(context: RunContext, workload: Workload, num_done: int) -> tuple[RunStats, ModelInfo | None]:
    """Generate what is left of a run, with the executor of its config.

    Args:
        context: The run; its config is a result of `check_executor`.
        workload: What to generate.
        num_done: Utterances of the run that are settled already.

    Returns:
        What was done, and the model that did it (None: no worker was needed).
    """
    executor_class = EXECUTORS.get(context.config.executor.kind)
    if workload.suspects and not executor_class.isolates_workers:  # they may crash the process again
        executor_class = EXECUTORS.get("local")
        context = replace(context, config=executor_class.check(context.config))
    executor = executor_class(context)
    names, run_dir, head = executor.worker_names, context.run_dir, context.head
    if len(names) > 1:  # the longest shards first, so that all workers finish at about the same time
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
