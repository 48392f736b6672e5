"""Lists of contents in a plain text: where they begin and end, and what they name."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import replace
from itertools import pairwise

from pipeline.text.skip_reasons import Reason
from pipeline.text.structure.blocks import Block, Role
from pipeline.text.structure.headings import HeadingKind, classify_heading, has_page_number, heading_key, is_contents

_AROUND_TITLE = re.compile(r"^(?:chapter )?(?:\d+|[ivxlc]+) | (?:\d+|[ivxlc]+)$")  # in the key of an entry
_MAX_WORDS = 12  # of a heading that are compared with those of an entry
_LONG_LINE = 120  # characters: a longer paragraph is prose


def skip_contents(text: str, blocks: list[Block]) -> list[Block]:
    """Skip each list of contents: from its title to where its first entries come again, as headings of the book.

    A list with page numbers ends with the last of them at least: its entries may not come again before the first prose,
    which can be a preface, or not as they are, where the book has "I", "THE FOX" for "I. THE FOX   15".
    """
    blocks = list(blocks)
    starts = [i for i, block in enumerate(blocks) if block.role is not Role.SCENE and is_contents(_first(text, block))]
    if not starts:
        return blocks
    lists = _Lists(text, blocks)
    end = 0
    for first in starts:
        if first < end:
            continue
        end = lists.end_of_pages(first)
        end = max(end, lists.end_of_entries(first, lists.next_prose[end]))
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
    """Where headings stand, by key: one means another that begins with its words."""

    def __init__(self) -> None:
        self.whole: dict[str, list[int]] = {}
        self.begun: dict[str, list[int]] = {}

    def add(self, heading: str, place: int) -> None:
        """Add a heading; places rise."""
        if heading:
            self.whole.setdefault(heading, []).append(place)
            for beginning in _beginnings(heading):
                self.begun.setdefault(beginning, []).append(place)

    def places(self, entry: str) -> list[list[int]]:
        """Return the places of the headings that an entry means, in rising lists."""
        shorter = [self.whole[each] for each in _beginnings(entry) if each in self.whole]
        return [*shorter, self.whole.get(entry, []), self.begun.get(entry, [])]


def _beginnings(key: str) -> list[str]:
    """Return the beginnings of a key that have two words or more."""
    words = key.split(" ")[: _MAX_WORDS + 1]
    return [" ".join(words[:count]) for count in range(2, len(words))]


class _Lists:
    """Finds the ends of lists of contents."""

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
        """Return the block behind the entries with page numbers of a list that begins at `first`.

        One such line is no list. Verse has its numbers in a column too, and so have a recipe and the head of a letter.
        So it ends before the first heading of the book, and where the numbers fall, if they do not begin again in
        another part.
        """
        end = first + 1
        entries = _Index()
        count = last_page = 0
        for i in range(first, len(self.blocks)):
            lines = self.text[self.blocks[i].start : self.blocks[i].end].split("\n")
            paged = [line for line in lines if has_page_number(line)]
            if paged and (
                has_page_number(lines[-1]) or len(paged) * 2 > len(lines)
            ):  # an entry may go over several lines
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
        """Return the block behind a list of contents that begins at `first`, before the first `prose`.

        Numbers of chapters may come again inside the list, once in each part; so it is the last block that counts, and
        the earliest entry that has one.
        """
        for at in range(first, prose):
            block = self.blocks[at]
            entries = self.text[block.start : block.end].split("\n")
            for entry in entries[0 if at > first else 1 :]:
                again = [_last_before(places, prose) for places in self.headings.places(heading_key(entry))]
                if max(again) > at:
                    return max(again)
        return first + 1

    def _begins_book(self, place: int, entries: _Index) -> bool:
        """Return whether a line is the book's own heading: one of `entries`, or a first one that does not come again.

        In a list "Chapter 1" comes again before any prose, a part at any place; behind prose it is that of the next
        part.
        """
        line = _first(self.text, self.blocks[place])
        found = classify_heading(line)
        if any(entries.places(heading_key(line))):
            return True
        if found is None or found.number not in (None, 1):
            return False
        until = len(self.blocks) if found.kind is HeadingKind.PART else self.next_prose[place + 1]
        return all(_last_before(places, until) <= place for places in self.headings.places(heading_key(line)))


def _last_before(places: list[int], end: int) -> int:
    """Return the last of rising `places` before `end`; -1: there is none."""
    count = bisect_left(places, end)
    return places[count - 1] if count else -1


def entries_of_contents(text: str, blocks: list[Block]) -> set[str]:
    """Return the keys of the entries of all lists of contents."""
    lists = [text[block.start : block.end] for block in blocks if block.reason == Reason.CONTENTS]
    return {heading_key(line) for words in lists for line in words.split("\n") if not is_contents(line)} - {""}
