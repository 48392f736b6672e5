"""The report at the end of a run: `report.json`, and its text in the terminal.

The counts are sums over all manifests, so they cover the whole run even after it was resumed. The speed is that of the
last command that rendered shards.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline.outputs.dataset.shards import Manifest, finished_shards
from pipeline.quality.flaws import reason_codes
from pipeline.reporting.progress import clock, count
from pipeline.storage.atomic import write_text
from pipeline.storage.paths import open_for_arrow
from pipeline.storage.run_directory import HTML_REPORT_NAME, RunDirectory
from pipeline.types import ModelInfo

_VERDICT = "transcript_verdict"  # column of the check of words


@dataclass(frozen=True)
class RunStats:
    """Statistics of one command."""

    wall_seconds: float  # since the first worker was ready; loading the model is not included
    audio_seconds: float  # duration of the accepted clips
    computed_seconds: float  # audio that the decoders computed, including padding, empty rows and refused takes
    num_retakes: int
    num_reused: int  # clips reused from earlier work
    num_restarts: int = 0  # restarts of workers
    given_up: Sequence[str] = ()  # names of the workers that are not restarted again

    @property
    def speed(self) -> float | None:
        """Seconds of accepted audio per second; None if none was generated, e.g. because all clips were reused."""
        return self.audio_seconds / self.wall_seconds if self.audio_seconds and self.wall_seconds else None


@dataclass(frozen=True)
class Report:
    """Report of a finished run; `report.json` has the same keys."""

    directory: str
    model: ModelInfo
    num_utterances: int
    num_clips: int
    num_rejects: int
    rejects_by_reason: dict[str, int]
    audio_seconds: float
    work_seconds: float  # sum over all workers and commands
    num_bytes: int
    num_files: int  # Parquet files; a shard without clips has none
    session: RunStats | None  # of the last command that rendered shards
    book: Mapping[str, Any] | None = None
    deliverables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # of the extra deliverables, by name
    words: dict[str, int] = field(default_factory=dict)  # clips by `transcript_verdict`; empty without this check
    versions: dict[str, str] = field(default_factory=dict)  # versions of the libraries that affect the bits of a clip


def make_report(run_dir: Path, model: ModelInfo, num_utterances: int, session: RunStats | None) -> Report:
    """Make the report of a run from its manifests.

    Args:
        run_dir: Directory of the run.
        model: Model that generated the clips.
        num_utterances: Number of planned utterances.
        session: Statistics of this command; None: keep those in the existing report.
    """
    reasons: Counter[str] = Counter()
    words: Counter[str] = Counter()
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
        words.update(_verdicts(run_dir, manifest))
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
        words=dict(words),
        versions=versions(),
    )


def _verdicts(run_dir: Path, manifest: Manifest) -> Iterator[str]:
    """Yield the verdict on the words of each clip that has one."""
    if not manifest.clips:
        return
    with open_for_arrow(RunDirectory(run_dir).data / manifest.file) as source, pq.ParquetFile(source) as file:
        if _VERDICT in file.schema_arrow.names:
            yield from filter(None, file.read(columns=[_VERDICT]).column(_VERDICT).to_pylist())


def versions() -> dict[str, str]:
    """Return the versions of the libraries that affect the bits of a clip, without importing them."""
    found = {}
    for name in ("torch", "transformers", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _last_session(run_dir: Path) -> RunStats | None:
    try:
        return RunStats(**json.loads(RunDirectory(run_dir).report.read_text(encoding="utf-8"))["session"])
    except (OSError, ValueError, TypeError, KeyError):
        return None  # missing, damaged or of another version


def write_report(run_dir: Path, report: Report) -> None:
    """Write `report.json`."""
    write_text(RunDirectory(run_dir).report, json.dumps(asdict(report), indent=1, ensure_ascii=False) + "\n")


def render_report(report: Report) -> str:
    """Return the report as text for the terminal."""
    session = report.session
    lines = [
        "",
        f"clips       {report.num_clips:,} of {report.num_utterances:,}, {clock(report.audio_seconds)} of audio",
    ]
    if report.num_rejects:
        reasons = ", ".join(f"{count} {code}" for code, count in report.rejects_by_reason.items())
        lines.append(f"rejected    {report.num_rejects:,} ({reasons}); see rejects.jsonl")
    if report.words:
        passed, unsure, wrong = (report.words.get(verdict, 0) for verdict in ("pass", "unsure", "retake"))
        lines.append(f"words       {count(passed, 'clip')} as written, {unsure:,} unsure, {wrong:,} with other words")
    if session and session.speed:
        computed = session.computed_seconds / session.wall_seconds
        lines.append(
            f"speed       {session.speed:.2f}x real time ({computed:.2f}x with padding and retakes), "
            f"{clock(session.wall_seconds)} of generation, {count(session.num_retakes, 'retake')}, "
            f"on {report.model.device}"
        )
    if session and (session.num_restarts or session.given_up):
        retired = f"; not restarted again: {', '.join(session.given_up)}" if session.given_up else ""
        lines.append(f"workers     {count(session.num_restarts, 'restart')} after a crash{retired}")
    if session and session.num_reused:
        lines.append(f"reused      {count(session.num_reused, 'clip')} reused from earlier work")
    directory = report.directory  # a Path would change s3:// to s3:/
    lines.append(f"dataset     {directory}/data ({count(report.num_files, 'file')}), {directory}/README.md")
    if report.book:
        chapters = count(report.book["chapters"], "chapter")
        lines.append(f"book        {report.book['m4b']} ({clock(report.book['seconds'])}, {chapters})")
    lines.append(f"report      {directory}/{HTML_REPORT_NAME}")
    return "\n".join(lines)
