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
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from pipeline.config import BookConfig
from pipeline.errors import RunDirectoryError
from pipeline.outputs.audiobook.containers import AudioWriter, check_cover, open_flac, open_m4b, publish, srt, vtt
from pipeline.outputs.audiobook.index import book_json, cues, files_of
from pipeline.outputs.audiobook.joining import HEAD_SECONDS, TAIL_SECONDS, BookClip, Part, join
from pipeline.outputs.audiobook.mastering import ChapterMeter, Measures, Powers, integrated_loudness, limit
from pipeline.outputs.audiobook.timeline import BookMetadata, Layout, lay_out
from pipeline.types import SYNTHETIC_SPEECH

INDEX_NAME = "book.json"
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
    chapter_titles: Sequence[str],
    metadata: BookMetadata,
    config: BookConfig,
    directory: Path,
    progress: Callable[[float, float], None] | None = None,
) -> BookFiles:
    """Writes the chapters, the m4b, the subtitles and `book.json` into `directory`.

    Args:
        clips: Called twice; each time it gives the same clips in reading order, rejected ones without samples.
        chapter_titles: Of every chapter of the text, also of those without a clip.
        metadata: Has the last word on narrator and cover: `config` is asked for the sound only.
        config: Pauses, loudness, peak, bit rate.
        directory: Made if missing.
        progress: Called with the seconds of the one file written so far, and in all, as the second reading goes on.

    Raises:
        PipelineError: There is no clip that can be heard; the cover is no picture; an old `book.json` is damaged; the
            folder cannot be written.
        ValueError: The clips are not in reading order, differ in their sampling rate, or changed between the readings.
    """
    cover = check_cover(metadata.cover) if isinstance(metadata.cover, Path) else metadata.cover
    old_names = files_of(directory / INDEX_NAME)
    layout = lay_out(clips(), chapter_titles, metadata, config)
    staging = directory / STAGING_NAME
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(parents=True)
        parts = (part for part in join(clips(), config) if len(part.samples))
        measures, loudness = _write_audio(parts, layout, metadata, config, cover, staging, progress)
        for ending, subtitles in (("srt", srt), ("vtt", vtt)):
            (staging / f"{layout.book_name}.{ending}").write_text(subtitles(cues(layout)), encoding="utf-8")
        files = sorted(staging.iterdir())
        index = book_json(layout, measures, loudness, metadata, config, files)
        (staging / INDEX_NAME).write_text(index, encoding="utf-8")
        publish(staging, directory, [*(path.name for path in files), INDEX_NAME], old_names)
    except OSError as error:
        raise RunDirectoryError(
            f"{directory}: cannot be written ({error.strerror or error}): free some space or mend the permissions, "
            "then give the same command again"
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return _book_files(layout, measures, loudness, directory)


def _write_audio(
    parts: Iterator[Part],
    layout: Layout,
    metadata: BookMetadata,
    config: BookConfig,
    cover: bytes | None,
    staging: Path,
    progress: Callable[[float, float], None] | None,
) -> tuple[list[Measures], float]:
    rate = layout.sampling_rate
    shared_tags = {
        "artist": metadata.author,
        "album": metadata.title,
        "album_artist": metadata.author,
        "composer": metadata.narrator,  # where players of audiobooks look for it
        "date": metadata.date,
        "genre": "Audiobook",
        "comment": SYNTHETIC_SPEECH,
    }
    book_tags = {"title": metadata.title, "description": metadata.description}
    measures: list[Measures] = []
    block_powers: list[Powers] = []
    with open_m4b(
        staging / f"{layout.book_name}.m4b",
        rate,
        bitrate_kbps=config.bitrate_kbps,
        tags=shared_tags | book_tags,
        language=metadata.language,
        marks=layout.marks,
        cover=cover,
    ) as book:
        for index, chapter_parts in groupby(parts, key=lambda part: part.clip.chapter):
            chapter_tags = {"title": layout.titles[index], "track": f"{index + 1}/{len(layout.titles)}"}
            with open_flac(staging / layout.names[index], rate, shared_tags | chapter_tags) as chapter:
                meter = _write_chapter(chapter_parts, layout, config, chapter, book, progress)
            measures.append(meter.measures())
            block_powers.append(meter.block_powers())
        book.write_silence(round(TAIL_SECONDS * rate))
    if book.num_samples != layout.num_samples:
        raise ValueError(f"the clips changed as the book was made: {layout.num_samples} samples, {book.num_samples}")
    return measures, integrated_loudness(np.concatenate(block_powers))


def _write_chapter(
    parts: Iterator[Part],
    layout: Layout,
    config: BookConfig,
    chapter: AudioWriter,
    book: AudioWriter,
    progress: Callable[[float, float], None] | None,
) -> ChapterMeter:
    rate = layout.sampling_rate
    meter = ChapterMeter(rate)
    gain = np.float32(10 ** (layout.gain_db / 20))
    for part in parts:
        pause = round(HEAD_SECONDS * rate) if part.opens_chapter else part.pause
        chapter.write_silence(pause)
        meter.add_pause(pause)
        book.write_silence(part.pause)
        samples = limit(part.samples * gain, rate, config.peak_dbfs)
        chapter.write(samples)
        meter.add_clip(samples)
        book.write(samples)
        if progress is not None:
            progress(book.num_samples / rate, layout.num_samples / rate)
    tail = round(TAIL_SECONDS * rate)
    chapter.write_silence(tail)
    meter.add_pause(tail)
    return meter


def _book_files(layout: Layout, measures: Sequence[Measures], loudness: float, directory: Path) -> BookFiles:
    rate = layout.sampling_rate
    heard = {chapter.index for chapter in layout.chapters}
    return BookFiles(
        m4b=directory / f"{layout.book_name}.m4b",
        subtitles=(directory / f"{layout.book_name}.srt", directory / f"{layout.book_name}.vtt"),
        index=directory / INDEX_NAME,
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
