"""Decompress a file as a stream: what fsspec knows, and Zstandard and LZ4, which Arrow brings.

A compressed file may be damaged, or may inflate to any size. Every failure to read it is an `OSError` that says so.
"""

from __future__ import annotations

import contextlib
import errno
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from pipeline.errors import SourceError

# By the ending of a file's name: the name that fsspec or Arrow knows the compression by.
COMPRESSIONS = {
    ".gz": "gzip",
    ".bz2": "bz2",
    ".xz": "xz",
    ".lzma": "lzma",
    ".zip": "zip",
    ".zst": "zstd",
    ".lz4": "lz4",
}
_OF_ARROW = ("zstd", "lz4")
_BUFFER = 1 << 16
# Text is compressed to a third or a tenth of its size, the same line again and again to a hundredth.
_MAX_RATIO = 100
_DAMAGE = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, ValueError, RuntimeError, NotImplementedError)


@contextlib.contextmanager
def decompressed(file: BinaryIO, ending: str, path: Path, max_bytes: int | None) -> Iterator[BinaryIO]:
    """Give the content of a compressed file as a buffered stream.

    Args:
        file: Compressed, open for reading.
        ending: A key of `COMPRESSIONS`.
        path: Of the file, for errors.
        max_bytes: The stream may be larger only if it is less than `_MAX_RATIO` times the file's size. None: no limit.

    Raises:
        SourceError: An archive does not hold exactly one file, or the stream grows too large.
        OSError: The file is damaged.
    """
    limit = None if max_bytes is None else max(max_bytes, _MAX_RATIO * _size_of(file))
    with contextlib.ExitStack() as opened:
        with _as_os_errors():
            content = opened.enter_context(_open(file, ending, path))
        yield cast(
            BinaryIO, opened.enter_context(io.BufferedReader(cast(Any, _Limited(content, limit, path)), _BUFFER))
        )


def _open(file: BinaryIO, ending: str, path: Path) -> contextlib.AbstractContextManager[BinaryIO]:
    if ending == ".zip":
        return _only_member(file, path)
    if COMPRESSIONS[ending] in _OF_ARROW:
        import pyarrow

        return cast(BinaryIO, pyarrow.CompressedInputStream(file, COMPRESSIONS[ending]))
    import fsspec.compression

    return cast(BinaryIO, fsspec.compression.compr[COMPRESSIONS[ending]](file, mode="rb"))


class _Limited(io.RawIOBase):
    """A stream that ends with an error where it would grow larger than `limit`."""

    def __init__(self, content: BinaryIO, limit: int | None, path: Path) -> None:
        self._content = content
        self._limit = limit
        self._path = path
        self._num_read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        with _as_os_errors():
            block = self._content.read(len(buffer))
        self._num_read += len(block)
        if self._limit is not None and self._num_read > self._limit:
            raise SourceError(
                f"{self._path}: inflates to more than {self._limit / 2**20:,.0f} MB; if it is meant to, set "
                "source.max_inflated_mb to more"
            )
        buffer[: len(block)] = block
        return len(block)


@contextlib.contextmanager
def _as_os_errors() -> Iterator[None]:
    """Each compression has errors of its own for damaged data."""
    try:
        yield
    except _DAMAGE as error:
        raise OSError(errno.EIO, f"its compressed data is damaged: {error or type(error).__name__}") from error


def _only_member(file: BinaryIO, path: Path) -> BinaryIO:
    archive = zipfile.ZipFile(file)
    members = [each for each in archive.infolist() if not each.is_dir() and not each.filename.startswith("__MACOSX")]
    if len(members) != 1:
        raise SourceError(f"{path}: is an archive of {len(members)} files; unpack it, and give the folder or a file")
    return cast(BinaryIO, archive.open(members[0]))


def _size_of(file: BinaryIO) -> int:
    """The size of a file; 0 of one behind an address that cannot be told."""
    try:
        position = file.tell()
        size = file.seek(0, io.SEEK_END)
        file.seek(position)
    except (OSError, ValueError):
        return 0
    return size
