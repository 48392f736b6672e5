"""What the decoder reads: token ids of a prompt, some of its words spelled, and which of them is spoken when."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.synthesis.tokenizers import Tokens
from scripts.voice.speech import Utterance
from scripts.voice.tokenizer import SPELLED

# No rule of the tokenizer reaches beyond one of these, so that each can be read by itself, and only once.
_PART = re.compile(r"[\w'\u2019]+|.", re.DOTALL)
_PARTS_AT_ONCE = 2_000


class _Tokens(NamedTuple):
    """A part as tokens, and the characters of it at which they begin."""

    ids: list[int]
    places: list[int]


@dataclass(frozen=True)
class Prompt:
    """A text as tokens."""

    ids: tuple[int, ...]
    places: tuple[int, ...]  # of the character at which each token begins; that of the end token: the text's length


class Reader:
    """A tokenizer that remembers what it has read: its lexicon makes it slow, whether a text is long or short.

    So the parts of all `texts` are read at once when it is made.
    """

    def __init__(self, tokenizer: Any, texts: Iterable[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, _Tokens] = {}
        parts = {part for text in texts for part in _PART.findall(text)}
        self._learn(sorted(parts | {_spelled(part) for part in parts}))

    def read(self, text: str, chance: random.Random | None = None, spelled: float = 0.0) -> Prompt:
        """The tokens of `text`, in which words are spelled with this probability."""
        ids: list[int] = []
        places: list[int] = []
        for part in _PART.finditer(text):
            is_spelled = chance is not None and chance.random() < spelled
            tokens = self._tokens_of(_spelled(part[0]) if is_spelled else part[0])
            ids += tokens.ids
            places += [part.start() + place - (is_spelled and place > 1) for place in tokens.places]
        return Prompt((*ids, self._tokenizer.eos_token_id), (*places, len(text)))

    def _tokens_of(self, part: str) -> _Tokens:
        if part not in self._known:
            self._learn([part])
        return self._known[part]

    def _learn(self, parts: Sequence[str]) -> None:
        """Read parts, of which none has a line break, many at a time."""
        for first in range(0, len(parts), _PARTS_AT_ONCE):
            lines = parts[first : first + _PARTS_AT_ONCE]
            read = self._tokenizer("\n".join(lines), return_offsets_mapping=True, add_special_tokens=False)
            places = np.array([start for start, _ in read.offset_mapping])
            start = 0
            for line in lines:
                of_line = slice(*np.searchsorted(places, [start, start + len(line)]))
                self._known[line] = _Tokens(read.input_ids[of_line], (places[of_line] - start).tolist())
                start += len(line) + 1

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


def _spelled(part: str) -> str:
    """The same letters, but no word of a lexicon."""
    return part[0] + SPELLED + part[1:]


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
