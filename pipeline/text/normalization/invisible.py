"""Removal of invisible characters, which would split words for the tokenizer.

The joiners U+200C and U+200D are kept, because they change how words are read in Persian and in Indic scripts.
"""

from __future__ import annotations

import re

_INVISIBLE = re.compile(
    "["
    "\u00ad\u200b\u2060\ufeff"  # soft hyphen, zero-width space, word joiner, byte order mark
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # direction of writing
    "\u034f\u180b-\u180f\u2061-\u2064\ufff9-\ufffb"  # invisible joiners, operators and annotations
    "\ufe00-\ufe0f\U000e0000-\U000e01ef"  # variation selectors and tags
    "]"
)
_BLANK = re.compile("[\u115f\u1160\u2800\u3164\uffa0]")  # looks like a space
_CUT_WORD = re.compile(r"\u00ad[ \t]*\r?\n[ \t]*")
# A zero-width space is also used for line breaks; after punctuation it separates words: "Mr.<U+200B>Smith".
_BREAK = re.compile(r"(?<=[^\W\d_][.,;:!?])\u200b+(?=[^\W\d_a-z])|(?<=[^\W\d_][,;!?])\u200b+(?=[^\W\d_])")


def drop_invisible(text: str) -> str:
    r"""Return a text without invisible characters.

    >>> drop_invisible("\u202bhe\u200fllo\u202c, co\u00ad\n operate, Mr.\u200bHale")
    'hello, cooperate, Mr. Hale'
    """
    if text.isascii():
        return text
    text = _BREAK.sub(" ", _CUT_WORD.sub("", text))
    return _BLANK.sub(" ", _INVISIBLE.sub("", text))
