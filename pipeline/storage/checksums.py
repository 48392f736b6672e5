"""Write and check `SHA256SUMS`, which lists the hash of every file of a finished run.

It reveals files that were lost, changed or added. It is written last, and `sha256sum -c SHA256SUMS` can check any copy
of the run. It does not list the journals, which may still grow, and names that begin with a dot, which are temporary.
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
        known: Hashes, by relative name, of files that need not be read. The hashes in `book.json` are added to them.
    """
    known = {**known, **book_hashes(run_dir)}
    with write_atomically(RunDirectory(run_dir).checksums) as temporary, temporary.open("w", encoding="utf-8") as file:
        for name in sorted(listed_files(run_dir)):
            digest = known.get(name) or sha256_of(run_dir / name)
            file.write(f"{digest}  {name}\n")


def delete_checksums(run_dir: Path) -> None:
    """Remove `SHA256SUMS`; call this before any file changes, because the file marks a run as finished."""
    remove_file(RunDirectory(run_dir).checksums)


def listed_files(run_dir: Path) -> set[str]:
    """Return the names of the files to list in `SHA256SUMS`, relative to the run directory."""
    names = file_sizes(run_dir).keys()
    return {name for name in names if name != CHECKSUMS_NAME and not name.startswith((".", "journal/"))}


def book_hashes(run_dir: Path) -> dict[str, str]:
    """Return the hashes that `book.json` lists, by relative name; empty if it is missing or unreadable."""
    try:
        entries = read_json(RunDirectory(run_dir).book_index)["files"]
        return {f"book/{entry['name']}": str(entry["sha256"]) for entry in entries}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def checksum_problems(run_dir: Path, known: Mapping[str, str], reported: Container[str] = ()) -> Iterator[str]:
    """Yield the differences between `SHA256SUMS` and the files of the run.

    Args:
        run_dir: Directory of the run.
        known: Hashes, by relative name, of files whose bytes are checked elsewhere; these files are not read.
        reported: Names of files that other problems were reported for; they are not checked again.
    """
    try:
        lines = read_regular_text(RunDirectory(run_dir).checksums).split("\n")[:-1]
    except FileNotFoundError:
        yield f"{CHECKSUMS_NAME}: missing, so the run is not finished; rerun its command"
        return
    except (OSError, ValueError) as error:
        yield f"{CHECKSUMS_NAME}: damaged ({reason_of(error)})"
        return
    existing, listed = listed_files(run_dir), set()
    for number, line in enumerate(lines, 1):
        entry = re.fullmatch(r"([0-9a-f]{64})  (.+)", line)
        if entry is None:
            yield f"{CHECKSUMS_NAME}: line {number} is damaged"
            continue
        digest, name = entry.groups()
        listed.add(name)
        if name in reported:
            continue
        if name not in existing:
            yield f"{name}: missing, although {CHECKSUMS_NAME} lists it"
        elif problem := _sum_problem(run_dir / name, known.get(name), digest):
            yield f"{name}: {problem}"
    for name in sorted(name for name in existing - listed if name not in reported):
        yield f"{name}: not listed in {CHECKSUMS_NAME}; the file was added after the run was finished"


def _sum_problem(path: Path, known: str | None, digest: str) -> str:
    try:
        is_same = (known or sha256_of(path)) == digest
    except OSError as error:
        return f"cannot be read ({reason_of(error)}); repair the file, or restore it from a copy of the run"
    return "" if is_same else f"its hash differs from the one in {CHECKSUMS_NAME}"
