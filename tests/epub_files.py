"""EPUB files written by tests, and what a reader finds in them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

from pipeline.config import SourceConfig
from pipeline.text.readers.dispatch import read_documents
from pipeline.types import Document

_METADATA = "<dc:title>The Fox</dc:title><dc:creator>Ann Lee</dc:creator><dc:language>en-GB</dc:language>"
_CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
)
_SPACES = 'xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"'


def page(body: str) -> str:
    return f"<html {_SPACES}><head><title>never said</title></head><body>{body}</body></html>"


def write_epub(
    path: Path,
    pages: Mapping[str, str],
    nav: str = "",
    ncx: str = "",
    metadata: str = _METADATA,
    more: Mapping[str, str] | None = None,
    guide: str = "",
    not_linear: str = "",
    media_type: str = "application/xhtml+xml",
    types: Mapping[str, str] | None = None,
) -> Path:
    """`pages` are bodies by name, in reading order; `nav` is a list of EPUB 3, `ncx` a map of EPUB 2."""
    kinds = dict.fromkeys(pages, media_type) | dict(types or {})
    items = "".join(f'<item id="{n}" href="{n}" media-type="{kinds[n]}"/>' for n in pages)
    spine = "".join(
        f'<itemref idref="{n}"{" linear=" + chr(34) + "no" + chr(34) if n == not_linear else ""}/>' for n in pages
    )
    files = {f"OEBPS/{name}": page(body) for name, body in pages.items()}
    if nav:
        items += '<item id="nav" href="nav.xhtml" properties="nav" media-type="application/xhtml+xml"/>'
        files["OEBPS/nav.xhtml"] = page(f'<nav epub:type="toc"><ol>{nav}</ol></nav>')
    if ncx:
        items += '<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>'
        files["OEBPS/toc.ncx"] = f'<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap>{ncx}</navMap></ncx>'
    files["OEBPS/book.opf"] = (
        '<package xmlns="http://www.idpf.org/2007/opf" xmlns:opf="http://www.idpf.org/2007/opf">'
        f'<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">{metadata}</metadata>'
        f"<manifest>{items}</manifest><spine>{spine}</spine><guide>{guide}</guide></package>"
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr("META-INF/container.xml", _CONTAINER)
        for name, content in (files | dict(more or {})).items():
            archive.writestr(name, content)
    return path


def read(path: Path, **source: str) -> Document:
    (document,) = read_documents(str(path), SourceConfig(**source))  # type: ignore[arg-type]
    return document


def spoken(document: Document) -> list[str]:
    return [paragraph.text for chapter in document.chapters for paragraph in chapter.paragraphs]


def left_out(document: Document) -> list[tuple[str, str]]:
    return [(document.text[skip.start : skip.end], skip.reason) for skip in document.skips]


def entry(target: str, title: str, below: str = "") -> str:
    return f'<li><a href="{target}">{title}</a>{below and f"<ol>{below}</ol>"}</li>'


def point(target: str, title: str, below: str = "") -> str:
    label = f"<navLabel><text>{title}</text></navLabel>"
    return f'<navPoint>{label}<content src="{target}"/>{below}</navPoint>'
