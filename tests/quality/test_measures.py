"""Comparison of stored clips with the measures in their rows, which were taken before rounding to 16 bits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.audio.encoding import decode, encode
from pipeline.quality.signal import lossy_measures_problem, measure, measures_problem

RATE = 16_000
Samples = npt.NDArray[np.float32]


def sounds() -> Iterator[Samples]:
    """Return tones and noise from below a 16-bit step to beyond full scale, and clips with edges near silence."""
    rng = np.random.default_rng(0)
    for amplitude in (1e-6, 1e-5, 3e-5, 1e-4, 9e-4, 1e-3, 1.01e-3, 0.01, 0.5, 1.0, 1.5):
        for num_samples in (1, 50, 8000):
            yield rng.uniform(-amplitude, amplitude, num_samples).astype(np.float32)
            yield (amplitude * np.sin(np.arange(num_samples) / 5)).astype(np.float32)
    for threshold in np.linspace(0.0009, 0.0011, 9):  # edges about where silence ends
        edge = rng.normal(0, threshold, 2000)
        yield np.concatenate([edge, rng.normal(0, 0.1, 2000), edge]).astype(np.float32)


def told_of(samples: Samples) -> dict[str, object]:
    """Return the measures of a row, rounded to float32."""
    return {name: float(np.float32(value)) for name, value in measure(samples, RATE).items()}


def test_measures_fit_their_own_clip() -> None:
    """Guards against false problems for very quiet or clipped clips."""
    for samples in sounds():
        stored, rate = decode(encode(samples, RATE))
        assert measures_problem(told_of(samples), stored, rate) == ""


@pytest.mark.parametrize("form", ["mp3", "opus"])
def test_measures_fit_a_lossy_clip(form: str) -> None:
    """Guards against false problems caused by rounding, ringing or padding of a lossy codec."""
    for samples in sounds():
        stored, rate = decode(encode(samples, RATE, form))
        assert lossy_measures_problem(told_of(samples), stored, rate) == ""


@pytest.mark.parametrize(
    ("name", "by"),
    [
        ("peak_dbfs", 0.01),
        ("rms_dbfs", -0.01),
        ("loudest_50ms_dbfs", 0.01),
        ("clipped_fraction", 0.001),
        ("leading_silence_seconds", 0.01),
        ("trailing_silence_seconds", float("nan")),
    ],
)
def test_a_measure_that_was_altered_is_named(name: str, by: float) -> None:
    """Bug: columns of measures were not compared with the audio."""
    samples = np.concatenate([np.zeros(800), np.sin(np.arange(8000) / 5) * 0.3, np.zeros(800)]).astype(np.float32)
    told = told_of(samples)
    told[name] = float(str(told[name])) + by
    assert measures_problem(told, decode(encode(samples, RATE))[0], RATE).startswith(f"its {name} is ")
    told[name] = None
    assert measures_problem(told, decode(encode(samples, RATE))[0], RATE).startswith(f"its {name} is None")


def test_levels_of_other_audio_do_not_fit_a_lossy_clip() -> None:
    """Bug: any level was accepted for clips in MP3."""
    loud, faint = (
        np.full(8000, level, np.float32) * np.sin(np.arange(8000) / 5).astype(np.float32) for level in (0.5, 0.05)
    )
    stored, rate = decode(encode(loud, RATE, "mp3"))
    assert lossy_measures_problem(told_of(faint), stored, rate)
