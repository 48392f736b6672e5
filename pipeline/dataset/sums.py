"""`SHA256SUMS`: every file of a finished run with its hash, so that none can be lost, altered or added unnoticed.

Owns that file, which is written last and which `sha256sum -c SHA256SUMS` understands, wherever a copy of the run is.
Not in it are the journals, which are for eyes and may still grow, and what begins with a dot, which is not of the run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.dataset.files import remove_file, write_atomically
from pipeline.dataset.shards import finished_shards
from pipeline.places import file_sizes, sha256_of

SUMS_NAME = "SHA256SUMS"


def write_sums(run_dir: Path) -> None:
    """Writes `SHA256SUMS`. Files whose hash is known from a manifest or from `book.json` are not read again."""
    known = {f"data/{manifest.file}": manifest.sha256 for manifest in finished_shards(run_dir) if manifest.clips}
    known |= book_hashes(run_dir)
    with write_atomically(run_dir / SUMS_NAME) as temporary, temporary.open("w", encoding="utf-8") as file:
        for name in sorted(listed_files(run_dir)):
            digest = known.get(name) or sha256_of(run_dir / name)
            file.write(f"{digest}  {name}\n")


def remove_sums(run_dir: Path) -> None:
    """Removes `SHA256SUMS` before anything changes: while it is there, the run is finished."""
    remove_file(run_dir / SUMS_NAME)


def listed_files(run_dir: Path) -> set[str]:
    """The files that belong into `SHA256SUMS`, relative to the run's directory."""
    names = file_sizes(run_dir).keys()
    return {name for name in names if name != SUMS_NAME and not name.startswith((".", "journal/"))}


def book_hashes(run_dir: Path) -> dict[str, str]:
    """What `book.json` says of the book's files; nothing if there is none, or none that can be read."""
    try:
        entries = json.loads((run_dir / "book" / "book.json").read_text(encoding="utf-8"))["files"]
        return {f"book/{entry['name']}": str(entry["sha256"]) for entry in entries}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def sum_problems(run_dir: Path, known: Mapping[str, str]) -> Iterator[str]:
    """Compares the run with its `SHA256SUMS`, line by line and file by file.

    Args:
        run_dir: Directory of the run.
        known: Hashes of files that are compared with their bytes elsewhere.
    """
    try:
        lines = (run_dir / SUMS_NAME).read_text(encoding="utf-8").split("\n")[:-1]
    except FileNotFoundError:
        yield f"{SUMS_NAME}: missing, so that the run did not come to its end"
        return
    except ValueError as error:
        yield f"{SUMS_NAME}: damaged ({error})"
        return
    there, listed = listed_files(run_dir), set()
    for number, line in enumerate(lines, 1):
        entry = re.fullmatch(r"([0-9a-f]{64})  (.+)", line)
        if entry is None:
            yield f"{SUMS_NAME}: damaged in line {number}"
            continue
        digest, name = entry.groups()
        listed.add(name)
        if name not in there:
            yield f"{name}: missing, {SUMS_NAME} lists it"
        elif (known.get(name) or sha256_of(run_dir / name)) != digest:
            yield f"{name}: its bytes are not those that {SUMS_NAME} lists"
    for name in sorted(there - listed):
        yield f"{name}: {SUMS_NAME} does not list it; it came later, or from elsewhere"
