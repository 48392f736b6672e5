"""Decompress files as streams, with fsspec, or with Arrow for Zstandard and LZ4.

Compressed files may be damaged, or may decompress to any size. Every failure to decompress is raised as an `OSError`.
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

# File extension -> name of the compression in fsspec or Arrow.
COMPRESSIONS = {
    ".gz": "gzip",
    ".bz2": "bz2",
    ".xz": "xz",
    ".lzma": "lzma",
    ".zip": "zip",
    ".zst": "zstd",
    ".lz4": "lz4",
}
_ARROW_COMPRESSIONS = ("zstd", "lz4")
_BUFFER = 1 << 16  # bytes
# Text compresses 3 to 10 times; even a line repeated many times compresses about 100 times.
_MAX_RATIO = 100
_DAMAGE = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, ValueError, RuntimeError, NotImplementedError)


@contextlib.contextmanager
def decompressed(file: BinaryIO, ending: str, path: Path, max_bytes: int | None) -> Iterator[BinaryIO]:
    """Yield the content of a compressed file as a buffered stream.

    Args:
        file: Compressed file, open for reading.
        ending: A key of `COMPRESSIONS`.
        path: Path of the file, for error messages.
        max_bytes: Limit of the decompressed size; a larger stream is accepted up to `_MAX_RATIO` times the size of
            the file. None: no limit.

    Raises:
        SourceError: An archive does not contain exactly one file, or the decompressed stream exceeds the limit.
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
    if COMPRESSIONS[ending] in _ARROW_COMPRESSIONS:
        import pyarrow

        return cast(BinaryIO, pyarrow.CompressedInputStream(file, COMPRESSIONS[ending]))
    import fsspec.compression

    return cast(BinaryIO, fsspec.compression.compr[COMPRESSIONS[ending]](file, mode="rb"))


class _Limited(io.RawIOBase):
    """A stream that raises `SourceError` when more than `limit` bytes have been read."""

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
                f"{self._path}: decompresses to more than {self._limit / 2**20:,.0f} MB; if this is intended, "
                "increase source.max_inflated_mb"
            )
        buffer[: len(block)] = block
        return len(block)


@contextlib.contextmanager
def _as_os_errors() -> Iterator[None]:
    """Convert the different errors that decompressors raise for damaged data to `OSError`."""
    try:
        yield
    except _DAMAGE as error:
        raise OSError(errno.EIO, f"its compressed data is damaged: {error or type(error).__name__}") from error


def _only_member(file: BinaryIO, path: Path) -> BinaryIO:
    archive = zipfile.ZipFile(file)
    members = [each for each in archive.infolist() if not each.is_dir() and not each.filename.startswith("__MACOSX")]
    if len(members) != 1:
        raise SourceError(
            f"{path}: the archive contains {len(members)} files instead of one; unpack it and give the folder or a file"
        )
    return cast(BinaryIO, archive.open(members[0]))


def _size_of(file: BinaryIO) -> int:
    """Return the size of a file in bytes; 0 if the file is remote and cannot seek."""
    try:
        position = file.tell()
        size = file.seek(0, io.SEEK_END)
        file.seek(position)
    except (OSError, ValueError):
        return 0
    return size
