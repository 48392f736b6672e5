"""The schema of the input and of how its text is cut."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from pipeline.config.checks import require as _require
from pipeline.config.checks import require_choice as _require_choice
from pipeline.registry import Registry

DEFAULT_LANGUAGE = "en"
LANGUAGE_CODE = re.compile(r"[A-Za-z]{2,3}([-_]\w+)*")  # en, de, pt-BR
# Its type is `Registry[Reader]`: see `text.readers.reader`, which this package may not import.
READERS: Registry[Any] = Registry(
    "parler_pipeline.readers",
    {
        "txt": "pipeline.text.readers.plain_text:TXT",
        "md": "pipeline.text.readers.markdown:MARKDOWN",
        "epub": "pipeline.text.readers.epub:EPUB",
        "jsonl": "pipeline.text.readers.json_rows:JSONL",
        "json": "pipeline.text.readers.json_rows:JSON",
        "csv": "pipeline.text.readers.csv_rows:CSV",
        "parquet": "pipeline.text.readers.parquet_rows:PARQUET",
        "datasets": "pipeline.text.readers.datasets_rows:DATASETS",
    },
)
TRAINED_ON = "Parler-TTS was trained on up to 30 s"


def source_formats() -> tuple[str, ...]:
    """Return the values of `source.format`: auto, and the names of all readers, which are not imported for it."""
    return ("auto", *READERS.names())


@dataclass
class SourceConfig:
    """How the input is read. Columns matter for tables only (JSONL, JSON, CSV, Parquet, `datasets`).

    A name of a column may reach into a nested one: meta.text, messages.0.content.
    Quotation marks between , or ; are those of CSV; between tabs or | too if all of them can be, else they are letters.
    """

    format: str = "auto"  # txt, md, epub, jsonl, json, csv, parquet, datasets, or an added reader; auto: by the ending
    encoding: str = "utf-8"
    language: str | None = None  # default: what an EPUB says, else DEFAULT_LANGUAGE
    title: str | None = None  # of a book; default: from the text, else from the file's name
    author: str | None = None
    text_column: str = "text"
    id_column: str | None = None  # default: the row's number
    description_column: str | None = None  # a string, or a list: one clip for each description
    speaker_column: str | None = None  # a string, or a list: one clip for each speaker
    language_column: str | None = None  # a code for each row; empty cells: source.language
    seed_column: str | None = None  # a seed for each row, used as it is; empty cells: one of our own
    split_column: str | None = None  # the split of the new dataset that a row goes to; empty cells: train
    keep_columns: list[str] | None = None  # other columns that go through to the dataset; null: all, []: none
    columns: list[str] = field(default_factory=list)  # names for a CSV without a header line: [id,text]
    max_inflated_mb: int = 256  # of a book; a compressed table may also be 100 times as large as its file
    split: str = "train"  # which split is read of a `datasets` dataset, or of a folder with splits
    subset: str | None = None  # of a `datasets` dataset: its configuration name
    limit: int | None = None  # read only that many rows
    chapters: str | None = None  # of a book: only these, e.g. "1-3" or "1,4,7"

    def __post_init__(self) -> None:
        _require_choice("source.format", self.format, source_formats())
        _require(self.limit is None or self.limit > 0, "source.limit", self.limit, "give a positive number of rows")
        is_code = self.language is None or LANGUAGE_CODE.fullmatch(self.language)
        _require(bool(is_code), "source.language", self.language, "give a code such as en, de or pt-BR")
        _require(self.max_inflated_mb > 0, "source.max_inflated_mb", self.max_inflated_mb, "give megabytes")
        is_unique = len({*self.columns}) == len(self.columns) and all(self.columns)
        _require(is_unique, "source.columns", self.columns, "give each column a name of its own: [id,text]")


@dataclass
class TextConfig:
    """Segmentation and normalisation."""

    normalize: bool = True  # to spoken form: numbers, dates, money, abbreviations ... in words
    max_seconds: float = 15.0  # longest predicted segment
    min_seconds: float = 1.5  # shorter segments join a neighbour of their paragraph
    split: bool = True  # false: each row of a table is one clip, or a reject if it is longer than max_seconds

    def __post_init__(self) -> None:
        _require(1 <= self.max_seconds <= 30, "text.max_seconds", self.max_seconds, TRAINED_ON)
        _require(
            0 <= self.min_seconds < self.max_seconds,
            "text.min_seconds",
            self.min_seconds,
            f"give a value from 0 to below text.max_seconds={self.max_seconds}",
        )
