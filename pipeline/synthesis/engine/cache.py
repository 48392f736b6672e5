"""Key/value caches of the decoder: B slots of self-attention and E entries of cross-attention, allocated once.

A slot holds one utterance at a time: its prompt, then one position for each step. Each row knows its own length; what
lies behind it (an earlier utterance, padding) is masked. An entry holds the keys and values of one description, and any
number of rows may use it. Which slot or entry is free is not known here: see `scheduler` and `conditioning`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.synthesis.engine.weights import Weights

LENGTH_MULTIPLE = 32  # cache lengths are multiples of it, so that vectorised kernels have no remainder


def round_up(length: int, multiple: int = LENGTH_MULTIPLE) -> int:
    """Return the smallest multiple that is not below `length`."""
    return -(-length // multiple) * multiple


@dataclass(frozen=True)
class SelfCache:
    """Self-attention cache of all slots: for each layer, keys and values `[B, kv_heads, C, d]`."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    @property
    def capacity(self) -> int:
        """Positions of each slot, C."""
        return self.keys[0].shape[2]

    @property
    def num_bytes(self) -> int:
        """Memory of keys and values."""
        return 2 * len(self.keys) * self.keys[0].nbytes


@dataclass(frozen=True)
class CrossCache:
    """Cross-attention cache of all entries: for each layer, keys and values `[E, cross_kv_heads, D, d]`."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    bias: Tensor  # [E, 1, 1, D]: 0 for a token, -inf for padding

    @property
    def num_bytes(self) -> int:
        """Memory of keys and values."""
        return 2 * len(self.keys) * self.keys[0].nbytes

    @property
    def num_entries(self) -> int:
        """Number of entries, E."""
        return self.bias.shape[0]

    @property
    def capacity(self) -> int:
        """Tokens of each entry, D."""
        return self.bias.shape[3]

    def write(self, entry: int, layers: list[tuple[Tensor, Tensor]]) -> None:
        """Fill an entry with the keys and values `[cross_kv_heads, L, d]` of every layer, L at most D."""
        length = layers[0][0].shape[1]
        for layer, (keys, values) in enumerate(layers):
            self.keys[layer][entry, :, :length] = keys
            self.values[layer][entry, :, :length] = values
        self.bias[entry] = -torch.inf
        self.bias[entry, ..., :length] = 0.0


def allocate_self(weights: Weights, slots: int, capacity: int) -> SelfCache:
    """Return a cache of zeros. Uninitialised memory may hold NaN, and a masked position is multiplied by 0."""
    shape = (slots, weights.kv_heads, round_up(capacity), weights.head_width)
    return SelfCache(*_zeros(weights, shape))


def allocate_cross(weights: Weights, entries: int, capacity: int) -> CrossCache:
    """Return a cache of zeros. Its bias is 0, so that idle rows can use entries that were never written."""
    shape = (entries, weights.cross_kv_heads, round_up(capacity), weights.head_width)
    bias = torch.zeros((entries, 1, 1, shape[2]), dtype=weights.dtype, device=weights.device)
    return CrossCache(*_zeros(weights, shape), bias)


def bytes_per_position(weights: Weights) -> int:
    """Return the memory of one position of one slot, in all layers."""
    return 2 * len(weights.layers) * weights.kv_heads * weights.head_width * weights.dtype.itemsize


def bytes_per_token(weights: Weights) -> int:
    """Return the memory of one token of one entry, in all layers."""
    return 2 * len(weights.layers) * weights.cross_kv_heads * weights.head_width * weights.dtype.itemsize


def _zeros(weights: Weights, shape: tuple[int, ...]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    def of_all_layers() -> tuple[Tensor, ...]:
        return tuple(torch.zeros(shape, dtype=weights.dtype, device=weights.device) for _ in weights.layers)

    return of_all_layers(), of_all_layers()
