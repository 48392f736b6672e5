"""Rules for other short forms: Latin phrases, degrees, titles without a full stop, initials, capitals with full stops.

Letters that are spoken one by one lose their full stops, because the model would pause: "J R R Tolkien", "the U S
Army". Capitals without full stops (NASA, FBI) stay; only a dictionary could tell which of them are words.
"""

from __future__ import annotations

import re

from pipeline.text.normalization.english.romans import RULERS
from pipeline.text.normalization.english.words import SENTENCE_OPENERS, after, alternatives, before, ends_sentence

_PHRASES = {
    "e.g.": "for example",
    "i.e.": "that is",
    "a.k.a.": "also known as",
    "ph.d.": "P H D",
    "ph. d.": "P H D",
    "d.phil.": "D Phil",
    "m.phil.": "M Phil",
    "b.sc.": "B S C",
    "m.sc.": "M S C",
    "d.sc.": "D S C",
    "ll.b.": "L L B",
    "ll.m.": "L L M",
    "ll.d.": "L L D",
    "ed.d.": "E D D",
    "b.ed.": "B Ed",
    "m.ed.": "M Ed",
    "psy.d.": "P S Y D",
    "pharm.d.": "Pharm D",
    "litt.d.": "Litt D",
    "d.litt.": "D Litt",
    "q.v.": "which see",
    "mss": "manuscripts",
    "wwi": "World War one",
    "wwii": "World War two",
    "ww1": "World War one",
    "ww2": "World War two",
    "et al.": "and others",
    "&c.": "et cetera",
    "&c": "et cetera",
    "etc": "et cetera",
    "vs": "versus",
    "w/o": "without",
    "w/": "with",
    "and/or": "and or",
}
_DEGREES = frozenset(short for short in _PHRASES if short.endswith("d.") or short[-3:-1] in ("il", "ed", "tt", "sc"))
_DEGREES |= {"ll.b.", "ll.m."}
_PHRASE = re.compile(
    rf"(?<![\w.])(?:e\. ?g\.|i\. ?e\.|a\.k\.a\.|q\.v\.|"
    rf"(?:{alternatives(short.rstrip('.') for short in _DEGREES)})(?:\.(?!\w)|(?P<many>\.?s\b)(?!')|(?![\w.]))|"
    r"et al\.|&c\b\.?|(?:etc|vs)\b(?!\.)|w/o\b|w/(?= )|and/or\b|(?-i:MSS|WW(?:II?|[12]))\b(?!\.))",
    re.IGNORECASE,
)
_BARE_TITLES = {"Mr": "Mister", "Mrs": "Missus", "Ms": "Miz", "Messrs": "Messieurs", "Prof": "Professor"}
_BARE_TITLES |= {"Profs": "Professors", "Drs": "Doctors"}
_BARE_TITLE = re.compile(r"(M(?:r|rs|s|essrs)|Profs?|Drs)\b(?= [A-Z])")
_VERSUS = re.compile(r"(?<=[a-z] )v\.?(?= [A-Z])")


def expand_phrases(text: str) -> str:
    """Expand Latin phrases, degrees, and titles without a full stop.

    >>> expand_phrases("E.g. Mr Bennet, i.e. a father, et al. Hats, coats, &c.")
    'For example Mister Bennet, that is a father, and others. Hats, coats, et cetera.'
    """
    text = _PHRASE.sub(_phrase, text)
    text = _BARE_TITLE.sub(lambda match: match[0] if before(match, 1).isalnum() else _BARE_TITLES[match[1]], text)
    return _VERSUS.sub("versus", text) if " v" in text else text


def _phrase(match: re.Match[str]) -> str:
    short = match[0]
    if match["many"]:
        return _plural(_PHRASES[short.lower().removesuffix("s").rstrip(".") + "."])
    full = _PHRASES.get(short.lower().replace("e. g", "e.g").replace("i. e", "i.e")) or _PHRASES[short.lower() + "."]
    full = full[0].upper() + full[1:] if short[0].isupper() and short != "MSS" else full
    may_end = full in ("et cetera", "and others") or short.lower() in _DEGREES
    is_name_likely = short.lower() in _DEGREES  # "Jane Roe, Ph.D. Candidate"
    keeps_stop = may_end and short.endswith(".") and ends_sentence(after(match, 60), any_capital=not is_name_likely)
    return full + ("." if keeps_stop else "")


def _plural(letters: str) -> str:
    """Return the plural of an abbreviation: "M D's", like the plural of a letter, or "M Eds"."""
    return letters + ("'s" if letters[-2:-1] == " " else "s")


_RUN = re.compile(r"[A-Z](?<![\w.].)(?<!\w'.)(?:(?:\. ?[A-Z])+\.(?!\w)|(?:\.[A-Z])+(?:(?![\w.])|\.?s\b))")
_INITIAL = re.compile(r"([A-HJ-Z])(?<![\w.'-].)\.(?= [A-Z][a-z])")
_LABELLED = re.compile(
    r"\b(?:plan|vitamin|part|section|exhibit|appendix|grade|type|group|class|model|figure|point|category|schedule|"
    r"route|hepatitis|option|team|world|platform|block|level|table|column|row|letter|note|an?|in|key|string) $",
    re.IGNORECASE,
)
# After these names, V or X without its full stop would be read as a numeral: John V. Lindsay.
_AS_OF_A_RULER = re.compile(rf"\b(?:{'|'.join(sorted(RULERS))})(?: [A-Z][a-z]+)? $")


def join_initials(text: str) -> str:
    """Remove the full stops of initials and of capitals.

    >>> join_initials("J. R. R. Tolkien and John F. Kennedy met in the U.S. Army at 8 A.M. in the U.S.")
    'J R R Tolkien and John F Kennedy met in the U S Army at 8 a.m. in the U S.'
    >>> join_initials("Two M.D.s and three M.P.s met.")
    "Two M D's and three M P's met."
    >>> join_initials("It was I. Then came plan B. Nobody spoke.")
    'It was I. Then came plan B. Nobody spoke.'
    """
    return _INITIAL.sub(_initial, _RUN.sub(_run, text))


def _run(match: re.Match[str]) -> str:
    letters = [sign for sign in match[0] if sign.isupper()]
    if match[0].endswith("s"):
        return _plural(" ".join(letters))
    if letters in (["A", "M"], ["P", "M"]):
        return f"{letters[0].lower()}.m."
    is_end = match[0].endswith(".") and ends_sentence(after(match, 60))
    return " ".join(letters) + ("." if is_end else "")


def _initial(match: re.Match[str]) -> str:
    text = match.string
    name = re.compile(r"[A-Za-z]+").match(text, match.end() + 1)
    is_end = (name is not None and name[0] in SENTENCE_OPENERS) or _LABELLED.search(before(match, 12))
    is_numeral = match[1] in "VX" and _AS_OF_A_RULER.search(before(match, 40))
    return match[0] if is_end or is_numeral else match[1]
