"""Lists of contents in a plain text: where they begin and end, and what they name."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

from pipeline.text.blocks import Block, Role
from pipeline.text.headings import Kind, has_page, is_contents, key, recognise
from pipeline.text.reasons import Reason

_AROUND_TITLE = re.compile(r"^(?:chapter )?(?:\d+|[ivxlc]+) | (?:\d+|[ivxlc]+)$")  # in the key of an entry
_LONG_LINE = 120  # characters: a longer paragraph is prose


def skip_contents(text: str, blocks: list[Block]) -> list[Block]:
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
            blocks[i] = replace(blocks[i], role=Role.SKIP, reason=Reason.CONTENTS.value)
    return blocks


def _is_prose(text: str, block: Block) -> bool:
    words = text[block.start : block.end]
    lines = words.split("\n")
    if block.role is not Role.TEXT or any(map(recognise, lines)):
        return False
    return len(words) > _LONG_LINE or (len(lines) > 1 and words[-1] in ".!?:;,\"'”’—-")


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
    if any(is_same_heading(entry, key(line)) or _AROUND_TITLE.sub("", entry) == key(line) for entry in entries):
        return True
    if found is None or found.number not in (None, 1):
        return False
    if found.kind is not Kind.PART:
        later = later[: next((i for i, each in enumerate(blocks[place + 1 :]) if _is_prose(text, each)), None)]
    return not any(is_same_heading(key(line), key(each)) for each in later)


def _end_of_contents(text: str, blocks: list[Block], first: int, prose: int) -> int:
    """The block behind a list of contents that begins at `first`, before the first `prose`.

    Numbers of chapters may come again inside the list, once in each part; so it is the last block that counts, and the
    earliest entry that has one.
    """
    keys = [[key(line) for line in text[block.start : block.end].split("\n")] for block in blocks[first:prose]]
    for at, entries in enumerate(keys):
        for entry in entries[0 if at else 1 :]:
            again = [i for i in range(at + 1, len(keys)) if is_same_heading(entry, keys[i][0])]
            if again:
                return first + again[-1]
    return first + 1


def is_same_heading(entry: str, heading: str) -> bool:
    """Whether an entry of a list of contents means a heading: either may also have the title, or a page number."""
    if entry == heading:
        return bool(entry)
    shorter, longer = sorted((entry, heading), key=len)
    return " " in shorter and longer.startswith(f"{shorter} ")


def entries_of_contents(text: str, blocks: list[Block]) -> set[str]:
    """Return the keys of the entries of all lists of contents."""
    lists = [text[block.start : block.end] for block in blocks if block.reason == Reason.CONTENTS]
    return {key(line) for words in lists for line in words.split("\n") if not is_contents(line)} - {""}
