"""Readers of input formats.

`reader` has the protocol and the registry, `dispatch` chooses the reader of an input and checks the input. Formats of
books (`plain_text`, `markdown`, `epub`) are made with `books.BookReader`, tables (`json_rows`, `csv_rows`,
`parquet_rows`) with `tables.TableReader`; `datasets_rows` reads the hub and saved datasets.
"""

from pipeline.text.readers.dispatch import check_source, read_documents

__all__ = ["check_source", "read_documents"]
