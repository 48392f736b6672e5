"""Read rows of Parquet files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from pipeline.config import SourceConfig
from pipeline.errors import SourceError
from pipeline.text.readers.files import first_line
from pipeline.text.readers.reader import InputFile
from pipeline.text.readers.row_columns import Row, checked_rows, columns_to_read
from pipeline.text.readers.tables import TableReader

_BATCH = 1024  # rows in memory


def parquet_rows(file: InputFile, source: SourceConfig) -> Iterator[Row]:
    """Yield rows with the columns that are used or kept, read in batches: else Arrow fetches all row groups."""
    import pyarrow
    import pyarrow.parquet

    try:
        with file.open_binary() as opened, pyarrow.parquet.ParquetFile(opened, pre_buffer=False) as table:
            schema = table.schema_arrow
            _check_unique(file.name, schema.names)
            binary = [field.name for field in schema if _has_bytes(field.type, pyarrow.types)]
            columns = columns_to_read(file.name, schema.names, binary, source)
            batches = table.iter_batches(batch_size=_BATCH, columns=columns)
            rows = (row for batch in batches for row in batch.to_pylist())
            yield from checked_rows(file.name, rows, source, schema.names)
    except (pyarrow.ArrowException, ValueError, OverflowError, TypeError) as error:
        raise SourceError(f"{file}: is not a readable Parquet file ({first_line(error)}); write it again") from error


def _check_unique(name: str, columns: list[str]) -> None:
    repeated = [column for column, count in Counter(columns).items() if count > 1]
    if repeated:
        raise SourceError(f"{name}: has several columns {repeated[0]!r}; rename them")


def _has_bytes(arrow_type: Any, types: Any) -> bool:
    if types.is_nested(arrow_type):
        fields = [arrow_type.field(index) for index in range(arrow_type.num_fields)]
        return any(_has_bytes(field.type, types) for field in fields)
    return bool(
        types.is_binary(arrow_type) or types.is_large_binary(arrow_type) or types.is_fixed_size_binary(arrow_type)
    )


PARQUET = TableReader("parquet", (".parquet",), parquet_rows)
