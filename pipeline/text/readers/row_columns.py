"""Columns of rows, for all formats of tables: which are read, which are kept for the dataset, and whether they exist.

A name with dots reaches into a nested column: `meta.text` is the entry `text` of the column `meta`,
`messages.0.content` the entry `content` of the first entry of the list `messages`. A column with exactly that name has
precedence.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, TextIO

from pipeline.config import SourceConfig
from pipeline.errors import SourceError, nearest_first

Row = Mapping[str, Any]

MAX_ROW_CHARACTERS = 1 << 26  # of one row; a larger one is not a table
COLUMN_KEYS = (
    "text_column",
    "id_column",
    "description_column",
    "speaker_column",
    "language_column",
    "seed_column",
    "split_column",
)
_ROWS_LOOKED_AT = 100  # a row of JSONL may lack columns: those of the first rows together are the table's
_MAX_KEPT_BYTES = 1 << 20  # of the kept columns of a row; every clip of the row repeats them
_MAX_SHOWN, _MAX_SHOWN_CHARACTERS = 20, 60  # names in an error
_MISSING = object()


def used_columns(source: SourceConfig) -> list[str]:
    """Return the columns that the config gives a meaning (text, id, speaker ...), each once."""
    return list(dict.fromkeys(name for key in COLUMN_KEYS if (name := getattr(source, key))))


def cell(row: Row, name: str | None) -> Any:
    """Return the value of a column, or of an entry of a nested one; None if there is none."""
    if name is None:
        return None
    value = row.get(name, _MISSING)
    if value is _MISSING and "." in name:
        value = _inside(row, name.split("."))
    return None if value is _MISSING else value


def top_column(name: str, columns: Iterable[str]) -> str | None:
    """Return the column that a name is or reaches into; None: there is none."""
    known = set(columns)
    parts = name.split(".")
    beginnings = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((beginning for beginning in beginnings if beginning in known), None)


def checked_rows(
    name: str, rows: Iterable[Row], source: SourceConfig, columns: list[str] | None = None, *, is_csv: bool = False
) -> Iterator[Row]:
    """Pass the rows on after a check that the configured columns exist.

    Args:
        name: Of the input, for errors.
        rows: Rows of the table.
        source: Names the columns.
        columns: The columns of the table; None: those of its first rows.
        is_csv: Whether the error explains tables without a header line.

    Raises:
        SourceError: A configured column does not exist.
    """
    rows = iter(rows)
    wanted = [*((f"source.{key}", getattr(source, key)) for key in COLUMN_KEYS)]
    wanted += [("source.keep_columns", kept) for kept in source.keep_columns or ()]
    is_known = columns is not None and all(each is None or each in columns for _, each in wanted)
    head = [] if is_known else list(islice(rows, _ROWS_LOOKED_AT))
    if columns is None:
        columns = list(dict.fromkeys(chain.from_iterable(head)))
    for key, column in wanted if columns else ():
        if column is None or column in columns:
            continue
        if top_column(column, columns) is None or not (_is_inside(head, column) or not head):
            near = nearest_first(column, _names_of(head, columns), limit=_MAX_SHOWN)
            there = ", ".join(each[:_MAX_SHOWN_CHARACTERS] for each in near) or "none"
            header = (
                " (if its first line is not a header, name the columns: source.columns=[id,text])" if is_csv else ""
            )
            raise SourceError(f"{name}: no column {column!r}{header}; set {key} to one of: {there}")
    yield from chain(head, rows)


def kept_values(row: Row, number: int, source: SourceConfig) -> dict[str, Any]:
    """Return the columns of a row that are kept for the dataset, as plain JSON values.

    Raises:
        SourceError: They are too large, or cannot be written as JSON.
    """
    if source.keep_columns is None:
        used = used_columns(source)
        values = {name: value for name, value in row.items() if name not in used}
    else:
        values = {name: cell(row, name) for name in source.keep_columns}
    if not values:
        return {}
    try:
        text = json.dumps(values, default=str, ensure_ascii=False)
        size = len(text.encode())
        plain: dict[str, Any] = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise SourceError(
            f"row {number}: its other columns cannot be written as JSON ({error}); choose some with "
            "source.keep_columns=[...]"
        ) from error
    if size > _MAX_KEPT_BYTES:
        largest = max(values, key=lambda name: len(str(values[name])))
        raise SourceError(
            f"row {number}: its other columns are {size:,} bytes, and every clip of the row repeats them; leave "
            f"{largest!r} out with source.keep_columns=[...], or keep none with []"
        )
    return plain


def columns_to_read(name: str, columns: list[str], binary: list[str], source: SourceConfig) -> list[str]:
    """Return the columns that are used or kept. Bytes (audio, images) are not kept, since JSON cannot hold them.

    Args:
        name: Of the input, for errors.
        columns: Those of the table.
        binary: Those of them that hold bytes.
        source: Names the columns that are used and kept.

    Raises:
        SourceError: `source.keep_columns` names a column of bytes.
    """
    used = {top_column(column, columns) for column in used_columns(source)}
    if source.keep_columns is None:
        return [column for column in columns if column in used or column not in binary]
    kept = {top_column(column, columns) for column in source.keep_columns}
    if unfit := [column for column in binary if column in kept]:
        raise SourceError(f"{name}: column {unfit[0]!r} holds bytes; remove it from source.keep_columns")
    return [column for column in columns if column in used | kept] or columns[:1]  # one, to count the rows


def lines_of(file: TextIO) -> Iterator[str]:
    """Return the lines of a file; of an endless line, parts that are longer than `MAX_ROW_CHARACTERS`."""
    return iter(lambda: file.readline(MAX_ROW_CHARACTERS + 1), "")


def _inside(value: Any, parts: list[str]) -> Any:
    """Return the entry that the parts of a dotted name lead to; a key may contain dots itself."""
    if not parts:
        return value
    if isinstance(value, Mapping):
        for length in range(len(parts), 0, -1):
            entry = value.get(".".join(parts[:length]), _MISSING)
            if entry is not _MISSING:
                return _inside(entry, parts[length:])
    elif isinstance(value, (list, tuple)) and parts[0].lstrip("-").isdecimal():
        position = int(parts[0])
        if -len(value) <= position < len(value):
            return _inside(value[position], parts[1:])
    return _MISSING


def _is_inside(rows: Iterable[Row], name: str) -> bool:
    return any(_inside(row, name.split(".")) is not _MISSING for row in rows)


def _names_of(rows: Iterable[Row], columns: list[str]) -> list[str]:
    """Return all names for `source.*_column`: the columns, and the entries of nested columns."""

    def names(prefix: str, value: Any) -> Iterator[str]:
        if isinstance(value, Mapping) and prefix.count(".") < 3:
            for key, entry in value.items():
                yield from names(f"{prefix}.{key}", entry)
        elif isinstance(value, list) and value and prefix.count(".") < 3:
            yield from names(f"{prefix}.0", value[0])
        elif "." in prefix:
            yield prefix

    nested = chain.from_iterable(names(name, value) for row in rows for name, value in row.items())
    return list(dict.fromkeys(chain(filter(None, columns), islice(nested, 100))))
