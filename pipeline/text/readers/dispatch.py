"""The way in: a file, a folder, a dataset or the shipped story becomes `Document`s.

Everything that can be wrong with an input is said here, in one line, before a model is loaded. How the formats look
inside is known to `structure`, `markdown`, `epub` and `tables`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from itertools import chain
from pathlib import Path, PurePath

from pipeline.config import DEFAULT_LANGUAGE, SourceConfig
from pipeline.errors import SourceError, nearest_first
from pipeline.storage.paths import compression_of, is_local, open_input, open_text, plain_name
from pipeline.text.readers.encodings import LOOKED_AT, check_encoding, wrong_encoding
from pipeline.text.readers.epub import read_cover, read_epub
from pipeline.text.readers.inputs import check_file, files_of_split, input_paths
from pipeline.text.readers.markdown import markdown_blocks
from pipeline.text.readers.plain_text import plain_blocks
from pipeline.text.readers.row_columns import Row
from pipeline.text.readers.tables import ROW_READERS, dataset_rows, is_saved_dataset, read_table
from pipeline.text.skip_reasons import Reason
from pipeline.text.structure.blocks import Block, assemble, human_title
from pipeline.text.structure.chapters import find_structure
from pipeline.text.structure.front_matter import Front, read_markdown_front, read_plain_front
from pipeline.text.structure.heading_levels import leading_title
from pipeline.types import Document, Skip

STORY = "story"  # the name of the text that ships with the package

_ENDINGS = {
    ".txt": "txt",
    ".text": "txt",
    ".md": "md",
    ".markdown": "md",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".epub": "epub",
}
_FORMATS = tuple(dict.fromkeys(_ENDINGS.values()))
_SIGNATURES = {b"%PDF": "a PDF", b"PK\x03\x04": "a ZIP archive (DOCX ...)", b"{\\rtf": "RTF", b"\x1f\x8b": "gzip"}
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_documents(input: str, source: SourceConfig) -> Iterator[Document]:
    """Reads an input, lazily: a book is one `Document`, a table one for each row.

    Raises:
        SourceError: Something about the input is for the user to mend.
    """
    if input == STORY:
        text = resources.files("pipeline.text").joinpath("story.md").read_text(encoding="utf-8")
        yield _book(_book_text(text, "md", STORY), source, STORY)
        return
    check_encoding(source.encoding)
    if source.format == "datasets" or is_saved_dataset(Path(input)):
        yield from read_table(dataset_rows(input, source), source)
        return
    paths = input_paths(input)
    for path in paths:
        check_file(path)
        if not path.exists():
            raise _no_such_file(path)
    if len(paths) == 1 and not paths[0].is_dir() and _format_of(paths[0], source) not in ROW_READERS:
        yield _book(_read_book(paths[0], _format_of(paths[0], source), source), source, str(paths[0]))
        return
    yield from read_table(chain.from_iterable(_rows_of(path, source) for path in paths), source)


def check_source(input: str, source: SourceConfig) -> Document:
    """Says all that can be said about an input before a model loads; returns its first document.

    Raises:
        SourceError: Something about the input is for the user to mend.
    """
    first = next(read_documents(input, source), None)
    if first is None:
        raise SourceError(f"{input}: there are no rows in it; give a table with at least one")
    return first


def read_cover_of(input: str, source: SourceConfig) -> bytes | None:
    """Return the JPEG or PNG that is the cover of a book in EPUB; None: it has none, or the input is no EPUB.

    Raises:
        SourceError: It cannot be read any more.
    """
    if input == STORY or source.format not in ("auto", "epub") or is_saved_dataset(Path(input)):
        return None
    path, *others = input_paths(input)
    if others or path.is_dir() or (source.format == "auto" and _known_format(path) != "epub"):
        return None
    return read_cover(_read_bytes(path, source), str(path))


@dataclass(frozen=True)
class _Book:
    """What a format tells of a book."""

    name: str
    text: str
    blocks: Sequence[Block]
    title: str
    author: str
    skips: tuple[Skip, ...] = ()
    language: str = ""
    num_pages: int = 0


def _read_book(path: Path, format_name: str, source: SourceConfig) -> _Book:
    name = PurePath(plain_name(path)).stem
    if format_name != "epub":
        return _book_text(_read_text(path, source), format_name, name)
    epub = _read_epub(_read_bytes(path, source), str(path))
    return _Book(name, epub.text, epub.blocks, epub.title, epub.author, (), epub.language, epub.num_pages)


_read_epub = lru_cache(maxsize=1)(read_epub)  # for the same reason


def _read_bytes(path: Path, source: SourceConfig) -> bytes:
    _refuse_empty(path)
    try:
        limit = source.max_inflated_mb * 2**20
        with open_input(path, limit) as file:
            content = file.read(limit + 1)
        _check_size(path, len(content) > limit, source)
        return content
    except OSError as error:
        raise _unreadable(path, error) from error


@lru_cache(maxsize=1)  # a command reads its book twice: to check it, and to plan it
def _book_text(text: str, format_name: str, name: str) -> _Book:
    front = read_markdown_front(text) if format_name == "md" else read_plain_front(text)
    title = front.title
    if format_name == "md":
        blocks = markdown_blocks(text, front.start)
        title = title or leading_title(text, blocks)
        if not any(block.level for block in blocks):  # plain text with the ending of Markdown
            blocks = find_structure(text, blocks)
    else:
        blocks = find_structure(text, _blocks_between(text, front), front.title_page_end)
    return _Book(name, text, blocks, title, front.author, front.skips, front.language)


def _blocks_between(text: str, front: Front) -> list[Block]:
    """Return the blocks of a plain text, without the notices between the books that it was joined from."""
    blocks: list[Block] = []
    start = front.start
    for notice in front.skips:
        if start < notice.start < front.end:
            blocks += plain_blocks(text, start, notice.start)
            start = notice.end
    return [*blocks, *plain_blocks(text, start, front.end)]


def _book(read: _Book, source: SourceConfig, input: str) -> Document:
    title = source.title or read.title or human_title(re.sub(r"[\W_]+", " ", read.name).strip().upper())
    chapters, skips = assemble(read.text, read.blocks, title)
    book = Document(
        id=read.name,
        text=read.text,
        chapters=chapters,
        skips=tuple(sorted((*read.skips, *skips), key=lambda skip: skip.start)),
        title=title,
        author=source.author or read.author,
        language=source.language or read.language or DEFAULT_LANGUAGE,
        num_pages=read.num_pages,
    )
    if not chapters:
        raise SourceError(f"{input}: there are no words to speak in it")
    return _with_chapters(book, source.chapters) if source.chapters else book


def _with_chapters(book: Document, selection: str) -> Document:
    """Keeps the selected chapters; the paragraphs of the others become skips."""
    wanted: set[int] = set()
    for span in selection.split(","):
        found = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", span)
        if found is None:
            raise SourceError(f"source.chapters={selection}: write numbers and ranges, e.g. 1-3 or 1,4,7")
        first, last = int(found[1]), int(found[2] or found[1])
        if not 1 <= first <= last <= len(book.chapters):
            raise SourceError(f"source.chapters={selection}: {book.title} has chapters 1 to {len(book.chapters)}")
        wanted.update(range(first, last + 1))
    left_out = [
        Skip(paragraph.start, paragraph.start + len(paragraph.text), Reason.NOT_SELECTED.value)
        for number, chapter in enumerate(book.chapters, 1)
        if number not in wanted
        for paragraph in chapter.paragraphs
    ]
    return replace(
        book,
        chapters=tuple(chapter for number, chapter in enumerate(book.chapters, 1) if number in wanted),
        skips=tuple(sorted((*book.skips, *left_out), key=lambda skip: skip.start)),
    )


def _format_of(path: Path, source: SourceConfig) -> str:
    if source.format != "auto":
        return source.format
    known = _known_format(path)
    if known is None:
        _refuse_binary(path)
        suffix = PurePath(plain_name(path)).suffix
        ending = f"ending {suffix!r}" if suffix else "a name without an ending"
        raise SourceError(
            f"{path}: {ending} is not known; set source.format to txt, md, epub, jsonl, json, csv or parquet"
        )
    return known


def _known_format(path: Path) -> str | None:
    return _ENDINGS.get(PurePath(plain_name(path)).suffix.lower())


def _rows_of(path: Path, source: SourceConfig) -> Iterator[Row]:
    """The rows of a table, or of the tables of a folder."""
    if path.is_dir():
        yield from _folder_rows(path, source)
        return
    format_name = _format_of(path, source)
    if format_name not in ROW_READERS:
        raise SourceError(f"{path}: is a book, and several inputs have to be tables; give each book a run of its own")
    yield from _rows(path, format_name, source)


def _folder_rows(folder: Path, source: SourceConfig) -> Iterator[Row]:
    """The rows of the tables in a folder that belong to the split, in the order of their names."""
    wanted = ROW_READERS.keys() if source.format == "auto" else ROW_READERS.keys() & {source.format}
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.parts)
    tables = [path for path in files if _known_format(path) in wanted and not _is_hidden(path, folder)]
    if not tables:
        raise SourceError(f"{folder}: is a folder without .parquet, .jsonl, .json or .csv files; name a file in it")
    by_name = {path.relative_to(folder).as_posix(): path for path in tables}
    chosen = {name: _format_of(by_name[name], source) for name in files_of_split(folder, list(by_name), source)}
    if len(formats := {*chosen.values()}) > 1:  # .json beside tables: settings of other programs
        formats -= {"json"}
    if len(formats) > 1:
        raise SourceError(
            f"{folder}: holds tables of several formats; set source.format to {' or '.join(sorted(formats))}"
        )
    for name, format_name in chosen.items():
        if format_name in formats:
            yield from _rows(by_name[name], format_name, source)


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _rows(path: Path, format_name: str, source: SourceConfig) -> Iterator[Row]:
    if source.columns and format_name != "csv":
        raise SourceError(f"{path}: source.columns names the columns of CSV, and this is {format_name}; leave it out")
    if format_name == "parquet":
        if ending := compression_of(path):
            raise SourceError(f"{path}: Parquet is compressed inside; unpack it from {ending} first")
        _refuse_empty(path)
    else:
        _refuse_binary(path)
    try:
        yield from ROW_READERS[format_name](path, source)
    except UnicodeError as error:
        raise wrong_encoding(path, source.encoding) from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _read_text(path: Path, source: SourceConfig) -> str:
    """Reads a whole file; its line ends become plain newlines, so that offsets do not depend on the system."""
    _refuse_binary(path)
    limit = source.max_inflated_mb * 2**20
    try:
        with open_text(path, source.encoding, max_inflated_bytes=limit) as file:
            text = file.read(limit)
            _check_size(path, bool(file.read(1)), source)
    except UnicodeError as error:
        raise wrong_encoding(path, source.encoding) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if not text.strip():
        raise SourceError(f"{path}: is empty; give a file with text in it")
    return text.removeprefix("\ufeff")


def _check_size(path: Path, is_larger: bool, source: SourceConfig) -> None:
    if is_larger:
        raise SourceError(
            f"{path}: is more than source.max_inflated_mb={source.max_inflated_mb} MB, which is no book; if it is "
            "one, set that to more"
        )


def _refuse_empty(path: Path) -> bytes:
    try:
        with open_input(path) as file:
            head = file.read(LOOKED_AT)
    except OSError as error:
        raise _unreadable(path, error) from error
    if not head:
        raise SourceError(f"{path}: is empty; give a file with text in it")
    return head


def _refuse_binary(path: Path) -> None:
    head = _refuse_empty(path)
    for signature, name in _SIGNATURES.items():
        if head.startswith(signature):
            raise SourceError(f"{path}: is {name}, not text; export it as plain text (.txt) or Markdown (.md)")
    if b"\0" in head and not head.startswith(_UTF16_MARKS) and "\0" in head.decode("utf-8", "replace"):
        raise SourceError(f"{path}: is a binary file, not text; give a text file")


def _unreadable(path: Path, error: OSError) -> SourceError:
    reason = (error.strerror or str(error) or type(error).__name__).splitlines()[0]
    return SourceError(f"{path}: cannot be read ({reason}); check the file, and who may read it")


def _no_such_file(path: Path) -> SourceError:
    if not is_local(path):
        return SourceError(f"{path}: no such file; check the address")
    hint = "; for a dataset of the hub set source.format=datasets" if len(path.parts) == 2 else ""
    if path.parent.is_dir():
        there = [each.name for each in path.parent.iterdir() if not each.name.startswith(".")]
        near = nearest_first(path.name, there, limit=3)
        if near:
            return SourceError(f"{path}: no such file; nearest in {path.parent}: {', '.join(near)}{hint}")
    return SourceError(f"{path}: no such file; check the path{hint}")
