"""The plan of a run: made once, frozen together with the config, and kept as long as nothing has changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.commands.disk_space import check_disk_for
from pipeline.commands.model_loader import ModelLoader
from pipeline.commands.prepare import model_limits
from pipeline.config import Config
from pipeline.config.frozen import freeze_config
from pipeline.errors import RunDirectoryError
from pipeline.outputs.dataset.shards import finished_shards
from pipeline.planning.plan_store import PlanHead, install_plan, stage_plan
from pipeline.planning.planner import Planner
from pipeline.planning.staleness import input_digest, plan_digest, reusable_plan
from pipeline.reporting.progress import clock, count, say, warn
from pipeline.storage.atomic import remove_leftovers
from pipeline.storage.paths import remove_folder
from pipeline.storage.run_directory import RunDirectory
from pipeline.synthesis.checkpoint import Checkpoint
from pipeline.voices import Casting

_MAX_FILES = 10_000  # in a folder, which is what the hub takes


def make_plan(
    run_dir: Path, working: Config, config: Config, casting: Casting, model_source: tuple[Checkpoint, ModelLoader]
) -> PlanHead:
    """Make the plan and freeze the config, while no other job is at work. A plan that is still valid is kept.

    Args:
        run_dir: Directory of the run.
        working: The config with the devices of this command.
        config: The config as it is frozen.
        casting: Who speaks what.
        model_source: The checkpoint, and the loader of its tokenizers.
    """
    checkpoint, loader = model_source
    remove_leftovers(run_dir)
    mark = plan_digest(config, casting.catalogue.digest)
    frozen = replace(config, job_index=None, num_jobs=1)
    head = reusable_plan(run_dir, mark)
    if head is None:
        planner = Planner(config, casting, loader.tokenizers(checkpoint), model_limits(config, checkpoint))
        head = stage_plan(run_dir, config, planner, mark)
        if not any(finished_shards(run_dir)):  # before a config is frozen that asks for too much of the disk
            try:
                check_disk_for(run_dir, working, head, checkpoint, range(head.num_shards))
            except RunDirectoryError:
                remove_folder(RunDirectory(run_dir).staged_plan)
                raise
        freeze_config(run_dir, frozen, input_digest(config))
        install_plan(run_dir, head)
        _tell_left_out(planner)
    else:
        freeze_config(run_dir, frozen, input_digest(config))
    _announce(head, casting)
    return head


def _announce(head: PlanHead, casting: Casting) -> None:
    shapes = ", ".join(
        f"{bucket.prompt_tokens}/{bucket.description_tokens}/{bucket.max_frames}x{bucket.batch_size}"
        for bucket in head.buckets
    )
    say(
        f"plan: {count(head.num_utterances, 'utterance')}, {clock(head.predicted_seconds)} of speech predicted, "
        f"{count(head.num_shards, 'shard')}; shapes (prompt/description tokens/frames x rows): {shapes}"
    )
    warn(casting.row_warnings())
    if head.num_shards > _MAX_FILES:
        size = -(-head.num_utterances // _MAX_FILES)
        warn([f"{head.num_shards:,} files in a folder are more than the hub takes; give planning.shard_size={size}"])


def _tell_left_out(planner: Planner) -> None:
    """Say what of the source is not spoken, by chapter, and warn where it may be missed."""
    left_out = planner.summary.left_out
    for line in (*left_out.lines(), *(f"WARNING: {warning}" for warning in left_out.warnings)):
        say(line)
