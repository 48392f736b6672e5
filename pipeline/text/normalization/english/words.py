"""Words for values: cardinals, ordinals, years, fractions, digits, plurals, Roman numerals; and helpers of rules.

The rules decide what a number in a text means, and call these functions for its words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from num2words import num2words

# A number: thousands separated by commas, or a run of digits; then decimals. The bounds keep patterns linear;
# `spell_long_runs` reads longer runs before any other rule.
NUMBER = r"(?:\d{1,3}(?:,\d{3}){1,5}(?!\d)|\d{1,15})(?:\.\d{1,15})?"
# A number, a fraction, or a number with a fraction (3 1/2).
QUANTITY = rf"(?:(?:\d{{1,6}}[ -])?\d{{1,4}}/\d{{1,4}}(?![\d/])|{NUMBER})"


def word_set(words: str) -> frozenset[str]:
    """Return the words of a string as a set."""
    return frozenset(words.split())


def word_table(pairs: str) -> dict[str, str]:
    """Return the mapping that "short=long, short=long" describes."""
    return dict(pair.split("=", 1) for pair in pairs.split(", "))


def alternatives(words: Iterable[str]) -> str:
    """Return a pattern that matches any of `words`, the longest first."""
    return "|".join(sorted(map(re.escape, words), key=lambda word: (-len(word), word)))


# Words that nearly always begin a sentence if they follow a full stop and have a capital. They show that the full stop
# of an abbreviation also ends its sentence, so words that are also names (Will, May, Mark) are not included.
SENTENCE_OPENERS = word_set(
    "A After All Although An And Another Any As At Because Before But By Do Does Each Every Everyone For From He "
    "Her Here His How However If In Is It Its My No Nobody Nor Not Nothing Now Of Oh On Once One Only Or Our "
    "Perhaps She Since So Some Still Such That The Their Then There These They This Those Though Thus To Under "
    "Until Was We Were What When Where Which While Who Why With Yes Yet You Your"
)

_DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_ROMAN_VALUES = (
    *((1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL")),
    *((10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")),
)
_ROMAN = re.compile(r"M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")


@lru_cache(maxsize=4096)
def cardinal(value: int) -> str:
    """Return the words for a whole number, without the commas of num2words, which would be pauses.

    >>> cardinal(1234)
    'one thousand two hundred and thirty-four'
    """
    return str(num2words(value)).replace(",", "")


@lru_cache(maxsize=4096)
def ordinal(value: int) -> str:
    """Return the words for an ordinal number.

    >>> ordinal(22), ordinal(100)
    ('twenty-second', 'one hundredth')
    """
    return str(num2words(value, to="ordinal")).replace(",", "")


@lru_cache(maxsize=4096)
def year(value: int) -> str:
    """Return the words for a year.

    >>> year(1813), year(1905), year(1900), year(2005)
    ('eighteen thirteen', 'nineteen oh five', 'nineteen hundred', 'two thousand and five')
    """
    return str(num2words(value, to="year")).replace("oh-", "oh ").replace(",", "")


def short_year(two_digits: str) -> str:
    """Return the words for the last two digits of a year, after those of its century.

    >>> short_year("45"), short_year("05"), short_year("00")
    ('forty-five', 'oh five', 'hundred')
    """
    if two_digits[0] != "0":
        return cardinal(int(two_digits))
    return "oh " + digits(two_digits[1]) if two_digits != "00" else "hundred"


def digits(text: str) -> str:
    """Return the names of the digits in `text`, without all other characters.

    >>> digits("007"), digits("555-12")
    ('zero zero seven', 'five five five one two')
    """
    return " ".join(_DIGIT_WORDS[int(sign)] for sign in text if sign in "0123456789")


def spell(signs: str) -> str:
    """Return the names of digits and letters one by one.

    >>> spell("fF07")
    'F F zero seven'
    """
    return " ".join(digits(sign) or sign.upper() for sign in signs)


def number(text: str) -> str:
    """Return the words for a match of `NUMBER`.

    >>> number("1,234"), number("3.14"), number("0.5"), number("007")
    ('one thousand two hundred and thirty-four', 'three point one four', 'zero point five', 'zero zero seven')
    """
    whole, _, decimals = text.replace(",", "").partition(".")
    # A leading zero means a code, not an amount; so does a long run of digits that is not round.
    if (len(whole) > 1 and whole[0] == "0") or (len(whole) >= 7 and "," not in text and not whole.endswith("000")):
        spoken = digits(whole)
    else:
        spoken = cardinal(int(whole))
    return f"{spoken} point {digits(decimals)}" if decimals else spoken


def fraction(numerator: int, denominator: int) -> str:
    """Return the words for a fraction; both numbers are cardinals if it is above one, or below a hundredth.

    >>> fraction(1, 2), fraction(3, 4), fraction(2, 3), fraction(120, 80)
    ('one half', 'three quarters', 'two thirds', 'one hundred and twenty over eighty')
    """
    if not (0 < numerator < denominator <= 100):
        return f"{cardinal(numerator)} over {cardinal(denominator)}"
    part = {2: "half", 4: "quarter"}.get(denominator) or ordinal(denominator)
    return f"{cardinal(numerator)} {part if numerator == 1 else plural(part)}"


def quantity(text: str) -> str:
    """Return the words for a match of `QUANTITY`.

    >>> quantity("3 1/2"), quantity("2 3/4"), quantity("1,000.5")
    ('three and a half', 'two and three quarters', 'one thousand point five')
    """
    if "/" not in text:
        return number(text)
    *whole, numerator, denominator = (int(run) for run in re.findall(r"\d+", text))
    part = fraction(numerator, denominator)
    if not whole:
        return part
    return f"{cardinal(whole[0])} and {'a' + part[3:] if part in ('one half', 'one quarter') else part}"


def counted(amount: str, one: str, many: str) -> str:
    """Return the words for a quantity and what it counts.

    >>> counted("1", "foot", "feet"), counted("1.5", "foot", "feet")
    ('one foot', 'one point five feet')
    """
    return f"{quantity(amount)} {one if amount == '1' else many}"


def plural(words: str) -> str:
    """Return the plural of the last word.

    >>> plural("nineteen ninety"), plural("half"), plural("nineteen hundred"), plural("six")
    ('nineteen nineties', 'halves', 'nineteen hundreds', 'sixes')
    """
    if words.endswith("y"):
        return words[:-1] + "ies"
    if words.endswith("half"):
        return words[:-1] + "ves"
    return words + ("es" if words.endswith(("x", "s")) else "s")


def roman(text: str) -> int | None:
    """Return the value of a Roman numeral in capitals, or None if it does not have the usual form.

    >>> roman("XIV"), roman("IIII"), roman("CIVIL")
    (14, None, None)
    """
    if not text or not _ROMAN.fullmatch(text):
        return None
    value, at = 0, 0
    for amount, letters in _ROMAN_VALUES:
        while text.startswith(letters, at):
            value, at = value + amount, at + len(letters)
    return value


def ends_sentence(rest: str, any_capital: bool = False) -> bool:
    """Return whether the full stop of an abbreviation also ends its sentence.

    Args:
        rest: Text after the full stop.
        any_capital: Whether any word with a capital begins a sentence, not only `SENTENCE_OPENERS`. True for
            abbreviations that are rarely followed by names: "5 km. Bob", but not "Acme Inc. Chairman".

    >>> ends_sentence('"'), ends_sentence(" The end"), ends_sentence(" Army"), ends_sentence(", then")
    (True, True, False, False)
    """
    next_words = rest[:40].lstrip("\"')]}*_ ")
    if not next_words:
        return True
    opener = re.match(r"[A-Za-z]+", next_words)
    is_start = opener is not None and (opener[0] in SENTENCE_OPENERS or (any_capital and opener[0][0].isupper()))
    return is_start and rest[0] in " \"')"


def before(match: re.Match[str], length: int) -> str:
    """Return up to `length` characters before a match. The bound keeps many matches in a long text linear."""
    return match.string[max(0, match.start() - length) : match.start()]


def after(match: re.Match[str], length: int) -> str:
    """Return up to `length` characters after a match."""
    return match.string[match.end() : match.end() + length]


_ARTICLE_BEFORE = re.compile(r"(?:\ban?|^\W*An?) $")
_DETERMINER_BEFORE = re.compile(
    r"\b(?:the|this|that|his|her|its|my|your|our|their|each|every|another|\w+'s) $", re.IGNORECASE
)
_NOUN_NEXT = re.compile(rf"(?:-| (?!(?i:{'|'.join(SENTENCE_OPENERS)})\b))[A-Za-z]")
# Words after "the $500" that are no noun: "the $500 was paid", "the $20 you owe".
_NO_NOUN_NEXT = re.compile(
    r" (?:is|was|are|were|has|had|have|will|would|could|should|can|may|might|must|did|does|goes|went|came|comes|paid|"
    r"owed|lost|spent|won|left|made|got|gets|per|to|into|up|off|out|over|off|than|apiece|more|less|back|down|today|now|"
    r"again|already|alone|either|or|\w+(?:ed|ly|ing))\b"
)


def has_article(match: re.Match[str]) -> bool:
    """Return whether an amount has an article, so that its unit is singular: a 6 ft wall, a 9mm."""
    return _ARTICLE_BEFORE.search(before(match, 4)) is not None


def is_before_noun(match: re.Match[str]) -> bool:
    """Return whether an amount describes a noun: a $20 tip, the $500 million deal, but not "the $500 was paid"."""
    if not _NOUN_NEXT.match(match.string, match.end()):
        return False
    if has_article(match):
        return True
    is_determined = _DETERMINER_BEFORE.search(before(match, 20)) is not None
    return is_determined and not _NO_NOUN_NEXT.match(match.string, match.end())
