"""Parse pages as browsers do, whatever their encoding, with entities, and with broken markup."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from html.entities import html5

from lxml import etree

_MAX_ENTITY_CHARACTERS = 10_000  # of an expanded entity that a page declares
_MAX_GROWTH = 1_000_000  # characters that all entities may add to a page
_MAX_PROLOG = 10_000  # characters before the document type
_MAX_UNPRINTABLE = 0.05  # share of control and replacement characters

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_XML_ENCODING = re.compile(rb"\s*<\?xml[^>]*encoding=[\"']([\w.-]+)")
_META_ENCODING = re.compile(rb"<meta[^>]*charset=[\"']?([\w.-]+)", re.I)
_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
_DOCTYPE = re.compile(r"<!DOCTYPE[^\[>]*(?:\[(?P<subset>[^\]]*(?:\](?!\s*>)[^\]]*)*)\]\s*)?>", re.I)
_ENTITY_DECLARATION = re.compile(r"<!ENTITY\s+([\w:.-]+)\s+(?:\"([^\"]*)\"|'([^']*)')\s*>")
_EXTERNAL_ENTITY = re.compile(r"<!ENTITY\s+([\w:.-]+)\s+(?:SYSTEM|PUBLIC)\b")
_ENTITY = re.compile(r"&([A-Za-z_:][\w:.-]*);")
_XML_ENTITIES = ("amp", "lt", "gt", "quot", "apos")
_NOT_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


class UnreadablePageError(Exception):
    """A file that is not a page of text, or is built to exhaust memory."""


def parse(content: bytes) -> etree._Element:
    """Return the root element of a page or another XML file of a book, well-formed or not.

    Raises:
        UnreadablePageError: It is not text, or its entities expand too far.
    """
    text = _decode(content)
    unprintable = len(_NOT_XML.findall(text)) + text.count("\ufffd")
    if unprintable > _MAX_UNPRINTABLE * len(text):
        raise UnreadablePageError("it is not text; it may be encrypted (DRM)")
    start = text[:_MAX_PROLOG].upper().find("<!DOCTYPE")
    doctype = _DOCTYPE.match(text, start) if start >= 0 else None
    own = _own_entities(doctype["subset"] or "") if doctype else {}
    if doctype:
        text = text[:start] + text[doctype.end() :]
    text = _DECLARATION.sub("", text, count=1)
    text = _expand(_NOT_XML.sub("", text), own, len(text) + _MAX_GROWTH)
    encoded = text.strip().encode("utf-8", "replace") or b"<html/>"
    try:
        options = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True, encoding="utf-8")
        return etree.fromstring(encoded, options)
    except etree.XMLSyntaxError:
        parser = etree.HTMLParser(no_network=True, huge_tree=True, encoding="utf-8")
        root: etree._Element | None = etree.fromstring(encoded, parser)
        return etree.Element("html") if root is None else root


def tag_of(element: etree._Element) -> str:
    """Return the tag of an element in lower case, without its namespace; "": it is a comment or the like."""
    return element.tag.rpartition("}")[2].rpartition(":")[2].lower() if isinstance(element.tag, str) else ""


def types_of(element: etree._Element) -> list[str]:
    """Return the values of epub:type and role of an element."""
    if not tag_of(element):  # a comment
        return []
    kinds = str(element.get("{http://www.idpf.org/2007/ops}type") or element.get("epub:type") or "").split()
    return [kind.lower() for kind in (*kinds, *(role.removeprefix("doc-") for role in element.get("role", "").split()))]


def chain_of_only_children(element: etree._Element) -> Iterator[etree._Element]:
    """Yield an element, and inside it each element that holds all of its text."""
    yield element
    while len(element) == 1 and not (element.text or "").strip() and not (element[0].tail or "").strip():
        element = element[0]
        yield element


def text_of(element: etree._Element) -> str:
    """Return all text in an element, on one line."""
    return " ".join("".join(str(text) for text in element.itertext()).split())


def spaced_text_of(element: etree._Element) -> str:
    """Return all text in an element, on one line, with spaces between the elements in it."""
    return " ".join(" ".join(str(text) for text in element.itertext()).split())


def start_of(element: etree._Element, limit: int) -> str:
    """Return the text in an element; of a longer one, a beginning of more than `limit` characters."""
    start = ""
    for text in element.itertext():
        start += str(text)
        if len(start) > limit:
            break
    return start


def _decode(content: bytes) -> str:
    """Decode a file: by its byte order mark, else by its XML declaration, as UTF-8, by its meta element, or as cp1252.

    UTF-8 may have some damaged bytes, since with any other encoding all letters beyond ASCII would be wrong.
    """
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, "replace")
    if content[:2] in (b"<\0", b"\0<"):
        return content.decode("utf-16-le" if content[:1] == b"<" else "utf-16-be", "replace")
    try:
        as_utf8, is_utf8 = content.decode("utf-8"), True
    except UnicodeDecodeError:
        as_utf8 = content.decode("utf-8", "replace")
        is_utf8 = as_utf8.count("\ufffd") * 2 <= sum(not letter.isascii() for letter in as_utf8)
    declared = _XML_ENCODING.match(content)
    if declared and (text := _decoded(content, declared[1].decode())) is not None:
        return text
    if is_utf8:
        return as_utf8
    declared = _META_ENCODING.search(content)
    text = _decoded(content, declared[1].decode()) if declared else None
    return content.decode("cp1252", "replace") if text is None else text  # as browsers do


def _decoded(content: bytes, encoding: str) -> str | None:
    if re.match("utf-?(?:16|32)|ucs", encoding, re.I):  # the file has no zero bytes, so the declaration is wrong
        return None
    try:
        return content.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None


def _own_entities(subset: str) -> dict[str, str]:
    """Return the expanded entities that a page declares.

    Raises:
        UnreadablePageError: One contains itself, or grows beyond the limit.
    """
    raw = dict.fromkeys(_EXTERNAL_ENTITY.findall(subset), "")
    raw |= {name: double or single for name, double, single in _ENTITY_DECLARATION.findall(subset)}
    known: dict[str, str] = {}

    def value(name: str, above: tuple[str, ...]) -> str:
        if name in above or len(above) > 20:
            raise UnreadablePageError(f"its entity &{name}; contains itself")
        if name not in known:
            inner = _ENTITY.sub(
                lambda found: value(found[1], (*above, name)) if found[1] in raw else found[0], raw[name]
            )
            if len(inner) > _MAX_ENTITY_CHARACTERS:
                raise UnreadablePageError(f"its entity &{name}; has more than {_MAX_ENTITY_CHARACTERS:,} characters")
            known[name] = inner
        return known[name]

    return {name: value(name, ()) for name in raw}


def _expand(text: str, own: dict[str, str], limit: int) -> str:
    """Replace entities by characters, since an XML parser knows only five of them."""
    size = len(text)

    def character(match: re.Match[str]) -> str:
        nonlocal size
        name = match[1]
        if name in _XML_ENTITIES:
            return match[0]
        if name in own:
            size += len(own[name])
            if size > limit:
                raise UnreadablePageError(f"its entities add more than {_MAX_GROWTH:,} characters")
            return _ENTITY.sub(lambda inner: _of_html(inner), own[name])
        return _of_html(match)

    return _ENTITY.sub(character, text)


def _of_html(match: re.Match[str]) -> str:
    name = match[1]
    if name in _XML_ENTITIES:
        return match[0]
    known = html5.get(f"{name};")
    return f"&amp;{name};" if known is None else "".join(f"&#{ord(c)};" for c in known)
