"""Read Markdown into blocks: paragraphs, headings, and markup of whole blocks, which is left out.

Markup inside a paragraph (emphasis, links) is part of its text; `strip_markup` leaves it out of the spoken form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from pipeline.text.readers.books import Book, BookReader
from pipeline.text.readers.reader import InputFile
from pipeline.text.skip_reasons import Reason
from pipeline.text.structure.blocks import Block, Role
from pipeline.text.structure.chapters import find_structure
from pipeline.text.structure.front_matter import read_markdown_front_matter
from pipeline.text.structure.gutenberg import skip_notices
from pipeline.text.structure.heading_tree import assign_roles, leading_title

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,}|\$\$(?!.*\$\$))")
_INDENTED = re.compile(r"(?: {4}| {0,3}\t)[ \t]*\S")
_COMMENTS = {"<!--": "-->", "%%": "%%"}  # opening and closing marks
_COMMENT_START = re.compile(r"\s*(<!--|%%)")
_HEADING = re.compile(
    r" {0,3}(?P<marks>#{1,6})(?:[ \t]+(?P<words>.*?))??(?P<closing>(?:[ \t]+#+)?(?:[ \t]*\{[^{}]*\})?)[ \t]*"
)
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*")
_RULE = re.compile(r" {0,3}(?:(?:\\?\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,}|#|(?:[~•·⁂§][ \t]*)+)[ \t]*")
_BULLET = re.compile(r"[ \t]*(?P<mark>[-*+]|#\.|\(@[\w-]*\))[ \t]+(?:\[[ xX]\][ \t]+)?(?=\S)")
_NUMBERED = re.compile(r"[ \t]*\d{1,3}[.)][ \t]+\S")
_ANCHOR = re.compile(r"[ \t]*(?:\[\]\{[^{}]*\}[ \t]*)+")  # anchors, as Pandoc writes those of Word
_QUOTE = re.compile(r"[ \t]{0,3}(?:>[ \t]*)+(?:\[!\w[\w-]*\][+-]?[ \t]*)?")  # also the kind of a call-out: > [!NOTE]
_LINK_TO_HERE = re.compile(
    r"[ \t]*(?:[-*+]|\d+[.)])[ \t]+\[[^\]]*\]\((?:[\w./%-]*#|[\w./%-]+\.(?:md|x?html?)\b)[^)]*\)[ \t]*"
)
_NOTE = re.compile(r" {0,3}(?:\[\^[^\]]+\]:|\[\\?\[\w{1,4}\\?\]\]\(#_?(?:ftn|edn)ref\w*\)).*")
_DEFINITION = re.compile(r" {0,3}:[ \t]+(?=\S)")
_DELIMITERS = re.compile(r"[ \t]*\|?[ \t]*:?-{2,}:?[ \t]*(?:\|[ \t]*:?-{2,}:?[ \t]*)*\|?[ \t]*")
_COLUMNS = re.compile(
    r"[ \t]*-{2,}(?:[ \t]+-{2,})+[ \t]*"
)  # the line below the head of a table in Pandoc's simple style
_TABLE_EDGE = re.compile(r"[ \t]*-{10,}[ \t]*")
_GAP = re.compile(r"\S[ \t]{2,}\S")  # between two columns
_MAX_HEAD_LINES, _MAX_TABLE_LINES = 20, 300  # of a table between edges
_WHOLE_LINE_SKIPS = (
    (re.compile(r"[ \t]*\|.*\|[ \t]*"), Reason.TABLE),
    (re.compile(r"[ \t]*(?:!(?:\[[^\]]*\]\([^)]*\)|\[\[[^\]]*\]\])(?:\{[^{}]*\})?[ \t]*)+"), Reason.IMAGE),
    (_NOTE, Reason.FOOTNOTE),
    (re.compile(r" {0,3}\*?\[[^\]]+\]:[ \t]*\S.*"), Reason.LINK_TARGET),
    (_LINK_TO_HERE, Reason.CONTENTS),
    (re.compile(r"[ \t]*(?:\[\[?_?TOC_?\]\]?|\$\{toc\}|\{:toc\})[ \t]*", re.I), Reason.CONTENTS),
    (re.compile(r"[ \t]*\$\$.*\$\$[ \t]*"), Reason.FORMULA),
    (re.compile(r"[ \t]*(?:</?[a-zA-Z][^<>]*>[ \t]*)+"), Reason.MARKUP),
    # Fenced divs, attributes, commands of TeX, templates.
    (re.compile(r"[ \t]*(?::{3,}.*|\{:?[^{}]*\}|\\[a-zA-Z]+(?:\{[^{}]*\})?|\{%.*%\}|\{\{.*\}\})[ \t]*"), Reason.MARKUP),
)
_MAX_CODE_LINES = 0.2  # share of indented lines; with more, the indents are those of paragraphs
_LONGEST_SETEXT = 90  # characters; below a longer paragraph, "---" is a scene break and not the underline of a heading


def read_markdown(file: InputFile) -> Book:
    """Read a book from Markdown."""
    return _read_text(file.read_text())


@lru_cache(maxsize=1)  # a command reads its book twice: to check it, and to plan it
def _read_text(text: str) -> Book:
    front = read_markdown_front_matter(text)
    blocks = skip_notices(text, markdown_blocks(text, front.start))
    title = front.title or leading_title(text, blocks)
    if not any(block.level for block in blocks):  # plain text with the ending of Markdown
        blocks = find_structure(text, blocks)
    return Book(text, blocks, title, front.author, front.language, front.skips)


def markdown_blocks(text: str, start: int) -> list[Block]:
    """Return the blocks of `text[start:]`, with the level and role of each heading."""
    lines = list(_lines(text, start))
    tables = _tables([line for _, line in lines])
    parser = _BlockParser(text, has_indented_code=_has_indented_code([line for _, line in lines]))
    for number, (line_start, line) in enumerate(lines):
        if number in tables and not parser.fence:
            parser.skip(line_start, line, Reason.TABLE)
        else:
            parser.read(line_start, line)
    return assign_roles(text, parser.blocks)


def _lines(text: str, start: int) -> Iterator[tuple[int, str]]:
    for line in text[start:].split("\n"):
        yield start, line
        start += len(line) + 1


def _tables(lines: list[str]) -> set[int]:
    """Return the numbers of all lines that belong to tables."""
    found: set[int] = set()
    for i in range(1, len(lines)):
        if i in found or "|" not in lines[i - 1] or "|" not in lines[i] or not _DELIMITERS.fullmatch(lines[i]):
            continue
        end = i + 1
        while end < len(lines) and "|" in lines[end]:
            end += 1
        found |= set(range(i - 1, end))
    for i, line in enumerate(lines):
        if i not in found and _COLUMNS.fullmatch(line):
            found |= set(_table_of_columns(lines, i))
    return found


def _table_of_columns(lines: list[str], at: int) -> range:
    """Return the lines of a table without bars around `at`, the line of dashes that shows its columns.

    The table has a head of one line, or a head of more lines between two lines of dashes, or no head and a second line
    like `at` at its end. Without any of these the result is empty, and the line is a scene break.
    """
    if at + 1 >= len(lines) or not lines[at + 1].strip():
        return range(0)
    start = at
    while start and lines[start - 1].strip() and at - start < _MAX_HEAD_LINES:
        start -= 1
    if start < at and _TABLE_EDGE.fullmatch(lines[start]):
        behind = range(at + 1, min(len(lines), at + _MAX_TABLE_LINES))
        last = next((i for i in behind if _TABLE_EDGE.fullmatch(lines[i])), None)
        return range(start, last + 1) if last is not None else range(0)
    end = next((i for i in range(at + 1, len(lines)) if not lines[i].strip()), len(lines))
    has_head = start == at - 1 and bool(_GAP.search(lines[start].strip()))
    has_foot = start == at and end > at + 2 and bool(_COLUMNS.fullmatch(lines[end - 1]))
    return range(start, end) if has_head or has_foot else range(0)


def _has_indented_code(lines: list[str]) -> bool:
    words = [line for line in lines if line.strip()]
    return sum(bool(_INDENTED.match(line)) for line in words) <= _MAX_CODE_LINES * len(words)


class _BlockParser:
    """Reads line by line; while `is_open`, the next line continues the last block."""

    def __init__(self, text: str, *, has_indented_code: bool) -> None:
        self.text = text
        self.has_indented_code = has_indented_code
        self.in_list = False  # where indented lines continue an item
        self.in_note = False
        self.blocks: list[Block] = []
        self.is_open = False
        self.fence = ""  # the mark that opened a block of code or a formula
        self.comment_end = ""  # the mark that closes the open comment

    def read(self, start: int, line: str) -> None:
        """Read the next line."""
        if self._read_fenced(start, line) or self._continue_block(start, line) or self._read_single_line(start, line):
            return
        quote = _QUOTE.match(line) or _ANCHOR.match(line)
        offset = quote.end() if quote else 0
        bullet = _BULLET.match(line, offset)
        if bullet:
            offset = bullet.end()
        elif definition := _DEFINITION.match(line, offset):
            bullet, offset = definition, definition.end()
        is_item = bool(bullet or _NUMBERED.match(line, offset))
        if is_item or not line[offset:].strip():
            self.is_open = False
        if line.strip():
            self.in_list = is_item or (self.in_list and line[:1].isspace())
        if self.is_open:  # quotation marks (>) inside a paragraph are left to `strip_markup`
            self._extend(start, line)
            return
        self.skip(start, line[:offset], Reason.MARKUP)
        self._add(start + offset, line[offset:], Role.TEXT)
        # A line of symbols is left out; the line below it is a block of its own.
        self.is_open = bool(line[offset:].strip()) and self.blocks[-1].role is Role.TEXT

    def _continue_block(self, start: int, line: str) -> bool:
        """Read a further line of a note, or a line of indented code; return whether it is one."""
        if not line.strip():
            return False
        is_indented = bool(_INDENTED.match(line))
        before = self.blocks[-1].end if self.blocks else start
        is_next = self.text.count("\n", before, start) == 1
        if self.in_note and (is_indented or (is_next and not any(p.fullmatch(line) for p, _ in _WHOLE_LINE_SKIPS))):
            self.skip(start, line, Reason.FOOTNOTE)
            return True
        self.in_note = bool(_NOTE.fullmatch(line))
        is_code = self.has_indented_code and not self.is_open and not self.in_list
        if is_indented and is_code and not _LINK_TO_HERE.fullmatch(line):
            self.skip(start, line, Reason.CODE)
            return True
        return False

    def _read_fenced(self, start: int, line: str) -> bool:
        """Read a line of a block of code, a formula or a comment, fences included; return whether it is one."""
        found = _FENCE.match(line)
        if self.fence:
            self.skip(start, line, Reason.FORMULA if self.fence == "$$" else Reason.CODE)
            if found and found[1].startswith(self.fence):
                self.fence = ""
            return True
        if found:
            self.fence = found[1]
            self.skip(start, line, Reason.CODE)
            return True
        return self._read_comments(start, line)

    def _read_comments(self, start: int, line: str) -> bool:
        """Read the comments at the beginning of a line, and the text after them; return whether there are any."""
        at = 0
        while True:
            found = None if self.comment_end else _COMMENT_START.match(line, at)
            if not (self.comment_end or found):
                break
            if found:
                self.comment_end = _COMMENTS[found[1]]
            closed = line.find(self.comment_end, found.end() if found else at)
            if closed < 0:
                self.skip(start + at, line[at:], Reason.COMMENT)
                return True
            end = closed + len(self.comment_end)
            self.skip(start + at, line[at:end], Reason.COMMENT)
            at, self.comment_end = end, ""
        if at and line[at:].strip():
            self.read(start + at, line[at:])
        return at > 0

    def _read_single_line(self, start: int, line: str) -> bool:
        """Read a line that is a block of its own (heading, rule, image ...); return whether it is one."""
        if self._read_underline(start, line):
            return True
        if _RULE.fullmatch(line):
            self._add(start, line, Role.SCENE)
            return True
        if (heading := _HEADING.fullmatch(line)) and (heading["words"] or "").strip():
            words_start, words_end = heading.span("words")
            self.skip(start, line[:words_start], Reason.MARKUP)
            self._add(start + words_start, line[words_start:words_end], Role.SECTION, level=len(heading["marks"]))
            self.skip(start + words_end, line[words_end:], Reason.MARKUP)
            return True
        for pattern, reason in _WHOLE_LINE_SKIPS:
            if pattern.fullmatch(line):
                self.skip(start, line, reason)
                return True
        return False

    def _read_underline(self, start: int, line: str) -> bool:
        found = _SETEXT.fullmatch(line)
        if not (found and self.is_open) or (before := self.blocks[-1]).end - before.start > _LONGEST_SETEXT:
            return False
        level = 1 if found[1].startswith("=") else 2
        self.blocks[-1] = replace(before, role=Role.SECTION, level=level)
        self.skip(start, line, Reason.MARKUP)
        return True

    def _add(self, start: int, words: str, role: Role, level: int = 0, reason: str = "") -> None:
        self.is_open = False
        if stripped := words.strip():
            start += len(words) - len(words.lstrip())
            if role is Role.TEXT and not any(map(str.isalnum, stripped)):
                role, reason = Role.SKIP, Reason.SYMBOLS
            self.blocks.append(Block(start, start + len(stripped), role, reason, level))

    def _extend(self, start: int, line: str) -> None:
        self.blocks[-1] = replace(self.blocks[-1], end=start + len(line.rstrip()))

    def skip(self, start: int, words: str, reason: str) -> None:
        """Add a skip, or extend the last one of the same reason: lines of code are one skip together."""
        last = self.blocks[-1] if self.blocks else None
        if last and last.role is Role.SKIP and last.reason == reason != Reason.MARKUP and words.strip():
            self._extend(start, words)
            self.is_open = False
        else:
            self._add(start, words, Role.SKIP, reason=reason)


MARKDOWN = BookReader((".md", ".markdown"), read_markdown)
