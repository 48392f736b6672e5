"""Schema of the groups `source` and `text`: the input, and the division of its text into segments."""

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
MAX_SECONDS = 30.0
TRAINED_ON = "give at most 30 seconds, the longest audio that Parler-TTS was trained on"


def source_formats() -> tuple[str, ...]:
    """Return the values of `source.format`: auto, and the names of all readers, which are not imported for it."""
    return ("auto", *READERS.names())


@dataclass
class SourceConfig:
    """Reading of the input. The keys with columns apply to tables only (JSONL, JSON, CSV, Parquet, `datasets`).

    The name of a column may be a path into nested values: meta.text, messages.0.content.
    In CSV, quotation marks enclose cells if the separator is , or ; and with tabs or | if all of them come in pairs.
    """

    format: str = "auto"  # txt, md, epub, jsonl, json, csv, parquet, datasets or an installed one; auto: by the suffix
    encoding: str = "utf-8"  # of text files
    language: str | None = None  # code such as en or pt-BR; null: that of the EPUB, else en
    title: str | None = None  # of a book; null: from the text, else the name of the file
    author: str | None = None  # of a book; null: from the text
    text_column: str = "text"  # the column to be spoken
    id_column: str | None = None  # null: the row number
    description_column: str | None = None  # description of the voice, or a list of them: one clip for each
    speaker_column: str | None = None  # name of the speaker, or a list of them: one clip for each
    language_column: str | None = None  # language code; empty cells: source.language
    seed_column: str | None = None  # seed, used without change; empty cells: a seed is derived
    split_column: str | None = None  # split of the new dataset; empty cells: train
    keep_columns: list[str] | None = None  # other columns to copy into the dataset; null: all; []: none
    columns: list[str] = field(default_factory=list)  # column names of a CSV file without a header: [id,text]
    max_inflated_mb: int = 256  # maximum size of a book when decompressed; a compressed table: or 100 times its file
    split: str = "train"  # split to read from a dataset or a folder with splits
    subset: str | None = None  # configuration name of a dataset
    limit: int | None = None  # maximum number of rows to read
    chapters: str | None = None  # chapters of a book to read, e.g. "1-3" or "1,4,7"; null: all

    def __post_init__(self) -> None:
        _require_choice("source.format", self.format, source_formats())
        _require(self.limit is None or self.limit > 0, "source.limit", self.limit, "give a positive number of rows")
        is_code = self.language is None or LANGUAGE_CODE.fullmatch(self.language)
        _require(bool(is_code), "source.language", self.language, "give a code such as en, de or pt-BR")
        _require(
            self.max_inflated_mb > 0,
            "source.max_inflated_mb",
            self.max_inflated_mb,
            "give a positive number of megabytes",
        )
        is_unique = len({*self.columns}) == len(self.columns) and all(self.columns)
        _require(is_unique, "source.columns", self.columns, "give different names: [id,text]")


@dataclass
class TextConfig:
    """Division of the text into segments, and their spoken form."""

    normalize: bool = True  # write numbers, dates, money, abbreviations etc. in words
    max_seconds: float = 12.0  # maximum predicted length of a segment; with another model than the bundled one: 15
    min_seconds: float = 1.5  # shorter segments are joined with a neighbour in the same paragraph
    split: bool = True  # false: each row of a table is one clip, and rejected if it is longer than max_seconds

    def __post_init__(self) -> None:
        _require(self.max_seconds >= 1, "text.max_seconds", self.max_seconds, "give at least 1 second")
        _require(self.max_seconds <= MAX_SECONDS, "text.max_seconds", self.max_seconds, TRAINED_ON)
        _require(
            0 <= self.min_seconds < self.max_seconds,
            "text.min_seconds",
            self.min_seconds,
            f"give at least 0 and less than text.max_seconds={self.max_seconds:g}",
        )
