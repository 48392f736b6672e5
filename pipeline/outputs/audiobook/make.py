"""Make a book from clips in two passes.

The first pass computes the timeline and the loudness, which give the chapter marks and the gain. The second pass writes
all audio files at the same time. Memory holds one clip at a time, the texts and their times, and the packet index of
the MP4: about 10 MB for each hour of audio.

The book is always made completely, and the same clips give the same files. The files are written to a hidden folder and
then moved, `book.json` last. Files in the target folder that are not from an earlier book are not changed.
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
    start: float  # in the m4b, in seconds
    end: float  # in the m4b, in seconds
    measures: Measures


@dataclass(frozen=True)
class BookFiles:
    """A finished book."""

    m4b: Path
    subtitles: tuple[Path, Path]  # SRT, VTT
    index: Path  # book.json
    seconds: float  # length of the m4b
    loudness_lufs: float  # of all chapters together, after mastering
    chapters: tuple[BookChapter, ...]
    omitted: tuple[str, ...]  # titles of the chapters without an audible clip; they have no file and no mark


def make_book(
    clips: Callable[[], Iterator[BookClip]],
    spec: BookSpec,
    directory: Path,
    progress: Callable[[float, float], None] | None = None,
) -> BookFiles:
    """Write the chapters, the m4b, the subtitles and `book.json`.

    Args:
        clips: Called twice; returns the same clips in reading order each time, rejected ones without samples.
        spec: Metadata and settings of the book.
        directory: Target folder; created if it does not exist.
        progress: Called with the finished and the total seconds of the m4b.

    Raises:
        PipelineError: No clip is audible, the cover is not a picture, an old `book.json` is damaged, or the folder
            cannot be written.
        ValueError: The clips are not in reading order, have different sampling rates, or changed between the passes.
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
            f"{directory}: cannot be written ({error.strerror or error}). Free disk space or correct the permissions, "
            "then rerun the same command"
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
    assert not isinstance(cover, Path)  # make_book has read the file
    options = M4bOptions(spec.config.bitrate_kbps, m4b_tags(metadata), metadata.language, layout.marks, cover)
    with open_m4b(staging / f"{layout.book_name}.m4b", rate, options) as book:

        def open_chapter(index: int) -> AudioWriter:
            return open_flac(staging / layout.names[index], rate, chapter_tags(metadata, layout, index))

        measures, loudness = write_parts(parts, layout, spec.config, Sinks(book, open_chapter), progress)
    if book.num_samples != layout.num_samples:
        raise ValueError(
            f"the clips changed between the two passes: {layout.num_samples} samples, then {book.num_samples}"
        )
    return measures, loudness


def m4b_tags(metadata: BookMetadata) -> dict[str, str]:
    """Return the tags of the m4b; empty values are not written."""
    return {**_shared_tags(metadata), "title": metadata.title, "description": metadata.description}


def chapter_tags(metadata: BookMetadata, layout: Layout, index: int) -> dict[str, str]:
    """Return the tags of the file of a chapter; empty values are not written."""
    track = f"{index + 1}/{len(layout.titles)}"
    return {**_shared_tags(metadata), "title": layout.titles[index], "track": track}


def _shared_tags(metadata: BookMetadata) -> dict[str, str]:
    return {
        "artist": metadata.author,
        "album": metadata.title,
        "album_artist": metadata.author,
        "composer": metadata.narrator,  # audiobook players show the composer as the narrator
        "date": metadata.date,
        "genre": "Audiobook",
        "comment": SYNTHETIC_SPEECH,
    }


class Sink(Protocol):
    """Receiver of the audio of one file, which writes it or compares it with an existing file."""

    num_samples: int  # received so far

    def write(self, samples: Samples) -> None:
        """Process the next samples [N]."""

    def write_silence(self, num_samples: int) -> None:
        """Process digital silence."""


@dataclass(frozen=True)
class Sinks:
    """Receivers of the audio of a book."""

    book: Sink  # the m4b
    open_chapter: Callable[[int], AbstractContextManager[Sink]]  # by index into the chapter titles


def write_parts(
    parts: Iterator[Part],
    layout: Layout,
    config: BookConfig,
    sinks: Sinks,
    progress: Callable[[float, float], None] | None = None,
) -> tuple[list[Measures], float]:
    """Master the parts and pass them to the sinks.

    Returns:
        The measures of each chapter, and the loudness of all chapters in LUFS.
    """
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
    """Master and measure a part, and write it to the file of its chapter and to the m4b."""
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
