"""Leave out notes: the targets of note marks, and the last runs of a page that begin with the same marks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from pipeline.text.readers.epub.archive import resolve
from pipeline.text.readers.epub.text_runs import Page, TextRun
from pipeline.text.skip_reasons import Reason
from pipeline.text.structure.blocks import Role

_MAX_NOTE = 8_000  # characters; longer text is a chapter
_MAX_REST = 2  # times as long as their first paragraphs: the further paragraphs of notes
_LABEL = re.compile(
    r"[\[({]?\s*(\d{1,4}[a-z]?|[¹²³⁰⁴-⁹]{1,3}|[*∗†‡§¶‖#]{1,4}|[a-z]{1,2}|[ivxlc]{1,6}|[A-Z])\s*(?:[\])}.:]+|(?=\s)|(?<=[*†‡§]))"
)
_NUMBERED = re.compile(
    r"[\[({]?\s*(?:(?:\d{1,4}[a-z]?|[*∗†‡§¶]{1,4})\s*[\])}.:]|(?:\d{1,3}[a-z]?|[*∗†‡§¶]{1,4})(?=\s))|(?:ibid|p{1,2}|see|cf)\b",
    re.I,
)


def skip_notes(pages: Sequence[Page]) -> None:
    """Leave out the notes of all pages."""
    _skip_linked(pages)
    for page in pages:
        _skip_foot(page)
        _fill_gaps(page)
        _skip_rest(page)


def looks_like_note(run: TextRun) -> bool:
    """Return whether a run begins like a note: with a mark, or as an item of a list."""
    return bool(run.label or run.is_item or _NUMBERED.match(run.words))


def as_skip(run: TextRun, reason: Reason) -> TextRun:
    """Return a run that is not spoken, with its reason."""
    return replace(run, role=Role.SKIP, reason=str(reason))


def _skip_linked(pages: Sequence[Page]) -> None:
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
            if other and _is_note(other.runs[start:end], mark.label):
                for i in range(start, min(end, len(other.runs))):
                    if other.runs[i].is_spoken:
                        other.runs[i] = as_skip(other.runs[i], Reason.NOTE)


def _is_note(runs: Sequence[TextRun], label: str) -> bool:
    """Return whether the target of a mark is a note: it has the same mark, is in a list, or links back."""
    spoken = [run for run in runs if run.is_spoken]
    if not spoken or sum(len(run.words) for run in spoken) > _MAX_NOTE:
        return False
    first = spoken[0]
    has_link_back = any("#" in link for run in runs for link in run.links)
    return not first.level and (has_link_back or first.is_item or label in (first.label, _label_of(first)))


def _label_of(run: TextRun) -> str:
    found = _LABEL.match(run.words)
    return found[1] if found else ""


def _skip_foot(page: Page) -> None:
    """Leave out the last runs of a page that begin with note marks of its text."""
    labels = {label for mark in page.marks for label in re.split(r"[,;–—-]\s*", mark.label)}
    for i in range(len(page.runs) - 1, -1, -1):
        run = page.runs[i]
        if not run.is_spoken:
            continue
        if run.level or not labels & {run.label, _label_of(run)} - {""}:
            return
        page.runs[i] = as_skip(run, Reason.NOTE)


def _skip_rest(page: Page) -> None:
    """Leave out the rest of a page that begins with a note and has no headings: further paragraphs of its notes."""
    first = next((run for run in page.runs if run.is_spoken or run.reason == Reason.NOTE), None)
    rest = [i for i, run in enumerate(page.runs) if run.is_spoken]
    if first is None or first.is_spoken or not rest or any(page.runs[i].level for i in rest):
        return
    length = sum(len(run.words) for run in page.runs if run.reason == Reason.NOTE)
    if sum(len(page.runs[i].words) for i in rest) <= _MAX_REST * length:
        for i in rest:
            page.runs[i] = as_skip(page.runs[i], Reason.NOTE)


def _fill_gaps(page: Page) -> None:
    """Leave out further paragraphs between notes, if the rest of the page is mostly notes."""
    notes = [i for i, run in enumerate(page.runs) if run.reason == Reason.NOTE]
    if len(notes) < 2:
        return
    between = [i for i in range(notes[0], notes[-1]) if page.runs[i].is_spoken]
    has_headings = any(page.runs[i].level for i in between)
    if not has_headings and len(between) * 2 <= len(notes) and len(page.runs) - notes[-1] <= 2:
        for i in between:
            page.runs[i] = as_skip(page.runs[i], Reason.NOTE)
