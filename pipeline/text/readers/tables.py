"""Rows of tables (JSONL, JSON, CSV, Parquet, `datasets`) as `Document`s, one row at a time in constant memory.

A row is never dropped: one without text becomes a `Document` without text, which segmentation marks as a problem.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice, product
from pathlib import Path
from typing import Any

from pipeline.config import DEFAULT_LANGUAGE, LANGUAGE_CODE, SourceConfig
from pipeline.errors import SourceError, nearest_first
from pipeline.storage.paths import readable
from pipeline.text.readers.csv_rows import csv_rows
from pipeline.text.readers.json_rows import json_rows, jsonl_rows
from pipeline.text.readers.row_columns import Row, cell, checked_rows, kept_values, top_column, used_columns
from pipeline.types import Chapter, Document, Paragraph

_BATCH = 1024  # rows of a Parquet file in memory
_MAX_SPLITS = 100
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")  # JSON can write it, and nothing can encode it
_SPLIT_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")  # what `datasets` takes


def read_table(rows: Iterable[Row], source: SourceConfig) -> Iterator[Document]:
    """Makes `Document`s of rows: one for each, or one for each of its descriptions and speakers."""
    splits: set[str] = set()
    for number, row in enumerate(islice(rows, source.limit)):
        for document in _documents(number, row, source):
            splits.add(document.split)
            if len(splits) > _MAX_SPLITS:
                raise SourceError(
                    f"source.split_column={source.split_column}: names more than {_MAX_SPLITS} splits; name the column "
                    "that holds train, validation, test"
                )
            yield document


def parquet_rows(path: Path, source: SourceConfig) -> Iterator[Row]:
    """Reads only the columns that are asked for, batch by batch; Arrow would otherwise fetch all row groups at once."""
    import pyarrow
    import pyarrow.parquet

    try:
        with readable(path) as opened, pyarrow.parquet.ParquetFile(opened, pre_buffer=False) as file:
            schema = file.schema_arrow
            _check_unique(str(path), schema.names)
            binary = [field.name for field in schema if _has_bytes(field.type, pyarrow.types)]
            columns = _columns_to_read(str(path), schema.names, binary, source)
            batches = file.iter_batches(batch_size=_BATCH, columns=columns)
            rows = (row for batch in batches for row in batch.to_pylist())
            yield from checked_rows(str(path), rows, source, schema.names)
    except (pyarrow.ArrowException, ValueError, OverflowError, TypeError) as error:
        raise SourceError(
            f"{path}: is not a Parquet file that can be read ({_first_line(error)}): make it again"
        ) from error


def dataset_rows(name: str, source: SourceConfig) -> Iterator[Row]:
    """Reads a dataset saved with `save_to_disk`, or streams one from a folder or from the hub. Runs no code of it."""
    import datasets

    try:
        opened = _saved(name, source, datasets) if is_saved_dataset(Path(name)) else _streamed(name, source, datasets)
        columns = opened.column_names or list(next(iter(opened), {}))  # a stream may not know them before its first row
        if columns:
            features = opened.features or {}
            binary = [column for column in columns if _is_media(features.get(column))]
            opened = opened.select_columns(_columns_to_read(name, columns, binary, source))  # no audio is decoded
        yield from checked_rows(name, opened, source, columns or None)
    except SourceError:
        raise
    except Exception as error:  # each file format and file system has errors of its own
        raise SourceError(
            f"{name}: this dataset cannot be read ({_first_line(error)}): check the folder or name, source.subset and "
            "source.split; without a connection give a local folder"
        ) from error


def is_saved_dataset(path: Path) -> bool:
    """Whether a folder was made by `save_to_disk`."""
    try:
        return any((path / marker).is_file() for marker in ("state.json", "dataset_dict.json"))
    except OSError:  # a name that is too long, for one
        return False


def paragraphs_of(text: str) -> tuple[Paragraph, ...]:
    """The paragraphs of a text without chapters, between blank lines; one empty paragraph for an empty text."""
    blocks = re.finditer(r"\S.*?(?=\n[^\S\n]*\n|\Z)", text, re.DOTALL)
    return tuple(Paragraph(block[0].rstrip(), block.start()) for block in blocks) or (Paragraph("", 0),)


def _columns_to_read(name: str, columns: list[str], binary: list[str], source: SourceConfig) -> list[str]:
    """The columns that are used or kept. Bytes (audio, images) are not kept: no text file could hold them.

    Raises:
        SourceError: Such a column is to be kept.
    """
    used = {top_column(column, columns) for column in used_columns(source)}
    if source.keep_columns is None:
        return [column for column in columns if column in used or column not in binary]
    kept = {top_column(column, columns) for column in source.keep_columns}
    if unfit := [column for column in binary if column in kept]:
        raise SourceError(f"{name}: column {unfit[0]!r} holds bytes; take it out of source.keep_columns")
    return [column for column in columns if column in used | kept] or columns[:1]  # one, to count the rows


def _has_bytes(arrow_type: Any, types: Any) -> bool:
    if types.is_nested(arrow_type):
        fields = [arrow_type.field(index) for index in range(arrow_type.num_fields)]
        return any(_has_bytes(field.type, types) for field in fields)
    return bool(
        types.is_binary(arrow_type) or types.is_large_binary(arrow_type) or types.is_fixed_size_binary(arrow_type)
    )


def _is_media(feature: Any) -> bool:
    """Whether a feature of `datasets` is audio, images or bytes."""
    if isinstance(feature, dict):
        return any(map(_is_media, feature.values()))
    inner = getattr(feature, "feature", None)
    if inner is not None:
        return _is_media(inner)
    return hasattr(feature, "decode_example") or getattr(feature, "dtype", None) in ("binary", "large_binary")


def _check_unique(name: str, columns: list[str]) -> None:
    repeated = [column for column, count in Counter(columns).items() if count > 1]
    if repeated:
        raise SourceError(f"{name}: has several columns {repeated[0]!r}; rename them")


def _saved(name: str, source: SourceConfig, datasets: Any) -> Any:
    saved = datasets.load_from_disk(name)
    if isinstance(saved, datasets.DatasetDict):
        if source.split not in saved:
            raise _no_split(name, source.split, list(saved))
        return saved[source.split]
    return saved


def _streamed(name: str, source: SourceConfig, datasets: Any) -> Any:
    try:
        return datasets.load_dataset(name, source.subset, split=source.split, streaming=True)
    except Exception as error:
        raise SourceError(
            f"{name}: cannot open split {source.split!r} of this dataset ({_first_line(error)}): check the name, "
            "source.subset and source.split; without a connection give a local folder"
        ) from error


def _no_split(name: str, split: str, known: list[str]) -> SourceError:
    return SourceError(
        f"{name}: no split {split!r}; set source.split to one of: {', '.join(nearest_first(split, known))}"
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


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
    return "" if value is None or value != value else _whole(str(value), column, number)


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
    """The values of a column that may hold one or a list: a list only if the row holds one that is not empty."""
    value = cell(row, column)
    if isinstance(value, list) and value:
        return [_string(each, str(column), number) or None for each in value]
    return (_string(value or None, str(column), number) or None,)


def _string(value: object, column: str, number: int) -> str:
    if value is None or value != value:  # NaN, which is how tables write "nothing" among numbers
        return ""
    if isinstance(value, (str, int, float)):
        return _whole(str(value), column, number)
    hint = ", e.g. " + column + ".0" if isinstance(value, list) else ""
    raise SourceError(
        f"row {number}: column {column!r} holds a {type(value).__name__}, not text; name another column, or an entry "
        f"of it{hint}"
    )


def _whole(text: str, column: str, number: int) -> str:
    """The text, if it has no half characters."""
    if found := _HALF_CHARACTER.search(text):
        raise SourceError(
            f"row {number}: column {column!r} holds half a character ({found[0]!a}): mend it, or take it out"
        )
    return text


_Reader = Callable[[Path, SourceConfig], Iterator[Row]]
ROW_READERS: dict[str, _Reader] = {"jsonl": jsonl_rows, "json": json_rows, "csv": csv_rows, "parquet": parquet_rows}
