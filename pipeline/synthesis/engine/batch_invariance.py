"""Find the batch sizes for which a row's bits do not depend on the number of rows.

Matrix kernels choose the order of their sums by the number of rows, and which numbers of rows agree differs between
processors. So this is measured once for each loaded model, and the engine uses batch sizes that are multiples of the
result.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from pipeline.synthesis.engine.cache import LENGTH_MULTIPLE
from pipeline.synthesis.engine.layers import attend
from pipeline.synthesis.engine.weights import Weights

_log = logging.getLogger(__name__)
CANDIDATES = (4, 8, 16)  # prompts are padded to multiples of the last one
_MAX_ROWS = 48
_MULTIPLES = (1, 2, 3, 5)  # of a candidate, that are compared with `_MAX_ROWS` rows


@torch.inference_mode()
def row_multiple(weights: Weights) -> int:
    """Return the smallest candidate whose multiples, as batch sizes, all give a row the same bits.

    On a GPU this is not measured: the first candidate is returned.
    """
    if weights.device.type != "cpu":
        return CANDIDATES[0]
    generator = torch.Generator().manual_seed(0)
    layer = weights.layers[0]
    products: list[Callable[[int], Tensor]] = []
    for linear in (layer.self_qkv, layer.self_out, layer.ffn_up, layer.ffn_down, weights.heads):
        x = torch.randn(_MAX_ROWS, linear.shape[1], generator=generator).to(weights.dtype)
        products.append(lambda rows, linear=linear, x=x: linear(x[:rows]))  # type: ignore[misc]
    products.append(_attention(weights, generator))
    for candidate in CANDIDATES:
        if all(rows_agree(product, candidate) for product in products):
            return candidate
    _log.warning("matrix products of this processor depend on the number of rows: the last bits of clips may differ")
    return CANDIDATES[-1]


def rows_agree(product: Callable[[int], Tensor], multiple: int) -> bool:
    """Return whether multiples of a number of rows give the first rows the same bits.

    Args:
        product: Computes so many rows, `[rows, ...]`.
        multiple: Number of rows.
    """
    whole = product(_MAX_ROWS)
    counts = [factor * multiple for factor in _MULTIPLES if factor * multiple <= _MAX_ROWS]
    return all(torch.equal(product(count), whole[:count]) for count in counts)


def _attention(weights: Weights, generator: torch.Generator) -> Callable[[int], Tensor]:
    """Attention over two cache lengths, as in a run: the longer one for `_MAX_ROWS` rows, the shorter one for fewer."""
    short, long = 2 * LENGTH_MULTIPLE, 5 * LENGTH_MULTIPLE

    def rows_of(heads: int, length: int) -> Tensor:
        shape = (_MAX_ROWS, heads, length, weights.head_width)
        return torch.randn(shape, generator=generator).to(weights.dtype)

    q, k, v = rows_of(weights.num_heads, 1), rows_of(weights.kv_heads, long), rows_of(weights.kv_heads, long)
    bias = torch.zeros(_MAX_ROWS, 1, 1, long, dtype=weights.dtype)
    bias[..., short - 7 :] = -torch.inf

    def product(rows: int) -> Tensor:
        length = long if rows == _MAX_ROWS else short
        return attend(q[:rows], k[:rows, :, :length], v[:rows, :, :length], bias[:rows, ..., :length])

    return product
