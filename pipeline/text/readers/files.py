"""Files of the input: how readers open them, and the errors for files that are not what a reader needs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import BinaryIO, TextIO

from pipeline.config import SourceConfig
from pipeline.errors import SourceError
from pipeline.storage.paths import compression_of, open_for_arrow, open_input, open_text, plain_name
from pipeline.text.readers.encodings import SAMPLE_BYTES, with_bom, wrong_encoding

_SIGNATURES = {b"%PDF": "a PDF", b"PK\x03\x04": "a ZIP archive (DOCX ...)", b"{\\rtf": "RTF", b"\x1f\x8b": "gzip"}
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class InputFile:
    """A file of the input, which may lie behind an address and be compressed.

    Every method that reads raises a `SourceError` with the name of the file if it cannot be read, is empty, is larger
    than `source.max_inflated_mb`, or, when text is asked for, is binary or has another encoding.

    Args:
        path: Where it lies.
        source: Its encoding and limits.
        name: As the user gave it; default: the path.
    """

    def __init__(self, path: Path, source: SourceConfig, name: str = "") -> None:
        self.path = path
        self.name = name or str(path)
        self._source = source
        self._max_bytes = source.max_inflated_mb * 2**20
        self._is_text = False  # whether it has been looked at

    def __str__(self) -> str:
        return str(self.path)

    @property
    def stem(self) -> str:
        """Its name without folder, ending of the format, and ending of a compression."""
        return PurePath(plain_name(self.path)).stem

    def read_text(self) -> str:
        """Return the whole text. Line ends become line feeds, so that offsets do not depend on the system."""
        self.check_is_text()
        with self._reading(), self._opened_text(self._source.encoding) as file:
            text = file.read(self._max_bytes)
            self._check_size(bool(file.read(1)))
        if not text.strip():
            raise self._empty()
        return text.removeprefix("\ufeff")

    def read_bytes(self) -> bytes:
        """Return the whole content, decompressed."""
        self._head()
        with self._reading(), open_input(self.path, self._max_bytes) as file:
            content = file.read(self._max_bytes + 1)
        self._check_size(len(content) > self._max_bytes)
        return content

    @contextlib.contextmanager
    def open_text(self, newline: str | None = None) -> Iterator[TextIO]:
        """Open it as a stream of text, without its byte order mark.

        Args:
            newline: As for the built-in `open`.
        """
        self.check_is_text()
        with self._reading(), self._opened_text(with_bom(self._source.encoding), newline) as file:
            yield file

    @contextlib.contextmanager
    def open_binary(self) -> Iterator[Path | BinaryIO]:
        """Give what Arrow can read parts of: the path, or a file that fetches what is asked for."""
        if ending := compression_of(self.path):
            raise SourceError(f"{self}: this format is compressed inside the file; unpack it from {ending} first")
        self._head()
        with self._reading(), open_for_arrow(self.path) as file:
            yield file

    def check_is_text(self) -> None:
        """Refuse a file that begins like a PDF, an archive or another binary file."""
        if not self._is_text:
            _check_text(self.path, self._head())
            self._is_text = True

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except UnicodeError as error:
            raise wrong_encoding(self.path, self._source.encoding) from error
        except OSError as error:
            reason = (error.strerror or str(error) or type(error).__name__).splitlines()[0]
            raise SourceError(f"{self}: cannot be read ({reason}); check the file and its permissions") from error

    def _opened_text(self, encoding: str, newline: str | None = None) -> contextlib.AbstractContextManager[TextIO]:
        return open_text(self.path, encoding, newline, max_inflated_bytes=self._max_bytes)

    def _check_size(self, is_larger: bool) -> None:
        if is_larger:
            limit = self._source.max_inflated_mb
            raise SourceError(
                f"{self}: is larger than source.max_inflated_mb={limit} MB, which no book is; raise the limit if it is"
            )

    def _head(self) -> bytes:
        with self._reading(), open_input(self.path) as file:
            head = file.read(SAMPLE_BYTES)
        if not head:
            raise self._empty()
        return head

    def _empty(self) -> SourceError:
        return SourceError(f"{self}: is empty; give a file with text in it")


def _check_text(path: Path, head: bytes) -> None:
    for signature, kind in _SIGNATURES.items():
        if head.startswith(signature):
            raise SourceError(f"{path}: is {kind}, not text; export it as plain text (.txt) or Markdown (.md)")
    if b"\0" in head and not head.startswith(_UTF16_MARKS) and "\0" in head.decode("utf-8", "replace"):
        raise SourceError(f"{path}: is a binary file, not text; give a text file")


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type if it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]
