"""Linear layers without bias, whose weight is packed once for products with few rows on a CPU.

With few rows, a product on a CPU spends its time reading the weight. oneDNN reads a weight in its own packed layout
several times faster than MKL reads a plain one, and gives a row the same bits in every batch of two rows or more.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

_PACKED_FOR_ROWS = 16  # batch size that oneDNN optimises the layout for; it is hardly slower with others


class PackedLinear:
    """The product of rows with a weight `[out, in]`.

    Attributes:
        shape: Shape of the weight.
        dtype: Of the weight.
        device: Of the weight.
        weight: The weight itself, in oneDNN's layout where it is packed.
    """

    def __init__(self, weight: Tensor) -> None:
        self.shape = weight.shape
        self.dtype = weight.dtype
        self.device = weight.device
        self._is_packed = can_pack(weight)
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, _PACKED_FOR_ROWS) if self._is_packed else weight

    def __call__(self, x: Tensor) -> Tensor:
        """Return the product: `[..., in]` to `[..., out]`."""
        if self._is_packed:
            y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, None, "none", [], "")
            return y
        return functional.linear(x, self.weight)


def fuse_weights(modules: Sequence[nn.Module] | nn.ModuleList) -> PackedLinear:
    """Stack the weights of several linear modules into one layer, without a second copy in memory.

    Args:
        modules: Their `weight` becomes a view of the stacked weight, or empty where that is packed: the modules cannot
            be called afterwards.
    """
    parts: list[nn.Parameter] = [module.weight for module in modules]  # type: ignore[misc]
    stacked = torch.cat([part.detach() for part in parts]) if len(parts) > 1 else parts[0].detach()
    views = torch.split(stacked, [len(part) for part in parts])
    for part, view in zip(parts, views, strict=True):
        part.data = torch.empty(0, dtype=part.dtype) if can_pack(stacked) else view
    return PackedLinear(stacked)


def can_pack(weight: Tensor) -> bool:
    """Return whether oneDNN can pack a weight, and has fast kernels for its dtype on this processor."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if weight.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float32
