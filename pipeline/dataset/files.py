"""Where the files of a run lie, and how one comes to be: whole under its name, or not at all.

Owns paths and atomic writing. Knows nothing of what the files hold.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import RunDirectoryError


def shard_path(run_dir: Path, index: int, num_shards: int) -> Path:
    """The Parquet file of a shard."""
    return run_dir / "data" / f"train-{index:05d}-of-{num_shards:05d}.parquet"


def manifest_path(run_dir: Path, index: int) -> Path:
    """What is known about the Parquet file of a shard."""
    return run_dir / "manifests" / f"shard-{index:05d}.json"


def plan_shard_path(run_dir: Path, index: int) -> Path:
    """The planned utterances of a shard, one JSON object a line."""
    return run_dir / "plan" / f"shard-{index:05d}.jsonl"


def plan_path(run_dir: Path) -> Path:
    """The head of the plan: number of shards and utterances, fingerprint of the config."""
    return run_dir / "plan" / "plan.json"


def staged_plan_folder(run_dir: Path) -> Path:
    """Where a plan is made, before it becomes the plan of the run."""
    return run_dir / ".plan-next"


@contextlib.contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Gives the path to write to; when the block ends well, that file appears as `path`, complete and on the disk.

    The temporary name begins with a dot, since `data_files` patterns of a dataset would match any other, and is new
    each time, so that two writers cannot mix their bytes. When the block fails, the temporary file is removed. The
    block should do no other I/O, because its `OSError`s are reported as ones of writing `path`.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)  # else the new name itself may be lost with the power
    except OSError as error:
        raise RunDirectoryError(
            f"{path}: cannot be written ({error.strerror or error}): free some space or mend the permissions, "
            "then give the same command again: it goes on from here"
        ) from error
    finally:
        # Only a file that is still there can be removed; on a disk in trouble even looking may fail.
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Writes a whole UTF-8 file, atomically."""
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove_file(path: Path) -> None:
    """Removes a file if it is there, for good: it does not come back when the power fails."""
    if path.exists():
        path.unlink()
        _sync(path.parent)


def remove_leftovers(run_dir: Path) -> None:
    """Removes the temporary files of a killed run; only while nothing else writes to the run."""
    for path in list(run_dir.rglob(".*.tmp")):
        path.unlink()


def file_sizes(folder: Path) -> dict[str, int]:
    """Every file in a folder and below it, by its name relative to it, with its size; none if there is no folder."""
    sizes: dict[str, int] = {}
    waiting = [(str(folder), "")]
    while waiting:
        place, prefix = waiting.pop()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(place) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((entry.path, f"{prefix}{entry.name}/"))
                else:
                    sizes[prefix + entry.name] = entry.stat().st_size
    return sizes


def sha256_of(path: Path) -> str:
    """Hash of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
