"""First pass over the clips of a book: compute positions, loudness and file names as a `Layout`. Nothing is written."""

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
    """Metadata for the tags of the audio files. Empty values are omitted."""

    title: str
    author: str = ""
    narrator: str = ""
    language: str = "en"
    date: str = ""
    description: str = ""
    cover: Path | bytes | None = None  # JPEG or PNG


@dataclass(frozen=True)
class BookSpec:
    """Everything that determines a book except its clips."""

    chapter_titles: Sequence[str]  # of every chapter of the text, including chapters without clips
    metadata: BookMetadata  # takes precedence over narrator and cover in `config`
    config: BookConfig  # pauses, loudness, peak, bit rate


@dataclass(frozen=True)
class Layout:
    """Result of the first pass over the clips."""

    sampling_rate: int  # Hz
    num_samples: int  # length of the m4b
    gain_db: float  # the same for the whole book
    chapters: tuple[ChapterSpan, ...]  # those with at least one audible clip
    silent_clips: tuple[str, ...]  # ids of accepted clips that are silent
    titles: tuple[str, ...]  # of every chapter of the text, also of inaudible ones
    names: tuple[str, ...]  # file names, one for each title
    book_name: str  # stem of the m4b and the subtitle files

    @property
    def marks(self) -> tuple[Mark, ...]:
        """One mark for each chapter; together they cover the whole m4b."""
        ends = [chapter.mark for chapter in self.chapters[1:]] + [self.num_samples]
        return tuple(
            Mark(self.titles[chapter.index], chapter.mark, end)
            for chapter, end in zip(self.chapters, ends, strict=True)
        )


def lay_out(
    clips: Iterator[BookClip], chapter_titles: Sequence[str], metadata: BookMetadata, config: BookConfig
) -> Layout:
    """Read all clips once and return the layout of the book.

    Raises:
        PipelineError: No clip is audible.
    """
    timeline = Timeline()
    meter: LoudnessMeter | None = None
    for part in join(clips, config):
        meter = meter or LoudnessMeter(part.clip.sampling_rate)
        timeline.add(part)
        meter.add(np.zeros(part.pause, dtype=np.float32))
        meter.add(part.samples)
    if meter is None or not timeline.chapters:
        raise PipelineError("the book has no audible clip; rejects.jsonl in the run directory gives the reasons")
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
