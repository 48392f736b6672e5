"""Tables of contents in a plain text: where they begin and end, and the titles in them."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import replace
from itertools import pairwise

from pipeline.text.skip_reasons import Reason
from pipeline.text.structure.blocks import Block, Role
from pipeline.text.structure.headings import HeadingKind, classify_heading, has_page_number, heading_key, is_contents

_AROUND_TITLE = re.compile(
    r"^(?:chapter )?(?:\d+|[ivxlc]+) | (?:\d+|[ivxlc]+)$"
)  # numbers around the title in the key of an entry
_MAX_WORDS = 12  # of a heading that are compared with those of an entry
_LONG_LINE = 120  # characters: a longer paragraph is prose


def skip_contents(text: str, blocks: list[Block]) -> list[Block]:
    """Leave out each table of contents: from its title up to where its first entries occur again as headings.

    A table with page numbers ends at the last of them or later. Its entries may occur again only behind prose (a
    preface), or in another form: "I", "THE FOX" for "I. THE FOX   15".
    """
    blocks = list(blocks)
    starts = [i for i, block in enumerate(blocks) if block.role is not Role.SCENE and is_contents(_first(text, block))]
    if not starts:
        return blocks
    tables = _Tables(text, blocks)
    end = 0
    for first in starts:
        if first < end:
            continue
        end = tables.end_of_pages(first)
        end = max(end, tables.end_of_entries(first, tables.next_prose[end]))
        for i in range(first, end):
            blocks[i] = replace(blocks[i], role=Role.SKIP, reason=Reason.CONTENTS.value)
    return blocks


def _first(text: str, block: Block) -> str:
    return text[block.start : block.end].split("\n", 1)[0]


def _is_prose(text: str, block: Block) -> bool:
    words = text[block.start : block.end]
    lines = words.split("\n")
    if block.role is not Role.TEXT or any(map(classify_heading, lines)):
        return False
    return len(words) > _LONG_LINE or (len(lines) > 1 and words[-1] in ".!?:;,\"'”’—-")


class _Index:
    """Positions of headings by key. A heading also matches one that begins with its words."""

    def __init__(self) -> None:
        self.whole: dict[str, list[int]] = {}
        self.begun: dict[str, list[int]] = {}

    def add(self, heading: str, position: int) -> None:
        """Add a heading; call in rising order of positions."""
        if heading:
            self.whole.setdefault(heading, []).append(position)
            for beginning in _beginnings(heading):
                self.begun.setdefault(beginning, []).append(position)

    def positions(self, entry: str) -> list[list[int]]:
        """Return the positions of the headings that match an entry, as rising lists."""
        shorter = [self.whole[each] for each in _beginnings(entry) if each in self.whole]
        return [*shorter, self.whole.get(entry, []), self.begun.get(entry, [])]


def _beginnings(key: str) -> list[str]:
    """Return the beginnings of a key that have two words or more."""
    words = key.split(" ")[: _MAX_WORDS + 1]
    return [" ".join(words[:count]) for count in range(2, len(words))]


class _Tables:
    """Finds the ends of tables of contents."""

    def __init__(self, text: str, blocks: list[Block]) -> None:
        self.text = text
        self.blocks = blocks
        self.headings = _Index()  # the first lines of all blocks
        self.next_prose = [len(blocks)] * (len(blocks) + 1)  # from each block on
        for i in range(len(blocks) - 1, -1, -1):
            self.next_prose[i] = i if _is_prose(text, blocks[i]) else self.next_prose[i + 1]
        for i, block in enumerate(blocks):
            line = _first(text, block)
            if len(line) <= _LONG_LINE:
                self.headings.add(heading_key(line), i)

    def end_of_pages(self, first: int) -> int:
        """Return the block after the entries with page numbers of a table that begins at `first`.

        Verse, recipes and letterheads have numbers in a column too. So a single such line is not a table, and a table
        ends before the first heading of the book, or where the numbers fall, unless they begin again in another part.
        """
        end = first + 1
        entries = _Index()
        count = last_page = 0
        for i in range(first, len(self.blocks)):
            lines = self.text[self.blocks[i].start : self.blocks[i].end].split("\n")
            paged = [line for line in lines if has_page_number(line)]
            if paged and (has_page_number(lines[-1]) or len(paged) * 2 > len(lines)):  # an entry may have several lines
                numbers = [int(page[0]) for line in paged if (page := re.search(r"\d+$", line))]
                falls = sum(after < before for before, after in pairwise([last_page, *numbers]))
                if falls * 4 > len(numbers):
                    break
                last_page = [last_page, *numbers][-1]
                for line in paged:
                    entries.add(heading_key(line), i)
                    entries.whole.setdefault(_AROUND_TITLE.sub("", heading_key(line)), []).append(i)
                count += len(paged)
                end = i + 1
            elif i > first and (self.next_prose[i] == i or (count and self._begins_book(i, entries))):
                break
            elif (found := classify_heading(lines[0])) and found.kind is HeadingKind.PART:
                last_page = 0
        return end if count > 1 else first + 1

    def end_of_entries(self, first: int, prose: int) -> int:
        """Return the block before `prose` where the first entry of the table at `first` occurs again; else `first` + 1.

        Chapter numbers may occur several times inside the table, once in each part, so the last occurrence counts.
        """
        for at in range(first, prose):
            block = self.blocks[at]
            entries = self.text[block.start : block.end].split("\n")
            for entry in entries[0 if at > first else 1 :]:
                again = [_last_before(positions, prose) for positions in self.headings.positions(heading_key(entry))]
                if max(again) > at:
                    return max(again)
        return first + 1

    def _begins_book(self, position: int, entries: _Index) -> bool:
        """Return whether a line is a heading of the book: one of `entries`, or a first one that does not occur again.

        In a table of contents, "Chapter 1" occurs again before any prose, and a part anywhere.
        """
        line = _first(self.text, self.blocks[position])
        found = classify_heading(line)
        if any(entries.positions(heading_key(line))):
            return True
        if found is None or found.number not in (None, 1):
            return False
        until = len(self.blocks) if found.kind is HeadingKind.PART else self.next_prose[position + 1]
        return all(
            _last_before(positions, until) <= position for positions in self.headings.positions(heading_key(line))
        )


def _last_before(positions: list[int], end: int) -> int:
    """Return the last of rising `positions` before `end`; -1: there is none."""
    count = bisect_left(positions, end)
    return positions[count - 1] if count else -1


def entries_of_contents(text: str, blocks: list[Block]) -> set[str]:
    """Return the keys of the entries of all tables of contents."""
    lists = [text[block.start : block.end] for block in blocks if block.reason == Reason.CONTENTS]
    return {heading_key(line) for words in lists for line in words.split("\n") if not is_contents(line)} - {""}
