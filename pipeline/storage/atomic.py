"""Atomic writes: a file appears under its final name only when it is complete and synced to disk."""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import RunDirectoryError
from pipeline.storage.paths import file_sizes, is_local, put_file, remove_folder


@contextlib.contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; when the block succeeds, sync the file and rename it to `path`.

    The temporary name begins with a dot, so that the `data_files` patterns of a dataset do not match it. It is unique,
    so that two writers do not write to the same file. If the block fails, the temporary file is removed. The block
    should do no other I/O, because every `OSError` in it is reported as a failure to write `path`.

    Raises:
        RunDirectoryError: The file cannot be written.
    """
    if not is_local(path):
        with _put_when_written(path) as temporary:
            yield temporary
        return
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)  # otherwise a power failure may undo the rename
    except OSError as error:
        raise _cannot_be_written(path, error) from error
    finally:
        # After a rename the file is gone; on a failing disk the removal may raise other errors.
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def write_folder(folder: Path, last: str) -> Iterator[Path]:
    """Yield a local folder to write files to: `folder` itself, or a temporary one that is uploaded to it afterwards.

    For a remote `folder`, its old files are removed before the upload, and the file named `last` is uploaded last: if
    it exists, all files exist.

    Raises:
        RunDirectoryError: The files cannot be uploaded.
    """
    if is_local(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch)
        try:
            remove_folder(folder)
            for name in sorted(file_sizes(Path(scratch)), key=lambda name: (name == last, name)):
                put_file(Path(scratch) / name, folder / name)
        except OSError as error:
            raise _cannot_be_written(folder, error) from error


@contextlib.contextmanager
def _put_when_written(path: Path) -> Iterator[Path]:
    """Implement `write_atomically` for an object store, where putting an object is atomic."""
    with tempfile.TemporaryDirectory() as scratch:
        temporary = Path(scratch) / path.name
        try:
            yield temporary
            put_file(temporary, path)
        except OSError as error:
            raise _cannot_be_written(path, error) from error


def _cannot_be_written(path: Path, error: OSError) -> RunDirectoryError:
    return RunDirectoryError(
        f"{path}: cannot be written ({error.strerror or error}). Free disk space or correct the permissions, "
        "then rerun the same command to resume."
    )


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file atomically."""
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove_file(path: Path) -> None:
    """Remove a file if it exists, and sync its folder, so that a power failure does not restore it."""
    if path.exists():
        path.unlink()
        if is_local(path):
            _sync(path.parent)


def remove_leftovers(run_dir: Path) -> None:
    """Remove the temporary files that a killed run left behind.

    Call this only while no other process writes to the run.
    """
    if is_local(run_dir):  # object stores have no temporary files
        for path in list(run_dir.rglob(".*.tmp")):
            path.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
