"""Text normalization: written text to the words that are spoken, with one normalizer for each language.

`english` is the only one in this package. Text in a language without a normalizer is spoken as it is written. Another
distribution can add one under the entry points `parler_pipeline.normalizers`.
"""

from __future__ import annotations

import re
from typing import Protocol

from pipeline.registry import Registry
from pipeline.text.normalization.english.typography import fold_characters

__all__ = ["NORMALIZERS", "Normalizer", "find_normalizer", "is_speakable"]


class Normalizer(Protocol):
    """A function that rewrites text, at most one sentence, as the words that are spoken."""

    def __call__(self, text: str, language: str) -> str:
        """Return the spoken form on one line.

        It must not raise an exception, and must return its own output unchanged.

        Args:
            text: Text without markup.
            language: Tag of its language, e.g. "en" or "en-GB"; the region can decide how a date is read.
        """


NORMALIZERS: Registry[Normalizer] = Registry(
    "parler_pipeline.normalizers", {"en": "pipeline.text.normalization.english:normalize"}
)

_ASCII_LETTER_OR_DIGIT = re.compile(r"[A-Za-z0-9]")
_LETTER_OR_DIGIT = re.compile(r"[^\W_]")


def find_normalizer(language: str) -> Normalizer | None:
    """Return the normalizer of a language, or None if there is none.

    Args:
        language: Code without region or script, e.g. "en".
    """
    return NORMALIZERS.get(language) if language in NORMALIZERS else None


def is_speakable(text: str) -> bool:
    """Return whether a text contains anything to say: a letter or a digit."""
    if _ASCII_LETTER_OR_DIGIT.search(text):
        return True
    return _LETTER_OR_DIGIT.search(fold_characters(text)) is not None
