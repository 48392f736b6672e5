"""Rules for what remains after words and numbers: symbols with a name, brackets, punctuation.

After the last rule, a text contains only letters, single spaces, and . , ; : ? ! ' " -
"""

from __future__ import annotations

import re

from pipeline.text.normalization.english.money import CURRENCY_NAMES
from pipeline.text.normalization.english.words import before

_SPOKEN = {
    **{sign: name for sign, name in CURRENCY_NAMES.items() if len(sign) == 1},
    "&": "and",
    "+": "plus",
    "=": "equals",
    "@": "at",
    "%": "percent",
    "¢": "cents",
    "°": "degrees",
    "§": "section",
    "©": "copyright",
    "‰": "per mille",
}
_ALL_SIGNS = "".join(map(re.escape, _SPOKEN))
_ANY = re.compile(rf"[{_ALL_SIGNS}/^*<>~#]")
_SYMBOL = re.compile(rf" ?([{_ALL_SIGNS}]) ?")
_BETWEEN_OPERANDS = {"*": "times", "<": "is less than", ">": "is greater than", "~": "to"}
_BETWEEN_OPERANDS |= {"<=": "is at most", ">=": "is at least"}
_OPERATOR = re.compile(r"(?<=\w) ([*<>]) (?=\w)|(?<=\w) ?([<>]=) ?(?=\w)|(?<=\b[a-zA-Z])([<>])(?=[a-zA-Z]\b)")
_POWER = re.compile(r"(?<=[\w)])\^([+-]?\w{1,15})")
_POWERS = {"two": "squared", "three": "cubed"}
_ALTERNATIVES = re.compile(r"\b(he|she|him|his|her|hers|s|yes|either)/(she|he|her|his|hers|no|or)\b", re.IGNORECASE)
_SLASH = re.compile(r"(?<=[^\W_]) ?/ ?(?=[^\W_])")
_APPROXIMATELY = re.compile(r"(?<!\w)~ ?(?=[^\W_])")
_LANGUAGE = re.compile(r"\bC#(?!\w)")


def say_symbols(text: str) -> str:
    """Write symbols as their names.

    >>> say_symbols("AT&T, he/she, x^two + y = z, input/output, C#, ~five")
    'AT and T, he or she, x squared plus y equals z, input slash output, C sharp, about five'
    """
    if not _ANY.search(text):
        return text
    text = _LANGUAGE.sub("C sharp", text)
    text = _POWER.sub(
        lambda match: " " + _POWERS.get(match[1], f"to the power of {match[1].replace('-', 'minus ')}"), text
    )
    text = _OPERATOR.sub(lambda match: f" {_BETWEEN_OPERANDS[match[0].strip()]} ", text)
    text = _ALTERNATIVES.sub(r"\1 or \2", text)
    text = _APPROXIMATELY.sub("about ", _SLASH.sub(" slash ", text))
    return _SYMBOL.sub(lambda match: f" {_SPOKEN[match[1]]} ", text)


_SECTIONS = re.compile(r"(§§|§|¶¶|¶) ?(?=\d|[IVXLC]+\b)")
_SECTION_NAMES = {"§": "section", "§§": "sections", "¶": "paragraph", "¶¶": "paragraphs"}
_COPYRIGHT = re.compile(r"\b(copyright),? ?(?:©|\([cC]\))|(?<!\w)\([cC]\)(?= ?(?:1[89]|20)\d\d\b)", re.IGNORECASE)


def name_sections(text: str) -> str:
    """Write the signs for sections, paragraphs and copyright as words.

    >>> name_sections("See §§ 5-6 and § 7, ¶3. Copyright © 2021. (c) 2020")
    'See sections 5-6 and section 7, paragraph 3. Copyright 2021. copyright 2020'
    """
    if "§" in text or "¶" in text:
        text = _SECTIONS.sub(lambda match: f"{_SECTION_NAMES[match[1]]} ", text)
    if "©" in text or "(c)" in text or "(C)" in text:
        text = _COPYRIGHT.sub(lambda match: match[1] or "copyright", text)
    return text


_GREEK = dict(
    zip(
        "αβγδεζηθικλμνξοπρστυφχψωΓΔΘΛΞΠΣΦΨΩ",
        (
            *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu"),
            *("nu", "xi", "omicron", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"),
            *("gamma", "delta", "theta", "lambda", "xi", "pi", "sigma", "phi", "psi", "omega"),
        ),
        strict=True,
    )
)
_GREEK_ALONE = re.compile(rf"(?<![^\W\d_])(\d?)([{''.join(_GREEK)}])(?![^\W\d_])")


def name_greek_letters(text: str) -> str:
    """Write single Greek letters, as in formulas, as their names.

    >>> name_greek_letters("α-rays, 2π, λόγος")
    'alpha-rays, 2 pi, λόγος'
    """
    if text.isascii():
        return text
    return _GREEK_ALONE.sub(lambda match: f"{match[1] and match[1] + ' '}{_GREEK[match[2]]}", text)


_COMPARISON = re.compile(
    r"(?P<left>(?<=[\w%)]) |(?<=[\w%)]))?(?<![-=<>])(?P<sign>[<>]=?)(?P<gap> ?)(?=[\"']?[-+~$£€]{0,2}\.?\d)"
)
_COMPARED = {">": "greater than", "<": "less than", ">=": "at least", "<=": "at most"}
_NEEDS_NO_VERB = re.compile(r"\b(?:is|are|was|were|be|been|of|with|at|for|and|or|to|than|values?|scores?|ages?) ?$")


def read_comparisons(text: str) -> str:
    """Read comparisons with a number; a sign that touches only the number has no verb.

    >>> read_comparisons("values >5 and <3, x > 5, p<.05, n >= 10")
    'values greater than 5 and less than 3, x is greater than 5, p is less than .05, n is at least 10'
    """
    return _COMPARISON.sub(_comparison, text) if "<" in text or ">" in text else text


def _comparison(match: re.Match[str]) -> str:
    left, gap = match["left"], match["gap"]
    is_prefix = left is None or (left == " " and not gap) or _NEEDS_NO_VERB.search(before(match, 12))
    return f"{' ' if left is not None else ''}{'' if is_prefix else 'is '}{_COMPARED[match['sign']]} "


_OPTIONAL_PLURAL = re.compile(r"(?<=[^\W\d_])[(\[](e?s)[)\]]")
_BRACKET = re.compile(r"[()\[\]{}]")
_OPENING = re.compile(r" ?[(\[{]+ ?")
_CLOSING = re.compile(r"(?: ?[)\]}])+")
_WORD_NEXT = re.compile(r"\w| [\w'\"]")


def brackets_to_commas(text: str) -> str:
    """Replace brackets by commas.

    >>> brackets_to_commas("He came (at last). (She did not.) Letter(s) [of a kind] came.")
    'He came, at last. She did not. Letters, of a kind, came.'
    """
    if not _BRACKET.search(text):
        return text
    text = _OPTIONAL_PLURAL.sub(r"\1", text)
    return _CLOSING.sub(_closing, _OPENING.sub(_opening, text))


def _opening(match: re.Match[str]) -> str:
    previous, is_attached = before(match, 1), match[0][0] != " "
    if previous in ("'", '"'):  # directly after an opening quote, or after a closing one
        return "" if is_attached else ", "
    return ", " if previous.isalnum() else " "


def _closing(match: re.Match[str]) -> str:
    is_inside = before(match, 1).isalnum() and _WORD_NEXT.match(match.string, match.end())
    return "," if is_inside else ""


_UNSAID = re.compile(r"[#$%&*+/<=>@\\^_`|~()\[\]{}–—¶·]")
_REPEATED = re.compile(r"!!+|\?\?+|\.\.(?<!\.\.\.)(?!\.)|,(?: ?,)+|;(?: ?;)+|:(?: ?:)+|--+")
_MIXED = re.compile(r"[,;:] ?(?=[,;:.!?])")
_OVERRULED = re.compile(r" -(?= ?[,;:.!?])|\.(?<!\.\w\.)(?<!\.\.)(?=[,;:])")  # but "a.m.," and "...," stay
_LOOSE = re.compile(r" (?=[,;:.!?]+(?:[\s\"']|$))")
_COMMA_INSIDE = re.compile(r",(?=[^\W\d_])")
_DASHES = re.compile(r" -(?: -)+(?= |$)")
_LEADING = re.compile(r"^[\s,;:.!?-]+(?=[\"']*[^\W_])")


def tidy_punctuation(text: str) -> str:
    """Remove remaining symbols, repeated marks, spaces before marks, and marks at the start.

    >>> tidy_punctuation("... No !! He, , left | | at once ,. - - Yes")
    'No! He, left at once. - Yes'
    """
    text = " ".join(_UNSAID.sub(" ", text).split())
    text = _REPEATED.sub(lambda match: match[0][0], text)
    text = _OVERRULED.sub("", _MIXED.sub("", _LOOSE.sub("", text)))
    return _LEADING.sub("", _DASHES.sub(" -", _COMMA_INSIDE.sub(", ", text)))
