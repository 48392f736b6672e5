"""Letter-spaced lines, as typewriters and scans have them: C H A P T E R   O N E."""

from __future__ import annotations

import re

_SPACED = re.compile(r"[^\W_](?:[ \xa0]{1,8}[^\W_]){3,80}[.:]?")
_WORD_GAP = re.compile(r"[ \xa0]{2,}")
_MIN_LETTERS = 6  # of a line of one word: "A B C D" may be a list of grades


def join_spaced_letters(text: str) -> str:
    """Return a text with its letter-spaced lines in ordinary words; two blanks or more part the words of such a line.

    >>> [join_spaced_letters(line) for line in ("C H A P T E R   I I", "P R O L O G U E.", "A B C D")]
    ['CHAPTER II', 'PROLOGUE.', 'A B C D']
    """
    if text[1:2] not in (" ", "\xa0") and "\n" not in text:  # nearly all
        return text
    return "\n".join(_join(line) for line in text.split("\n"))


def _join(line: str) -> str:
    stripped = line.strip()
    if not _SPACED.fullmatch(stripped):
        return line
    words = ["".join(word.split()) for word in _WORD_GAP.split(stripped)]
    is_alphabet = all(ord(after) - ord(letter) == 1 for letter, after in zip(words[0], words[0][1:], strict=False))
    if max(map(len, words)) < 4 or (len(words) == 1 and (len(words[0]) < _MIN_LETTERS or is_alphabet)):
        return line
    return " ".join(words)
