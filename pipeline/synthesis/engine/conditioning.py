"""Conditioning on the description: text encoder, cross-attention keys and values, and which cache entry holds which."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor

from pipeline.synthesis.engine.transfers import to_device
from pipeline.synthesis.engine.weights import Weights

_MAX_CACHED = 256  # encoded descriptions; one of 64 tokens takes a quarter of a megabyte


class DescriptionEncoder:
    """The text encoder (T5) with a cache of the descriptions that were used last.

    Args:
        model: A loaded `upstream.Parler`.

    Attributes:
        num_encoded: Descriptions that went through the text encoder so far.
    """

    def __init__(self, model: Any) -> None:
        self._text_encoder = model.text_encoder
        has_other_width = model.config.text_encoder.hidden_size != model.config.decoder.hidden_size
        needs_projection = has_other_width and model.config.decoder.cross_attention_hidden_size is None
        self._projection = model.enc_to_dec_proj if needs_projection else None
        self._device = model.device
        self._states: OrderedDict[tuple[int, ...], Tensor] = OrderedDict()
        self.num_encoded = 0

    @torch.inference_mode()
    def encode(self, ids: tuple[int, ...]) -> Tensor:
        """Return the states `[D, hidden]` of a description's token ids.

        Each description is encoded alone and without padding, so that its states do not depend on others.
        """
        if ids in self._states:
            self._states.move_to_end(ids)
            return self._states[ids]
        states = self._text_encoder(input_ids=to_device(torch.tensor([ids]), self._device)).last_hidden_state
        if self._projection is not None:
            states = self._projection(states)
        self.num_encoded += 1
        self._states[ids] = states[0]
        if len(self._states) > _MAX_CACHED:
            self._states.popitem(last=False)
        return self._states[ids]


def prompt_states(weights: Weights, ids: Tensor) -> Tensor:
    """Return the states `[P, hidden]` of a cross-attended prompt `[P]`: its embeddings plus positions from 0."""
    assert weights.prompt_positions is not None
    return weights.prompt_embedding[ids] + weights.prompt_positions[: len(ids)]


def keys_and_values(weights: Weights, states: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return for each layer the cross-attention keys and values `[cross_kv_heads, D, d]` of states `[D, hidden]`."""
    of_layers = []
    for layer in weights.layers:
        heads = layer.cross_kv(states).view(len(states), 2, weights.cross_kv_heads, -1)
        keys, values = heads.permute(1, 2, 0, 3)
        of_layers.append((keys, values))
    return of_layers


class CrossCacheSlots:
    """Reference counts of the cross-attention entries. Holds no tensors.

    An entry that no row uses keeps its content until another description needs it.

    Args:
        num_entries: Entries of the cache; as many as there are slots, so that `acquire` always finds a free one.
    """

    def __init__(self, num_entries: int) -> None:
        self._content: list[object] = [None] * num_entries
        self._num_users = [0] * num_entries

    @property
    def num_used(self) -> int:
        """Index of the last entry in use, plus one."""
        return max((index + 1 for index, users in enumerate(self._num_users) if users), default=0)

    def acquire(self, description: object) -> tuple[int, bool]:
        """Return an entry for one more row, and whether the caller has to write the description into it."""
        if description in self._content:
            index = self._content.index(description)
            self._num_users[index] += 1
            return index, False
        index = self._num_users.index(0)
        self._content[index] = description
        self._num_users[index] = 1
        return index, True

    def release(self, index: int) -> None:
        """Decrement the reference count of an entry."""
        self._num_users[index] -= 1
