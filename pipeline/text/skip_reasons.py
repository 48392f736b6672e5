"""The reasons why text of a source is not spoken, and which of them need no warning."""

from __future__ import annotations

from enum import Enum


class Reason(str, Enum):
    """Reason of a `Skip`. `left_out.jsonl` and the dry run show the value."""

    # Expected: a narrator does not read these aloud either.
    NOTE = "note"
    FOOTNOTE = "footnote"  # of Markdown
    SIDENOTE = "note in the margin"
    NOTE_MARK = "note reference"
    PAGE_NUMBER = "page number"
    RUNNING_HEAD = "running head"
    REPEATED_HEADING = "repeated heading"  # "Part I" on a page of its own, and again above its first chapter
    LINE_NUMBER = "line number"
    VERSE_NUMBER = "verse number"
    CONTENTS = "table of contents"
    PAGE_LIST = "list of pages"
    NAVIGATION = "navigation link"  # "Back to top"
    ILLUSTRATION_LIST = "list of illustrations"
    TABLE_LIST = "list of tables"
    TITLE_PAGE = "title page"
    IMPRINT = "imprint"
    COLOPHON = "colophon"
    OTHER_BOOKS = "list of other books"
    INDEX = "index"
    BIBLIOGRAPHY = "bibliography"
    GUTENBERG_HEADER = "header of Project Gutenberg"
    GUTENBERG_FOOTER = "footer of Project Gutenberg"
    GUTENBERG_NOTICE = "notice of Project Gutenberg"
    FRONT_MATTER = "front matter"  # of Markdown: title, author ... as fields
    SCENE_MARK = "scene break mark"
    MARKUP = "markup"
    COMMENT = "comment"
    LINK_TARGET = "link target"
    NOT_SELECTED = "chapter not selected"
    READING = "reading of characters"  # ruby: the base text is spoken
    ALTERNATIVE = "alternative for other devices"  # the main content is spoken
    # A listener may miss these.
    TABLE = "table"
    CODE = "code"
    FORM = "form"
    FORMULA = "formula"
    PICTURE = "picture"
    IMAGE = "image"  # of Markdown
    ILLUSTRATION = "illustration"  # of Project Gutenberg
    DRAWING = "drawing"
    MEDIA = "audio or video"
    HIDDEN = "hidden"
    SYMBOLS = "only symbols"
    OUTSIDE = "outside the reading order"
    # The file is damaged. The record has no text; its detail names the page or the address.
    MISSING_PAGE = "missing page"
    UNREADABLE_PAGE = "unreadable page"
    BROKEN_ENTRY = "broken entry of the table of contents"

    def __str__(self) -> str:
        return self.value

    @property
    def is_expected(self) -> bool:
        """Return whether it needs no warning, however much is left out."""
        return self in _EXPECTED

    @property
    def is_damage(self) -> bool:
        """Return whether something is wrong with the file itself."""
        return self in _DAMAGE


_ALL = list(Reason)
_EXPECTED = frozenset(_ALL[: _ALL.index(Reason.TABLE)])
_DAMAGE = frozenset({Reason.MISSING_PAGE, Reason.UNREADABLE_PAGE, Reason.BROKEN_ENTRY})
