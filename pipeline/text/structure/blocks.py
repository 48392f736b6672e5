"""Blocks, the common form of plain text and Markdown, and how they become the chapters of a `Document`.

A reader of some format says what each stretch of the text is (a `Block`); `assemble` alone makes chapters, paragraphs,
boundaries and skips of them, so that the invariants of `Document` are kept in one place. It knows no format.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from pipeline.text.letter_spacing import join_spaced_letters
from pipeline.text.skip_reasons import Reason
from pipeline.types import Boundary, Chapter, Paragraph, Skip

# Text before the first heading that is shorter than this, and has no prose, is a title page: it is spoken before the
# first heading.
_TITLE_PAGE_CHARACTERS = 400
_MIN_PROSE_WORDS = 10
_SENTENCE_END = re.compile(r"[.!?…:][\"'”’*_)]*\Z")
# What begins a dedication, a motto, a note of the editor; what is said in imprints and bylines.
_NOT_PROSE = re.compile(
    r"[\"'“‘«—–*_\[(-]|(?:for|to|in (?:loving )?memory|dedicated|by|with|being)\b|"
    r".*\b(?:copyright|rights reserved|isbn|e-?book|edition|editors?|printed|published|publisher|produced|"
    r"translat(?:ed|ion|or)|illustrat(?:ed|ions?)|transcri\w+|licen[cs]ed?|author of|https?|www)\b|.*©",
    re.IGNORECASE | re.DOTALL,
)
_ATTRIBUTION = re.compile(r"[—–―~(\[-]")


class Role(Enum):
    """What a block is to the book."""

    TEXT = "text"
    PART = "part"  # a heading above the chapters
    CHAPTER = "chapter"
    SECTION = "section"  # a heading inside a chapter
    SCENE = "scene"  # a mark between scenes, or nothing but a wide gap
    SKIP = "skip"


_HEADINGS = (Role.PART, Role.CHAPTER, Role.SECTION)


@dataclass(frozen=True)
class Block:
    """A stretch `text[start:end]` that neither begins nor ends with white space."""

    start: int
    end: int
    role: Role = Role.TEXT
    reason: str = ""  # of a SKIP
    level: int = 0  # of a heading that may begin a chapter, as the format counts it; 1 is the outermost
    blank_lines: int = 0  # before it
    title: str = ""  # of the chapter that begins here, where that is not its words; of a skip, what has no words
    part: str | None = None  # title of the part that the chapter is in; None: of the part that came last
    keeps_lines: bool = False  # its line ends are those of verse or of an address


def _letters(line: str) -> str:
    """Return what two appearances of a title have in common, whatever their case and marks."""
    return re.sub(r"[\W_]+", " ", line).strip().casefold()


def display_title(text: str) -> str:
    """A heading on one line, as a list of chapters shows it: no final stop, and ALL CAPS in ordinary letters."""
    lines = []
    for line in join_spaced_letters(text).split("\n"):
        words = re.sub(r"(?<!\w)[*_`]+|[*_`]+(?!\w)", "", " ".join(line.split())).rstrip(".:;,—– ")
        if words:
            lines.append(_ordinary_letters(words) if words.isupper() else _SHOUTED.sub(_capitalized, words))
    return ": ".join(lines)


_SHOUTED = re.compile(r"\A(?:CHAPTER|LETTER|VOLUME|BOOK|PART)\b")
_SMALL_WORD = re.compile(r"an?|and|as|at|but|by|de|du|for|from|in|into|la|le|nor|of|on|or|the|to|upon|with")
_ROMAN = re.compile(r"(?=[IVXLC])(?:C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")


def _capitalized(match: re.Match[str]) -> str:
    return match[0].capitalize()


def _ordinary_letters(title: str) -> str:
    words = title.split(" ")
    first = True
    for position, word in enumerate(words):
        bare = word.strip(".,:;!?()[]\"'“”‘’")
        if _ROMAN.fullmatch(bare):
            pass
        elif not first and _SMALL_WORD.fullmatch(bare.lower()):
            words[position] = word.lower()
        else:
            words[position] = re.sub(r"(?<!['’])\b[^\W\d_]", lambda match: match[0].upper(), word.lower())
        first = word.endswith((":", ".", "!", "?"))
    return " ".join(words)


def roman_value(text: str) -> int | None:
    """The value of a Roman numeral up to 399, in capital letters; None if it is not one."""
    if not text or not _ROMAN.fullmatch(text):
        return None
    values = [{"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}[letter] for letter in text]
    return sum(-value if value < after else value for value, after in zip(values, [*values[1:], 0], strict=True))


def _is_title_page(paragraphs: Sequence[Paragraph]) -> bool:
    """Return whether what stands above the first heading is title, author, dedication or motto, and no prose."""
    if sum(len(each.text) for each in paragraphs) > _TITLE_PAGE_CHARACTERS:
        return False
    following = [*paragraphs[1:], None]
    return not any(_is_prose(each, after) for each, after in zip(paragraphs, following, strict=True))


def _is_prose(paragraph: Paragraph, after: Paragraph | None) -> bool:
    words = paragraph.text.strip()
    if paragraph.is_heading or paragraph.keeps_lines or words.isupper() or len(words.split()) < _MIN_PROSE_WORDS:
        return False
    is_motto = after is not None and bool(_ATTRIBUTION.match(after.text))
    return bool(_SENTENCE_END.search(words)) and not _NOT_PROSE.match(words) and not is_motto


def assemble(text: str, blocks: Iterable[Block], title: str) -> tuple[tuple[Chapter, ...], tuple[Skip, ...]]:
    """Makes chapters of blocks in reading order.

    A PART is the first paragraph of the chapter after it, and stands before the titles of all its chapters: their
    numbers may begin again in each part. A book without any CHAPTER is one chapter with the book's `title`.
    """
    book = _Book(text, title)
    for block in _skip_repeated_headings(text, blocks):
        book.add(block)
    return book.finish()


def _skip_repeated_headings(text: str, blocks: Iterable[Block]) -> list[Block]:
    """Leave out one of two headings that have the same words and nothing spoken between them: the lower one."""
    result: list[Block] = []
    last = -1  # the heading before, if nothing spoken has followed it
    for block in blocks:
        result.append(block)
        if block.role in (Role.SKIP, Role.SCENE):
            continue
        if block.role not in _HEADINGS:
            last = -1
            continue
        here = len(result) - 1
        if last >= 0 and _letters(_words(text, result[last])) == _letters(_words(text, block)) != "":
            is_lower = block.role is Role.SECTION and result[last].role is not Role.SECTION
            left_out, last = (here, last) if is_lower else (last, here)
            result[left_out] = replace(
                result[left_out], role=Role.SKIP, reason=Reason.REPEATED_HEADING.value, title="", part=None
            )
        else:
            last = here
    return result


def _words(text: str, block: Block) -> str:
    return text[block.start : block.end]


class _Book:
    """Chapters in the making."""

    def __init__(self, text: str, title: str) -> None:
        self.text = text
        self.title = title
        self.chapters: list[Chapter] = []
        self.skips: list[Skip] = []
        self.part = ""
        self.title_page: list[Paragraph] = []
        self.waiting: list[Paragraph] = []  # headings of parts whose first chapter has not come yet
        self.chapter_title: str | None = None  # None: before the first heading
        self.paragraphs: list[Paragraph] = []

    def add(self, block: Block) -> None:
        if block.role is Role.SKIP:
            self.skips.append(Skip(block.start, block.end, block.reason, block.title))
        elif block.role is Role.SCENE:
            self._end_scene(block)
        elif block.role is Role.PART:
            self._close()
            self.waiting.append(self._paragraph(block))
            self.part = self._title(block, block.part or "")
        elif block.role is Role.CHAPTER:
            self._close()
            self._open(self._title(block, self.part if block.part is None else block.part), self._paragraph(block))
        elif block.title:  # a chapter that begins with these words, above its heading
            self._close()
            self._open(self._title(block, block.part or ""))
            self.paragraphs.append(self._paragraph(block))
        else:
            if self.waiting:  # a part with words of its own, before its chapters or without any
                self._open(self.part)
            self.paragraphs.append(self._paragraph(block))

    def finish(self) -> tuple[tuple[Chapter, ...], tuple[Skip, ...]]:
        if self.waiting:
            self._open(self.part)
        if self.paragraphs:
            self.chapters.append(Chapter(self.chapter_title or self.title, tuple(self.paragraphs)))
        return tuple(self.chapters), tuple(sorted(self.skips, key=lambda skip: skip.start))

    def _title(self, block: Block, part: str) -> str:
        own = display_title(block.title or _words(self.text, block))
        is_book = _letters(part) == _letters(self.title)  # a half title above all chapters
        return f"{part}, {own}" if part and not is_book else own

    def _paragraph(self, block: Block) -> Paragraph:
        is_heading = block.role in _HEADINGS
        boundary = Boundary.HEADING if is_heading else Boundary.PARAGRAPH
        words = _words(self.text, block)
        keeps_lines = block.keeps_lines and "\n" in words and not is_heading
        return Paragraph(words, block.start, boundary, is_heading, keeps_lines)

    def _end_scene(self, block: Block) -> None:
        if block.end > block.start:
            self.skips.append(Skip(block.start, block.end, Reason.SCENE_MARK.value))
        if self.paragraphs and not self.paragraphs[-1].is_heading:
            self.paragraphs[-1] = replace(self.paragraphs[-1], boundary=Boundary.SCENE)

    def _open(self, title: str, *heading: Paragraph) -> None:
        self.chapter_title = title
        self.paragraphs = [*self._joined(self.title_page), *self._joined([*self.waiting, *heading])]
        self.title_page, self.waiting = [], []

    def _close(self) -> None:
        """Ends a chapter because a heading follows. A title page is kept, to be spoken before that heading."""
        if not self.paragraphs:
            return
        if self.chapter_title is None and _is_title_page(self.paragraphs):
            self.title_page = self.paragraphs
        else:
            self.chapters.append(Chapter(self.chapter_title or self.title, tuple(self.paragraphs)))
        self.paragraphs = []

    def _joined(self, headings: list[Paragraph]) -> list[Paragraph]:
        """Joins headings with only white space between them: "Part I" alone is too short to be spoken well."""
        joined: list[Paragraph] = []
        for heading in headings:
            start = heading.start
            if joined and not self.text[joined[-1].start + len(joined[-1].text) : start].strip():
                start = joined.pop().start
            end = heading.start + len(heading.text)
            joined.append(Paragraph(self.text[start:end], start, Boundary.HEADING, is_heading=True))
        return joined
