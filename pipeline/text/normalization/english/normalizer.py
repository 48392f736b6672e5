"""Normalizer for English: numbers, dates, money, abbreviations and symbols are written as the words that are spoken.

`RULES` lists all steps, functions from text to text, in the order of their application. Typography comes first, so that
later rules see plain characters. Addresses come before rules that could match a part of them, and abbreviations before
numbers, because they depend on digits that follow. Specific numbers come before general ones (dates before ranges,
money before numbers). The last rules read or remove the remaining symbols. There is no pronunciation dictionary.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from pipeline.text.normalization.english.abbreviations import expand_abbreviations, read_saints_and_streets
from pipeline.text.normalization.english.addresses import read_addresses, read_tags
from pipeline.text.normalization.english.dates import (
    is_day_first,
    modern_ordinals,
    read_dates,
    read_decades,
    read_numeric_dates,
    read_times,
    read_year_ranges,
    read_years,
)
from pipeline.text.normalization.english.initials import expand_phrases, join_initials
from pipeline.text.normalization.english.measures import (
    read_angles,
    read_durations,
    read_feet_and_inches,
    read_magnitudes,
    read_percents_and_degrees,
    read_units,
)
from pipeline.text.normalization.english.money import read_money
from pipeline.text.normalization.english.numbers import (
    read_codes,
    read_computer_numbers,
    read_fractions,
    read_numbers,
    read_ordinals,
    read_ranges,
    spell_long_runs,
)
from pipeline.text.normalization.english.plain import plain_text
from pipeline.text.normalization.english.romans import read_romans
from pipeline.text.normalization.english.scripture import read_scripture
from pipeline.text.normalization.english.separators import plain_separators
from pipeline.text.normalization.english.symbols import (
    brackets_to_commas,
    name_greek_letters,
    name_sections,
    read_comparisons,
    say_symbols,
    tidy_punctuation,
)
from pipeline.text.normalization.english.typography import (
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

__all__ = ["RULES", "apply_rules", "normalize"]

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
NUMBERS: tuple[Rule, ...] = (  # skipped if there is no digit
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

# A rule may create text that an earlier one reads: in "5&VIII" there is no numeral until & is written as "and". The
# first pass is nearly always enough; of thousands of random texts, none changed after the third.
_MAX_PASSES = 4
_DIGIT = re.compile(r"[0-9]")


def normalize(text: str, language: str = "en") -> str:
    """Return the spoken form of English text on one line. It raises no exception, and its output is a fixed point.

    Args:
        text: Text as written.
        language: Tag of English. Its region decides whether 03/04/1921 is in March or in April.

    >>> normalize("Mr. Bennet paid £10 on May 5, 1813--at 3:45 p.m.")
    'Mister Bennet paid ten pounds on May fifth, eighteen thirteen - at three forty-five p.m.'
    """
    plain = plain_text(text)
    return apply_rules(text, day_first=is_day_first(language)) if plain is None else plain


def apply_rules(text: str, *, day_first: bool = False) -> str:
    """Apply all rules until nothing changes, without the shortcut for plain text.

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
