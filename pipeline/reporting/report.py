"""The report at the end of a run: `report.json`, and its text in the terminal.

All figures of clips are sums over the manifests, so that the report of a resumed run is about the whole run. The speed
is that of the last call of the command.
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
from pipeline.storage.run_directory import HTML_REPORT_NAME, RunDirectory
from pipeline.types import ModelInfo


@dataclass(frozen=True)
class RunStats:
    """The figures of one call of the command."""

    wall_seconds: float  # since the first worker was ready, so that loading the model is not included
    audio_seconds: float  # of the clips that were generated and accepted
    computed_seconds: float  # audio that the decoders computed, with padding, empty rows and refused takes
    num_retakes: int
    num_reused: int  # clips that were taken over from earlier work
    num_restarts: int = 0  # of workers that died
    given_up: Sequence[str] = ()  # names of the workers that are not restarted any more

    @property
    def speed(self) -> float | None:
        """Seconds of generated audio per second; None: nothing was generated, e.g. since all clips were reused."""
        return self.audio_seconds / self.wall_seconds if self.audio_seconds and self.wall_seconds else None


@dataclass(frozen=True)
class Report:
    """A finished run; `report.json` has the same keys."""

    directory: str
    model: ModelInfo
    num_utterances: int
    num_clips: int
    num_rejects: int
    rejects_by_reason: dict[str, int]
    audio_seconds: float
    work_seconds: float  # of all workers, over all calls of the command
    num_bytes: int
    num_files: int  # of the dataset; a shard without clips has no file
    session: RunStats | None  # of the last call that had shards to write
    book: Mapping[str, Any] | None = None
    deliverables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # figures of the extra ones, by name
    versions: dict[str, str] = field(default_factory=dict)  # of the libraries on which the bits of a clip depend


def make_report(run_dir: Path, model: ModelInfo, num_utterances: int, session: RunStats | None) -> Report:
    """Sum up the manifests of a run.

    Args:
        run_dir: Directory of the run.
        model: That generated the clips.
        num_utterances: As planned.
        session: Figures of this call; None: keep those of the last report.
    """
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
        return RunStats(**json.loads(RunDirectory(run_dir).report.read_text(encoding="utf-8"))["session"])
    except (OSError, ValueError, TypeError, KeyError):
        return None  # there is none, or it is damaged or of another version


def write_report(run_dir: Path, report: Report) -> None:
    """Write `report.json`."""
    write_text(RunDirectory(run_dir).report, json.dumps(asdict(report), indent=1, ensure_ascii=False) + "\n")


def render_report(report: Report) -> str:
    """Return the report as a few lines of text."""
    session = report.session
    lines = [
        "",
        f"clips       {report.num_clips:,} of {report.num_utterances:,}, {clock(report.audio_seconds)} of audio",
    ]
    if report.num_rejects:
        reasons = ", ".join(f"{count} {code}" for code, count in report.rejects_by_reason.items())
        lines.append(f"rejected    {report.num_rejects:,} ({reasons}); see rejects.jsonl")
    if session and session.speed:
        computed = session.computed_seconds / session.wall_seconds
        lines.append(
            f"speed       {session.speed:.2f}x real time ({computed:.2f}x with padding and retakes), "
            f"{clock(session.wall_seconds)} of generation, {count(session.num_retakes, 'retake')}, "
            f"on {report.model.device}"
        )
    if session and (session.num_restarts or session.given_up):
        retired = f"; not restarted any more: {', '.join(session.given_up)}" if session.given_up else ""
        lines.append(f"workers     {count(session.num_restarts, 'restart')} after a crash{retired}")
    if session and session.num_reused:
        lines.append(f"reused      {count(session.num_reused, 'clip')} of earlier work, not generated again")
    directory = report.directory  # not as a Path, which would remove a slash of s3://
    lines.append(f"dataset     {directory}/data ({count(report.num_files, 'file')}), {directory}/README.md")
    if report.book:
        chapters = count(report.book["chapters"], "chapter")
        lines.append(f"book        {report.book['m4b']} ({clock(report.book['seconds'])}, {chapters})")
    lines.append(f"report      {directory}/{HTML_REPORT_NAME}")
    return "\n".join(lines)
