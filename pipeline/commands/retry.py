"""`task=retry_rejects`: retry the rejects of a finished run with new takes.

This module selects the rejects to retry. The rejects of a shard form one sub-shard; utterances that crashed a worker
run alone, and never in this process. Only shards with rejects are rewritten; other data files stay unchanged.
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
from pipeline.quality.check import refuse_checks
from pipeline.reporting.progress import count, say
from pipeline.storage.atomic import remove_leftovers
from pipeline.storage.locks import write_lock
from pipeline.storage.paths import resolve_path
from pipeline.storage.run_directory import RunDirectory
from pipeline.synthesis.checkpoint import Checkpoint, find_checkpoint
from pipeline.voices import find_catalogue, speaker_names


def retry_rejects(asked: Config, loader: ModelLoader) -> int:
    """Retry the rejects of the run that `asked.run` names and return the exit code.

    The frozen config of the run is used, with the device, slots and executor of this command, which do not affect the
    clips.

    Raises:
        PipelineError: The run does not exist, is not finished, or is in use by another process.
    """
    run_dir = resolve_path(asked.run or "")
    if not run_dir.is_dir():
        raise RunDirectoryError(f"run={run_dir}: this folder does not exist; give the folder of a run")
    frozen_config(run_dir)  # raises an error before a lock is created in a folder that is not a run
    with write_lock(run_dir):
        frozen = frozen_config(run_dir)
        engine = replace(frozen.engine, device=asked.engine.device, slots=asked.engine.slots)
        refuse_checks(frozen)
        config = check_executor(replace(frozen, engine=engine, executor=asked.executor))
        head = read_head(run_dir)
        remove_leftovers(run_dir)
        num_finished = sum(1 for _ in finished_shards(run_dir))
        if num_finished < head.num_shards:
            raise RunDirectoryError(
                f"run={run_dir}: only {num_finished} of {head.num_shards} shards are finished; rerun the command of "
                "the run first"
            )
        workload = _retry_workload(run_dir)
        items = [*workload.sub_shards, *workload.suspects]
        narrator = ", ".join(speaker_names(frozen.voice, find_catalogue(frozen.model)))
        if not items:
            say(f"{run_dir}: no rejects to retry")
            if not RunDirectory(run_dir).checksums.exists():  # an earlier retry was killed before it finalized the run
                described = loader.describe(same_checkpoint(run_dir, config), config.engine)
                finalize_run(FinishedRun(run_dir, frozen, head, described, narrator, say), None)
            return 0
        num_rejects = sum(len(item.positions or ()) for item in items)
        shards = {item.shard for item in items}
        say(f"{run_dir}: {count(num_rejects, 'reject')} of {count(len(shards), 'shard')} to retry")
        context = RunContext(run_dir, config, head, same_checkpoint(run_dir, config), head.buckets, loader.build)
        session, model = execute(context, workload, head.num_utterances - num_rejects)
        assert model is not None  # `execute` returns a model if the workload is not empty
        finalize_run(FinishedRun(run_dir, frozen, head, model, narrator, say), session)
    return 0


def same_checkpoint(run_dir: Path, config: Config) -> Checkpoint:
    """Return the checkpoint that the run was made with.

    Raises:
        RunDirectoryError: The available revision of the model or of its tokenizer is a different one.
    """
    checkpoint, revision = find_checkpoint(config.model), config.model.revision
    tokenizer, now = config.model.description_tokenizer_revision, checkpoint.description_tokenizer_revision
    # Older runs did not record a revision of the tokenizer, and some models have no tokenizer for descriptions.
    is_same_tokenizer = tokenizer in (None, now)
    if checkpoint.revision != revision or not is_same_tokenizer:
        descriptions = (f" and {tokenizer} of its tokenizer", f" and {now}") if tokenizer else ("", "")
        raise RunDirectoryError(
            f"run={run_dir}: made with revision {revision}{descriptions[0]} of model {checkpoint.model_id}, but the "
            f"available revision is {checkpoint.revision}{descriptions[1]}; restore the old weights, or start a new "
            "run with name=..."
        )
    return checkpoint


def _retry_workload(run_dir: Path) -> Workload:
    """Return the rejects of each shard as one sub-shard, and each utterance that crashed a worker as a suspect.

    Rejects without a take, which cannot be spoken, are not retried.
    """
    sub_shards, suspects = [], []
    for manifest in finished_shards(run_dir):
        reasons = {reject["id"]: reject["reason"] for reject in manifest.rejects if reject["takes"]}
        if not reasons:
            continue
        planned = read_shard_plan(run_dir, manifest.index).utterances
        by_position = {position: reasons[one.id] for position, one in enumerate(planned) if one.id in reasons}
        crashers = [position for position, reason in by_position.items() if reason.startswith(POISON)]
        others = tuple(position for position in by_position if position not in crashers)
        if others:
            sub_shards.append(WorkItem(manifest.index, others, exclusive=True))
        suspects += [WorkItem(manifest.index, (position,), exclusive=True) for position in crashers]
    return Workload((), tuple(sub_shards), tuple(suspects))
