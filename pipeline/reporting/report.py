"""What a run says of itself at the end: `report.json`, and the same for a person.

Owns the figures and their words. Everything about clips comes from the manifests, so that a resumed run reports the
whole; speed is of this call of the command only.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline.outputs.dataset.shards import finished_shards
from pipeline.quality.flaws import reason_codes
from pipeline.reporting.progress import clock, count
from pipeline.storage.atomic import write_text
from pipeline.types import ModelInfo

REPORT_NAME = "report.json"
HTML_REPORT_NAME = "report.html"  # the same to look at and listen to


@dataclass(frozen=True)
class RunStats:
    """One call of the command."""

    wall_seconds: float  # of rendering, warm-up included, loading not
    audio_seconds: float  # accepted
    computed_seconds: float  # what the decoder computed: padding, waiting rows and refused takes included
    num_retakes: int
    num_reused: int  # clips that were made before
    num_restarts: int = 0  # of workers that died
    given_up: Sequence[str] = ()  # workers that died too often


@dataclass(frozen=True)
class Report:
    """A finished run."""

    directory: str
    model: ModelInfo
    num_utterances: int
    num_clips: int
    num_rejects: int
    rejects_by_reason: dict[str, int]
    audio_seconds: float
    work_seconds: float  # of all shards, over all calls of the command
    num_bytes: int
    num_files: int  # of the dataset: a shard without clips has none
    session: RunStats | None  # the last call that rendered anything
    book: Mapping[str, Any] | None = None
    deliverables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # figures of the extra ones, by name
    versions: dict[str, str] = field(default_factory=dict)  # of what decides the bits of a clip beside the weights


def make_report(run_dir: Path, model: ModelInfo, num_utterances: int, session: RunStats | None) -> Report:
    """Sums the manifests up. Without a session the one of the last report is kept."""
    reasons: Counter[str] = Counter()
    num_clips = num_rejects = num_bytes = num_files = 0
    audio_seconds = work_seconds = 0.0
    for manifest in finished_shards(run_dir):
        reasons.update(code for reject in manifest.rejects for code in reason_codes(reject["reason"]))
        num_clips += len(manifest.clips)
        num_rejects += len(manifest.rejects)
        num_bytes += manifest.num_bytes
        num_files += bool(manifest.file)
        audio_seconds += manifest.audio_seconds
        work_seconds += manifest.work_seconds
    return Report(
        directory=str(run_dir),
        model=model,
        num_utterances=num_utterances,
        num_clips=num_clips,
        num_rejects=num_rejects,
        rejects_by_reason=dict(reasons.most_common()),
        audio_seconds=audio_seconds,
        work_seconds=work_seconds,
        num_bytes=num_bytes,
        num_files=num_files,
        session=session or _last_session(run_dir),
        versions=versions(),
    )


def versions() -> dict[str, str]:
    """Return the versions of the libraries on which the bits of a clip depend. Imports none of them."""
    found = {}
    for name in ("torch", "transformers", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _last_session(run_dir: Path) -> RunStats | None:
    try:
        return RunStats(**json.loads((run_dir / REPORT_NAME).read_text(encoding="utf-8"))["session"])
    except (OSError, ValueError, TypeError, KeyError):
        return None  # a report is made of what is there; an old one that cannot be read says nothing


def write_report(run_dir: Path, report: Report) -> None:
    """Writes `report.json`."""
    write_text(run_dir / REPORT_NAME, json.dumps(asdict(report), indent=1, ensure_ascii=False) + "\n")


def render_report(report: Report) -> str:
    """The report for a person, in a few lines."""
    session = report.session
    lines = [
        "",
        f"clips       {report.num_clips:,} of {report.num_utterances:,}, {clock(report.audio_seconds)} of audio",
    ]
    if report.num_rejects:
        reasons = ", ".join(f"{count} {code}" for code, count in report.rejects_by_reason.items())
        lines.append(f"rejected    {report.num_rejects:,} ({reasons}); see rejects.jsonl")
    if session and session.audio_seconds and session.computed_seconds:  # else all clips were reused
        effective = session.audio_seconds / session.wall_seconds
        total = session.computed_seconds / session.wall_seconds
        lines.append(
            f"speed       {effective:.2f}x real time ({total:.2f}x with padding and retakes), "
            f"{clock(session.wall_seconds)} of rendering, {count(session.num_retakes, 'retake')}, "
            f"on {report.model.device}"
        )
    if session and (session.num_restarts or session.given_up):
        lost = f"; given up: {', '.join(session.given_up)}" if session.given_up else ""
        lines.append(f"workers     {count(session.num_restarts, 'restart')} of workers that died{lost}")
    if session and session.num_reused:
        lines.append(f"reused      {count(session.num_reused, 'clip')} made before")
    directory = report.directory  # a path, or an address, of which a path would lose a slash
    lines.append(f"dataset     {directory}/data ({count(report.num_files, 'file')}), {directory}/README.md")
    if report.book:
        chapters = count(report.book["chapters"], "chapter")
        lines.append(f"book        {report.book['m4b']} ({clock(report.book['seconds'])}, {chapters})")
    lines.append(f"report      {directory}/{HTML_REPORT_NAME}")
    return "\n".join(lines)
