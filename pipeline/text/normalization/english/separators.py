"""Rule for numbers with the separators of other countries: 1.234,56 or 12 345 or 1,5 kg.

A comma or a full stop between digits is ambiguous. It is rewritten only if its form, a currency or a unit leaves one
meaning.
"""

from __future__ import annotations

import re

from pipeline.text.normalization.english.measures import UNITS
from pipeline.text.normalization.english.money import CURRENCY_MARK
from pipeline.text.normalization.english.words import alternatives, before

_FREE = r"(?<![\w.,:])"
_GROUPS_AND_COMMA = re.compile(rf"{_FREE}(\d{{1,3}}(?:[. ']\d{{3}}){{1,5}}),(\d{{1,2}})(?![\d,]|\.\d)")
_DOTTED_GROUPS = re.compile(rf"{_FREE}[1-9]\d{{0,2}}(?:\.\d{{3}}){{2,5}}(?![\d,]|\.\d)")
_SPACED_GROUPS = re.compile(r"(?<![\w.,:-])(?<!\d )[1-9]\d{0,2}(?: \d{3}){1,5}(?![\d-]|[ ,]\d|\.\d{3})")
_APOSTROPHES = re.compile(rf"{_FREE}(?<!')[1-9]\d{{0,2}}(?:'\d{{3}}){{1,5}}(?![\w'])")
_INDIAN = re.compile(rf"{_FREE}\d{{1,2}}(?:,\d{{2}}){{1,4}},\d{{3}}(?![\d,])")
_ID_BEFORE = re.compile(
    r"\b(?:call|phone|tel(?:ephone)?|fax|dial|mobile|code|account|pin|serial|number|no|id|isbn|ext)\b[.:]? $",
    re.IGNORECASE,
)
_COUNTED = (
    rf"(?: ?(?:[%‰°]|{CURRENCY_MARK}(?!\w)|(?:{alternatives(UNITS)})(?![\w'/]|-\w)|(?:{alternatives(UNITS)})/)| "
    r"(?:euros?|dollars?|pounds?|francs?|per ?cent|thousand|million|billion|trillion|times|"
    r"(?:kilo|centi|milli)?(?:met(?:er|re)|lit(?:er|re)|gram)s?|miles?|feet|inches|hours|years|degrees)\b)"
)
_DECIMAL = r"(\d{1,6}),(\d{1,2}|\d{4,9})"
_COMMA_BEFORE_UNIT = re.compile(
    rf"{_FREE}{_DECIMAL}(?=(?:(?:-| - | to | x | by )\d{{1,6}}(?:,\d{{1,2}})?)?{_COUNTED})(?![\d,])"
)
_COMMA_AFTER_CURRENCY = re.compile(rf"(?:(?<=[$£€¥])|(?<=[$£€¥] )|(?<=[A-Z]{{3}} )){_DECIMAL}(?![\d,]|\.\d)")
_LEADING_ZERO = re.compile(rf"{_FREE}0,(\d{{1,9}})(?![\d,]|\.\d)")
_LONG_DECIMALS = re.compile(rf"{_FREE}(\d{{1,3}}),(\d{{4,9}})(?![\w,]|\.\d)")
_DOT_BEFORE_CURRENCY = re.compile(rf"{_FREE}([1-9]\d{{0,2}})\.(\d{{3}})(?= ?(?:€|EUR\b|euros?\b|kr\b|zł|CHF\b))")
_HAS_SEPARATOR = re.compile(r"\d[., ']\d")


def plain_separators(text: str) -> str:
    """Rewrite the separators of other countries as English ones.

    >>> plain_separators("1.234,56 euros; 1,5 kg; 3,50 €; € 3,50; 0,25; 1.234.567; 12 345 men; 1'234; 1,00,000")
    '1,234.56 euros; 1.5 kg; 3.50 €; € 3.50; 0.25; 1,234,567; 12,345 men; 1,234; 100,000'
    >>> plain_separators("pages 1,5 and 9; 1,234; 192.168.100.200; call 123 456; 555 123 4567; 1.234 kg")
    'pages 1,5 and 9; 1,234; 192.168.100.200; call 123 456; 555 123 4567; 1.234 kg'
    """
    if not _HAS_SEPARATOR.search(text):
        return text
    text = _GROUPS_AND_COMMA.sub(lambda match: f"{_grouped(match[1])}.{match[2]}", text)
    text = _DOTTED_GROUPS.sub(_dotted, text)
    text = _APOSTROPHES.sub(lambda match: _grouped(match[0]), text)
    text = _INDIAN.sub(lambda match: _grouped(match[0]), text)
    text = _SPACED_GROUPS.sub(_spaced, text)
    text = _DOT_BEFORE_CURRENCY.sub(r"\1,\2", text)
    text = _LEADING_ZERO.sub(r"0.\1", text)
    text = _COMMA_AFTER_CURRENCY.sub(r"\1.\2", text)
    # In "1,5-2,5 kg" the first number is rewritten before the second.
    return _LONG_DECIMALS.sub(r"\1.\2", _COMMA_BEFORE_UNIT.sub(r"\1.\2", text))


def _grouped(number: str) -> str:
    return f"{int(re.sub(r'[^0-9]', '', number)):,}"


def _dotted(match: re.Match[str]) -> str:
    groups = match[0].split(".")
    is_address = len(groups) == 4 and all(int(group) <= 255 for group in groups)
    return match[0] if is_address else _grouped(match[0])


def _spaced(match: re.Match[str]) -> str:
    return match[0] if _ID_BEFORE.search(before(match, 12)) else _grouped(match[0])
