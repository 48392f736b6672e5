"""Chapters, paragraphs and scenes of a plain text.

It reads lines into blocks (paragraphs, headings, scene marks, tables of contents); `blocks.assemble` makes chapters of
them. Which lines can be headings is known to `headings`; title pages and the frame of a library to `frontmatter`.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise

from pipeline.text.blocks import Block, Role
from pipeline.text.headings import (
    Candidate,
    Kind,
    counting,
    has_page,
    is_contents,
    is_subtitle,
    key,
    recognise,
    without_page,
)

_SCENE_LINE = re.compile(r"[ \t]*(?:[*#~=_•·⁂§+-][ \t]*)+|[ \t]*o0o[ \t]*", re.IGNORECASE)
_LEFT_OUT = (  # what Project Gutenberg writes in brackets, when a block is nothing else
    (re.compile(r"\[Illustration\b[^\]]*\]", re.IGNORECASE), "illustration"),
    (re.compile(r"\[(?:Pg|Page)\.? ?[\divxlc]+\]", re.IGNORECASE), "page number"),
)
_NOTES = re.compile(r"(?:\[Footnote\b(?:[^\[\]]|\[[^\[\]]*\])*\]\s*)+")
_AROUND_TITLE = re.compile(r"^(?:chapter )?(?:\d+|[ivxlc]+) | (?:\d+|[ivxlc]+)$")  # in the key of an entry

_LONGEST_NOTE = 10  # blocks
_WIDE = 3  # blank lines before a line in ALL CAPS that make it a chapter of its own, whatever the others are called
_UNWRAPPED = 120  # characters: a text with many longer lines has one paragraph on each line
_PROSE_WIDTH = 45  # characters: lines that are shorter on average are verse or a list, whatever their indents


@dataclass(frozen=True)
class Line:
    """One line without its end; `start` and `end` leave out the white space around it."""

    start: int
    end: int
    indent: int
    blank_lines: int  # before it


def plain_blocks(text: str, start: int, end: int) -> list[Block]:
    """The blocks of `text[start:end]`, headings not yet told from paragraphs."""
    lines = _lines(text, start, end)
    long = sum(line.end - line.start > _UNWRAPPED for line in lines)
    is_unwrapped = long * 10 >= len(lines)
    blocks: list[Block] = []
    run: list[Line] = []
    for line in [*lines, None]:
        if run and (line is None or line.blank_lines):
            blocks += _run_blocks(text, run, is_unwrapped)
            run = []
        if line is not None:
            run.append(line)
    return blocks


def find_structure(text: str, blocks: list[Block], title_page_end: int = 0) -> list[Block]:
    """Gives each block of a book its role: headings (none before `title_page_end`), lists of contents, scene breaks."""
    blocks = _skip_contents(text, _skip_notes(text, blocks))
    candidates = {
        i: found
        for i, block in enumerate(blocks)
        if block.start >= title_page_end and (found := _candidate(text, block))
    }
    candidates = _that_count(candidates)
    for i in _repeated_later(text, blocks, candidates):
        blocks[i] = replace(blocks[i], role=Role.SKIP, reason="table of contents")
        del candidates[i]
    for i in _listed(candidates):
        del candidates[i]
    roles = _roles(blocks, candidates)
    bare = {i for i in roles if candidates[i].is_bare}
    return _mark_wide_gaps(_with_subtitles(text, blocks, roles, bare))


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


def _run_blocks(text: str, run: list[Line], is_unwrapped: bool) -> list[Block]:
    """The blocks of lines with no blank line between them."""
    strict = [_is_strict_heading(text[line.start : line.end]) for line in run]
    first = text[run[0].start : run[0].end]
    if (len(run) > 1 and is_contents(first)) or (sum(strict) >= 3 and sum(strict) * 2 > len(run)):
        return [Block(run[0].start, run[-1].end, Role.SKIP, "table of contents", blank_lines=run[0].blank_lines)]
    mean_width = sum(line.end - line.start for line in run) / len(run)
    least_indent = min(line.indent for line in run)
    blocks: list[Block] = []
    is_open = False  # whether the next line goes on with the last block
    for line, is_heading in zip(run, strict, strict=True):
        words = text[line.start : line.end]
        is_mark = bool(_SCENE_LINE.fullmatch(words))
        is_indented = line.indent > least_indent and mean_width >= _PROSE_WIDTH
        if is_open and not (is_unwrapped or is_mark or is_indented):
            blocks[-1] = replace(blocks[-1], end=line.end)
            continue
        is_first = not blocks
        blocks.append(Block(line.start, line.end, blank_lines=line.blank_lines))
        if is_mark:
            blocks[-1] = replace(blocks[-1], role=Role.SCENE)
        is_open = not is_mark and not (is_heading and is_first)
    return [_judged(text, block) for block in blocks]


def _judged(text: str, block: Block) -> Block:
    words = text[block.start : block.end]
    for pattern, reason in _LEFT_OUT:
        if pattern.fullmatch(words):
            return replace(block, role=Role.SKIP, reason=reason)
    if block.role is Role.TEXT and not any(map(str.isalnum, words)):
        return replace(block, role=Role.SKIP, reason="only symbols")
    return block


def _is_strict_heading(line: str) -> bool:
    found = recognise(without_page(line))
    return found is not None and found.kind in (Kind.CHAPTER, Kind.PART)


def _candidate(text: str, block: Block) -> Candidate | None:
    """A heading stands alone: a block of one line, or of two where the second is the title."""
    if block.role is not Role.TEXT:
        return None
    first, *rest = text[block.start : block.end].split("\n")
    found = recognise(first)
    if found is None or not rest:
        return found
    together = "\n".join(line.strip() for line in rest)
    if found.kind is Kind.CAPS:
        return found if len(rest) == 1 and together.isupper() else None
    return found if is_subtitle(together) else None


def _that_count(candidates: dict[int, Candidate]) -> dict[int, Candidate]:
    """Leaves out numerals that do not count 1, 2, 3."""
    kept = dict(candidates)
    for kind in (Kind.NUMERAL, Kind.TITLED_NUMERAL):
        places = [i for i, found in candidates.items() if found.kind is kind]
        for i, counts in zip(places, counting([candidates[i].number or 0 for i in places]), strict=True):
            if not counts:
                del kept[i]
    return kept


def _skip_notes(text: str, blocks: list[Block]) -> list[Block]:
    """Skips notes as Project Gutenberg writes them: in brackets, which may close some paragraphs later."""
    blocks = list(blocks)
    for first, block in enumerate(blocks):
        if not text.startswith("[Footnote", block.start):
            continue
        for until in range(first + 1, min(first + _LONGEST_NOTE, len(blocks)) + 1):
            if _NOTES.fullmatch(text, block.start, blocks[until - 1].end):
                blocks[first:until] = [replace(each, role=Role.SKIP, reason="note") for each in blocks[first:until]]
    return blocks


def _skip_contents(text: str, blocks: list[Block]) -> list[Block]:
    """Skips each list of contents: from its title to where its first entries come again, as headings of the book.

    A list with page numbers ends with the last of them at least: its entries may not come again before the first prose,
    which can be a preface, or not as they are, where the book has "I", "THE FOX" for "I. THE FOX   15".
    """
    blocks = list(blocks)
    for first, block in enumerate(blocks):
        lines = text[block.start : block.end].split("\n")
        if not is_contents(lines[0]) or block.role is Role.SCENE:
            continue
        end = _end_of_pages(text, blocks, first)
        prose = next((i for i in range(end, len(blocks)) if _is_prose(text, blocks[i])), len(blocks))
        for i in range(first, max(end, _end_of_contents(text, blocks, first, prose))):
            blocks[i] = replace(blocks[i], role=Role.SKIP, reason="table of contents")
    return blocks


def _is_prose(text: str, block: Block) -> bool:
    words = text[block.start : block.end]
    lines = words.split("\n")
    if block.role is not Role.TEXT or any(map(recognise, lines)):
        return False
    return len(words) > _UNWRAPPED or (len(lines) > 1 and words[-1] in ".!?:;,\"'”’—-")


def _end_of_pages(text: str, blocks: list[Block], first: int) -> int:
    """The block behind the entries with page numbers of a list that begins at `first`; one such line is no list.

    Verse has its numbers in a column too, and so have a recipe and the head of a letter. So it ends before the first
    heading of the book, and where the numbers fall, if they do not begin again in another part.
    """
    end = first + 1
    entries: list[str] = []
    last_page = 0
    for i in range(first, len(blocks)):
        lines = text[blocks[i].start : blocks[i].end].split("\n")
        paged = [line for line in lines if has_page(line)]
        if paged and (has_page(lines[-1]) or len(paged) * 2 > len(lines)):  # an entry may go over several lines
            numbers = [int(page[0]) for line in paged if (page := re.search(r"\d+$", line))]
            falls = sum(after < before for before, after in pairwise([last_page, *numbers]))
            if falls * 4 > len(numbers):
                break
            last_page = [last_page, *numbers][-1]
            entries += map(key, paged)
            end = i + 1
        elif i > first and (_is_prose(text, blocks[i]) or (entries and _begins_book(text, blocks, i, entries))):
            break
        elif (found := recognise(lines[0])) and found.kind is Kind.PART:
            last_page = 0
    return end if len(entries) > 1 else first + 1


def _begins_book(text: str, blocks: list[Block], place: int, entries: list[str]) -> bool:
    """Whether a line below `entries` is the book's own heading: one of them, or a first one that does not come again.

    In a list "Chapter 1" comes again before any prose, a part at any place; behind prose it is that of the next part.
    """
    line, *later = [text[block.start : block.end].split("\n")[0] for block in blocks[place:]]
    found = recognise(line)
    if any(_is_same_heading(entry, key(line)) or _AROUND_TITLE.sub("", entry) == key(line) for entry in entries):
        return True
    if found is None or found.number not in (None, 1):
        return False
    if found.kind is not Kind.PART:
        later = later[: next((i for i, each in enumerate(blocks[place + 1 :]) if _is_prose(text, each)), None)]
    return not any(_is_same_heading(key(line), key(each)) for each in later)


def _end_of_contents(text: str, blocks: list[Block], first: int, prose: int) -> int:
    """The block behind a list of contents that begins at `first`, before the first `prose`.

    Numbers of chapters may come again inside the list, once in each part; so it is the last block that counts, and the
    earliest entry that has one.
    """
    keys = [[key(line) for line in text[block.start : block.end].split("\n")] for block in blocks[first:prose]]
    for at, entries in enumerate(keys):
        for entry in entries[0 if at else 1 :]:
            again = [i for i in range(at + 1, len(keys)) if _is_same_heading(entry, keys[i][0])]
            if again:
                return first + again[-1]
    return first + 1


def _is_same_heading(entry: str, heading: str) -> bool:
    """Whether an entry of a list of contents means a heading: either may also have the title, or a page number."""
    if entry == heading:
        return bool(entry)
    shorter, longer = sorted((entry, heading), key=len)
    return " " in shorter and longer.startswith(f"{shorter} ")


def _repeated_later(text: str, blocks: list[Block], candidates: dict[int, Candidate]) -> list[int]:
    """Headings of a table of contents without a title: three or more in a row, each of which comes again."""
    keys = {i: key(text[blocks[i].start : blocks[i].end].split("\n")[0]) for i in candidates}
    last_place = {name: i for i, name in keys.items()}
    found: list[int] = []
    row: list[int] = []
    for i in [*candidates, -1]:
        if i >= 0 and last_place[keys[i]] > i and (not row or i == row[-1] + 1):
            row.append(i)
            continue
        found += row if len(row) >= 3 else []
        row = [i] if i >= 0 and last_place[keys[i]] > i else []
    return found


def _listed(candidates: dict[int, Candidate]) -> list[int]:
    """Lines of a list, "1. Buy milk.", "2. Buy bread.": from 1 on, with nothing between, and none that count on."""
    found: list[int] = []
    for i, first in candidates.items():
        run = [i]
        while (after := candidates.get(run[-1] + 1)) and after.kind is first.kind and after.number == len(run) + 1:
            run.append(run[-1] + 1)
        after = next((each for j, each in candidates.items() if j > run[-1] and each.kind is first.kind), None)
        goes_on = after is not None and after.number == len(run) + 1  # the first chapters of a book without their text
        part = candidates.get(i - 1)
        goes_on = goes_on or (part is not None and part.kind is Kind.PART)
        if first.kind is Kind.TITLED_NUMERAL and first.number == 1 and len(run) > 1 and not goes_on:
            found += run
    return found


def _roles(blocks: list[Block], candidates: dict[int, Candidate]) -> dict[int, Role]:
    """Which kind of heading begins a chapter is decided by all of them together."""
    kinds = Counter(found.kind for found in candidates.values())
    chapter_kind = next((kind for kind in Kind if kind is not Kind.NAMED and kinds[kind]), None)
    if chapter_kind is Kind.CAPS and kinds[Kind.CAPS] < 2:
        chapter_kind = None
    roles: dict[int, Role] = {}
    for i, found in candidates.items():
        if found.kind in (Kind.NAMED, chapter_kind):
            roles[i] = Role.CHAPTER
        elif found.kind is Kind.PART:
            roles[i] = Role.PART
        elif found.kind in (Kind.NUMERAL, Kind.TITLED_NUMERAL):
            roles[i] = Role.SECTION
        elif chapter_kind is not None and blocks[i].blank_lines >= _WIDE:
            roles[i] = Role.CHAPTER
    return roles


def _with_subtitles(text: str, blocks: list[Block], roles: dict[int, Role], bare: set[int]) -> list[Block]:
    """Applies the roles; a short line between a bare "Chapter 1" and the text becomes part of that heading."""
    result: list[Block] = []
    for i, block in enumerate(blocks):
        role = roles.get(i, block.role)
        text_follows = i + 1 < len(blocks) and blocks[i + 1].role is Role.TEXT and i + 1 not in roles
        may_be_subtitle = i - 1 in bare and role is Role.TEXT and text_follows
        if may_be_subtitle and is_subtitle(text[block.start : block.end]):
            result[-1] = replace(result[-1], end=block.end)
        else:
            result.append(replace(block, role=role))
    return result


def _mark_wide_gaps(blocks: list[Block]) -> list[Block]:
    """Puts a scene break where the gap between two paragraphs is wider than it usually is in this text."""
    gaps = Counter(
        after.blank_lines for before, after in pairwise(blocks) if before.role is Role.TEXT and after.role is Role.TEXT
    )
    if not gaps:
        return blocks
    usual = gaps.most_common(1)[0][0]
    wide = usual + (2 if usual else 1)
    result = blocks[:1]
    for before, after in pairwise(blocks):
        if before.role is Role.TEXT and after.role is Role.TEXT and after.blank_lines >= wide:
            result.append(Block(before.end, before.end, Role.SCENE))
        result.append(after)
    return result
