"""Reads one page of XHTML into pieces: paragraphs, headings, marks between scenes, and what is not to be spoken.

What a reader would not read aloud (notes, numbers of pages, tables, code) becomes a piece with the reason why, so that
nothing is lost silently. It knows no archive and no table of contents.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from html.entities import html5

from lxml import etree

from pipeline.text.blocks import Role

# fmt: off
_DROPPED = {
    "audio", "button", "head", "iframe", "img", "input", "math", "object", "rp", "rt", "script", "style", "svg",
    "template", "video",
}
_BLOCKS = {
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "div", "dl", "dt",
    "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "hr", "li",
    "main", "nav", "ol", "p", "pre", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
}
# fmt: on
_LEFT_OUT = {  # values of epub:type, and of role without "doc-"
    "footnote": "note",
    "footnotes": "note",
    "endnote": "note",
    "endnotes": "note",
    "rearnote": "note",
    "rearnotes": "note",
    "noteref": "note reference",
    "backlink": "note reference",
    "pagebreak": "page number",
    "page-list": "list of pages",
    "pagelist": "list of pages",
    "toc": "table of contents",
    "landmarks": "table of contents",
    "loi": "list of illustrations",
    "lot": "list of tables",
    "copyright-page": "imprint",
    "imprint": "imprint",
    "colophon": "colophon",
    "index": "index",
    "bibliography": "bibliography",
}
_CLASSES = {  # what programs that write EPUB 2 call the same
    "footnote": "note",
    "footnotes": "note",
    "endnote": "note",
    "endnotes": "note",
    "fnanchor": "note reference",
    "footnote-ref": "note reference",
    "footnote-back": "note reference",
    "noteref": "note reference",
    "pagenum": "page number",
    "pageno": "page number",
    "linenum": "line number",
    "pg-boilerplate": "notice of Project Gutenberg",
}
_LINE_END = "\x0b"  # what no page has: white space that stays the end of a line
_SCENE = re.compile(r"[\s*·•⁂⁎∗§#~_–—-]+")
_NOTE_MARK = re.compile(r"[\[(]?(?:\d{1,4}|[*†‡§¶]{1,3}|[a-z])[\])]?")
_ENCODING = re.compile(rb"\s*<\?xml[^>]*encoding=[\"']([\w.-]+)")
_META_ENCODING = re.compile(rb"<meta[^>]*charset=[\"']?([\w.-]+)", re.I)
_ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]*;)")
_XML_ENTITIES = ("amp;", "lt;", "gt;", "quot;", "apos;")
_HIDDEN = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.I)


@dataclass(frozen=True)
class Piece:
    """What stands between two edges of blocks, its white space as a page shows it."""

    words: str
    role: Role = Role.TEXT  # TEXT, SECTION, SCENE or SKIP
    reason: str = ""  # of a SKIP
    level: int = 0  # of a heading
    targets: frozenset[str] = frozenset()  # ids that stand before or in it; "": it is the first of its page
    is_link: bool = False  # nothing but links
    is_named: bool = False  # by the table of contents, which gave it its level

    @property
    def is_spoken(self) -> bool:
        """Whether it has words to speak."""
        return self.role in (Role.TEXT, Role.SECTION) and bool(self.words)


def parse(content: bytes) -> etree._Element:
    """The root of a page or of another file of a book, well-formed or not; an empty one has nothing below it."""
    known = _with_characters(content)
    try:
        return etree.fromstring(known, etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True))
    except etree.XMLSyntaxError:
        parser = etree.HTMLParser(no_network=True, huge_tree=True, encoding=_encoding_of(known))
        root: etree._Element | None = etree.fromstring(known or b"<html/>", parser)
        return etree.Element("html") if root is None else root


def read_pieces(page: etree._Element, targets: Collection[str], reason: str = "") -> list[Piece]:
    """The pieces of a page in order.

    Args:
        page: Its root.
        targets: Ids to look out for.
        reason: Why nothing of it is spoken; "": it is.
    """
    reader = _Reader(targets)
    body = next((element for element in page.iter() if tag_of(element) == "body"), page)
    reader.read(body, _Place(reason=reason))
    reader.flush(_Place(reason=reason))
    return reader.pieces


def tag_of(element: etree._Element) -> str:
    """The name of an element without its namespace; "" of a comment and the like."""
    return element.tag.rpartition("}")[2].lower() if isinstance(element.tag, str) else ""


def types_of(element: etree._Element) -> list[str]:
    """What an element says that it is: its epub:type and its role."""
    kinds = str(element.get("{http://www.idpf.org/2007/ops}type") or element.get("epub:type") or "").split()
    return [kind.lower() for kind in (*kinds, *(role.removeprefix("doc-") for role in element.get("role", "").split()))]


def words_of(element: etree._Element) -> str:
    """All text in an element, on one line."""
    return " ".join("".join(str(text) for text in element.itertext()).split())


def _encoding_of(content: bytes) -> str:
    """The encoding of a page that is no XML: of what it declares and the usual ones the first that fits.

    UTF-8 fits with some bytes damaged: in any other encoding all its letters beyond ASCII would be wrong ones.
    """
    as_utf8 = content.decode("utf-8", "replace")
    is_utf8 = as_utf8.count("\ufffd") * 2 <= sum(not letter.isascii() for letter in as_utf8)
    as_xml, as_html = _ENCODING.match(content), _META_ENCODING.search(content)
    if as_xml and _is_in(content, as_xml[1].decode()):
        return as_xml[1].decode()
    if is_utf8:
        return "utf-8"
    return as_html[1].decode() if as_html and _is_in(content, as_html[1].decode()) else "cp1252"  # as browsers do


def _is_in(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return False
    return True


def _with_characters(content: bytes) -> bytes:
    """Writes the entities of HTML as characters: XML knows only five of them, and loses the others."""

    def character(match: re.Match[bytes]) -> bytes:
        name = match[1].decode()
        known = html5.get(name)
        return match[0] if name in _XML_ENTITIES or known is None else "".join(f"&#{ord(c)};" for c in known).encode()

    return re.sub(_ENTITY.pattern.encode(), character, content)


@dataclass(frozen=True)
class _Place:
    """What holds for everything inside an element."""

    level: int = 0  # of the heading it is in
    reason: str = ""  # why it is not spoken
    is_preformatted: bool = False


@dataclass
class _Reader:
    """Walks over a page; the words of a piece gather until the edge of a block."""

    targets: Collection[str]
    pieces: list[Piece] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    outside_links: int = 0  # characters of `words` that are in no link
    waiting: set[str] = field(default_factory=lambda: {""})  # targets that the next piece has
    aside: list[Piece] = field(default_factory=list)  # what is skipped within a paragraph comes after it

    def read(self, element: etree._Element, place: _Place, *, in_link: bool = False) -> None:
        tag = tag_of(element)
        if not tag:  # a comment
            return
        inner = _inner_place(element, tag, place)
        is_block = tag in _BLOCKS
        if is_block:
            self.flush(place)
        for name in (element.get("id"), element.get("name") if tag == "a" else None):
            if name in self.targets:
                self.waiting.add(str(name))
        if tag == "hr":
            if not place.reason:  # a line above notes is no end of a scene
                self.pieces.append(Piece("", Role.SCENE))
        elif tag == "br":
            self.words.append(_LINE_END)
        elif not is_block and inner.reason and not place.reason:
            self._put_aside(words_of(element), inner.reason)
        elif tag == "img" and re.fullmatch(
            r"[^\W\d_]", element.get("alt", "")
        ):  # the painted first letter of a chapter
            self._add(element.get("alt"), inner, in_link)
        elif tag not in _DROPPED:
            in_link = in_link or (tag == "a" and element.get("href") is not None)
            self._add(element.text, inner, in_link)
            for child in element:
                self.read(child, inner, in_link=in_link)
                self._add(child.tail, inner, in_link)
        if is_block:
            self.flush(inner)

    def _add(self, words: str | None, place: _Place, in_link: bool) -> None:
        if not words:
            return
        self.words.append(words.replace("\n", _LINE_END) if place.is_preformatted else words)
        self.outside_links += 0 if in_link else len(words.strip())

    def _put_aside(self, words: str, reason: str) -> None:
        if words:
            self.aside.append(Piece(words, Role.SKIP, reason))

    def flush(self, place: _Place) -> None:
        """Ends a piece."""
        lines = (" ".join(line.split()) for line in "".join(self.words).split(_LINE_END))
        words = "\n".join(filter(None, lines))
        if words:
            self.pieces.append(self._piece(words, place))
            self.waiting = set()
        self.pieces += self.aside
        self.words, self.outside_links, self.aside = [], 0, []

    def _piece(self, words: str, place: _Place) -> Piece:
        targets = frozenset(self.waiting)
        if place.reason:
            return Piece(words, Role.SKIP, place.reason, targets=targets)
        if not any(map(str.isalnum, words)):
            if _SCENE.fullmatch(words):
                return Piece(words, Role.SCENE, targets=targets)
            return Piece(words, Role.SKIP, "only symbols", targets=targets)
        role = Role.SECTION if place.level else Role.TEXT
        return Piece(words, role, level=place.level, targets=targets, is_link=not self.outside_links)


def _inner_place(element: etree._Element, tag: str, place: _Place) -> _Place:
    level = int(tag[1]) if re.fullmatch("h[1-6]", tag) else place.level
    return _Place(level, place.reason or _reason(element, tag), place.is_preformatted or tag == "pre")


def _reason(element: etree._Element, tag: str) -> str:
    """Why an element is not spoken; "": it is."""
    for kind in types_of(element):
        if kind in _LEFT_OUT:
            return _LEFT_OUT[kind]
    if element.get("hidden") is not None or _HIDDEN.search(element.get("style", "")):
        return "hidden"
    for name in element.get("class", "").split():
        if name in _CLASSES:
            return _CLASSES[name]
    if tag == "table" and any(_columns(row) > 1 for row in element.iter() if tag_of(row) == "tr"):
        return "table"
    return "note reference" if tag == "a" and _is_note_mark(element) else ""


def _columns(row: etree._Element) -> int:
    return sum(tag_of(cell) in ("td", "th") and bool(words_of(cell)) for cell in row)


def _is_note_mark(link: etree._Element) -> bool:
    """Whether a link is the raised mark of a note, in a book that does not say so."""
    parent = link.getparent()
    is_raised = (parent is not None and tag_of(parent) == "sup") or any(tag_of(child) == "sup" for child in link)
    return is_raised and "#" in link.get("href", "") and bool(_NOTE_MARK.fullmatch(words_of(link)))
