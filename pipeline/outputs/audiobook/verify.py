"""Verification of a book's files against its index, by their names, sizes and hashes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.storage.paths import read_json, reason_of, sha256_of


def book_problems(book: Path) -> Iterator[str]:
    """The files of a book are those that its index lists. Their audio is not decoded: its clips were, in the shards."""
    if not book.exists():
        return
    if not (book / "book.json").exists():
        yield "book/book.json: missing, so that the book was not finished"
        return
    try:
        entries = read_json(book / "book.json")["files"]
        # An older index has names alone.
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
        return "is not a regular file: make the book again, or take it from a copy of the run"
    if "bytes" in entry and path.stat().st_size != entry["bytes"]:
        return f"{path.stat().st_size} bytes, book.json says {entry['bytes']}"
    if "sha256" in entry and sha256_of(path) != entry["sha256"]:
        return "its bytes have changed since it was written (SHA-256 differs)"
    return None
