"""Letters and lines that the markup of a page tears apart or runs together: painted initials, numbers of headings."""

from __future__ import annotations

import re

from pipeline.text.headings import recognise

LINE_END = "\x0b"  # what no page has: white space that stays the end of a line
EDGE = "\x0e"  # where an element inside a line begins or ends
INITIAL = "\x0f"  # behind the painted first letter of a paragraph

_OPENING = "[\"'“‘«(—]*"
_INITIAL_BEFORE = re.compile(rf"\A({_OPENING}[^\W\d_]){EDGE}*{INITIAL}[\s{EDGE}{LINE_END}]*(?=[^\W\d_])")
_LONE_LETTER = re.compile(rf"{_OPENING}[^\W\d_]")
# Two letters that words begin with; where "A" or "I" stands before anything else, it is the first letter of a word.
_ONSETS = frozenset(
    "bl br ch cl cr dr dw fl fr gh gl gn gr kn ph pl pr qu rh sc sh sk sl sm sn sp sq st sw th tr tw wh wr".split()  # noqa: SIM905
)
_FUSED = re.compile(rf"(?P<before>[^\s{EDGE}{LINE_END}]+){EDGE}+(?=[\"'“‘]?(?P<after>[^\W_]+))")
_NUMBER = re.compile(r"\d{1,4}[.:]?|[IVXLC]+[.:]?")


def is_lone_letter(words: str) -> bool:
    """Return whether a block is nothing but a letter, with a quotation mark perhaps."""
    return bool(_LONE_LETTER.fullmatch(words))


def continues(letter: str, words: str) -> bool:
    """Return whether `words` go on with the word that a painted `letter` begins, though white space is between them.

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
    """Join a painted first letter and its word, and leave out the marks of both."""
    found = _INITIAL_BEFORE.match(text)
    if found and continues(found[1], text[found.end() :]):
        text = found[1] + text[found.end() :]
    return text.replace(INITIAL, "")


def break_fused(text: str, is_heading: bool) -> str:
    """Put number and title of a heading on two lines where only their elements tell them apart.

    >>> break_fused(f"V{EDGE}{EDGE}The Visit", True).split(LINE_END)
    ['V', 'The Visit']
    """
    if EDGE not in text:
        return text
    if is_heading:
        lines = text.split(LINE_END)
        text = LINE_END.join(_split_number(line) for line in lines)

    def separated(match: re.Match[str]) -> str:
        before, after = match["before"], match["after"]
        is_number = bool(_NUMBER.fullmatch(before)) and not (after.isupper() and before.isalpha())
        is_word = is_heading and len(before) > 1 and before[-1].isalnum() and not before.startswith(("Mc", "Mac", "O’"))
        starts = (after[0].isupper() and (is_number or is_word)) or (
            before.isalpha() and after.isdigit() and is_heading
        )
        whole = match.string[: match.end("before")].replace(EDGE, "").rpartition(LINE_END)[2]
        bare = recognise(whole) if starts and not is_heading else None
        return before + (LINE_END if starts and (is_heading or (bare is not None and bare.is_bare)) else "")

    return _FUSED.sub(separated, text).replace(EDGE, "")


def _split_number(line: str) -> str:
    """Break a heading behind an element that holds nothing but its number."""
    found = re.match(rf"\s*{EDGE}+\s*([^{EDGE}]+?)\s*{EDGE}+\s*(?=[\"'“‘{EDGE}]*[^\W_a-z])", line)
    if not found or len(found[1]) > 40:
        return line
    number = recognise(found[1])
    return line[: found.end()] + LINE_END + line[found.end() :] if number is not None and number.is_bare else line
