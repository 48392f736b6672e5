"""Which pieces of a book are notes: what its marks link to, what stands at the foot of a page under the same marks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from pipeline.text.readers.epub.archive import resolve
from pipeline.text.readers.epub.pieces import Page, TextRun
from pipeline.text.skip_reasons import Reason
from pipeline.text.structure.blocks import Role

_MAX_NOTE = 8_000  # characters: what is longer is a chapter, whatever links to it
_LABEL = re.compile(
    r"[\[({]?\s*(\d{1,4}[a-z]?|[*∗†‡§¶‖#]{1,4}|[a-z]{1,2}|[ivxlc]{1,6}|[A-Z])\s*(?:[\])}.:]+|(?=\s)|(?<=[*†‡§]))"
)
_NUMBERED = re.compile(
    r"[\[({]?\s*(?:(?:\d{1,4}[a-z]?|[*∗†‡§¶]{1,4})\s*[\])}.:]|(?:\d{1,3}[a-z]?|[*∗†‡§¶]{1,4})(?=\s))|(?:ibid|p{1,2}|see|cf)\b",
    re.I,
)


def leave_out_notes(pages: Sequence[Page]) -> None:
    """Give all pieces of notes their reason."""
    _leave_out_linked(pages)
    for page in pages:
        _leave_out_foot(page)
        _fill_gaps(page)


def looks_like_note(piece: TextRun) -> bool:
    """Return whether a piece begins as notes do: with a mark, as an item of a list, with a link back."""
    return bool(piece.label or piece.is_item or _NUMBERED.match(piece.words))


def as_skip(piece: TextRun, reason: Reason) -> TextRun:
    """Return a piece as one that is not spoken."""
    return replace(piece, role=Role.SKIP, reason=str(reason))


def _leave_out_linked(pages: Sequence[Page]) -> None:
    by_name = {page.name: page for page in pages}
    done: set[tuple[str, str]] = set()
    for page in pages:
        for mark in page.marks:
            target = resolve(mark.address, page.name) if mark.address else None
            if not target or not target[1] or target in done:
                continue
            done.add(target)
            other = by_name.get(target[0])
            start, end = other.anchors.get(target[1], (0, 0)) if other else (0, 0)
            if other and _is_note(other.pieces[start:end], mark.label):
                for i in range(start, min(end, len(other.pieces))):
                    if other.pieces[i].is_spoken:
                        other.pieces[i] = as_skip(other.pieces[i], Reason.NOTE)


def _is_note(pieces: Sequence[TextRun], label: str) -> bool:
    """Return whether what a mark links to is a note: under the same mark, in a list, or with a link back."""
    spoken = [piece for piece in pieces if piece.is_spoken]
    if not spoken or sum(len(piece.words) for piece in spoken) > _MAX_NOTE:
        return False
    first = spoken[0]
    has_link_back = any("#" in link for piece in pieces for link in piece.links)
    return not first.level and (has_link_back or first.is_item or label in (first.label, _label_of(first)))


def _label_of(piece: TextRun) -> str:
    found = _LABEL.match(piece.words)
    return found[1] if found else ""


def _leave_out_foot(page: Page) -> None:
    """Leave out the last pieces of a page that begin with marks which stand in its text."""
    labels = {label for mark in page.marks for label in re.split(r"[,;–—-]\s*", mark.label)}
    for i in range(len(page.pieces) - 1, -1, -1):
        piece = page.pieces[i]
        if not piece.is_spoken:
            continue
        if piece.level or not labels & {piece.label, _label_of(piece)} - {""}:
            return
        page.pieces[i] = as_skip(piece, Reason.NOTE)


def _fill_gaps(page: Page) -> None:
    """Leave out the second paragraph of a note, where the rest of the page is little else than notes."""
    notes = [i for i, piece in enumerate(page.pieces) if piece.reason == Reason.NOTE]
    if len(notes) < 2:
        return
    between = [i for i in range(notes[0], notes[-1]) if page.pieces[i].is_spoken]
    has_headings = any(page.pieces[i].level for i in between)
    if not has_headings and len(between) * 2 <= len(notes) and len(page.pieces) - notes[-1] <= 2:
        for i in between:
            page.pieces[i] = as_skip(page.pieces[i], Reason.NOTE)
