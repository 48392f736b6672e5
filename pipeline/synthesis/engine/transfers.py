"""Between the host and a GPU, without making either wait for all that the other has been given to do.

A plain copy waits until the GPU has come to it, and so for every step that is queued before. From pinned memory a copy
is queued like a step, and the host goes on. Where tensors are on the CPU already, nothing happens.
"""

from __future__ import annotations

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on the device, in the order of the device's work."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)  # torch keeps the pinned memory until it has been read


class AsyncCopy:
    """A tensor on its way to the host."""

    def __init__(self, tensor: Tensor) -> None:
        self._host = tensor
        self._arrived: torch.cuda.Event | None = None
        if tensor.is_cuda:
            self._host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            self._host.copy_(tensor, non_blocking=True)
            self._arrived = now(tensor.device)

    def wait(self) -> Tensor:
        """The tensor, once it is there."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._host


def now(device: torch.device) -> torch.cuda.Event | None:
    """The point that the device's current stream has been given to do up to; None where the host does the work."""
    if device.type != "cuda":
        return None
    # A host that waits for it sleeps: the other threads need its core.
    event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(device))
    return event
