"""Rule for Roman numerals: which runs of capitals are numerals, and whether they are cardinals or ordinals.

A numeral is recognized by its context or form: a word that is numbered before it (Chapter IV), the name of a ruler
(Henry VIII), a century after it, or letters that form no word (XVII). "I" needs the clearest context, because it is
nearly always the pronoun.
"""

from __future__ import annotations

import re

from pipeline.text.normalization.english.words import SENTENCE_OPENERS, before, cardinal, ordinal, roman, word_set, year

_NUMBERED = word_set(
    "act annex appendix article battalion book canto chapter class corps division episode exhibit figure grade group "
    "lesson letter level mark number opus part phase plate psalm scene section sonata stage stave symphony table title "
    "type volume war bowl apollo schedule vatican olympiad quartet concerto"
)
_NUMBERED_FROM_ONE = word_set(
    "act appendix article book canto chapter class figure grade number part phase plate scene schedule section stage "
    "stave table type vatican volume"
)
RULERS = word_set(
    "Adrian Alexios Amenhotep Antiochus Artaxerxes Baldwin Canute Carl Casimir Celestine Charlemagne Christina Clovis "
    "Conrad Darius Eric Eugene Faisal Gustaf Gustavus Hadrian Honorius Hussein Justinian Kamehameha Ladislaus Lothair "
    "Manuel Mehmet Menelik Murad Oscar Paschal Peter Rameses Selim Sigismund Suleiman Theodosius Thutmose Waldemar "
    "Willem Xerxes Albert Alexander Alexandra Alfonso Alphonse Anne Benedict Boniface Carlos Catherine Charles "
    "Christian Clement "
    "Constantine David Edgar Edmund Edward Elizabeth Ferdinand Francis Franz Frederick Friedrich George Gregory "
    "Gustav Harald Harold Haakon Henri Henry Innocent Isabella Ivan James John Joseph Juan Julius Karl Leo Leopold "
    "Lewis Louis Ludwig Margaret Mary Maximilian Mehmed Mohammed Napoleon Nicholas Olaf Otto Paul Pedro Peter "
    "Philip Philippe Pius Ptolemy Ramesses Ramses Richard Robert Rudolf Sixtus Stephen Theodore Thomas Umberto "
    "Urban Victor Victoria Wilhelm William"
)
_RANKS = word_set("King Queen Emperor Empress Pope Tsar Czar Prince Sultan Pharaoh")
_NUMERAL = re.compile(r"[IVXLCDM]{1,15}(?![\w&/]|'(?!s\b)|-(?!\w{4})|\.(?=\w))")
_KINDS = word_set("Class Type Grade Stage Schedule Phase Category Level")
_RANKED = re.compile(r"\b([IVXLC]{2,8}|[VX](?=th century))(?:th|st|nd|rd)\b")
_NOT_BEFORE = re.compile(r"[\w'.&/-]")
_WORDS_BEFORE = re.compile(r"(?:\b([A-Za-z]+)\.? )?\b([A-Za-z]+) $")
# What may follow "Chapter I" if it is a title. Before anything else, I may be the pronoun.
_AFTER_FIRST = re.compile(r"$|[^\w ']|'s\b| ?-| (?:(?:of|and|to|is|was|in|opens|begins|ends|has|or|through)\b|[^a-z])")
_RULER_OF_TWO = re.compile(rf"\b(?:{'|'.join(sorted(RULERS))}) [IVX]+ and $")  # James I and VI
# What follows the name of a ruler such as "James I": the end of the clause, a country, a possession.
_AFTER_RULER = re.compile(
    r"'s\b|[.;:!?)]|$| of [A-Z]|,? (?:the )?(?:king|queen|emperor|empress|pope|tsar)\b| and [IVX]+\b|"
    r" and (?:his|her|[A-Z]\w+ (?:I{1,3}|IV|V)\b)| \("
)
_RULED = re.compile(
    r" (?:was|is|had|has|reigned|ruled|died|became|succeeded|ascended|came|married|inherited|granted|ordered|founded|"
    r"abdicated|made|gave|declared)\b"
)
_CLAUSE_START = re.compile(
    r"(?:^|[.!?;:] [\"']?|[\"']|"
    r"\b(?:when|that|as|where|because|since|until|after|before|while|under|by|and) )[A-Z]\w+ $"
)
_SURNAME = re.compile(r"\. ([A-Z](?:[a-z]+|'[A-Z]))")
_SMALL = re.compile(r" ([ivxl]{1,8})(?:-([ivxl]{1,8}))?\b(?!')")
_SMALL_BEFORE = re.compile(r"\b(?:act|scene|chapter|canto|pages?|section|volume)$", re.IGNORECASE)
_HEADING_WORD = re.compile(r"(CHAPTER|BOOK|PART|VOLUME|ACT|SCENE|SECTION)\b(?= [a-z\d])")
_LISTED = re.compile(r"\((i{1,3}|iv|vi{1,3}|ix)\)")


def read_romans(text: str) -> str:
    """Read Roman numerals.

    >>> read_romans("CHAPTER IV. Henry VIII and I saw Act II, Scene iii of the XIX century.")
    'Chapter four. Henry the Eighth and I saw Act two, Scene three of the nineteenth century.'
    >>> read_romans("In World War I, I did mix MIX, CIVIL and a CD. In this part I sing.")
    'In World War one, I did mix MIX, CIVIL and a CD. In this part I sing.'
    """
    text = _RANKED.sub(_ranked, text)
    text = _NUMERAL.sub(_numeral, text)
    text = _HEADING_WORD.sub(lambda match: match[0].capitalize(), text)
    text = _SMALL.sub(_small, text)
    return _LISTED.sub(lambda match: f"({cardinal(roman(match[1].upper()) or 0)})", text) if "(" in text else text


def _ranked(match: re.Match[str]) -> str:
    value = roman(match[1])
    return ordinal(value) if value else match[0]


def _numeral(match: re.Match[str]) -> str:
    numeral = match[0]
    value = roman(numeral)
    if value is None or (match.start() and _NOT_BEFORE.match(match.string, match.start() - 1)):
        return numeral
    text = match.string
    if text[match.end() : match.end() + 9].lower().startswith((" century", " centurie", "-century")):
        return ordinal(value) if numeral != "I" else numeral
    if numeral != "I" and _RULER_OF_TWO.search(text[max(0, match.start() - 40) : match.start()]):
        return ordinal(value).capitalize()
    words = _WORDS_BEFORE.search(text, max(0, match.start() - 40), match.start())
    if words is None:
        return _bare(value) if _stands_alone(match) else numeral
    earlier, word = words[1] or "", words[2]
    if word.lower() in _NUMBERED and word[0].isupper():
        world_war = (earlier.lower(), word.lower()) == ("world", "war")
        is_kind = word in _KINDS and earlier.lower() in ("a", "an", "the", "of", "this")  # a Class I drug
        is_first = is_kind or (word.lower() in _NUMBERED_FROM_ONE and _AFTER_FIRST.match(text, match.end()))
        return cardinal(value) if numeral != "I" or world_war or is_first else numeral
    if _is_ruler(earlier, word, numeral) and not _is_initial(match, earlier):
        return "the " + ordinal(value).capitalize()
    if numeral == "I":
        return "the First" if word in RULERS and _is_first_ruler(match, word) else numeral
    return _bare(value) if _is_nothing_else(numeral) else numeral


def _bare(value: int) -> str:
    """Return a numeral without context: a year if it is in the range of years, else a cardinal."""
    return year(value) if 1100 <= value <= 2099 else cardinal(value)


def _is_first_ruler(match: re.Match[str], name: str) -> bool:
    """Return whether "I" after a name is a numeral and not the pronoun: "James I was king", "the reign of James I."."""
    text = match.string
    surname = _SURNAME.match(text, match.end())
    if surname and surname[1] not in SENTENCE_OPENERS:  # Victor I. Smith
        return False
    if not _AFTER_RULER.match(text, match.end()):
        return (
            _RULED.match(text, match.end()) is not None
            and _CLAUSE_START.search(text[: match.start()][-60:]) is not None
        )
    return True


def _is_ruler(earlier: str, word: str, numeral: str) -> bool:
    if not word[0].isupper():
        return False
    if numeral in ("I", "C", "D", "L", "M"):  # as in "What Charles I saw"; only a title before the name is certain
        return numeral == "I" and earlier in _RANKS
    return word in RULERS or earlier in _RANKS or earlier in RULERS


def _is_initial(match: re.Match[str], earlier: str) -> bool:
    """Return whether a letter with a full stop is before a surname: John V. Lindsay, but not Henry V Act II."""
    surname = _SURNAME.match(match.string, match.end())
    is_surname = surname is not None and surname[1] not in SENTENCE_OPENERS
    return len(match[0]) == 1 and earlier not in _RANKS and is_surname


def _is_nothing_else(numeral: str) -> bool:
    """Return whether a numeral is certain without context: no word, no initials, not XXX."""
    if len(numeral) >= 4:
        return True
    return numeral == "II" or (len(numeral) > 2 and set(numeral) <= set("IVX") and numeral != "XXX")


def _stands_alone(match: re.Match[str]) -> bool:
    # A heading that is only a numeral. "I" alone is more likely to be an answer.
    if _is_nothing_else(match[0]):
        return True
    rest = match.string[match.end() :].strip(" .:*")
    return match.start() == 0 and not rest and match[0] != "I" and set(match[0]) <= set("IVXL")


def _small(match: re.Match[str]) -> str:
    value = roman(match[1].upper())
    is_pronoun = match[1] == "i" and not _AFTER_FIRST.match(match.string, match.end())
    if not value or is_pronoun or not _SMALL_BEFORE.search(before(match, 10)):
        return match[0]
    last = roman(match[2].upper()) if match[2] else None
    return f" {cardinal(value)}" + (f" to {cardinal(last)}" if last else f"-{match[2]}" if match[2] else "")
