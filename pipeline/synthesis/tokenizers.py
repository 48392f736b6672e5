"""Tokenizers: text to token ids, padded as Parler-TTS needs them: prompts on the left, descriptions on the right.

mini-v1.1, multilingual and indic have two tokenizers; that of descriptions belongs to the text encoder that the model's
config names. No weights are needed: planning counts tokens before a model is loaded. This is the only module that loads
tokenizers, and it never runs code of a checkpoint.
"""

from __future__ import annotations

import hashlib
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.errors import ModelError
from pipeline.synthesis.checkpoint_files import tokenizer_files
from pipeline.synthesis.fast_lexicon import apply_lexicon_in_one_pass, count_tokens

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer
    from torch import Tensor

    from pipeline.synthesis.checkpoint import Checkpoint

_log = logging.getLogger(__name__)
_CACHE_FORMAT = "1"


@dataclass(frozen=True)
class Tokens:
    """Padded token ids."""

    ids: Tensor  # [B, L] int64
    mask: Tensor  # [B, L] int64: 1 for a token, 0 for padding

    def to(self, device: str | torch.device) -> Tokens:
        """Return the tokens on another device."""
        return Tokens(self.ids.to(device), self.mask.to(device))


class _Encoder(Protocol):
    """A tokenizer of either kind.

    Attributes:
        pad_id: Id of padding.
        num_tokens: Size of the vocabulary.
    """

    pad_id: int
    num_tokens: int

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, special tokens included."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of ids of each text."""


class _FastEncoder:
    """A tokenizer of the `tokenizers` library."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.pad_id = int(tokenizer.padding["pad_id"])
        self.num_tokens = int(tokenizer.get_vocab_size())
        tokenizer.no_padding()
        tokenizer.no_truncation()
        apply_lexicon_in_one_pass(tokenizer)
        self._tokenizer = tokenizer

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]

    def count(self, texts: Sequence[str]) -> list[int]:
        return count_tokens(self._tokenizer, texts)


class _SlowEncoder:
    """A tokenizer that transformers implements in Python only."""

    def __init__(self, tokenizer: Any) -> None:
        self.pad_id = int(tokenizer.pad_token_id)
        self.num_tokens = len(tokenizer)
        self._tokenizer = tokenizer

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        rows: list[list[int]] = self._tokenizer(list(texts)).input_ids
        return rows

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(row) for row in self.encode(texts)]


class Tokenizers:
    """The two tokenizers of a checkpoint. Made by `load_tokenizers`."""

    def __init__(
        self, prompt: _Encoder, description: _Encoder, prompt_vocabulary: int, description_vocabulary: int
    ) -> None:
        self._prompt = _Limited(prompt, prompt_vocabulary, "prompt")
        self._description = _Limited(description, description_vocabulary, "description")

    def prompts(self, texts: Sequence[str], length: int = 0) -> Tokens:
        """Return prompt tokens `[B, P]`, padded on the left to `length`; 0: to the longest text.

        Raises:
            ValueError: A text is longer than `length`.
            ModelError: The tokenizer does not belong to the model.
        """
        return _pad(self._prompt, texts, length, "left")

    def descriptions(self, texts: Sequence[str], length: int = 0) -> Tokens:
        """Return description tokens `[B, D]`, padded on the right; otherwise like `prompts`."""
        return _pad(self._description, texts, length, "right")

    def count_prompts(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each prompt."""
        return self._prompt.count(texts)

    def count_description(self, text: str) -> int:
        """Return the number of tokens of a description."""
        return self._description.count([text])[0]


class _Limited:
    """A tokenizer whose ids are checked against the size of the model's embedding table."""

    def __init__(self, encoder: _Encoder, vocabulary: int, kind: str) -> None:
        self.kind = kind
        self.pad_id = encoder.pad_id
        self._encoder = encoder
        self._vocabulary = vocabulary

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text.

        Raises:
            ModelError: The model has no embedding for an id: the tokenizer belongs to another model.
        """
        rows = self._encoder.encode(texts)
        if self._encoder.num_tokens <= self._vocabulary:
            return rows
        for row, text in zip(rows, texts, strict=True):
            if row and max(row) >= self._vocabulary:
                raise ModelError(
                    f"the {self.kind} tokenizer gives id {max(row)} for {text[:40]!r}, and the model has "
                    f"{self._vocabulary} {self.kind} embeddings: it belongs to another model"
                )
        return rows

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of ids of each text; raises like `encode`."""
        if self._encoder.num_tokens <= self._vocabulary:
            return self._encoder.count(texts)
        return [len(row) for row in self.encode(texts)]


def load_tokenizers(checkpoint: Checkpoint) -> Tokenizers:
    """Load both tokenizers of a checkpoint.

    Raises:
        ModelError: One of them is missing, damaged, needs code of the checkpoint, or has no padding token.
    """
    prompt = _load(checkpoint.prompt_tokenizer)
    other = checkpoint.description_tokenizer
    return Tokenizers(
        prompt,
        _load(other) if other else prompt,
        int(checkpoint.config["vocab_size"]),
        int(checkpoint.config["text_encoder"]["vocab_size"]),
    )


def _load(folder: Path) -> _Encoder:
    """Load a tokenizer, from the cache if it was converted before.

    transformers converts the published kinds of tokenizer at each start, which takes 6 s for the 90,714 entries of
    multilingual and indic.
    """
    from tokenizers import Tokenizer

    cached = _cache_path(folder)
    if cached and cached.is_file():
        try:
            return _FastEncoder(Tokenizer.from_file(str(cached)))
        except Exception as error:  # the tokenizers library raises nothing narrower
            _log.debug("%s: cannot be read, converting again (%s)", cached, error)
    tokenizer = _from_transformers(folder)
    if not tokenizer.is_fast:
        return _SlowEncoder(tokenizer)
    fast: Tokenizer = tokenizer.backend_tokenizer
    fast.no_truncation()
    fast.enable_padding(pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token)  # stores the id in the file
    if cached:
        _store(fast, cached)
    return _FastEncoder(fast)


def _from_transformers(folder: Path) -> Any:
    if not tokenizer_files(folder):
        raise ModelError(f"{folder}: no tokenizer; tokenizer.json, or spiece.model or tokenizer.model, is missing")
    from transformers import AutoTokenizer

    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # the tokenizers library raises nothing narrower for a damaged file
        if "trust_remote_code" in str(error):
            raise ModelError(
                f"{folder}: its tokenizer needs Python code of the checkpoint, which is never run; convert it to a "
                "tokenizer.json"
            ) from error
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"{folder}: its tokenizer cannot be loaded ({first_line}); a file is missing or damaged: download it again"
        ) from error
    if tokenizer.pad_token_id is None:
        raise ModelError(f"{folder}: its tokenizer has no padding token; set pad_token in tokenizer_config.json")
    return tokenizer


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what transformers logs about settings of published checkpoints."""
    from transformers.utils import logging as transformers_logging

    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(before)


def _cache_path(folder: Path) -> Path | None:
    """Return the cache file of a converted tokenizer, named by the hash of its files; None if there is no cache."""
    from huggingface_hub import cached_assets_path

    digest = hashlib.sha256(_CACHE_FORMAT.encode())
    for package in ("transformers", "tokenizers", "sentencepiece"):
        digest.update(f"{package}={version(package)};".encode())
    try:
        for path in tokenizer_files(folder):
            digest.update(f"{path.name}={path.stat().st_size};".encode())
            digest.update(path.read_bytes())
        converted: Path = cached_assets_path("parler-pipeline", "tokenizers", "converted")
        return converted / f"{digest.hexdigest()[:32]}.json"
    except OSError:
        return None


def _store(tokenizer: Tokenizer, path: Path) -> None:
    """Write a converted tokenizer to the cache, atomically."""
    hidden = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        tokenizer.save(str(hidden), pretty=False)
        hidden.replace(path)
    except Exception as error:  # e.g. a full disk: it is converted again next time
        _log.debug("%s: the converted tokenizer cannot be cached (%s)", path, error)
        hidden.unlink(missing_ok=True)


def _pad(tokenizer: _Limited, texts: Sequence[str], length: int, side: str) -> Tokens:
    import torch

    rows = tokenizer.encode(texts)
    longest = max(map(len, rows))
    if length and longest > length:
        text = texts[[len(row) for row in rows].index(longest)]
        raise ValueError(f"{tokenizer.kind} of {longest} tokens does not fit a bucket of {length}: {text[:80]!r}")
    ids = torch.full((len(rows), length or longest), tokenizer.pad_id)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        columns = slice(-len(row), None) if side == "left" else slice(len(row))
        ids[i, columns] = torch.tensor(row)
        mask[i, columns] = 1
    return Tokens(ids, mask)
