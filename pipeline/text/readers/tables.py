"""Readers of tables: formats of rows with columns. Rows become `Document`s one at a time, in constant memory.

A row is never dropped: one without text becomes a `Document` without text, which segmentation marks as a problem.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice, product

from pipeline.config import DEFAULT_LANGUAGE, LANGUAGE_CODE, SourceConfig
from pipeline.errors import SourceError
from pipeline.text.readers.reader import InputFile, Reader
from pipeline.text.readers.row_columns import Row, cell, kept_values
from pipeline.types import Chapter, Document, Paragraph

_MAX_SPLITS = 100
_SURROGATE = re.compile("[\ud800-\udfff]")  # valid in JSON, but no encoding can write it alone
_SPLIT_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")  # as `datasets` requires


class TableReader(Reader):
    """Reads tables, each row of which is a text. Tables of several formats can be one input.

    Args:
        name: Of the format, for errors.
        endings: Of file names, e.g. (".csv", ".tsv").
        read_rows: Yields the rows of a file; see `row_columns.checked_rows`.
        takes_columns: Whether `source.columns` names its columns.
    """

    def __init__(
        self,
        name: str,
        endings: tuple[str, ...],
        read_rows: Callable[[InputFile, SourceConfig], Iterator[Row]],
        *,
        takes_columns: bool = False,
    ) -> None:
        self.endings = endings
        self._name = name
        self._read_rows = read_rows
        self._takes_columns = takes_columns

    def rows(self, file: InputFile, source: SourceConfig) -> Iterator[Row]:
        """Yield the rows of one table."""
        if source.columns and not self._takes_columns:
            raise SourceError(f"{file}: source.columns names the columns of CSV, and this is {self._name}; remove it")
        yield from self._read_rows(file, source)

    def read(self, files: Sequence[InputFile], source: SourceConfig) -> Iterator[Document]:
        """Yield the documents of all rows, which are numbered through all files."""
        yield from read_table(chain.from_iterable(self.rows(file, source) for file in files), source)


def read_table(rows: Iterable[Row], source: SourceConfig) -> Iterator[Document]:
    """Yield a `Document` for each row, or one for each of its descriptions and speakers."""
    splits: set[str] = set()
    for number, row in enumerate(islice(rows, source.limit)):
        for document in _documents(number, row, source):
            splits.add(document.split)
            if len(splits) > _MAX_SPLITS:
                raise SourceError(
                    f"source.split_column={source.split_column}: names more than {_MAX_SPLITS} splits; give the "
                    "column that holds train, validation or test"
                )
            yield document


def paragraphs_of(text: str) -> tuple[Paragraph, ...]:
    """Split a text at blank lines into paragraphs; an empty text has one empty paragraph."""
    blocks = re.finditer(r"\S.*?(?=\n[^\S\n]*\n|\Z)", text, re.DOTALL)
    return tuple(Paragraph(block[0].rstrip(), block.start()) for block in blocks) or (Paragraph("", 0),)


def _documents(number: int, row: Row, source: SourceConfig) -> Iterator[Document]:
    text = _string(cell(row, source.text_column), source.text_column, number)
    own_id = _id(cell(row, source.id_column), str(source.id_column), number)
    descriptions = _choices(row, source.description_column, number)
    speakers = _choices(row, source.speaker_column, number)
    is_list = any(isinstance(each, list) for each in (descriptions, speakers))
    base = Document(
        id=own_id or f"row-{number:07d}",
        text=text,
        chapters=(Chapter("", paragraphs_of(text)),),
        language=_language(row, number, source),
        has_own_id=bool(own_id),
        seed=_seed(row, number, source),
        split=_split(row, number, source),
        columns=kept_values(row, number, source),
    )
    for copy, (description, speaker) in enumerate(product(descriptions or [None], speakers or [None])):
        yield replace(base, speaker=speaker, description=description, copy=copy if is_list else None)


def _id(value: object, column: str, number: int) -> str:
    if isinstance(value, (dict, list, tuple, bytes)):
        raise SourceError(f"row {number}: column {column!r} holds a {type(value).__name__}, not an id")
    return "" if value is None or value != value else _valid_text(str(value), column, number)


def _language(row: Row, number: int, source: SourceConfig) -> str:
    column = source.language_column
    language = _string(cell(row, column), str(column), number).strip() if column else ""
    if language and not LANGUAGE_CODE.fullmatch(language):
        raise SourceError(f"row {number}: column {column!r} holds {language!r}, not a code such as en, de or pt-BR")
    return language or source.language or DEFAULT_LANGUAGE


def _seed(row: Row, number: int, source: SourceConfig) -> int | None:
    value = cell(row, source.seed_column)
    if value is None or value != value or value == "":
        return None
    is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    try:
        seed = int(value) if is_whole or isinstance(value, str) else -1
    except ValueError:
        seed = -1
    if isinstance(value, bool) or not 0 <= seed < 2**63:
        raise SourceError(
            f"row {number}: column {source.seed_column!r} holds {str(value)[:40]!r}, not a whole number from 0 to "
            "2**63 - 1"
        )
    return seed


def _split(row: Row, number: int, source: SourceConfig) -> str:
    column = source.split_column
    split = _string(cell(row, column), str(column), number) if column else ""
    if split and (not _SPLIT_NAME.fullmatch(split) or len(split) > 50 or split == "all"):
        raise SourceError(
            f"row {number}: column {column!r} holds {split[:60]!r}, which cannot be the name of a split: give letters, "
            "digits and _, and not 'all'"
        )
    return "" if split == "train" else split


def _choices(row: Row, column: str | None, number: int) -> list[str | None] | tuple[str | None]:
    """Return the values of a column that holds one or a list of them: a list only if the row has one, not empty."""
    value = cell(row, column)
    if isinstance(value, list) and value:
        return [_string(each, str(column), number) or None for each in value]
    return (_string(value or None, str(column), number) or None,)


def _string(value: object, column: str, number: int) -> str:
    if value is None or value != value:  # NaN, the missing value of number columns
        return ""
    if isinstance(value, (str, int, float)):
        return _valid_text(str(value), column, number)
    hint = ", e.g. " + column + ".0" if isinstance(value, list) else ""
    raise SourceError(
        f"row {number}: column {column!r} holds a {type(value).__name__}, not text; give another column, or an "
        f"entry of it{hint}"
    )


def _valid_text(text: str, column: str, number: int) -> str:
    """Return the text, or refuse it if half of a character is in it, which no file could hold."""
    if found := _SURROGATE.search(text):
        raise SourceError(
            f"row {number}: column {column!r} holds half a character ({found[0]!a}): correct or delete it"
        )
    return text
