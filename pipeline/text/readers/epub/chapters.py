"""Find where the chapters of an EPUB begin: by its table of contents, and by the headings of the pages it names.

A chapter begins with the first words at the target of its entry. A heading there belongs to it, whatever its markup;
headings without an entry are headings inside chapters. Where the table of contents leaves out pages, headings like
those of its entries begin chapters too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from pipeline.text.readers.epub.navigation import Entry
from pipeline.text.readers.epub.text_runs import Page, TextRun
from pipeline.text.structure.blocks import Role
from pipeline.text.structure.headings import classify_heading, heading_key, is_contents, is_subtitle

_MAX_HEADING_RUNS = 3  # runs that are one heading together: "Chapter 1", "The Fox"
_MAX_BEFORE_HEADING = 3  # runs above the heading of an entry, such as the name of a series
_MIN_CHAPTER_WORDS = 60  # below "Cover" or "Title Page", for these to be chapters
_BOOK_PARTS = (
    "cover",
    "title page",
    "title",
    "half title",
    "titlepage",
    "copyright",
    "start",
    "front cover",
    "back cover",
)


@dataclass(frozen=True)
class _Start:
    """The run where an entry begins."""

    run: int
    entry: Entry


def assign_chapters(pages: Sequence[Page], entries: Sequence[Entry]) -> list[TextRun]:
    """Return the runs of all pages; those where an entry of the table of contents begins have its depth."""
    runs = [run for page in pages for run in page.runs]
    offsets, total = {}, 0
    for page in pages:
        offsets[page.name] = total
        total += len(page.runs)
    starts = _starts(pages, entries, offsets, runs)
    assigner = _ChapterAssigner(runs, starts)
    for number, start in enumerate(starts):
        until = starts[number + 1].run if number + 1 < len(starts) else total
        assigner.begin(start, until)
    listed = {entry.page for entry in entries}
    assigner.continue_unlisted([offsets[page.name] for page in pages if page.name not in listed and page.runs])
    return assigner.result()


def _starts(
    pages: Sequence[Page], entries: Sequence[Entry], offsets: dict[str, int], runs: Sequence[TextRun]
) -> list[_Start]:
    """Return where the entries begin, in the order of the text."""
    by_name = {page.name: page for page in pages}
    keys: dict[str, dict[str, int]] = {}  # of pages that lack the id of an entry: their runs by words
    found = []
    for entry in entries:
        page = by_name.get(entry.page)
        if page is None or not entry.title:
            continue
        place = 0
        if entry.fragment in page.anchors:
            place = min(page.anchors[entry.fragment][0], len(page.runs))
        elif entry.fragment:
            if page.name not in keys:
                keys[page.name] = {heading_key(run.words): i for i, run in reversed(list(enumerate(page.runs)))}
            place = keys[page.name].get(heading_key(entry.title), 0)
        found.append(_Start(offsets[page.name] + place, entry))
    found.sort(key=lambda start: start.run)
    next_spoken = _next_spoken(runs)
    result = []
    for start, following in zip_longest(found, found[1:]):
        first = next_spoken[start.run]
        is_empty = following is not None and start.run < following.run <= first
        is_above = following is not None and following.entry.depth > start.entry.depth
        page_end = offsets[start.entry.page] + len(by_name[start.entry.page].runs)
        is_cover = first >= page_end and heading_key(start.entry.title) in _BOOK_PARTS
        if (not is_empty or is_above) and not is_cover:
            result.append(replace(start, run=first))
    return result


def _next_spoken(runs: Sequence[TextRun]) -> list[int]:
    """Return for each position in `runs` the first spoken run from there on."""
    result = [len(runs)] * (len(runs) + 1)
    for i in range(len(runs) - 1, -1, -1):
        result[i] = i if runs[i].is_spoken else result[i + 1]
    return result


class _ChapterAssigner:
    """Marks the runs where chapters begin."""

    def __init__(self, runs: Sequence[TextRun], starts: Sequence[_Start]) -> None:
        self.runs = list(runs)
        self.inserted: dict[int, list[TextRun]] = {}
        self.taken: set[int] = set()  # runs that belong to a heading
        self.starts = {start.run for start in starts}
        self.levels: list[tuple[int, int, int]] = []  # of the headings of entries: run, level, depth
        self._count_levels()

    def begin(self, start: _Start, until: int) -> None:
        """Begin an entry; the next one begins at run `until`."""
        first = start.run
        while first in self.taken:  # a part and its first chapter begin at the same run
            first += 1
        is_second = first != start.run
        if first >= len(self.runs) or (is_second and not self.runs[first].is_spoken):
            return
        wanted = heading_key(start.entry.title)
        heading = self._heading(first, until, wanted)
        if heading is None and is_second:
            return
        if heading is not None and until == start.run and not self._is_alike(*heading, wanted):
            heading = None  # it is the heading of the next entry, at the same run
        title, depth = start.entry.title, start.entry.depth
        if heading is not None:
            begin, end = heading
            words = "\n".join(self.runs[i].words for i in range(begin, end) if self.runs[i].is_spoken)
            printed = heading_key(words)
            is_richer = f" {wanted} " in f" {printed} "
            level = min((self.runs[i].level for i in range(begin, end) if self.runs[i].level), default=0)
            self._join(begin, end, words, depth, "" if is_richer else title)
            self.levels.append((begin, level, depth))
            if begin != first:  # text above the heading belongs to the chapter
                self._open_silently(first, begin, title, depth)
        elif first not in self.inserted and not self._is_no_chapter(title, first, until):
            self.inserted[first] = [TextRun(title, Role.SECTION, depth=depth)]
            self.levels.append((first, 0, depth))

    def continue_unlisted(self, page_starts: Sequence[int]) -> None:
        """Begin a chapter at each page without an entry whose heading is like that of the entry before."""
        if not self.levels:
            return
        levels = sorted(self.levels)
        at = 0
        for start in page_starts:
            first = start
            while first < len(self.runs) and not self.runs[first].is_spoken:
                first += 1
            while at + 1 < len(levels) and levels[at + 1][0] < first:
                at += 1
            place, level, depth = levels[at]
            run = self.runs[first] if first < len(self.runs) else TextRun("")
            is_alike = run.level == level if place < first else 0 < run.level <= level
            if run.level and is_alike and not run.depth and first not in self.taken | self.starts:
                self._join(*self._with_subtitle(first, first + 1, len(self.runs)), "", depth, "")

    def result(self) -> list[TextRun]:
        """Return all runs, including inserted ones."""
        return [each for i, run in enumerate(self.runs) for each in (*self.inserted.get(i, ()), run)]

    def _heading(self, first: int, until: int, wanted: str) -> tuple[int, int] | None:
        """Return the range of runs that are the heading of an entry at `first`; None: it has no heading."""
        begin = first
        if not self.runs[first].level and not self._is_part_of(first, wanted):
            last = min(len(self.runs), first + _MAX_BEFORE_HEADING + 1, until if until > first else len(self.runs))
            named = next((i for i in range(first, last) if self._is_named(i, wanted)), None)
            if named is None:
                return None
            begin = named
        end = begin + 1
        while end < len(self.runs) and end - begin < _MAX_HEADING_RUNS and self._continues_heading(end, wanted):
            end += 1
        while end > begin + 1:  # the last run is a heading of its own
            together = " ".join(heading_key(self.runs[i].words) for i in range(begin, end))
            if f" {together} " in f" {wanted} " or self.runs[end - 1].words == "":
                break
            end -= 1
        return self._with_subtitle(begin, end, until)

    def _continues_heading(self, place: int, wanted: str) -> bool:
        run = self.runs[place]
        is_free = place not in self.starts and place not in self.taken
        return is_free and run.is_spoken and (bool(run.level) or self._is_part_of(place, wanted))

    def _is_part_of(self, place: int, wanted: str) -> bool:
        return bool(words := heading_key(self.runs[place].words)) and f" {words} " in f" {wanted} "

    def _is_alike(self, begin: int, end: int, wanted: str) -> bool:
        words = " ".join(heading_key(self.runs[i].words) for i in range(begin, end)).strip()
        return f" {words} " in f" {wanted} " or f" {wanted} " in f" {words} "

    def _is_named(self, place: int, wanted: str) -> bool:
        words = heading_key(self.runs[place].words)
        return bool(words) and (words == wanted or (bool(self.runs[place].level) and f" {words} " in f" {wanted} "))

    def _with_subtitle(self, begin: int, end: int, until: int) -> tuple[int, int]:
        """Extend a heading that is only a number by the title below it."""
        words = " ".join(self.runs[i].words for i in range(begin, end))
        number = classify_heading(words)
        if end >= len(self.runs) - 1 or number is None or not number.is_bare or end in self.starts:
            return begin, end
        below = self.runs[end]
        if not below.is_spoken or is_contents(below.words):
            return begin, end
        if below.level:
            is_title = self.is_lone_level[end]
        else:
            is_title = is_subtitle(below.words) and (below.is_title or self.runs[begin].is_title)
        return begin, end + is_title

    def _join(self, begin: int, end: int, words: str, depth: int, title: str) -> None:
        words = words or "\n".join(self.runs[i].words for i in range(begin, end))
        if end > begin + 1:
            last = range(begin, end)
            words = "\n".join(self.runs[i].words for i in last if self.runs[i].words)
        self.runs[begin] = replace(self.runs[begin], words=words, role=Role.SECTION, title=title, depth=depth)
        for i in range(begin + 1, end):
            self.runs[i] = replace(self.runs[i], words="", role=Role.TEXT, level=0)
        self.taken |= set(range(begin, end))

    def _open_silently(self, first: int, begin: int, title: str, depth: int) -> None:
        """Begin a chapter at text above its heading."""
        self.runs[begin] = replace(self.runs[begin], depth=0, title="")
        self.runs[first] = replace(self.runs[first], depth=depth, title=title)

    def _is_no_chapter(self, title: str, first: int, until: int) -> bool:
        """Return whether an entry is not a chapter: a table of contents, or a cover or the like with few words."""
        if is_contents(title):
            return True
        if heading_key(title) not in _BOOK_PARTS:
            return False
        words = sum(len(self.runs[i].words.split()) for i in range(first, min(until, first + 200)))
        return words < _MIN_CHAPTER_WORDS

    def _count_levels(self) -> None:
        """Find subtitles: headings with no other of their level before the next heading of a higher level."""
        self.is_lone_level = [False] * (len(self.runs) + 1)
        open_headings: dict[int, list[int]] = {}
        for i, run in enumerate([*self.runs, TextRun("", level=1)]):
            if not run.level:
                continue
            for level in [level for level in open_headings if level > run.level]:
                places = open_headings.pop(level)
                if len(places) == 1:
                    self.is_lone_level[places[0]] = True
            open_headings.setdefault(run.level, []).append(i)
            if run.level == 1 and len(open_headings[1]) > 1:
                open_headings[1] = [i]
