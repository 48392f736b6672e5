"""The description's part: through T5 once for each distinct text, then keys and values of the cross-attention.

Also which entry of the cross-attention cache holds which description. Knows nothing of steps.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor

from pipeline.synthesis.engine.transfers import to_device
from pipeline.synthesis.engine.weights import Weights

_REMEMBERED = 256  # encoded descriptions; one of 64 tokens has a quarter of a megabyte


class DescriptionEncoder:
    """The text encoder, with a memory for the descriptions it met last."""

    def __init__(self, model: Any) -> None:
        self._text_encoder = model.text_encoder
        wider = model.config.text_encoder.hidden_size != model.config.decoder.hidden_size
        needed = wider and model.config.decoder.cross_attention_hidden_size is None
        self._projection = model.enc_to_dec_proj if needed else None
        self._device = model.device
        self._states: OrderedDict[tuple[int, ...], Tensor] = OrderedDict()
        self.num_encoded = 0

    @torch.inference_mode()
    def encode(self, ids: tuple[int, ...]) -> Tensor:
        """States `[D, hidden]` of a description's tokens; alone and without padding, so that they depend on it only."""
        if ids in self._states:
            self._states.move_to_end(ids)
            return self._states[ids]
        states = self._text_encoder(input_ids=to_device(torch.tensor([ids]), self._device)).last_hidden_state
        if self._projection is not None:
            states = self._projection(states)
        self.num_encoded += 1
        self._states[ids] = states[0]
        if len(self._states) > _REMEMBERED:
            self._states.popitem(last=False)
        return self._states[ids]


def prompt_states(weights: Weights, ids: Tensor) -> Tensor:
    """States `[P, hidden]` of a prompt that is attended across: its embedding with positions of its own."""
    assert weights.prompt_positions is not None
    return weights.prompt_embedding[ids] + weights.prompt_positions[: len(ids)]


def keys_and_values(weights: Weights, states: Tensor) -> list[tuple[Tensor, Tensor]]:
    """What every layer attends across: keys and values `[cross_kv_heads, D, d]` of states `[D, hidden]`."""
    both = []
    for layer in weights.layers:
        heads = layer.cross_kv(states).view(len(states), 2, weights.cross_kv_heads, -1)
        keys, values = heads.permute(1, 2, 0, 3)
        both.append((keys, values))
    return both


class CrossCacheSlots:
    """Which cross-attention entry holds which description. Plain bookkeeping: no tensors.

    An entry that no row uses keeps its content, in case the description comes again.
    """

    def __init__(self, count: int) -> None:
        self._content: list[object] = [None] * count
        self._users = [0] * count

    @property
    def num_used(self) -> int:
        """One more than the last entry that a row looks at."""
        return max((index + 1 for index, users in enumerate(self._users) if users), default=0)

    def acquire(self, description: object) -> tuple[int, bool]:
        """An entry for one more row, and whether it has to be filled first.

        There is always one: there are as many entries as slots.
        """
        if description in self._content:
            index = self._content.index(description)
            self._users[index] += 1
            return index, False
        index = self._users.index(0)
        self._content[index] = description
        self._users[index] = 1
        return index, True

    def release(self, index: int) -> None:
        """Takes leave of an entry."""
        self._users[index] -= 1
