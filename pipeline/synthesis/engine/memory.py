"""How many slots fit into the memory there is, and which errors mean that there was too little."""

from __future__ import annotations

import gc
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from pipeline.synthesis.engine.cache import bytes_per_position, bytes_per_token
from pipeline.synthesis.engine.weights import Weights

_MAX_ON_CPU = 32  # more rows make a step longer and its products hardly denser
_MAX_ON_GPU = 128
_EXHAUSTION = ("can't allocate memory", "not enough memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")
_MEMINFO, _OWN_GROUP, _GROUPS = Path("/proc/meminfo"), Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")  # of Linux
_SHARE = 0.6  # of the free memory that the caches may take; the codec needs some as well


def max_slots(device: torch.device) -> int:
    """Slots at most, whatever memory there is."""
    return _MAX_ON_CPU if device.type == "cpu" else _MAX_ON_GPU


def slots_that_fit(weights: Weights, positions: int, description_tokens: int, held_bytes: int = 0) -> int:
    """Slots, with an entry each, for the device's free memory, at least 1.

    Args:
        weights: Of the model.
        positions: Of a slot.
        description_tokens: Of an entry.
        held_bytes: What caches take now that will make room.
    """
    free = _free_bytes(weights.device) + held_bytes
    bytes_per_slot = positions * bytes_per_position(weights) + description_tokens * bytes_per_token(weights)
    fitting = int(_SHARE * free / bytes_per_slot)
    return max(1, min(fitting, max_slots(weights.device)))


def is_exhaustion(error: BaseException) -> bool:
    """Whether an error says that memory ran out, or came while one that does was on its way: a graph's recording does.

    Neither the CPU's allocator nor CUDA's libraries have a class of their own for it.
    """
    if isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _EXHAUSTION):
        return True
    return error.__context__ is not None and is_exhaustion(error.__context__)


def give_back(device: torch.device) -> None:
    """Lets go of what nobody uses any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def peak_bytes(device: torch.device) -> int:
    """The most memory that was taken so far: of a GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # torch keeps it for later
        free: int = torch.cuda.mem_get_info(device)[0]
        return free + unused
    available = _numbers(_MEMINFO).get("MemAvailable") if _MEMINFO.is_file() else None  # old kernels do not say it
    if available is not None:
        return min([available * 1024, *_left_by_groups()])
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _left_by_groups() -> Iterator[int]:
    """What each limit leaves that this process's control group (v2) or one around it has, as a container's does.

    Copies of files count as free, as they do in MemAvailable: they make room when it is asked for.
    """
    lines = _OWN_GROUP.read_text().splitlines() if _OWN_GROUP.is_file() else []
    for group in (_GROUPS / line.removeprefix("0::/") for line in lines if line.startswith("0::/")):
        for folder in (group, *group.parents):
            limit = folder / "memory.max"
            if limit.is_file() and (most := limit.read_text().strip()) != "max":
                taken = int((folder / "memory.current").read_text()) - _numbers(folder / "memory.stat")["inactive_file"]
                yield int(most) - taken


def _numbers(path: Path) -> dict[str, int]:
    """Of a file of the kernel, with a name and a number in each line."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {name.rstrip(":"): int(number) for name, number, *_ in lines}
