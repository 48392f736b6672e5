"""Recognition of plain text, which no rule changes, as most sentences of a novel are. It only saves time.

Everything that a rule of this package may change has to be excluded here; `tests/text/test_normalization.py` compares
plain text with the output of all rules. Each pattern begins with a set of characters, which `re` finds quickly.
"""

from __future__ import annotations

import re

from pipeline.text.normalization.english.abbreviations import ALWAYS
from pipeline.text.normalization.english.words import word_set

_PLAIN_QUOTES = str.maketrans("“”‘’", "\"\"''")
_OTHER_SIGN = re.compile(r"[^A-Za-z ,;:!?'\".-]")  # digits, symbols, other scripts
_ENDING = frozenset(
    short.encode()
    for short in [*ALWAYS, *(short.upper() for short in ALWAYS), *word_set("al MS Ms ms Sr St Dr ST DR Sts")]
)
_SHORT_WORDS = frozenset(b"Mr Mrs Ms Messrs Prof Profs Drs St Dr etc Etc vs Vs v".split())
_NUMBERED = re.compile(r"[ASCPVascpv](?:ct|cene|hapter|anto|ages?|ection|olume) [ivxl]{1,8}\b")
_CAPITALS = re.compile(r"[A-Z](?:[A-Z]|(?<![A-Za-z'].)(?<=[VXLCDM])(?![A-Za-z])|[a-z]* I(?![A-Za-z]))|I[ -]centur")
_UNTIDY = re.compile(r"[ ,;:!?.](?:(?<! ) ?[,;:!?.]|(?<= )[,;:!?.]|(?<=,)[A-Za-z])")
# Neither between letters nor a dash between words.
_LOOSE_HYPHEN = re.compile(r"-(?!(?<=[A-Za-z]-)[A-Za-z]|(?<=[A-Za-z,;!?\"'] -) [A-Za-z\"'])")
_BETWEEN_WORDS = bytes.maketrans(b",;:!?'\".-", b" " * 9)


def plain_text(text: str) -> str | None:
    """Return the spoken form of a plain text, in which only quotation marks and spaces change; None for other text.

    >>> print(plain_text("“It’s  late,” said she."))
    "It's late," said she.
    >>> plain_text("Mr. Hale"), plain_text("at 5"), plain_text("King James I")
    (None, None, None)
    """
    if not text.isascii():
        text = text.translate(_PLAIN_QUOTES)
        if not text.isascii():
            return None
    if not text.isprintable() or "  " in text or text[:1] == " " or text[-1:] == " ":
        text = " ".join(text.split())
    if _OTHER_SIGN.search(text):
        return None
    words = text.encode().translate(_BETWEEN_WORDS).split()
    if not _SHORT_WORDS.isdisjoint(words) or _has_full_stop_to_read(text, words):
        return None
    if _UNTIDY.search(text) or text[:1] in ",;:!?." or _CAPITALS.search(text) or _NUMBERED.search(text):
        return None if text else ""
    return None if "-" in text and _LOOSE_HYPHEN.search(text) else text


def _has_full_stop_to_read(text: str, words: list[bytes]) -> bool:
    """Return whether there is a full stop with a meaning besides the end of a sentence."""
    if "." not in text:
        return False
    core = text.rstrip("\"'")
    return "." in core[:-1] or (core.endswith(".") and (not words or words[-1] in _ENDING))
