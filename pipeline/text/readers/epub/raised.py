"""What a raised or lowered bit of text is: a mark of a note, the number of a verse, a power, or a part of its word."""

from __future__ import annotations

import re
from enum import Enum


class Raised(Enum):
    """What raised text is."""

    NOTE_MARK = "note mark"
    VERSE_NUMBER = "verse number"
    POWER = "power"
    PART = "part of its word"  # 2nd, Mr
    WORDS = "words"


# Marks of notes: 1, 12, [1], (a), *, †, 1,2, 1–3, ii; also "1a" and "n. 3".
_ONE_MARK = r"(?:(?:n\.? ?)?\d{1,4}[a-z]?|[a-z]{1,2}|[ivxlc]{1,6}|[A-Z]|[*∗†‡§¶‖#☆★●◦]{1,4})"
_MARK = re.compile(rf"[\[({{]?\s*{_ONE_MARK}(?:\s*[,;/–—-]\s*{_ONE_MARK})*\s*[\])}}.]?,?")
_CERTAIN_MARK = re.compile(r"[\[{]\s*(?:\d{1,4}|[a-z*†‡]{1,2}|[A-Z])\s*[\]}]|[*∗†‡§¶‖]{1,4}|\(\d{1,3}\)")
_NUMBER = re.compile(r"\d{1,3}[a-z]?")
_POWER = re.compile(r"[-−–+]?\d{1,3}|[nkijmx]|\d{0,2}[-−–+]")
_ORDINAL = re.compile(r"st|nd|rd|th|d|er|re|ère|e|ème|me|o|a|os|as|º|ª", re.I)
_ABBREVIATED = re.compile(r"rs?|ss|sr|d|t|te|st|me|mes|lle|lles|gr|e|es|n|ns|o|os|m|vo|mo|to|ve|que|ly|ye|us|ble|tt|a")
_BASE = re.compile(r"(?<![\d.,])10\Z|(?<![^\W_])(?![IaO]\Z)[^\W\d_]\Z|=\s*[A-Za-z]{1,3}\Z")  # 10, x, = mc
_PAGE_TWO = re.compile(r"\b(?:pages?|pp?\.|chapters?|verses?|parts?|volumes?|no\.|number|vol\.) 2\Z", re.I)
_BINARY_BASE = re.compile(r"(?<![\d.,])2\Z")
_BINARY_EXPONENT = re.compile(r"8|10|16|20|24|3[012]|48|5[23]|6[234]|80|96|128|160|192|256|384|512|1024")
_PAGE_TEN = re.compile(r"\b(?:pages?|pp?\.|chapters?|verses?|no\.|number|aged?|vol\.|of|in|on|at) 10\Z", re.I)
_UNIT = re.compile(r"(?<![^\W_])(?:[kcdmµn]m|ft|yd|km/h|kg)\Z|(?:\d|/|\bper)\s*(?:m|in|mi|s|h|ft|yd|[kcdmµn]m)\Z")
_FORMULA = re.compile(r"\((?:[^()\w]|\b\w{1,2}\b|\d+)+\)\Z|[\]₀-₉]\Z")
_CHARGED = re.compile(r"(?:[A-Z][a-z]?\d*)+\Z")
# Marks of notes that are plain text: "hand.* It", "hand.[1] It"; not where a star opens, as in *this*.
TEXT_MARK = re.compile(
    r"(?<=[\w.,;:!?\"'”’)])(?:[*∗]{1,3}|[†‡]{1,2}|\[\d{1,3}\])(?=[\s.,;:!?\"'”’)]|\Z)|"
    r"(?:(?<=[a-z]{3})(?<!sin|cos|tan|log)(?<!metres|meters|inches)(?<!feet)|(?<=[.,;:!?\"'”’]))[¹²³⁰⁴-⁹]{1,3}(?!\w)"
)
OPENING_STAR = re.compile(r"(?<![^\s\"'“‘(])\*+\w")
_SUPERSCRIPT = str.maketrans("0123456789+-−–n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁻ⁿ")


def is_mark(text: str) -> bool:
    """Return whether a link or raised text may be a mark of a note."""
    return bool(_MARK.fullmatch(text))


def is_certain_mark(text: str) -> bool:
    """Return whether text is a mark of a note even where it is not raised, when it links to something."""
    return bool(_CERTAIN_MARK.fullmatch(text))


def judge_raised(before: str, text: str, after: str) -> Raised:
    """Return what raised text that links to nothing is.

    Args:
        before: What stands before it in its paragraph, or the end of that.
        text: The raised text.
        after: What follows in its paragraph, or the beginning of that.

    >>> [judge_raised(*each).name for each in (("hand.", "1", " It"), ("10", "6", ""), ("2", "nd", ""))]
    ['NOTE_MARK', 'POWER', 'PART']
    """
    before = before[-60:]
    last = before[-1:]
    is_glued = bool(last) and not last.isspace()
    if last.isdigit() and _ORDINAL.fullmatch(text) and (len(text) > 1 or not before[-3:].isdigit()):
        return Raised.PART
    word = re.search(r"[^\W\d_]+\Z", before)
    if word and word[0][0].isupper() and len(word[0]) <= 3 and _ABBREVIATED.fullmatch(text) and text != "a":
        return Raised.PART
    if re.search(r"(?<!\w)[Yy]\Z", before) and text in ("e", "t", "r", "m"):  # ye, yt
        return Raised.PART
    if text.isdigit() and after[:1] in ("/", "⁄"):  # the upper part of a fraction
        return Raised.WORDS
    in_formula = after.lstrip()[:1] in ("+", "-", "−", "=", "×", "/") and re.search(r"(?<!\w)[A-Za-z]\Z", before)
    if is_glued and _POWER.fullmatch(text) and (_is_base(before, text) or in_formula):
        return Raised.POWER
    starts_verse = not before.strip() or not is_glued or last in "([“\"‘'—"
    if starts_verse and _NUMBER.fullmatch(text) and (after[:1].isalpha() or after[:1] in "“\"‘'(["):
        return Raised.VERSE_NUMBER
    if is_mark(text) or text in (",", ";", "/", ", "):  # between two marks
        return Raised.NOTE_MARK
    return Raised.WORDS


def as_degree(before: str, text: str, after: str) -> str:
    """Return the sign of degrees for a raised letter o between a number and a scale, else the text.

    >>> [as_degree("20", "o", "C"), as_degree("20", "o", " of")]
    ['°', 'o']
    """
    is_degree = text in ("o", "O", "0") and before[-1:].isdigit() and re.match(r"\s?[CF](?![^\W_])", after)
    return "°" if is_degree else text


def as_power(text: str) -> str:
    """Return an exponent in raised characters: 10⁶, xⁿ."""
    raised = text.translate(_SUPERSCRIPT)
    return raised if not any(map(str.isascii, raised)) else f"^{text}"


def separated(before: str, text: str) -> str:
    """Return raised or lowered words with a space before them where they would run into the word or number before."""
    glues = (before[-1:].isalpha() and text[:1].isalpha()) or (before[-1:].isdigit() and text[:1].isdigit())
    return f" {text}" if glues else text


def _is_base(before: str, exponent: str) -> bool:
    if exponent[-1] in "-−–+":  # the charge of an ion
        return bool(_CHARGED.search(before))
    if _PAGE_TEN.search(before):
        return False
    if _BINARY_BASE.search(before):  # any other number there may as well be that of a note: it is left out
        return bool(_BINARY_EXPONENT.fullmatch(exponent)) and not _PAGE_TWO.search(before)
    if _UNIT.search(before):
        return exponent.lstrip("-−–") in ("1", "2", "3", "4")
    return bool(_BASE.search(before) or (_FORMULA.search(before) and exponent in ("2", "3", "n")))
