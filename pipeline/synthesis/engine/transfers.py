"""Copies between the host and a GPU that do not wait for the work that is queued on the GPU.

A plain copy waits until the GPU has finished everything queued before it. A copy from or to pinned memory is queued
itself, and the host goes on. For tensors on the CPU these functions do nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a host tensor on the device. The copy is ordered with the work of the current stream."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)  # torch keeps the pinned memory until it has been read


class AsyncCopy:
    """A copy of a device tensor to the host that is under way."""

    def __init__(self, tensor: Tensor) -> None:
        self._host = tensor
        self._arrived: torch.cuda.Event | None = None
        if tensor.is_cuda:
            self._host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            self._host.copy_(tensor, non_blocking=True)
            self._arrived = record_event(tensor.device)

    def wait(self) -> Tensor:
        """Wait for the copy and return the tensor on the host."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._host


def record_event(device: torch.device) -> torch.cuda.Event | None:
    """Record an event on the current stream of a CUDA device; None for other devices."""
    if device.type != "cuda":
        return None
    # Blocking: a host that waits for the event sleeps, and leaves its core to the other threads.
    event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(device))
    return event
