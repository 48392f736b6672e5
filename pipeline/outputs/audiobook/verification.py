"""Verify a book against the clips from which it was made.

The book is recreated in memory, and everything is compared: audio, tags, chapter marks, cover, subtitles, and each
value of `book.json`. A book that another version of this package made may differ.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from pipeline.config import BookConfig
from pipeline.errors import printable
from pipeline.outputs.audiobook.comparison import EXACT_STEPS, LOSSY_STEPS, ComparedFile, judge_samples, judge_spectrum
from pipeline.outputs.audiobook.containers import MARK_BYTES, MP4_LANGUAGES, cover_packet, cut_to_bytes, srt, vtt
from pipeline.outputs.audiobook.index import book_json, cues
from pipeline.outputs.audiobook.joining import BookClip, join
from pipeline.outputs.audiobook.make import Sink, Sinks, chapter_tags, m4b_tags, write_parts
from pipeline.outputs.audiobook.mastering import Measures
from pipeline.outputs.audiobook.timeline import BookMetadata, BookSpec, Layout, lay_out
from pipeline.storage.paths import open_regular, read_json, read_regular_text, reason_of
from pipeline.storage.run_directory import BOOK_INDEX_NAME

_FIX = "rerun the command of the run to make the book again"
_TOLERANCE = 0.002  # for seconds and levels in the index, which are rounded to 4 digits
_MARK_TOLERANCE = 0.0011  # seconds; marks are stored in milliseconds
_MAX_SHOWN = 60  # characters of a value in a message
_MAX_DIFFERENCES = 10  # reported differences of the index


@dataclass(frozen=True)
class ExpectedBook:
    """Inputs from which a book was made; see `make.make_book`."""

    clips: Callable[[], Iterator[BookClip]]
    chapter_titles: Sequence[str]
    metadata: BookMetadata  # without the cover
    config: BookConfig
    has_lossy_clips: bool  # the decoder may have another version than when the book was made
    cover: bytes | None = None
    is_cover_known: bool = True  # False: its source is not available, so the cover is not compared


@dataclass(frozen=True)
class _Made:
    """Result of recreating a book."""

    layout: Layout
    measures: Sequence[Measures]
    loudness_lufs: float


def made_again_problems(
    book: Path, expected: ExpectedBook, progress: Callable[[float, float], None] | None = None
) -> Iterator[str]:
    """Recreate the book and yield one line for each difference. This takes as long as making the book.

    Raises:
        PipelineError: The clips cannot be read, or none of them is audible.
        OSError: A file of the book cannot be read.
    """
    layout = lay_out(expected.clips(), expected.chapter_titles, expected.metadata, expected.config)
    files: list[tuple[str, ComparedFile]] = []
    steps = LOSSY_STEPS if expected.has_lossy_clips else EXACT_STEPS

    def compared(name: str) -> ComparedFile:
        is_lossy = name.endswith(".m4b")
        rate = layout.sampling_rate
        judge = judge_spectrum(rate, expected.config.bitrate_kbps) if is_lossy else judge_samples(steps)
        files.append((name, ComparedFile(book / name, rate, judge)))
        return files[-1][1]

    def open_chapter(index: int) -> AbstractContextManager[Sink]:
        return compared(layout.names[index])

    parts = (part for part in join(expected.clips(), expected.config) if len(part.samples))
    with compared(f"{layout.book_name}.m4b") as m4b:
        measures, loudness = write_parts(parts, layout, expected.config, Sinks(m4b, open_chapter), progress)
    yield from (f"book/{name}: {file.problem}; {_FIX}" for name, file in files if file.problem)
    unreadable = {name for name, file in files if file.problem.startswith(("cannot", "missing"))}
    for name, problem in _container_problems(book, expected, layout, unreadable):
        yield f"book/{name}: {problem}; {_FIX}"
    yield from _subtitle_problems(book, layout)
    yield from _index_problems(book, expected, _Made(layout, measures, loudness))


def _container_problems(
    book: Path, expected: ExpectedBook, layout: Layout, unreadable: set[str]
) -> Iterator[tuple[str, str]]:
    """Yield file name and problem for each wrong tag, chapter mark or cover."""
    m4b = f"{layout.book_name}.m4b"
    tags = {m4b: m4b_tags(expected.metadata)}
    for chapter in layout.chapters:
        tags[layout.names[chapter.index]] = chapter_tags(expected.metadata, layout, chapter.index)
    for name, wanted in tags.items():
        if name in unreadable:
            continue
        with open_regular(book / name) as file, av.open(file) as container:
            found = {key.lower(): value for key, value in container.metadata.items()}
            for key, value in wanted.items():
                if " ".join(found.get(key, "").split()) != " ".join(value.split()):
                    yield name, f"tag {key} is {_shown(found.get(key))}, expected {_shown(value or None)}"
            if name == m4b:
                yield from ((name, problem) for problem in _m4b_problems(container, expected, layout))


def _m4b_problems(container: Any, expected: ExpectedBook, layout: Layout) -> Iterator[str]:
    language = MP4_LANGUAGES.get(expected.metadata.language, "und")
    if container.streams.audio[0].metadata.get("language", "und") != language:
        yield f"language is {container.streams.audio[0].metadata.get('language')}, expected {language}"
    there = [(chapter["metadata"].get("title", ""), *_seconds_of(chapter)) for chapter in container.chapters()]
    wanted = [
        (cut_to_bytes(mark.title, MARK_BYTES), mark.start / layout.sampling_rate, mark.end / layout.sampling_rate)
        for mark in layout.marks
    ]
    if len(there) != len(wanted):
        yield f"{len(there)} chapter marks, expected {len(wanted)}"
    for number, (found, mark) in enumerate(zip(there, wanted, strict=False), 1):
        if found[0] != mark[0]:
            yield f"chapter mark {number} is {_shown(found[0])}, expected {_shown(mark[0])}"
        elif max(abs(found[1] - mark[1]), abs(found[2] - mark[2])) > _MARK_TOLERANCE:
            yield (
                f"chapter mark {number} is from {found[1]:.3f} to {found[2]:.3f} s, expected {mark[1]:.3f} to "
                f"{mark[2]:.3f} s"
            )
    if expected.is_cover_known:
        pictures = [packet for packet in container.demux(video=0) if packet.size] if container.streams.video else []
        wanted_pictures = [cover_packet(expected.cover)] if expected.cover else []
        if [bytes(packet) for packet in pictures] != wanted_pictures:
            yield "the cover differs from that of the run (book.cover or the cover of the EPUB)"


def _seconds_of(chapter: Any) -> tuple[float, float]:
    return float(chapter["start"] * chapter["time_base"]), float(chapter["end"] * chapter["time_base"])


def _subtitle_problems(book: Path, layout: Layout) -> Iterator[str]:
    for ending, subtitles in (("srt", srt), ("vtt", vtt)):
        name = f"{layout.book_name}.{ending}"
        wanted = subtitles(cues(layout)).split("\n")
        try:
            there = read_regular_text(book / name).split("\n")
        except (OSError, ValueError) as error:
            yield f"book/{name}: cannot be read ({reason_of(error)}); {_FIX}"
            continue
        if there != wanted:
            pairs = zip([*there, None], [*wanted, None], strict=False)
            number, (found, line) = next(pair for pair in enumerate(pairs, 1) if pair[1][0] != pair[1][1])
            yield f"book/{name}: line {number} is {_shown(found)}, expected {_shown(line)}; {_FIX}"


def _index_problems(book: Path, expected: ExpectedBook, made: _Made) -> Iterator[str]:
    layout = made.layout
    names = [layout.names[chapter.index] for chapter in layout.chapters]
    names += [f"{layout.book_name}.{ending}" for ending in ("m4b", "srt", "vtt")]
    there = [book / name for name in sorted(names) if (book / name).is_file()]  # missing files were reported already
    spec = BookSpec(expected.chapter_titles, expected.metadata, expected.config)
    text = book_json(layout, made.measures, made.loudness_lufs, spec, there)
    index = read_json(book / BOOK_INDEX_NAME)
    found = list(differences(index, json.loads(text)))
    yield from (f"book/{BOOK_INDEX_NAME}: {problem}; {_FIX}" for problem in found[:_MAX_DIFFERENCES])
    if len(found) > _MAX_DIFFERENCES:
        yield f"book/{BOOK_INDEX_NAME}: {len(found) - _MAX_DIFFERENCES} more values differ"


def differences(there: Any, wanted: Any, place: str = "") -> Iterator[str]:
    """Yield one line for each difference between two JSON values. Numbers may differ by 0.002."""
    if isinstance(there, dict) and isinstance(wanted, dict):
        for key in dict.fromkeys([*wanted, *there]):
            yield from differences(there.get(key), wanted.get(key), f"{place}.{key}" if place else str(key))
    elif isinstance(there, list) and isinstance(wanted, list):
        if len(there) != len(wanted):
            yield f"{place} has {len(there)} entries, expected {len(wanted)}"
        for number, (found, value) in enumerate(zip(there, wanted, strict=False)):
            yield from differences(found, value, f"{place}[{number}]")
    elif not _is_same(there, wanted):
        yield f"{place} is {_shown(there)}, expected {_shown(wanted)}"


def _is_same(there: Any, wanted: Any) -> bool:
    if type(wanted) is float:
        return type(there) in (int, float) and math.isclose(there, wanted, rel_tol=0.0, abs_tol=_TOLERANCE)
    return type(there) is type(wanted) and bool(there == wanted)


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    text = printable(repr(value))
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
