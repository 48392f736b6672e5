"""`SHA256SUMS`: every file of a finished run with its hash, so that none can be lost, altered or added unnoticed.

Owns that file, which is written last and which `sha256sum -c SHA256SUMS` understands, wherever a copy of the run is.
Not in it are the journals, which are for eyes and may still grow, and what begins with a dot, which is not of the run.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from pipeline.storage.atomic import remove_file, write_atomically
from pipeline.storage.paths import file_sizes, read_json, read_regular_text, reason_of, sha256_of
from pipeline.storage.run_directory import CHECKSUMS_NAME, RunDirectory


def write_checksums(run_dir: Path, known: Mapping[str, str] = MappingProxyType({})) -> None:
    """Write `SHA256SUMS`.

    Args:
        run_dir: Directory of the run.
        known: Hashes by relative name of files that need not be read again, besides those in `book.json`.
    """
    known = {**known, **book_hashes(run_dir)}
    with write_atomically(RunDirectory(run_dir).checksums) as temporary, temporary.open("w", encoding="utf-8") as file:
        for name in sorted(listed_files(run_dir)):
            digest = known.get(name) or sha256_of(run_dir / name)
            file.write(f"{digest}  {name}\n")


def delete_checksums(run_dir: Path) -> None:
    """Remove `SHA256SUMS` before anything changes: while it is there, the run is finished."""
    remove_file(RunDirectory(run_dir).checksums)


def listed_files(run_dir: Path) -> set[str]:
    """The files that belong into `SHA256SUMS`, relative to the run's directory."""
    names = file_sizes(run_dir).keys()
    return {name for name in names if name != CHECKSUMS_NAME and not name.startswith((".", "journal/"))}


def book_hashes(run_dir: Path) -> dict[str, str]:
    """What `book.json` says of the book's files; nothing if there is none, or none that can be read."""
    try:
        entries = read_json(RunDirectory(run_dir).book_index)["files"]
        return {f"book/{entry['name']}": str(entry["sha256"]) for entry in entries}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def checksum_problems(run_dir: Path, known: Mapping[str, str], told: Container[str] = ()) -> Iterator[str]:
    """Compare the run with its `SHA256SUMS`, line by line and file by file.

    Args:
        run_dir: Directory of the run.
        known: Hashes of files that are compared with their bytes elsewhere.
        told: Names of files with which something else is wrong; they are not read again.
    """
    try:
        lines = read_regular_text(RunDirectory(run_dir).checksums).split("\n")[:-1]
    except FileNotFoundError:
        yield f"{CHECKSUMS_NAME}: missing, so that the run did not come to its end"
        return
    except (OSError, ValueError) as error:
        yield f"{CHECKSUMS_NAME}: damaged ({reason_of(error)})"
        return
    there, listed = listed_files(run_dir), set()
    for number, line in enumerate(lines, 1):
        entry = re.fullmatch(r"([0-9a-f]{64})  (.+)", line)
        if entry is None:
            yield f"{CHECKSUMS_NAME}: damaged in line {number}"
            continue
        digest, name = entry.groups()
        listed.add(name)
        if name in told:
            continue
        if name not in there:
            yield f"{name}: missing, {CHECKSUMS_NAME} lists it"
        elif problem := _sum_problem(run_dir / name, known.get(name), digest):
            yield f"{name}: {problem}"
    for name in sorted(name for name in there - listed if name not in told):
        yield f"{name}: {CHECKSUMS_NAME} does not list it; it came later, or from elsewhere"


def _sum_problem(path: Path, known: str | None, digest: str) -> str:
    try:
        is_same = (known or sha256_of(path)) == digest
    except OSError as error:
        return f"cannot be read ({reason_of(error)}): mend it, or take it from a copy of the run"
    return "" if is_same else f"its bytes are not those that {CHECKSUMS_NAME} lists"
