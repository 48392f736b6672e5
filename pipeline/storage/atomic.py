"""Atomic writes: a file appears under its name complete and on the disk, or not at all."""

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
    """Give the path to write to; when the block ends well, that file appears as `path`, complete and on the disk.

    The temporary name begins with a dot, since `data_files` patterns of a dataset would match any other, and is new
    each time, so that two writers cannot mix their bytes. When the block fails, the temporary file is removed. The
    block should do no other I/O, because its `OSError`s are reported as ones of writing `path`.
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
        _sync(path.parent)  # else the new name itself may be lost with the power
    except OSError as error:
        raise _cannot_be_written(path, error) from error
    finally:
        # Only a file that is still there can be removed; on a disk in trouble even looking may fail.
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def write_folder(folder: Path, last: str) -> Iterator[Path]:
    """Give a folder on a disk to write files to: `folder` itself, or one whose files are put there afterwards.

    In a remote place the old files go first and the one named `last` comes last: while it is there, all are.
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
    """`write_atomically` for an object store: putting an object is its one atomic step."""
    with tempfile.TemporaryDirectory() as scratch:
        temporary = Path(scratch) / path.name
        try:
            yield temporary
            put_file(temporary, path)
        except OSError as error:
            raise _cannot_be_written(path, error) from error


def _cannot_be_written(path: Path, error: OSError) -> RunDirectoryError:
    return RunDirectoryError(
        f"{path}: cannot be written ({error.strerror or error}): free some space or mend the permissions, "
        "then give the same command again: it goes on from here"
    )


def write_text(path: Path, text: str) -> None:
    """Write a whole UTF-8 file, atomically."""
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove_file(path: Path) -> None:
    """Remove a file if it is there, for good: it does not come back when the power fails."""
    if path.exists():
        path.unlink()
        if is_local(path):
            _sync(path.parent)


def remove_leftovers(run_dir: Path) -> None:
    """Remove the temporary files of a killed run; only while nothing else writes to the run."""
    if is_local(run_dir):  # elsewhere nothing has a temporary name
        for path in list(run_dir.rglob(".*.tmp")):
            path.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
