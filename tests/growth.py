"""Measure whether a cost grows in proportion to its input."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

MAX_GROWTH = 15  # for ten times the input; a quadratic cost grows a hundredfold
_SHORTEST_SECONDS = 0.05  # below, the clock and the start of a reader say more than the input
_ATTEMPTS = 5


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU time of one call.

    The garbage collector rests meanwhile: its time depends on everything else that the process holds.
    """
    gc.disable()
    try:
        start = time.process_time()
        work()
        return time.process_time() - start
    finally:
        gc.enable()


def assert_linear(work: Callable[[int], object], what: str = "the input") -> None:
    """Fail if ``work(10)`` takes more than fifteen times as long as ``work(1)``.

    CPU time varies with what neighbours do to the caches of a machine, so a failure is measured again: what is
    quadratic fails each time. The shortest time of each size counts.
    """
    short, long = float("inf"), float("inf")
    for _ in range(_ATTEMPTS):
        short = min(short, cpu_seconds(lambda: work(1)))
        long = min(long, cpu_seconds(lambda: work(10)))
        if long <= MAX_GROWTH * max(short, _SHORTEST_SECONDS):
            return
    raise AssertionError(f"{what}: {short:.3f} s, ten times as much {long:.3f} s")
