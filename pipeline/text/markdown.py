"""Blocks of a Markdown text: which characters are markup of a whole block, which lines are headings.

Marks inside a paragraph (emphasis, links) stay in it, as part of the text as written; `wording` leaves them unspoken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from pipeline.text.blocks import Block, Role
from pipeline.text.levels import with_roles

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}(?P<marks>#{1,6})(?:[ \t]+(?P<words>.*?))??(?P<closing>[ \t]+#+)?[ \t]*")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*")
_RULE = re.compile(r" {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,}|#|(?:[~•·⁂§][ \t]*)+)[ \t]*")
_BULLET = re.compile(r"[ \t]*(?P<mark>[-*+])[ \t]+(?:\[[ xX]\][ \t]+)?(?=\S)")
_NUMBERED = re.compile(r"[ \t]*\d{1,3}[.)][ \t]+\S")
_QUOTE = re.compile(r"[ \t]{0,3}(?:>[ \t]*)+")
_LINK_TO_HERE = re.compile(r"[ \t]*(?:[-*+]|\d+[.)])[ \t]+\[[^\]]*\]\(#[^)]*\)[ \t]*")
_WHOLE_LINE_SKIPS = (
    (re.compile(r"[ \t]*\|.*\|[ \t]*"), "table"),
    (re.compile(r"[ \t]*(?:!\[[^\]]*\]\([^)]*\)[ \t]*)+"), "image"),
    (re.compile(r" {0,3}\[\^[^\]]+\]:.*"), "footnote"),
    (re.compile(r" {0,3}\[[^\]]+\]:[ \t]*\S.*"), "link target"),
    (_LINK_TO_HERE, "table of contents"),
    (re.compile(r"[ \t]*</?[a-zA-Z][^<>]*>[ \t]*"), "markup"),
)
_LONGEST_SETEXT = 90  # characters: a longer paragraph above "---" is no heading, the line is a scene break


def markdown_blocks(text: str, start: int) -> list[Block]:
    """The blocks of `text[start:]`, headings with their level and the role that it means in this text."""
    reader = _Reader(text)
    for line_start, line in _lines(text, start):
        reader.read(line_start, line)
    return with_roles(text, reader.blocks)


def _lines(text: str, start: int) -> Iterator[tuple[int, str]]:
    for line in text[start:].split("\n"):
        yield start, line
        start += len(line) + 1


class _Reader:
    """Reads line by line; `is_open` says that the next line goes on with the last block."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.blocks: list[Block] = []
        self.is_open = False
        self.fence = ""  # the marks that opened a block of code
        self.in_comment = False

    def read(self, start: int, line: str) -> None:
        if self._inside(start, line) or self._leaf(start, line):
            return
        quote = _QUOTE.match(line)
        offset = quote.end() if quote else 0
        bullet = _BULLET.match(line, offset)
        if bullet:
            offset = bullet.end()
        if bullet or _NUMBERED.match(line, offset) or not line[offset:].strip():
            self.is_open = False
        if self.is_open:  # a mark of quotation inside a paragraph is left to `wording`
            self._extend(start, line)
            return
        self._skip(start, line[:offset], "markup")
        self._add(start + offset, line[offset:], Role.TEXT)
        self.is_open = bool(line[offset:].strip())

    def _inside(self, start: int, line: str) -> bool:
        """Reads a line of a block of code or of a comment; also the first and the last of one."""
        found = _FENCE.match(line)
        if self.fence:
            self._skip(start, line, "code")
            if found and found[1].startswith(self.fence):
                self.fence = ""
            return True
        if found:
            self.fence = found[1]
            self._skip(start, line, "code")
            return True
        if self.in_comment or line.lstrip().startswith("<!--"):
            closed = line.find("-->")
            self.in_comment = closed < 0
            if closed >= 0 and line[closed + 3 :].strip():
                self._skip(start, line[: closed + 3], "comment")
                self.read(start + closed + 3, line[closed + 3 :])
            else:
                self._skip(start, line, "comment")
            return True
        return False

    def _leaf(self, start: int, line: str) -> bool:
        """Reads a line that is a block of its own: a heading, a rule, an image ..."""
        if self._underline(start, line):
            return True
        if _RULE.fullmatch(line):
            self._add(start, line, Role.SCENE)
            return True
        if (heading := _HEADING.fullmatch(line)) and (heading["words"] or "").strip():
            words_start, words_end = heading.span("words")
            self._skip(start, line[:words_start], "markup")
            self._add(start + words_start, line[words_start:words_end], Role.SECTION, level=len(heading["marks"]))
            self._skip(start + words_end, line[words_end:], "markup")
            return True
        for pattern, reason in _WHOLE_LINE_SKIPS:
            if pattern.fullmatch(line):
                self._skip(start, line, reason)
                return True
        return False

    def _underline(self, start: int, line: str) -> bool:
        found = _SETEXT.fullmatch(line)
        if not (found and self.is_open) or (before := self.blocks[-1]).end - before.start > _LONGEST_SETEXT:
            return False
        level = 1 if found[1].startswith("=") else 2
        self.blocks[-1] = replace(before, role=Role.SECTION, level=level)
        self._skip(start, line, "markup")
        return True

    def _add(self, start: int, words: str, role: Role, level: int = 0, reason: str = "") -> None:
        self.is_open = False
        if stripped := words.strip():
            start += len(words) - len(words.lstrip())
            if role is Role.TEXT and not any(map(str.isalnum, stripped)):
                role, reason = Role.SKIP, "only symbols"
            self.blocks.append(Block(start, start + len(stripped), role, reason, level))

    def _extend(self, start: int, line: str) -> None:
        self.blocks[-1] = replace(self.blocks[-1], end=start + len(line.rstrip()))

    def _skip(self, start: int, words: str, reason: str) -> None:
        """Adds a skip, or goes on with the last one: lines of code are one skip together."""
        last = self.blocks[-1] if self.blocks else None
        if last and last.role is Role.SKIP and last.reason == reason != "markup" and words.strip():
            self._extend(start, words)
            self.is_open = False
        else:
            self._add(start, words, Role.SKIP, reason=reason)
