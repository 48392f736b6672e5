"""Sounds for the tests of the book: short, at a low rate, and known to the sample."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.outputs.audiobook.joining import BookClip
from pipeline.types import Boundary

RATE = 16_000  # Hz


def tone(seconds: float, hertz: float = 440.0, amplitude: float = 0.3, rate: int = RATE) -> npt.NDArray[np.float32]:
    times = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


def noise(seconds: float, amplitude: float = 0.1, seed: int = 0, rate: int = RATE) -> npt.NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    return (amplitude * generator.standard_normal(round(seconds * rate))).astype(np.float32)


def silence(seconds: float, rate: int = RATE) -> npt.NDArray[np.float32]:
    return np.zeros(round(seconds * rate), dtype=np.float32)


def clip(
    samples: npt.NDArray[np.float32],
    chapter: int = 0,
    boundary: Boundary = Boundary.SENTENCE,
    text: str = "A sentence.",
    name: str = "",
    rate: int = RATE,
) -> BookClip:
    return BookClip(name or f"{chapter}-{len(samples)}", text, chapter, boundary, samples, rate)
