"""Readers of books: formats of which one file is one document."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from pipeline.config import DEFAULT_LANGUAGE, SourceConfig
from pipeline.errors import SourceError
from pipeline.text.readers.reader import InputFile, Reader
from pipeline.text.skip_reasons import Reason
from pipeline.text.structure.blocks import Block, assemble, display_title
from pipeline.types import Document, Skip


@dataclass(frozen=True)
class Book:
    """What a format says of a book. `blocks` are stretches of `text`; together with `skips` they cover its words."""

    text: str
    blocks: Sequence[Block]
    title: str = ""
    author: str = ""
    language: str = ""
    skips: tuple[Skip, ...] = ()
    num_pages: int = 0  # files with words in an EPUB


class BookReader(Reader):
    """Reads one book from one file.

    Args:
        endings: Of file names, e.g. (".txt",).
        parse: Reads the file. A command calls it twice, to check the input and to plan it.
        read_cover: Returns the JPEG or PNG that is the cover, or None.
    """

    def __init__(
        self,
        endings: tuple[str, ...],
        parse: Callable[[InputFile], Book],
        read_cover: Callable[[InputFile], bytes | None] = lambda file: None,
    ) -> None:
        self.endings = endings
        self._parse = parse
        self._read_cover = read_cover

    def read(self, files: Sequence[InputFile], source: SourceConfig) -> Iterator[Document]:
        """Yield the book."""
        (file,) = files  # `dispatch` refuses several books
        yield _document(self._parse(file), source, file)

    def read_cover(self, file: InputFile) -> bytes | None:
        """Return the cover of the book."""
        return self._read_cover(file)


def _document(book: Book, source: SourceConfig, file: InputFile) -> Document:
    title = source.title or book.title or display_title(re.sub(r"[\W_]+", " ", file.stem).strip().upper())
    chapters, skips = assemble(book.text, book.blocks, title)
    if not chapters:
        raise SourceError(f"{file}: there are no words to speak in it")
    document = Document(
        id=file.stem,
        text=book.text,
        chapters=chapters,
        skips=tuple(sorted((*book.skips, *skips), key=lambda skip: skip.start)),
        title=title,
        author=source.author or book.author,
        language=source.language or book.language or DEFAULT_LANGUAGE,
        num_pages=book.num_pages,
    )
    return _select_chapters(document, source.chapters) if source.chapters else document


def _select_chapters(book: Document, selection: str) -> Document:
    """Return a book with the selected chapters only; the paragraphs of the others become skips."""
    wanted: set[int] = set()
    for span in selection.split(","):
        found = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", span)
        if found is None:
            raise SourceError(f"source.chapters={selection}: write numbers and ranges, e.g. 1-3 or 1,4,7")
        first, last = int(found[1]), int(found[2] or found[1])
        if not 1 <= first <= last <= len(book.chapters):
            raise SourceError(f"source.chapters={selection}: {book.title} has chapters 1 to {len(book.chapters)}")
        wanted.update(range(first, last + 1))
    not_selected = [
        Skip(paragraph.start, paragraph.start + len(paragraph.text), Reason.NOT_SELECTED.value)
        for number, chapter in enumerate(book.chapters, 1)
        if number not in wanted
        for paragraph in chapter.paragraphs
    ]
    return replace(
        book,
        chapters=tuple(chapter for number, chapter in enumerate(book.chapters, 1) if number in wanted),
        skips=tuple(sorted((*book.skips, *not_selected), key=lambda skip: skip.start)),
    )
