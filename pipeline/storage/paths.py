"""Where files lie: on a disk, or behind any address that fsspec knows (`s3://...`, `hf://...`, `memory://...`).

Owns the few things that differ between the two. A local place is a plain `pathlib.Path`. A remote one behaves like it
(it is a `upath.UPath`), but is an object store: an object appears whole or not at all when it is put, and there are no
folders, no renaming, no adding to an object. How credentials are found is fsspec's own affair.
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
_BLOCK = 4 * 2**20  # bytes fetched at a time as an object is read
MAX_TEXT_BYTES = 2**28  # of a file of a run that is read whole; its own are far smaller
_MAX_NESTED_LINKS = 4  # symbolic links to folders on one path; more are taken for a trap


def is_address(text: str) -> bool:
    """Return whether this is an address of fsspec, and no path of this machine."""
    return "://" in text


def resolve_path(text: str) -> Path:
    """Return the path or the address that a user gave.

    Raises:
        ConfigError: A name in it is too long; or fsspec does not know such addresses, a package for them is not
            installed, or nobody answers.
    """
    if not is_address(text):
        path = Path(text).expanduser()
        if any(len(os.fsencode(part)) > _MAX_NAME_BYTES for part in path.parts):
            raise ConfigError(f"{text[:60]}...: holds a name of more than {_MAX_NAME_BYTES} bytes, which no disk takes")
        return path
    from upath import UPath  # only who needs it waits for it

    try:
        # Listings are not remembered: others write to the same place.
        found = UPath(text, use_listings_cache=False)
        found.exists()  # asks once, so that a wrong key or name is told of now
        return cast(Path, found)
    except Exception as error:  # each store has errors of its own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"{text}: cannot be reached ({reason}); check the address and its credentials") from error


def is_local(path: Path) -> bool:
    """Return whether a path is on a disk of this machine, and not behind an address."""
    return isinstance(cast(object, path), Path)


def local_folder(path: str) -> Path | None:
    """Return the folder that `path` names on this machine; None: there is none."""
    try:
        folder = Path(path).expanduser()
        return folder if path and folder.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # a name that is too long, an unknown user, a NUL
        return None


@contextlib.contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """Open a file of a run for reading. Never waits: a named pipe, a device or a folder in its place is refused.

    Raises:
        OSError: It cannot be opened, or is not a regular file.
    """
    if not is_local(path):
        with _opened(path) as file:
            yield file
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # of a pipe it would wait for a writer
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
    """Return the bytes of a file of a run; see `open_regular`.

    Raises:
        OSError: It cannot be opened, is not a regular file, or is larger than `max_bytes`.
    """
    with open_regular(path) as file:
        is_larger = is_local(path) and os.fstat(file.fileno()).st_size > max_bytes
        content = b"" if is_larger else file.read(max_bytes + 1)
    if is_larger or len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"is larger than {max_bytes / 2**20:,.0f} MB", str(path))
    return content


def read_regular_text(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Return the text of a UTF-8 file of a run; see `read_regular`; raises `ValueError` for other bytes."""
    return read_regular(path, max_bytes).decode("utf-8")


def read_json(path: Path) -> Any:
    """Return what a JSON file of a run holds; see `read_regular`; raises `ValueError` for what is not JSON."""
    return parse_json(read_regular_text(path))


def parse_json(text: str) -> Any:
    """Parse JSON; whatever is wrong with it is a `ValueError`."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


@contextlib.contextmanager
def wrap_read_errors(folder: Path) -> Iterator[None]:
    """Turn an `OSError` of reading a run's folder into an error that names the file and what to do."""
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(
            f"{error.filename or folder}: cannot be read ({reason_of(error)}); mend its permissions or its disk"
        ) from error


def reason_of(error: Exception) -> str:
    """Return why a file cannot be read, on one line and without its name."""
    text = error.strerror if isinstance(error, OSError) else None
    return " ".join(str(text or error).split()) or type(error).__name__


def _kind_of(mode: int) -> str:
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"))
    return next((name for is_kind, name in kinds if is_kind(mode)), "a device")


@contextlib.contextmanager
def open_for_arrow(path: Path) -> Iterator[Path | BinaryIO]:
    """What Arrow can read from: the path itself, or a file that fetches what is asked for."""
    if is_local(path):
        with open_regular(path):  # Arrow would wait for ever for the writer of a pipe
            yield path
        return
    with _opened(path) as file:
        yield file


@contextlib.contextmanager
def open_input(path: Path, max_inflated_bytes: int | None = None) -> Iterator[BinaryIO]:
    """Open a file for reading as a stream of bytes; what has the ending of a compression is decompressed.

    Raises:
        SourceError: It inflates to more than `max_inflated_bytes`, or its compression cannot be read here.
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
    """Open a file for reading as a stream of text; see `open_input`."""
    with (
        open_input(path, max_inflated_bytes) as content,
        io.TextIOWrapper(content, encoding=encoding, newline=newline) as text,
    ):
        yield text


def compression_of(path: Path) -> str:
    """The ending of a compressed file, e.g. ".gz"; "" of another."""
    ending = PurePath(_without_query(path)).suffix.lower()
    return ending if ending in COMPRESSIONS else ""


def plain_name(path: Path) -> str:
    """The last part of a path, without the query of an address and the ending of its compression."""
    name = _without_query(path)
    return name[: -len(ending)] if (ending := compression_of(path)) else name


@contextlib.contextmanager
def as_os_errors(path: Path) -> Iterator[None]:
    """What a store's own package raises, of which each has a family of its own, becomes an `OSError`."""
    try:
        yield
    except (OSError, PipelineError):
        raise
    except Exception as error:
        if is_local(path):
            raise
        raise OSError(errno.EIO, (str(error).splitlines() or [type(error).__name__])[0]) from error


def file_sizes(folder: Path) -> dict[str, int]:
    """Every file in a folder and below it, by its name relative to it, with its size; none if there is no folder."""
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
                if _is_loop(entry, num_links):  # nothing can be in it, and yet it is there
                    sizes[prefix_name + entry.name] = 0
                elif entry.is_dir():
                    waiting.append((entry.path, f"{prefix_name}{entry.name}/", num_links + entry.is_symlink()))
                else:
                    with contextlib.suppress(FileNotFoundError):  # a temporary file of a run at work has gone meanwhile
                        sizes[prefix_name + entry.name] = entry.stat().st_size
    return sizes


def _is_loop(entry: os.DirEntry[str], num_links: int) -> bool:
    """Return whether this is a symbolic link to itself, to a folder that contains it, or too deep among links."""
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
    """Changes with what is in a file, or in any file of a folder; None: that cannot be told without fetching it all."""
    marks = []
    for name in sorted(file_sizes(path)) if path.is_dir() else [""]:
        mark = _file_mark(path / name if name else path)
        if mark is None:
            return None
        marks.append(f"{name} {mark}")
    return hashlib.sha256("\n".join(marks).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """Hash of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _file_mark(path: Path) -> str | None:
    if is_local(path):
        return sha256_of(path)
    entry = _store(path).info(_key(path))  # object stores tell a hash of what they hold
    tag = next((entry[name] for name in ("ETag", "etag", "md5Hash", "content_md5", "blob_id") if entry.get(name)), None)
    return None if tag is None else str(tag)


def put_file(local: Path, path: Path) -> None:
    """Copy a local file to a remote place, where it appears whole."""
    with as_os_errors(path):
        _store(path).put_file(str(local), _key(path))


def move_folder(folder: Path, target: Path, last: str) -> None:
    """Make a folder appear under another name, into what may be there already.

    On a disk a folder without such a target is renamed, at once. Otherwise file by file, the one named `last` at the
    end: once it is there, all are. After an interruption the same call goes on.
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
    """Remove a folder and what is in it, if it is there; elsewhere than on a disk the file named `last` at the end."""
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
