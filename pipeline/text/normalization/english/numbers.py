"""Rules for numbers without a unit: long codes, telephone numbers, ranges, fractions, ordinals, and all others.

After the last rule, no digit is left.
"""

from __future__ import annotations

import re

from pipeline.text.normalization.english.words import (
    NUMBER,
    before,
    cardinal,
    digits,
    number,
    ordinal,
    plural,
    quantity,
    short_year,
    spell,
)

_LONG_RUN = re.compile(r"\d{16,}")


def spell_long_runs(text: str) -> str:
    """Read runs of more than 15 digits digit by digit. This rule is the first, so that the others see short runs.

    >>> spell_long_runs("4111111111111111")
    'four one one one one one one one one one one one one one one one'
    """
    return _LONG_RUN.sub(lambda match: _set_apart(match, digits(match[0])), text)


def _set_apart(match: re.Match[str], spoken: str) -> str:
    """Return `spoken` with spaces toward adjacent letters."""
    left = " " if before(match, 1).isalpha() else ""
    right = " " if match.string[match.end() : match.end() + 1].isalnum() else ""
    return f"{left}{spoken}{right}"


_HEXADECIMAL = re.compile(r"\b0([xX])([0-9A-Fa-f]{1,16})\b|\b0([bB])([01]{1,64})\b")
_SCIENTIFIC = re.compile(r"(?<![\w.])(\d{1,9}(?:\.\d{1,9})?)[eE]([+-]?)0?(\d{1,2})\b(?![.,]\d)")
_ADDRESS = re.compile(r"(?<![\w.,])\d{1,3}(?:\.\d{1,3}){3}(?::(\d{2,5}))?(?![\w]|\.\d)")
_ISBN = re.compile(r"\b(IS[BS]N)(?:-1[03])?:? ((?:\d{1,9}-){1,4}(?:\d{1,4}|[Xx])|\d{7,12}[\dXx])\b")


def read_computer_numbers(text: str) -> str:
    """Read hexadecimal and binary numbers, scientific notation, network addresses, and ISBNs.

    >>> read_computer_numbers("0xFF, 0b101, 1.5e-3, ISBN 0-306-40615-X")
    'zero x F F, zero b one zero one, 1.5 times 10^-3, ISBN zero, three zero six, four zero six one five, X'
    >>> read_computer_numbers("192.168.0.1")
    'one hundred and ninety-two dot one hundred and sixty-eight dot zero dot one'
    """
    text = _HEXADECIMAL.sub(_hexadecimal, text)
    text = _SCIENTIFIC.sub(_scientific, text)
    text = _ADDRESS.sub(_address, text)
    return _ISBN.sub(_isbn, text) if "IS" in text else text


def _hexadecimal(match: re.Match[str]) -> str:
    return f"zero {(match[1] or match[3]).lower()} {spell(match[2] or match[4])}"


def _scientific(match: re.Match[str]) -> str:
    mantissa, sign, exponent = match.groups()
    if not sign and "." not in mantissa:  # 3e5 may be a code
        return match[0]
    return f"{mantissa} times 10^{'-' if sign == '-' else ''}{exponent}"


def _address(match: re.Match[str]) -> str:
    parts = [int(part) for part in match[0].split(":")[0].split(".")]
    is_address = max(parts) <= 255 and (max(parts) > 31 or parts[0] in (8, 10))  # 1.7.3.1 is a version
    port = f" colon {digits(match[1])}" if match[1] else ""
    return " dot ".join(map(cardinal, parts)) + port if is_address else match[0]


def _isbn(match: re.Match[str]) -> str:
    return f"{match[1]} " + ", ".join(spell(group) for group in match[2].split("-"))


_TELEPHONE = re.compile(
    r"(?<![\w.,/-])(?:0\d(?: \d\d){4}|\+\d{1,3}(?:[ .-]\(?\d{1,8}\)?){2,5}|"
    r"(?:\d[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}|"
    r"\d{3}-\d{2}(?!00)\d{2}|\(0\d{1,4}\) ?\d{3,4} ?\d{3,4}|0\d{2,4} \d{3,4} \d{3,4}|0\d{4} \d{6})(?![\w/-])(?!\.\d)"
)
_EMERGENCY = re.compile(
    r"(\b(?:call|dial|phone?)(?:s|l?ed|l?ing)? )(?:911|999)\b(?! times|[,.-]\d)|\b911(?= (?:call|operator|dispatcher))",
    re.IGNORECASE,
)
_CODE = re.compile(r"(?<![\w.,/-])\d{1,7}(?:-\d{1,7}){2,5}(?![\w/-])")


def read_codes(text: str) -> str:
    """Read telephone numbers and other codes digit by digit, with a pause at each gap.

    >>> read_codes("555-1234 or +44 20 7946 0958")
    'five five five, one two three four or plus four four, two zero, seven nine four six, zero nine five eight'
    """
    text = _EMERGENCY.sub(lambda match: (match[1] or "") + digits(match[0]), text)
    return _CODE.sub(_groups, _TELEPHONE.sub(_groups, text))


def _groups(match: re.Match[str]) -> str:
    spoken = ", ".join(digits(group) for group in re.findall(r"\d+", match[0]))
    return f"plus {spoken}" if match[0].startswith("+") else spoken


_RANGE = re.compile(rf"(?<![\w.,/-])({NUMBER}(?:st|nd|rd|th|'?s|%)?)-(?={NUMBER}(?!-\d|/))")
_MINUS = re.compile(r"(?<![\w.)'\"^-])-(?=\.?\d)")
_CROSS = re.compile(r"(?<=\d) ?x ?(?=\d)")
_SET_PHRASES = {"9/11": "nine eleven", "24/7": "twenty-four seven", "20/20": "twenty twenty", "50/50": "fifty fifty"}
_SET_PAIR = re.compile(r"(?<![\w.,/-])(?:24-7|20-20|50-50)(?![\w/%-]|[.,]\d)")


def read_ranges(text: str) -> str:
    """Write the signs between numbers as words; later rules read the numbers.

    >>> read_ranges("pages 10-12, 5-10%, -3, a 4x4")
    'pages 10 to 12, 5 to 10%, minus 3, a 4 by 4'
    >>> read_ranges("a 50-50 chance")
    'a 50/50 chance'
    """
    text = _SET_PAIR.sub(lambda match: match[0].replace("-", "/"), text)
    return _CROSS.sub(" by ", _MINUS.sub("minus ", _RANGE.sub(r"\1 to ", text)))


_SLASHED = re.compile(r"(?<![\w.,/])(?:(\d{1,6})[ -])?(\d{1,9})/(\d{1,9})(?!/?\d)")


def read_fractions(text: str) -> str:
    """Read two numbers with a slash between them.

    >>> read_fractions("1/2, 3 1/2, 24/7")
    'one half, three and a half, twenty-four seven'
    """
    return _SLASHED.sub(_fraction, text) if "/" in text else text


def _fraction(match: re.Match[str]) -> str:
    return _set_apart(match, _SET_PHRASES.get(match[0]) or quantity(match[0]))


_ORDINAL = re.compile(r"(?<![\w.,])(\d{1,3}(?:,\d{3}){1,3}|\d{1,9})(?:st|nd|rd|th|ST|ND|RD|TH)(?![^\W_])")
_PLURAL = re.compile(r"(?<![\w.,])(\d{1,3}(?:,\d{3}){1,2}|\d{1,6})s(?![^\W_])")


def read_ordinals(text: str) -> str:
    """Read ordinals, and plurals of numbers.

    >>> read_ordinals("the 2nd, 21st and 1,000th; two 747s")
    'the second, twenty-first and one thousandth; two seven hundred and forty-sevens'
    """
    text = _ORDINAL.sub(lambda match: ordinal(int(match[1].replace(",", ""))), text)
    return _PLURAL.sub(lambda match: plural(number(match[1])), text)


_HASH = re.compile(r"#(?= ?\d)")
_VERSION = re.compile(r"(?<![\d.,])\d{1,9}(?:\.\d{1,9}){2,8}(?!\d)")
# A decimal is a caliber before the word for a gun: "a .25 automatic", but "a .25 learning rate". Common calibers are
# also recognized at the end of a clause, where a fraction is rare, and before words such as "in his hand".
_GUN = (
    r"[ -](?!inch|cm|mm|mile|second)(?:[\w-]+ )?(?i:cal|calib(?:er|re)|(?:hand)?guns?|rifles?|carbines?|pistols?|"
    r"revolvers?|derringer|(?:semi-?)?automatic|magnum|colt|slugs?|bullets?|cartridges?|casings?|shells?|rounds?|acp|special)\b"
)
_IN_HAND = (
    r"[;:!?\"')]|,(?! \.?\d)|\.(?!\d)|$| and (?!\.?\d|above|below|up\b|over|higher|lower)|"
    r" (?:in|on|at|from|to|into|under|against) (?:his|her|my|your|their|him|me|them)\b"
)
_CALIBER = re.compile(
    r"(?<![^\W_])(?<!blew )(?<!blow )((?i:an?|the|his|her|my|your|their) )\."
    rf"((?:22|32|36|38|41|44|45|30[38]|357)(?={_GUN}|{_IN_HAND})|"
    rf"(?:25|30|40|50|22[03]|243|270|300|375|45[04]|460|500)(?={_GUN}))"
)
_DECIMAL_ALONE = re.compile(r"(?<![\w.])\.(?=\d)")
_NUMBER = re.compile(rf"{NUMBER}")
_LETTER_AND_DIGITS = re.compile(r"(?<=[^\W\d_])\d{3,15}(?!\d)|(?<!\d)\d{3,15}(?=[^\W\d_])")


def read_numbers(text: str) -> str:
    """Read all remaining digits.

    >>> read_numbers("#5 of 12,000; 3.14; .5")
    'number five of twelve thousand; three point one four; point five'
    >>> read_numbers("v1.2.3; A113; R2D2")
    'v one point two point three; A one one three; R two D two'
    >>> read_numbers("his .45, a .357 Magnum, the .303; the .25 gap")
    'his forty-five, a three fifty-seven Magnum, the three oh three; the point twenty-five gap'
    """
    text = _HASH.sub("number ", text)
    text = _VERSION.sub(_version, text)
    text = _CALIBER.sub(_caliber, text)
    text = _DECIMAL_ALONE.sub("point ", text)
    text = _LETTER_AND_DIGITS.sub(lambda match: _set_apart(match, digits(match[0])), text)
    return _NUMBER.sub(lambda match: _set_apart(match, number(match[0])), text)


def _caliber(match: re.Match[str]) -> str:
    article, caliber = match.groups()
    hundreds = f"{cardinal(int(caliber[:-2]))} " if len(caliber) > 2 else ""
    return article + hundreds + short_year(caliber[-2:])


def _version(match: re.Match[str]) -> str:
    return _set_apart(match, " point ".join(number(part) for part in match[0].split(".")))
