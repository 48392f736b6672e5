"""Moves speech in time until its pulses are where its codes say that they are.

Heights are rounded, and a voice begins at phase 0 wherever it begins: so the pulses that codes count are not those of
the teacher. A codec that is to learn the shape of a pulse has to hear it where it
counted it. Moments without a voice are stretched a little, so that what is moved stays in one piece.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates, spline_filter1d

from scripts.voice.teachers import FRAME_SECONDS, HALVES, Voice

Floats = npt.NDArray[np.float64]

_POINTS = 5  # moments in half a frame at which it is known how far speech is moved
_FORGOTTEN = 8  # halves of a frame after which it does not matter how far the voice before was moved


def retimed(samples: npt.NDArray[np.float32], voice: Voice, advances: Floats, hop: int) -> npt.NDArray[np.float32]:
    """Samples `[T * hop]` of speech with this voice, moved.

    Args:
        samples: `[T * hop]`.
        voice: As the teacher made it.
        advances: Cycles that codes count in each half, `[T, halves]`; zeros where there is no voice.
        hop: Samples in a frame.
    """
    half = hop // HALVES
    moments, lags = [np.zeros(1)], [np.zeros(1)]  # in halves
    for first, last in _runs(advances[:, 0] > 0):
        counted = np.concatenate([[0.0], advances[first:last].ravel().cumsum()])
        at = np.linspace(HALVES * first, HALVES * last, _POINTS * HALVES * (last - first) + 1)
        wanted = np.interp(at, np.arange(HALVES * first, HALVES * last + 1), counted)
        knots, cycles = _cycles(voice, HALVES * first, HALVES * last)
        before = lags[-1][-1] * max(0.0, 1 - (at[0] - moments[-1][-1]) / _FORGOTTEN)
        whole = np.round(np.mean(np.interp(at + before, knots, cycles) - wanted))
        moments.append(at)
        lags.append(np.interp(wanted + whole, cycles, knots) - at)
    moments.append(np.array([len(voice.hertz)]))
    lags.append(np.zeros(1))
    times = np.arange(len(samples)) / half
    moved = half * (times + np.interp(times, np.concatenate(moments), np.concatenate(lags)))
    smooth = spline_filter1d(samples.astype(np.float64), order=5, mode="nearest")
    there = map_coordinates(smooth, moved[None], order=5, mode="nearest", prefilter=False)
    return np.asarray(there, np.float32)


def _runs(has_voice: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """First frame of each stretch with a voice, and the one after it."""
    edges = np.flatnonzero(np.diff(has_voice.astype(np.int8), prepend=0, append=0))
    return zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _cycles(voice: Voice, first: int, last: int) -> tuple[Floats, Floats]:
    """Moments `[M]`, in halves, and the teacher's cycles there `[M]`, on beyond both ends of these halves."""
    heard = first + np.flatnonzero(voice.hertz[first:last])  # in each frame a half at least
    begin, end, beyond = heard[0], heard[-1], 2 + last - first
    slopes = np.maximum(np.diff(voice.cycles[begin : end + 1].astype(np.float64)), 0.1)
    edges = [np.full(beyond, voice.hertz[place] * FRAME_SECONDS / HALVES) for place in (begin, end)]
    cycles = np.concatenate([[0.0], np.concatenate([edges[0], slopes, edges[1]]).cumsum()])
    knots = np.arange(begin - beyond, end + beyond + 1, dtype=np.float64)
    return knots, cycles - cycles[beyond] + float(voice.cycles[begin])
