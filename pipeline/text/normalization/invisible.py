"""Removal of characters that are not seen: they break words apart for a tokenizer and are never spoken.

The joiners U+200C and U+200D stay here: in Persian and the scripts of India they change how a word is read.
"""

from __future__ import annotations

import re

_INVISIBLE = re.compile(
    "["
    "\u00ad\u200b\u2060\ufeff"  # soft hyphen, zero-width space, word joiner, byte order mark
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # direction of writing
    "\u034f\u180b-\u180f\u2061-\u2064\ufff9-\ufffb"  # joiners, operators and annotations that are not seen
    "\ufe00-\ufe0f\U000e0000-\U000e01ef"  # variants and tags of the character before them
    "]"
)
_BLANK = re.compile("[\u115f\u1160\u2800\u3164\uffa0]")  # seen as a space
_CUT_WORD = re.compile(r"\u00ad[ \t]*\r?\n[ \t]*")
# A zero-width space may end a line, and behind a mark nothing else parts two words: "Mr.<U+200B>Smith".
_BREAK = re.compile(r"(?<=[^\W\d_][.,;:!?])\u200b+(?=[^\W\d_a-z])|(?<=[^\W\d_][,;!?])\u200b+(?=[^\W\d_])")


def drop_invisible(text: str) -> str:
    r"""Return a text without the characters that are not seen.

    >>> drop_invisible("\u202bhe\u200fllo\u202c, co\u00ad\n operate, Mr.\u200bHale")
    'hello, cooperate, Mr. Hale'
    """
    if text.isascii():
        return text
    text = _BREAK.sub(" ", _CUT_WORD.sub("", text))
    return _BLANK.sub(" ", _INVISIBLE.sub("", text))
