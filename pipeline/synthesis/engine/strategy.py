"""How the engine uses a kind of device: plain steps on a CPU, captured steps and delayed snapshots on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from pipeline.synthesis.engine.graphs import ENTRIES_BASE, LENGTH_MULTIPLE, GraphedStep
from pipeline.synthesis.engine.step import Step, step

_STEPS_PER_SNAPSHOT_ON_GPU = 8
_SNAPSHOT_DELAY_ON_GPU = 1  # so that steps are queued while the host waits for a snapshot and admits requests


@dataclass(frozen=True)
class Strategy:
    """How steps are run and observed.

    Attributes:
        make_step: Returns the step function of one runner.
        length_multiple: Cache lengths that a step reads are rounded up to it.
        entries_base: Numbers of entries that a step reads are rounded up to a power of it.
        steps_per_snapshot: Steps between two snapshots of which rows have finished.
        snapshot_delay: Snapshots that are taken before the host waits for the first of them.
        keeps_slots: The number of slots stays from call to call, since captured steps depend on it; otherwise it
            follows the number of requests, since idle rows cost as much as others.
        batches_clips: The codec decodes several clips at once.
    """

    make_step: Callable[[], Step]
    length_multiple: int = 32
    entries_base: int = 2
    steps_per_snapshot: int = 1
    snapshot_delay: int = 0
    keeps_slots: bool = False
    batches_clips: bool = False


def cpu_strategy() -> Strategy:
    """Return the strategy of a CPU."""
    return Strategy(lambda: step)


def cuda_strategy(device: torch.device, compile_mode: str = "none") -> Strategy:
    """Return the strategy of a CUDA device.

    Args:
        device: The device.
        compile_mode: `engine.compile`; with any value but "none" the step is compiled before it is captured.
    """

    def graphed_step() -> Step:
        # Compiled for the first shape, then once for all shapes: compiling each one would take many minutes.
        return GraphedStep(step if compile_mode == "none" else torch.compile(step), device)

    return Strategy(
        graphed_step,
        length_multiple=LENGTH_MULTIPLE,
        entries_base=ENTRIES_BASE,
        steps_per_snapshot=_STEPS_PER_SNAPSHOT_ON_GPU,
        snapshot_delay=_SNAPSHOT_DELAY_ON_GPU,
        keeps_slots=True,
        batches_clips=True,
    )
