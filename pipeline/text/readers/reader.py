"""The protocol of readers, and their registry. A reader turns files of one format into `Document`s.

Another distribution adds a reader under the entry points `parler_pipeline.readers`; a program adds one with
`READERS.add`. Its name is then a value of `source.format`. Formats of one book in a file are best made with
`books.BookReader`, tables with `tables.TableReader`; anything else subclasses `Reader`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from pipeline.config import SourceConfig
from pipeline.config.schema_text import READERS as _READERS
from pipeline.registry import Registry
from pipeline.text.readers.files import InputFile
from pipeline.types import Document

__all__ = ["READERS", "InputFile", "Reader"]


class Reader(Protocol):
    """Reads one format. Subclass it: only `read` has no default."""

    endings: tuple[
        str, ...
    ] = ()  # of file names, in lower case: (".srt",). With source.format=auto they choose the reader

    def read(self, files: Sequence[InputFile], source: SourceConfig) -> Iterator[Document]:
        """Yield the documents of an input, lazily.

        Every character of `Document.text` that is not white space must lie in one paragraph or one skip;
        `structure.blocks.assemble` makes chapters and skips that do.

        Args:
            files: One file, or all that the input names, in order.
            source: The settings of the input.

        Raises:
            SourceError: The user has to change the input or a setting.
        """
        ...

    def read_cover(self, file: InputFile) -> bytes | None:
        """Return the JPEG or PNG that is the cover of a book; None: it has none.

        Raises:
            SourceError: The file cannot be read.
        """
        return None


READERS: Registry[Reader] = _READERS  # the schema holds it, which checks the names
