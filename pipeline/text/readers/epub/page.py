"""Reads one page of XHTML into pieces: paragraphs, headings, marks between scenes, and what is not to be spoken.

What a narrator would not read aloud (notes, numbers of pages, tables of figures, code) becomes a piece with the reason
why, so that nothing is lost silently. It knows no archive and no table of contents.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from lxml import etree

from pipeline.text.readers.epub import kinds
from pipeline.text.readers.epub.formulas import read_formula
from pipeline.text.readers.epub.lettering import (
    EDGE,
    INITIAL,
    LINE_END,
    break_fused,
    continues,
    is_lone_letter,
    join_initial,
)
from pipeline.text.readers.epub.parsing import only_children, separate_words_of, start_of, tag_of, words_of
from pipeline.text.readers.epub.pieces import Mark, Page, TextRun
from pipeline.text.readers.epub.raised import (
    OPENING_STAR,
    TEXT_MARK,
    Raised,
    as_degree,
    as_power,
    is_certain_mark,
    is_mark,
    judge_raised,
    separated,
    set_apart,
)
from pipeline.text.readers.epub.styles import Look, Styles
from pipeline.text.readers.epub.tables import is_label
from pipeline.text.skip_reasons import Reason
from pipeline.text.structure.blocks import Role

_SCENE = re.compile(r"[\s*·•⁂⁎∗§#~_–—❦❧☙✦✧✱✲✳✶✷✺✻✽❋❖◆◇■□●○★☆†‡-]+")
_MAX_MARK = 24  # characters of a mark of a note, of a page number and the like


@dataclass(frozen=True)
class _Place:
    """What holds for everything inside an element."""

    level: int = 0  # of the heading it is in
    reason: str = ""  # why it is not spoken
    is_preformatted: bool = False
    in_link: bool = False


def read_page(root: etree._Element, styles: Styles | None = None, targets: Collection[str] = ()) -> Page:
    """Read a page.

    Args:
        root: Its root.
        styles: What its style sheets say.
        targets: Ids at which a chapter begins; a line that begins with one begins a piece.

    Raises:
        RecursionError: It is nested too deeply.
    """
    reader = _Reader(styles or Styles(), targets)
    body = next((element for element in root.iter() if tag_of(element) == "body"), root)
    place = _Place()
    reader.read(body, place)
    reader.flush(place)
    return reader.page


class _Reader:
    """Walks over a page; the words of a piece gather until the edge of a block."""

    def __init__(self, styles: Styles, targets: Collection[str]) -> None:
        self.styles = styles
        self.targets = frozenset(targets)
        self.page = Page()
        self.words: list[str] = []
        self.recent = ""  # the end of `words`
        self.aside: list[TextRun] = []  # what is skipped within a paragraph comes after it
        self.links: list[str] = []
        self.has_letters_outside_links = False
        self.label = ""
        self.is_item = self.is_title = False
        self.after_label = False  # only the label of a row was read: its words go on with the next cell
        self.is_apart = False  # a control begins or ends here: the next words are not part of the word before
        self.guards = False  # lowered words end here: the next may not run into them
        self.last_note = 0  # number of the last mark of a note
        self.inline_ids: list[tuple[str, int]] = []  # ids in this piece, and how many words stand before them

    def read(self, element: etree._Element, place: _Place) -> None:
        """Read an element and what is in it."""
        tag = tag_of(element)
        if not tag:  # a comment
            return
        style = str(element.get("style", ""))
        look = self.styles.look(tag, str(element.get("class", "")), str(element.get("id", "")), style)
        inner = self._inner_place(element, tag, look, place)
        is_block = tag in kinds.BLOCKS or bool(look.is_block)
        ids = [str(name) for name in (element.get("id"), element.get("name") if tag == "a" else None) if name]
        start = self._open(place, is_block, ids)
        if tag == "hr":
            if not place.reason:  # a line above notes is no end of a scene
                self.page.pieces.append(TextRun("", Role.SCENE))
        elif tag == "br" and self._begins_line() and not (place.level or place.reason or place.is_preformatted):
            self.flush(place)  # an empty line ends a paragraph where a converter has written none
        elif tag == "br":
            self.words.append(LINE_END)
        elif not is_block and inner.reason and not place.reason:
            self._put_aside(words_of(element), inner.reason, element)
        elif not self._read_special(element, tag, inner):
            self._read_inside(element, tag, inner, look, is_block)
        if is_block:
            self._close(element, tag, inner, ids, start)

    def _open(self, place: _Place, is_block: bool, ids: list[str]) -> int:
        """Begin an element; return the number of its first piece."""
        if is_block and place.level:  # blocks inside a heading are its lines
            self.words.append(LINE_END)
        elif is_block or (not place.level and not self.targets.isdisjoint(ids) and self._begins_line()):
            self.flush(place)
        if not is_block or place.level:
            self.inline_ids += [(name, len(self.words)) for name in ids]
        return len(self.page.pieces)

    def _begins_line(self) -> bool:
        """Return whether a line end is the last that was read."""
        before = next((words for words in reversed(self.words) if words.strip(f" \t\n\r\xa0{EDGE}")), "")
        return before == LINE_END

    def _close(self, element: etree._Element, tag: str, inner: _Place, ids: list[str], start: int) -> None:
        if inner.level and tag not in kinds.HEADINGS:
            self.words.append(LINE_END)
            return
        if tag in ("td", "th") and not inner.reason and self.words and is_label(element):
            self.words.append(LINE_END)
            self.after_label = True
            return
        self.after_label = self.after_label and tag in ("td", "th")
        is_initial = bool(kinds.INITIAL_CLASS.search(str(element.get("class", ""))))
        self.flush(inner, is_initial=is_initial or "float" in str(element.get("style", "")))
        for name in ids:
            self.page.anchors.setdefault(name, (start, max(start + 1, len(self.page.pieces))))

    def _read_special(self, element: etree._Element, tag: str, inner: _Place) -> bool:
        """Read what is no text, or text only in part; False: it is an ordinary element."""
        if tag in kinds.WITHOUT_WORDS:
            return True
        if tag in kinds.DROPPED:
            self._put_aside(separate_words_of(element), inner.reason or kinds.DROPPED[tag])
        elif tag == "img" or tag == "image":
            alt = " ".join(str(element.get("alt", "")).split())
            if kinds.is_picture_of_text(element, alt, in_heading=bool(inner.level)):
                self._add(kinds.words_of_picture(alt), inner)
            else:
                self._put_aside(alt, inner.reason or Reason.PICTURE)
        elif tag == "math":
            words = kinds.words_of_formula(element) or read_formula(element)
            if words:
                self._add(f" {words} ", inner)
            else:
                self._put_aside(words_of(element), inner.reason or Reason.FORMULA)
        elif tag == "svg":
            if any(tag_of(each) == "foreignobject" for each in element.iter()):
                return False
            self._put_aside(kinds.words_of_drawing(element), inner.reason or Reason.DRAWING)
        elif tag == "case":
            self._put_aside(words_of(element), inner.reason or Reason.ALTERNATIVE)
        else:
            return False
        return True

    def _read_inside(self, element: etree._Element, tag: str, inner: _Place, look: Look, is_block: bool) -> None:
        if not is_block and not inner.reason and self._read_raised(element, tag, inner, look):
            return
        if tag == "a" and element.get("href"):
            self.links.append(str(element.get("href")))
            inner = replace(inner, in_link=True)
        if is_block:
            self.is_item = self.is_item or tag in ("li", "dd")
            self.is_title = self.is_title or bool(kinds.TITLE_CLASS.search(str(element.get("class", ""))))
        else:
            self.words.append(EDGE)
            self.is_apart = self.is_apart or kinds.is_apart(element, tag)
        self._add(element.text, inner)
        for child in element:
            self.read(child, inner)
            self._add(child.tail, inner)
        if not is_block:
            self.words.append(EDGE)
            self.is_apart = self.is_apart or tag in kinds.CONTROLS
            if len(self.recent) < 4 and kinds.is_initial(element, tag) and is_lone_letter(self.recent.strip()):
                self.words.append(INITIAL)

    def _read_raised(self, element: etree._Element, tag: str, place: _Place, look: Look) -> bool:
        """Read an inline element that is a mark of a note, raised or lowered; False: it is none of these."""
        text = " ".join(start_of(element, _MAX_MARK).split())
        if not text or len(text) > _MAX_MARK:
            return False
        chain = list(only_children(element))
        address = next((str(each.get("href")) for each in chain if tag_of(each) == "a" and each.get("href")), "")
        is_raised = bool(look.is_raised) or any(kinds.is_raised(each) for each in chain)
        if address and kinds.is_internal(address) and is_mark(text):
            at_start = not self.recent.strip()
            is_glued = bool(self.recent) and not self.recent[-1].isspace() and self.recent[-1] not in "([-–—/"
            if at_start:
                self.label = self.label or text
            if not at_start and (is_raised or is_certain_mark(text) or (is_glued and any(map(str.isdigit, text)))):
                self._put_aside(text, Reason.NOTE_MARK, element, address)
                return True
            if at_start and is_raised:
                self._put_aside(text, Reason.NOTE_MARK)
                return True
            return False
        if is_raised:
            self._add_raised(text, element, place)
            return True
        if tag == "sub":
            is_index = text.isdigit() and self.recent[-1:].isalpha()
            self._add(text if is_index else separated(self.recent, text), place)
            self.guards = True
            return True
        return False

    def _add_raised(self, text: str, element: etree._Element, place: _Place) -> None:
        after = kinds.text_after(element)
        found = judge_raised(self.recent, text, after, self.last_note)
        text = as_degree(self.recent, text, after)
        if found is Raised.NOTE_MARK:
            if not self.recent.strip():
                self.label = self.label or text
            self._put_aside(text, Reason.NOTE_MARK, element)
        elif found is Raised.VERSE_NUMBER:
            if not self.recent.strip():
                self.label = self.label or text
            self._put_aside(text, Reason.VERSE_NUMBER)
        elif found is Raised.POWER:
            self._add(as_power(self.recent, text), place)
        else:
            self._add(text if found is Raised.PART else separated(self.recent, text), place)
            self.guards = found is Raised.WORDS

    def _inner_place(self, element: etree._Element, tag: str, look: Look, place: _Place) -> _Place:
        return _Place(
            place.level or kinds.heading_level(element, tag),
            place.reason or kinds.reason_of(element, tag, look),
            place.is_preformatted or tag == "pre",
            place.in_link,
        )

    def _add(self, words: str | None, place: _Place) -> None:
        if not words:
            return
        words = words.translate(_UNMARKED)
        if self.is_apart and words:
            words, self.is_apart = set_apart(self.recent, words), False
        if self.guards and words:
            words, self.guards = separated(self.recent, words), False
        if words.strip():
            self.after_label = False
            self.has_letters_outside_links |= not place.in_link and any(map(str.isalpha, words))
        self.words.append(words.replace("\n", LINE_END) if place.is_preformatted else words)
        self.recent = (self.recent + words)[-80:]

    def _put_aside(self, words: str, reason: str, element: etree._Element | None = None, address: str = "") -> None:
        if not words:
            return
        self.aside.append(TextRun(words, Role.SKIP, str(reason)))
        if reason == Reason.NOTE_MARK:
            link = "" if element is None else next((str(a.get("href")) for a in element.iter() if a.get("href")), "")
            self.page.marks.append(Mark(label := words.strip("[](){}., "), address or link))
            self.last_note = int(label) if label.isdecimal() else self.last_note
            if element is not None:  # what links back to it is its note
                for each in (element, *element.iterdescendants()):
                    self.inline_ids += [(str(each.get(name)), 0) for name in ("id", "name") if each.get(name)]

    def flush(self, place: _Place, *, is_initial: bool = False) -> None:
        """End a piece."""
        if self.after_label:
            return
        text = join_initial(break_fused("".join(self.words), bool(place.level)))
        lines = (" ".join(line.split()) for line in text.split(LINE_END))
        words = "\n".join(filter(None, lines))
        number = len(self.page.pieces)
        for name, before in self.inline_ids:
            ends = before and not "".join(self.words[before:]).strip(f" \t\n\r{EDGE}{LINE_END}") and bool(words)
            self.page.anchors.setdefault(name, (number + 1, number + 2) if ends else (number, number + 1))
        if words:
            self._add_piece(self._piece(self._without_text_marks(words, place), place, is_initial))
        self.page.pieces += self.aside
        self.words, self.aside, self.links, self.inline_ids = [], [], [], []
        self.recent = self.label = ""
        self.is_item = self.is_title = self.has_letters_outside_links = self.guards = self.is_apart = False

    def _without_text_marks(self, words: str, place: _Place) -> str:
        if place.reason or not TEXT_MARK.search(words) or OPENING_STAR.search(words):
            return words
        for mark in TEXT_MARK.findall(words):
            self._put_aside(mark, Reason.NOTE_MARK)
        return TEXT_MARK.sub("", words)

    def _piece(self, words: str, place: _Place, is_initial: bool) -> TextRun:
        if place.reason:
            return TextRun(words, Role.SKIP, place.reason, label=self.label, links=tuple(self.links))
        if not any(map(str.isalnum, words)):
            if _SCENE.fullmatch(words):
                return TextRun(words, Role.SCENE)
            return TextRun(words, Role.SKIP, Reason.SYMBOLS)
        return TextRun(
            words,
            Role.SECTION if place.level else Role.TEXT,
            level=place.level,
            label=self.label,
            links=tuple(self.links),
            is_link=bool(self.links) and not self.has_letters_outside_links,
            is_item=self.is_item,
            is_title=self.is_title or (is_initial and is_lone_letter(words)),
        )

    def _add_piece(self, piece: TextRun) -> None:
        before = self.page.pieces[-1] if self.page.pieces else None
        is_text = before is not None and before.role is Role.TEXT and piece.role is Role.TEXT
        if (
            before
            and is_text
            and before.is_title
            and is_lone_letter(before.words)
            and continues(before.words, piece.words)
        ):
            self.page.pieces[-1] = replace(piece, words=before.words + piece.words)
        else:
            self.page.pieces.append(piece)


_UNMARKED = {ord(mark): None for mark in (LINE_END, EDGE, INITIAL)}
