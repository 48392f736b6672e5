"""Footnotes of plain texts: paragraphs that begin with a mark, or that say that they are notes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from pipeline.text.skip_reasons import Reason
from pipeline.text.structure.blocks import Block, Role
from pipeline.text.structure.headings import HeadingKind, classify_heading

_MAX_NOTE_BLOCKS = 10  # paragraphs of a note in brackets
_GUTENBERG = re.compile(r"(?:\[Footnote\b(?:[^\[\]]|\[[^\[\]]*\])*\]\s*)+")
_TRANSCRIBER = re.compile(r"transcriber['’]?s?['’]? notes?[.:]?", re.I)
_WIDE_GAP = 3  # blank lines
_CHAPTER_KINDS = (HeadingKind.NAMED, HeadingKind.CHAPTER, HeadingKind.PART)
_HEADING = re.compile(r"(?:(?:foot|end)notes?|notes)[.:]?", re.I)
_BRACKETED = re.compile(r"(?P<mark>[\[{](?P<label>\d{1,3}|[A-Za-z]|[*†‡]{1,3})[\]}])\s*[.:]?\s*(?=\S)")
_STARRED = re.compile(r"(?P<label>[*†‡]{1,3}|[¹²³⁴⁵⁶⁷⁸⁹⁰]{1,3})\s?(?=[^\s*])")
_NUMBERED = re.compile(r"(?:\((?P<round>\d{1,3})\)|(?P<label>\d{1,3})[.)])\s+(?=\S)")
# Marks in the text: [1], {1}, (1) after a full stop, town.* town.¹
_MARKS = re.compile(
    r"(?<=[\w.,;:!?\"'”’)])(?:[\[{](\d{1,3}|[A-Za-z]|[*†‡]{1,3})[\]}]|([*†‡]{1,3})(?=[\s.,;:!?\"'”’)]|\Z)|"
    r"([¹²³⁴⁵⁶⁷⁸⁹⁰]{1,3})|(?<=[.!?\"”])\((\d{1,3})\))"
)
_EMPHASIS = re.compile(r"(?<![\w*])(\*{1,3})(?=[^\s*])[^*\n]{1,500}(?<=[^\s*])\1(?![\w*])")
_RAISED = str.maketrans("¹²³⁴⁵⁶⁷⁸⁹⁰", "1234567890")


def skip_text_notes(text: str, blocks: Sequence[Block]) -> list[Block]:
    """Leave out notes.

    A paragraph that begins with `[1]` or `[Footnote ...]` is a note. One that begins with `[A]`, `*` or `1.` may be an
    item of a list: it is a note if the text before has the same mark, or below a heading such as "Footnotes".
    """
    result = _skip_transcriber_notes(text, _skip_gutenberg_notes(text, list(blocks)))
    seen: set[str] = set()
    below_heading = False
    previous = -1  # the last block that is a note
    for i, block in enumerate(result):
        if block.role is not Role.TEXT:
            below_heading = below_heading and block.role is Role.SKIP
            continue
        words = text[block.start : block.end]
        if _HEADING.fullmatch(words.strip("*_#= ")) and _is_above_notes(text, result, i, seen):
            below_heading = True
        elif not (_is_note(words, seen, below_heading) or (previous == i - 1 and _continues_note(text, result, i))):
            below_heading = False
            seen |= _marks_in(words)
            continue
        result[i] = replace(block, role=Role.SKIP, reason=Reason.NOTE.value)
        previous = i
    return result


def _is_note(words: str, seen: set[str], below_heading: bool) -> bool:
    if found := _BRACKETED.match(words):
        return found["label"].isdigit() or below_heading or found["label"] in seen
    if (found := _STARRED.match(words)) and not _EMPHASIS.match(words):
        return below_heading or found["label"].translate(_RAISED) in seen
    if found := _NUMBERED.match(words):
        return below_heading or (found["label"] or found["round"]) in seen
    return False


def _is_above_notes(text: str, blocks: Sequence[Block], place: int, seen: set[str]) -> bool:
    after = next((block for block in blocks[place + 1 : place + 3] if block.role is not Role.SCENE), None)
    if after is None:
        return False
    return after.reason == Reason.NOTE or _is_note(text[after.start : after.end], seen, below_heading=True)


def _continues_note(text: str, blocks: Sequence[Block], place: int) -> bool:
    """Return whether a paragraph belongs to the note before it, since both are indented."""
    indents = [_indent(text, blocks[i]) for i in (place - 1, place)]
    return min(indents) >= 2 and blocks[place].blank_lines > 0


def _indent(text: str, block: Block) -> int:
    return block.start - 1 - text.rfind("\n", 0, block.start)


def _marks_in(words: str) -> set[str]:
    return {label.translate(_RAISED) for found in _MARKS.findall(_EMPHASIS.sub(" ", words)) for label in found if label}


def _skip_transcriber_notes(text: str, blocks: list[Block]) -> list[Block]:
    """Leave out a transcriber's note: from its heading to a wide gap or the heading of a chapter.

    Before the book, the note must be short and a chapter must follow, or the whole book could be left out.
    """
    done = 0
    for first, block in enumerate(blocks):
        if first < done or not _TRANSCRIBER.fullmatch(_first_line(text, block).strip("*_#=[] ")):
            continue
        after = range(first + 1, len(blocks))
        done = next((i for i in after if _ends_transcriber_note(text, blocks[i])), len(blocks))
        is_after_book = block.start * 2 > len(text)
        if is_after_book or (done < len(blocks) and done - first <= _MAX_NOTE_BLOCKS):
            notice = Reason.GUTENBERG_NOTICE.value
            blocks[first:done] = [
                replace(each, role=Role.SKIP, reason=notice) if each.role is Role.TEXT else each
                for each in blocks[first:done]
            ]
    return blocks


def _ends_transcriber_note(text: str, block: Block) -> bool:
    found = classify_heading(_first_line(text, block))
    return block.blank_lines >= _WIDE_GAP or bool(block.level) or (found is not None and found.kind in _CHAPTER_KINDS)


def _first_line(text: str, block: Block) -> str:
    return text[block.start : block.end].split("\n", 1)[0]


def _skip_gutenberg_notes(text: str, blocks: list[Block]) -> list[Block]:
    """Leave out notes in the style of Project Gutenberg: in brackets that may close some paragraphs later."""
    for first, block in enumerate(blocks):
        if not text.startswith("[Footnote", block.start):
            continue
        for until in range(first + 1, min(first + _MAX_NOTE_BLOCKS, len(blocks)) + 1):
            if _GUTENBERG.fullmatch(text, block.start, blocks[until - 1].end):
                note = Reason.NOTE.value
                blocks[first:until] = [replace(each, role=Role.SKIP, reason=note) for each in blocks[first:until]]
    return blocks
