"""Where the chapters of an EPUB begin: its table of contents, and the headings of the pages that it names.

Each entry begins with the first words at the place that it points to. A heading there belongs to it, whatever its
markup; headings that no entry names stay headings inside chapters. Where the table of contents stops, or leaves out
pages, headings like those of its entries go on with its chapters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from pipeline.text.readers.epub.navigation import Entry
from pipeline.text.readers.epub.pieces import Page, TextRun
from pipeline.text.structure.blocks import Role
from pipeline.text.structure.headings import is_contents, is_subtitle, key, recognise

_MAX_HEADING_PIECES = 3  # pieces that are one heading together: "Chapter 1", "The Fox"
_MAX_BEFORE_HEADING = 3  # pieces that may stand above the heading that an entry names: a series, a caption
_MIN_CHAPTER_WORDS = 60  # that "Cover" or "Title Page" must have below it to be the title of a chapter
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
    """Where an entry begins."""

    piece: int
    entry: Entry


def with_chapters(pages: Sequence[Page], entries: Sequence[Entry]) -> list[TextRun]:
    """Return the pieces of all pages; those that begin an entry of the table of contents have its depth."""
    pieces = [piece for page in pages for piece in page.pieces]
    offsets, total = {}, 0
    for page in pages:
        offsets[page.name] = total
        total += len(page.pieces)
    starts = _starts(pages, entries, offsets, pieces)
    chapters = _Chapters(pieces, starts)
    for number, start in enumerate(starts):
        until = starts[number + 1].piece if number + 1 < len(starts) else total
        chapters.begin(start, until)
    listed = {entry.page for entry in entries}
    chapters.go_on([offsets[page.name] for page in pages if page.name not in listed and page.pieces])
    return chapters.result()


def _starts(
    pages: Sequence[Page], entries: Sequence[Entry], offsets: dict[str, int], pieces: Sequence[TextRun]
) -> list[_Start]:
    """Return where the entries begin, in the order of the text."""
    by_name = {page.name: page for page in pages}
    keys: dict[str, dict[str, int]] = {}  # of pages with a fragment that is missing: their words, and where they stand
    found = []
    for entry in entries:
        page = by_name.get(entry.page)
        if page is None or not entry.title:
            continue
        place = 0
        if entry.fragment in page.anchors:
            place = min(page.anchors[entry.fragment][0], len(page.pieces))
        elif entry.fragment:
            if page.name not in keys:
                keys[page.name] = {key(piece.words): i for i, piece in reversed(list(enumerate(page.pieces)))}
            place = keys[page.name].get(key(entry.title), 0)
        found.append(_Start(offsets[page.name] + place, entry))
    found.sort(key=lambda start: start.piece)
    next_spoken = _next_spoken(pieces)
    result = []
    for start, following in zip_longest(found, found[1:]):
        first = next_spoken[start.piece]
        is_empty = following is not None and start.piece < following.piece <= first
        is_above = following is not None and following.entry.depth > start.entry.depth
        page_end = offsets[start.entry.page] + len(by_name[start.entry.page].pieces)
        is_cover = first >= page_end and key(start.entry.title) in _BOOK_PARTS
        if (not is_empty or is_above) and not is_cover:
            result.append(replace(start, piece=first))
    return result


def _next_spoken(pieces: Sequence[TextRun]) -> list[int]:
    """Return for each place in `pieces` the first one from there on that is spoken."""
    result = [len(pieces)] * (len(pieces) + 1)
    for i in range(len(pieces) - 1, -1, -1):
        result[i] = i if pieces[i].is_spoken else result[i + 1]
    return result


class _Chapters:
    """Gives pieces the chapters that begin with them."""

    def __init__(self, pieces: Sequence[TextRun], starts: Sequence[_Start]) -> None:
        self.pieces = list(pieces)
        self.inserted: dict[int, list[TextRun]] = {}
        self.taken: set[int] = set()  # pieces that belong to a heading
        self.starts = {start.piece for start in starts}
        self.levels: list[tuple[int, int, int]] = []  # of headings of entries: piece, printed level, depth
        self._count_levels()

    def begin(self, start: _Start, until: int) -> None:
        """Begin an entry; the next one begins at piece `until`."""
        first = start.piece
        while first in self.taken:  # the headings of a part and of its first chapter stand at one place
            first += 1
        is_second = first != start.piece
        if first >= len(self.pieces) or (is_second and not self.pieces[first].is_spoken):
            return
        wanted = key(start.entry.title)
        heading = self._heading(first, until, wanted)
        if heading is None and is_second:
            return
        if heading is not None and until == start.piece and not self._is_alike(*heading, wanted):
            heading = None  # it is that of the next entry, which begins at the same place
        title, depth = start.entry.title, start.entry.depth
        if heading is not None:
            begin, end = heading
            words = "\n".join(self.pieces[i].words for i in range(begin, end) if self.pieces[i].is_spoken)
            printed = key(words)
            is_richer = f" {wanted} " in f" {printed} "
            level = min((self.pieces[i].level for i in range(begin, end) if self.pieces[i].level), default=0)
            self._join(begin, end, words, depth, "" if is_richer else title)
            self.levels.append((begin, level, depth))
            if begin != first:  # words above the heading belong to it as well
                self._open_silently(first, begin, title, depth)
        elif first not in self.inserted and not self._is_no_chapter(title, first, until):
            self.inserted[first] = [TextRun(title, Role.SECTION, depth=depth)]
            self.levels.append((first, 0, depth))

    def go_on(self, page_starts: Sequence[int]) -> None:
        """Begin a chapter at each page that no entry names, where its heading is like that of the entry before."""
        if not self.levels:
            return
        levels = sorted(self.levels)
        at = 0
        for start in page_starts:
            first = start
            while first < len(self.pieces) and not self.pieces[first].is_spoken:
                first += 1
            while at + 1 < len(levels) and levels[at + 1][0] < first:
                at += 1
            place, level, depth = levels[at]
            piece = self.pieces[first] if first < len(self.pieces) else TextRun("")
            is_alike = piece.level == level if place < first else 0 < piece.level <= level
            if piece.level and is_alike and not piece.depth and first not in self.taken | self.starts:
                self._join(*self._with_subtitle(first, first + 1, len(self.pieces)), "", depth, "")

    def result(self) -> list[TextRun]:
        """Return all pieces, those that were inserted among them."""
        return [each for i, piece in enumerate(self.pieces) for each in (*self.inserted.get(i, ()), piece)]

    def _heading(self, first: int, until: int, wanted: str) -> tuple[int, int] | None:
        """Return the pieces that are the heading of an entry whose words begin with `first`; None: it has none."""
        begin = first
        if not self.pieces[first].level and not self._is_part_of(first, wanted):
            last = min(len(self.pieces), first + _MAX_BEFORE_HEADING + 1, until if until > first else len(self.pieces))
            named = next((i for i in range(first, last) if self._is_named(i, wanted)), None)
            if named is None:
                return None
            begin = named
        end = begin + 1
        while end < len(self.pieces) and end - begin < _MAX_HEADING_PIECES and self._goes_on(end, wanted):
            end += 1
        while end > begin + 1:  # what stands below is a heading of its own
            together = " ".join(key(self.pieces[i].words) for i in range(begin, end))
            if f" {together} " in f" {wanted} " or self.pieces[end - 1].words == "":
                break
            end -= 1
        return self._with_subtitle(begin, end, until)

    def _goes_on(self, place: int, wanted: str) -> bool:
        piece = self.pieces[place]
        is_free = place not in self.starts and place not in self.taken
        return is_free and piece.is_spoken and (bool(piece.level) or self._is_part_of(place, wanted))

    def _is_part_of(self, place: int, wanted: str) -> bool:
        return bool(words := key(self.pieces[place].words)) and f" {words} " in f" {wanted} "

    def _is_alike(self, begin: int, end: int, wanted: str) -> bool:
        words = " ".join(key(self.pieces[i].words) for i in range(begin, end)).strip()
        return f" {words} " in f" {wanted} " or f" {wanted} " in f" {words} "

    def _is_named(self, place: int, wanted: str) -> bool:
        words = key(self.pieces[place].words)
        return bool(words) and (words == wanted or (bool(self.pieces[place].level) and f" {words} " in f" {wanted} "))

    def _with_subtitle(self, begin: int, end: int, until: int) -> tuple[int, int]:
        """Add the title that stands below a heading that is a number alone."""
        words = " ".join(self.pieces[i].words for i in range(begin, end))
        number = recognise(words)
        if end >= len(self.pieces) - 1 or number is None or not number.is_bare or end in self.starts:
            return begin, end
        below = self.pieces[end]
        if not below.is_spoken or is_contents(below.words):
            return begin, end
        if below.level:
            is_title = self.is_lone_level[end]
        else:
            is_title = is_subtitle(below.words) and (below.is_title or self.pieces[begin].is_title)
        return begin, end + is_title

    def _join(self, begin: int, end: int, words: str, depth: int, title: str) -> None:
        words = words or "\n".join(self.pieces[i].words for i in range(begin, end))
        if end > begin + 1:
            last = range(begin, end)
            words = "\n".join(self.pieces[i].words for i in last if self.pieces[i].words)
        self.pieces[begin] = replace(self.pieces[begin], words=words, role=Role.SECTION, title=title, depth=depth)
        for i in range(begin + 1, end):
            self.pieces[i] = replace(self.pieces[i], words="", role=Role.TEXT, level=0)
        self.taken |= set(range(begin, end))

    def _open_silently(self, first: int, begin: int, title: str, depth: int) -> None:
        """Begin a chapter above its heading."""
        self.pieces[begin] = replace(self.pieces[begin], depth=0, title="")
        self.pieces[first] = replace(self.pieces[first], depth=depth, title=title)

    def _is_no_chapter(self, title: str, first: int, until: int) -> bool:
        """Return whether an entry names a cover, a list or the like, with hardly a word of a chapter below it."""
        if is_contents(title):
            return True
        if key(title) not in _BOOK_PARTS:
            return False
        words = sum(len(self.pieces[i].words.split()) for i in range(first, min(until, first + 200)))
        return words < _MIN_CHAPTER_WORDS

    def _count_levels(self) -> None:
        """Find the headings with no other of their level before the next heading that is above them: subtitles."""
        self.is_lone_level = [False] * (len(self.pieces) + 1)
        open_headings: dict[int, list[int]] = {}
        for i, piece in enumerate([*self.pieces, TextRun("", level=1)]):
            if not piece.level:
                continue
            for level in [level for level in open_headings if level > piece.level]:
                places = open_headings.pop(level)
                if len(places) == 1:
                    self.is_lone_level[places[0]] = True
            open_headings.setdefault(piece.level, []).append(i)
            if piece.level == 1 and len(open_headings[1]) > 1:
                open_headings[1] = [i]
