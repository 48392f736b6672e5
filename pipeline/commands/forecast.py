"""Output of a dry run as text and as JSON: the plan, and the disk space, time and cost that the run needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.commands.disk_space import DiskNeeds, Work, disk_problem, estimate_disk, free_bytes
from pipeline.config import Config
from pipeline.config.frozen import run_directory
from pipeline.errors import ConfigError, PipelineError, RunDirectoryError, printable
from pipeline.planning import PlanSummary, duration, render_plan, size
from pipeline.planning.plan_store import json_lines
from pipeline.reporting.speeds import Speed, find_speed
from pipeline.storage.atomic import write_text
from pipeline.storage.paths import file_sizes, is_local, reason_of, resolve_path
from pipeline.storage.run_directory import LEFT_OUT_NAME
from pipeline.text.readers.dispatch import STORY
from pipeline.text.readers.inputs import input_paths


@dataclass(frozen=True)
class Forecast:
    """Resources that a run needs, and the error that would stop it."""

    run_dir: Path
    disk: DiskNeeds
    disk_written_bytes: int  # size of the files that the run has written already
    disk_free_bytes: int | None  # None: not known
    disk_problem: str  # message; "": none
    speed: Speed | None  # None: not known
    render_seconds: float | None  # wall time, without loading the model and making the book
    cost: float | None  # in the currency of price_per_hour; None: not known
    refusal: str  # error that would stop the run before it renders; "": none is known
    exit_code: int  # of that error; 0: none


def make_forecast(
    config: Config, summary: PlanSummary, shard_seconds: Sequence[float], refusal: PipelineError | None = None
) -> Forecast:
    """Estimate what a run needs. For a run that was started already, time and cost are those of the whole run.

    Args:
        config: Config of the run.
        summary: Summary of its plan.
        shard_seconds: Predicted seconds of speech of each shard.
        refusal: Error that would stop the run, apart from too little disk space.
    """
    run_dir = run_directory(config)
    book_seconds = summary.seconds if config.task.name == "audiobook" else 0.0
    work = Work(shard_seconds, summary.utterances, book_seconds, summary.sampling_rate)
    executor = config.executor  # devices chosen automatically are not known without importing torch
    num_workers = len(executor.devices) if isinstance(executor.devices, list) else max(1, executor.workers)
    needs = estimate_disk(config, work, num_workers)
    # If the directory refuses the run, its files belong to something else.
    written_bytes = sum(file_sizes(run_dir).values()) if is_local(run_dir) and refusal is None else 0
    disk = disk_problem(config, run_dir, needs, written_bytes)
    if refusal is None and disk and config.check_disk:
        refusal = RunDirectoryError(disk)
    speed = find_speed(config)
    render_seconds = summary.seconds / speed.ratio if speed else None
    has_price = render_seconds is not None and config.price_per_hour is not None
    return Forecast(
        run_dir=run_dir,
        disk=needs,
        disk_written_bytes=written_bytes,
        disk_free_bytes=free_bytes(run_dir),
        disk_problem=disk,
        speed=speed,
        render_seconds=render_seconds,
        cost=(render_seconds or 0.0) / 3600 * (config.price_per_hour or 0.0) if has_price else None,
        refusal=str(refusal or ""),
        exit_code=refusal.exit_code if refusal else 0,
    )


def check_left_out(config: Config) -> None:
    """Check that the file that `left_out` names can be written without replacing the input.

    Raises:
        ConfigError: `left_out` names a folder or the input.
    """
    path = resolve_path(config.left_out or "")
    if path.is_dir():
        raise ConfigError(f"left_out={path}: this is a folder; name a file in it, e.g. left_out={path / LEFT_OUT_NAME}")
    is_file = config.source.format != "datasets" and config.input != STORY and path.exists()
    inputs = input_paths(config.input) if is_file else []
    if any(is_local(each) and each.exists() and each.samefile(path) for each in inputs):
        raise ConfigError(f"left_out={path}: this is the input file; name another file")


def write_left_out(name: str, records: Sequence[dict[str, Any]]) -> None:
    """Write the records of skipped source text as JSON Lines to the file `name`.

    Raises:
        ConfigError: The file cannot be written.
    """
    try:
        write_text(resolve_path(name), json_lines(records))
    except RunDirectoryError as error:  # its advice applies to a run directory, not to this file
        reason = reason_of(error.__cause__) if isinstance(error.__cause__, OSError) else str(error)
        raise ConfigError(f"left_out={name}: cannot be written ({reason}); name another file") from error


def render_dry_run(config: Config, summary: PlanSummary, forecast: Forecast) -> str:
    """Return the output of a dry run as text."""
    needs = [*_disk_lines(config, forecast), *_time_lines(config, forecast)]
    plan = render_plan(summary, config.task.name == "audiobook", needs, config.verbose)
    refused = "\n".join(map(printable, forecast.refusal.split("\n")))
    end = f"\n\nREFUSED: without dry_run=true, this command would end with an error: {refused}" if refused else ""
    return f"{printable(config.input)} -> {forecast.run_dir}\n\n{plan}{end}"


def _disk_lines(config: Config, forecast: Forecast) -> list[str]:
    needs, free = forecast.disk, forecast.disk_free_bytes
    written = (
        f", of which {size(forecast.disk_written_bytes)} are written already" if forecast.disk_written_bytes else ""
    )
    is_free = f"; {size(free)} are free" if free is not None else ""
    parts = [f"{size(needs.clips_bytes)} of clips ({config.dataset.format})"]
    if needs.m4b_bytes:
        parts += [f"{size(needs.chapters_bytes)} of chapters (flac)", f"{size(needs.m4b_bytes)} of m4b"]
    more = needs.peak_bytes - needs.total_bytes
    while_running = [f"{'':16}and {size(more)} of temporary files while it runs"] if more > 0 else []
    return [
        f"disk            about {size(needs.total_bytes)}{written}{is_free}",
        f"{'':16}{', '.join(parts)}, {size(needs.records_bytes)} of records",
        *while_running,
        *([f"WARNING: {forecast.disk_problem}"] if forecast.disk_problem not in ("", forecast.refusal) else []),
    ]


def _time_lines(config: Config, forecast: Forecast) -> list[str]:
    if forecast.speed is None or forecast.render_seconds is None:
        part = "source.chapters=1" if config.task.name == "audiobook" else "source.limit=100 of a table;"
        return [
            "time            not known, since output_dir has no finished run with these settings",
            f"{'':16}to measure it, render a part of the input ({part} name=part), or set",
            f"{'':16}speed=N, the number of seconds of audio rendered per second",
            *([f"cost{'':12}not known without the time"] if config.price_per_hour is not None else []),
        ]
    lines = [f"time            about {duration(forecast.render_seconds)} of rendering", f"{'':16}{forecast.speed}"]
    if forecast.cost is not None:
        lines.append(f"cost            about {forecast.cost:,.2f}, at price_per_hour={config.price_per_hour:g}")
    return lines


def dry_run_values(config: Config, summary: PlanSummary, forecast: Forecast) -> dict[str, Any]:
    """Return the output of a dry run as JSON values; `docs/dry_run.md` documents the keys."""
    speed, left_out = forecast.speed, summary.left_out
    return {
        "task": config.task.name,
        "input": config.input,
        "run": str(forecast.run_dir),
        "refusal": forecast.refusal,
        "model": config.model.name,
        "num_documents": summary.documents,
        "num_chapters": summary.chapters,
        "chapters": [
            {
                "title": each.title,
                "words": each.words,
                "utterances": each.utterances,
                "audio_seconds": round(each.seconds, 3),
            }
            for each in summary.titles.values()
        ],
        "words": summary.words,
        "utterances": summary.utterances,
        "utterances_speakable": summary.speakable,
        "rejected": dict(sorted(summary.problems.items())),
        "audio_seconds": round(summary.seconds + summary.pause_seconds, 3),
        "speech_seconds": round(summary.seconds, 3),
        "disk_bytes": forecast.disk.total_bytes,
        "disk_peak_bytes": forecast.disk.peak_bytes,
        "disk_written_bytes": forecast.disk_written_bytes,
        "disk_free_bytes": forecast.disk_free_bytes,
        "disk_problem": forecast.disk_problem,
        "disk": {
            "clips_bytes": forecast.disk.clips_bytes,
            "records_bytes": forecast.disk.records_bytes,
            "chapters_bytes": forecast.disk.chapters_bytes,
            "m4b_bytes": forecast.disk.m4b_bytes,
        },
        "speed": {"ratio": speed.ratio, "run": speed.run or None, "device": speed.device or None} if speed else None,
        "render_seconds": forecast.render_seconds,
        "price_per_hour": config.price_per_hour,
        "cost": forecast.cost,
        "left_out": dict(left_out.stretches.most_common()),
        "left_out_words": [
            {"chapter_number": number, "title": title, "words": dict(counts.most_common())}
            for (_, number), (title, counts) in left_out.chapters.items()
        ],
        "warnings": list(left_out.warnings),
        "plan": _plan_values(summary) if config.verbose else None,
    }


def _plan_values(summary: PlanSummary) -> dict[str, Any]:
    return {
        "shards": summary.shards,
        "padding_of_steps": summary.step_waste,
        "padding_of_prompts": summary.prompt_waste,
        "buckets": [{**asdict(bucket), **vars(count)} for bucket, count in sorted(summary.buckets.items())],
    }
