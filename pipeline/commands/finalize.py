"""The end of a run: everything that is made of finished shards. Made anew each time, from what lies on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline import __version__
from pipeline.config import Config
from pipeline.errors import NothingAcceptedError
from pipeline.execution.sub_shards import delete_sub_shards
from pipeline.generation.checkpointing import delete_checkpoints
from pipeline.outputs.dataset.card import CardFacts, write_card
from pipeline.outputs.dataset.shards import finished_shards, write_rejects
from pipeline.planning.plan_store import PlanHead, delete_previous_runs
from pipeline.quality.check import check_columns
from pipeline.reporting.html_report import write_html_report
from pipeline.reporting.progress import say
from pipeline.reporting.report import RunStats, make_report, render_report, write_report
from pipeline.storage.atomic import remove_leftovers
from pipeline.storage.checksums import delete_checksums, write_checksums
from pipeline.types import ModelInfo


def finish(
    run_dir: Path, config: Config, head: PlanHead, model: ModelInfo, session: RunStats | None, narrator: str
) -> None:
    """Makes rejects, card, book, report and, last, the list of all files.

    Raises:
        NothingAcceptedError: There is not a single clip.
    """
    delete_checksums(run_dir)
    delete_previous_runs(run_dir)
    delete_sub_shards(run_dir)
    delete_checkpoints(run_dir)
    remove_leftovers(run_dir)  # of workers that were killed while they wrote
    write_rejects(run_dir)
    facts = _card_facts(run_dir, config, head, model)
    statistics = write_card(run_dir, facts)
    report = make_report(run_dir, model, head.num_utterances, session)
    write_report(run_dir, report)
    if config.task.name == "audiobook" and report.num_clips:
        from pipeline.outputs.audiobook.from_run import make_run_book  # takes a second to import, because of scipy

        report = replace(report, book=make_run_book(run_dir, config, head, narrator, say))
        write_report(run_dir, report)
    write_html_report(run_dir, report, facts, statistics.durations)
    write_checksums(run_dir, {f"data/{shard.file}": shard.sha256 for shard in finished_shards(run_dir) if shard.clips})
    say(render_report(report))
    if not report.num_clips:
        raise NothingAcceptedError(f"{run_dir}: no clip was accepted; {run_dir / 'rejects.jsonl'} has the reasons")


def _card_facts(run_dir: Path, config: Config, head: PlanHead, model: ModelInfo) -> CardFacts:
    by = f", by {head.author}" if head.author else ""
    return CardFacts(
        title=config.dataset.name or run_dir.name,
        source=f"{head.title}{by}" if config.task.name == "audiobook" else Path(config.input).name,
        model=model,
        audio_format=config.dataset.format,
        license=config.dataset.license,
        seed=config.seed,
        settings={"sampling": vars(config.engine.sampling), "checks": vars(config.checks)},
        version=__version__,
        is_noise=config.model.name == "untrained",
        kept_columns=head.kept_columns,
        check_meanings={name: column.meaning for name, column in check_columns(config.checks).items()},
    )
