"""Owns the spoken form of English text: what a narrator says for what is written.

`RULES` is the whole of it: small functions from text to text, applied in this order. Typography comes first, so that
every later rule sees plain signs; addresses before anything that could take a part of them; abbreviations before
numbers, because they need to see digits; and among the numbers, what is more specific first (a date before a range,
money before a number). The last rules say or drop the symbols that are left.

It does not know where sentences or segments begin, and it has no dictionary of pronunciation.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from pipeline.text.normalization.abbreviations import expand_abbreviations, read_saints_and_streets
from pipeline.text.normalization.addresses import read_addresses, read_tags
from pipeline.text.normalization.dates import (
    is_day_first,
    modern_ordinals,
    read_dates,
    read_decades,
    read_numeric_dates,
    read_times,
    read_year_ranges,
    read_years,
)
from pipeline.text.normalization.initials import expand_phrases, join_initials
from pipeline.text.normalization.measures import (
    read_angles,
    read_durations,
    read_feet_and_inches,
    read_magnitudes,
    read_percents_and_degrees,
    read_units,
)
from pipeline.text.normalization.money import read_money
from pipeline.text.normalization.numbers import (
    read_codes,
    read_computer_numbers,
    read_fractions,
    read_numbers,
    read_ordinals,
    read_ranges,
    spell_long_runs,
)
from pipeline.text.normalization.plain import plain_text
from pipeline.text.normalization.romans import read_romans
from pipeline.text.normalization.scripture import read_scripture
from pipeline.text.normalization.separators import plain_separators
from pipeline.text.normalization.symbols import (
    brackets_to_commas,
    name_greek_letters,
    name_sections,
    read_comparisons,
    say_symbols,
    tidy_punctuation,
)
from pipeline.text.normalization.typography import (
    drop_html,
    drop_note_marks,
    drop_transcript_tags,
    fold_characters,
    fold_spaces,
    plain_dashes,
    plain_ellipses,
    unwrap_emphasis,
    unwrap_links,
)

__all__ = ["RULES", "apply_rules", "is_speakable", "normalize"]

Rule = Callable[[str], str]

TYPOGRAPHY: tuple[Rule, ...] = (
    drop_html,
    fold_characters,
    fold_spaces,
    unwrap_links,
    drop_transcript_tags,
    drop_note_marks,
    unwrap_emphasis,
    read_addresses,
    plain_dashes,
    plain_ellipses,
)
WORDS: tuple[Rule, ...] = (
    read_tags,
    name_sections,
    read_scripture,
    expand_phrases,
    read_saints_and_streets,
    expand_abbreviations,
    join_initials,
    read_romans,
)
NUMBERS: tuple[Rule, ...] = (  # skipped where there is no digit
    spell_long_runs,
    read_computer_numbers,
    read_comparisons,
    plain_separators,
    modern_ordinals,
    read_numeric_dates,
    read_dates,
    read_year_ranges,
    read_codes,
    read_durations,
    read_times,
    read_money,
    read_angles,
    read_feet_and_inches,
    read_ranges,
    read_decades,
    read_percents_and_degrees,
    read_magnitudes,
    read_units,
    read_fractions,
    read_ordinals,
    read_years,
    read_numbers,
)
_NUMBERS_DAY_FIRST = tuple(
    partial(read_numeric_dates, day_first=True) if rule is read_numeric_dates else rule for rule in NUMBERS
)
SYMBOLS: tuple[Rule, ...] = (name_greek_letters, say_symbols, brackets_to_commas, tidy_punctuation)
RULES = TYPOGRAPHY + WORDS + NUMBERS + SYMBOLS

# A rule can lay bare what an earlier one reads: "5&VIII" has no numeral until the sign between them is said. The first
# pass nearly always does it all and the second shows it; of thousands of random texts none changed after the third.
_MAX_PASSES = 4
_DIGIT = re.compile(r"[0-9]")
_ASCII_LETTER_OR_DIGIT = re.compile(r"[A-Za-z0-9]")
_LETTER_OR_DIGIT = re.compile(r"[^\W_]")


def normalize(text: str, language: str = "en") -> str:
    """The spoken form of a piece of English text, on one line. It never fails; what it gives back, it leaves as it is.

    Args:
        text: As written.
        language: A tag of English; its country decides whether 03/04/1921 is in March or in April.

    >>> normalize("Mr. Bennet paid £10 on May 5, 1813--at 3:45 p.m.")
    'Mister Bennet paid ten pounds on May fifth, eighteen thirteen - at three forty-five p.m.'
    """
    plain = plain_text(text)
    return apply_rules(text, day_first=is_day_first(language)) if plain is None else plain


def apply_rules(text: str, *, day_first: bool = False) -> str:
    """Apply all rules until they change nothing more, also to text that is plain.

    >>> apply_rules("No. 5")
    'Number five'
    """
    numbers = _NUMBERS_DAY_FIRST if day_first else NUMBERS
    for _ in range(_MAX_PASSES):
        spoken = _apply_once(text, numbers)
        if spoken == text or plain_text(spoken) == spoken:
            return spoken
        text = spoken
    return text


def _apply_once(text: str, numbers: tuple[Rule, ...]) -> str:
    for rules in (TYPOGRAPHY, WORDS, numbers, SYMBOLS):
        if rules is numbers and not _DIGIT.search(text):
            continue
        for rule in rules:
            text = rule(text)
    return text


def is_speakable(text: str) -> bool:
    """Whether there is anything to say: a letter or a digit."""
    if _ASCII_LETTER_OR_DIGIT.search(text):
        return True
    return _LETTER_OR_DIGIT.search(fold_characters(text)) is not None
