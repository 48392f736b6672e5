"""What headings with levels mean: which are parts, which begin chapters, which is the title of the book.

For formats whose headings say how deep they are; what they are called counts as well.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import accumulate

from pipeline.text.blocks import Block, Role, human_title
from pipeline.text.headings import Kind, is_contents, recognise


def with_roles(text: str, blocks: list[Block]) -> list[Block]:
    """Tells parts, chapters and sections apart, and leaves out a heading "Contents" with nothing but links below."""
    headings = [i for i, block in enumerate(blocks) if block.role is Role.SECTION]
    chapter_level = _chapter_level(text, blocks, headings)
    result = list(blocks)
    for number, i in enumerate(headings):
        block = blocks[i]
        until = headings[number + 1] if number + 1 < len(headings) else len(blocks)
        below = [each for each in blocks[i + 1 : until] if each.reason != "markup"]
        if is_contents(text[block.start : block.end]) and below and all(each.role is Role.SKIP for each in below):
            result[i] = replace(block, role=Role.SKIP, reason="table of contents")
        elif block.level == chapter_level:
            result[i] = replace(block, role=Role.CHAPTER)
        elif block.level < chapter_level and not _is_book_title(blocks, headings, number):
            result[i] = replace(block, role=Role.PART)
    return result


def _is_book_title(blocks: list[Block], headings: list[int], number: int) -> bool:
    """The first heading is the book's title when no other is of its level."""
    level = blocks[headings[0]].level
    return number == 0 and all(blocks[i].level > level for i in headings[1:])


def _chapter_level(text: str, blocks: list[Block], headings: list[int]) -> int:
    """The level of headings that begin chapters: what their words say, else the outermost with text right below.

    What is below counts by its length: a preface and an afterword are two headings, and yet not the book. But where
    most have text and headings below it, these are their sections, however long one of them is that begins with one.
    """
    levels = sorted({blocks[i].level for i in headings})
    if len(levels) > 1 and _is_book_title(blocks, headings, 0):
        levels = levels[1:]
    named: Counter[int] = Counter()
    parts: Counter[int] = Counter()
    length: Counter[int] = Counter()
    with_text: Counter[int] = Counter()
    with_both: Counter[int] = Counter()
    spoken = [0, *accumulate(0 if each.role is Role.SKIP else each.end - each.start for each in blocks)]
    for number, i in enumerate(headings):
        found = recognise(human_title(text[blocks[i].start : blocks[i].end]))
        level = blocks[i].level
        named[level] += found is not None and found.kind is Kind.CHAPTER
        parts[level] += found is not None and found.kind is Kind.PART
        following = next((each for each in blocks[i + 1 :] if each.role is not Role.SKIP), None)
        until = next((j for j in headings[number + 1 :] if blocks[j].level <= level), len(blocks))
        length[level] += spoken[until] - spoken[i]
        if following is not None and following.role is Role.TEXT:
            with_text[level] += spoken[until] - spoken[i]
            with_both[level] += any(blocks[j].level > level for j in headings[number + 1 : number + 2])
    count = Counter(blocks[i].level for i in headings)
    for level in levels:
        if named[level] * 2 >= count[level]:
            return level
    for level in levels:
        is_parts = parts[level] * 2 >= count[level] and level != levels[-1]
        if not is_parts and (with_text[level] * 2 >= length[level] or with_both[level] * 2 >= count[level]):
            return level
    return levels[0] if levels else 0


def leading_title(text: str, blocks: list[Block]) -> str:
    """The book's title, when a heading stands first and all others are below it; else "", as for a lone chapter."""
    headings = [i for i, block in enumerate(blocks) if block.level]
    opening = next((block for block in blocks if block.role is not Role.SKIP), None)
    if len(headings) < 2 or blocks[headings[0]] is not opening or not _is_book_title(blocks, headings, 0):
        return ""
    title = human_title(text[opening.start : opening.end])
    found = recognise(title)
    return title if found is None or found.kind not in (Kind.NAMED, Kind.CHAPTER, Kind.PART) else ""
