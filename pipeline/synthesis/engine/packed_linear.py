"""A weight matrix as the device likes it best: as it is, or packed once for the CPU's small products.

With few rows, a product on a CPU reads its matrix and does little else. oneDNN reads one in its own order several times
faster than MKL reads the plain one, and gives a row the same bits in any batch of two rows or more.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

_ROWS = 16  # that the order of a packed matrix is made for; others are hardly slower


class Matrix:
    """`[out, in]`, and the product of rows with it."""

    def __init__(self, weight: Tensor) -> None:
        self.shape = weight.shape
        self.dtype = weight.dtype
        self.device = weight.device
        self._is_packed = _can_pack(weight)
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS) if self._is_packed else weight

    def __call__(self, x: Tensor) -> Tensor:
        """`[..., in]` to `[..., out]`."""
        if self._is_packed:
            made: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, None, "none", [], "")
            return made
        return functional.linear(x, self._weight)

    @property
    def num_bytes(self) -> int:
        """Memory of the whole."""
        return self.shape.numel() * self.dtype.itemsize


def fuse_weights(modules: Sequence[nn.Module] | nn.ModuleList) -> Matrix:
    """The modules' weights below each other, as one matrix; the memory is paid once.

    The modules keep views of their parts, or nothing, where the matrix is packed: they cannot be called any more.
    """
    parts: list[nn.Parameter] = [module.weight for module in modules]  # type: ignore[misc]
    stacked = torch.cat([part.detach() for part in parts]) if len(parts) > 1 else parts[0].detach()
    views = torch.split(stacked, [len(part) for part in parts])
    for part, view in zip(parts, views, strict=True):
        part.data = torch.empty(0, dtype=part.dtype) if _can_pack(stacked) else view
    return Matrix(stacked)


def _can_pack(weight: Tensor) -> bool:
    """Whether the CPU's packed products are there, and in units of this dtype."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if weight.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float32
