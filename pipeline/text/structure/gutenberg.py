"""The notices of Project Gutenberg around a book: its header, and the licence behind the last word.

Plain texts and EPUBs have the same lines. Several books can be joined in one file: each has its own notices.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.text.skip_reasons import Reason

_START = re.compile(r"^\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG.{0,300}?\*\*\*[ \t]*$", re.I | re.M | re.S)
_END = re.compile(r"^(?:\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG|End of (?:the )?Project Gutenberg)", re.I | re.M)
_CREDIT = re.compile(r"\s*(?:Produced by|E-text prepared by|\[?Transcribed )(?:.+\n)*.+(?:\n|\Z)", re.I)
_HEADER_LINE = re.compile(  # what the header says where the line START was lost
    r"(?:the )?project gutenberg(?:['’]s| e-?(?:book|text) of\b)|this e-?(?:book|text) is for the use of anyone", re.I
)


@dataclass(frozen=True)
class Notice:
    """A notice is `text[start:end]`."""

    start: int
    end: int
    reason: Reason


def find_notices(text: str) -> Iterator[Notice]:
    """Yield the notices of a text in order: the header of each book in it, and what follows its last word.

    A notice that follows one book and precedes another is the footer of the first.
    """
    end_of_notice = 0
    header = _START.search(text)
    if header is not None:
        end_of_notice = _end_of_header(text, header)
        yield Notice(0, end_of_notice, Reason.GUTENBERG_HEADER)
    while footer := _END.search(text, end_of_notice):
        header = _START.search(text, footer.end())
        end_of_notice = len(text) if header is None else _end_of_header(text, header)
        yield Notice(footer.start(), end_of_notice, Reason.GUTENBERG_FOOTER)


def is_header_line(line: str) -> bool:
    """Return whether a paragraph at the beginning of a book is of the header, though it lacks the line START."""
    return bool(_HEADER_LINE.match(line))


def _end_of_header(text: str, start_line: re.Match[str]) -> int:
    credit = _CREDIT.match(text, start_line.end())
    return credit.end() if credit else start_line.end()
