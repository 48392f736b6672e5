"""Page numbers and running heads that a scan or a conversion has left between paragraphs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.text.skip_reasons import Reason
from pipeline.text.structure.blocks import Block, Role
from pipeline.text.structure.headings import heading_key

_PAGE_WORD = re.compile(r"[\[({]?\s*(?:page|pg\.?|p\.)\s*(?P<number>\d{1,4}|[ivxlc]+)(?:\s+of\s+\d+)?\s*[\])}]?", re.I)
_BARE = re.compile(r"(?:[-–—~•|\[(]{1,3}\s*)?(?P<number>\d{1,4})(?:\s*[-–—~•|\])]{1,3})?")
_HEAD = re.compile(
    r"(?P<before>\d{1,4})?\s*[|•·—-]?\s*(?P<head>[^\W\d_](?:[^\n]{0,58}?[^\W\d_.!?,;])?)\s*[|•·—-]?\s*(?P<after>\d{1,4})?"
)
_DATED = re.compile(
    r"(?:jan|feb|mar|apr|may|june?|july?|aug|sep|oct|nov|dec|mon|tues?|wed|thu|fri|sat|sun)(?:[a-z]*day|[a-z]*ber|[a-z]*"
    r"ary|rch|ril|ust)?\b|(?:chapter|part|book|letter|day|act|scene|volume|year|canto|stave|section)\b"
)
_MAX_STEP = 40  # pages between two consecutive numbers
_MIN_REPEATS = 3  # occurrences of a running head
_SENTENCE_END = tuple(".!?:;\"'”’)]…—-*")


@dataclass(frozen=True)
class _Found:
    place: int
    number: int
    head: str = ""  # words beside the number
    is_shouted: bool = False  # they are in capitals
    is_certain: bool = False  # it contains the word page


def skip_page_numbers(text: str, blocks: Sequence[Block]) -> list[Block]:
    """Leave out page numbers: numbers that rise through the text, contain the word page, or interrupt a sentence."""
    result = list(blocks)
    found = [each for i, block in enumerate(blocks) if (each := _number_of(text, block, i)) is not None]
    rising = _rising(found)
    for each in found:
        cuts = not each.head and _interrupts_sentence(text, blocks, each.place)
        if each.is_certain or cuts or each.place in rising:
            reason = Reason.RUNNING_HEAD if each.head else Reason.PAGE_NUMBER
            result[each.place] = replace(blocks[each.place], role=Role.SKIP, reason=reason.value, level=0)
    return _skip_heads(text, result)


def _number_of(text: str, block: Block, place: int) -> _Found | None:
    if block.role is not Role.TEXT or block.end - block.start > 70:
        return None
    words = text[block.start : block.end]
    if found := _PAGE_WORD.fullmatch(words):
        return _Found(place, int(found["number"]) if found["number"].isdigit() else 0, is_certain=True)
    if found := _BARE.fullmatch(words):
        return _Found(place, int(found["number"]))
    found = _HEAD.fullmatch(words)
    if found and bool(found["before"]) != bool(found["after"]) and not _DATED.match(heading_key(found["head"])):
        return _Found(
            place, int(found["before"] or found["after"]), heading_key(found["head"]), is_shouted=words.isupper()
        )
    return None


def _rising(found: Sequence[_Found]) -> set[int]:
    """Return the positions of two or more numbers that rise as page numbers do."""
    heads = Counter(each.head for each in found)
    rising: set[int] = set()
    run: list[_Found] = []
    for each in [*(each for each in found if each.number), _Found(-1, -1)]:
        if run and run[-1].number < each.number <= run[-1].number + _MAX_STEP:
            run.append(each)
            continue
        has_bare = any(not one.head for one in run)
        kept = [one for one in run if not one.head or has_bare or (one.is_shouted and heads[one.head] >= _MIN_REPEATS)]
        if len(kept) > 1 and (has_bare or kept[0].number > 1):  # "PART 1" is a heading
            rising |= {one.place for one in kept}
        run = [each]
    return rising


def _interrupts_sentence(text: str, blocks: Sequence[Block], place: int) -> bool:
    """Return whether a sentence begins in the paragraph before and ends in the one after."""
    if not 0 < place < len(blocks) - 1:
        return False
    before, after = blocks[place - 1], blocks[place + 1]
    if before.role is not Role.TEXT or after.role is not Role.TEXT:
        return False
    ends = text[before.end - 1 : before.end]
    return ends not in _SENTENCE_END and text[after.start : after.start + 1].islower()


def _skip_heads(text: str, blocks: list[Block]) -> list[Block]:
    """Leave out running heads without a number: short lines that occur beside several page numbers."""
    numbers = [i for i, block in enumerate(blocks) if block.reason == Reason.PAGE_NUMBER]
    beside = [
        i
        for number in numbers
        for i in (number - 1, number + 1)
        if 0 <= i < len(blocks) and blocks[i].role is Role.TEXT and blocks[i].end - blocks[i].start <= 60
    ]
    lines = Counter(text[blocks[i].start : blocks[i].end] for i in set(beside))
    for i in beside:
        if lines[text[blocks[i].start : blocks[i].end]] >= _MIN_REPEATS:
            blocks[i] = replace(blocks[i], role=Role.SKIP, reason=Reason.RUNNING_HEAD.value)
    return blocks
