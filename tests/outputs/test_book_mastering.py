"""Guards the level of a book: a loudness that depends on how the audio was cut, peaks that get through, pumping."""

from __future__ import annotations

import math

import numpy as np
import pyloudnorm
import pytest
from book_sounds import RATE, noise, silence, tone
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from pipeline.outputs.audiobook.joining import fade_edges
from pipeline.outputs.audiobook.mastering import (
    MAX_GAIN_DB,
    ChapterMeter,
    LoudnessMeter,
    Measures,
    gain_for,
    integrated_loudness,
    limit,
)


def measure(*pieces: np.ndarray, rate: int = RATE) -> float:
    meter = LoudnessMeter(rate)
    for piece in pieces:
        meter.add(piece)
    return integrated_loudness(meter.block_powers())


@settings(max_examples=20, deadline=None, derandomize=True)
@given(cuts=st.lists(st.integers(0, 3 * RATE), max_size=8), seed=st.integers(0, 1000))
def test_loudness_does_not_depend_on_how_the_audio_is_cut(cuts: list[int], seed: int) -> None:
    """Bug: the filter forgets its state at the end of a piece, or blocks across pieces are lost."""
    sound = np.concatenate([noise(1.2, 0.02, seed), silence(0.6), noise(1.2, 0.002, seed + 1)])
    sound += tone(3.0, 20, 0.3)  # a rumble, which a filter lets through whenever it begins anew
    whole = pyloudnorm.Meter(RATE).integrated_loudness(sound.astype(np.float64))
    assert measure(*np.split(sound, sorted(cuts))) == pytest.approx(whole, abs=0.01)
    assert measure(*np.split(sound, 24)) == pytest.approx(whole, abs=0.01)


@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100, 48_000])
def test_the_reference_tone_of_bs_1770_reads_right(rate: int) -> None:
    """Bug: the filters are made for another rate. A full-scale tone of 997 Hz in one channel is -3.01 LUFS."""
    assert measure(tone(3, 997, 1.0, rate), rate=rate) == pytest.approx(-3.01, abs=0.1)


def test_silence_has_no_loudness_and_gets_no_gain() -> None:
    """Bug: log of zero, or a book of silence raised by endless decibels."""
    assert measure(silence(2)) == -math.inf
    assert measure(noise(0.3)) == -math.inf  # shorter than one block
    assert gain_for(-math.inf, -18.0) == 0.0


def test_gain_meets_the_target_within_reason() -> None:
    """Bug: a nearly silent book is raised until its noise roars."""
    assert gain_for(-25.0, -18.0) == pytest.approx(7.0)
    assert gain_for(-10.0, -18.0) == pytest.approx(-8.0)
    assert gain_for(-68.0, -18.0) == MAX_GAIN_DB


def true_peak_dbfs(samples: np.ndarray) -> float:
    return 20 * math.log10(np.abs(signal.resample_poly(samples.astype(np.float64), 8, 1)).max())


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(["noise", "clicks", "tone", "burst"]),
    drive_db=st.floats(0, 18),
    peak_dbfs=st.floats(-12, -1),
    seed=st.integers(0, 1000),
)
def test_no_true_peak_gets_past_the_limiter(kind: str, drive_db: float, peak_dbfs: float, seed: int) -> None:
    """Bug: only samples are looked at, and the peak between two of them clips in the player."""
    generator = np.random.default_rng(seed)
    sound = {
        "noise": noise(0.5, 0.2, seed),
        "clicks": np.where(generator.random(RATE // 2) < 0.001, 0.9, noise(0.5, 0.01, seed)).astype(np.float32),
        "tone": tone(0.5, RATE / 4 + generator.uniform(-50, 50), 0.9),  # peaks lie between the samples
        "burst": np.concatenate([noise(0.2, 0.01, seed), tone(0.1, 300, 0.9), noise(0.2, 0.01, seed)]),
    }[kind]
    # As clips are: nothing near half the sampling rate, where no oversampling finds a peak, and silent ends.
    sound = signal.lfilter([0.25, 0.5, 0.25], [1.0], sound) * 10 ** (drive_db / 20)
    sound = fade_edges(sound, RATE)
    limited = limit(sound, RATE, peak_dbfs)
    assert limited.dtype == np.float32
    assert limited.shape == sound.shape
    assert true_peak_dbfs(limited) <= peak_dbfs


def test_what_is_low_enough_is_not_touched() -> None:
    """Bug: a limiter that colours everything."""
    sound = tone(0.5, 300, 0.5)
    assert limit(sound, RATE, -3.0) is sound
    assert len(limit(silence(0), RATE, -3.0)) == 0


def test_the_limiter_moves_slowly_and_only_near_the_peak() -> None:
    """Bug: a gain that jumps is heard as a crackle; one that lingers makes the voice pump."""
    sound = tone(1.0, 1000, 0.4)
    sound[RATE // 2] = 0.99
    gain = np.divide(limit(sound, RATE, -3.0), sound, out=np.ones_like(sound), where=np.abs(sound) > 0.05)
    gain = gain[np.abs(sound) > 0.05]
    assert np.abs(np.diff(gain)).max() < 0.02
    times = np.flatnonzero(np.abs(sound) > 0.05) / RATE
    assert np.allclose(gain[np.abs(times - 0.5) > 0.011], 1.0, atol=1e-6)
    assert gain.min() < 0.75


def test_the_noise_floor_is_that_of_the_clips_and_not_of_the_pauses() -> None:
    """Bug: digital silence between the clips hides the hiss beneath the voice."""
    meter = ChapterMeter(RATE)
    for seed in range(3):
        meter.add_clip(np.concatenate([noise(0.3, 0.003, seed), noise(1.0, 0.1, seed)]))
        meter.add_pause(RATE)
    measures = meter.measures()
    assert measures.noise_floor_dbfs == pytest.approx(20 * math.log10(0.003), abs=1.0)
    assert measures.seconds == pytest.approx(3 * 2.3)
    energy = 3 * (0.3 * 0.003**2 + 1.0 * 0.1**2) / (3 * 2.3)
    assert measures.rms_dbfs == pytest.approx(10 * math.log10(energy), abs=0.2)
    assert not measures.meets_acx()["noise_floor"]


def test_a_chapter_of_very_short_clips_can_be_measured() -> None:
    """Bug: no window fits into a clip, and the percentile of nothing is asked for."""
    meter = ChapterMeter(RATE)
    meter.add_clip(tone(0.02))
    assert meter.measures().noise_floor_dbfs == -math.inf
    assert meter.measures().loudness_lufs == -math.inf


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        ({}, set()),
        ({"rms_dbfs": -17.9}, {"rms"}),
        ({"rms_dbfs": -23.1}, {"rms"}),
        ({"peak_dbfs": -2.9}, {"peak"}),
        ({"noise_floor_dbfs": -59.0}, {"noise_floor"}),
        ({"seconds": 7201.0}, {"length"}),
    ],
)
def test_each_requirement_of_acx_is_judged_by_itself(change: dict[str, float], fails: set[str]) -> None:
    """Bug: a limit with the wrong sign passes everything."""
    good = {
        "seconds": 1800.0,
        "loudness_lufs": -19.0,
        "rms_dbfs": -20.0,
        "peak_dbfs": -3.1,
        "noise_floor_dbfs": -65.0,
    }
    met = Measures(**(good | change)).meets_acx()
    assert {name for name, ok in met.items() if not ok} == fails
