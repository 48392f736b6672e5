"""`make_book`: two readings of the clips, and the folder that comes of them.

The first reading lays out the timeline and measures the loudness; from it come the chapter marks and the one gain. The
second writes every audio file at once. In memory are one clip at a time, the texts and their times, and the list of
packets that an MP4 ends with: some 10 MB for an hour of sound.

A book is made whole each time: the same clips give the same files. They are written into a hidden folder and moved to
their names at the end, `book.json` last. Files in the folder that no earlier book of ours left there are not touched.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Protocol

import numpy as np

from pipeline.config import BookConfig
from pipeline.errors import RunDirectoryError
from pipeline.outputs.audiobook.containers import (
    AudioWriter,
    M4bOptions,
    check_cover,
    open_flac,
    open_m4b,
    publish,
    srt,
    vtt,
)
from pipeline.outputs.audiobook.index import book_json, cues, files_of
from pipeline.outputs.audiobook.joining import HEAD_SECONDS, TAIL_SECONDS, BookClip, Part, Samples, join
from pipeline.outputs.audiobook.mastering import ChapterMeter, Measures, Powers, integrated_loudness, limit
from pipeline.outputs.audiobook.timeline import BookMetadata, BookSpec, Layout, lay_out
from pipeline.storage.run_directory import BOOK_INDEX_NAME
from pipeline.types import SYNTHETIC_SPEECH

STAGING_NAME = ".partial"


@dataclass(frozen=True)
class BookChapter:
    """A chapter of a finished book."""

    title: str
    path: Path
    start: float  # its mark in the one file, in seconds
    end: float
    measures: Measures


@dataclass(frozen=True)
class BookFiles:
    """A finished book."""

    m4b: Path
    subtitles: tuple[Path, Path]  # SRT, VTT
    index: Path  # book.json
    seconds: float  # of the one file
    loudness_lufs: float  # of all chapters together, after mastering
    chapters: tuple[BookChapter, ...]
    omitted: tuple[str, ...]  # titles of the chapters of which nothing can be heard; they have no file and no mark


def make_book(
    clips: Callable[[], Iterator[BookClip]],
    spec: BookSpec,
    directory: Path,
    progress: Callable[[float, float], None] | None = None,
) -> BookFiles:
    """Write the chapters, the m4b, the subtitles and `book.json`.

    Args:
        clips: Called twice; gives the same clips in reading order each time, rejected ones without samples.
        spec: What the book is to be.
        directory: Made if it is missing.
        progress: Called with the seconds of the m4b that are written, and with those of all of it.

    Raises:
        PipelineError: No clip can be heard; the cover is no picture; an old `book.json` is damaged; the folder cannot
            be written.
        ValueError: The clips are not in reading order, differ in their sampling rate, or changed between the readings.
    """
    metadata, config = spec.metadata, spec.config
    cover = check_cover(metadata.cover) if isinstance(metadata.cover, Path) else metadata.cover
    spec = replace(spec, metadata=replace(metadata, cover=cover))
    old_names = files_of(directory / BOOK_INDEX_NAME)
    layout = lay_out(clips(), spec.chapter_titles, metadata, config)
    staging = directory / STAGING_NAME
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(parents=True)
        parts = (part for part in join(clips(), config) if len(part.samples))
        measures, loudness = _write_audio(parts, layout, spec, staging, progress)
        for ending, subtitles in (("srt", srt), ("vtt", vtt)):
            (staging / f"{layout.book_name}.{ending}").write_text(subtitles(cues(layout)), encoding="utf-8")
        files = sorted(staging.iterdir())
        (staging / BOOK_INDEX_NAME).write_text(book_json(layout, measures, loudness, spec, files), encoding="utf-8")
        publish(staging, directory, [*(path.name for path in files), BOOK_INDEX_NAME], old_names)
    except OSError as error:
        raise RunDirectoryError(
            f"{directory}: cannot be written ({error.strerror or error}): free some space or correct the permissions, "
            "then give the same command again"
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return _book_files(layout, measures, loudness, directory)


def _write_audio(
    parts: Iterator[Part],
    layout: Layout,
    spec: BookSpec,
    staging: Path,
    progress: Callable[[float, float], None] | None,
) -> tuple[list[Measures], float]:
    rate, metadata, cover = layout.sampling_rate, spec.metadata, spec.metadata.cover
    assert not isinstance(cover, Path)  # it was read before
    options = M4bOptions(spec.config.bitrate_kbps, m4b_tags(metadata), metadata.language, layout.marks, cover)
    with open_m4b(staging / f"{layout.book_name}.m4b", rate, options) as book:

        def open_chapter(index: int) -> AudioWriter:
            return open_flac(staging / layout.names[index], rate, chapter_tags(metadata, layout, index))

        measures, loudness = write_parts(parts, layout, spec.config, Sinks(book, open_chapter), progress)
    if book.num_samples != layout.num_samples:
        raise ValueError(f"the clips changed as the book was made: {layout.num_samples} samples, {book.num_samples}")
    return measures, loudness


def m4b_tags(metadata: BookMetadata) -> dict[str, str]:
    """Return the tags of the one file; those that are empty are not written."""
    return {**_shared_tags(metadata), "title": metadata.title, "description": metadata.description}


def chapter_tags(metadata: BookMetadata, layout: Layout, index: int) -> dict[str, str]:
    """Return the tags of a chapter's own file; those that are empty are not written."""
    track = f"{index + 1}/{len(layout.titles)}"
    return {**_shared_tags(metadata), "title": layout.titles[index], "track": track}


def _shared_tags(metadata: BookMetadata) -> dict[str, str]:
    return {
        "artist": metadata.author,
        "album": metadata.title,
        "album_artist": metadata.author,
        "composer": metadata.narrator,  # where players of audiobooks look for it
        "date": metadata.date,
        "genre": "Audiobook",
        "comment": SYNTHETIC_SPEECH,
    }


class Sink(Protocol):
    """What the audio of one file is given to, piece by piece: it is written, or compared with what was written."""

    num_samples: int  # so far

    def write(self, samples: Samples) -> None:
        """Take the next samples [N]."""

    def write_silence(self, num_samples: int) -> None:
        """Take digital silence."""


@dataclass(frozen=True)
class Sinks:
    """The files of a book."""

    book: Sink  # the one file
    open_chapter: Callable[[int], AbstractContextManager[Sink]]  # by index into the chapter titles


def write_parts(
    parts: Iterator[Part],
    layout: Layout,
    config: BookConfig,
    sinks: Sinks,
    progress: Callable[[float, float], None] | None = None,
) -> tuple[list[Measures], float]:
    """Master the parts and give them to the files; return the measures of each chapter and the loudness of all."""
    measures: list[Measures] = []
    block_powers: list[Powers] = []
    for index, chapter_parts in groupby(parts, key=lambda part: part.clip.chapter):
        with sinks.open_chapter(index) as chapter:
            meter = ChapterMeter(layout.sampling_rate)
            for part in chapter_parts:
                _write_part(part, layout, config.peak_dbfs, (chapter, sinks.book), meter)
                if progress is not None:
                    progress(sinks.book.num_samples / layout.sampling_rate, layout.num_samples / layout.sampling_rate)
            tail = round(TAIL_SECONDS * layout.sampling_rate)
            chapter.write_silence(tail)
            meter.add_pause(tail)
        measures.append(meter.measures())
        block_powers.append(meter.block_powers())
    sinks.book.write_silence(round(TAIL_SECONDS * layout.sampling_rate))
    return measures, integrated_loudness(np.concatenate(block_powers))


def _write_part(part: Part, layout: Layout, peak_dbfs: float, sinks: tuple[Sink, Sink], meter: ChapterMeter) -> None:
    """Write a part to the file of its chapter and to the one file, mastered and measured."""
    chapter, book = sinks
    rate = layout.sampling_rate
    pause = round(HEAD_SECONDS * rate) if part.opens_chapter else part.pause
    chapter.write_silence(pause)
    meter.add_pause(pause)
    book.write_silence(part.pause)
    samples = limit(part.samples * np.float32(10 ** (layout.gain_db / 20)), rate, peak_dbfs)
    chapter.write(samples)
    meter.add_clip(samples)
    book.write(samples)


def _book_files(layout: Layout, measures: Sequence[Measures], loudness: float, directory: Path) -> BookFiles:
    rate = layout.sampling_rate
    heard = {chapter.index for chapter in layout.chapters}
    return BookFiles(
        m4b=directory / f"{layout.book_name}.m4b",
        subtitles=(directory / f"{layout.book_name}.srt", directory / f"{layout.book_name}.vtt"),
        index=directory / BOOK_INDEX_NAME,
        seconds=layout.num_samples / rate,
        loudness_lufs=loudness,
        chapters=tuple(
            BookChapter(
                mark.title, directory / layout.names[chapter.index], mark.start / rate, mark.end / rate, measured
            )
            for mark, chapter, measured in zip(layout.marks, layout.chapters, measures, strict=True)
        ),
        omitted=tuple(title for index, title in enumerate(layout.titles) if index not in heard),
    )
