"""Prefill: write the keys and values of prompts into their slots, several prompts of one padded length at a time.

A prompt starts at position 0 of its slot and is padded behind, where the row's own steps overwrite the padding. The
first codes are not part of the prefill: they are the first step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from pipeline.synthesis.engine import layers
from pipeline.synthesis.engine.cache import round_up
from pipeline.synthesis.engine.step import DecoderState, cross_attention
from pipeline.synthesis.engine.transfers import to_device

_LENGTH_MULTIPLE = 16  # prompts are padded to multiples of it
_MAX_GROUP = 8


@dataclass(frozen=True)
class PrefillRequest:
    """A prompt and the slot that it goes into."""

    slot: int
    prompt: Tensor  # [P] ids, on the CPU


def group_by_length(requests: Sequence[PrefillRequest]) -> list[list[PrefillRequest]]:
    """Group requests by padded length, at most a few in a group.

    The padded length depends on the prompt alone, so that a prompt's keys and values do not depend on its group.
    """

    def length(request: PrefillRequest) -> int:
        return round_up(len(request.prompt), _LENGTH_MULTIPLE)

    same_length = [list(group) for _, group in groupby(sorted(requests, key=length), key=length)]
    return [group[i : i + _MAX_GROUP] for group in same_length for i in range(0, len(group), _MAX_GROUP)]


def prefill(decoder: DecoderState, group: Sequence[PrefillRequest], num_entries: int) -> None:
    """Write the keys and values of a group's prompts into their slots.

    Args:
        decoder: Its rows for these slots are started already (`Rows.start`).
        group: Prompts of one padded length.
        num_entries: Cross-attention entries to read: more than the index of any entry of these rows.
    """
    weights, cache, device = decoder.weights, decoder.cache, decoder.weights.device
    length = round_up(len(group[0].prompt), _LENGTH_MULTIPLE)
    slots = to_device(torch.tensor([request.slot for request in group]), device)
    padded_prompts = torch.zeros((len(group), length), dtype=torch.int64)
    for row, request in zip(padded_prompts, group, strict=True):
        row[: len(request.prompt)] = request.prompt
    ids = to_device(padded_prompts, device)
    positions = torch.arange(length, device=device)[None]
    future = torch.ones((length, length), dtype=torch.bool, device=device).triu(1)
    bias = torch.zeros(future.shape, dtype=weights.dtype, device=device).masked_fill(future, -torch.inf)[None, None]

    def self_attention(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        cache.keys[layer][slots, :, :length] = k
        cache.values[layer][slots, :, :length] = v
        return layers.attend(q, k, v, bias)

    layers.run_layers(
        weights,
        layers.add_positions(weights, weights.prompt_embedding[ids], positions),
        layers.rotation_at(weights, positions),
        self_attention,
        cross_attention(weights, decoder.cross, decoder.rows.entries[slots], num_entries),
    )
