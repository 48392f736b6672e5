"""The level of a book: measured, set by one gain for the whole of it, and kept under a peak.

Owns the loudness meter, the limiter and the measures of a chapter. Knows nothing of clips, chapters or files.

Loudness is BS.1770 with the filters of pyloudnorm, which itself measures one array in memory; here the filters keep
their state from one piece to the next, so that a book is measured as it streams by. The gating needs no audio, only
the powers of the blocks: ten numbers for a second of sound.
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

MAX_GAIN_DB = 30.0  # a book quieter than that allows is faulty: do not make its noise loud
OVERSAMPLING = 4  # true peaks lie between samples; BS.1770 looks for them at four times the rate
PEAK_MARGIN_DB = 0.2  # four times may miss 0.17 dB of a peak at a quarter of the rate; the rest is for 16 bits
LOOK_AHEAD_SECONDS = 0.005  # the limiter turns down that long before a peak, and up again as long after
NOISE_WINDOW_SECONDS = 0.05
NOISE_PERCENTILE = 5.0

# The technical part of ACX's requirements for a chapter's file.
ACX_RMS_DBFS = (-23.0, -18.0)
ACX_PEAK_DBFS = -3.0
ACX_NOISE_FLOOR_DBFS = -60.0
ACX_MAX_SECONDS = 120 * 60.0


class LoudnessMeter:
    """The powers of overlapping 400 ms blocks of a K-weighted mono signal, given piece by piece."""

    def __init__(self, sampling_rate: int) -> None:
        shelf = pyloudnorm.IIRfilter(4.0, 1 / math.sqrt(2), 1500.0, sampling_rate, "high_shelf")
        high_pass = pyloudnorm.IIRfilter(0.0, 0.5, 38.0, sampling_rate, "high_pass")
        self._sections = np.array([[*shelf.b, *shelf.a], [*high_pass.b, *high_pass.a]])
        self._state = np.zeros((2, 2))
        self._hop = round(sampling_rate / 10)  # blocks begin every 100 ms, a quarter of their length
        self._rest = np.zeros(0)  # filtered, less than a hop
        self._hop_powers: list[Powers] = []

    def add(self, samples: Samples) -> None:
        """Measure the next piece."""
        if not len(samples):
            return
        weighted, self._state = signal.sosfilt(self._sections, samples.astype(np.float64), zi=self._state)
        weighted = np.concatenate([self._rest, weighted])
        whole = len(weighted) // self._hop * self._hop
        self._hop_powers.append(np.square(weighted[:whole]).reshape(-1, self._hop).mean(axis=1))
        self._rest = weighted[whole:]

    def block_powers(self) -> Powers:
        """Mean square of every whole block so far, [blocks]."""
        hops = np.concatenate([np.zeros(0), *self._hop_powers])
        return np.lib.stride_tricks.sliding_window_view(hops, 4).mean(axis=1) if len(hops) >= 4 else np.zeros(0)


def integrated_loudness(block_powers: Powers) -> float:
    """Gated loudness in LUFS (BS.1770-4); minus infinity when no block passes the absolute gate.

    Blocks of several recordings can be put together: that is how a book is measured from its chapters.
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
    """The one gain of a book, in dB. Silence is left alone."""
    if math.isinf(measured_lufs):
        return 0.0
    return min(target_lufs - measured_lufs, MAX_GAIN_DB)


def limit(samples: Samples, sampling_rate: int, peak_dbfs: float) -> Samples:
    """Turn `samples` down around every true peak above `peak_dbfs`; leaves them as they are when there is none.

    Clips begin and end in silence, so that each can be limited alone. The gain each sample needs is held over a window
    (a running minimum) and then averaged over one of the same length: the average of values that are all low enough is
    low enough, and it moves slowly, which is what keeps a limiter from crackling as a clipper does.
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
    # Two averages of half + 1 reach as far as the minimum did, with a gain that has no corners.
    gain = ndimage.uniform_filter1d(ndimage.uniform_filter1d(held, half + 1), half + 1)
    limited: Samples = (samples * gain).astype(np.float32)
    return limited


@dataclass(frozen=True)
class Measures:
    """What a finished chapter measures. A level of minus infinity is digital silence."""

    seconds: float
    loudness_lufs: float
    rms_dbfs: float
    peak_dbfs: float
    noise_floor_dbfs: float

    def meets_acx(self) -> dict[str, bool]:
        """Which technical requirements of ACX for a chapter's file are met."""
        return {
            "rms": ACX_RMS_DBFS[0] <= self.rms_dbfs <= ACX_RMS_DBFS[1],
            "peak": self.peak_dbfs <= ACX_PEAK_DBFS,
            "noise_floor": self.noise_floor_dbfs <= ACX_NOISE_FLOOR_DBFS,
            "length": self.seconds <= ACX_MAX_SECONDS,
        }


class ChapterMeter:
    """Measures a chapter as it is written.

    The noise floor is the level of the quietest 5 % of 50 ms windows inside the clips. The pauses between them do not
    count: they are digital silence, with which any noise would pass.
    """

    def __init__(self, sampling_rate: int) -> None:
        self._sampling_rate = sampling_rate
        self._loudness = LoudnessMeter(sampling_rate)
        self._num_samples = 0
        self._energy = 0.0
        self._peak = 0.0
        self._noise: list[Powers] = []

    def add_pause(self, num_samples: int) -> None:
        """Count silence between clips."""
        self._num_samples += num_samples
        self._loudness.add(np.zeros(num_samples, dtype=np.float32))

    def add_clip(self, samples: Samples) -> None:
        """Measure a mastered clip."""
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
        """The measures of all that was added."""
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
