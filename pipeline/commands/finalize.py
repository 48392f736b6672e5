"""Write the deliverables, reports and checksums of a run whose shards are all finished.

All of them are rewritten on each call, from the files of the run.
"""

from __future__ import annotations

from dataclasses import replace

from pipeline.errors import NothingAcceptedError
from pipeline.execution.sub_shards import delete_sub_shards
from pipeline.generation.checkpointing import delete_checkpoints
from pipeline.outputs.dataset.card import clip_durations
from pipeline.outputs.dataset.deliverable import card_facts
from pipeline.outputs.dataset.shards import finished_shards, write_rejects
from pipeline.outputs.deliverable import FinishedRun, chosen_deliverables
from pipeline.planning.plan_store import delete_previous_runs
from pipeline.reporting.html_report import write_html_report
from pipeline.reporting.progress import say
from pipeline.reporting.report import RunStats, make_report, render_report, write_report
from pipeline.storage.atomic import remove_leftovers
from pipeline.storage.checksums import delete_checksums, write_checksums
from pipeline.storage.run_directory import RunDirectory


def finalize_run(run: FinishedRun, session: RunStats | None) -> None:
    """Write rejects, deliverables, reports and, last, the checksums of all files.

    Args:
        run: A run whose shards are all finished.
        session: Statistics of this command; None if it rendered nothing.

    Raises:
        NothingAcceptedError: No clip was accepted.
    """
    run_dir = run.directory
    delete_checksums(run_dir)
    delete_previous_runs(run_dir)
    delete_sub_shards(run_dir)
    delete_checkpoints(run_dir)
    remove_leftovers(run_dir)  # temporary files of killed workers
    write_rejects(run_dir)
    report = make_report(run_dir, run.model, run.head.num_utterances, session)
    write_report(run_dir, report)
    for name, deliverable in chosen_deliverables(run.config).items():
        figures = deliverable.make(run)
        if name == "audiobook":
            report = replace(report, book=figures or None)
        elif name in run.config.extra_deliverables:
            report = replace(report, deliverables={**report.deliverables, name: figures})
        write_report(run_dir, report)
    write_html_report(run_dir, report, card_facts(run), clip_durations(run_dir))
    write_checksums(run_dir, {f"data/{shard.file}": shard.sha256 for shard in finished_shards(run_dir) if shard.clips})
    say(render_report(report))
    if not report.num_clips:
        reasons = RunDirectory(run_dir).rejects
        raise NothingAcceptedError(f"{run_dir}: no clip was accepted; see {reasons} for the reasons")
