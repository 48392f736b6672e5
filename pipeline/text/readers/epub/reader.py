"""Read an EPUB into a book: pages in reading order, their titles, and the chapters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from lxml import etree

from pipeline.errors import SourceError
from pipeline.text.readers.books import Book, BookReader
from pipeline.text.readers.epub.archive import Archive, resolve
from pipeline.text.readers.epub.chapters import assign_chapters
from pipeline.text.readers.epub.elements import text_of_drawing
from pipeline.text.readers.epub.matter import BookFacts, skip_gutenberg, skip_matter
from pipeline.text.readers.epub.navigation import Entry
from pipeline.text.readers.epub.notes import as_skip, skip_notes
from pipeline.text.readers.epub.package import Package, SpineItem
from pipeline.text.readers.epub.page import read_page
from pipeline.text.readers.epub.parsing import UnreadablePageError, parse, tag_of
from pipeline.text.readers.epub.styles import StyleSheets, applies
from pipeline.text.readers.epub.text_runs import Page, TextRun
from pipeline.text.readers.reader import InputFile
from pipeline.text.skip_reasons import Reason
from pipeline.text.structure.blocks import Block, Role
from pipeline.text.structure.chapters import find_structure
from pipeline.text.structure.gutenberg import skip_notices
from pipeline.text.structure.heading_tree import assign_roles
from pipeline.text.structure.headings import heading_key
from pipeline.text.structure.page_numbers import skip_page_numbers

_MAX_SHEET_BYTES = 1 << 20


def read_epub(file: InputFile) -> Book:
    """Read a book from an EPUB."""
    return parse_epub(file.read_bytes(), str(file))


@lru_cache(maxsize=1)  # a command reads its book twice: to check it, and to plan it
def parse_epub(content: bytes, name: str) -> Book:
    """Read the bytes of an EPUB.

    Args:
        content: The whole file.
        name: Its name in messages.

    Raises:
        SourceError: It is not an EPUB, is damaged or encrypted, or has no page that can be read.
    """
    package = Package(Archive(content, name))
    entries = package.contents()
    reader = _PageReader(package, entries)
    pages = [reader.read(item) for item in package.spine()]
    outside = {item.page for item in package.spine() if not item.is_linear}
    facts = BookFacts(
        package.title(),
        package.author(),
        _titles(entries),
        package.guide(),
        {heading_key(entry.title) for entry in entries},
    )
    skip_gutenberg(pages)
    skip_notes(pages)
    skip_matter(pages, facts)
    for page in pages:
        if page.name in outside:
            page.runs = [as_skip(run, Reason.OUTSIDE) if run.is_spoken else run for run in page.runs]
    broken = [_damage(Reason.BROKEN_ENTRY, f"{entry.title} ({entry.address})") for entry in entries if not entry.page]
    text, blocks = _to_text_and_blocks([*broken, *assign_chapters(pages, entries)])
    blocks = skip_notices(text, blocks)  # the parts of blocks; whole runs are left out before
    blocks = skip_page_numbers(text, _assign_roles(text, blocks, len(pages)))
    if not any(block.role not in (Role.SKIP, Role.SCENE) for block in blocks):
        _refuse(name, blocks)
    num_pages = sum(any(run.is_spoken for run in page.runs) for page in pages)
    return Book(
        text,
        blocks,
        package.title(),
        package.author(),
        package.language(),
        num_pages=num_pages,
    )


def read_cover(file: InputFile) -> bytes | None:
    """Return the JPEG or PNG that is the cover of an EPUB; None: it has none.

    Raises:
        SourceError: It is not an EPUB, or cannot be read.
    """
    return Package(Archive(file.read_bytes(), str(file))).cover()


class _PageReader:
    """Reads the pages of a book. A page that cannot be read becomes a skip without words."""

    def __init__(self, package: Package, entries: Sequence[Entry]) -> None:
        self.package = package
        self.targets: dict[str, set[str]] = {}
        for entry in entries:
            self.targets.setdefault(entry.page, set()).add(entry.fragment)
        self.sheets: dict[str, str] = {}

    def read(self, item: SpineItem) -> Page:
        if item.problem:
            reason = Reason.UNREADABLE_PAGE if item.page else Reason.MISSING_PAGE
            return Page(item.page, [_damage(reason, item.problem)])
        try:
            root = parse(self.package.archive.read(item.page))
            if item.is_drawing:
                words = text_of_drawing(root)
                page = Page(runs=[TextRun(words, Role.SKIP, Reason.DRAWING)] if words else [])
            else:
                page = read_page(root, self._styles(root, item.page), self.targets.get(item.page, set()))
        except KeyError:
            return Page(item.page, [_damage(Reason.MISSING_PAGE, item.page)])
        except UnreadablePageError as error:
            return Page(item.page, [_damage(Reason.UNREADABLE_PAGE, f"{item.page}: {error}")])
        except RecursionError:
            return Page(item.page, [_damage(Reason.UNREADABLE_PAGE, f"{item.page}: it is nested too deeply")])
        page.name = item.page
        return page

    def _styles(self, root: etree._Element, page: str) -> StyleSheets:
        styles = StyleSheets()
        for element in root.iter():
            tag = tag_of(element)
            if tag == "body":
                break
            if tag == "style" and applies(str(element.get("media", ""))):
                styles.add("".join(map(str, element.itertext())))
            elif tag == "link" and "stylesheet" in str(element.get("rel", "")).split():
                target = resolve(str(element.get("href", "")), page)
                if target and applies(str(element.get("media", ""))):
                    styles.add(self._sheet(target[0]))
        return styles

    def _sheet(self, path: str) -> str:
        if path not in self.sheets:
            try:
                self.sheets[path] = self.package.archive.read(path)[:_MAX_SHEET_BYTES].decode("utf-8", "replace")
            except KeyError:
                self.sheets[path] = ""
        return self.sheets[path]


def _titles(entries: Sequence[Entry]) -> dict[str, str]:
    """Return the titles of pages that have exactly one entry in the table of contents."""
    counted: dict[str, list[str]] = {}
    for entry in entries:
        counted.setdefault(entry.page, []).append(entry.title)
    return {page: titles[0] for page, titles in counted.items() if len(titles) == 1}


def _damage(reason: Reason, detail: str) -> TextRun:
    return TextRun("", Role.SKIP, reason, title=detail)


def _assign_roles(text: str, blocks: list[Block], num_pages: int) -> list[Block]:
    """Give headings their roles: by their levels, or by their words if that finds too few chapters."""
    found = assign_roles(text, blocks)
    if (_num_chapters(found) < 2 and num_pages > 1) or not _num_chapters(found):
        plain = find_structure(text, [replace(block, level=0) if block.level else block for block in blocks])
        if _num_chapters(plain) > max(1, _num_chapters(found)):
            return plain
    return found


def _num_chapters(blocks: Sequence[Block]) -> int:
    return sum(block.role is Role.CHAPTER for block in blocks)


def _refuse(name: str, blocks: Sequence[Block]) -> None:
    """Refuse a book of which nothing can be read.

    Raises:
        SourceError: A page could not be read, or all of them are drawings.
    """
    for block in blocks:
        if block.reason in (Reason.UNREADABLE_PAGE, Reason.MISSING_PAGE):
            raise SourceError(
                f"{name}: nothing in it can be read: {block.title} ({block.reason}); get it again, or give a text "
                "(.txt)"
            )
    if not any(block.reason != Reason.DRAWING for block in blocks) and blocks:
        raise SourceError(f"{name}: is an EPUB without pages of text, only with drawings; give a text (.txt)")


def _to_text_and_blocks(runs: Sequence[TextRun]) -> tuple[str, list[Block]]:
    """Return the text of all runs, with blank lines between them, and their blocks."""
    text: list[str] = []
    blocks: list[Block] = []
    start = 0
    is_listed = any(run.depth for run in runs)
    for run in runs:
        is_damage = run.role is Role.SKIP and not run.words
        if not run.words and run.role is not Role.SCENE and not is_damage:
            continue
        level = run.depth if is_listed else run.level
        end = start + len(run.words)
        blocks.append(Block(start, end, run.role, str(run.reason), level, title=run.title, keeps_lines=True))
        if run.words:
            text.append(run.words + "\n\n")
            start += len(text[-1])
    return "".join(text), blocks


EPUB = BookReader((".epub",), read_epub, read_cover)
