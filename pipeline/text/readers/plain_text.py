"""Read plain text into blocks: paragraphs, verse, scene breaks, and headings that are marked.

`structure.chapters` finds the headings that are not marked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from pipeline.text.readers.books import Book, BookReader
from pipeline.text.readers.reader import InputFile
from pipeline.text.skip_reasons import Reason
from pipeline.text.structure.blocks import Block, Role
from pipeline.text.structure.chapters import find_structure
from pipeline.text.structure.front_matter import FrontMatter, read_plain_front_matter
from pipeline.text.structure.headings import HeadingKind, classify_heading, is_contents, without_page_number

_SCENE_LINE = re.compile(r"[ \t]*(?:[*#~=_•·⁂§+-][ \t]*)+|[ \t]*o0o[ \t]*", re.IGNORECASE)
_BRACKETED_SKIPS = (  # blocks in brackets, as Project Gutenberg writes them
    (re.compile(r"\[Illustration\b[^\]]*\]", re.IGNORECASE), Reason.ILLUSTRATION.value),
    (re.compile(r"\[(?:Sidenote|Side-note|Marginal note):[^\[\]]*\]", re.IGNORECASE), Reason.SIDENOTE.value),
    (re.compile(r"\[Transcriber['’]?s['’]? notes?[:.][^\[\]]*\]", re.IGNORECASE), Reason.GUTENBERG_NOTICE.value),
    (re.compile(r"\[(?:Pg|Page)\.? ?[\divxlc]+\]", re.IGNORECASE), Reason.PAGE_NUMBER.value),
)

_HASHES = re.compile(r"(#{1,6})[ \t]+(?=[^\s#])")
_EQUALS = re.compile(
    r"(?P<marks>={1,6})[ \t]+(?P<words>[^\s=].*?)(?P<closing>[ \t]+=+)?[ \t]*"
)  # headings of wikis and AsciiDoc
_UNDERLINE = re.compile(r"([=~_*^-])\1{2,}")
_WIDEST_VERSE = 65  # characters of a line
_NARROWEST_PAGE = 40  # characters of a line of wrapped prose
_MIN_FULL_LINES = 0.7  # share of the lines of wrapped prose with no room for the next word
_UNWRAPPED = 120  # characters; a text with many longer lines has one paragraph on each line
_PROSE_WIDTH = 45  # characters; where lines are shorter on average, indents do not begin paragraphs


@dataclass(frozen=True)
class Line:
    """One line without its end; `start` and `end` leave out the white space around it."""

    start: int
    end: int
    indent: int
    blank_lines: int  # before it


def read_plain_text(file: InputFile) -> Book:
    """Read a book from a plain text."""
    return _read_text(file.read_text())


@lru_cache(maxsize=1)  # a command reads its book twice: to check it, and to plan it
def _read_text(text: str) -> Book:
    front = read_plain_front_matter(text)
    blocks = find_structure(text, _blocks_between(text, front), front.title_page_end)
    return Book(text, blocks, front.title, front.author, skips=front.skips)


def _blocks_between(text: str, front: FrontMatter) -> list[Block]:
    """Return the blocks of a text, without the notices between the books that it was joined from."""
    blocks: list[Block] = []
    start = front.start
    for notice in front.skips:
        if start < notice.start < front.end:
            blocks += plain_blocks(text, start, notice.start)
            start = notice.end
    return [*blocks, *plain_blocks(text, start, front.end)]


def plain_blocks(text: str, start: int, end: int) -> list[Block]:
    """Return the blocks of `text[start:end]`. Headings without marks are TEXT like paragraphs."""
    lines = _lines(text, start, end)
    long = sum(line.end - line.start > _UNWRAPPED for line in lines)
    is_unwrapped = long * 10 >= len(lines)
    blocks: list[Block] = []
    group: list[Line] = []
    for line in [*lines, None]:
        if group and (line is None or line.blank_lines):
            blocks += _blocks_of_lines(text, group, is_unwrapped)
            group = []
        if line is not None:
            group.append(line)
    return blocks


def _lines(text: str, start: int, end: int) -> list[Line]:
    lines = []
    blank_lines = 0
    at = start
    for raw in text[start:end].split("\n"):
        stripped = raw.strip()
        if stripped:
            indent = len(raw) - len(raw.lstrip())
            lines.append(Line(at + indent, at + indent + len(stripped), indent, blank_lines))
            blank_lines = 0
        else:
            blank_lines += 1
        at += len(raw) + 1
    return lines


def _blocks_of_lines(text: str, lines: list[Line], is_unwrapped: bool) -> list[Block]:
    """Return the blocks of lines with no blank line between them."""
    if marked := _marked_heading(text, lines):
        heading, rest = marked
        return heading + (_blocks_of_lines(text, rest, is_unwrapped) if rest else [])
    strict = [_is_strict_heading(text[line.start : line.end]) for line in lines]
    first = text[lines[0].start : lines[0].end]
    if (len(lines) > 1 and is_contents(first)) or (sum(strict) >= 3 and sum(strict) * 2 > len(lines)):
        return [
            Block(lines[0].start, lines[-1].end, Role.SKIP, Reason.CONTENTS.value, blank_lines=lines[0].blank_lines)
        ]
    mean_width = sum(line.end - line.start for line in lines) / len(lines)
    least_indent = min(line.indent for line in lines)
    blocks: list[Block] = []
    is_open = False  # whether the next line continues the last block
    is_verse = not is_unwrapped and _is_verse(text, lines)
    for number, (line, is_heading) in enumerate(zip(lines, strict, strict=True)):
        words = text[line.start : line.end]
        is_mark = bool(_SCENE_LINE.fullmatch(words))
        is_indented = line.indent > least_indent and mean_width >= _PROSE_WIDTH
        if is_open and not (is_unwrapped or is_mark or is_indented):
            last = number
            continue
        if blocks:
            blocks[-1] = _extended_to(blocks[-1], lines[last], is_verse)
        is_first = not blocks
        blocks.append(Block(line.start, line.end, Role.SCENE if is_mark else Role.TEXT, blank_lines=line.blank_lines))
        last = number
        is_open = not is_mark and not (is_heading and is_first)
    blocks[-1] = _extended_to(blocks[-1], lines[last], is_verse)
    return [_with_skip_reason(text, block) for block in blocks]


def _extended_to(block: Block, last: Line, is_verse: bool) -> Block:
    """Return a block of several lines up to its last line."""
    return block if block.end == last.end else replace(block, end=last.end, keeps_lines=is_verse)


def _marked_heading(text: str, lines: list[Line]) -> tuple[list[Block], list[Line]] | None:
    """Return the blocks of an underlined heading, or one with # or =, and the lines below it; None: it is not one."""
    first = lines[0]
    words = text[first.start : first.end]
    if found := _HASHES.match(words):
        start = first.start + found.end()
        marks = Block(first.start, first.start + len(found[1]), Role.SKIP, Reason.MARKUP.value)
        heading = Block(start, first.end, level=len(found[1]), blank_lines=first.blank_lines)
        return [replace(marks, blank_lines=first.blank_lines), heading], lines[1:]
    if found := _EQUALS.fullmatch(words):
        start, end = (first.start + offset for offset in found.span("words"))
        heading = Block(start, end, level=len(found["marks"]), blank_lines=first.blank_lines)
        opening = Block(first.start, first.start + len(found["marks"]), Role.SKIP, Reason.MARKUP.value)
        closing = Block(first.end - len((found["closing"] or "").strip()), first.end, Role.SKIP, Reason.MARKUP.value)
        return [opening, heading, *([closing] if found["closing"] else [])], lines[1:]
    if len(lines) > 1 and len(words) <= _UNWRAPPED and words[-1] not in '.,;:"”':
        under = lines[1]
        length = under.end - under.start
        if _UNDERLINE.fullmatch(text, under.start, under.end) and len(words) * 0.5 <= length <= len(words) * 1.5 + 3:
            heading = Block(first.start, first.end, level=1, blank_lines=first.blank_lines)
            return [heading, Block(under.start, under.end, Role.SKIP, Reason.MARKUP.value)], lines[2:]
    return None


def _is_verse(text: str, lines: list[Line]) -> bool:
    """Return whether line ends are meant, as in verse and addresses, and do not come from wrapping."""
    if len(lines) < 2:
        return False
    widths = [line.end - line.start for line in lines]
    first_words = [len(text[line.start : line.end].split(None, 1)[0]) for line in lines[1:]]
    widest = max(widths)
    full = sum(width + 1 + word > widest for width, word in zip(widths, first_words, strict=False))
    return widest <= _WIDEST_VERSE and (widest < _NARROWEST_PAGE or full < _MIN_FULL_LINES * len(first_words))


def _with_skip_reason(text: str, block: Block) -> Block:
    words = text[block.start : block.end]
    for pattern, reason in _BRACKETED_SKIPS:
        if pattern.fullmatch(words):
            return replace(block, role=Role.SKIP, reason=reason)
    if block.role is Role.TEXT and not any(map(str.isalnum, words)):
        return replace(block, role=Role.SKIP, reason=Reason.SYMBOLS.value)
    return block


def _is_strict_heading(line: str) -> bool:
    found = classify_heading(without_page_number(line))
    return found is not None and found.kind in (HeadingKind.CHAPTER, HeadingKind.PART)


TXT = BookReader((".txt", ".text"), read_plain_text)
