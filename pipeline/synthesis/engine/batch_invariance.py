"""Measures in what batches a row's bits do not depend on its neighbours, on this processor and with these weights.

Kernels for matrices choose the order of their sums by the number of rows. Which numbers agree with each other differs
from processor to processor, so it is not written down here but tried, once for each model that is loaded; the engine
uses multiples of what this finds.
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
_CANDIDATES = (4, 8, 16)  # the last is what prompts are padded to
_MAX_ROWS = 48
_TIMES = (1, 2, 3, 5)  # of a candidate, that are compared with the most


@torch.inference_mode()
def row_multiple(weights: Weights) -> int:
    """The smallest number of rows whose multiples all give a row the same bits; on a GPU just the first candidate."""
    if weights.device.type != "cpu":
        return _CANDIDATES[0]
    generator = torch.Generator().manual_seed(0)
    layer = weights.layers[0]
    products: list[Callable[[int], Tensor]] = []
    for matrix in (layer.self_qkv, layer.self_out, layer.ffn_up, layer.ffn_down, weights.heads):
        x = torch.randn(_MAX_ROWS, matrix.shape[1], generator=generator).to(weights.dtype)
        products.append(lambda rows, matrix=matrix, x=x: matrix(x[:rows]))  # type: ignore[misc]
    products.append(_attention(weights, generator))
    for candidate in _CANDIDATES:
        if all(_agree(product, candidate) for product in products):
            return candidate
    _log.warning("this processor's products depend on the number of rows: clips may differ in their last bits")
    return _CANDIDATES[-1]


def _agree(product: Callable[[int], Tensor], multiple: int) -> bool:
    whole = product(_MAX_ROWS)
    counts = [times * multiple for times in _TIMES if times * multiple <= _MAX_ROWS]
    return all(torch.equal(product(count), whole[:count]) for count in counts)


def _attention(weights: Weights, generator: torch.Generator) -> Callable[[int], Tensor]:
    """Attention over two lengths: the longer for all rows, the shorter for fewer, as in a run that goes on."""
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
