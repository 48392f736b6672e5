"""Text to token ids, padded on the side that Parler-TTS wants: prompts on the left, descriptions on the right.

mini-v1.1 and the multilingual checkpoints have two tokenizers; the description's lies with the text encoder that the
model's config names. Needs no weights: planning counts tokens with it before any model is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import ModelError
from pipeline.synthesis.fast_lexicon import apply_lexicon_in_one_pass, count_tokens

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Tokens:
    """Padded ids and their mask (1: a token, 0: padding), both `[B, L]` int64."""

    ids: Tensor
    mask: Tensor

    def to(self, device: str | torch.device) -> Tokens:
        """The same on another device."""
        return Tokens(self.ids.to(device), self.mask.to(device))


class Tokenizers:
    """The two tokenizers of a checkpoint."""

    def __init__(self, prompt: Any, description: Any) -> None:
        self._prompt = prompt
        self._description = description

    def prompts(self, texts: Sequence[str], length: int = 0) -> Tokens:
        """Prompt tokens, padded on the left to `length`, or to the longest where it is 0."""
        return _encode(self._prompt, texts, length, "left", "prompt")

    def descriptions(self, texts: Sequence[str], length: int = 0) -> Tokens:
        """Description tokens, padded on the right likewise."""
        return _encode(self._description, texts, length, "right", "description")

    def count_prompts(self, texts: Sequence[str]) -> list[int]:
        """Number of tokens of each prompt."""
        return count_tokens(self._prompt, texts)

    def count_description(self, text: str) -> int:
        """Number of tokens of a description."""
        return len(self._description(text).input_ids)


def load_tokenizers(folder: Path, description_folder: Path | None = None) -> Tokenizers:
    """Loads both tokenizers of a checkpoint folder; the description's own folder when it has one."""
    from transformers import AutoTokenizer

    try:
        prompt = AutoTokenizer.from_pretrained(folder)
        description = AutoTokenizer.from_pretrained(description_folder) if description_folder else prompt
    except (OSError, ValueError, json.JSONDecodeError) as error:
        raise ModelError(f"{folder}: its tokenizer cannot be loaded ({str(error).splitlines()[0]})") from error
    for tokenizer in {id(each): each for each in (prompt, description)}.values():
        apply_lexicon_in_one_pass(tokenizer)
    return Tokenizers(prompt, description)


def _encode(tokenizer: Any, texts: Sequence[str], length: int, side: str, kind: str) -> Tokens:
    import torch

    rows = tokenizer(list(texts)).input_ids
    longest = max(map(len, rows))
    if length and longest > length:
        text = texts[[len(row) for row in rows].index(longest)]
        raise ValueError(f"{kind} of {longest} tokens does not fit a bucket of {length}: {text[:80]!r}")
    ids = torch.full((len(rows), length or longest), tokenizer.pad_token_id)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        columns = slice(-len(row), None) if side == "left" else slice(len(row))
        ids[i, columns] = torch.tensor(row)
        mask[i, columns] = 1
    return Tokens(ids, mask)
