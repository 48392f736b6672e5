"""The signal check: measure the samples of a clip and find flaws.

Its measures are standard columns of the dataset. Levels are in dB relative to full scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pipeline.config import ChecksConfig, Config
from pipeline.quality.check import Check, Finding, Inspector
from pipeline.quality.flaws import Flaw, FlawCode
from pipeline.types import Clip, Finish

FLOOR_DBFS = -120.0  # level of digital silence: below the range of 16 bits, but finite for JSON
EDGE_SILENCE_DBFS = -60.0  # quieter parts at the ends of a clip count as silence
FULL_SCALE = 32767 / 32768  # largest 16-bit sample

_STEP = 0.5 / 32768  # largest rounding error of a 16-bit sample
_FLOAT32_SLACK = 1e-5  # relative; the columns are float32
# Levels, and how much a lossy format may change each, in dB. Measured; see the test of `lossy_measures_problem`.
LEVELS = {"peak_dbfs": 12.0, "rms_dbfs": 6.0, "loudest_50ms_dbfs": 6.0}
LOSSY_FLOOR_DBFS = -60.0
_LOSSY_MIN_SECONDS = 0.25  # levels of shorter clips are not compared
_LOSSY_SECONDS = 0.1  # padding that a lossy format may add


def measure(samples: npt.NDArray[np.float32], sampling_rate: int) -> dict[str, float]:
    """Measure one clip. Levels are in dB relative to full scale; samples that are not finite count as zero.

    Args:
        samples: [N], mono, full scale is 1.0.
        sampling_rate: Hz.

    Returns:
        `peak_dbfs`, `rms_dbfs`, `loudest_50ms_dbfs` (RMS of the loudest 50 ms), `clipped_fraction` (share of samples at
        full scale or beyond), `leading_silence_seconds`, `trailing_silence_seconds` (for a silent clip, both are its
        duration).
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


def measures_problem(stored: Mapping[str, object], samples: npt.NDArray[np.float32], sampling_rate: int) -> str:
    """Compare stored measures with the stored 16-bit samples.

    The measures were taken before rounding to 16 bits, which changes a sample by at most half a step. If samples are at
    full scale, the levels may have been higher before.

    Args:
        stored: Measures by column name.
        samples: [N], decoded from a lossless format.
        sampling_rate: Hz.

    Returns:
        A message about the first measure that does not match; "" if all match.
    """
    found = measure(samples, sampling_rate)
    is_clipped = bool(np.any(np.abs(samples) >= FULL_SCALE))
    for name in LEVELS:
        low, high = (10 ** (found[name] / 20) + side * _STEP for side in (-1, 1))
        problem = _range_problem(name, stored.get(name), _decibels(low), np.inf if is_clipped else _decibels(high))
        if problem:
            return problem
    # A sample that rounding moved to full scale was not clipped before.
    least = float(np.mean(samples <= -1.0)) if len(samples) else 0.0
    energy = np.square(samples, dtype=np.float64)
    edge = 10 ** (EDGE_SILENCE_DBFS / 20)
    quiet, loud = (_edge_silence(energy, sampling_rate, edge + side * _STEP) for side in (-1, 1))
    return (
        _range_problem("clipped_fraction", stored.get("clipped_fraction"), least, found["clipped_fraction"])
        or _range_problem("leading_silence_seconds", stored.get("leading_silence_seconds"), quiet[0], loud[0])
        or _range_problem("trailing_silence_seconds", stored.get("trailing_silence_seconds"), quiet[1], loud[1])
    )


def lossy_measures_problem(stored: Mapping[str, object], samples: npt.NDArray[np.float32], sampling_rate: int) -> str:
    """Like `measures_problem`, for samples [N] decoded from a lossy format: the limits are wider."""
    found = measure(samples, sampling_rate)
    is_long = len(samples) >= _LOSSY_MIN_SECONDS * sampling_rate  # a codec distorts its first block
    for name, decibels in LEVELS.items() if is_long else ():
        is_heard = found[name] - decibels > LOSSY_FLOOR_DBFS  # near silence, codecs change levels inaudibly
        low = found[name] - decibels if is_heard else -np.inf
        if problem := _range_problem(name, stored.get(name), low, max(found[name] + decibels, LOSSY_FLOOR_DBFS)):
            return problem
    seconds = len(samples) / sampling_rate + _LOSSY_SECONDS
    return next(
        filter(
            None,
            (
                _range_problem("clipped_fraction", stored.get("clipped_fraction"), 0.0, 1.0),
                _range_problem("leading_silence_seconds", stored.get("leading_silence_seconds"), 0.0, seconds),
                _range_problem("trailing_silence_seconds", stored.get("trailing_silence_seconds"), 0.0, seconds),
            ),
        ),
        "",
    )


def _range_problem(name: str, stored: object, low: float, high: float) -> str:
    slack = _FLOAT32_SLACK * (1 + abs(low)) if np.isfinite(low) else 0.0
    if isinstance(stored, float) and low - slack <= stored <= high + slack:
        return ""
    limits = f"{low:.4g}" if high - low <= slack else f"{low:.4g} to {high:.4g}"
    return f"its {name} is {stored}, but its audio has {limits}"


def find_flaws(clip: Clip, checks: ChecksConfig) -> tuple[Flaw, ...]:
    """Return the reasons to reject this take; empty: accept it."""
    if len(clip.samples) == 0:
        return (Flaw(FlawCode.EMPTY.value, "no samples"),)
    measures = clip.measures or measure(clip.samples, clip.sampling_rate)
    flaws: list[tuple[FlawCode, str]] = []
    num_bad = int(np.count_nonzero(~np.isfinite(clip.samples)))
    if num_bad:
        flaws.append((FlawCode.NON_FINITE, f"{num_bad} of {len(clip.samples)} samples are NaN or infinite"))
    if clip.finish is Finish.MAX_FRAMES:
        limit = f"not finished at the limit of {clip.num_frames} frames ({clip.seconds:.2f} s)"
        flaws.append((FlawCode.LIMIT, limit))
    loudest = measures["loudest_50ms_dbfs"]
    if loudest < checks.silence_dbfs:
        flaws.append((FlawCode.SILENT, f"loudest 50 ms at {loudest:.1f} dBFS, limit {checks.silence_dbfs:g}"))
    clipped = measures["clipped_fraction"]
    if clipped > checks.clipped_fraction:
        detail = f"{clipped:.4f} of the samples at full scale, limit {checks.clipped_fraction:g}"
        flaws.append((FlawCode.CLIPPED, detail))
    predicted = clip.utterance.predicted_seconds
    if checks.length_ratio and predicted:
        shortest, longest = predicted / checks.length_ratio, predicted * checks.length_ratio
        if not shortest <= clip.seconds <= longest:
            limits = f"limits {shortest:.2f} to {longest:.2f} s"
            flaws.append((FlawCode.LENGTH, f"{clip.seconds:.2f} s, predicted {predicted:.2f} s, {limits}"))
    return tuple(Flaw(code.value, detail) for code, detail in flaws)


class _SignalInspector:
    def __init__(self, config: ChecksConfig) -> None:
        self._config = config

    def inspect(self, clips: Sequence[Clip]) -> list[Finding]:
        found = []
        for clip in clips:
            measures = measure(clip.samples, clip.sampling_rate)
            found.append(Finding(measures, find_flaws(replace(clip, measures=measures), self._config)))
        return found

    def close(self) -> None:
        """Do nothing: the check has no model."""


class SignalCheck:
    """The check `signal`, which needs no model."""

    columns = ()  # its measures are standard columns

    def check(self, config: Config) -> None:
        """Every setting works everywhere; see `Check`."""

    def load(self, config: Config) -> Inspector:
        """See `Check`."""
        return _SignalInspector(config.checks)


SIGNAL: Check = SignalCheck()


def _decibels(amplitude: float) -> float:
    return max(FLOOR_DBFS, 20.0 * float(np.log10(amplitude))) if amplitude > 0 else FLOOR_DBFS


def _loudest_rms(energy: npt.NDArray[np.float64], window: int) -> float:
    """Return the RMS of the loudest `window` consecutive samples; of all samples if there are fewer."""
    if len(energy) == 0:
        return 0.0
    window = max(1, min(window, len(energy)))
    sums = np.concatenate(([0.0], np.cumsum(energy)))
    # Rounding can make differences of the cumulative sum slightly negative.
    return float(np.sqrt(max(0.0, float((sums[window:] - sums[:-window]).max())) / window))


def _edge_silence(
    energy: npt.NDArray[np.float64], sampling_rate: int, threshold: float = 10.0 ** (EDGE_SILENCE_DBFS / 20)
) -> tuple[float, float]:
    """Return the seconds of silence at the start and at the end.

    Samples are grouped in blocks of 10 ms, so that a single click does not end the silence.
    """
    block = max(1, round(0.01 * sampling_rate))
    starts = np.arange(0, len(energy), block)
    seconds = len(energy) / sampling_rate
    if len(starts) == 0:
        return 0.0, 0.0
    lengths = np.diff(starts, append=len(energy))
    heard = np.flatnonzero(np.add.reduceat(energy, starts) / lengths > threshold**2)
    if len(heard) == 0:
        return seconds, seconds
    first, last = int(heard[0]), int(heard[-1])
    return float(starts[first] / sampling_rate), float((len(energy) - starts[last] - lengths[last]) / sampling_rate)
