"""Recognise lines that can be headings, each by itself.

A line is only a candidate. `chapters` decides by all candidates of a text which of them are headings, and which begin
chapters.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from num2words import num2words

from pipeline.text.letter_spacing import join_spaced_letters
from pipeline.text.structure.blocks import roman_value

_LONGEST_HEADING = 90  # characters
_LONGEST_ENTRY = 300  # characters of a line of a table of contents
_LAST = 9999  # what "Chapter the Last" counts as


class HeadingKind(IntEnum):
    """Kinds of headings. The smallest kind from CHAPTER on that a text has is that of its chapters."""

    NAMED = 0  # Preface, Epilogue: a chapter in any book
    CHAPTER = 1  # Chapter 1, Letter IV
    MARKED = 2  # an underlined line, or one with "#" before it
    TITLED_NUMERAL = 3  # IV. The Fox
    NUMERAL = 4  # IV
    PERIOD = 5  # Day 1
    LISTED = 6  # a title in the table of contents
    PART = 7  # Volume I, Book One: above chapters, or chapters if there are no others
    CAPS = 8  # THE FOX AND THE CROW


@dataclass(frozen=True)
class Candidate:
    """What a line is if it is a heading."""

    kind: HeadingKind
    number: int | None = None
    is_bare: bool = False  # only "Chapter 1": the next line may be its title


_WORD = re.compile(
    r"(?P<word>chapter|chap\.?|letter|stave|canto|adventure|volume|vol\.?|book|part)\s+(?P<rest>.+)", re.IGNORECASE
)
_PARTS = ("vol", "book", "part")
_ORDINAL_FIRST = re.compile(
    r"(?:the\s+)?(?P<number>[a-z]+(?:-[a-z]+)?|\d{1,4}(?:st|nd|rd|th))\s+(?P<word>chapter|letter|stave|canto|book|part|"
    r"volume)(?P<rest>.*)",
    re.IGNORECASE,
)
_PERIOD = re.compile(
    r"(?:day|night|week|month|scene|entry|episode|lesson|session|story|tale)\s+(?P<rest>.+)", re.IGNORECASE
)
_NAMED = re.compile(
    r"(?:the\s+)?(?:prologue|epilogue|preface|foreword|introduction|afterword|interlude|appendix|postscript|"
    r"acknowledge?ments|dedication|author['’]s note|a note on the text)\b(?P<rest>.*)",
    re.IGNORECASE,
)
_FRAMED = re.compile(r"[-–—~*•\[(]\s*(?P<number>\d{1,3}|[IVXLC]+)\s*[-–—~*•\])]")
_EMPHASIS_MARKS = re.compile(r"(?<!\w)[_*]+|[_*]+(?!\w)|[\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff]")
_NUMERAL = re.compile(r"(?P<number>\d{1,3}|[IVXLC]+)(?:[.:)]|\s*[—–-])?(?:\s+(?P<title>\S.*))?")
_CONTENTS = re.compile(r"(?:table of )?contents[.:]?|list of (?:illustrations|plates)[.:]?", re.IGNORECASE)
_LEADER = re.compile(r"(?:[.·_]{2,}|[\s.·_]{3,})\d*$")  # between a title and a page number in a table of contents
_PAGE = re.compile(r"\S\s{2,}(?:\d{1,4}|[ivxlc]+|_?[Ff]rontispiece_?)$|[.·_]{2,}\s*\d{1,4}$")
_NOT_A_TITLE = re.compile(r"[\"“”'‘,;]|.*(?<![IVXLC])[,;\"”’]$|the end\W*$|finis\W*$", re.IGNORECASE | re.DOTALL)


def classify_heading(line: str) -> Candidate | None:
    """Return what a line is if it is a heading, judged by itself; None: it cannot be one."""
    if framed := _FRAMED.fullmatch(line.strip()):
        line = framed["number"]
    line = join_spaced_letters(_EMPHASIS_MARKS.sub("", line.strip()).strip("=# "))
    if not line or len(line) > _LONGEST_HEADING or line[-1] in ",;":
        return None
    if numbered := _numbered(line):
        return numbered
    if (found := _NAMED.fullmatch(line)) and line[0].isupper() and _is_title_after_number(found["rest"]):
        return Candidate(HeadingKind.NAMED)
    if found := _NUMERAL.fullmatch(line):
        value = int(found["number"]) if found["number"].isdigit() else roman_value(found["number"])
        title = found["title"]
        if value and title is None:
            return Candidate(HeadingKind.NUMERAL, value, is_bare=True)
        if value and re.match(r"[.:)—–-]", line[len(found["number"]) :].lstrip()) and _is_title(title):
            return Candidate(HeadingKind.TITLED_NUMERAL, value)
    if line.isupper() and sum(map(str.isalpha, line)) >= 3 and not _NOT_A_TITLE.match(line):
        return Candidate(HeadingKind.CAPS)
    return None


def _numbered(line: str) -> Candidate | None:
    """Classify a line with a word such as "Chapter" and a number, in either order."""
    for pattern in (_WORD, _PERIOD):
        if found := pattern.fullmatch(line):
            number, rest = _leading_number(found["rest"])
            is_bare = not rest.strip(" .:")
            if number is None or not (line[0].isupper() or is_bare) or not _is_title_after_number(rest):
                continue
            word = found.groupdict().get("word", "").lower()
            kind = (
                HeadingKind.PERIOD
                if pattern is _PERIOD
                else HeadingKind.PART
                if word.startswith(_PARTS)
                else HeadingKind.CHAPTER
            )
            return Candidate(kind, number, is_bare)
    if (found := _ORDINAL_FIRST.fullmatch(line)) and line[0].isupper() and _is_title_after_number(found["rest"]):
        number = _numbers_in_words(ordinals_only=True).get(found["number"].lower())
        number = int(re.sub(r"\D", "", found["number"])) if found["number"][0].isdigit() else number
        if number is not None:
            is_part = found["word"].lower().startswith(_PARTS)
            return Candidate(
                HeadingKind.PART if is_part else HeadingKind.CHAPTER, number, not found["rest"].strip(" .:")
            )
    return None


def is_contents(line: str) -> bool:
    """Return whether a line is the title of a table of contents."""
    return bool(_CONTENTS.fullmatch(line.strip().strip("_*=# ")))


def heading_key(line: str) -> str:
    """Return a heading without case, punctuation and page number, to find an entry of a table of contents."""
    return re.sub(r"[\W_]+", " ", without_page_number(line)).strip().casefold()


def without_page_number(line: str) -> str:
    """Return an entry of a table of contents without the dots and the page number at its end."""
    return _LEADER.sub("", line.strip()) if len(line) <= _LONGEST_ENTRY else line.strip()


def has_page_number(line: str) -> bool:
    """Return whether a line ends with a page number, as an entry of a table of contents does."""
    line = line.strip()
    if len(line) > _LONGEST_ENTRY:
        return False
    found = classify_heading(line)
    return bool(_PAGE.search(line)) and not (found and found.is_bare)  # "CHAPTER  1" is a heading


def is_subtitle(text: str) -> bool:
    """Return whether the block below a bare "Chapter 1" can be its title: it is short and not a sentence."""
    lines = text.split("\n")
    return (
        len(lines) <= 2
        and len(text) <= _LONGEST_HEADING
        and text[0] not in "\"'“‘"
        and _is_title(text)
        and (text.isupper() or text[-1] not in ".!?:")
        and not is_contents(text)
    )


def mark_consecutive(numbers: Sequence[int]) -> list[bool]:
    """Return for each number whether it continues the count 1, 2, 3 ..., which may begin again at 1.

    Page numbers and years do not.
    """
    marks = []
    last = 0
    for number in numbers:
        is_next = number in (last + 1, 1) or (number == _LAST and last > 0)
        marks.append(is_next)
        last = number if is_next else last
    return marks if sum(marks) >= 2 else [False] * len(marks)


def _is_title_after_number(rest: str) -> bool:
    """Return whether the text after "Chapter 1" can be a title and is not the rest of a sentence."""
    if not rest or rest[0] in ".:—–-" or _is_title(rest.lstrip(" ,;)].")):
        return True
    title = rest.lstrip(" ,;)].:|—–-")
    words = title.split()
    is_sentence = title.endswith(".") and sum(map(str.islower, words)) * 2 > len(
        words
    )  # after a dash it often is a sentence
    return _is_title(title) and not is_sentence


def _is_title(text: str | None) -> bool:
    if not text:
        return text == ""
    opening = text.lstrip("\"'“‘(_*")
    return bool(opening) and (opening[0].isupper() or opening[0].isdigit()) and text[-1] not in ",;"


def _leading_number(text: str) -> tuple[int | None, str]:
    """Return the number at the beginning of `text`, in digits, Roman or in words, and the text after it."""
    found = re.match(r"(?:the\s+)?((\d{1,4})|([A-Za-z]+)(?:[- ]([A-Za-z]+))?)\b", text, re.IGNORECASE)
    if found is None:
        return None, text
    if found[2]:
        return int(found[2]), text[found.end() :]
    if found[3].lower() in ("last", "final"):
        return _LAST, text[found.end(3) :]
    words = _numbers_in_words()
    if found[4] and (value := words.get(f"{found[3]}-{found[4]}".lower())):
        return value, text[found.end() :]
    rest = text[found.end(3) :]
    if value := words.get(found[3].lower()):
        return value, rest
    return roman_value(found[3].upper()) if found[3].isupper() or len(found[3]) > 1 else None, rest


@functools.cache
def _numbers_in_words(*, ordinals_only: bool = False) -> dict[str, int]:
    kinds = ("ordinal",) if ordinals_only else ("cardinal", "ordinal")
    return {num2words(n, to=to): n for n in range(1, 100) for to in kinds}
