"""How high a voice speaks, moment by moment, and whether it sounds at all: autocorrelation and the best path.

After P. Boersma (1993), "Accurate short-term analysis of the fundamental frequency": peaks of a moment's
autocorrelation, divided by that of its window, are candidates; of all paths through them that of the greatest worth is
taken, where leaps in pitch and a voice that begins or ends cost something. Knows nothing of codes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.signal import get_window

Floats = npt.NDArray[np.float64]

_LOWEST, _HIGHEST = 60.0, 500.0  # Hz
_WINDOW_SECONDS = 3 / _LOWEST
_CANDIDATES = 5  # voiced ones, of each moment
_VOICELESS = 0.45  # what a peak has to be worth to be a voice
_SILENT = 0.03  # of the loudest sample, below which moments are rather voiceless
_OCTAVE = 0.01  # worth of an octave: a period counts more than two of them
_LEAP = 0.35  # cost of an octave between moments 10 ms apart
_CHANGE = 0.14  # cost of a voice that begins or ends


def pitch(samples: npt.NDArray[np.float32], rate: int, hop: int) -> npt.NDArray[np.float32]:
    """Hz at samples 0, hop, 2 hop ..., `[N // hop]`; 0: there is no voice."""
    strengths, hertz = _candidates(samples.astype(np.float64), rate, hop)
    return _path(strengths, hertz, 0.01 * rate / hop).astype(np.float32)


def _candidates(samples: Floats, rate: int, hop: int) -> tuple[Floats, Floats]:
    """Worth and Hz of each moment's candidates `[T, 1 + _CANDIDATES]`, the first of which is to have no voice."""
    size = round(_WINDOW_SECONDS * rate) // 2 * 2
    padded = np.pad(samples, size // 2)
    pieces = np.lib.stride_tricks.sliding_window_view(padded, size)[: len(samples) : hop][: len(samples) // hop]
    pieces = pieces - pieces.mean(axis=1, keepdims=True)
    window = get_window("hann", size)
    longest = round(rate / _LOWEST) + 2
    own = _autocorrelation(window[None], longest)
    alike = _autocorrelation(pieces * window, longest)
    alike /= np.maximum(alike[:, :1], 1e-9) * own / own[:, :1]
    loudness = np.abs(pieces).max(axis=1) / max(1e-9, float(np.abs(samples).max(initial=0.0)))
    shortest = int(rate / _HIGHEST)
    before, here, after = (alike[:, shortest - 1 + i : longest - 2 + i] for i in range(3))
    is_peak = (here > before) & (here >= after) & (here > 0.5 * _VOICELESS)
    bend = np.minimum(before - 2 * here + after, -1e-9)
    lags = np.arange(shortest, longest - 1) + np.where(is_peak, 0.5 * (before - after) / bend, 0.0)
    heights = np.minimum(here - (before - after) ** 2 / (8 * bend), 1.0)
    worth = np.where(is_peak, heights + _OCTAVE * np.log2(rate / lags / _LOWEST), -np.inf)
    best = np.argsort(-worth, axis=1)[:, :_CANDIDATES]
    voiceless = _VOICELESS + np.maximum(0.0, 2 - loudness / (_SILENT / (1 + _VOICELESS)))
    strengths = np.column_stack([voiceless, np.take_along_axis(worth, best, axis=1)])
    hertz = np.column_stack([np.zeros(len(pieces)), rate / np.take_along_axis(lags, best, axis=1)])
    return strengths, hertz


def _autocorrelation(pieces: Floats, longest: int) -> Floats:
    """Of each row, for lags 0 to `longest`."""
    powers = np.abs(np.fft.rfft(pieces, 2 * pieces.shape[1])) ** 2
    return np.fft.irfft(powers)[:, : longest + 1]


def _path(strengths: Floats, hertz: Floats, haste: float) -> Floats:
    """Hz of the candidates on the path of the greatest worth; `haste` is how many moments there are in 10 ms."""
    octaves = np.log2(np.maximum(hertz, 1.0))
    has_voice = hertz > 0
    total = strengths[0] if len(strengths) else strengths
    came_from = np.zeros(strengths.shape, np.int64)
    for moment in range(1, len(strengths)):
        leap = _LEAP * np.abs(octaves[moment][:, None] - octaves[moment - 1])
        both = has_voice[moment][:, None] & has_voice[moment - 1]
        changes = has_voice[moment][:, None] != has_voice[moment - 1]
        reached = total - haste * np.where(both, leap, _CHANGE * changes)
        came_from[moment] = reached.argmax(axis=1)
        total = strengths[moment] + reached.max(axis=1)
    path = np.zeros(len(strengths), np.int64)
    if len(path):
        path[-1] = total.argmax()
    for moment in range(len(path) - 1, 0, -1):
        path[moment - 1] = came_from[moment, path[moment]]
    return np.take_along_axis(hertz, path[:, None], axis=1)[:, 0]
