"""Leave out front and back matter: title page, imprint, table of contents, index, lists of other books ...

A title or a guide is believed only if the text looks like what it says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from pipeline.text.readers.epub.notes import as_skip, looks_like_note
from pipeline.text.readers.epub.text_runs import Page, TextRun
from pipeline.text.skip_reasons import Reason
from pipeline.text.structure.gutenberg import Notice, find_notices, is_header_line
from pipeline.text.structure.headings import has_page_number, heading_key, is_contents

_MAX_IMPRINT = 700  # words
_MAX_TITLE_PAGE = 60  # words
_LONG = 40  # words of a paragraph of prose
_SIGNS = tuple(
    re.compile(sign, re.I | re.S)
    for sign in (
        r"©|\(c\) ?\d{4}|\bcopyright\b",
        r"all rights reserved|rights of .{0,40} asserted",
        r"\bisbn\b",
        r"\b(?:first )?published (?:by|in)\b|\bpublish(?:ed|er|ing)\b.{0,40}\d{4}",
        r"\b(?:first|second|third|\d+(?:st|nd|rd|th)) edition\b",
        r"no part of this (?:book|publication|work)",
        r"library of congress|catalogu?ing|british library",
        r"\bprinted (?:in|by|and bound)\b",
        r"\bcover (?:design|art|image|photo)",
        r"work of fiction.{0,200}(?:coincidental|imagination)",
        r"creative commons|public domain|licen[cs]e",
    )
)
_STRONG_SIGN = re.compile(
    r"©|\(c\) ?\d{4}|copyright \d{4}|all rights reserved|\bisbn\b|no part of this (?:book|pub)", re.I
)
_SENTENCE = re.compile(r"^(?!by\b).*\b[a-z]+ [a-z]+ .*[a-z][.!?][\"”’]?$", re.M)  # title pages have no sentences
_NAVIGATION = re.compile(
    r"(?: ?(?:(?:(?:back|return|go|jump) )?(?:to )?(?:the )?"
    r"(?:top|start|beginning|(?:table of )?contents|toc|home|cover|main menu|text)(?: page)?|"
    r"(?:next|previous|prev)(?: (?:chapter|page|section|part))?)\b)+"
)
_YEAR = re.compile(r"\b(?:1[5-9]|20)\d\d\b")
_ENDS_WITH_PAGE = re.compile(r"\d[\dn–—-]*\.?\Z|\bsee (?:also )?\w+", re.I)


@dataclass(frozen=True)
class BookFacts:
    """What the package and the table of contents say of a book."""

    title: str = ""
    author: str = ""
    titles: Mapping[str, str] = field(default_factory=dict)  # of pages in the table of contents, by page name
    guide: Mapping[str, Reason] = field(default_factory=dict)
    headings: Collection[str] = ()  # keys of all chapter titles


def skip_matter(pages: Sequence[Page], facts: BookFacts) -> None:
    """Leave out the pages and sections that are front or back matter."""
    chapters_begun = False
    last = max((n for n, page in enumerate(pages) if any(run.is_spoken for run in page.runs)), default=0)
    for number, page in enumerate(pages):
        spoken = [run for run in page.runs if run.is_spoken]
        if not spoken:
            continue
        name = facts.titles.get(page.name, "")
        may_be_title = not chapters_begun and number < last
        reason = _page_reason(spoken, name, facts, page.name, may_be_title=may_be_title)
        if reason is not None:
            _skip_all(page, range(len(page.runs)), reason)
            continue
        _skip_sections(page, name, facts)
        chapters_begun = chapters_begun or _num_words(spoken) > 2 * _MAX_TITLE_PAGE
    for page in pages:
        _skip_navigation(page)
        _skip_bare_headings(page)


def skip_gutenberg(pages: Sequence[Page]) -> None:
    """Leave out the runs that are in a notice of Project Gutenberg as a whole, whatever their classes."""
    runs = [(page, i) for page in pages for i, run in enumerate(page.runs) if run.is_spoken]
    words = [page.runs[i].words for page, i in runs]
    starts = [0, *accumulate(len(each) + 2 for each in words)]
    notices = find_notices("\n\n".join(words))
    if not notices or notices[0].start:
        num_header = next((number for number, each in enumerate(words) if not is_header_line(each)), len(words))
        notices.insert(0, Notice(0, starts[num_header], Reason.GUTENBERG_HEADER))
    at = 0
    for (page, i), start, each in zip(runs, starts, words, strict=False):
        while at < len(notices) and notices[at].end <= start:
            at += 1
        if at < len(notices) and notices[at].start <= start and start + len(each) <= notices[at].end:
            page.runs[i] = as_skip(page.runs[i], notices[at].reason)


def _skip_navigation(page: Page) -> None:
    """Leave out navigation links: "Back to top", "Next chapter | Contents"."""
    for i, run in enumerate(page.runs):
        if run.is_spoken and run.is_link and not run.level and _NAVIGATION.fullmatch(heading_key(run.words)):
            page.runs[i] = as_skip(run, Reason.NAVIGATION)


def _page_reason(
    spoken: Sequence[TextRun], name: str, facts: BookFacts, page_name: str, *, may_be_title: bool
) -> Reason | None:
    believed = facts.guide.get(page_name)
    if believed is not None and _is_plausible(believed, spoken, facts):
        return believed
    is_imprint = _num_imprint_signs(spoken) > 1 and any(_STRONG_SIGN.search(run.words) for run in spoken)
    if is_imprint and _num_words(spoken) <= _MAX_IMPRINT:
        return Reason.IMPRINT
    if len(spoken) > 2 and all(run.is_link for run in spoken):
        return Reason.CONTENTS
    is_called_title = bool(re.fullmatch(r"(?:half[- ]?)?title[- ]?page|half[- ]?title", name.strip(), re.I))
    if may_be_title and _is_title_page(spoken, facts, is_called_title):
        return Reason.TITLE_PAGE
    return None


def _is_plausible(reason: Reason, spoken: Sequence[TextRun], facts: BookFacts) -> bool:
    if reason in (Reason.CONTENTS, Reason.ILLUSTRATION_LIST):
        return _num_entries(spoken, facts) * 5 >= len(spoken) * 4
    if reason is Reason.TITLE_PAGE:
        return _num_words(spoken) <= _MAX_TITLE_PAGE
    long = sum(len(run.words.split()) for run in spoken if _is_prose(run) and not looks_like_note(run))
    return long * 2 < _num_words(spoken) or _num_imprint_signs(spoken) > 1


def _is_title_page(spoken: Sequence[TextRun], facts: BookFacts, is_called_title: bool) -> bool:
    if _num_words(spoken) > _MAX_TITLE_PAGE or any(_SENTENCE.search(run.words) for run in spoken):
        return False
    title = heading_key(facts.title)
    lines = [line for run in spoken[:4] for line in (run.words, *run.words.split("\n"))]
    return is_called_title or (bool(title) and any(heading_key(line) == title for line in lines))


def _skip_sections(page: Page, name: str, facts: BookFacts) -> None:
    """Leave out sections with a heading such as "Notes" or "Index", up to the next heading of that level."""
    spoken = [i for i, run in enumerate(page.runs) if run.is_spoken]
    starts = [i for i in spoken if page.runs[i].level]
    first = page.runs[spoken[0]]
    if not first.level:
        starts.insert(0, spoken[0])
    done = -1
    for number, start in enumerate(starts):
        if start < done:
            continue
        heading = page.runs[start]
        is_heading = bool(heading.level) or is_contents(heading.words)
        called = heading.words.replace("\n", " ") if is_heading or _kind_of(heading.words) else name
        kind = _kind_of(called) or (_kind_of(name) if start == spoken[0] else None)
        if kind is None:
            continue
        reason, check = kind
        level = heading.level or 9
        end = next((i for i in starts[number + 1 :] if page.runs[i].level <= level), len(page.runs))
        has_own_heading = is_heading or called is not name
        below = [page.runs[i] for i in spoken if start + has_own_heading <= i < end]
        if reason is Reason.CONTENTS:
            end = _end_of_contents(page, start + has_own_heading, facts)
            if end > start + has_own_heading:
                _skip_all(page, range(start, end), reason)
                done = end
        elif below and check(below):
            _skip_all(page, range(start, end), reason)
            done = end


def _end_of_contents(page: Page, start: int, facts: BookFacts) -> int:
    end = start
    for i in range(start, len(page.runs)):
        run = page.runs[i]
        if not run.is_spoken:
            continue
        if not _is_entry(run, facts) or (run.level and not run.is_link and i > start and not facts.titles):
            break
        end = i + 1
    return end


def _skip_bare_headings(page: Page) -> None:
    """Leave out a heading if everything below it is left out as notes or lists."""
    lists = (
        Reason.NOTE, Reason.CONTENTS, Reason.INDEX, Reason.BIBLIOGRAPHY, Reason.ILLUSTRATION_LIST, Reason.TABLE_LIST,
    )  # fmt: skip
    below: list[str] = []  # reasons of the runs below, up to the next that is spoken
    for i in range(len(page.runs) - 1, -1, -1):
        run = page.runs[i]
        if run.is_spoken:
            reason = next((each for each in lists if each in below), None)
            others = [each for each in below if each not in lists and each != Reason.NOTE_MARK]
            if run.level and reason and not others and (reason is not Reason.NOTE or _kind_of(run.words)):
                page.runs[i] = as_skip(run, reason)
            else:
                below = [""]
        elif run.words:
            below.append(run.reason)


def _kind_of(title: str) -> tuple[Reason, Callable[[Sequence[TextRun]], bool]] | None:
    words = heading_key(title)
    return next(((reason, check) for pattern, reason, check in _SECTIONS if pattern.fullmatch(words)), None)


def _are_notes(below: Sequence[TextRun]) -> bool:
    texts = [run for run in below if not run.level]
    notes = [run for run in texts if looks_like_note(run)]
    return len(notes) * 2 >= len(texts) and _num_words(notes) * 2 >= _num_words(texts)


def _are_sources(below: Sequence[TextRun]) -> bool:
    return sum(bool(_YEAR.search(run.words)) for run in below) * 2 >= len(below)


def _is_index(below: Sequence[TextRun]) -> bool:
    entries = [line for run in below for line in run.words.split("\n") if len(line) > 1]
    return sum(bool(_ENDS_WITH_PAGE.search(line)) for line in entries) * 2 >= len(entries)


def _is_list(below: Sequence[TextRun]) -> bool:
    return not any(_is_prose(run) for run in below)


def _has_imprint_sign(below: Sequence[TextRun]) -> bool:
    return _num_imprint_signs(below) > 0


def _always(below: Sequence[TextRun]) -> bool:
    return True


_SECTIONS: tuple[tuple[re.Pattern[str], Reason, Callable[[Sequence[TextRun]], bool]], ...] = tuple(
    (re.compile(pattern), reason, check)
    for pattern, reason, check in (
        (r"(?:table of )?contents", Reason.CONTENTS, _always),
        (r"(?:list of )?(?:illustrations|plates|maps|figures|tables)", Reason.CONTENTS, _always),
        (r"(?:(?:foot|end)?notes?|annotations)(?: (?:to|for|on) .*)?", Reason.NOTE, _are_notes),
        (r"(?:select(?:ed)? )?bibliography|works cited", Reason.BIBLIOGRAPHY, _always),
        (
            r"references|(?:suggested |further )reading|(?:list of )?sources|literature",
            Reason.BIBLIOGRAPHY,
            _are_sources,
        ),
        (r"(?:general |subject )?index(?: of .*)?", Reason.INDEX, _is_index),
        (
            r"(?:also|other (?:books|works|titles|novels)|(?:more )?(?:books|titles|novels|works)|more) (?:available )?"
            r"(?:by|from|in the)\b.*|by the same author",
            Reason.OTHER_BOOKS,
            _is_list,
        ),
        (r"copyright(?: page| notice| information)?|imprint|legal notice", Reason.IMPRINT, _has_imprint_sign),
        (r"transcriber s? ?notes?", Reason.GUTENBERG_NOTICE, _always),
        (r".*project gutenberg.*licen[cs]e.*", Reason.GUTENBERG_NOTICE, _always),
    )
)


def _num_entries(spoken: Sequence[TextRun], facts: BookFacts) -> int:
    return sum(_is_entry(run, facts) or is_contents(run.words) for run in spoken)


def _is_entry(run: TextRun, facts: BookFacts) -> bool:
    """Return whether a run can be an entry of a table of contents."""
    lines = run.words.split("\n")
    return run.is_link or all(has_page_number(line) or heading_key(line) in facts.headings for line in lines)


def _num_imprint_signs(spoken: Sequence[TextRun]) -> int:
    text = "\n".join(run.words for run in spoken)[: 10 * _MAX_IMPRINT]
    return sum(bool(sign.search(text)) for sign in _SIGNS)


def _num_words(spoken: Sequence[TextRun]) -> int:
    return sum(len(run.words.split()) for run in spoken)


def _is_prose(run: TextRun) -> bool:
    return len(run.words.split()) >= _LONG


def _skip_all(page: Page, places: range, reason: Reason) -> None:
    for i in places:
        if page.runs[i].is_spoken:
            page.runs[i] = as_skip(page.runs[i], reason)
