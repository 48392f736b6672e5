"""What can be measured on the samples of a clip, and what is wrong with it.

Owns the signal measures that become columns of a dataset, and the flaws for which a take is refused. Knows nothing of
models, takes that follow, or files.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.config import ChecksConfig
from pipeline.types import Clip, Finish

FLOOR_DBFS = -120.0  # what digital silence measures as: below all that 16 bits can hold, and still a number in JSON
EDGE_SILENCE_DBFS = -60.0  # quieter stretches at the ends of a clip count as silence
FULL_SCALE = 32767 / 32768  # the largest sample that 16 bits can hold

# Flaws begin with one of these codes; a clip with one of the first two has no audio that could be written.
UNWRITABLE = ("empty", "non-finite")


def measure(samples: npt.NDArray[np.float32], sampling_rate: int) -> dict[str, float]:
    """Measures one clip. Levels are in dB relative to full scale, samples that are no number count as zero.

    Args:
        samples: [N], mono, full scale is 1.0.
        sampling_rate: In Hz.

    Returns:
        `peak_dbfs`, `rms_dbfs`, `loudest_50ms_dbfs` (RMS of the loudest 50 ms), `clipped_fraction` (share of samples at
        full scale or beyond), `leading_silence_seconds`, `trailing_silence_seconds` (each the whole length when
        nothing is heard).
    """
    samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
    magnitudes = np.abs(samples)
    energy = np.square(samples, dtype=np.float64)
    leading, trailing = _edge_silence(energy, sampling_rate)
    return {
        "peak_dbfs": _decibels(float(magnitudes.max(initial=0.0))),
        "rms_dbfs": _decibels(float(np.sqrt(energy.mean())) if len(energy) else 0.0),
        "loudest_50ms_dbfs": _decibels(_loudest_rms(energy, round(0.05 * sampling_rate))),
        "clipped_fraction": float(np.mean(magnitudes >= FULL_SCALE)) if len(samples) else 0.0,
        "leading_silence_seconds": leading,
        "trailing_silence_seconds": trailing,
    }


def find_flaws(clip: Clip, checks: ChecksConfig) -> tuple[str, ...]:
    """Lists what speaks against accepting a take; empty: nothing.

    Each flaw opens with a code that stays the same (`empty`, `non-finite`, `limit`, `silent`, `clipped`, `length`) and
    goes on with what was measured and what is allowed.
    """
    if len(clip.samples) == 0:
        return ("empty: no samples",)
    measures = clip.measures or measure(clip.samples, clip.sampling_rate)
    flaws = []
    num_bad = int(np.count_nonzero(~np.isfinite(clip.samples)))
    if num_bad:
        flaws.append(f"non-finite: {num_bad} of {len(clip.samples)} samples are not a number")
    if clip.finish is Finish.MAX_FRAMES:
        flaws.append(f"limit: still speaking at the limit of {clip.num_frames} frames ({clip.seconds:.2f} s)")
    loudest = measures["loudest_50ms_dbfs"]
    if loudest < checks.silence_dbfs:
        flaws.append(f"silent: loudest 50 ms at {loudest:.1f} dBFS, limit {checks.silence_dbfs:g}")
    clipped = measures["clipped_fraction"]
    if clipped > checks.clipped_fraction:
        flaws.append(f"clipped: {clipped:.4f} of the samples at full scale, limit {checks.clipped_fraction:g}")
    predicted = clip.utterance.predicted_seconds
    if checks.length_ratio and predicted:
        shortest, longest = predicted / checks.length_ratio, predicted * checks.length_ratio
        if not shortest <= clip.seconds <= longest:
            flaws.append(
                f"length: {clip.seconds:.2f} s, predicted {predicted:.2f} s, limits {shortest:.2f} to {longest:.2f} s"
            )
    return tuple(flaws)


def is_writable(flaws: Sequence[str]) -> bool:
    """Whether a clip with these flaws holds audio at all, so that it may be written if its flaws are put up with."""
    return not any(flaw.startswith(UNWRITABLE) for flaw in flaws)


def _decibels(amplitude: float) -> float:
    return max(FLOOR_DBFS, 20.0 * float(np.log10(amplitude))) if amplitude > 0 else FLOOR_DBFS


def _loudest_rms(energy: npt.NDArray[np.float64], window: int) -> float:
    """RMS of the loudest `window` samples in a row; of all of them where there are fewer."""
    if len(energy) == 0:
        return 0.0
    window = max(1, min(window, len(energy)))
    sums = np.concatenate(([0.0], np.cumsum(energy)))
    # Differences of a running sum can come out a hair below zero.
    return float(np.sqrt(max(0.0, float((sums[window:] - sums[:-window]).max())) / window))


def _edge_silence(energy: npt.NDArray[np.float64], sampling_rate: int) -> tuple[float, float]:
    """Seconds before the first and after the last 10 ms that are heard. Blocks, so that one click is not speech."""
    block = max(1, round(0.01 * sampling_rate))
    starts = np.arange(0, len(energy), block)
    seconds = len(energy) / sampling_rate
    if len(starts) == 0:
        return 0.0, 0.0
    lengths = np.diff(starts, append=len(energy))
    threshold = 10.0 ** (EDGE_SILENCE_DBFS / 10.0)  # of energy, hence 10 and not 20
    heard = np.flatnonzero(np.add.reduceat(energy, starts) / lengths > threshold)
    if len(heard) == 0:
        return seconds, seconds
    first, last = int(heard[0]), int(heard[-1])
    return float(starts[first] / sampling_rate), float((len(energy) - starts[last] - lengths[last]) / sampling_rate)
