"""`report.html`: a finished run on one page, with charts and clips to listen to.

The template is `html_report.html`; `svg_charts` makes the charts. The page uses no network and no scripts. Its audio is
embedded, up to `_MAX_AUDIO_BYTES`. All text is escaped, because it comes from untrusted input.
"""

from __future__ import annotations

import base64
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.audio.encoding import encode
from pipeline.outputs.dataset.card import NOT_NAMED, CardFacts
from pipeline.outputs.dataset.shards import finished_shards, list_manifests, read_manifest, read_shard
from pipeline.quality.flaws import reason_codes
from pipeline.reporting.journal import WorkerHistory, read_journals
from pipeline.reporting.progress import clock, count
from pipeline.reporting.report import Report
from pipeline.reporting.svg_charts import Series, histogram, line_chart, waveform
from pipeline.storage.atomic import write_text
from pipeline.storage.run_directory import RunDirectory

_MAX_VOICES = 12
_CLIPS_PER_VOICE = 3
_MAX_SHARDS = 12  # shards to search for clips
_MAX_AUDIO_BYTES = 3 * 2**20  # total of the MP3 data
_MAX_CLIP_SECONDS = 20.0
_MAX_EXAMPLES = 12  # for each reject reason
_MAX_FAILURES = 30
_MAX_TEXT = 400  # characters
_MAX_POINTS = 120  # for each line of a chart
_MAX_LINES = 16


@dataclass(frozen=True)
class ClipPreview:
    """A clip with a player on the page."""

    id: str
    text: str
    seconds: float
    wave: Markup
    mp3: str  # encoded in base64


def write_html_report(run_dir: Path, report: Report, facts: CardFacts, durations: npt.NDArray[np.float64]) -> None:
    """Write `report.html`.

    Args:
        run_dir: Directory of a finished run, with journals, manifests and perhaps a book.
        report: Content of `report.json`.
        facts: Content of the dataset card.
        durations: [number of clips], in seconds.
    """
    write_text(RunDirectory(run_dir).html_report, _render(run_dir, report, facts, durations))


def _render(run_dir: Path, report: Report, facts: CardFacts, durations: npt.NDArray[np.float64]) -> str:
    """Return the page."""
    history = read_journals(run_dir)
    environment = Environment(
        loader=PackageLoader("pipeline.reporting", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    workers = [worker for worker in history.workers if any(session.device for session in worker.sessions)]
    lines = _speed_lines(workers)
    chapters = _chapters(run_dir) if report.book else []
    return environment.get_template("html_report.html").render(
        title=facts.title,
        subtitle=f"{facts.source}, spoken by {facts.model.model_id or 'an untrained model'}",
        is_noise=facts.is_noise,
        tiles=_tiles(report),
        voices=_voices(run_dir),
        chapters=chapters,
        book_line=_book_line(report.book),
        speed=line_chart(lines, "times real time", clock) if lines else None,
        legend=[line.name for line in lines],
        workers=[_worker_row(worker) for worker in workers],
        useful=_useful_share(workers),
        durations=histogram(durations, "seconds", "clips") if len(durations) else None,
        durations_line=_durations_line(durations),
        rejects=_rejects(run_dir),
        failures=[
            {"when": f"{datetime.fromtimestamp(failure.time):%d %b %H:%M:%S}", **vars(failure)}
            for failure in history.failures[-_MAX_FAILURES:]
        ],
        facts=_facts(report, facts),
        config=_config_text(RunDirectory(run_dir).config),
        footer=f"parler-pipeline {facts.version}. The speech is synthetic: no person spoke these words.",
    )


def _tiles(report: Report) -> list[tuple[str, str]]:
    tiles = [
        (clock(report.audio_seconds), "of audio"),
        (f"{report.num_clips:,}", f"clips of {report.num_utterances:,}"),
        (f"{report.num_rejects:,}", "rejected"),
        (f"{report.num_bytes / 1e6:,.1f} MB", count(report.num_files, "file")),
        (clock(report.work_seconds), "of work by all workers"),
    ]
    session = report.session
    if session and session.speed:
        tiles.append((f"{session.speed:.2f}x", "real time, last command"))
    if session and session.num_reused:
        tiles.append((f"{session.num_reused:,}", "clips reused, last command"))
    return tiles


def _voices(run_dir: Path) -> dict[str, list[ClipPreview]]:
    """Return a few clips of each voice, from shards spread over the run."""
    shards = list_manifests(run_dir)
    chosen = sorted({len(shards) * number // _MAX_SHARDS for number in range(_MAX_SHARDS)}) if shards else []
    max_per_shard = math.ceil(_CLIPS_PER_VOICE / max(1, len(chosen)))  # of one voice
    voices: dict[str, list[ClipPreview]] = {}
    num_bytes = 0
    for manifest in (read_manifest(shards[number]) for number in chosen):
        here: Counter[str] = Counter()
        for row in read_shard(run_dir, manifest, ["id", "audio", "text", "speaker_id", "duration"]):
            voice = row.columns["speaker_id"] or NOT_NAMED
            is_known = voice in voices or len(voices) < _MAX_VOICES
            is_wanted = here[voice] < max_per_shard and len(voices.get(voice, ())) < _CLIPS_PER_VOICE
            if not (is_known and is_wanted) or row.columns["duration"] > _MAX_CLIP_SECONDS:
                continue
            samples, sampling_rate = row.decode()
            mp3 = encode(samples, sampling_rate, "mp3")
            num_bytes += len(mp3)
            if num_bytes > _MAX_AUDIO_BYTES:
                return voices
            here[voice] += 1
            text, encoded = _shorten(row.columns["text"]), base64.b64encode(mp3).decode("ascii")
            sample = ClipPreview(row.id, text, row.columns["duration"], waveform(samples), encoded)
            voices.setdefault(voice, []).append(sample)
    return voices


def _chapters(run_dir: Path) -> list[dict[str, Any]]:
    chapters = json.loads(RunDirectory(run_dir).book_index.read_text(encoding="utf-8"))["chapters"]
    return [
        {
            "number": chapter["number"],
            "title": chapter["title"] or "(no title)",
            "start": clock(chapter["start"]),
            "length": clock(chapter["end"] - chapter["start"]),
            "loudness": _loudness(chapter["measures"].get("loudness_lufs")),
        }
        for chapter in chapters
    ]


def _loudness(lufs: float | None) -> str:
    return "-" if lufs is None else f"{lufs:.1f} LUFS"


def _book_line(book: Mapping[str, Any] | None) -> str:
    return f"{Path(book['m4b']).name}, {clock(book['seconds'])}" if book else ""


def _speed_lines(workers: Sequence[WorkerHistory]) -> list[Series]:
    """Return the speed of each worker over the time since the first one started, with one segment per session."""
    first = min((session.started for worker in workers for session in worker.sessions), default=0.0)
    lines = []
    for worker in [each for each in workers if _audio_seconds(each)][:_MAX_LINES]:
        segments = []
        for session in worker.sessions:
            # Limit the number of points, so that the line is smooth.
            points = session.points[:: max(1, len(session.points) // _MAX_POINTS)]
            totals = [(0.0, 0.0), *((point.elapsed, point.counts.audio_seconds) for point in points)]
            offset = max(0.0, session.started - first)
            segment = [
                (offset + later, max(0.0, audio - before) / (later - earlier))
                for (earlier, before), (later, audio) in pairwise(totals)
                if later - earlier >= 0.5  # shorter intervals give no usable speed
            ]
            segments.append(((offset, segment[0][1]), *segment) if segment else ())
        lines.append(Series(worker.worker, tuple(segment for segment in segments if segment)))
    return [line for line in lines if line.segments]


def _audio_seconds(worker: WorkerHistory) -> float:
    return sum(session.counts.audio_seconds for session in worker.sessions)


def _worker_row(worker: WorkerHistory) -> dict[str, str]:
    counts = [session.counts for session in worker.sessions]
    audio = _audio_seconds(worker)
    computed = sum(each.computed_seconds for each in counts)
    elapsed = sum(session.elapsed for session in worker.sessions)
    return {
        "label": worker.worker,
        "device": worker.sessions[-1].device,
        "clips": f"{sum(each.clips for each in counts):,}",
        "audio": clock(audio),
        "speed": f"{audio / elapsed:.2f}x" if audio and elapsed else "-",  # "-" if all clips were reused
        "useful": f"{audio / computed:.0%}" if computed else "-",
        "refused": f"{sum(each.refused for each in counts):,}",
        "starts": str(len(worker.sessions)),
    }


def _useful_share(workers: Iterable[WorkerHistory]) -> float | None:
    """Return the share of accepted audio in all computed audio; None if no audio was computed."""
    counts = [session.counts for worker in workers for session in worker.sessions]
    computed = sum(each.computed_seconds for each in counts)
    return min(1.0, sum(each.audio_seconds for each in counts) / computed) if computed else None


def _durations_line(durations: npt.NDArray[np.float64]) -> str:
    if not len(durations):
        return ""
    low, middle, high = np.percentile(durations, [5, 50, 95])
    return f"The median is {middle:.1f} s; 90 % of the clips are between {low:.1f} s and {high:.1f} s long."


def _rejects(run_dir: Path) -> list[dict[str, Any]]:
    """Return the rejects by reason, most frequent first, with examples. A reject with two reasons is listed twice."""
    numbers: Counter[str] = Counter()
    examples: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for manifest in finished_shards(run_dir):
        for reject in manifest.rejects:
            for code in dict.fromkeys(reason_codes(reject["reason"])):
                numbers[code] += 1
                if len(examples[code]) < _MAX_EXAMPLES:
                    examples[code].append({**reject, "text": _shorten(reject["text"])})
    return [
        {"code": code, "number": f"{number:,}", "examples": examples[code], "more": number - len(examples[code])}
        for code, number in numbers.most_common()
    ]


def _config_text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _facts(report: Report, facts: CardFacts) -> list[tuple[str, str]]:
    model = facts.model
    groups = (
        (name, ", ".join(f"{key}={value}" for key, value in group.items())) for name, group in facts.settings.items()
    )
    return [
        ("Text", facts.source),
        ("Model", model.model_id),
        ("Revision", model.revision),
        ("Precision", f"{model.dtype} on {model.device}"),
        ("Seed", str(facts.seed)),
        ("Audio", facts.audio_format),
        *((name.capitalize(), text) for name, text in groups),
        ("Directory", report.directory),
    ]


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"
