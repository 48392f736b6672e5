"""Faults put into clean clips: words cut out, doubled, swapped, the end cut, other speech, noise, half the rate.

Word times are those of a recogniser, moved to the quietest place near by. Which words, is drawn from the clip's seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from pipeline.quality.transcript.recognizer import HeardWord, Recording

Samples = npt.NDArray[np.float32]

SEARCH_SECONDS = 0.08  # how far a cut may be moved to a quiet place
FADE_SECONDS = 0.005
BABBLE_SECONDS = 3.0
NOISE_DECIBELS = 10.0  # of speech above noise
BABBLE = "3 s of babble appended"
PHRASE_WORDS = (2, 4)


@dataclass(frozen=True)
class Source:
    """A clean clip, what was heard in it, and other speech."""

    recording: Recording
    words: Sequence[HeardWord]
    other: Recording
    random: np.random.Generator = field(repr=False)


@dataclass(frozen=True)
class Fault:
    """A clip with a fault."""

    recording: Recording
    detail: str  # the words concerned


def inject(kind: str, source: Source) -> Fault | None:
    """Return the clip with a fault of a kind of `KINDS`; None: it has too few words for it."""
    return KINDS[kind](source)


def _cut(source: Source, count: int) -> Fault | None:
    if (first := _choose(source, count)) is None:
        return None
    start, end = _edge(source, first), _edge(source, first + count)
    samples = source.recording.samples
    return _fault(source, [samples[:start], samples[end:]], first, count)


def _double(source: Source, count: int) -> Fault | None:
    if (first := _choose(source, count)) is None:
        return None
    start, end = _edge(source, first), _edge(source, first + count)
    samples = source.recording.samples
    return _fault(source, [samples[:end], samples[start:end], samples[end:]], first, count)


def _swap(source: Source) -> Fault | None:
    if (first := _choose(source, 2)) is None:
        return None
    start, middle, end = (_edge(source, first + step) for step in range(3))
    samples = source.recording.samples
    return _fault(source, [samples[:start], samples[middle:end], samples[start:middle], samples[end:]], first, 2)


def _cut_end(source: Source) -> Fault:
    samples = source.recording.samples
    end = round(0.8 * len(samples))
    lost = [word for word in source.words if (word.start + word.end) / 2 * source.recording.sampling_rate > end]
    return Fault(_with(source, [samples[:end]]), " ".join(word.text.strip() for word in lost))


def _babble(source: Source) -> Fault:
    other = source.other
    assert other.sampling_rate == source.recording.sampling_rate
    length = round(BABBLE_SECONDS * other.sampling_rate)
    repeated = np.tile(other.samples, -(-length // max(1, len(other.samples))))
    first = int(source.random.integers(0, len(repeated) - length + 1))
    return Fault(_with(source, [source.recording.samples, repeated[first : first + length]]), "")


def _noise(source: Source) -> Fault:
    samples = np.asarray(source.recording.samples, dtype=np.float64)
    level = np.sqrt(np.mean(np.square(samples))) * 10 ** (-NOISE_DECIBELS / 20)
    noisy = samples + level * source.random.standard_normal(len(samples))
    return Fault(Recording(noisy.astype(np.float32), source.recording.sampling_rate), "")


def _halve_rate(source: Source) -> Fault:
    rate = source.recording.sampling_rate
    return Fault(Recording(soxr.resample(source.recording.samples, rate, rate // 2), rate // 2), "")


def _phrase(fault: Callable[[Source, int], Fault | None]) -> Callable[[Source], Fault | None]:
    return lambda source: fault(source, int(source.random.integers(PHRASE_WORDS[0], PHRASE_WORDS[1] + 1)))


KINDS: dict[str, Callable[[Source], Fault | None]] = {
    "one word cut out": lambda source: _cut(source, 1),
    "two to four words cut out": _phrase(_cut),
    "one word doubled": lambda source: _double(source, 1),
    "two to four words doubled": _phrase(_double),
    "two words swapped": _swap,
    "end cut at 80 %": _cut_end,
    BABBLE: _babble,
    "white noise at 10 dB": _noise,
    "half the sampling rate": _halve_rate,
}


def _choose(source: Source, count: int) -> int | None:
    """Index of the first of `count` words; at least two others remain."""
    choices = len(source.words) - count
    return int(source.random.integers(0, choices + 1)) if choices >= 2 else None


def _edge(source: Source, index: int) -> int:
    """Sample at which a word begins (the last one ends), at the quietest place near the time that is known."""
    words, rate = source.words, source.recording.sampling_rate
    samples = np.asarray(source.recording.samples, dtype=np.float64)
    if index == 0:
        return 0
    if index == len(words):
        return len(samples)
    time = (words[index - 1].end + words[index].start) / 2
    first = min(max(0, round((time - SEARCH_SECONDS) * rate)), len(samples) - 1)
    stretch = np.square(samples[first : round((time + SEARCH_SECONDS) * rate) + 1])
    width = max(1, round(0.02 * rate))
    if len(stretch) <= width:
        return first
    return first + int(np.convolve(stretch, np.ones(width), "valid").argmin()) + width // 2


def _fault(source: Source, parts: list[npt.NDArray[Any]], first: int, count: int) -> Fault:
    detail = " ".join(word.text.strip() for word in source.words[first : first + count])
    return Fault(_with(source, parts), detail)


def _with(source: Source, parts: list[npt.NDArray[Any]]) -> Recording:
    """Join parts; each is faded at both ends, so that no click tells where the cut is."""
    rate = source.recording.sampling_rate
    faded = []
    for part in parts:
        part = np.array(part, dtype=np.float32)
        length = min(round(FADE_SECONDS * rate), len(part) // 2)
        if length:
            ramp = np.linspace(0.0, 1.0, length, dtype=np.float32)
            part[:length] *= ramp
            part[-length:] *= ramp[::-1]
        faded.append(part)
    return Recording(np.concatenate(faded), rate)
