"""Make the plan of a run and freeze the config, or reuse the plan if neither config nor input has changed."""

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

_MAX_FILES = 10_000  # per folder, the limit of the Hugging Face Hub


def make_plan(
    run_dir: Path, working: Config, config: Config, casting: Casting, model_source: tuple[Checkpoint, ModelLoader]
) -> PlanHead:
    """Make the plan and freeze the config while no other job is active. A plan that is still valid is reused.

    Args:
        run_dir: Directory of the run.
        working: Config with the devices of this command.
        config: Config to freeze.
        casting: Assigns voices to utterances.
        model_source: The checkpoint and the loader of its tokenizers.

    Raises:
        RunDirectoryError: The disk has too little space, or the directory was made with another config.
    """
    checkpoint, loader = model_source
    remove_leftovers(run_dir)
    digest = plan_digest(config, casting.catalogue.digest)
    frozen = replace(config, job_index=None, num_jobs=1)
    head = reusable_plan(run_dir, digest)
    if head is None:
        planner = Planner(config, casting, loader.tokenizers(checkpoint), model_limits(config, checkpoint))
        head = stage_plan(run_dir, config, planner, digest)
        if not any(finished_shards(run_dir)):  # check the disk before freezing, so that a smaller config stays possible
            try:
                check_disk_for(run_dir, working, head, checkpoint, range(head.num_shards))
            except RunDirectoryError:
                remove_folder(RunDirectory(run_dir).staged_plan)
                raise
        freeze_config(run_dir, frozen, input_digest(config))
        install_plan(run_dir, head)
        _report_left_out(planner)
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
        warn(
            [
                f"the run has {head.num_shards:,} shards, but the Hugging Face Hub allows {_MAX_FILES:,} files in a "
                f"folder; set planning.shard_size={size}"
            ]
        )


def _report_left_out(planner: Planner) -> None:
    """Print which source text is skipped, by chapter, with warnings about text that readers may miss."""
    left_out = planner.summary.left_out
    for line in (*left_out.lines(), *(f"WARNING: {warning}" for warning in left_out.warnings)):
        say(line)
