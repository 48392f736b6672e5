"""The package document of an EPUB: pages in reading order, metadata, guide and cover."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from lxml import etree

from pipeline.errors import SourceError
from pipeline.text.readers.epub.archive import Archive, resolve
from pipeline.text.readers.epub.navigation import Entry, read_nav, read_ncx
from pipeline.text.readers.epub.parsing import UnreadablePageError, parse, tag_of, text_of
from pipeline.text.skip_reasons import Reason
from pipeline.text.spoken_form import base_language

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
# Media types: of files in the reading order that are not pages, and of pages as books declare them.
_WORDLESS = re.compile(r"(?:image|audio|video|font)/.*|application/x-dtbncx\+xml")
_DRAWING = "image/svg+xml"
_PAGE = re.compile(r"|text/.*|application/.*(?:xml|html|oeb).*")
_CORE_PAGE = re.compile(r"application/xhtml\+xml.*|application/x-dtbook\+xml|text/x-oeb1-document|text/html.*")
_MAX_FALLBACKS = 10
_NO_LANGUAGE = ("und", "mul", "mis", "zxx")  # ISO 639-2: undetermined, several, uncoded, none
_SHORT_LANGUAGES = {  # the codes of three letters that books use
    "eng": "en", "fre": "fr", "fra": "fr", "spa": "es", "por": "pt", "pol": "pl", "ger": "de", "deu": "de", "ita": "it",
    "dut": "nl", "nld": "nl", "hin": "hi", "ben": "bn", "tam": "ta", "tel": "te", "mar": "mr", "urd": "ur",
}  # fmt: skip
_GUIDE = {  # of EPUB 2: types of whole files
    "toc": Reason.CONTENTS,
    "copyright-page": Reason.IMPRINT,
    "index": Reason.INDEX,
    "bibliography": Reason.BIBLIOGRAPHY,
    "notes": Reason.NOTE,
    "loi": Reason.ILLUSTRATION_LIST,
    "title-page": Reason.TITLE_PAGE,
}


@dataclass(frozen=True)
class SpineItem:
    """A file in the reading order."""

    page: str  # its name in the archive; "": it is not in the archive
    is_linear: bool = True
    is_drawing: bool = False
    problem: str = ""  # why it cannot be read


class Package:
    """The package document of an opened EPUB."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.path = self._find()
        self.root = self.parse(self.path)
        self._items = {str(item.get("id")): item for item in self._elements("item")}
        self._refuse_encrypted()

    def parse(self, path: str) -> etree._Element:
        """Parse a file without which the book cannot be read.

        Raises:
            SourceError: It is missing or unreadable.
        """
        try:
            return parse(self.archive.read(path))
        except KeyError as error:
            raise SourceError(
                f"{self.archive.name}: is damaged: {path} is missing in it; download it again, or give a text (.txt)"
            ) from error
        except UnreadablePageError as error:
            raise SourceError(f"{self.archive.name}: {path} in it cannot be read: {error}") from error

    def spine(self) -> list[SpineItem]:
        """Return the files in reading order, each once.

        Raises:
            SourceError: There are none.
        """
        found: dict[str, SpineItem] = {}
        for reference in self._elements("itemref"):
            is_linear = str(reference.get("linear", "yes")).lower() != "no"
            spine_item = self._spine_item(str(reference.get("idref", "")), is_linear)
            if spine_item is not None:
                found.setdefault(spine_item.page or f"({len(found)})", spine_item)
        if not found:
            raise SourceError(f"{self.archive.name}: is an EPUB without pages of text; give a text (.txt)")
        return list(found.values())

    def contents(self) -> list[Entry]:
        """Return the table of contents of EPUB 3, else that of EPUB 2, else an empty one."""
        for item in self._items.values():
            if "nav" in str(item.get("properties", "")).split() and (entries := self._entries(item, read_nav)):
                return entries
        for item in self._items.values():
            if item.get("media-type") == "application/x-dtbncx+xml" and (entries := self._entries(item, read_ncx)):
                return entries
        return []

    def guide(self) -> dict[str, Reason]:
        """Return the reasons to leave out whole files that the guide of EPUB 2 gives."""
        reasons = {}
        for reference in self._elements("reference"):
            kind = str(reference.get("type", "")).lower()
            target = resolve(str(reference.get("href", "")), self.path)
            if target and not target[1] and kind in _GUIDE:
                reasons[target[0]] = _GUIDE[kind]
        return reasons

    def cover(self) -> bytes | None:
        """Return the JPEG or PNG that is its cover; None: it has none."""
        named = {str(meta.get("content")) for meta in self._elements("meta") if meta.get("name") == "cover"}
        for name, item in self._items.items():
            is_cover = "cover-image" in str(item.get("properties", "")).split() or name in named
            target = resolve(str(item.get("href", "")), self.path)
            if is_cover and target and str(item.get("media-type")) in ("image/jpeg", "image/jpg", "image/png"):
                try:
                    return self.archive.read(target[0])
                except (KeyError, SourceError):
                    return None
        return None

    def title(self) -> str:
        """Return its title; "": it has none."""
        return self._metadata("title")

    def author(self) -> str:
        """Return all creators whose role is author or not given."""
        roles: dict[str, set[str]] = {}
        for meta in self._elements("meta"):
            if meta.get("property") == "role":
                roles.setdefault(str(meta.get("refines")).lstrip("#"), set()).add(text_of(meta))
        names = []
        for creator in self._elements("creator"):
            role = next((value for name, value in creator.items() if str(name).endswith("role")), None)
            known = {str(role)} if role else roles.get(str(creator.get("id")), {"aut"})
            if "aut" in known and (words := text_of(creator)):
                names.append(words)
        return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))

    def language(self) -> str:
        """Return the code of its language; "": it is not given or undetermined."""
        language = base_language(self._metadata("language"))
        if language in _NO_LANGUAGE:
            return ""
        return _SHORT_LANGUAGES.get(language, language if re.fullmatch("[a-z]{2,3}", language) else "")

    def _find(self) -> str:
        if _CONTAINER not in self.archive:
            raise SourceError(
                f"{self.archive.name}: is a ZIP archive, but not an EPUB; unpack it and give a text from it"
            )
        for element in self.parse(_CONTAINER).iter():
            if tag_of(element) == "rootfile" and element.get("full-path"):
                return unquote(str(element.get("full-path"))).lstrip("/")
        raise SourceError(
            f"{self.archive.name}: is an EPUB without a book in it; download it again, or give a text (.txt)"
        )

    def _elements(self, tag: str) -> Iterator[etree._Element]:
        return (element for element in self.root.iter() if tag_of(element) == tag)

    def _metadata(self, tag: str) -> str:
        return next((words for element in self._elements(tag) if (words := text_of(element))), "")

    def _spine_item(self, name: str, is_linear: bool) -> SpineItem | None:
        """Return the file of the reading order with this id, or its fallback; None: it has no text."""
        item = self._items.get(name)
        if item is None:
            return SpineItem("", is_linear, problem=f"the item {name!r} of its reading order")
        kinds = []
        for _ in range(_MAX_FALLBACKS):
            kind = str(item.get("media-type", "")).lower().strip()
            kinds.append((kind, str(item.get("href", ""))))
            following = self._items.get(str(item.get("fallback")))
            if _CORE_PAGE.fullmatch(kind) or (
                _PAGE.fullmatch(kind) and following is None and not _WORDLESS.fullmatch(kind)
            ):
                target = resolve(str(item.get("href", "")), self.path)
                return SpineItem(target[0], is_linear) if target else SpineItem("", problem=str(item.get("href")))
            if following is None:
                break
            item = following
        kind, address = kinds[0]
        target = resolve(address, self.path)
        if kind.startswith(_DRAWING) and target:
            return SpineItem(target[0], is_linear, is_drawing=True)
        if _WORDLESS.fullmatch(kind) or not is_linear:  # files outside the reading order are not spoken
            return None
        page = target[0] if target else address
        return SpineItem(page, problem=f"{page} in it is {kind}, not a page of text")

    def _entries(self, item: etree._Element, read: Callable[[etree._Element, str], list[Entry]]) -> list[Entry]:
        target = resolve(str(item.get("href", "")), self.path)
        try:
            return read(parse(self.archive.read(target[0])), target[0]) if target else []
        except (KeyError, UnreadablePageError, RecursionError):  # headings then say where chapters begin
            return []

    def _refuse_encrypted(self) -> None:
        """Refuse a book with encrypted pages. Fonts may be encrypted in any book."""
        if _ENCRYPTION not in self.archive:
            return
        pages = {item.page for item in self.spine()}
        for element in self.parse(_ENCRYPTION).iter():
            if tag_of(element) == "cipherreference" and unquote(str(element.get("URI"))) in pages:
                raise SourceError(f"{self.archive.name}: is encrypted (DRM) and cannot be read; give a copy without it")
