"""Blocks, the common form of all formats of books, and the chapters of a `Document` that are made of them.

A reader says what each stretch of a text is (a `Block`). `assemble` makes chapters, paragraphs, boundaries and skips of
blocks, so that the invariants of `Document` hold in one place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from pipeline.text.letter_spacing import join_spaced_letters
from pipeline.text.skip_reasons import Reason
from pipeline.types import Boundary, Chapter, Paragraph, Skip

# Text before the first heading that is shorter than this and has no prose is a title page. It is spoken at the start of
# the first chapter.
_TITLE_PAGE_CHARACTERS = 400
_MIN_PROSE_WORDS = 10
_SENTENCE_END = re.compile(r"[.!?…:][\"'”’*_)]*\Z")
# The beginnings of dedications, mottos and notes of editors; words of imprints and bylines.
_NOT_PROSE = re.compile(
    r"[\"'“‘«—–*_\[(-]|(?:for|to|in (?:loving )?memory|dedicated|by|with|being)\b|"
    r".*\b(?:copyright|rights reserved|isbn|e-?book|edition|editors?|printed|published|publisher|produced|"
    r"translat(?:ed|ion|or)|illustrat(?:ed|ions?)|transcri\w+|licen[cs]ed?|author of|https?|www)\b|.*©",
    re.IGNORECASE | re.DOTALL,
)
_ATTRIBUTION = re.compile(r"[—–―~(\[-]")


class Role(Enum):
    """The part that a block has in a book."""

    TEXT = "text"
    PART = "part"  # a heading above the chapters
    CHAPTER = "chapter"
    SECTION = "section"  # a heading inside a chapter
    SCENE = "scene"  # a scene break: a mark, or only a wide gap
    SKIP = "skip"


_HEADINGS = (Role.PART, Role.CHAPTER, Role.SECTION)


@dataclass(frozen=True)
class Block:
    """A stretch `text[start:end]` that does not begin or end with white space."""

    start: int
    end: int
    role: Role = Role.TEXT
    reason: str = ""  # of a SKIP
    level: int = 0  # of a heading, in the format's count; 1 is the outermost
    blank_lines: int = 0  # before it
    title: str = ""  # of the chapter that begins here, if not its words; of a skip without words, what is missing
    part: str | None = None  # title of the part that the chapter is in; None: of the last part
    keeps_lines: bool = False  # its line ends are spoken as pauses: verse, an address


def _title_key(line: str) -> str:
    """Return a title without case and punctuation, to compare two of them."""
    return re.sub(r"[\W_]+", " ", line).strip().casefold()


def display_title(text: str) -> str:
    """Return a heading as a list of chapters shows it: on one line, without a final stop, and not in ALL CAPS."""
    lines = []
    for line in join_spaced_letters(text).split("\n"):
        words = re.sub(r"(?<!\w)[*_`]+|[*_`]+(?!\w)", "", " ".join(line.split())).rstrip(".:;,—– ")
        if words:
            lines.append(_title_case(words) if words.isupper() else _SHOUTED.sub(_capitalized, words))
    return ": ".join(lines)


_SHOUTED = re.compile(r"\A(?:CHAPTER|LETTER|VOLUME|BOOK|PART)\b")
_SMALL_WORD = re.compile(r"an?|and|as|at|but|by|de|du|for|from|in|into|la|le|nor|of|on|or|the|to|upon|with")
_ROMAN = re.compile(r"(?=[IVXLC])(?:C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")


def _capitalized(match: re.Match[str]) -> str:
    return match[0].capitalize()


def _title_case(title: str) -> str:
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
    """Return the value of a Roman numeral up to 399, in capital letters; None: it is not one."""
    if not text or not _ROMAN.fullmatch(text):
        return None
    values = [{"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}[letter] for letter in text]
    return sum(-value if value < after else value for value, after in zip(values, [*values[1:], 0], strict=True))


def _is_title_page(paragraphs: Sequence[Paragraph]) -> bool:
    """Return whether the text above the first heading is a title, author, dedication or motto, and not prose."""
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
    """Make the chapters and skips of a `Document`.

    The words of a PART are the first paragraph of the chapter after it, and its title stands before the titles of all
    its chapters, whose numbers may begin again in each part.

    Args:
        text: The whole text.
        blocks: Its blocks in reading order. Text that is in none of them is neither spoken nor skipped.
        title: Title of the book; also that of its only chapter, if there is no CHAPTER.
    """
    builder = _ChapterBuilder(text, title)
    for block in _skip_repeated_headings(text, blocks):
        builder.add(block)
    return builder.finish()


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
        if last >= 0 and _title_key(_words(text, result[last])) == _title_key(_words(text, block)) != "":
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


class _ChapterBuilder:
    """Collects blocks into chapters."""

    def __init__(self, text: str, title: str) -> None:
        self.text = text
        self.title = title
        self.chapters: list[Chapter] = []
        self.skips: list[Skip] = []
        self.part = ""
        self.title_page: list[Paragraph] = []
        self.part_headings: list[Paragraph] = []  # headings of parts before their first chapter
        self.chapter_title: str | None = None  # None: before the first heading
        self.paragraphs: list[Paragraph] = []

    def add(self, block: Block) -> None:
        if block.role is Role.SKIP:
            self.skips.append(Skip(block.start, block.end, block.reason, block.title))
        elif block.role is Role.SCENE:
            self._end_scene(block)
        elif block.role is Role.PART:
            self._close()
            self.part_headings.append(self._paragraph(block))
            self.part = self._title(block, block.part or "")
        elif block.role is Role.CHAPTER:
            self._close()
            self._open(self._title(block, self.part if block.part is None else block.part), self._paragraph(block))
        elif block.title:  # a chapter that begins with text above its heading
            self._close()
            self._open(self._title(block, block.part or ""))
            self.paragraphs.append(self._paragraph(block))
        else:
            if self.part_headings:  # a part with text of its own
                self._open(self.part)
            self.paragraphs.append(self._paragraph(block))

    def finish(self) -> tuple[tuple[Chapter, ...], tuple[Skip, ...]]:
        if self.part_headings:
            self._open(self.part)
        if self.paragraphs:
            self.chapters.append(Chapter(self.chapter_title or self.title, tuple(self.paragraphs)))
        return tuple(self.chapters), tuple(sorted(self.skips, key=lambda skip: skip.start))

    def _title(self, block: Block, part: str) -> str:
        own = display_title(block.title or _words(self.text, block))
        is_book = _title_key(part) == _title_key(self.title)  # a half title is not a part
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
        self.paragraphs = [*self._joined(self.title_page), *self._joined([*self.part_headings, *heading])]
        self.title_page, self.part_headings = [], []

    def _close(self) -> None:
        """End a chapter before a heading. A title page is kept for the chapter that follows."""
        if not self.paragraphs:
            return
        if self.chapter_title is None and _is_title_page(self.paragraphs):
            self.title_page = self.paragraphs
        else:
            self.chapters.append(Chapter(self.chapter_title or self.title, tuple(self.paragraphs)))
        self.paragraphs = []

    def _joined(self, headings: list[Paragraph]) -> list[Paragraph]:
        """Join headings with only white space between them, since "Part I" alone is too short to be spoken well."""
        joined: list[Paragraph] = []
        for heading in headings:
            start = heading.start
            if joined and not self.text[joined[-1].start + len(joined[-1].text) : start].strip():
                start = joined.pop().start
            end = heading.start + len(heading.text)
            joined.append(Paragraph(self.text[start:end], start, Boundary.HEADING, is_heading=True))
        return joined
