"""The text runs of an EPUB page, with the positions of ids and note marks."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.text.structure.blocks import Role


@dataclass(frozen=True)
class TextRun:
    """The text between two block boundaries, with white space collapsed as on a shown page."""

    words: str
    role: Role = Role.TEXT  # TEXT, SECTION, SCENE or SKIP; CHAPTER and PART once the chapters are known
    reason: str = ""  # of a SKIP
    level: int = 0  # of a heading, as printed: 1 to 6
    label: str = ""  # the note mark at its beginning
    links: tuple[str, ...] = ()  # targets of its links
    is_link: bool = False  # all its letters are in links
    is_item: bool = False  # it begins an item of a list
    is_title: bool = False  # its class says that it is a title
    title: str = ""  # of the chapter that begins with it, if not its words
    depth: int = 0  # of that chapter in the table of contents, 1 is the outermost

    @property
    def is_spoken(self) -> bool:
        """Return whether it has words that are spoken."""
        return self.role not in (Role.SKIP, Role.SCENE) and bool(self.words)


@dataclass(frozen=True)
class Mark:
    """A note mark in the text."""

    label: str
    address: str  # target of its link; "": it is not a link


@dataclass
class Page:
    """One file of the book."""

    name: str = ""
    runs: list[TextRun] = field(default_factory=list)
    anchors: dict[str, tuple[int, int]] = field(default_factory=dict)  # id: the range of its runs
    marks: list[Mark] = field(default_factory=list)
