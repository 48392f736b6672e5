"""The first reading of the clips: how the book will lie, how loud it is, and what its files are called.

Owns the `Layout`, which is all that the writing needs to know beside the clips themselves. Writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.config import BookConfig
from pipeline.errors import PipelineError
from pipeline.outputs.audiobook.containers import Mark, safe_name
from pipeline.outputs.audiobook.joining import BookClip, ChapterSpan, Timeline, join
from pipeline.outputs.audiobook.mastering import LoudnessMeter, gain_for, integrated_loudness


@dataclass(frozen=True)
class BookMetadata:
    """What stands on the cover. An empty value leaves its tag out."""

    title: str
    author: str = ""
    narrator: str = ""
    language: str = "en"
    date: str = ""
    description: str = ""
    cover: Path | bytes | None = None  # a JPEG or PNG


@dataclass(frozen=True)
class BookSpec:
    """What a book is to be, beside its clips."""

    chapter_titles: Sequence[str]  # of every chapter of the text, also of those without a clip
    metadata: BookMetadata  # decides narrator and cover: `config` is used for the sound only
    config: BookConfig  # pauses, loudness, peak, bit rate


@dataclass(frozen=True)
class Layout:
    """What the first reading found. Chapters are those of which something can be heard."""

    sampling_rate: int  # Hz
    num_samples: int  # of the one file
    gain_db: float  # for the whole book
    chapters: tuple[ChapterSpan, ...]
    silent_clips: tuple[str, ...]  # ids
    titles: tuple[str, ...]  # of every chapter of the text, heard or not
    names: tuple[str, ...]  # of their files, likewise
    book_name: str  # of the one file and its subtitles, without ending

    @property
    def marks(self) -> tuple[Mark, ...]:
        """One for each chapter; together they cover the file."""
        ends = [chapter.mark for chapter in self.chapters[1:]] + [self.num_samples]
        return tuple(
            Mark(self.titles[chapter.index], chapter.mark, end)
            for chapter, end in zip(self.chapters, ends, strict=True)
        )


def lay_out(
    clips: Iterator[BookClip], chapter_titles: Sequence[str], metadata: BookMetadata, config: BookConfig
) -> Layout:
    """Read all clips once.

    Raises:
        PipelineError: There is no clip that can be heard.
    """
    timeline = Timeline()
    meter: LoudnessMeter | None = None
    for part in join(clips, config):
        meter = meter or LoudnessMeter(part.clip.sampling_rate)
        timeline.add(part)
        meter.add(np.zeros(part.pause, dtype=np.float32))
        meter.add(part.samples)
    if meter is None or not timeline.chapters:
        raise PipelineError("the book has no clip that can be heard: rejects.jsonl of the run tells why")
    titles = tuple(" ".join(title.split()) or f"Chapter {n}" for n, title in enumerate(chapter_titles, start=1))
    digits = max(2, len(str(len(titles))))
    credit = f"{metadata.author} - {metadata.title}" if metadata.author else metadata.title
    return Layout(
        sampling_rate=timeline.sampling_rate,
        num_samples=timeline.num_samples,
        gain_db=gain_for(integrated_loudness(meter.block_powers()), config.loudness_lufs),
        chapters=timeline.chapters,
        silent_clips=tuple(timeline.silent),
        titles=titles,
        names=tuple(
            f"{n:0{digits}} - {safe_name(title, f'Chapter {n}')}.flac" for n, title in enumerate(titles, start=1)
        ),
        book_name=safe_name(credit, "Audiobook"),
    )
