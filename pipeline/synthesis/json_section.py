"""Typed, validated access to the JSON files of a checkpoint, which are untrusted input. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import ModelError

_MAX_BYTES = 64 << 20  # of a JSON file
_MAX_SIZE = 1 << 20  # of any width, length or count in a config; real values are far below


class Section:
    """A JSON object of a file with typed access. Every method raises a `ModelError` that names the file and the key."""

    def __init__(self, path: Path, content: Mapping[str, Any], prefix: str = "") -> None:
        self.path = path
        self._content = content
        self._prefix = prefix

    def part(self, key: str) -> Section:
        """Return the object `key` of this object."""
        return Section(self.path, self._content[key], f"{self._prefix}{key}.")

    def check(self, key: str, value: Any, kind: type, low: float, high: float) -> Any:
        """Return a value of `key` if it is a number of a type, from `low` to below `high`."""
        is_number = isinstance(value, kind | int if kind is float else kind) and not isinstance(value, bool)
        if not (is_number and low <= value < high):
            need = "a whole number" if kind is int else "a number"
            name = f"{self._prefix}{key}={value!r}"
            raise ModelError(f"{self.path}: {name}; it has to be {need} from {low} to {high - 1}")
        return value

    def integer(self, key: str, low: int, default: int | None = None) -> int:
        """Return the value of `key`, at least `low`; `default` if it is missing or null."""
        value = self._content.get(key)
        value = default if value is None else value
        return int(self.check(key, value, int, low, _MAX_SIZE))

    def within(self, key: str, low: float, high: float) -> float | None:
        """Return the number `key`, from `low` to `high`; None if it is missing or null."""
        value = self.optional(key, float)
        if value is not None and not low <= value <= high:
            raise ModelError(f"{self.path}: {self._prefix}{key}={value}; it has to be from {low:g} to {high:g}")
        return None if value is None else float(value)

    def optional(self, key: str, kind: type, low: int | None = None) -> Any:
        """Return the value of `key`, at least `low`; None if it is missing or null."""
        value = self._content.get(key)
        is_kind = isinstance(value, kind | int if kind is float else kind) and (
            kind is bool or not isinstance(value, bool)
        )
        if value is not None and not is_kind:
            raise ModelError(f"{self.path}: {self._prefix}{key}={value!r} is not of type {kind.__name__}")
        if low is not None and value is not None and value < low:
            raise ModelError(f"{self.path}: {self._prefix}{key}={value}; it has to be at least {low}")
        return value

    def choice(self, key: str, choices: tuple[str, ...]) -> None:
        """Refuse a value of `key` that is none of the choices."""
        value = self._content.get(key)
        if value not in choices:
            name = f"{self._prefix}{key}={value!r}"
            raise ModelError(f"{self.path}: {name} is not supported; supported are {', '.join(choices)}")


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        ModelError: The file cannot be read, is too large, or contains something else.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ModelError(f"{path}: {path.stat().st_size >> 20} MiB is too large for a file of settings")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not valid JSON ({error})") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path}: it must contain a JSON object, not {type(content).__name__}")
    return content
