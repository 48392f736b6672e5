"""Spoken forms: what a narrator says for what is written. There is one normalizer for each language, found by its code.

`english` is the only one so far; text in a language without one is spoken as it is written. Another distribution adds
one under the entry points `parler_pipeline.normalizers`.
"""

from __future__ import annotations

import re
from typing import Protocol

from pipeline.registry import Registry
from pipeline.text.normalization.english.typography import fold_characters

__all__ = ["NORMALIZERS", "Normalizer", "find_normalizer", "is_speakable"]


class Normalizer(Protocol):
    """Rewrites a piece of text, at most a sentence, in the words that are spoken."""

    def __call__(self, text: str, language: str) -> str:
        """Return the spoken form on one line. It must not fail, and must leave its own output as it is.

        Args:
            text: As written, without markup.
            language: Tag of the text, e.g. "en" or "en-GB"; the region may decide how a date is read.
        """


NORMALIZERS: Registry[Normalizer] = Registry(
    "parler_pipeline.normalizers", {"en": "pipeline.text.normalization.english:normalize"}
)

_ASCII_LETTER_OR_DIGIT = re.compile(r"[A-Za-z0-9]")
_LETTER_OR_DIGIT = re.compile(r"[^\W_]")


def find_normalizer(language: str) -> Normalizer | None:
    """Return the normalizer of a language, or None where there is none.

    Args:
        language: Code without region or script, e.g. "en".
    """
    return NORMALIZERS.get(language) if language in NORMALIZERS else None


def is_speakable(text: str) -> bool:
    """Return whether there is anything to say: a letter or a digit."""
    if _ASCII_LETTER_OR_DIGIT.search(text):
        return True
    return _LETTER_OR_DIGIT.search(fold_characters(text)) is not None
