"""What a teacher is: it turns a line into samples and says which frames belong to which characters.

A teacher works on a grid of 25 ms, the codec's frames. It knows no codec and no model. `neural_teachers` has those that
speak; here is only the stand-in for tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from scripts.voice.manifest import Line

FRAME_SECONDS = 0.025
HALVES = 2  # of a frame: how finely a teacher knows its voice


@dataclass(frozen=True)
class Span:
    """A stretch of the text and when it is spoken: both half open, in characters and frames."""

    start: int
    end: int
    first_frame: int
    last_frame: int


@dataclass(frozen=True)
class Sound:
    """A phoneme, a pause or the like, as the teacher names it, and its length. A vowel has its stress in its name."""

    name: str
    frames: int  # may be 0


@dataclass(frozen=True)
class Voice:
    """The pulses of the voice, as the teacher made them, at the beginning of each half of a frame: `[2 * T]`."""

    hertz: npt.NDArray[np.float32]  # mean over the half; 0: there is no voice
    cycles: npt.NDArray[np.float32]  # since some moment before; pulses are where it is whole


@dataclass(frozen=True)
class Speech:
    """One spoken line, a whole number of frames long."""

    samples: npt.NDArray[np.float32]
    voice: Voice
    spans: tuple[Span, ...]  # in order; frames and characters between two of them belong to none
    sounds: tuple[Sound, ...]  # in order, without a gap


class Teacher(Protocol):
    """Something that speaks. It is made once in every process that renders, and loads its weights at the first line."""

    @property
    def speakers(self) -> Mapping[str, float]:
        """By name, the share of lines that each is given."""

    def speak(self, line: Line, seed: int) -> Speech:
        """The same line and seed give the same speech."""

    def pronounce(self, line: Line) -> Iterator[tuple[str, list[str]]]:
        """The words of a line with the names of their sounds."""


class Tones:
    """A stand-in for tests: every letter is a tone of its own, 75 ms long at speed 1; everything else is a rest."""

    def __init__(self, sampling_rate: int = 16_000) -> None:
        self.speakers = {"Tone": 1.0}
        self.sampling_rate = sampling_rate

    def speak(self, line: Line, seed: int) -> Speech:
        """See `Teacher`."""
        hop = round(self.sampling_rate * FRAME_SECONDS)
        frames = max(1, round(3 / line.speed))
        time = np.arange(frames * hop) / self.sampling_rate
        chance = np.random.default_rng(seed)
        pitches = [100 + 12 * (ord(letter) % 32) if letter.isalpha() else 0 for letter in line.text]
        tones = [0.3 * np.sin(2 * np.pi * pitch * time) for pitch in pitches]
        noise = 0.001 * chance.standard_normal(len(time) * len(tones))
        spans = tuple(Span(i, i + 1, i * frames, (i + 1) * frames) for i in range(len(tones)))
        sounds = tuple(Sound(letter.lower(), frames) for letter in line.text)
        hertz = np.repeat(np.array(pitches, np.float32), frames * HALVES)
        cycles = hertz * (np.arange(len(hertz)) % (frames * HALVES)).astype(np.float32) * FRAME_SECONDS / HALVES
        samples = (np.concatenate(tones) + noise).astype(np.float32)
        return Speech(samples, Voice(hertz, cycles.astype(np.float32)), spans, sounds)

    def pronounce(self, line: Line) -> Iterator[tuple[str, list[str]]]:
        """See `Teacher`."""
        return ((word, list(word.lower())) for word in line.text.split() if word.isalpha())
