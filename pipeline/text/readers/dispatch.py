"""Choose the reader of an input, and check the input before a model is loaded.

The reader is the one that `source.format` names, or else the first whose endings include that of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import resources
from itertools import chain
from pathlib import Path, PurePath

from pipeline.config import SourceConfig
from pipeline.errors import SourceError, nearest_first
from pipeline.storage.paths import is_local, plain_name
from pipeline.text.readers.books import BookReader
from pipeline.text.readers.datasets_rows import is_saved_dataset
from pipeline.text.readers.encodings import check_encoding
from pipeline.text.readers.inputs import check_file, files_of_split, input_paths
from pipeline.text.readers.reader import READERS, InputFile, Reader
from pipeline.text.readers.tables import TableReader, read_table
from pipeline.types import Document

STORY = "story"  # the input that names the text that comes with the package
_DATASETS = "datasets"  # the only format whose input may be a name and no file


def read_documents(input: str, source: SourceConfig) -> Iterator[Document]:
    """Yield the documents of an input, lazily: a book is one, a table has one for each row.

    Raises:
        SourceError: The user has to change the input or a setting.
    """
    if input == STORY:
        with resources.as_file(resources.files("pipeline.text").joinpath("story.md")) as path:
            source = replace(source, encoding="utf-8")
            yield from READERS.get("md").read([InputFile(path, source)], source)
        return
    check_encoding(source.encoding)
    if _is_dataset(input, source):
        yield from READERS.get(_DATASETS).read([InputFile(Path(input), source, input)], source)
        return
    paths = input_paths(input)
    for path in paths:
        check_file(path)
        if not path.exists():
            raise _no_such_file(path)
    chosen = [each for path in paths for each in _chosen_files(path, source)]
    readers = [READERS.get(name) for _, name in chosen]
    files = [file for file, _ in chosen]
    if all(isinstance(reader, TableReader) for reader in readers):  # rows are numbered through all tables
        pairs = zip(files, readers, strict=True)
        rows = (reader.rows(file, source) for file, reader in pairs if isinstance(reader, TableReader))
        yield from read_table(chain.from_iterable(rows), source)
        return
    _refuse_several_books(files, readers)
    if source.limit is not None and isinstance(readers[0], BookReader):
        raise SourceError(f"source.limit={source.limit}: limits the rows of a table; of a book, give source.chapters=1")
    yield from readers[0].read(files, source)


def check_source(input: str, source: SourceConfig) -> Document:
    """Check an input as far as that is possible without reading all of it, and return its first document.

    Raises:
        SourceError: The user has to change the input or a setting.
    """
    first = next(read_documents(input, source), None)
    if first is None:
        raise SourceError(f"{input}: has no rows; give a table with at least one")
    return first


def read_cover_of(input: str, source: SourceConfig) -> bytes | None:
    """Return the JPEG or PNG that is the cover of the book that an input is; None: there is none.

    Raises:
        SourceError: The input can no longer be read.
    """
    if input == STORY or _is_dataset(input, source):
        return None
    path, *others = input_paths(input)
    name = None if others or path.is_dir() else _find_format(path, source.format)
    return READERS.get(name).read_cover(InputFile(path, source)) if name else None


def _is_dataset(input: str, source: SourceConfig) -> bool:
    return source.format == _DATASETS or is_saved_dataset(Path(input))


def _find_format(path: Path, format_name: str) -> str | None:
    """Return the name of a file's format; None: its ending is not known."""
    if format_name != "auto":
        return format_name
    ending = _ending(path)
    # Readers of other distributions come last, so that they are only imported when they are needed.
    return next((name for name in READERS.names() if ending in READERS.get(name).endings), None) if ending else None


def _ending(path: Path) -> str:
    return PurePath(plain_name(path)).suffix.lower()


def _chosen_files(path: Path, source: SourceConfig) -> list[tuple[InputFile, str]]:
    """Return a file, or the files of a folder that are read, each with the name of its format."""
    if path.is_dir():
        return _files_of_folder(path, source)
    file = InputFile(path, source)
    name = _find_format(path, source.format)
    if name is None:
        file.check_is_text()
        problem = f"ending {_ending(path)!r} is not known" if _ending(path) else "the name has no ending"
        formats = ", ".join(each for each in READERS.names() if each != _DATASETS)
        raise SourceError(f"{path}: {problem}; set source.format to one of: {formats}")
    return [(file, name)]


def _files_of_folder(folder: Path, source: SourceConfig) -> list[tuple[InputFile, str]]:
    """Return the files of a folder that belong to the split, in the order of their names."""
    paths = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.parts)
    by_name = {
        path.relative_to(folder).as_posix(): (InputFile(path, source), name)
        for path in paths
        if not _is_hidden(path, folder) and (name := _format_in_folder(path, source.format))
    }
    if not by_name:
        raise SourceError(f"{folder}: is a folder without .parquet, .jsonl, .json or .csv files; name a file in it")
    chosen = [by_name[name] for name in files_of_split(folder, list(by_name), source)]
    formats = {name for _, name in chosen}
    if len(formats) > 1:
        formats -= {"json"}  # beside other tables, JSON holds the settings of programs
    if len(formats) > 1:
        raise SourceError(
            f"{folder}: holds tables of several formats; set source.format to {' or '.join(sorted(formats))}"
        )
    return [(file, name) for file, name in chosen if name in formats]


def _format_in_folder(path: Path, format_name: str) -> str | None:
    """Return the name of the format of a file in a folder; None: it is not read. Books are read only by their names."""
    name = _find_format(path, format_name)
    if name is None or _ending(path) not in READERS.get(name).endings:
        return None
    is_table = isinstance(READERS.get(name), TableReader)
    return name if is_table or (format_name != "auto" and not isinstance(READERS.get(name), BookReader)) else None


def _refuse_several_books(files: Sequence[InputFile], readers: Sequence[Reader]) -> None:
    """Refuse several inputs that no single reader takes together."""
    if len(files) == 1:
        return
    for file, reader in zip(files, readers, strict=True):
        if isinstance(reader, BookReader):
            raise SourceError(f"{file}: is a book, and several inputs must be tables; run each book separately")
        if reader is not readers[0]:
            raise SourceError(f"{file}: has another format than {files[0]}; run each format separately")


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


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
