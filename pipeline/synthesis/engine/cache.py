"""Keys and values, in tensors that are allocated once: B slots for self-attention, E entries for cross-attention.

A slot holds one utterance at a time: its prompt first, then one position for each step. Each row knows its own length;
what lies behind it (an earlier tenant, padding) is masked. An entry holds the keys and values of one description, and
any number of rows may look at it. Knows nothing of who occupies what.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.synthesis.engine.weights import Weights

LENGTH_MULTIPLE = 32  # padded lengths: what a vector unit and a matrix kernel leave no remainder of


def padded(length: int, multiple: int = LENGTH_MULTIPLE) -> int:
    """The next multiple."""
    return -(-length // multiple) * multiple


@dataclass(frozen=True)
class SelfCache:
    """Self-attention of all slots; one tensor `[B, kv_heads, C, d]` for each layer."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    @property
    def capacity(self) -> int:
        """C, in positions."""
        return self.keys[0].shape[2]

    @property
    def num_bytes(self) -> int:
        """Memory of the whole."""
        return 2 * len(self.keys) * self.keys[0].nbytes


@dataclass(frozen=True)
class CrossCache:
    """Cross-attention entries; `[E, cross_kv_heads, D, d]` for each layer."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    bias: Tensor  # [E, 1, 1, D]: 0 where an entry has a token, -inf where it is padding

    @property
    def num_bytes(self) -> int:
        """Memory of the whole, but for the bias."""
        return 2 * len(self.keys) * self.keys[0].nbytes

    @property
    def num_entries(self) -> int:
        """E."""
        return self.bias.shape[0]

    @property
    def capacity(self) -> int:
        """D, in tokens."""
        return self.bias.shape[3]

    def write(self, entry: int, layers: list[tuple[Tensor, Tensor]]) -> None:
        """Fills an entry with keys and values `[cross_kv_heads, D', d]` of every layer, D' at most D."""
        length = layers[0][0].shape[1]
        for layer, (keys, values) in enumerate(layers):
            self.keys[layer][entry, :, :length] = keys
            self.values[layer][entry, :, :length] = values
        self.bias[entry] = -torch.inf
        self.bias[entry, ..., :length] = 0.0


def allocate_self(weights: Weights, slots: int, capacity: int) -> SelfCache:
    """Zeros, not rubbish: what is masked is multiplied by 0, and 0 times NaN is NaN."""
    shape = (slots, weights.kv_heads, padded(capacity), weights.head_width)
    return SelfCache(*_zeros(weights, shape))


def allocate_cross(weights: Weights, entries: int, capacity: int) -> CrossCache:
    """CrossCacheSlots that hold nothing yet, and may be looked at: their bias is 0."""
    shape = (entries, weights.cross_kv_heads, padded(capacity), weights.head_width)
    bias = torch.zeros((entries, 1, 1, shape[2]), dtype=weights.dtype, device=weights.device)
    return CrossCache(*_zeros(weights, shape), bias)


def bytes_per_position(weights: Weights) -> int:
    """Memory of one position of one slot, over all layers."""
    return 2 * len(weights.layers) * weights.kv_heads * weights.head_width * weights.dtype.itemsize


def bytes_per_token(weights: Weights) -> int:
    """Memory of one token of one entry, likewise."""
    return 2 * len(weights.layers) * weights.cross_kv_heads * weights.head_width * weights.dtype.itemsize


def _zeros(weights: Weights, shape: tuple[int, ...]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    def one_side() -> tuple[Tensor, ...]:
        return tuple(torch.zeros(shape, dtype=weights.dtype, device=weights.device) for _ in weights.layers)

    return one_side(), one_side()
