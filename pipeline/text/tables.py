"""Rows of tables (JSONL, CSV, Parquet, `datasets`) as `Document`s, one row at a time in constant memory.

A row is never dropped: one without text becomes a `Document` without text, which segmentation marks as a problem.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice, product, repeat
from pathlib import Path
from typing import Any

from pipeline.config import DEFAULT_LANGUAGE, SourceConfig
from pipeline.errors import SourceError, nearest_first
from pipeline.places import open_text, readable
from pipeline.types import Chapter, Document, Paragraph

Row = Mapping[str, Any]

_ROWS_LOOKED_AT = 100  # a JSONL row may leave a column out; the first rows together say which columns there are
_BATCH = 1024  # rows of a Parquet file in memory
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")  # JSON can write it, and nothing can encode it


def read_table(rows: Iterable[Row], source: SourceConfig) -> Iterator[Document]:
    """Makes `Document`s of rows: one for each, or one for each of its descriptions and speakers."""
    for number, row in enumerate(islice(rows, source.limit)):
        yield from _documents(number, row, source)


def jsonl_rows(path: Path, source: SourceConfig) -> Iterator[Row]:
    """Reads one JSON object from each line that is not blank."""
    rows = _json_lines(path, source.encoding)
    head = list(islice(rows, _ROWS_LOOKED_AT))
    if head:
        check_columns(str(path), list(dict.fromkeys(chain.from_iterable(head))), source)
    yield from chain(head, rows)


def csv_rows(path: Path, source: SourceConfig) -> Iterator[Row]:
    """Reads a table with a header line; the separator is the one of , ; tab | that the header has most of.

    Raises:
        SourceError: Words would be lost, as a row has more cells than the header, or marks that do not fit.
    """
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # the default refuses a field over 128 kB: a chapter is longer
    with open_text(path, _with_bom(source.encoding), newline="") as file:
        header = file.readline()
        separator = max(",;\t|", key=header.count)
        is_quoted = separator in ",;" or _is_quoted(path, source.encoding, separator)
        rows = _cells_and_lines(chain([header], file), separator, is_quoted)
        number = 1  # of the first line of a row
        try:
            columns, lines = next(rows, ([], []))
            check_columns(str(path), columns, source)
            number += len(lines)
            for cells, lines in rows:
                if cells:
                    if is_quoted:
                        _check_marks(cells, lines, separator, len(columns))
                    _check_cells(f"{path}: line {number}", columns, cells, separator, is_quoted, source)
                    yield dict(zip(columns, chain(cells, repeat(None)), strict=False))
                number += len(lines)
        except csv.Error as error:
            raise SourceError(f"{path}: the row of line {number} is not CSV ({error}): mend it") from error


def _cells_and_lines(lines: Iterable[str], separator: str, is_quoted: bool) -> Iterator[tuple[list[str], list[str]]]:
    """The cells of each row, whatever its quotation marks are, and the lines that it was read from."""
    read: list[str] = []

    def kept() -> Iterator[str]:
        for line in lines:
            read.append(line)
            yield line

    reader = csv.reader(kept(), delimiter=separator, quoting=csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE)
    for cells in reader:
        yield cells, read[:]
        read.clear()


def _is_quoted(path: Path, encoding: str, separator: str) -> bool:
    """Whether quotation marks stand around cells, as in CSV. Many write tables with tabs or | without, marks or not.

    Read as CSV, a mark that is a letter takes in the rows below it up to the next one, or stands beside the end of a
    cell. Where it does neither, or other cells could not be read without the marks around them, it is read as CSV.
    """
    is_csv, is_needed, width = True, False, 0
    with open_text(path, _with_bom(encoding), newline="") as file:
        try:
            for cells, lines in _cells_and_lines(file, separator, is_quoted=True):
                width = width or len(cells)
                if _holds_row(lines, separator, width):
                    return False
                is_csv = is_csv and not _fault(lines, separator)
                is_needed = is_needed or len(lines) > 1 or any(separator in cell for cell in cells)
        except csv.Error:
            return False
    return is_csv or is_needed


def _holds_row(lines: list[str], separator: str, width: int) -> bool:
    """Whether the first line of one row, of `width` cells, looks like a whole one, and one below it too."""
    is_whole = [line.strip() and line[0] != separator and line.count(separator) >= width - 1 for line in lines]
    return bool(is_whole[0]) and any(is_whole[1:])


def _fault(lines: list[str], separator: str) -> str:
    """What is wrong with the quotation marks of a row, for a strict reader that takes blanks behind them; or ""."""
    if not any('"' in line for line in lines):
        return ""
    blanks = re.compile(rf'" +(?=[{separator}\r\n]|$)')
    try:
        list(csv.reader((blanks.sub('"', line) for line in lines), delimiter=separator, strict=True))
    except csv.Error as error:
        return str(error)
    return ""


def _check_marks(cells: list[str], lines: list[str], separator: str, width: int) -> None:
    """Raises `csv.Error` for marks at wrong places that took in another row or moved the bounds of cells."""
    if (fault := _fault(lines, separator)) and (
        len(cells) < width or any(cells[width:]) or _holds_row(lines, separator, width)
    ):
        raise csv.Error(fault)


def _check_cells(
    line: str, columns: list[str], cells: list[str], separator: str, is_quoted: bool, source: SourceConfig
) -> None:
    """Raises `SourceError` for a row with more cells than the header, or fewer where that is half a row of CSV.

    Of a last column that nobody reads it takes more: "see me, later", where no other cell begins with a blank.
    """
    width = len(columns)
    if any(cells[width:]) and not (
        columns[-1] not in wanted_columns(source)
        and all(cell.startswith(" ") for cell in cells[width:])
        and not any(cell.startswith(" ") for cell in cells[:width])
    ):
        raise SourceError(
            f"{line} has more cells than the header: put quotation marks around a text with {separator!r} in it, and "
            "double those that it holds"
        )
    if not is_quoted and len(cells) < width and sum(cell.count('"') for cell in cells) % 2:
        raise SourceError(
            f"{line} has fewer cells than the header, and not all quotation marks in the file are those of CSV: mend "
            "them, or give the row all its cells"
        )


def parquet_rows(path: Path, source: SourceConfig) -> Iterator[Row]:
    """Reads only the columns that are asked for, batch by batch; Arrow would otherwise fetch all row groups at once."""
    import pyarrow
    import pyarrow.parquet

    try:
        with readable(path) as opened, pyarrow.parquet.ParquetFile(opened, pre_buffer=False) as file:
            check_columns(str(path), list(file.schema_arrow.names), source)
            for batch in file.iter_batches(batch_size=_BATCH, columns=wanted_columns(source)):
                yield from batch.to_pylist()
    except pyarrow.ArrowException as error:
        reason = str(error).splitlines()[0]
        raise SourceError(f"{path}: is not a Parquet file that can be read ({reason}): make it again") from error


def dataset_rows(name: str, source: SourceConfig) -> Iterator[Row]:
    """Reads a dataset saved with `save_to_disk`, or streams one from a folder or from the hub."""
    import datasets

    if is_saved_dataset(Path(name)):
        saved = datasets.load_from_disk(name)
        if isinstance(saved, datasets.DatasetDict):
            if source.split not in saved:
                raise _no_split(name, source.split, list(saved))
            saved = saved[source.split]
    else:
        saved = _streamed(name, source, datasets)
    columns = saved.column_names or list(next(iter(saved), {}))  # a stream may not know them before its first row
    if columns:
        check_columns(name, columns, source)
        saved = saved.select_columns(wanted_columns(source))  # so that no audio column is decoded
    yield from saved


def is_saved_dataset(path: Path) -> bool:
    """Whether a folder was made by `save_to_disk`."""
    return any((path / marker).is_file() for marker in ("state.json", "dataset_dict.json"))


def wanted_columns(source: SourceConfig) -> list[str]:
    """The columns that are read, each once."""
    named = (source.text_column, source.id_column, source.description_column, source.speaker_column)
    return list(dict.fromkeys(name for name in named if name))


def check_columns(name: str, columns: list[str], source: SourceConfig) -> None:
    """Raises `SourceError` for a column that is configured but not there."""
    for key in ("text_column", "id_column", "description_column", "speaker_column"):
        wanted = getattr(source, key)
        if wanted and wanted not in columns:
            there = ", ".join(nearest_first(wanted, columns, limit=20)) or "none"
            raise SourceError(f"{name}: no column {wanted!r}; set source.{key} to one of: {there}")


def paragraphs_of(text: str) -> tuple[Paragraph, ...]:
    """The paragraphs of a text without chapters, between blank lines; one empty paragraph for an empty text."""
    blocks = re.finditer(r"\S.*?(?=\n[^\S\n]*\n|\Z)", text, re.DOTALL)
    return tuple(Paragraph(block[0].rstrip(), block.start()) for block in blocks) or (Paragraph("", 0),)


def _json_lines(path: Path, encoding: str) -> Iterator[dict[str, Any]]:
    with open_text(path, _with_bom(encoding)) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise SourceError(
                    f"{path}: line {number} is not JSON ({error.msg} at column {error.colno}): mend or delete it"
                ) from error
            if not isinstance(row, dict):
                raise SourceError(f'{path}: line {number} is not a JSON object: write {{"text": ...}} on each line')
            yield row


def _with_bom(encoding: str) -> str:
    """The codec that also accepts a byte order mark, which Windows puts before UTF-8."""
    return "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding


def _streamed(name: str, source: SourceConfig, datasets: Any) -> Any:
    try:
        return datasets.load_dataset(name, source.subset, split=source.split, streaming=True)
    except (ValueError, OSError, datasets.exceptions.DatasetNotFoundError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SourceError(
            f"{name}: cannot open split {source.split!r} of this dataset ({reason}): check the name, source.subset and "
            "source.split; without a connection give a local folder"
        ) from error


def _no_split(name: str, split: str, known: list[str]) -> SourceError:
    return SourceError(
        f"{name}: no split {split!r}; set source.split to one of: {', '.join(nearest_first(split, known))}"
    )


def _documents(number: int, row: Row, source: SourceConfig) -> Iterator[Document]:
    text = _string(row.get(source.text_column), source.text_column, number)
    given_id = row.get(source.id_column) if source.id_column else None
    row_id = f"row-{number:07d}" if given_id in (None, "") else _whole(str(given_id), str(source.id_column), number)
    descriptions = _choices(row, source.description_column, number)
    speakers = _choices(row, source.speaker_column, number)
    is_list = any(isinstance(each, list) for each in (descriptions, speakers))
    pairs = product(descriptions or [None], speakers or [None])
    for copy, (description, speaker) in enumerate(pairs):
        yield Document(
            id=row_id,
            text=text,
            chapters=(Chapter("", paragraphs_of(text)),),
            language=source.language or DEFAULT_LANGUAGE,
            speaker=speaker,
            description=description,
            copy=copy if is_list else None,
            has_own_id=given_id not in (None, ""),
        )


def _choices(row: Row, column: str | None, number: int) -> list[str | None] | tuple[str | None]:
    """The values of a column that may hold one or a list: a list only if the row holds one that is not empty."""
    value = row.get(column) if column else None
    if isinstance(value, list) and value:
        return [_string(each, str(column), number) or None for each in value]
    return (_string(value or None, str(column), number) or None,)


def _string(value: object, column: str, number: int) -> str:
    if value is None or value != value:  # NaN, which is how tables write "nothing" among numbers
        return ""
    if isinstance(value, (str, int, float)):
        return _whole(str(value), column, number)
    raise SourceError(f"row {number}: column {column!r} holds a {type(value).__name__}, not text; name another column")


def _whole(text: str, column: str, number: int) -> str:
    """The text, if it has no half characters."""
    if found := _HALF_CHARACTER.search(text):
        raise SourceError(
            f"row {number}: column {column!r} holds half a character ({found[0]!a}): mend it, or take it out"
        )
    return text


_Reader = Callable[[Path, SourceConfig], Iterator[Row]]
ROW_READERS: dict[str, _Reader] = {"jsonl": jsonl_rows, "csv": csv_rows, "parquet": parquet_rows}
