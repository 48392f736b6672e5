"""What the decoder reads: token ids of a prompt, some of its words spelled, and which of them is spoken when."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.synthesis.tokenizers import Tokens
from scripts.voice.speech import Utterance
from scripts.voice.tokenizer import SPELLED

# No rule of the tokenizer reaches beyond one of these, so that each can be read by itself, and only once.
_PART = re.compile(r"[\w'\u2019]+|.", re.DOTALL)


@dataclass(frozen=True)
class Prompt:
    """A text as tokens."""

    ids: tuple[int, ...]
    places: tuple[int, ...]  # of the character at which each token begins; that of the end token: the text's length


class Reader:
    """A tokenizer that remembers what it has read: its lexicon makes it slow."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._read = lru_cache(maxsize=200_000)(self._read_part)

    def read(self, text: str, chance: random.Random | None = None, spelled: float = 0.0) -> Prompt:
        """The tokens of `text`, in which words are spelled with this probability."""
        ids, places = [], []
        for part in _PART.finditer(text):
            is_spelled = chance is not None and chance.random() < spelled
            part_ids, part_places = self._read(part[0], is_spelled)
            ids += part_ids
            places += [part.start() + place for place in part_places]
        return Prompt((*ids, self._tokenizer.eos_token_id), (*places, len(text)))

    def _read_part(self, part: str, is_spelled: bool) -> tuple[list[int], list[int]]:
        given = part[0] + SPELLED + part[1:] if is_spelled else part
        read = self._tokenizer(given, return_offsets_mapping=True, add_special_tokens=False)
        return read.input_ids, [start - (is_spelled and start > 1) for start, _ in read.offset_mapping]

    def padded(self, rows: Sequence[Sequence[int]], *, left: bool, length: int = 0) -> Tokens:
        """Rows of ids as one tensor, of this length at least."""
        longest = max([length, *map(len, rows)])
        ids = torch.full((len(rows), longest), self._tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            columns = slice(longest - len(row), None) if left else slice(len(row))
            ids[i, columns] = torch.tensor(row)
            mask[i, columns] = 1
        return Tokens(ids, mask)


def spoken_tokens(utterance: Utterance, prompt: Prompt, padding: int) -> Tensor:
    """For each frame the index of the token that is spoken, after so many tokens of padding `[T]`; -1: none.

    A word with as many tokens as sounds is followed sound by sound, any other evenly.
    """
    places = np.array(prompt.places)
    ends = np.cumsum([sound.frames for sound in utterance.sounds])
    names = [sound.name for sound in utterance.sounds]
    spoken = torch.full((int(ends[-1]),), -1.0)
    for span in utterance.spans:
        first, last = np.searchsorted(places, [span.start, span.end])
        if first == last:
            continue
        inside = np.flatnonzero((ends > span.first_frame) & (ends <= span.last_frame))
        if len(inside) == last - first + 1 and names[inside[-1]] == " ":  # which is the next token
            last += 1
        if len(inside) == last - first:
            edges = np.clip(np.concatenate([[span.first_frame], ends[inside]]), span.first_frame, span.last_frame)
            for token, (start, end) in enumerate(pairwise(edges), int(first)):
                spoken[start:end] = padding + token
        else:
            count = span.last_frame - span.first_frame
            within = (torch.arange(count) + 0.5) / count * int(last - first)
            spoken[span.first_frame : span.last_frame] = padding + int(first) + within - 0.5
    return spoken


def places_of(spoken: Tensor, padding: int) -> npt.NDArray[np.int64]:
    """For each frame the token that is spoken, counted without padding; where none is, the one before `[T]`."""
    tokens = np.floor(spoken.numpy() + 0.5).astype(np.int64) - padding
    return np.maximum.accumulate(np.maximum(tokens, 0))
