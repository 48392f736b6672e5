"""Clips, one after the other, with the pauses that their boundaries ask for.

Owns the trimming of silent edges, the fades, and the timeline: which sample of the book each segment begins at. Knows
nothing of loudness or files.

The silence of one book is exactly additive. In the one file:

    HEAD | clip | pause | clip | ... | chapter_pause | clip | pause | clip | ... | TAIL

and in each chapter's own file `HEAD | clip | pause | clip | ... | TAIL`. Every length is a whole number of samples, so
that the length of a file is the sum of its parts. Silence is digital silence.
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
MARGIN_SECONDS = 0.03  # of a clip's own edges, kept around what can be heard
FADE_SECONDS = 0.005  # at both ends of a clip, against clicks; it lies inside the margin
WINDOW_SECONDS = 0.01  # the level of an edge is judged in windows of this length
EDGE_BELOW_LOUDEST_DB = 45.0
SILENCE_DBFS = -75.0


@dataclass(frozen=True)
class BookClip:
    """A clip and its place in the book. A rejected one has no samples, but it has a boundary."""

    id: str
    text: str  # as written in the source
    chapter: int  # index into the chapter titles
    boundary: Boundary  # what follows it
    samples: Samples  # [N], mono
    sampling_rate: int  # Hz


@dataclass(frozen=True)
class Part:
    """A clip made ready to be joined. Nothing is left of a silent one: no samples, no pause."""

    clip: BookClip
    samples: Samples  # [N], trimmed and faded
    pause: int  # samples of silence before it, in the one file
    opens_chapter: bool


@dataclass(frozen=True)
class Spoken:
    """Where one segment is heard, in samples of the one file."""

    id: str
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class ChapterSpan:
    """Where a chapter is, in samples of the one file. It ends at the mark of the next one."""

    index: int
    mark: int
    spoken: tuple[Spoken, ...]  # never empty


def trim_edges(samples: Samples, sampling_rate: int) -> Samples:
    """Cut the silent edges of a clip down to `MARGIN_SECONDS`; of a silent clip nothing is left.

    An edge is silent as long as its windows stay 45 dB below the clip's loudest window, or below -75 dBFS. The weakest
    sounds of speech (the f of "fine", an h, a fading breath) lie some 30 to 40 dB below its vowels, so that the first
    rule leaves them in, whatever the level of the clip; where the noise of a clip is louder than that, nothing is cut.
    The second rule is for faint clips: 45 dB below such a clip may be deeper than any silence.
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
    """A copy that rises from zero and falls back to zero over `FADE_SECONDS`."""
    faded = samples.astype(np.float32)
    length = min(round(FADE_SECONDS * sampling_rate), len(faded) // 2)
    ramp = (0.5 - 0.5 * np.cos(np.pi * np.arange(length) / max(1, length))).astype(np.float32)
    faded[:length] *= ramp
    faded[len(faded) - length :] *= ramp[::-1]
    return faded


def join(clips: Iterable[BookClip], config: BookConfig) -> Iterator[Part]:
    """Make the clips ready, one at a time.

    Raises:
        ValueError: The clips are not in reading order, or differ in their sampling rate.
    """
    first: BookClip | None = None
    newest_chapter = 0
    open_chapter: int | None = None  # of the last clip that can be heard
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
            # The end of a paragraph stays one, even if its last sentence cannot be heard.
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
    """Collects where the parts of a book come to lie."""

    def __init__(self) -> None:
        self.sampling_rate = 0  # Hz; 0 until a part was added
        self.silent: list[str] = []  # ids of the clips that cannot be heard, though they were accepted
        self._position = 0
        self._chapters: list[tuple[int, int, list[Spoken]]] = []  # index, mark, spoken

    def add(self, part: Part) -> None:
        """Put `part` at the end."""
        clip = part.clip
        self.sampling_rate = clip.sampling_rate
        if not len(part.samples):
            self.silent += [clip.id] if len(clip.samples) else []
            return
        start = self._position + part.pause
        self._position = start + len(part.samples)
        if part.opens_chapter:
            # A mark lies a moment before the first word, so that no player cuts into it, but never in the last word of
            # the chapter before.
            mark = start - min(part.pause, round(HEAD_SECONDS * clip.sampling_rate))
            self._chapters.append((clip.chapter, mark, []))
        self._chapters[-1][2].append(Spoken(clip.id, clip.text, start, self._position))

    @property
    def num_samples(self) -> int:
        """Length of the one file."""
        return self._position + round(TAIL_SECONDS * self.sampling_rate)

    @property
    def chapters(self) -> tuple[ChapterSpan, ...]:
        """The chapters of which something can be heard."""
        return tuple(ChapterSpan(index, mark, tuple(spoken)) for index, mark, spoken in self._chapters)
