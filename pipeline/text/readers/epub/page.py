"""Read a page of XHTML into text runs: paragraphs, headings, scene breaks, and text that is not spoken.

Text that a narrator would not read aloud (notes, page numbers, tables of figures, code) becomes a run with a reason, so
that nothing is lost silently.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from lxml import etree

from pipeline.text.readers.epub import elements
from pipeline.text.readers.epub.drop_caps import (
    EDGE,
    INITIAL,
    LINE_END,
    break_fused,
    continues,
    is_lone_letter,
    join_initial,
)
from pipeline.text.readers.epub.formulas import read_formula
from pipeline.text.readers.epub.parsing import chain_of_only_children, spaced_text_of, start_of, tag_of, text_of
from pipeline.text.readers.epub.styles import Style, StyleSheets
from pipeline.text.readers.epub.superscripts import (
    OPENING_STAR,
    TEXT_MARK,
    Superscript,
    as_degree,
    as_power,
    classify_superscript,
    is_certain_mark,
    is_mark,
    separated,
    set_apart,
)
from pipeline.text.readers.epub.tables import is_label
from pipeline.text.readers.epub.text_runs import Mark, Page, TextRun
from pipeline.text.skip_reasons import Reason
from pipeline.text.structure.blocks import Role

_SCENE = re.compile(r"[\s*·•⁂⁎∗§#~_–—❦❧☙✦✧✱✲✳✶✷✺✻✽❋❖◆◇■□●○★☆†‡-]+")
_MAX_MARK = 24  # characters of a note mark or page number
_MAX_MARK_SOURCE = 96  # characters of it with the white space of the file


@dataclass(frozen=True)
class _Context:
    """Properties that apply to everything inside an element."""

    level: int = 0  # of the heading it is in
    reason: str = ""  # why it is not spoken
    is_preformatted: bool = False
    in_link: bool = False


def read_page(root: etree._Element, styles: StyleSheets | None = None, targets: Collection[str] = ()) -> Page:
    """Read a page.

    Args:
        root: Its root element.
        styles: Its style sheets.
        targets: Ids of the elements where chapters begin. A line that begins with one begins a new run.

    Raises:
        RecursionError: It is nested too deeply.
    """
    body = next((element for element in root.iter() if tag_of(element) == "body"), root)
    reader = _PageReader(styles or StyleSheets(), targets, elements.has_note_marks(body))
    context = _Context()
    reader.read(body, context)
    reader.flush(context)
    return reader.page


class _PageReader:
    """Walks the elements of a page and collects words until a block begins or ends."""

    def __init__(self, styles: StyleSheets, targets: Collection[str], has_notes: bool) -> None:
        self.styles = styles
        self.targets = frozenset(targets)
        self.page = Page()
        self.words: list[str] = []
        self.recent = ""  # the end of `words`
        self.inline_skips: list[TextRun] = []  # skips inside a paragraph, which follow it
        self.links: list[str] = []
        self.has_letters_outside_links = False
        self.label = ""
        self.is_item = self.is_title = False
        self.after_label = False  # only the label of a row was read; the next cell continues it
        self.is_apart = False  # the next words are not part of the word before: a control begins or ends
        self.after_script = False  # a subscript ends here: the next word must not run into it
        self.last_note = 0  # number of the last note mark
        self.has_notes = has_notes
        self.inline_ids: list[tuple[str, int]] = []  # ids in this run, and the number of words before them

    def read(self, element: etree._Element, context: _Context) -> None:
        """Read an element and its content."""
        tag = tag_of(element)
        if not tag:  # a comment
            return
        attributes = (str(element.get(each, "")) for each in ("class", "id", "style"))
        style = self.styles.style_of(tag, *attributes)
        inner = self._inner_context(element, tag, style, context)
        is_block = tag in elements.BLOCKS or bool(style.is_block)
        ids = [str(name) for name in (element.get("id"), element.get("name") if tag == "a" else None) if name]
        start = self._open(context, is_block, ids)
        if tag == "hr":
            if not context.reason:  # a line above notes is not a scene break
                self.page.runs.append(TextRun("", Role.SCENE))
        elif tag == "br" and self._begins_line() and not (context.level or context.reason or context.is_preformatted):
            self.flush(context)  # an empty line is a paragraph break of a converter
        elif tag == "br":
            self.words.append(LINE_END)
        elif not is_block and inner.reason and not context.reason:
            self._skip_inline(text_of(element), inner.reason, element)
        elif not self._read_special(element, tag, inner):
            self._read_inside(element, tag, inner, style, is_block)
        if is_block:
            self._close(element, tag, inner, ids, start)

    def _open(self, context: _Context, is_block: bool, ids: list[str]) -> int:
        """Begin an element; return the number of its first run."""
        if is_block and context.level:  # blocks inside a heading are lines of it
            self.words.append(LINE_END)
        elif is_block or (not context.level and not self.targets.isdisjoint(ids) and self._begins_line()):
            self.flush(context)
        if not is_block or context.level:
            self.inline_ids += [(name, len(self.words)) for name in ids]
        return len(self.page.runs)

    def _begins_line(self) -> bool:
        """Return whether a line has just begun."""
        before = next((words for words in reversed(self.words) if words.strip(f" \t\n\r\xa0{EDGE}")), "")
        return before == LINE_END

    def _close(self, element: etree._Element, tag: str, inner: _Context, ids: list[str], start: int) -> None:
        if inner.level and tag not in elements.HEADINGS:
            self.words.append(LINE_END)
            return
        if tag in ("td", "th") and not inner.reason and self.words and is_label(element):
            self.words.append(LINE_END)
            self.after_label = True
            return
        self.after_label = self.after_label and tag in ("td", "th")
        is_initial = bool(elements.INITIAL_CLASS.search(str(element.get("class", ""))))
        self.flush(inner, is_initial=is_initial or "float" in str(element.get("style", "")))
        for name in ids:
            self.page.anchors.setdefault(name, (start, max(start + 1, len(self.page.runs))))

    def _read_special(self, element: etree._Element, tag: str, inner: _Context) -> bool:
        """Read an element that is not ordinary text (picture, formula, form ...); return whether it is one."""
        if tag in elements.WITHOUT_WORDS:
            return True
        if tag in elements.DROPPED:
            self._skip_inline(spaced_text_of(element), inner.reason or elements.DROPPED[tag])
        elif tag == "img" or tag == "image":
            alt = " ".join(str(element.get("alt", "")).split())
            if elements.is_picture_of_text(element, alt, in_heading=bool(inner.level)):
                self._add(elements.text_of_picture(alt), inner)
            else:
                self._skip_inline(alt, inner.reason or Reason.PICTURE)
        elif tag == "math":
            words = elements.text_of_formula(element) or read_formula(element)
            if words:
                self._add(f" {words} ", inner)
            else:
                self._skip_inline(text_of(element), inner.reason or Reason.FORMULA)
        elif tag == "svg":
            if any(tag_of(each) == "foreignobject" for each in element.iter()):
                return False
            self._skip_inline(elements.text_of_drawing(element), inner.reason or Reason.DRAWING)
        elif tag == "case":
            self._skip_inline(text_of(element), inner.reason or Reason.ALTERNATIVE)
        else:
            return False
        return True

    def _read_inside(self, element: etree._Element, tag: str, inner: _Context, style: Style, is_block: bool) -> None:
        if not is_block and not inner.reason and self._read_script(element, tag, inner, style):
            return
        if tag == "a" and element.get("href"):
            self.links.append(str(element.get("href")))
            inner = replace(inner, in_link=True)
        if is_block:
            self.is_item = self.is_item or tag in ("li", "dd")
            self.is_title = self.is_title or bool(elements.TITLE_CLASS.search(str(element.get("class", ""))))
        else:
            self.words.append(EDGE)
            self.is_apart = self.is_apart or elements.is_apart(element, tag)
        self._add(element.text, inner)
        for child in element:
            self.read(child, inner)
            self._add(child.tail, inner)
        if not is_block:
            self.words.append(EDGE)
            self.is_apart = self.is_apart or tag in elements.CONTROLS
            if len(self.recent) < 4 and elements.is_initial(element, tag) and is_lone_letter(self.recent.strip()):
                self.words.append(INITIAL)

    def _read_script(self, element: etree._Element, tag: str, context: _Context, style: Style) -> bool:
        """Read an inline element that is a note mark, superscript or subscript; return whether it is one."""
        start = start_of(element, _MAX_MARK_SOURCE)
        text = " ".join(start.split())
        if not text or len(text) > _MAX_MARK or len(start) > _MAX_MARK_SOURCE:
            return False
        chain = list(chain_of_only_children(element))
        address = next((str(each.get("href")) for each in chain if tag_of(each) == "a" and each.get("href")), "")
        is_raised = bool(style.is_raised) or any(elements.is_raised(each) for each in chain)
        if address and elements.is_internal(address) and is_mark(text):
            at_start = not self.recent.strip()
            is_glued = bool(self.recent) and not self.recent[-1].isspace() and self.recent[-1] not in "([-–—/"
            if at_start:
                self.label = self.label or text
            if not at_start and (is_raised or is_certain_mark(text) or (is_glued and any(map(str.isdigit, text)))):
                self._skip_inline(text, Reason.NOTE_MARK, element, address)
                return True
            if at_start and is_raised:
                self._skip_inline(text, Reason.NOTE_MARK)
                return True
            return False
        if is_raised:
            self._add_superscript(text, element, context)
            return True
        if tag == "sub":
            is_index = text.isdigit() and self.recent[-1:].isalpha()
            self._add(text if is_index else separated(self.recent, text), context)
            self.after_script = True
            return True
        return False

    def _add_superscript(self, text: str, element: etree._Element, context: _Context) -> None:
        after = elements.text_after(element)
        found = classify_superscript(self.recent, text, after, self.last_note, self.has_notes or self.last_note > 0)
        text = as_degree(self.recent, text, after)
        if found is Superscript.NOTE_MARK:
            if not self.recent.strip():
                self.label = self.label or text
            self._skip_inline(text, Reason.NOTE_MARK, element)
        elif found is Superscript.VERSE_NUMBER:
            if not self.recent.strip():
                self.label = self.label or text
            self._skip_inline(text, Reason.VERSE_NUMBER)
        elif found is Superscript.POWER:
            self._add(as_power(self.recent, text), context)
        else:
            self._add(text if found is Superscript.PART else separated(self.recent, text), context)
            self.after_script = found is Superscript.WORDS

    def _inner_context(self, element: etree._Element, tag: str, style: Style, context: _Context) -> _Context:
        return _Context(
            context.level or elements.heading_level(element, tag),
            context.reason or elements.reason_of(element, tag, style),
            context.is_preformatted or tag == "pre",
            context.in_link,
        )

    def _add(self, words: str | None, context: _Context) -> None:
        if not words:
            return
        words = words.translate(_UNMARKED)
        if self.is_apart and words:
            words, self.is_apart = set_apart(self.recent, words), False
        if self.after_script and words:
            words, self.after_script = separated(self.recent, words), False
        if words.strip():
            self.after_label = False
            self.has_letters_outside_links |= not context.in_link and any(map(str.isalpha, words))
        self.words.append(words.replace("\n", LINE_END) if context.is_preformatted else words)
        self.recent = (self.recent + words)[-80:]

    def _skip_inline(self, words: str, reason: str, element: etree._Element | None = None, address: str = "") -> None:
        if not words:
            return
        self.inline_skips.append(TextRun(words, Role.SKIP, str(reason)))
        if reason == Reason.NOTE_MARK:
            link = "" if element is None else next((str(a.get("href")) for a in element.iter() if a.get("href")), "")
            self.page.marks.append(Mark(label := words.strip("[](){}., "), address or link))
            self.last_note = int(label) if label.isdecimal() else self.last_note
            if element is not None:  # a note links back to its mark
                for each in (element, *element.iterdescendants()):
                    self.inline_ids += [(str(each.get(name)), 0) for name in ("id", "name") if each.get(name)]

    def flush(self, context: _Context, *, is_initial: bool = False) -> None:
        """End the run, and add it to the page."""
        if self.after_label:
            return
        text = join_initial(break_fused("".join(self.words), bool(context.level)))
        lines = (" ".join(line.split()) for line in text.split(LINE_END))
        words = "\n".join(filter(None, lines))
        number = len(self.page.runs)
        for name, before in self.inline_ids:
            ends = before and not "".join(self.words[before:]).strip(f" \t\n\r{EDGE}{LINE_END}") and bool(words)
            self.page.anchors.setdefault(name, (number + 1, number + 2) if ends else (number, number + 1))
        if words:
            self._add_run(self._run(self._without_text_marks(words, context), context, is_initial))
        self.page.runs += self.inline_skips
        self.words, self.inline_skips, self.links, self.inline_ids = [], [], [], []
        self.recent = self.label = ""
        self.is_item = self.is_title = self.has_letters_outside_links = self.after_script = self.is_apart = False

    def _without_text_marks(self, words: str, context: _Context) -> str:
        if context.reason or not TEXT_MARK.search(words) or OPENING_STAR.search(words):
            return words
        for mark in TEXT_MARK.findall(words):
            self._skip_inline(mark, Reason.NOTE_MARK)
        return TEXT_MARK.sub("", words)

    def _run(self, words: str, context: _Context, is_initial: bool) -> TextRun:
        if context.reason:
            return TextRun(words, Role.SKIP, context.reason, label=self.label, links=tuple(self.links))
        if not any(map(str.isalnum, words)):
            if _SCENE.fullmatch(words):
                return TextRun(words, Role.SCENE)
            return TextRun(words, Role.SKIP, Reason.SYMBOLS)
        return TextRun(
            words,
            Role.SECTION if context.level else Role.TEXT,
            level=context.level,
            label=self.label,
            links=tuple(self.links),
            is_link=bool(self.links) and not self.has_letters_outside_links,
            is_item=self.is_item,
            is_title=self.is_title or (is_initial and is_lone_letter(words)),
        )

    def _add_run(self, run: TextRun) -> None:
        before = self.page.runs[-1] if self.page.runs else None
        is_text = before is not None and before.role is Role.TEXT and run.role is Role.TEXT
        if (
            before
            and is_text
            and before.is_title
            and is_lone_letter(before.words)
            and continues(before.words, run.words)
        ):
            self.page.runs[-1] = replace(run, words=before.words + run.words)
        else:
            self.page.runs.append(run)


_UNMARKED = {ord(mark): None for mark in (LINE_END, EDGE, INITIAL)}
