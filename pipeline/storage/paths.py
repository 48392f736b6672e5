"""Access to files on a local disk or at any address that fsspec supports (`s3://...`, `hf://...`, `memory://...`).

This module hides the differences between the two. A local path is a `pathlib.Path`. A remote path is a `upath.UPath`
with a similar interface, but it refers to an object store: objects are written as a whole, and there are no folders, no
renames and no appends. fsspec finds the credentials.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any, BinaryIO, TextIO, cast

from pipeline.errors import ConfigError, PipelineError, RunDirectoryError
from pipeline.storage.compression import COMPRESSIONS, decompressed

_MAX_NAME_BYTES = 255
_BLOCK = 4 * 2**20  # bytes fetched in one request when an object is read
MAX_TEXT_BYTES = 2**28  # default limit for a file that is read whole; files that the pipeline writes are far smaller
_MAX_NESTED_LINKS = 4  # symbolic links to folders on one path; deeper ones are treated as a loop


def is_address(text: str) -> bool:
    """Return whether `text` is an fsspec address rather than a local path."""
    return "://" in text


def resolve_path(text: str) -> Path:
    """Return the path for a local path or address that a user gave.

    Raises:
        ConfigError: A name in the path is too long, or the address cannot be reached: fsspec does not support it, a
            package for it is missing, or the store does not respond.
    """
    if not is_address(text):
        path = Path(text).expanduser()
        if any(len(os.fsencode(part)) > _MAX_NAME_BYTES for part in path.parts):
            raise ConfigError(f"{text[:60]}...: a name in this path is longer than {_MAX_NAME_BYTES} bytes; shorten it")
        return path
    from upath import UPath  # slow to import, and only needed for addresses

    try:
        # No cache of listings: other processes may write to the same place.
        found = UPath(text, use_listings_cache=False)
        found.exists()  # one request, so that wrong credentials or names are reported early
        return cast(Path, found)
    except Exception as error:  # each store raises exceptions of its own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"{text}: cannot be reached ({reason}); check the address and the credentials") from error


def is_local(path: Path) -> bool:
    """Return whether a path is on the local file system."""
    return isinstance(cast(object, path), Path)


def local_folder(path: str) -> Path | None:
    """Return the local folder that `path` names; None if it does not exist."""
    try:
        folder = Path(path).expanduser()
        return folder if path and folder.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # a name that is too long, an unknown user (~name), a NUL byte
        return None


@contextlib.contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading, only if it is a regular file, so that a named pipe or a device cannot block the run.

    Raises:
        OSError: The file cannot be opened or is not a regular file.
    """
    if not is_local(path):
        with _opened(path) as file:
            yield file
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # without O_NONBLOCK, opening a pipe blocks
    try:
        kind = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(kind):
            raise OSError(errno.EINVAL, f"is {_kind_of(kind)}, not a regular file", str(path))
    except BaseException:
        os.close(descriptor)
        raise
    with os.fdopen(descriptor, "rb") as file:
        yield file


def read_regular(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> bytes:
    """Return the content of a regular file.

    Raises:
        OSError: The file cannot be opened, is not a regular file, or is larger than `max_bytes`.
    """
    with open_regular(path) as file:
        is_larger = is_local(path) and os.fstat(file.fileno()).st_size > max_bytes
        content = b"" if is_larger else file.read(max_bytes + 1)
    if is_larger or len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"is larger than {max_bytes / 2**20:,.0f} MB", str(path))
    return content


def read_regular_text(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Like `read_regular`, but return text; raise `ValueError` if the file is not UTF-8."""
    return read_regular(path, max_bytes).decode("utf-8")


def read_json(path: Path) -> Any:
    """Like `read_regular`, but return parsed JSON; raise `ValueError` if the file is not valid JSON in UTF-8."""
    return parse_json(read_regular_text(path))


def parse_json(text: str) -> Any:
    """Parse JSON.

    Raises:
        ValueError: The text is not valid JSON, or is nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error


@contextlib.contextmanager
def wrap_read_errors(folder: Path) -> Iterator[None]:
    """Convert an `OSError` in the block to a `RunDirectoryError` that names the file."""
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(
            f"{error.filename or folder}: cannot be read ({reason_of(error)}); check its permissions and its disk"
        ) from error


def reason_of(error: Exception) -> str:
    """Return the message of an error on one line, without the file name."""
    text = error.strerror if isinstance(error, OSError) else None
    return " ".join(str(text or error).split()) or type(error).__name__


def _kind_of(mode: int) -> str:
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"))
    return next((name for is_kind, name in kinds if is_kind(mode)), "a device")


@contextlib.contextmanager
def open_for_arrow(path: Path) -> Iterator[Path | BinaryIO]:
    """Yield what Arrow can read from: a local path, or an open file for a remote one."""
    if is_local(path):
        with open_regular(path):  # refuses a named pipe, on which Arrow would block
            yield path
        return
    with _opened(path) as file:
        yield file


@contextlib.contextmanager
def open_input(path: Path, max_inflated_bytes: int | None = None) -> Iterator[BinaryIO]:
    """Open a file as a stream of bytes, and decompress it if its extension names a compression.

    Args:
        path: File to read.
        max_inflated_bytes: Limit of the decompressed size; see `decompressed`. None: no limit.

    Raises:
        SourceError: The decompressed content exceeds the limit, or an archive does not contain exactly one file.
        OSError: The file cannot be read or is damaged.
    """
    with _opened(path) as file:
        if ending := compression_of(path):
            with decompressed(file, ending, path, max_inflated_bytes) as content:
                yield content
        else:
            yield file


@contextlib.contextmanager
def open_text(
    path: Path, encoding: str, newline: str | None = None, max_inflated_bytes: int | None = None
) -> Iterator[TextIO]:
    """Open a file as a stream of text, decompressed if needed; see `open_input`."""
    with (
        open_input(path, max_inflated_bytes) as content,
        io.TextIOWrapper(content, encoding=encoding, newline=newline) as text,
    ):
        yield text


def compression_of(path: Path) -> str:
    """Return the extension of a compressed file, such as ".gz"; "" if the file is not compressed."""
    ending = PurePath(_without_query(path)).suffix.lower()
    return ending if ending in COMPRESSIONS else ""


def plain_name(path: Path) -> str:
    """Return the file name without the query of an address and without a compression extension."""
    name = _without_query(path)
    return name[: -len(ending)] if (ending := compression_of(path)) else name


@contextlib.contextmanager
def as_os_errors(path: Path) -> Iterator[None]:
    """Convert the exceptions of a store's client library, which differ from store to store, to `OSError`."""
    try:
        yield
    except (OSError, PipelineError):
        raise
    except Exception as error:
        if is_local(path):
            raise
        raise OSError(errno.EIO, (str(error).splitlines() or [type(error).__name__])[0]) from error


def file_sizes(folder: Path) -> dict[str, int]:
    """Return the size in bytes of each file below a folder, by relative name; empty if the folder does not exist."""
    if not is_local(folder):
        found = _store(folder).find(_key(folder), detail=True)
        prefix = len(_key(folder).rstrip("/")) + 1
        return {name[prefix:]: int(entry["size"] or 0) for name, entry in found.items() if name[prefix:]}
    sizes: dict[str, int] = {}
    waiting = [(str(folder), "", 0)]
    while waiting:
        name, prefix_name, num_links = waiting.pop()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(name) as entries:
            for entry in entries:
                if _is_loop(entry, num_links):  # listed with size 0, so that it is not overlooked
                    sizes[prefix_name + entry.name] = 0
                elif entry.is_dir():
                    waiting.append((entry.path, f"{prefix_name}{entry.name}/", num_links + entry.is_symlink()))
                else:
                    with contextlib.suppress(FileNotFoundError):  # deleted meanwhile by an active run
                        sizes[prefix_name + entry.name] = entry.stat().st_size
    return sizes


def _is_loop(entry: os.DirEntry[str], num_links: int) -> bool:
    """Return whether an entry is a symbolic link that must not be followed.

    That is a link to itself, to a folder that contains it, or one below `_MAX_NESTED_LINKS` other links.
    """
    if not entry.is_symlink():
        return False
    try:
        if not entry.is_dir():
            return False
        target = os.path.realpath(entry.path)
        above = os.path.realpath(Path(entry.path).parent)
        return num_links >= _MAX_NESTED_LINKS or os.path.commonpath([target, above]) == target
    except OSError as error:
        return error.errno == errno.ELOOP


def content_version(path: Path) -> str | None:
    """Return a hash that changes with the content of a file or folder; None if the store provides no hashes."""
    versions = []
    for name in sorted(file_sizes(path)) if path.is_dir() else [""]:
        version = _file_version(path / name if name else path)
        if version is None:
            return None
        versions.append(f"{name} {version}")
    return hashlib.sha256("\n".join(versions).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 hash of a file in hexadecimal."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _file_version(path: Path) -> str | None:
    if is_local(path):
        return sha256_of(path)
    entry = _store(path).info(_key(path))  # most object stores provide a hash
    tag = next((entry[name] for name in ("ETag", "etag", "md5Hash", "content_md5", "blob_id") if entry.get(name)), None)
    return None if tag is None else str(tag)


def put_file(local: Path, path: Path) -> None:
    """Upload a local file to a remote path."""
    with as_os_errors(path):
        _store(path).put_file(str(local), _key(path))


def move_folder(folder: Path, target: Path, last: str) -> None:
    """Move a folder to `target`, merging it into a folder that exists there.

    A local folder is renamed if `target` does not exist. Otherwise the files are moved one by one, and the one named
    `last` is moved last: if it exists in `target`, all files do. After an interruption, the same call continues.
    """
    if is_local(folder) and not target.exists():
        folder.rename(target)
        return
    for name in sorted(file_sizes(folder), key=lambda name: (name == last, name)):
        if is_local(folder):
            (folder / name).replace(target / name)
        else:
            with as_os_errors(folder):
                _store(folder).copy(_key(folder / name), _key(target / name))
                _store(folder).rm_file(_key(folder / name))
    remove_folder(folder)


def remove_folder(folder: Path, last: str = "") -> None:
    """Remove a folder and its content, if it exists. In a remote folder the file named `last` is removed last."""
    if is_local(folder):
        shutil.rmtree(folder, ignore_errors=True)
        return
    with as_os_errors(folder):
        store, key = _store(folder), _key(folder)
        if last and (others := [_key(folder / name) for name in file_sizes(folder) if name != last]):
            store.rm(others)
        if store.exists(key):
            store.rm(key, recursive=True)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with as_os_errors(path):
        file = path.open("rb") if is_local(path) else _store(path).open(_key(path), "rb", block_size=_BLOCK)
    with file:
        yield cast(BinaryIO, file)


def _without_query(path: Path) -> str:
    return path.name if is_local(path) else re.split(r"[?#]", path.name)[0]


def _store(path: Path) -> Any:
    return cast(Any, path).fs


def _key(path: Path) -> str:
    return str(_store(path)._strip_protocol(cast(Any, path).path))
