"""The notices of Project Gutenberg around a book: its header, and the licence behind the last word.

Plain texts, Markdown and EPUBs have the same lines. Several books can be joined in one file: each has its own notices.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pipeline.text.skip_reasons import Reason
from pipeline.text.structure.blocks import Block, Role

_STARS = r"(?:\\?\*){3} ?"  # Markdown may have a backslash before each
_START = re.compile(
    rf"^[ \t]*{_STARS}START OF (?:THE|THIS) PROJECT GUTENBERG.{{0,300}}?{_STARS}[ \t]*$", re.I | re.M | re.S
)
_END = re.compile(
    rf"^[ \t]*(?:{_STARS}END OF (?:THE|THIS) PROJECT GUTENBERG|End of (?:the |this )?Project Gutenberg)", re.I | re.M
)
_CREDITS = re.compile(
    r"(?:\s*(?:Produced by|E-?text prepared by|\[?Transcribed |Scanned (?:and proofed )?by|HTML version by|"
    r"Updated editions? |This (?:e-?text|e-?book|file|book) was (?:produced|prepared))(?:.+(?:\n|\Z))+)+",
    re.I,
)
_HEADER_LINE = re.compile(  # what the header says where the line START was lost
    r"(?:the )?project gutenberg(?:['’]s| e-?(?:book|text) of\b)|this e-?(?:book|text) is for the use of anyone", re.I
)


@dataclass(frozen=True)
class Notice:
    """A notice is `text[start:end]`."""

    start: int
    end: int
    reason: Reason


def find_notices(text: str) -> list[Notice]:
    """Return the notices of a text in order: the header of each book in it, and what follows its last word.

    A header ends with the line "*** START OF ..." and the credits below it ("Produced by ..."); a footer begins with
    "*** END OF ..." or "End of Project Gutenberg's ...". A notice between two books is the footer of the first.
    """
    notices = []
    end_of_notice = 0
    header = _START.search(text)
    if header is not None:
        end_of_notice = _end_of_header(text, header)
        notices.append(Notice(0, end_of_notice, Reason.GUTENBERG_HEADER))
    while footer := _END.search(text, end_of_notice):
        header = _START.search(text, footer.end())
        end_of_notice = len(text) if header is None else _end_of_header(text, header)
        notices.append(Notice(footer.start(), end_of_notice, Reason.GUTENBERG_FOOTER))
    return notices


def is_header_line(line: str) -> bool:
    """Return whether a paragraph at the beginning of a book is of the header, though the line START is missing."""
    return bool(_HEADER_LINE.match(line))


def skip_notices(text: str, blocks: Sequence[Block]) -> list[Block]:
    """Return the blocks with those, and parts of those, that stand in a notice left out."""
    notices = find_notices(text)
    return [part for block in blocks for part in _parts(text, block, notices)] if notices else [*blocks]


def _parts(text: str, block: Block, notices: Sequence[Notice]) -> Iterator[Block]:
    """Yield a block in parts: those in notices, and those between."""
    at = block.start
    for notice in notices if block.role is not Role.SKIP else ():
        if notice.end <= at or notice.start >= block.end:
            continue
        yield from _part(text, block, at, notice.start)
        for skipped in _part(text, block, max(at, notice.start), min(block.end, notice.end)):
            yield replace(skipped, role=Role.SKIP, reason=notice.reason.value, level=0, title="")
        at = min(block.end, notice.end)
    yield from _part(text, block, at, block.end)


def _part(text: str, block: Block, start: int, end: int) -> Iterator[Block]:
    words = text[start:end] if start < end else ""
    if (start, end) == (block.start, block.end):
        yield block
    elif words.strip():
        yield replace(block, start=end - len(words.lstrip()), end=start + len(words.rstrip()))


def _end_of_header(text: str, start_line: re.Match[str]) -> int:
    credits = _CREDITS.match(text, start_line.end())
    return credits.end() if credits else start_line.end()
