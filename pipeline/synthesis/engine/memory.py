"""How many slots fit into memory, and which errors mean that memory ran out."""

from __future__ import annotations

import gc
import os
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.synthesis.engine.cache import bytes_per_position, bytes_per_token
from pipeline.synthesis.engine.weights import Weights

MAX_SLOTS_ON_CPU = 32  # with more rows a step takes longer, and hardly more audio is made in a second
MAX_SLOTS_ON_GPU = 128
CACHE_SHARE = 0.6  # of the free memory that the caches may take; the codec needs some as well
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")


@dataclass(frozen=True)
class KernelFiles:
    """Where Linux reports memory."""

    meminfo: Path = Path("/proc/meminfo")
    own_cgroup: Path = Path("/proc/self/cgroup")
    cgroups: Path = Path("/sys/fs/cgroup")


def max_slots(device: torch.device) -> int:
    """Return the largest number of slots that is useful on a kind of device."""
    return MAX_SLOTS_ON_CPU if device.type == "cpu" else MAX_SLOTS_ON_GPU


def slots_that_fit(weights: Weights, positions: int, description_tokens: int, held_bytes: int = 0) -> int:
    """Return how many slots, with one cross-attention entry each, fit into the free memory; at least 1.

    Args:
        weights: Of the model.
        positions: Of a slot.
        description_tokens: Of an entry.
        held_bytes: Memory of the present caches, which will be freed first.
    """
    free = free_bytes(weights.device) + held_bytes
    bytes_per_slot = positions * bytes_per_position(weights) + description_tokens * bytes_per_token(weights)
    fitting = int(CACHE_SHARE * free / bytes_per_slot)
    return max(1, min(fitting, max_slots(weights.device)))


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out, or was raised while such an error was handled.

    The CPU's allocator and some CUDA libraries raise a plain RuntimeError, and a graph capture that runs out of memory
    ends with another error.
    """
    if isinstance(error, torch.OutOfMemoryError) or any(phrase in str(error) for phrase in _OUT_OF_MEMORY):
        return True
    return error.__context__ is not None and is_out_of_memory(error.__context__)


def release_unused(device: torch.device) -> None:
    """Free memory that nothing refers to any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def peak_bytes(device: torch.device) -> int:
    """Return the peak memory so far: of torch on a GPU, otherwise of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def free_bytes(device: torch.device, files: KernelFiles | None = None) -> int:
    """Return the memory that is free on a device.

    On Linux, memory that caches files counts as free, and the limits of the process's control groups are respected.
    """
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # held by torch's allocator
        free: int = torch.cuda.mem_get_info(device)[0]
        return free + unused
    files = files or KernelFiles()
    # Kernels before Linux 3.14 have no MemAvailable.
    available = _read_numbers(files.meminfo).get("MemAvailable") if files.meminfo.is_file() else None
    if available is not None:
        return min([available * 1024, *_free_in_cgroups(files)])
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _free_in_cgroups(files: KernelFiles) -> Iterator[int]:
    """Yield what each limit leaves of the process's control group (v2) and of those around it, e.g. of a container.

    Memory that caches files counts as free, as in MemAvailable.
    """
    lines = files.own_cgroup.read_text().splitlines() if files.own_cgroup.is_file() else []
    for group in (files.cgroups / line.removeprefix("0::/") for line in lines if line.startswith("0::/")):
        for folder in (group, *group.parents):
            path = folder / "memory.max"
            if path.is_file() and (limit := path.read_text().strip()) != "max":
                cached = _read_numbers(folder / "memory.stat")["inactive_file"]
                yield int(limit) - (int((folder / "memory.current").read_text()) - cached)


def _read_numbers(path: Path) -> dict[str, int]:
    """Read a file with a name and a number on each line."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {name.rstrip(":"): int(number) for name, number, *_ in lines}
