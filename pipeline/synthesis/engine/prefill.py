"""Fills the cache with the prompts of newcomers, several at once, at few shapes.

Prompts stand at the beginning of their slots, padded behind, where the rows' own steps will overwrite the padding. The
first codes are not part of it: they are the first step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from pipeline.synthesis.engine import layers
from pipeline.synthesis.engine.cache import padded
from pipeline.synthesis.engine.step import Decoder, cross_attention
from pipeline.synthesis.engine.transfers import to_device

_PROMPT_MULTIPLE = 16
_MAX_GROUP = 8


@dataclass(frozen=True)
class PrefillRequest:
    """A prompt that goes into a slot."""

    slot: int
    prompt: Tensor  # [P], on the CPU


def groups(newcomers: Sequence[PrefillRequest]) -> list[list[PrefillRequest]]:
    """Newcomers of the same padded length, at most a few at a time. A prompt's shape depends on nothing but itself."""

    def length(newcomer: PrefillRequest) -> int:
        return padded(len(newcomer.prompt), _PROMPT_MULTIPLE)

    same_length = [list(group) for _, group in groupby(sorted(newcomers, key=length), key=length)]
    return [group[i : i + _MAX_GROUP] for group in same_length for i in range(0, len(group), _MAX_GROUP)]


def prefill(decoder: Decoder, group: Sequence[PrefillRequest], num_entries: int) -> None:
    """Writes keys and values of a group's prompts into their slots. Their rows have been admitted."""
    weights, cache, device = decoder.weights, decoder.cache, decoder.weights.device
    length = padded(len(group[0].prompt), _PROMPT_MULTIPLE)
    slots = to_device(torch.tensor([newcomer.slot for newcomer in group]), device)
    padded_prompts = torch.zeros((len(group), length), dtype=torch.int64)
    for row, newcomer in zip(padded_prompts, group, strict=True):
        row[: len(newcomer.prompt)] = newcomer.prompt
    ids = to_device(padded_prompts, device)
    positions = torch.arange(length, device=device)[None]
    future = torch.ones((length, length), dtype=torch.bool, device=device).triu(1)
    bias = torch.zeros(future.shape, dtype=weights.dtype, device=device).masked_fill(future, -torch.inf)[None, None]

    def self_attention(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        cache.keys[layer][slots, :, :length] = k
        cache.values[layer][slots, :, :length] = v
        return layers.attend(q, k, v, bias)

    layers.transform(
        weights,
        layers.add_positions(weights, weights.prompt_embedding[ids], positions),
        layers.rotation_at(weights, positions),
        self_attention,
        cross_attention(weights, decoder.cross, decoder.rows.entries[slots], num_entries),
    )
