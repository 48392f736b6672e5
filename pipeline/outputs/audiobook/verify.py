"""Verify the files of a book against its index, by name, size and hash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.storage.paths import read_json, reason_of, sha256_of


def book_problems(book: Path) -> Iterator[str]:
    """Yield the files of a book that do not match its index. The audio is not decoded."""
    if not book.exists():
        return
    if not (book / "book.json").exists():
        yield "book/book.json: missing; the book was not finished"
        return
    try:
        entries = read_json(book / "book.json")["files"]
        # Older versions list names only.
        listed = [{"name": entry} if isinstance(entry, str) else dict(entry) for entry in entries]
        checked = [(book / Path(entry["name"]).name, entry) for entry in listed]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        yield f"book/book.json: damaged ({reason_of(error) if isinstance(error, OSError) else repr(error)})"
        return
    for path, entry in checked:
        problem = _book_file_problem(path, entry)
        if problem:
            yield f"book/{path.name}: {problem}"


def _book_file_problem(path: Path, entry: dict[str, Any]) -> str | None:
    if not path.exists() and not path.is_symlink():
        return "missing"
    if not path.is_file():
        return "not a regular file; rerun the command of the run, or restore the file from a copy"
    if "bytes" in entry and path.stat().st_size != entry["bytes"]:
        return f"{path.stat().st_size} bytes, but book.json says {entry['bytes']}"
    if "sha256" in entry and sha256_of(path) != entry["sha256"]:
        return "the file has changed since it was written (SHA-256 differs)"
    return None
