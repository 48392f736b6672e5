"""Classify superscripts: marks of notes, verse numbers, exponents, or parts of a word."""

from __future__ import annotations

import re
from enum import Enum


class Superscript(Enum):
    """The kinds of superscripts."""

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
# A number that may have an exponent; not an amount of money, a time or a number with separators.
_NUMBER_BASE = re.compile(r"(?<![\w.,:$£€¥])(?P<base>\d+(?:\.\d+)?)\Z")
_BINARY_EXPONENT = re.compile(r"8|10|16|20|24|3[012]|48|5[23]|6[234]|80|96|128|160|192|256|384|512|1024")
_NAMES_PLACE = re.compile(
    r"\b(?:pages?|pp?\.|chapters?|verses?|lines?|parts?|volumes?|nos?\.|numbers?|vols?\.|rules?) 2\Z", re.I
)
_OPERATOR_BEFORE = re.compile(r"[=+×·*<>≤≥≈−]\s*[\d.]+\Z")
_OPERATOR_AFTER = re.compile(r"\s*[=+×·*<>≤≥≈−]|\s-\s|-\d")
# Words before a number that counts or names something, so that a superscript is a note mark: page 12, July 4, in 10,
# Apollo 11. After "power of" and the like, it is an exponent.
_NAMES_NUMBER = re.compile(
    r"\b(?:pages?|pp?\.|chapters?|verses?|lines?|nos?\.|numbers?|aged?|vols?\.|figs?\.|"
    r"tables?|parts?|sections?|since|by|until|in|on|at|"
    r"(?<!power )(?<!powers )(?<!factor )(?<!factors )(?<!order )(?<!base )(?<!multiple )(?<!root )(?<!range )of|"
    r"(?-i:(?!(?:The|An?|About|Over|Nearly|Only|So|And|But|Or|Thus|If|Is|That|All|Its?|Then|Here|There|Some|With)\b)[A-Z])"
    r"[\w.]*) [\d.]+\Z",
    re.I,
)
_SUM = re.compile(r"[+×·*/^=−]")
_FRACTION = re.compile(r"[-−–]?[½¼¾⅓⅔]")
_PART = r"(?:\d+(?:\.\d+)?|[a-z])"
_EXPONENT = re.compile(rf"[-−–+]?{_PART}(?:\s?[-−+/·]\s?{_PART})*")  # also of several parts: n+1, -x, 1/2
_MARKS = re.compile(r"\d+\s?[-–]\s?\d+|(?!1/[2-9]$|2/3$|3/[24]$)\d+/\d+|[a-z]")  # "3-5" means notes 3 to 5
_MIXED_FRACTION = re.compile(r"1/[2-9]|2/[35]|3/[458]|4/5|5/[68]|7/8")  # 3½ miles, as 3 and a raised 1/2
_VARIABLES = "nkijmxyt"
_UNIT = re.compile(r"(?<![^\W_])(?:[kcdmµn]m|ft|yd|km/h|kg)\Z|(?:\d|/|\bper)\s*(?:m|in|mi|s|h|ft|yd|[kcdmµn]m)\Z")
_FORMULA = re.compile(r"\((?:[^()\w]|\b\w{1,2}\b|\d+)+\)\Z|[\]₀-₉]\Z")
_CHARGED = re.compile(r"(?:[A-Z][a-z]?\d*)+\Z")
# Note marks in plain text: "hand.* It", "hand.[1] It"; but not the star of *emphasis*.
TEXT_MARK = re.compile(
    r"(?<=[\w.,;:!?\"'”’)])(?:[*∗]{1,3}|[†‡]{1,2}|\[\d{1,3}\])(?=[\s.,;:!?\"'”’)]|\Z)|"
    r"(?:(?<=[a-z]{3})(?<!sin|cos|tan|log)(?<!metres|meters|inches)(?<!feet)|(?<=[.,;:!?\"'”’]))[¹²³⁰⁴-⁹]{1,3}(?!\w)"
)
OPENING_STAR = re.compile(r"(?<![^\s\"'“‘(])\*+\w")
_SUPERSCRIPT = str.maketrans("0123456789+-−–n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁻ⁿ")


def is_mark(text: str) -> bool:
    """Return whether the text of a link or superscript can be a note mark."""
    return bool(_MARK.fullmatch(text))


def is_certain_mark(text: str) -> bool:
    """Return whether the text of a link is a note mark even if it is not a superscript."""
    return bool(_CERTAIN_MARK.fullmatch(text))


def classify_superscript(
    before: str, text: str, after: str, last_note: int = 0, has_notes: bool = False
) -> Superscript:
    """Classify a superscript that is not a link.

    Args:
        before: The text before it in its paragraph, or the end of that text.
        text: The superscript.
        after: The text after it in its paragraph, or the beginning of that text.
        last_note: Number of the last note mark before it on the page; 0: there is none.
        has_notes: Whether the page has superscript numbers that are certainly note marks.

    >>> [classify_superscript(*each).name for each in (("hand.", "1", " It"), ("2", "32", ""), ("2", "nd", ""))]
    ['NOTE_MARK', 'POWER', 'PART']
    """
    before = before[-60:]
    last = before[-1:]
    is_glued = bool(last) and not last.isspace()
    if last.isdigit() and _ORDINAL.fullmatch(text) and (len(text) > 1 or not before[-3:].isdigit()):
        return Superscript.PART
    word = re.search(r"[^\W\d_]+\Z", before)
    if word and word[0][0].isupper() and len(word[0]) <= 3 and _ABBREVIATED.fullmatch(text) and text != "a":
        return Superscript.PART
    if re.search(r"(?<!\w)[Yy]\Z", before) and text in ("e", "t", "r", "m"):  # ye, yt
        return Superscript.PART
    if text.isdigit() and after[:1] in ("/", "⁄"):  # a numerator
        return Superscript.WORDS
    in_formula = after.lstrip()[:1] in ("+", "-", "−", "=", "×", "/") and re.search(r"(?<!\w)[A-Za-z]\Z", before)
    if is_glued and _POWER.fullmatch(text) and (_is_base(before, text) or in_formula):
        return Superscript.POWER
    if _is_power_of_sum(before, text):
        return Superscript.POWER
    if _is_power_of_number(before, text, after) and (not has_notes or not _can_be_note(before, text, after, last_note)):
        return Superscript.POWER
    starts_verse = not before.strip() or not is_glued or last in "([“\"‘'—"
    if starts_verse and _NUMBER.fullmatch(text) and (after[:1].isalpha() or after[:1] in "“\"‘'(["):
        return Superscript.VERSE_NUMBER
    if last.isdigit() and _MIXED_FRACTION.fullmatch(text):
        return Superscript.WORDS
    if is_mark(text) or text in (",", ";", "/", ", "):  # between two marks
        return Superscript.NOTE_MARK
    return Superscript.WORDS


def as_degree(before: str, text: str, after: str) -> str:
    """Return the degree sign for a superscript o between a number and a scale, else the text.

    >>> [as_degree("20", "o", "C"), as_degree("20", "o", " of")]
    ['°', 'o']
    """
    is_degree = text in ("o", "O", "0") and before[-1:].isdigit() and re.match(r"\s?[CF](?![^\W_])", after)
    return "°" if is_degree else text


def as_power(before: str, text: str) -> str:
    """Return an exponent in superscript characters, or after a caret where these could be read as a note mark.

    >>> [as_power("10", "6"), as_power("x", "n"), as_power("x", "n+1"), as_power("(1+x)", "5")]
    ['⁶', 'ⁿ', '^n+1', '^5']
    """
    raised = text.translate(_SUPERSCRIPT)
    is_simple = bool(_POWER.fullmatch(text)) and not any(map(str.isascii, raised))
    return raised if is_simple and not before.endswith(")") else f"^{''.join(text.split())}"


def separated(before: str, text: str) -> str:
    """Return a superscript or subscript, with a space before it if it would run into the word or number before."""
    glues = (before[-1:].isalpha() and text[:1].isalpha()) or (before[-1:].isdigit() and text[:1].isdigit())
    return f" {text}" if glues else text


def set_apart(before: str, text: str) -> str:
    """Return words, with a space before them if they would run into the text before.

    >>> [set_apart("A", "B"), set_apart("(", "B"), set_apart("A", ", B")]
    [' B', 'B', ', B']
    """
    is_open = not before or before[-1].isspace() or before[-1] in "([{“‘\"'-–—/+"
    return text if is_open or not (text[:1].isalnum() or text[:1] in "“‘([") else f" {text}"


def _is_base(before: str, exponent: str) -> bool:
    if exponent[-1] in "-−–+":  # the charge of an ion
        return bool(_CHARGED.search(before))
    if re.search(r"(?<![\d.,])10\Z", before):
        return not _NAMES_NUMBER.search(before) or not exponent.isdigit()
    if _UNIT.search(before):
        return exponent.lstrip("-−–") in ("1", "2", "3", "4")
    return bool(_BASE.search(before) or (_FORMULA.search(before) and exponent in ("2", "3", "n")))


def _is_power_of_number(before: str, exponent: str, after: str) -> bool:
    """Return whether a superscript after a number is certainly an exponent, and no note mark.

    It is in calculations (3² + 4² = 5²) and in the powers of two of computers. Note marks follow any other number as
    well ("they lost 300¹²"), so that reading them as powers would be wrong more often than right. A fraction belongs to
    a mixed number: 3½ miles.
    """
    found = _NUMBER_BASE.search(before)
    if found is None or not _is_exponent(exponent):
        return False
    if _is_in_formula(before, after):
        return True
    if not exponent.isdigit():
        return not _FRACTION.fullmatch(exponent) and not re.fullmatch(r"\d+/\d+", exponent)
    is_binary = found["base"] == "2" and _BINARY_EXPONENT.fullmatch(exponent) is not None
    return is_binary and not _NAMES_PLACE.search(before)


def _can_be_note(before: str, exponent: str, after: str, last_note: int) -> bool:
    """Return whether a superscript after a number can be a note mark on a page that has some.

    After 2 and 10 it is an exponent, unless it continues the count of notes.
    """
    if not exponent.isdigit() or _is_in_formula(before, after):
        return False
    return int(exponent) == last_note + 1 or re.search(r"(?<![\d.,])(?:2|10)\Z", before) is None


def _is_in_formula(before: str, after: str) -> bool:
    return bool(_OPERATOR_BEFORE.search(before) or _OPERATOR_AFTER.match(after))


def _is_power_of_sum(before: str, exponent: str) -> bool:
    """Return whether a superscript is the exponent of a sum in brackets, or a long exponent of a letter."""
    if not _is_exponent(exponent):
        return False
    found = _FORMULA.search(before)
    if found and found[0].startswith("(") and _SUM.search(found[0]):
        return True
    return not exponent.isalnum() and re.search(r"(?<![^\W_])[A-Za-z]\Z", before) is not None


def _is_exponent(text: str) -> bool:
    if _MARKS.fullmatch(text):
        return text in _VARIABLES
    return bool(_EXPONENT.fullmatch(text) or _FRACTION.fullmatch(text))
