"""Mastering of a book: loudness measurement, one gain for the whole book, a peak limiter, measures of chapters.

Loudness follows ITU-R BS.1770 with the filters of pyloudnorm. pyloudnorm measures one array in memory; here the filters
keep their state between calls, so that a book is measured as a stream. The gating of BS.1770 only needs the powers of
the blocks, which are ten numbers for each second of audio.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyloudnorm
from scipy import ndimage, signal

Samples = npt.NDArray[np.float32]
Powers = npt.NDArray[np.float64]

MAX_GAIN_DB = 30.0  # a book that needs more is faulty, and its noise must not be amplified
OVERSAMPLING = 4  # BS.1770 measures true peaks, which lie between samples, at four times the rate
PEAK_MARGIN_DB = 0.2  # 0.17 dB: maximum error of fourfold oversampling; the rest: rounding to 16 bits
LOOK_AHEAD_SECONDS = 0.005  # the limiter reduces the gain this long before and after a peak
NOISE_WINDOW_SECONDS = 0.05
NOISE_PERCENTILE = 5.0

# Technical requirements of ACX (Audiobook Creation Exchange) for the file of a chapter.
ACX_RMS_DBFS = (-23.0, -18.0)
ACX_PEAK_DBFS = -3.0
ACX_NOISE_FLOOR_DBFS = -60.0
ACX_MAX_SECONDS = 120 * 60.0


class LoudnessMeter:
    """Streaming measurement of the powers of overlapping 400 ms blocks of a K-weighted mono signal."""

    def __init__(self, sampling_rate: int) -> None:
        shelf = pyloudnorm.IIRfilter(4.0, 1 / math.sqrt(2), 1500.0, sampling_rate, "high_shelf")
        high_pass = pyloudnorm.IIRfilter(0.0, 0.5, 38.0, sampling_rate, "high_pass")
        self._sections = np.array([[*shelf.b, *shelf.a], [*high_pass.b, *high_pass.a]])
        self._state = np.zeros((2, 2))
        self._hop = round(sampling_rate / 10)  # blocks begin every 100 ms, a quarter of their length
        self._rest = np.zeros(0)  # filtered samples, fewer than one hop
        self._hop_powers: list[Powers] = []

    def add(self, samples: Samples) -> None:
        """Measure the next samples [N]."""
        if not len(samples):
            return
        weighted, self._state = signal.sosfilt(self._sections, samples.astype(np.float64), zi=self._state)
        weighted = np.concatenate([self._rest, weighted])
        whole = len(weighted) // self._hop * self._hop
        self._hop_powers.append(np.square(weighted[:whole]).reshape(-1, self._hop).mean(axis=1))
        self._rest = weighted[whole:]

    def block_powers(self) -> Powers:
        """Return the mean square of every complete block, [blocks]."""
        hops = np.concatenate([np.zeros(0), *self._hop_powers])
        return np.lib.stride_tricks.sliding_window_view(hops, 4).mean(axis=1) if len(hops) >= 4 else np.zeros(0)


def integrated_loudness(block_powers: Powers) -> float:
    """Return the gated loudness in LUFS (BS.1770-4); minus infinity if no block passes the absolute gate.

    Concatenate the blocks of several recordings, for example of the chapters of a book, to measure them together.
    """
    loudness = _loudness(block_powers)
    audible = block_powers[loudness >= -70.0]
    if not len(audible):
        return -math.inf
    relative_gate = float(_loudness(audible.mean())) - 10.0
    return float(_loudness(block_powers[(loudness > relative_gate) & (loudness >= -70.0)].mean()))


def _loudness(powers: Powers | np.float64) -> Powers:
    with np.errstate(divide="ignore"):
        return np.asarray(-0.691 + 10 * np.log10(powers), dtype=np.float64)


def gain_for(measured_lufs: float, target_lufs: float) -> float:
    """Return the gain of a book in dB, at most `MAX_GAIN_DB`; 0 for silence."""
    if math.isinf(measured_lufs):
        return 0.0
    return min(target_lufs - measured_lufs, MAX_GAIN_DB)


def limit(samples: Samples, sampling_rate: int, peak_dbfs: float) -> Samples:
    """Reduce the level around every true peak above `peak_dbfs`; return `samples` unchanged if there is none.

    Each clip can be limited separately because clips begin and end with silence. The gain that each sample needs is
    held over a window (running minimum) and then averaged over a window of the same length. The average is still low
    enough at the peak, and it changes slowly, which avoids the distortion of hard clipping.

    Args:
        samples: [N], full scale is 1.0.
        sampling_rate: In Hz.
        peak_dbfs: Maximum true peak.
    """
    if not len(samples):
        return samples
    ceiling = 10 ** ((peak_dbfs - PEAK_MARGIN_DB) / 20)
    peaks = np.abs(samples)
    for between in signal.resample_poly(samples, OVERSAMPLING, 1).reshape(-1, OVERSAMPLING).T:
        np.maximum(peaks, np.abs(between), out=peaks)
    if peaks.max() <= ceiling:
        return samples
    needed = ceiling / np.maximum(peaks, ceiling, dtype=np.float64)
    half = 2 * (round(LOOK_AHEAD_SECONDS * sampling_rate) // 2)
    held = ndimage.minimum_filter1d(needed, 2 * half + 1)
    # Two averages of half + 1 samples have the same reach as the minimum, and a smoother gain than one average.
    gain = ndimage.uniform_filter1d(ndimage.uniform_filter1d(held, half + 1), half + 1)
    limited: Samples = (samples * gain).astype(np.float32)
    return limited


@dataclass(frozen=True)
class Measures:
    """Measures of a finished chapter. A level of minus infinity is digital silence."""

    seconds: float
    loudness_lufs: float
    rms_dbfs: float
    peak_dbfs: float
    noise_floor_dbfs: float

    def meets_acx(self) -> dict[str, bool]:
        """Return which technical requirements of ACX the chapter meets."""
        return {
            "rms": ACX_RMS_DBFS[0] <= self.rms_dbfs <= ACX_RMS_DBFS[1],
            "peak": self.peak_dbfs <= ACX_PEAK_DBFS,
            "noise_floor": self.noise_floor_dbfs <= ACX_NOISE_FLOOR_DBFS,
            "length": self.seconds <= ACX_MAX_SECONDS,
        }


class ChapterMeter:
    """Streaming measurement of a chapter.

    The noise floor is the 5th percentile of the level of 50 ms windows inside the clips. Pauses are excluded: they are
    digital silence and would hide the noise.
    """

    def __init__(self, sampling_rate: int) -> None:
        self._sampling_rate = sampling_rate
        self._loudness = LoudnessMeter(sampling_rate)
        self._num_samples = 0
        self._energy = 0.0
        self._peak = 0.0
        self._noise: list[Powers] = []

    def add_pause(self, num_samples: int) -> None:
        """Add digital silence between clips."""
        self._num_samples += num_samples
        self._loudness.add(np.zeros(num_samples, dtype=np.float32))

    def add_clip(self, samples: Samples) -> None:
        """Add the samples [N] of a mastered clip."""
        squares = np.square(samples, dtype=np.float64)
        window = round(NOISE_WINDOW_SECONDS * self._sampling_rate)
        whole = len(squares) // window * window
        self._noise.append(squares[:whole].reshape(-1, window).mean(axis=1))
        self._num_samples += len(samples)
        self._energy += float(squares.sum())
        self._peak = max(self._peak, float(np.abs(samples).max(initial=0.0)))
        self._loudness.add(samples)

    def block_powers(self) -> Powers:
        """See `LoudnessMeter.block_powers`."""
        return self._loudness.block_powers()

    def measures(self) -> Measures:
        """Return the measures of everything added so far."""
        noise = np.concatenate([np.zeros(0), *self._noise])
        return Measures(
            seconds=self._num_samples / self._sampling_rate,
            loudness_lufs=integrated_loudness(self.block_powers()),
            rms_dbfs=_decibels(self._energy / max(1, self._num_samples)),
            peak_dbfs=_decibels(self._peak**2),
            noise_floor_dbfs=_decibels(float(np.percentile(noise, NOISE_PERCENTILE)) if len(noise) else 0.0),
        )


def _decibels(power: float) -> float:
    return 10 * math.log10(power) if power > 0 else -math.inf
