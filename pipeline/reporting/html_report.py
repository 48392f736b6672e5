"""`report.html`: a finished run on one page, to look at and to listen to.

Owns what is on the page and how much of it; how it looks is in `page.html`, its pictures are from `charts`. The page
stands alone: no network, no script, audio within it and bounded in size. All text is escaped, for it is from books.
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
from pipeline.config.frozen import CONFIG_NAME
from pipeline.outputs.dataset.card import NOT_NAMED, CardFacts
from pipeline.outputs.dataset.shards import finished_shards, list_manifests, read_manifest, read_shard
from pipeline.reporting.journal import WorkerHistory, read_journals
from pipeline.reporting.progress import clock, count
from pipeline.reporting.report import HTML_REPORT_NAME, Report, reason_codes
from pipeline.reporting.svg_charts import Series, histogram, line_chart, waveform
from pipeline.storage.atomic import write_text

_MAX_VOICES = 12
_CLIPS_A_VOICE = 3
_MAX_SHARDS = 12  # that are looked through for clips
_MAX_AUDIO_BYTES = 3 * 2**20  # as MP3
_LONGEST_CLIP = 20.0  # seconds
_MAX_EXAMPLES = 12  # of a reject's reason
_MAX_FAILURES = 30
_MAX_TEXT = 400  # characters
_POINTS = 120  # of a curve
_MAX_CURVES = 16


@dataclass(frozen=True)
class ClipPreview:
    """A clip on the page."""

    id: str
    text: str
    seconds: float
    wave: Markup
    mp3: str  # base64


def write_html_report(run_dir: Path, report: Report, facts: CardFacts, durations: npt.NDArray[np.float64]) -> None:
    """Writes `report.html`.

    Args:
        run_dir: Directory of a finished run, with its journals, manifests and, maybe, book.
        report: As in `report.json`.
        facts: As on the card.
        durations: [clips], in seconds.
    """
    write_text(run_dir / HTML_REPORT_NAME, _render(run_dir, report, facts, durations))


def _render(run_dir: Path, report: Report, facts: CardFacts, durations: npt.NDArray[np.float64]) -> str:
    """The whole page."""
    history = read_journals(run_dir)
    environment = Environment(
        loader=PackageLoader("pipeline.reporting", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    workers = [worker for worker in history.workers if any(session.device for session in worker.sessions)]
    curves = _curves(workers)
    chapters = _chapters(run_dir) if report.book else []
    return environment.get_template("html_report.html").render(
        title=facts.title,
        subtitle=f"{facts.source}, spoken by {facts.model.model_id or 'an untrained model'}",
        is_noise=facts.is_noise,
        tiles=_tiles(report),
        voices=_voices(run_dir),
        chapters=chapters,
        book_line=_book_line(report.book),
        speed=line_chart(curves, "times real time", clock) if curves else None,
        workers=[_worker_row(worker) for worker in workers],
        useful=_useful(workers),
        durations=histogram(durations, "seconds", "clips") if len(durations) else None,
        durations_line=_durations_line(durations),
        rejects=_rejects(run_dir),
        failures=[
            {"when": f"{datetime.fromtimestamp(failure.time):%d %b %H:%M:%S}", **vars(failure)}
            for failure in history.failures[-_MAX_FAILURES:]
        ],
        facts=_facts(report, facts),
        config=(run_dir / CONFIG_NAME).read_text(encoding="utf-8") if (run_dir / CONFIG_NAME).exists() else "",
        footer=f"parler-pipeline {facts.version}. Synthetic speech: nobody said these words.",
    )


def _tiles(report: Report) -> list[tuple[str, str]]:
    tiles = [
        (clock(report.audio_seconds), "of audio"),
        (f"{report.num_clips:,}", f"clips of {report.num_utterances:,}"),
        (f"{report.num_rejects:,}", "rejected"),
        (f"{report.num_bytes / 1e6:,.1f} MB", count(report.num_files, "file")),
        (clock(report.work_seconds), "of work, all workers"),
    ]
    if report.work_seconds:
        tiles.append((f"{report.audio_seconds / report.work_seconds:.2f}x", "real time, a worker"))
    return tiles


def _voices(run_dir: Path) -> dict[str, list[ClipPreview]]:
    """A few clips of each voice, from shards spread over the run."""
    shards = list_manifests(run_dir)
    chosen = sorted({len(shards) * number // _MAX_SHARDS for number in range(_MAX_SHARDS)}) if shards else []
    allowance = math.ceil(_CLIPS_A_VOICE / max(1, len(chosen)))  # of a voice in one shard
    voices: dict[str, list[ClipPreview]] = {}
    num_bytes = 0
    for manifest in (read_manifest(shards[number]) for number in chosen):
        here: Counter[str] = Counter()
        for row in read_shard(run_dir, manifest, ["id", "audio", "text", "speaker_id", "duration"]):
            voice = row.columns["speaker_id"] or NOT_NAMED
            is_known = voice in voices or len(voices) < _MAX_VOICES
            is_wanted = here[voice] < allowance and len(voices.get(voice, ())) < _CLIPS_A_VOICE
            if not (is_known and is_wanted) or row.columns["duration"] > _LONGEST_CLIP:
                continue
            samples, sampling_rate = row.decode()
            mp3 = encode(samples, sampling_rate, "mp3")
            num_bytes += len(mp3)
            if num_bytes > _MAX_AUDIO_BYTES:
                return voices
            here[voice] += 1
            text, encoded = _cut(row.columns["text"]), base64.b64encode(mp3).decode("ascii")
            sample = ClipPreview(row.id, text, row.columns["duration"], waveform(samples), encoded)
            voices.setdefault(voice, []).append(sample)
    return voices


def _chapters(run_dir: Path) -> list[dict[str, Any]]:
    chapters = json.loads((run_dir / "book" / "book.json").read_text(encoding="utf-8"))["chapters"]
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


def _curves(workers: Sequence[WorkerHistory]) -> list[Series]:
    """Speed of each worker over the time since the first began; a piece for each of its sessions."""
    first = min((session.started for worker in workers for session in worker.sessions), default=0.0)
    curves = []
    for worker in workers[:_MAX_CURVES]:
        pieces = []
        for session in worker.sessions:
            # Curves that are smooth enough to be read: not more points than can be told apart.
            samples = session.points[:: max(1, len(session.points) // _POINTS)]
            moments = [(0.0, 0.0), *((sample.elapsed, sample.counts.audio_seconds) for sample in samples)]
            offset = max(0.0, session.started - first)
            piece = [
                (offset + later, max(0.0, audio - before) / (later - earlier))
                for (earlier, before), (later, audio) in pairwise(moments)
                if later - earlier >= 0.5  # two lines of one moment say nothing of speed
            ]
            pieces.append(((offset, piece[0][1]), *piece) if piece else ())
        curves.append(Series(worker.worker, tuple(piece for piece in pieces if piece)))
    return [curve for curve in curves if curve.pieces]


def _worker_row(worker: WorkerHistory) -> dict[str, str]:
    counts = [session.counts for session in worker.sessions]
    audio = sum(each.audio_seconds for each in counts)
    computed = sum(each.computed_seconds for each in counts)
    elapsed = sum(session.elapsed for session in worker.sessions)
    return {
        "label": worker.worker,
        "device": worker.sessions[-1].device,
        "clips": f"{sum(each.clips for each in counts):,}",
        "audio": clock(audio),
        "speed": f"{audio / elapsed:.2f}x" if elapsed else "-",
        "useful": f"{audio / computed:.0%}" if computed else "-",
        "refused": f"{sum(each.refused for each in counts):,}",
        "starts": str(len(worker.sessions)),
    }


def _useful(workers: Iterable[WorkerHistory]) -> float | None:
    """Share of accepted audio in what was computed; None: nothing was."""
    counts = [session.counts for worker in workers for session in worker.sessions]
    computed = sum(each.computed_seconds for each in counts)
    return min(1.0, sum(each.audio_seconds for each in counts) / computed) if computed else None


def _durations_line(durations: npt.NDArray[np.float64]) -> str:
    if not len(durations):
        return ""
    low, middle, high = np.percentile(durations, [5, 50, 95])
    return f"Half of them are shorter than {middle:.1f} s; nine of ten lie between {low:.1f} s and {high:.1f} s."


def _rejects(run_dir: Path) -> list[dict[str, Any]]:
    """The rejects of each reason, the most frequent first, with some examples; one with two reasons is under both."""
    numbers: Counter[str] = Counter()
    examples: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for manifest in finished_shards(run_dir):
        for reject in manifest.rejects:
            for code in dict.fromkeys(reason_codes(reject["reason"])):
                numbers[code] += 1
                if len(examples[code]) < _MAX_EXAMPLES:
                    examples[code].append({**reject, "text": _cut(reject["text"])})
    return [
        {"code": code, "number": f"{number:,}", "examples": examples[code], "more": number - len(examples[code])}
        for code, number in numbers.most_common()
    ]


def _facts(report: Report, facts: CardFacts) -> list[tuple[str, str]]:
    model = facts.model
    groups = (
        (name, ", ".join(f"{key}={value}" for key, value in group.items())) for name, group in facts.settings.items()
    )
    return [
        ("Text", facts.source),
        ("Model", model.model_id),
        ("Revision", model.revision),
        ("Numbers", f"{model.dtype} on {model.device}"),
        ("Seed", str(facts.seed)),
        ("Audio", facts.audio_format),
        *((name.capitalize(), text) for name, text in groups),
        ("Directory", report.directory),
    ]


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"
