"""Reads an EPUB: the archive, its metadata, the order of its files and its table of contents.

What a file of it says is read by `xhtml`; what headings mean is known to `levels`. Here both are brought together: the
book's own table of contents says where chapters begin and how deep they are. It knows EPUB 2 and 3.
"""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

from lxml import etree

from pipeline.errors import SourceError
from pipeline.text.blocks import Block, Role
from pipeline.text.headings import is_contents, key
from pipeline.text.levels import with_roles
from pipeline.text.spoken import base_language
from pipeline.text.xhtml import Piece, parse, read_pieces, tag_of, types_of, words_of

_CONTAINER = "META-INF/container.xml"
# What zipfile raises for content that is cut, altered, has a password, or is compressed in a way that it does not know.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
# Types of files: those that are no pages but may stand between them, and those of pages, as books have them.
_WORDLESS = re.compile(r"(?:image|audio|video|font)/.*|application/x-dtbncx\+xml")
_PAGE = re.compile(r"|text/.*|application/.*(?:xml|html|oeb).*")
_NO_LANGUAGE = ("und", "mul", "mis", "zxx")  # ISO 639-2: undetermined, several, uncoded, none
_SHORT_LANGUAGES = {  # of its other codes those that books use in the place of the short ones
    "eng": "en", "fre": "fr", "fra": "fr", "spa": "es", "por": "pt", "pol": "pl", "ger": "de", "deu": "de", "ita": "it",
    "dut": "nl", "nld": "nl", "hin": "hi", "ben": "bn", "tam": "ta", "tel": "te", "mar": "mr", "urd": "ur",
}  # fmt: skip
_GUIDE = {  # of EPUB 2: what a whole file is
    "toc": "table of contents",
    "copyright-page": "imprint",
    "index": "index",
    "bibliography": "bibliography",
    "notes": "note",
    "loi": "list of illustrations",
}
_BELOW_ALL = 99  # level of a heading that the table of contents does not name
_LONGEST_HEADING = 3  # pieces that are one heading together: "Chapter 1", "The Fox"
# Entries of a table of contents that need no heading said aloud where the page has none.
_UNSPOKEN = re.compile(r"(?:front |back )?cover|(?:half[- ]?)?title(?:[- ]?page)?|copyright.*|imprint|start.*", re.I)


@dataclass(frozen=True)
class Epub:
    """A book as its EPUB tells it. `blocks` are stretches of `text`, which is put together from all its pages."""

    text: str
    blocks: list[Block]
    title: str
    author: str
    language: str


@dataclass(frozen=True)
class _Entry:
    """One line of the table of contents."""

    page: str  # name of the file in the archive
    fragment: str  # id in that file; "": its beginning
    title: str
    depth: int  # 1 is the outermost


def read_epub(content: bytes, name: str) -> Epub:
    """Reads the bytes of an EPUB; `name` is what messages call it.

    Raises:
        SourceError: It is none, it is damaged, or it is encrypted.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except zipfile.BadZipFile as error:
        raise _not_whole(name, error) from error
    try:
        with archive:
            return _Archive(archive, name).read()
    except RecursionError as error:
        raise SourceError(f"{name}: a page of it is nested too deeply; export it as text (.txt)") from error


def _not_whole(name: str, error: Exception) -> SourceError:
    return SourceError(f"{name}: is no whole EPUB ({error}); get it again, or export it as text (.txt)")


class _Archive:
    """An opened EPUB. Names are those of the archive: paths from its root."""

    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        self.archive = archive
        self.name = name
        self.package_name = self._package_name()
        self.package = parse(self._bytes(self.package_name))
        self.items = {
            str(item.get("id")): (self._resolved(str(item.get("href", "")), self.package_name)[0], item)
            for item in self._in_package("item")
        }

    def read(self) -> Epub:
        pages = self._pages()
        self._refuse_encrypted(pages)
        entries = self._contents()
        contents_page = next((page for page, item in self.items.values() if "nav" in _words(item, "properties")), None)
        reasons = {page: _GUIDE[kind] for kind, page in self._guide() if kind in _GUIDE}
        pieces: list[Piece] = []
        for page, is_linear in pages.items():
            reason = reasons.get(page, "" if is_linear else "outside the reading order")
            if page == contents_page:
                reason = "table of contents"
            own = [entry for entry in entries if entry.page == page]
            found = read_pieces(parse(self._bytes(page)), {entry.fragment for entry in own}, reason)
            pieces += _without_contents(_with_headings(found, own) if own and not reason else found)
        if entries:
            pieces = [_below_all(piece) for piece in pieces]
        text, blocks = _written(pieces)
        return Epub(text, with_roles(text, blocks), self._metadata("title"), self._author(), self._language())

    def _package_name(self) -> str:
        if _CONTAINER not in self.archive.namelist():
            raise SourceError(f"{self.name}: is a ZIP archive, but no EPUB; unpack it and give a text from it")
        for element in parse(self._bytes(_CONTAINER)).iter():
            if tag_of(element) == "rootfile" and element.get("full-path"):
                return str(element.get("full-path"))
        raise SourceError(f"{self.name}: is an EPUB without a book in it; get it again, or give a text (.txt)")

    def _bytes(self, name: str) -> bytes:
        try:
            return self.archive.read(name)
        except KeyError as error:
            raise SourceError(
                f"{self.name}: is damaged: {name} is named in it, but missing; get it again, or give a text (.txt)"
            ) from error
        except _UNREADABLE as error:
            raise _not_whole(self.name, error) from error

    def _in_package(self, tag: str) -> Iterator[etree._Element]:
        return (element for element in self.package.iter() if tag_of(element) == tag)

    def _resolved(self, address: str, base: str) -> tuple[str, str]:
        """The name in the archive, and the fragment, of an address written in the file `base`."""
        parts = urlsplit(address)
        path = posixpath.normpath(posixpath.join(posixpath.dirname(base), unquote(parts.path))) if parts.path else base
        return path, unquote(parts.fragment)

    def _pages(self) -> dict[str, bool]:
        """The files in reading order, and whether each is part of it."""
        pages: dict[str, bool] = {}
        for reference in self._in_package("itemref"):
            page, item = self.items.get(str(reference.get("idref")), ("", None))
            kind = "" if item is None else str(item.get("media-type", "")).lower()
            if item is None or _WORDLESS.fullmatch(kind):
                continue
            is_linear = reference.get("linear") != "no"
            if not _PAGE.fullmatch(kind):
                if not is_linear:  # an extra beside the book, which is not spoken whatever it is
                    continue
                raise SourceError(f"{self.name}: {page} in it is {kind}, no page of text; give a text (.txt)")
            pages.setdefault(page, is_linear)
        if not pages:
            raise SourceError(f"{self.name}: is an EPUB without pages of text; give a text (.txt)")
        return pages

    def _refuse_encrypted(self, pages: Mapping[str, bool]) -> None:
        """Fonts may be encrypted in any book; a page that is cannot be read."""
        if "META-INF/encryption.xml" not in self.archive.namelist():
            return
        for element in parse(self._bytes("META-INF/encryption.xml")).iter():
            if tag_of(element) == "cipherreference" and unquote(str(element.get("URI"))) in pages:
                raise SourceError(f"{self.name}: is encrypted (DRM) and cannot be read; give a copy without it")

    def _metadata(self, tag: str) -> str:
        return next((words for element in self._in_package(tag) if (words := words_of(element))), "")

    def _author(self) -> str:
        """All creators who are named as authors, whatever else they did, or as nothing."""
        roles: dict[str, set[str]] = {}
        for meta in self._in_package("meta"):
            if meta.get("property") == "role":
                roles.setdefault(str(meta.get("refines")).lstrip("#"), set()).add(words_of(meta))
        names = []
        for creator in self._in_package("creator"):
            role = next((value for name, value in creator.items() if str(name).endswith("role")), None)
            known = {str(role)} if role else roles.get(str(creator.get("id")), {"aut"})
            if "aut" in known and (words := words_of(creator)):
                names.append(words)
        return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))

    def _language(self) -> str:
        """The code of its language; "" if there is none, or the one that says that nobody knows."""
        language = base_language(self._metadata("language"))
        if language in _NO_LANGUAGE:
            return ""
        return _SHORT_LANGUAGES.get(language, language if re.fullmatch("[a-z]{2,3}", language) else "")

    def _guide(self) -> Iterator[tuple[str, str]]:
        for reference in self._in_package("reference"):
            page, fragment = self._resolved(str(reference.get("href", "")), self.package_name)
            if not fragment:
                yield str(reference.get("type", "")).lower(), page

    def _contents(self) -> list[_Entry]:
        """The table of contents: that of EPUB 3, else that of EPUB 2, else none."""
        for page, item in self.items.values():
            if "nav" in _words(item, "properties"):
                lists = [each for each in parse(self._bytes(page)).iter() if tag_of(each) == "nav"]
                if entries := [e for nav in lists if "toc" in types_of(nav) for e in self._nav_entries(nav, page, 0)]:
                    return entries
        for page, item in self.items.values():
            if item.get("media-type") == "application/x-dtbncx+xml":
                maps = [each for each in parse(self._bytes(page)).iter() if tag_of(each) == "navmap"]
                return [entry for each in maps for entry in self._ncx_entries(each, page, 1)]
        return []

    def _nav_entries(self, element: etree._Element, page: str, depth: int) -> Iterator[_Entry]:
        for child in element:
            tag = tag_of(child)
            if tag == "a" and child.get("href"):
                yield _Entry(*self._resolved(str(child.get("href")), page), words_of(child), max(1, depth))
            elif tag:
                yield from self._nav_entries(child, page, depth + (tag == "ol"))

    def _ncx_entries(self, element: etree._Element, page: str, depth: int) -> Iterator[_Entry]:
        for point in element:
            if tag_of(point) == "navpoint":
                parts = {tag_of(child): child for child in point}
                if "content" in parts:
                    title = words_of(parts["navlabel"]) if "navlabel" in parts else ""
                    yield _Entry(*self._resolved(str(parts["content"].get("src", "")), page), title, depth)
                yield from self._ncx_entries(point, page, depth + 1)


def _words(element: etree._Element, attribute: str) -> list[str]:
    return str(element.get(attribute, "")).split()


def _with_headings(pieces: Sequence[Piece], entries: Sequence[_Entry]) -> list[Piece]:
    """Gives the headings that a table of contents names its depth, and a heading to a page that has none.

    Several headings that are one in it become one; a short line that it names is a heading, whatever its markup.
    """
    result = list(pieces)
    inserted: dict[int, Piece] = {}
    for entry in entries:
        start = next((i for i, piece in enumerate(pieces) if entry.fragment in piece.targets), None)
        first = next((i for i in range(start or 0, len(pieces)) if pieces[i].is_spoken), None)
        if start is None or first is None or not entry.title:
            continue
        wanted = key(entry.title)
        end = first
        while (
            end < min(len(pieces), first + _LONGEST_HEADING)
            and (pieces[end].level or f" {key(pieces[end].words)} " in f" {wanted} ")
            and (end == first or not pieces[end].targets)
            and result[end] is pieces[end]  # no other entry has it
        ):
            end += 1
        together = "\n".join(piece.words for piece in pieces[first:end])
        while end > first + 1 and len(key(together)) > len(wanted):  # what stands below is a heading of its own
            end -= 1
            together = "\n".join(piece.words for piece in pieces[first:end])
        if end > first:
            result[first] = replace(pieces[first], words=together, role=Role.SECTION, level=entry.depth, is_named=True)
            for i in range(first + 1, end):
                result[i] = replace(pieces[i], words="", role=Role.TEXT, level=0)
        elif result[first] is pieces[first] and not _UNSPOKEN.fullmatch(entry.title) and not is_contents(entry.title):
            inserted.setdefault(first, Piece(entry.title, Role.SECTION, level=entry.depth, is_named=True))
    return [each for i, piece in enumerate(result) for each in ([inserted[i], piece] if i in inserted else [piece])]


def _without_contents(pieces: list[Piece]) -> list[Piece]:
    """Leaves out a table of contents on a page of its own: a heading that says so, and nothing but links."""
    spoken = [piece for piece in pieces if piece.is_spoken]
    if not spoken or not is_contents(spoken[0].words) or not all(piece.is_link for piece in spoken[1:]):
        return pieces
    return [replace(each, role=Role.SKIP, reason="table of contents") if each.is_spoken else each for each in pieces]


def _below_all(piece: Piece) -> Piece:
    return replace(piece, level=_BELOW_ALL) if piece.level and not piece.is_named else piece


def _written(pieces: Sequence[Piece]) -> tuple[str, list[Block]]:
    """The text of all pieces, a blank line between two of them, and where in it each lies."""
    text: list[str] = []
    blocks: list[Block] = []
    start = 0
    for piece in pieces:
        if not piece.words and piece.role is not Role.SCENE:
            continue
        blocks.append(Block(start, start + len(piece.words), piece.role, piece.reason, piece.level))
        text.append(piece.words + "\n\n")
        start += len(text[-1])
    return "".join(text), blocks
