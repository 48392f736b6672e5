"""The table of contents of an EPUB: the navigation document of EPUB 3, the NCX of EPUB 2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from pipeline.text.readers.epub.archive import resolve
from pipeline.text.readers.epub.parsing import tag_of, text_of, types_of


@dataclass(frozen=True)
class Entry:
    """One line of the table of contents."""

    page: str  # name of the file in the archive; "": the link leads to none
    fragment: str  # id in that file; "": the entry means its beginning
    title: str
    depth: int  # 1 is the outermost
    address: str = ""  # as written


def read_nav(root: etree._Element, page: str) -> list[Entry]:
    """Return the entries of the table of contents in a navigation document."""
    lists = [each for each in root.iter() if tag_of(each) == "nav" and "toc" in types_of(each)]
    return [entry for each in lists for entry in _with_parts(_nav_entries(each, page))]


def read_ncx(root: etree._Element, page: str) -> list[Entry]:
    """Return the entries of an NCX."""
    maps = [each for each in root.iter() if tag_of(each) == "navmap"]
    return [entry for each in maps for entry in _ncx_entries(each, page, 1)]


def _nav_entries(element: etree._Element, page: str, depth: int = 0) -> Iterator[Entry]:
    for child in element:
        tag = tag_of(child)
        if tag == "a" and child.get("href"):
            yield _entry(str(child.get("href")), page, text_of(child), max(1, depth))
        elif tag == "span" and tag_of(element) == "li" and text_of(child):  # a part without a page
            yield Entry("", "", text_of(child), max(1, depth))
        elif tag:
            yield from _nav_entries(child, page, depth + (tag == "ol"))


def _with_parts(entries: Iterator[Entry]) -> Iterator[Entry]:
    """Give an entry without a link the target of the first entry below it, if there is one."""
    waiting: list[Entry] = []
    for entry in entries:
        if not entry.address:
            waiting.append(entry)
            continue
        for part in waiting:
            if part.depth < entry.depth:
                yield Entry(entry.page, entry.fragment, part.title, part.depth, entry.address)
        waiting = []
        yield entry


def _ncx_entries(element: etree._Element, page: str, depth: int) -> Iterator[Entry]:
    for point in element:
        if tag_of(point) == "navpoint":
            parts = {tag_of(child): child for child in point}
            if "content" in parts:
                title = text_of(parts["navlabel"]) if "navlabel" in parts else ""
                yield _entry(str(parts["content"].get("src", "")), page, title, depth)
            yield from _ncx_entries(point, page, depth + 1)


def _entry(address: str, base: str, title: str, depth: int) -> Entry:
    name, fragment = resolve(address, base) or ("", "")
    return Entry(name, fragment, title, depth, address or "(none)")
