"""`task=retry_rejects`: what a run has rejected is tried again, with takes that were not tried yet.

Owns which rejects, and in which company: together as the pieces of their shards, but one that has killed its worker
alone, and never in this process. Only their shards are written anew; all else stays, to the byte.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.commands.finalize import finalize_run
from pipeline.commands.model_loader import ModelLoader
from pipeline.config import Config
from pipeline.config.frozen import frozen_config
from pipeline.errors import RunDirectoryError
from pipeline.execution import RunContext, WorkItem, Workload, check_executor, execute
from pipeline.execution.sub_shards import POISON
from pipeline.outputs.dataset.shards import finished_shards
from pipeline.outputs.deliverable import FinishedRun
from pipeline.planning.plan_store import read_head, read_shard_plan
from pipeline.reporting.progress import count, say
from pipeline.storage.atomic import remove_leftovers
from pipeline.storage.locks import write_lock
from pipeline.storage.paths import resolve_path
from pipeline.storage.run_directory import RunDirectory
from pipeline.synthesis.checkpoint import Checkpoint, find_checkpoint
from pipeline.voices import find_catalogue, speaker_names


def retry_rejects(asked: Config, loader: ModelLoader) -> int:
    """Work the rejects of `run` off; returns the exit code.

    The run's own config holds. Device, slots and executor, on which clips do not depend, are those of this command.

    Raises:
        PipelineError: There is no such run, it is not finished, or somebody is at work in it.
    """
    run_dir = resolve_path(asked.run or "")
    if not run_dir.is_dir():
        raise RunDirectoryError(f"run={run_dir}: no such folder")
    frozen_config(run_dir)  # refuses a folder that is no run before a lock is put there
    with write_lock(run_dir):
        frozen = frozen_config(run_dir)
        engine = replace(frozen.engine, device=asked.engine.device, slots=asked.engine.slots)
        config = check_executor(replace(frozen, engine=engine, executor=asked.executor))
        head = read_head(run_dir)
        remove_leftovers(run_dir)
        num_finished = sum(1 for _ in finished_shards(run_dir))
        if num_finished < head.num_shards:
            raise RunDirectoryError(
                f"run={run_dir}: {num_finished} of {head.num_shards} shards are finished; give the run's own command "
                "again first"
            )
        workload = _to_try_again(run_dir)
        items = [*workload.sub_shards, *workload.suspects]
        narrator = ", ".join(speaker_names(frozen.voice, find_catalogue(frozen.model)))
        if not items:
            say(f"{run_dir}: nothing was rejected that another take could change")
            if not RunDirectory(run_dir).checksums.exists():  # an earlier retry was killed at its end
                described = loader.describe(same_checkpoint(run_dir, config), config.engine)
                finalize_run(FinishedRun(run_dir, frozen, head, described, narrator, say), None)
            return 0
        num_rejects = sum(len(item.positions or ()) for item in items)
        shards = {item.shard for item in items}
        say(f"{run_dir}: {count(num_rejects, 'reject')} of {count(len(shards), 'shard')} to be tried again")
        order = RunContext(run_dir, config, head, same_checkpoint(run_dir, config), head.buckets, loader.build)
        session, model = execute(order, workload, head.num_utterances - num_rejects)
        assert model is not None  # there was something to do, and it is done
        finalize_run(FinishedRun(run_dir, frozen, head, model, narrator, say), session)
    return 0


def same_checkpoint(run_dir: Path, config: Config) -> Checkpoint:
    """Find the checkpoint that the run was made with: the clips of another one are not of this dataset.

    Raises:
        RunDirectoryError: Its weights, or those of its tokenizer, are others now.
    """
    checkpoint, revision = find_checkpoint(config.model), config.model.revision
    tokenizer, now = config.model.description_tokenizer_revision, checkpoint.description_tokenizer_revision
    if checkpoint.revision != revision or tokenizer not in (None, now):  # None: an older run, or there is none
        descriptions = (f" and {tokenizer} of its tokenizer", f" and {now}") if tokenizer else ("", "")
        raise RunDirectoryError(
            f"run={run_dir}: was made with revision {revision}{descriptions[0]} of model {checkpoint.model_id}, which "
            f"is {checkpoint.revision}{descriptions[1]} now; put the old weights back, or give the run's own command "
            "with name=... for a "
            "new run"
        )
    return checkpoint


def _to_try_again(run_dir: Path) -> Workload:
    """Return the rejects of each shard as one sub-shard, and those that crashed a worker by themselves.

    Rejects that no take was tried of, since they cannot be spoken, are left out.
    """
    sub_shards, suspects = [], []
    for manifest in finished_shards(run_dir):
        reasons = {reject["id"]: reject["reason"] for reject in manifest.rejects if reject["takes"]}
        if not reasons:
            continue
        planned = read_shard_plan(run_dir, manifest.index).utterances
        of = {position: reasons[one.id] for position, one in enumerate(planned) if one.id in reasons}
        killers = [position for position, reason in of.items() if reason.startswith(POISON)]
        others = tuple(position for position in of if position not in killers)
        if others:
            sub_shards.append(WorkItem(manifest.index, others, exclusive=True))
        suspects += [WorkItem(manifest.index, (position,), exclusive=True) for position in killers]
    return Workload((), tuple(sub_shards), tuple(suspects))
