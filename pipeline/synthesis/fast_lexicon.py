r"""Apply a tokenizer's pronunciation lexicon in one pass instead of one regular expression per word.

A tokenizer may hold its lexicon as normaliser rules `\bword\b -> sounds`, so that every Hugging Face tokenizer
understands it (see `scripts/voice/tokenizer.py`). Each rule then searches the whole text: 40,000 rules take 16 to 30 ms
a prompt. Such rules act on single words, so that a dictionary gives the same result, and the same token ids.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_MIN_RULES = 100  # fewer are fast enough
_RULE = re.compile(r"\\b([a-z]+(?:'[a-z]+)*)\\b")
# How runs of words are found. Sounds, below, begin and end with non-ASCII letters, so that no rule matches in them.
_RUN = r"\w+(?:'\w+)*"
_ASCII_RUN = re.compile(_RUN, re.ASCII)
# The pre-tokenizer of `scripts/voice/tokenizer.py`.
_CHARACTER_SPLIT = {
    "type": "Split",
    "pattern": {"Regex": r"[ˈˌ]?.|\s"},
    "behavior": "Isolated",
    "invert": False,
}
_STRESSED = re.compile(r"[ˈˌ].")
_LETTER = r"(?![\x00-\x7f])[^\W\d_]"
_SOUNDS = re.compile(rf"{_LETTER}(?:[^a-zA-Z0-9_']*{_LETTER})?")


def apply_lexicon_in_one_pass(tokenizer: Tokenizer) -> None:
    """Replace the longest run of lexicon rules in the normaliser of a tokenizer, in place.

    A tokenizer without such rules is not changed. A tokenizer that was changed cannot be saved.

    Args:
        tokenizer: A `tokenizers.Tokenizer`.
    """
    from tokenizers import normalizers

    if not isinstance(tokenizer.normalizer, normalizers.Sequence):
        return
    rules = json.loads(tokenizer.normalizer.__getstate__())["normalizers"]
    entries = [_lexicon_entry(rule) for rule in rules]
    start, end = _longest_run(entries)
    if end - start < _MIN_RULES:
        return
    lexicon: dict[str, str] = {}
    for word, sounds in filter(None, entries[start:end]):
        lexicon.setdefault(word, sounds)  # of several rules for a word only the first one has an effect
    one_pass = normalizers.Normalizer.custom(LexiconNormalizer(lexicon))
    tokenizer.normalizer = normalizers.Sequence([*map(_load, rules[:start]), one_pass, *map(_load, rules[end:])])


def count_tokens(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    """Return the number of tokens of each text, special tokens included.

    For tokenizers with one token for each character this avoids an encoding, which computes offsets as well.
    """
    if not _has_character_tokens(tokenizer):
        return [len(encoding) for encoding in tokenizer.encode_batch_fast(list(texts))]
    special = re.compile("|".join(re.escape(token.content) for token in tokenizer.get_added_tokens_decoder().values()))
    num_added = len(tokenizer.encode("").ids)
    return [
        len(tokenizer.encode(text).ids)
        if special.search(text)
        else len(spoken := tokenizer.normalizer.normalize_str(text)) - len(_STRESSED.findall(spoken)) + num_added
        for text in texts
    ]


def _has_character_tokens(tokenizer: Tokenizer) -> bool:
    """Return whether each character is a token; a stress mark is part of the next one."""
    from tokenizers import models

    pre_tokenizer = json.loads(tokenizer.pre_tokenizer.__getstate__()) if tokenizer.pre_tokenizer else None
    has_words = isinstance(tokenizer.model, models.WordLevel) and tokenizer.normalizer is not None
    return has_words and pre_tokenizer == _CHARACTER_SPLIT


class LexiconNormalizer:
    r"""Replace words by their sounds, with the result of the rules `\bword\b -> sounds` applied one after the other.

    Args:
        lexicon: Sounds of each word, in the order of the rules. Words are lower-case ASCII letters, with apostrophes
            inside; sounds begin and end with a non-ASCII letter and contain no ASCII letter.
    """

    def __init__(self, lexicon: Mapping[str, str]) -> None:
        from tokenizers import Regex, pre_tokenizers

        self._lexicon = lexicon
        self._rank = {word: rank for rank, word in enumerate(lexicon)}
        self._max_parts = max(word.count("'") + 1 for word in lexicon)
        # With the regular expressions of `tokenizers`, since Python's `\w` differs outside ASCII.
        self._split = pre_tokenizers.Split(Regex(_RUN), "isolated")
        self._all = Regex(r"(?m)\A.+\z")

    def normalize(self, normalized: Any) -> None:
        """Change a `tokenizers.NormalizedString` in place; `tokenizers` calls this."""
        normalized.replace(self._all, self.replace_words(normalized.normalized))

    def replace_words(self, text: str) -> str:
        """Return `text` with the words of the lexicon replaced."""
        if text.isascii():
            return _ASCII_RUN.sub(lambda match: self._replace(match[0]), text)
        return "".join([self._replace(run) for run, _ in self._split.pre_tokenize_str(text)])

    def _replace(self, run: str) -> str:
        """Replace the words in a run of word characters and single apostrophes."""
        if "'" not in run:
            return self._lexicon.get(run, run)
        parts = run.split("'")
        found: list[tuple[int, int, int]] = []  # rank of the rule, first part, end
        for first in range(len(parts)):
            for end in range(first + 1, min(first + self._max_parts, len(parts)) + 1):
                rank = self._rank.get("'".join(parts[first:end]))
                if rank is not None:
                    found.append((rank, first, end))
        owner: list[str | None] = [None] * len(parts)  # sounds at the first part of a word, "" at its others
        for _, first, end in sorted(found):
            if not any(sounds is not None for sounds in owner[first:end]):
                owner[first:end] = [self._lexicon["'".join(parts[first:end])], *[""] * (end - first - 1)]
        pieces = (part if sounds is None else sounds for part, sounds in zip(parts, owner, strict=True))
        return "'".join(piece for piece, sounds in zip(pieces, owner, strict=True) if sounds != "")


def _lexicon_entry(rule: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the word and the sounds of a rule, or None for another kind of rule."""
    word = _RULE.fullmatch(rule["pattern"].get("Regex", "")) if rule["type"] == "Replace" else None
    return (word[1], rule["content"]) if word and _SOUNDS.fullmatch(rule["content"]) else None


def _longest_run(entries: Sequence[object | None]) -> tuple[int, int]:
    """Return start and end of the longest run of entries that are not None."""
    best, start = (0, 0), 0
    for position, entry in enumerate([*entries, None]):
        if entry is None:
            best, start = max(best, (start, position), key=lambda run: run[1] - run[0]), position + 1
    return best


def _load(rule: Mapping[str, Any]) -> Any:
    """Return the normaliser for a rule in its JSON form."""
    from tokenizers import normalizers

    normalizer = normalizers.Sequence([])
    normalizer.__setstate__(json.dumps({"type": "Sequence", "normalizers": [rule]}).encode())
    return normalizer
