"""Joining of clips: trim silent edges, fade, insert pauses, and record the position of each segment.

The m4b has this structure:

    HEAD | clip | pause | clip | ... | chapter_pause | clip | pause | clip | ... | TAIL

The file of a chapter is `HEAD | clip | pause | clip | ... | TAIL`. Every part is a whole number of samples, so that the
length of a file is exactly the sum of its parts. Pauses are digital silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.config import BookConfig
from pipeline.planning.duration import pause_seconds
from pipeline.types import Boundary

Samples = npt.NDArray[np.float32]

HEAD_SECONDS = 0.5  # before the first clip of a file
TAIL_SECONDS = 1.5  # after the last clip of a file
MARGIN_SECONDS = 0.03  # silence of the clip that is kept before and after its audible part
FADE_SECONDS = 0.005  # at both ends of a clip, to avoid clicks; shorter than the margin
WINDOW_SECONDS = 0.01  # window for the level at the edges
EDGE_BELOW_LOUDEST_DB = 45.0
SILENCE_DBFS = -75.0


@dataclass(frozen=True)
class BookClip:
    """A clip and its place in the book. A rejected clip has a boundary but no samples."""

    id: str
    text: str  # as written in the source
    chapter: int  # index into the chapter titles
    boundary: Boundary  # to the next clip
    samples: Samples  # [N], mono
    sampling_rate: int  # Hz


@dataclass(frozen=True)
class Part:
    """A clip that is ready to be joined. A silent clip has no samples and no pause."""

    clip: BookClip
    samples: Samples  # [N], trimmed and faded
    pause: int  # samples of silence before the clip in the m4b
    opens_chapter: bool  # it is the first audible clip of its chapter


@dataclass(frozen=True)
class Spoken:
    """Position of an audible segment, in samples of the m4b."""

    id: str
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class ChapterSpan:
    """Position of a chapter, in samples of the m4b. The chapter ends at the mark of the next one."""

    index: int  # into the chapter titles
    mark: int  # start
    spoken: tuple[Spoken, ...]  # never empty


def trim_edges(samples: Samples, sampling_rate: int) -> Samples:
    """Shorten the silent edges of a clip to `MARGIN_SECONDS`. Return no samples for a silent clip.

    A window at an edge is silent if it is 45 dB below the loudest window of the clip, or below -75 dBFS. The weakest
    sounds of speech (the f of "fine", an h, a breath) are about 30 to 40 dB below the vowels, so the first limit keeps
    them at any level of the clip. If the noise of a clip is above this limit, nothing is cut. The second limit is for
    quiet clips, in which 45 dB below the loudest window may be below the level of silence.
    """
    window = max(1, round(WINDOW_SECONDS * sampling_rate))
    starts = np.arange(0, len(samples), window)
    if not len(starts):
        return samples
    powers = np.add.reduceat(np.square(samples, dtype=np.float64), starts) / window
    threshold = max(powers.max() * 10 ** (-EDGE_BELOW_LOUDEST_DB / 10), 10 ** (SILENCE_DBFS / 10))
    heard = np.flatnonzero(powers >= threshold)
    if not len(heard):
        return samples[:0]
    margin = round(MARGIN_SECONDS * sampling_rate)
    return samples[max(0, heard[0] * window - margin) : (heard[-1] + 1) * window + margin]


def fade_edges(samples: Samples, sampling_rate: int) -> Samples:
    """Return a copy with a fade-in and a fade-out of `FADE_SECONDS`."""
    faded = samples.astype(np.float32)
    length = min(round(FADE_SECONDS * sampling_rate), len(faded) // 2)
    ramp = (0.5 - 0.5 * np.cos(np.pi * np.arange(length) / max(1, length))).astype(np.float32)
    faded[:length] *= ramp
    faded[len(faded) - length :] *= ramp[::-1]
    return faded


def join(clips: Iterable[BookClip], config: BookConfig) -> Iterator[Part]:
    """Trim and fade the clips one at a time, and compute the pause before each.

    Raises:
        ValueError: The clips are not in reading order, or differ in their sampling rate.
    """
    first: BookClip | None = None
    newest_chapter = 0
    open_chapter: int | None = None  # chapter of the last audible clip
    pause = HEAD_SECONDS
    for clip in clips:
        first = first or clip
        if clip.sampling_rate != first.sampling_rate:
            raise ValueError(f"clip {clip.id} has {clip.sampling_rate} Hz, clip {first.id} {first.sampling_rate} Hz")
        if clip.chapter < newest_chapter:
            raise ValueError(f"clip {clip.id} of chapter {clip.chapter} comes after chapter {newest_chapter}")
        newest_chapter = clip.chapter
        samples = fade_edges(trim_edges(clip.samples, clip.sampling_rate), clip.sampling_rate)
        if not len(samples):
            # Keep the pause at the end of a paragraph, even if its last sentence is silent.
            pause = max(pause, pause_seconds(clip.boundary, config))
            yield Part(clip, samples, 0, opens_chapter=False)
            continue
        opens_chapter = clip.chapter != open_chapter
        if opens_chapter:
            pause = HEAD_SECONDS if open_chapter is None else config.chapter_pause
        yield Part(clip, samples, round(pause * clip.sampling_rate), opens_chapter)
        open_chapter = clip.chapter
        pause = pause_seconds(clip.boundary, config)


class Timeline:
    """Records the positions of the parts of a book."""

    def __init__(self) -> None:
        self.sampling_rate = 0  # Hz; 0 before the first part
        self.silent: list[str] = []  # ids of accepted clips that are silent
        self._position = 0
        self._chapters: list[tuple[int, int, list[Spoken]]] = []  # index, mark, spoken

    def add(self, part: Part) -> None:
        """Append a part."""
        clip = part.clip
        self.sampling_rate = clip.sampling_rate
        if not len(part.samples):
            self.silent += [clip.id] if len(clip.samples) else []
            return
        start = self._position + part.pause
        self._position = start + len(part.samples)
        if part.opens_chapter:
            # The mark is before the first word, so that players do not cut it off, but never inside the previous
            # chapter's last word.
            mark = start - min(part.pause, round(HEAD_SECONDS * clip.sampling_rate))
            self._chapters.append((clip.chapter, mark, []))
        self._chapters[-1][2].append(Spoken(clip.id, clip.text, start, self._position))

    @property
    def num_samples(self) -> int:
        """Length of the m4b in samples."""
        return self._position + round(TAIL_SECONDS * self.sampling_rate)

    @property
    def chapters(self) -> tuple[ChapterSpan, ...]:
        """Chapters with at least one audible clip."""
        return tuple(ChapterSpan(index, mark, tuple(spoken)) for index, mark, spoken in self._chapters)
