"""Find the chapters of a text whose headings are not marked, by all lines that can be headings.

Numerals are headings only if they count 1, 2, 3; lines in ALL CAPS only if there is no better kind; headings that occur
twice, first in a list, are a table of contents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from itertools import pairwise

from pipeline.text.skip_reasons import Reason
from pipeline.text.structure.blocks import Block, Role
from pipeline.text.structure.contents import entries_of_contents, skip_contents
from pipeline.text.structure.footnotes import skip_text_notes
from pipeline.text.structure.headings import (
    Candidate,
    HeadingKind,
    classify_heading,
    heading_key,
    is_subtitle,
    mark_consecutive,
    without_page_number,
)
from pipeline.text.structure.page_numbers import skip_page_numbers

_WIDE = 3  # blank lines before a line in ALL CAPS that make it a chapter, whatever kind the others are


def find_structure(text: str, blocks: list[Block], title_page_end: int = 0) -> list[Block]:
    """Find headings, tables of contents, notes, page numbers and scene breaks.

    Args:
        text: The whole text.
        blocks: Its blocks, with headings as TEXT.
        title_page_end: Offset before which there are no headings.

    Returns:
        The blocks with their roles.
    """
    blocks = skip_text_notes(text, skip_contents(text, blocks))
    listed = entries_of_contents(text, blocks)
    candidates = {
        i: found
        for i, block in enumerate(blocks)
        if block.start >= title_page_end and (found := _candidate(text, block, listed))
    }
    candidates = _without_uncounted(candidates)
    for i in _repeated_later(text, blocks, candidates):
        blocks[i] = replace(blocks[i], role=Role.SKIP, reason=Reason.CONTENTS.value)
        del candidates[i]
    for i in _list_items(candidates):
        del candidates[i]
    roles = _roles(blocks, candidates)
    bare = {i for i in roles if candidates[i].is_bare}
    return skip_page_numbers(text, _mark_wide_gaps(_with_subtitles(text, blocks, roles, bare)))


def _candidate(text: str, block: Block, listed: Collection[str] = ()) -> Candidate | None:
    """Classify a block that may be a heading: it has one line, or two of which the second is the title."""
    if block.role is not Role.TEXT:
        return None
    words = text[block.start : block.end]
    first, *rest = words.split("\n")
    found = classify_heading(first)
    if block.level:
        return (
            found
            if found and found.kind in (HeadingKind.NAMED, HeadingKind.CHAPTER, HeadingKind.PART)
            else Candidate(HeadingKind.MARKED)
        )
    if (
        (found is None or found.kind is HeadingKind.CAPS)
        and len(rest) < 2
        and without_page_number(words) == words
        and heading_key(words) in listed
    ):
        return Candidate(HeadingKind.LISTED)
    if found is None or not rest:
        return found
    together = "\n".join(line.strip() for line in rest)
    if found.kind is HeadingKind.CAPS:
        return found if len(rest) == 1 and together.isupper() else None
    return found if is_subtitle(together) else None


def _without_uncounted(candidates: dict[int, Candidate]) -> dict[int, Candidate]:
    """Return the candidates without the numerals that do not count 1, 2, 3."""
    pages = _page_numbers(candidates)
    kept = {i: found for i, found in candidates.items() if i not in pages}
    candidates = dict(kept)
    for kind in (HeadingKind.NUMERAL, HeadingKind.TITLED_NUMERAL, HeadingKind.PERIOD):
        places = [i for i, found in candidates.items() if found.kind is kind]
        for i, counts in zip(places, mark_consecutive([candidates[i].number or 0 for i in places]), strict=True):
            if not counts:
                del kept[i]
    return kept


def _page_numbers(candidates: dict[int, Candidate]) -> set[int]:
    """Return the numerals that rise through several chapters, and so are page numbers; those of sections restart."""
    chapters = [i for i, found in candidates.items() if found.kind is HeadingKind.CHAPTER]
    numerals = [i for i, found in candidates.items() if found.kind is HeadingKind.NUMERAL]
    numbers = [candidates[i].number or 0 for i in numerals]
    rises = all(before < after for before, after in pairwise(numbers))
    between = [sum(chapter < i for chapter in chapters) for i in numerals[:: max(1, len(numerals) - 1)]]
    return set(numerals) if rises and len(set(between)) > 1 else set()


def _repeated_later(text: str, blocks: list[Block], candidates: dict[int, Candidate]) -> list[int]:
    """Return the entries of a table of contents without a title: three or more in a row that all occur again later."""
    keys = {i: heading_key(text[blocks[i].start : blocks[i].end].split("\n")[0]) for i in candidates}
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


def _list_items(candidates: dict[int, Candidate]) -> list[int]:
    """Return the items of lists ("1. Buy milk."): they count from 1, with nothing between and no further numbers."""
    found: list[int] = []
    titled = [i for i, candidate in candidates.items() if candidate.kind is HeadingKind.TITLED_NUMERAL]
    numbers = [*(candidates[i].number for i in titled), None]
    for position, i in enumerate(titled):
        if candidates[i].number != 1:
            continue
        end = position + 1
        while end < len(titled) and titled[end] == titled[end - 1] + 1 and numbers[end] == end - position + 1:
            end += 1
        goes_on = numbers[end] == end - position + 1  # the first chapters of a book, without their text
        part = candidates.get(i - 1)
        goes_on = goes_on or (part is not None and part.kind is HeadingKind.PART)
        if end - position > 1 and not goes_on:
            found += titled[position:end]
    return found


def _roles(blocks: list[Block], candidates: dict[int, Candidate]) -> dict[int, Role]:
    """Return the roles of the candidates. The kind that begins chapters is chosen by all of them together."""
    kinds = Counter(found.kind for found in candidates.values())
    several = (HeadingKind.MARKED, HeadingKind.LISTED, HeadingKind.CAPS)  # kinds of which a single line proves nothing
    countable = [kind for kind in HeadingKind if kind is not HeadingKind.NAMED and kinds[kind] > (kind in several)]
    chapter_kind = countable[0] if countable else None
    roles: dict[int, Role] = {}
    for i, found in candidates.items():
        if found.kind in (HeadingKind.NAMED, chapter_kind):
            roles[i] = Role.CHAPTER
        elif found.kind is HeadingKind.PART:
            roles[i] = Role.PART
        elif found.kind in (HeadingKind.NUMERAL, HeadingKind.TITLED_NUMERAL, HeadingKind.PERIOD, HeadingKind.MARKED):
            roles[i] = Role.SECTION
        elif chapter_kind is not None and blocks[i].blank_lines >= _WIDE:
            roles[i] = Role.CHAPTER
    return roles


def _with_subtitles(text: str, blocks: list[Block], roles: dict[int, Role], bare: set[int]) -> list[Block]:
    """Apply the roles, and join a bare "Chapter 1" with the short line below it, which is its title."""
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
    """Insert a scene break where the gap between two paragraphs is wider than usual in this text."""
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
