"""Executors: who does the work of a run, and what happens when they come and go.

    messages     what workers and their supervisor say to each other
    supervisor   all decisions, without a process: who does what next, who is replaced, which utterance kills
    worker       what a worker does, wherever it runs: claims shards, renders and writes them
    desk         where all messages arrive; the same for every kind of worker
    inline       one worker, in this process
    pool         several elsewhere: what a pool can do, and the loop that keeps it at work
    processes    a pool of processes, one for each device of this machine
    ray          a pool of Ray actors
    pieces       shards that are made in pieces

`execute` is the door. The plan does not know who works on it, and clips do not depend on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec

from pipeline.config import Config
from pipeline.errors import ConfigError
from pipeline.execution.coordinator import Coordinator
from pipeline.execution.inline import work_inline
from pipeline.execution.local import ProcessPool, worker_specs
from pipeline.execution.messages import WorkItem
from pipeline.execution.pool import Pool, supervise
from pipeline.execution.supervisor import Supervisor
from pipeline.execution.worker import RunContext
from pipeline.planning.plan_store import read_shard_plan
from pipeline.reporting.journal import Journal
from pipeline.reporting.progress import Progress
from pipeline.reporting.report import RunStats
from pipeline.synthesis import check_settings
from pipeline.types import ModelInfo

__all__ = ["RunContext", "WorkItem", "check_executor", "devices_of", "execute"]


def check_executor(config: Config) -> Config:
    """Says what cannot work on this machine, before anything is loaded; decides what `auto` is.

    Raises:
        ConfigError: A device that is not here, or Ray where it is not installed.
    """
    executor = config.executor
    if executor.kind == "ray":
        if find_spec("ray") is None:
            raise ConfigError('executor=ray: Ray is not installed; pip install "parler-pipeline[ray]"')
        check_settings(config.engine)
        return config
    devices = devices_of(config)
    for device in devices:
        check_settings(replace(config.engine, device=device))
    if executor.kind == "inline" and len(devices) > 1 and executor.devices != "auto":
        raise ConfigError(f"executor.devices={executor.devices}: executor=inline has one device; give executor=local")
    kind = executor.kind if executor.kind != "auto" else "local" if len(devices) > 1 else "inline"
    return replace(
        config,
        engine=replace(config.engine, device=devices[0]),
        executor=replace(executor, kind=kind, devices=devices),
    )


def devices_of(config: Config) -> list[str]:
    """The devices of this machine that are to work."""
    import torch  # takes seconds, and is not needed for Ray

    if config.executor.devices != "auto":
        return list(config.executor.devices)
    if config.engine.device != "auto" or config.executor.kind == "inline":
        return [config.engine.device]
    return [f"cuda:{index}" for index in range(torch.cuda.device_count())] or ["cpu"]


def execute(
    order: RunContext,
    shards: Sequence[int],
    num_done: int,
    pieces: Sequence[WorkItem] = (),
    suspects: Sequence[WorkItem] = (),
) -> tuple[RunStats, ModelInfo | None]:
    """Makes shards, and shards in pieces, with the workers that the config asks for.

    Args:
        order: What they need to know; its config has been through `check_executor`.
        shards: To be made whole, in the order in which they are begun.
        num_done: Utterances of the run that are settled already.
        pieces: Parts of shards; see `Supervisor`.
        suspects: Single utterances that have killed a worker before: never in this process.

    Returns:
        What was done, and the model that did it.
    """
    executor = order.config.executor
    names, pool = start_workers(order, in_this_process=executor.kind == "inline" and not suspects)
    supervisor = Supervisor(
        shards,
        names,
        executor,
        lambda shard: len(read_shard_plan(order.run_dir, shard).utterances),
        pieces,
        suspects,
    )
    with ExitStack() as open_:
        journal = open_.enter_context(Journal(order.run_dir, order.journal_name("supervisor"))) if pool else None
        head = order.head
        progress = open_.enter_context(Progress(head.num_utterances, num_done, head.num_shards, names))
        desk = Coordinator(order, supervisor, progress, names, journal)
        if pool is None:
            work_inline(order, names[0], executor.devices[0], desk)
        else:
            supervise(desk, pool)
    return desk.session(), desk.model


def start_workers(order: RunContext, in_this_process: bool) -> tuple[list[str], Pool | None]:
    """Names of the workers, and their pool; None: there is one, in this process."""
    executor = order.config.executor
    if executor.kind == "ray":
        from pipeline.execution.ray import RayPool

        actors = RayPool(order)
        return actors.names, actors
    devices = list(executor.devices)
    names = [device.replace(":", "-") for device in devices]
    if len(set(names)) < len(names):
        names = [f"{name}-{number}" for number, name in enumerate(names)]
    if in_this_process:
        return ["main"], None
    import torch

    return names, ProcessPool(order, worker_specs(names, devices, torch.get_num_threads()))
