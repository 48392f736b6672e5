"""Read rows of a `datasets` dataset, from a folder or from the hub."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.config import SourceConfig
from pipeline.errors import SourceError, nearest_first
from pipeline.text.readers.files import first_line
from pipeline.text.readers.reader import InputFile, Reader
from pipeline.text.readers.row_columns import Row, checked_rows, columns_to_read
from pipeline.text.readers.tables import read_table
from pipeline.types import Document


class DatasetReader(Reader):
    """Reads a dataset that is given by a folder or by its name on the hub."""

    def read(self, files: Sequence[InputFile], source: SourceConfig) -> Iterator[Document]:
        """Yield the documents of all rows of the split."""
        (file,) = files
        yield from read_table(dataset_rows(file.name, source), source)


def is_saved_dataset(path: Path) -> bool:
    """Return whether a folder was made by `save_to_disk`."""
    try:
        return any((path / marker).is_file() for marker in ("state.json", "dataset_dict.json"))
    except OSError:  # such as a name that is too long
        return False


def dataset_rows(name: str, source: SourceConfig) -> Iterator[Row]:
    """Yield the rows of a dataset saved with `save_to_disk`, or stream one from a folder or the hub.

    Code that comes with a dataset is not run.
    """
    import datasets

    try:
        opened = _saved(name, source, datasets) if is_saved_dataset(Path(name)) else _streamed(name, source, datasets)
        columns = opened.column_names or list(next(iter(opened), {}))  # a stream may not know them before its first row
        if columns:
            features = opened.features or {}
            binary = [column for column in columns if _is_media(features.get(column))]
            opened = opened.select_columns(columns_to_read(name, columns, binary, source))  # no audio is decoded
        yield from checked_rows(name, opened, source, columns or None)
    except SourceError:
        raise
    except Exception as error:  # each file format and file system has errors of its own
        raise SourceError(
            f"{name}: this dataset cannot be read ({first_line(error)}): check the folder or name, source.subset and "
            "source.split; without a connection give a local folder"
        ) from error


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
            f"{name}: cannot open split {source.split!r} of this dataset ({first_line(error)}): check the name, "
            "source.subset and source.split; without a connection give a local folder"
        ) from error


def _no_split(name: str, split: str, known: list[str]) -> SourceError:
    return SourceError(
        f"{name}: no split {split!r}; set source.split to one of: {', '.join(nearest_first(split, known))}"
    )


def _is_media(feature: Any) -> bool:
    """Return whether a feature of `datasets` holds audio, images or bytes."""
    if isinstance(feature, dict):
        return any(map(_is_media, feature.values()))
    inner = getattr(feature, "feature", None)
    if inner is not None:
        return _is_media(inner)
    return hasattr(feature, "decode_example") or getattr(feature, "dtype", None) in ("binary", "large_binary")


DATASETS = DatasetReader()
