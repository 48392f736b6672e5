"""What a page of an EPUB is read into: runs in order, where its ids stand, and its marks of notes."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.text.structure.blocks import Role


@dataclass(frozen=True)
class TextRun:
    """What stands between two edges of blocks, its white space as a page shows it."""

    words: str
    role: Role = Role.TEXT  # TEXT, SECTION, SCENE or SKIP; CHAPTER and PART once the chapters are known
    reason: str = ""  # of a SKIP
    level: int = 0  # of a heading, as printed: 1 to 6
    label: str = ""  # the mark of a note that it begins with
    links: tuple[str, ...] = ()  # addresses that it links to
    is_link: bool = False  # no letters outside its links
    is_item: bool = False  # the first of an item of a list
    is_title: bool = False  # its class says that it is a title
    title: str = ""  # of the chapter that begins with it, where that is not its words
    depth: int = 0  # of that chapter in the table of contents, 1 is the outermost

    @property
    def is_spoken(self) -> bool:
        """Whether it has words to speak."""
        return self.role not in (Role.SKIP, Role.SCENE) and bool(self.words)


@dataclass(frozen=True)
class Mark:
    """A mark of a note in the text."""

    label: str
    address: str  # that it links to; "": none


@dataclass
class Page:
    """One file of the book."""

    name: str = ""
    runs: list[TextRun] = field(default_factory=list)
    anchors: dict[str, tuple[int, int]] = field(default_factory=dict)  # id: its runs, as a range
    marks: list[Mark] = field(default_factory=list)
