"""The way in: a file, a folder, a dataset or the shipped story becomes `Document`s.

Everything that can be wrong with an input is said here, in one line, before a model is loaded. How the formats look
inside is known to `structure`, `markdown`, `epub` and `tables`.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path, PurePath

from charset_normalizer import from_bytes

from pipeline.config import DEFAULT_LANGUAGE, SourceConfig
from pipeline.errors import SourceError, nearest_first
from pipeline.places import is_local, open_input, open_text, place, plain_name
from pipeline.text.blocks import Block, assemble, human_title
from pipeline.text.epub import read_cover, read_epub
from pipeline.text.frontmatter import read_markdown_front, read_plain_front
from pipeline.text.levels import leading_title
from pipeline.text.lines import plain_blocks
from pipeline.text.markdown import markdown_blocks
from pipeline.text.reasons import Reason
from pipeline.text.structure import find_structure
from pipeline.text.tables import ROW_READERS, Row, dataset_rows, is_saved_dataset, read_table
from pipeline.types import Document, Skip

STORY = "story"  # the name of the text that ships with the package

_ENDINGS = {
    ".txt": "txt",
    ".text": "txt",
    ".md": "md",
    ".markdown": "md",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".epub": "epub",
}
_SIGNATURES = {b"%PDF": "a PDF", b"PK\x03\x04": "a ZIP archive (DOCX ...)", b"{\\rtf": "RTF", b"\x1f\x8b": "gzip"}
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_LOOKED_AT = 1 << 16  # bytes that are enough to tell an encoding


def read_documents(input: str, source: SourceConfig) -> Iterator[Document]:
    """Reads an input, lazily: a book is one `Document`, a table one for each row.

    Raises:
        SourceError: Something about the input is for the user to mend.
    """
    if input == STORY:
        text = resources.files("pipeline.text").joinpath("story.md").read_text(encoding="utf-8")
        yield _book(_book_text(text, "md", STORY), source)
    elif source.format == "datasets" or is_saved_dataset(Path(input)):
        yield from read_table(dataset_rows(input, source), source)
    else:
        path = place(input)
        if not path.exists():
            raise _no_such_file(path)
        _check_encoding(source.encoding)
        if path.is_dir():
            yield from read_table(_folder_rows(path, source), source)
            return
        format_name = _format_of(path, source)
        if format_name in ROW_READERS:
            yield from read_table(_rows(path, format_name, source), source)
        else:
            yield _book(_read_book(path, format_name, source), source)


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
    path = place(input)
    if path.is_dir() or (source.format == "auto" and _known_format(path) != "epub"):
        return None
    return read_cover(_read_bytes(path), str(path))


@dataclass(frozen=True)
class _Book:
    """What a format tells of a book."""

    name: str
    text: str
    blocks: list[Block]
    title: str
    author: str
    skips: tuple[Skip, ...] = ()
    language: str = ""
    num_pages: int = 0


def _read_book(path: Path, format_name: str, source: SourceConfig) -> _Book:
    name = PurePath(plain_name(path)).stem
    if format_name != "epub":
        return _book_text(_read_text(path, source.encoding), format_name, name)
    epub = read_epub(_read_bytes(path), str(path))
    return _Book(name, epub.text, epub.blocks, epub.title, epub.author, (), epub.language, epub.num_pages)


def _read_bytes(path: Path) -> bytes:
    _refuse_empty(path)
    try:
        with open_input(path) as file:
            return file.read()
    except (OSError, EOFError) as error:
        raise _unreadable(path, error) from error


def _book_text(text: str, format_name: str, name: str) -> _Book:
    front = read_markdown_front(text) if format_name == "md" else read_plain_front(text)
    title = front.title
    if format_name == "md":
        blocks = markdown_blocks(text, front.start)
        title = title or leading_title(text, blocks)
        if not any(block.level for block in blocks):  # plain text with the ending of Markdown
            blocks = find_structure(text, blocks)
    else:
        blocks = find_structure(text, plain_blocks(text, front.start, front.end), front.title_page_end)
    return _Book(name, text, blocks, title, front.author, front.skips)


def _book(read: _Book, source: SourceConfig) -> Document:
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
        raise SourceError(f"{read.name}: there are no words to speak in it")
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
        raise SourceError(f"{path}: {ending} is not known; set source.format to txt, md, epub, jsonl, csv or parquet")
    return known


def _known_format(path: Path) -> str | None:
    return _ENDINGS.get(PurePath(plain_name(path)).suffix.lower())


def _folder_rows(folder: Path, source: SourceConfig) -> Iterator[Row]:
    """The rows of all tables of one format in a folder, in the order of their names."""
    wanted = ROW_READERS if source.format == "auto" else {source.format}
    files = [
        path
        for path in sorted(folder.rglob("*"), key=lambda path: path.parts)
        if path.is_file() and not _is_hidden(path, folder)
    ]
    tables = [path for path in files if _known_format(path) in ROW_READERS.keys() & wanted]
    if not tables:
        raise SourceError(f"{folder}: is a folder without .parquet, .jsonl or .csv files; name a file in it")
    formats = {_format_of(path, source) for path in tables}
    if len(formats) > 1:
        raise SourceError(
            f"{folder}: holds tables of several formats; set source.format to {' or '.join(sorted(formats))}"
        )
    for path in tables:
        yield from _rows(path, _format_of(path, source), source)


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _rows(path: Path, format_name: str, source: SourceConfig) -> Iterator[Row]:
    if format_name == "parquet":
        _refuse_empty(path)
    else:
        _refuse_binary(path)
    try:
        yield from ROW_READERS[format_name](path, source)
    except UnicodeDecodeError as error:
        raise _wrong_encoding(path, source.encoding) from error
    except (OSError, EOFError) as error:  # EOFError: compressed, and cut short
        raise _unreadable(path, error) from error


def _read_text(path: Path, encoding: str) -> str:
    """Reads a whole file; its line ends become plain newlines, so that offsets do not depend on the system."""
    _refuse_binary(path)
    try:
        with open_text(path, encoding) as file:
            text = file.read()
    except UnicodeDecodeError as error:
        raise _wrong_encoding(path, encoding) from error
    except (OSError, EOFError) as error:
        raise _unreadable(path, error) from error
    if not text.strip():
        raise SourceError(f"{path}: is empty; give a file with text in it")
    return text.removeprefix("\ufeff")


def _refuse_empty(path: Path) -> bytes:
    try:
        with open_input(path) as file:
            head = file.read(_LOOKED_AT)
    except (OSError, EOFError) as error:
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


def _unreadable(path: Path, error: OSError | EOFError) -> SourceError:
    return SourceError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); check who may read it")


def _wrong_encoding(path: Path, encoding: str) -> SourceError:
    """Proposes the encoding of what is around the first byte that cannot be read, so far as it can be told."""
    with open_input(path) as file:
        sample = next((chunk for chunk in iter(lambda: file.read(_LOOKED_AT), b"") if not chunk.isascii()), b"")
    best = from_bytes(sample).best()
    if best is None:
        return SourceError(
            f"{path}: is not {encoding}; save it as UTF-8, or name its encoding with source.encoding=..."
        )
    name = best.encoding
    if _reads_as_cp1252(sample) and not name.startswith("utf") and _is_latin(str(best)):
        name = "cp1252"
    # Nothing but the reader can tell Western letters from those of Central Europe or Turkey: one byte stands for both.
    other = best.encoding if best.encoding.startswith("cp125") else name
    doubt = f" ({other} if its letters come out wrong)" if name != other and sample.decode(name) != str(best) else ""
    return SourceError(
        f"{path}: is not {encoding}; it looks like {name}: set source.encoding={name}{doubt}, or save it as UTF-8"
    )


def _reads_as_cp1252(sample: bytes) -> bool:
    try:
        sample.decode("cp1252")
    except UnicodeDecodeError:
        return False
    return True


def _is_latin(text: str) -> bool:
    """Whether the letters beyond ASCII stand among plain ones, as accented letters do, and not in words of their own.

    It holds for a wrong guess too, whatever letters that makes of the accented ones.
    """
    words = [word for word in re.findall(r"[^\W\d_]{2,}", text) if not word.isascii()]
    mixed = [word for word in words if re.search("[A-Za-z]", word)]
    return 2 * len(mixed) >= len(words)


def _check_encoding(encoding: str) -> None:
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        message = f"source.encoding={encoding}: is not an encoding that Python knows; try utf-8, cp1252 or utf-16"
        raise SourceError(message) from error


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
