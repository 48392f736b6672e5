"""Join drop caps with their words, and separate numbers and titles of headings that run together."""

from __future__ import annotations

import re

from pipeline.text.structure.headings import classify_heading

LINE_END = "\x0b"  # a line end that is kept; no page has this character
EDGE = "\x0e"  # beginning or end of an inline element
INITIAL = "\x0f"  # after a drop cap

_OPENING = "[\"'“‘«(—]*"
_INITIAL_BEFORE = re.compile(rf"\A({_OPENING}[^\W\d_]){EDGE}*{INITIAL}[\s{EDGE}{LINE_END}]*(?=[^\W\d_])")
_LONE_LETTER = re.compile(rf"{_OPENING}[^\W\d_]")
# Two consonants that words begin with. A drop cap "A" or "I" before other letters belongs to their word.
_ONSETS = frozenset(
    "bl br ch cl cr dr dw fl fr gh gl gn gr kn ph pl pr qu rh sc sh sk sl sm sn sp sq st sw th tr tw wh wr".split()  # noqa: SIM905
)
_EDGES = re.compile(rf"{EDGE}+")
_LAST_WORD = re.compile(r"\S{1,40}\Z")
_FIRST_WORD = re.compile(r"[\"'“‘]?([^\W_]{1,40})")
_MAX_NUMBER = 60  # characters of a heading that is only a number, such as "Chapter the Twenty-First"
_NUMBER = re.compile(r"\d{1,4}[.:]?|[IVXLC]+[.:]?")


def is_lone_letter(words: str) -> bool:
    """Return whether a block is only a letter, perhaps after a quotation mark."""
    return bool(_LONE_LETTER.fullmatch(words))


def continues(letter: str, words: str) -> bool:
    """Return whether a drop cap `letter` and the first word after it are one word, though white space is between.

    >>> [continues("T", "he river"), continues("I", "t was"), continues("A", "man"), continues("A", "fter")]
    [True, True, False, True]
    """
    if not words[:1].islower():
        return False
    if letter[-1] not in "AI":
        return True
    first = re.match(r"[^\W\d_]+", words)
    word = first[0] if first else ""
    return len(word) == 1 or not (set(word[:2]) & set("aeiouy") or word[:2] in _ONSETS)


def join_initial(text: str) -> str:
    """Join a drop cap with its word, and remove its mark."""
    found = _INITIAL_BEFORE.match(text)
    if found and continues(found[1], text[found.end() :]):
        text = found[1] + text[found.end() :]
    return text.replace(INITIAL, "")


def break_fused(text: str, is_heading: bool) -> str:
    """Put the number and the title of a heading on two lines if they are in different elements without white space.

    >>> break_fused(f"V{EDGE}{EDGE}The Visit", True).split(LINE_END)
    ['V', 'The Visit']
    """
    if is_heading:
        text = LINE_END.join(_split_number(line) for line in text.split(LINE_END))
    parts: list[str] = []
    at = 0
    for found in _EDGES.finditer(text):
        parts.append(text[at : found.start()])
        before = text[max(0, found.start() - _MAX_NUMBER) : found.start()]
        if _is_fused(before, text[found.end() : found.end() + _MAX_NUMBER], is_heading):
            parts.append(LINE_END)
        at = found.end()
    return "".join([*parts, text[at:]])


def _is_fused(line: str, after: str, is_heading: bool) -> bool:
    """Return whether a line end belongs between the end of one element and the beginning of the next."""
    line = line.replace(EDGE, "").rpartition(LINE_END)[2]
    before, next_word = _LAST_WORD.search(line), _FIRST_WORD.match(after)
    if before is None or next_word is None:
        return False
    word, following = before[0], next_word[1]
    if not is_heading:
        number = classify_heading(line)
        return following[0].isupper() and number is not None and number.is_bare
    if word.isalpha() and following.isdigit():
        return True
    is_number = bool(_NUMBER.fullmatch(word)) and not (following.isupper() and word.isalpha())
    is_word = len(word) > 1 and word[-1].isalnum() and not word.startswith(("Mc", "Mac", "O’"))
    return following[0].isupper() and (is_number or is_word)


def _split_number(line: str) -> str:
    """Insert a line end after an element at the beginning of a heading that holds only its number."""
    found = re.match(rf"\s*{EDGE}+([^{EDGE}]{{1,{_MAX_NUMBER}}}){EDGE}+\s*(?=[\"'“‘{EDGE}]*[^\W_a-z])", line)
    number = classify_heading(found[1].strip()) if found else None
    if not found:
        return line
    return line[: found.end()] + LINE_END + line[found.end() :] if number is not None and number.is_bare else line
