"""Read rows of CSV. The separator, and whether quotation marks quote, are found out from the file."""

from __future__ import annotations

import csv
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice, repeat

from pipeline.config import SourceConfig
from pipeline.errors import SourceError
from pipeline.text.readers.reader import InputFile
from pipeline.text.readers.row_columns import MAX_ROW_CHARACTERS, Row, checked_rows, lines_of, used_columns
from pipeline.text.readers.tables import TableReader

_SEPARATORS = ",;\t|"
_LINES_LOOKED_AT = 20
_DECLARED = re.compile(r"\"?sep=([,;\t|])\"?\s*", re.I)  # Excel reads the separator from such a first line


def csv_rows(file: InputFile, source: SourceConfig) -> Iterator[Row]:
    """Yield the rows of a table with a header line, or with the column names of `source.columns`.

    Raises:
        SourceError: Text would be lost, since a row has more cells than there are columns, or wrong quotation marks.
    """
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # the default refuses a field over 128 kB: a chapter is longer
    with file.open_text(newline="") as lines:
        first = list(islice(lines_of(lines), _LINES_LOOKED_AT if source.columns else 1))
        if first and (declared := _DECLARED.fullmatch(first[0])):
            first = [*first[1:], *islice(lines_of(lines), 1)]
        separator = declared[1] if first and declared else _separator(first, source.columns)
        is_quoted = separator in ",;" or _is_quoted(file, separator)
        rows = _cells_and_lines(chain(first, lines_of(lines)), separator, is_quoted)
        try:
            columns, header = (source.columns, []) if source.columns else next(rows, ([], []))
        except csv.Error as error:
            raise SourceError(f"{file}: the row of line 1 is not CSV ({error}); correct it") from error
        _check_header(file, columns)
        dialect = _Dialect(columns, separator, is_quoted)
        if source.columns:
            rows = _with_checked_width(file, rows, columns)
        found = _rows(file, rows, 1 + len(header), dialect, source)
        yield from checked_rows(file.name, found, source, columns, is_csv=True)


@dataclass(frozen=True)
class _Dialect:
    """How the rows of a file are written."""

    columns: list[str]
    separator: str
    is_quoted: bool


def _rows(
    file: InputFile,
    rows: Iterable[tuple[list[str], list[str]]],
    number: int,
    dialect: _Dialect,
    source: SourceConfig,
) -> Iterator[Row]:
    """Yield the rows below the header; `number` is that of their first line."""
    columns, width = dialect.columns, len(dialect.columns)
    try:
        for cells, lines in rows:
            if cells:
                if source.columns and any(cells[width:]):
                    raise _too_few_names(f"{file}: line {number}", cells, dialect)
                if dialect.is_quoted:
                    _check_quoting(cells, lines, dialect.separator, width)
                _check_cells(f"{file}: line {number}", cells, dialect, source)
                if any(cells[width:]):  # allowed for a last column that is not used
                    cells = [*cells[: width - 1], dialect.separator.join(cells[width - 1 :])]
                yield {name: cell for name, cell in zip(columns, chain(cells, repeat(None)), strict=False) if name}
            number += len(lines)
    except csv.Error as error:
        raise SourceError(f"{file}: the row of line {number} is not CSV ({error}); correct it") from error


def _with_checked_width(
    file: InputFile, rows: Iterator[tuple[list[str], list[str]]], columns: list[str]
) -> Iterator[tuple[list[str], list[str]]]:
    """Pass the rows on if one of the first has as many cells as `source.columns` has names.

    Single rows may have fewer: as below a header line, their last cells are empty.
    """
    head: list[tuple[list[str], list[str]]] = []
    fault: csv.Error | None = None
    try:
        for row in rows:
            head.append(row)
            if len(row[0]) >= len(columns) or len(head) == _LINES_LOOKED_AT:
                break
    except csv.Error as error:  # raised again in its place, behind the rows before it
        fault = error
    number = 1
    for cells, lines in head:
        if cells and fault is None and all(len(each) < len(columns) for each, _ in head):
            raise SourceError(
                f"{file}: line {number} has {len(cells)} of the {len(columns)} columns that source.columns names "
                f"({', '.join(columns)}), and so have the rows below it; name the columns that there are"
            )
        number += len(lines)
    yield from head
    if fault is not None:
        raise fault
    yield from rows


def _separator(lines: list[str], columns: list[str]) -> str:
    """Return the separator that occurs most in the header; without one, that which fits `columns` in most lines."""
    fitting = {each: sum(line.count(each) == len(columns) - 1 for line in lines) for each in _SEPARATORS}
    if columns and any(fitting.values()):
        return max(reversed(_SEPARATORS), key=fitting.__getitem__)  # commas also stand in texts
    return max(_SEPARATORS, key="".join(lines[:1]).count)


def _check_header(file: InputFile, columns: list[str]) -> None:
    repeated = [name for name, count in Counter(columns).items() if name and count > 1]
    if repeated:
        raise SourceError(
            f"{file}: has {Counter(columns)[repeated[0]]} columns {repeated[0]!r}; give each column a name of its own"
        )


def _cells_and_lines(lines: Iterable[str], separator: str, is_quoted: bool) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the cells of each row, and the lines that it was read from."""
    read: list[str] = []
    num_characters = 0

    def kept() -> Iterator[str]:
        nonlocal num_characters
        for line in lines:
            read.append(line)
            num_characters += len(line)
            if num_characters > MAX_ROW_CHARACTERS:
                raise csv.Error(f"more than {MAX_ROW_CHARACTERS:,} characters: is a quotation mark not closed?")
            yield line

    reader = csv.reader(kept(), delimiter=separator, quoting=csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE)
    for cells in reader:
        yield cells, read[:]
        read.clear()
        num_characters = 0


def _is_quoted(file: InputFile, separator: str) -> bool:
    """Return whether quotation marks quote cells, as in CSV, and are not part of the text.

    Tables with tabs or | are often written without quoting. Read as CSV, a quotation mark of the text would take in the
    rows below it up to the next mark, or stand inside a cell. If none does that, or if some cells can only be read with
    quoting, the file is CSV.
    """
    is_csv, is_needed, width = True, False, 0
    with file.open_text(newline="") as text:
        try:
            for cells, lines in _cells_and_lines(lines_of(text), separator, is_quoted=True):
                width = width or len(cells)
                if _has_taken_in_row(lines, separator, width):
                    return False
                is_csv = is_csv and not _quoting_error(lines, separator)
                is_needed = is_needed or len(lines) > 1 or any(separator in cell for cell in cells)
        except csv.Error:
            return False
    return is_csv or is_needed


def _has_taken_in_row(lines: list[str], separator: str, width: int) -> bool:
    """Return whether the first line of a row looks like a whole row of `width` cells, and so does one below it."""
    is_whole = [line.strip() and line[0] != separator and line.count(separator) >= width - 1 for line in lines]
    return bool(is_whole[0]) and any(is_whole[1:])


def _quoting_error(lines: list[str], separator: str) -> str:
    """Return what is wrong with the quotation marks of a row; "": nothing. Blanks behind them are allowed."""
    if not any('"' in line for line in lines):
        return ""
    blanks = re.compile(rf'" +(?=[{separator}\r\n]|$)')
    try:
        list(csv.reader((blanks.sub('"', line) for line in lines), delimiter=separator, strict=True))
    except csv.Error as error:
        return str(error)
    return ""


def _check_quoting(cells: list[str], lines: list[str], separator: str, width: int) -> None:
    """Raise `csv.Error` for misplaced quotation marks that took in another row or moved the ends of cells."""
    fault = _quoting_error(lines, separator)
    if fault and any('\\"' in line for line in lines):
        raise csv.Error('a quotation mark is escaped with a backslash; CSV doubles it: ""')
    if fault and (len(cells) < width or any(cells[width:]) or _has_taken_in_row(lines, separator, width)):
        raise csv.Error(fault)


def _too_few_names(line: str, cells: list[str], dialect: _Dialect) -> SourceError:
    columns, num_cells = dialect.columns, len(cells)
    names = ",".join([*columns, *(f"column_{number + 1}" for number in range(len(columns), num_cells))][:20])
    return SourceError(
        f"{line} has {num_cells} cells, but source.columns has {len(columns)} names: name all of them, e.g. "
        f"source.columns=[{names}]; put quotation marks around a text with {dialect.separator!r} in it"
    )


def _check_cells(line: str, cells: list[str], dialect: _Dialect, source: SourceConfig) -> None:
    """Refuse a row with more cells than columns, or with fewer because of wrong quotation marks.

    More are allowed in a last column that is not used, if they look like one text with commas: "see me, later".
    """
    width = len(dialect.columns)
    if any(cells[width:]) and not (
        dialect.columns[-1] not in used_columns(source)
        and all(cell.startswith(" ") for cell in cells[width:])
        and not any(cell.startswith(" ") for cell in cells[:width])
    ):
        raise SourceError(
            f"{line} has more cells than the table has columns; put quotation marks around a text with "
            f"{dialect.separator!r} in it, and double those inside it"
        )
    if not dialect.is_quoted and len(cells) < width and sum(cell.count('"') for cell in cells) % 2:
        raise SourceError(
            f"{line} has fewer cells than the table has columns, and quotation marks that do not quote a cell; "
            "correct them, or give the row all its cells"
        )


CSV = TableReader("csv", (".csv", ".tsv"), csv_rows, takes_columns=True)
