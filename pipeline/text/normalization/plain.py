"""Recognise text that is spoken as it is written, so that no rule has to look at it: most sentences of a novel.

Whatever a rule of this package might read has to be named here. `tests/test_normalization.py` compares both ways.
"""

from __future__ import annotations

import re

from pipeline.text.normalization.abbreviations import ALWAYS
from pipeline.text.normalization.words import alternatives

_PLAIN_QUOTES = str.maketrans("“”‘’", "\"\"''")
_SHORT = alternatives([*ALWAYS, *(short.upper() for short in ALWAYS), "al", "MS", "Ms", "ms", "Sr"])
_TO_READ = re.compile(
    r"[^A-Za-z ,;:!?'\".-]"  # digits, symbols, other scripts
    r"|\.(?![\"']*$)"  # a full stop inside
    rf"|\b(?:{_SHORT})\.(?=[\"']*$)"
    r"|[A-Z]{2}|\b[VXLCDM]\b"  # numerals and words in capitals
    r"|\b[A-Z][A-Za-z]* I\b|\bI[ -]centur"  # the numeral I
    r"|\b(?:Mr|Mrs|Ms|Messrs|Prof|St|Dr|[Ee]tc|[Vv]s|v)\b"
    r"|(?:[Aa]ct|[Ss]cene|[Cc]hapter|[Cc]anto|[Pp]ages?|[Ss]ection|[Vv]olume) [ivxl]{1,8}\b"
    r"|(?<![A-Za-z])-|-(?![A-Za-z])"  # no hyphen between letters
    r"|[,;:!?.] ?[,;:!?.]| [,;:!?.]|,[A-Za-z]|^[,;:!?.]"  # punctuation to be tidied up
)


def plain_text(text: str) -> str | None:
    """Return the spoken form of a text that no rule changes beyond its quotation marks and spaces; None for others.

    >>> plain_text("“It’s  late,” said she.")
    '"It\\'s late," said she.'
    >>> plain_text("Mr. Hale"), plain_text("at 5"), plain_text("King James I")
    (None, None, None)
    """
    text = text if text.isascii() else text.translate(_PLAIN_QUOTES)
    if not text.isascii():
        return None
    text = " ".join(text.split()) if "  " in text or not text.isprintable() or text[:1] == " " or text[-1:] == " " else text
    return None if _TO_READ.search(text) else text
