"""Checks of configuration values. An error is one line with key, value and fix; also the safe parsing of YAML."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

from pipeline.errors import ConfigError, nearest_first
from pipeline.registry import Registry

MAX_NUMBER = 2**63  # limit of a seed; smaller numbers are exact in YAML, Parquet and torch


def require(ok: bool, key: str, value: object, need: str) -> None:
    """Raise `ConfigError` unless `ok`.

    Args:
        ok: Whether the value is allowed.
        key: Dotted name of the key.
        value: Its value; None if the user has not given one.
        need: What to give instead.
    """
    if not ok:
        # As the user writes it: true, not True; 40, not 40.0.
        shown = str(value).lower() if isinstance(value, bool) else str(value).removesuffix(".0")
        raise ConfigError(f"{key}: {need}" if value is None else f"{key}={shown}: {need}")


def require_choice(key: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise `ConfigError` if the value is not one of `choices`."""
    require(value in choices, key, value, f"choose one of {', '.join(nearest_first(value, choices))}")


def require_entry(key: str, value: str, registry: Registry[Any]) -> None:
    """Raise `ConfigError` for a value that is no name of a registry. The implementation is not imported."""
    if value not in registry:
        require_choice(key, value, tuple(registry.names()))


def check_numbers(prefix: str, schema: object) -> None:
    """Raise `ConfigError` for a number in a dataclass, at any depth, that is not finite or exceeds 63 bits."""
    for key, value in _numbers(prefix, schema):
        require(math.isfinite(value) and abs(value) < MAX_NUMBER, key, value, "give a finite number")


def _numbers(key: str, value: object) -> Iterator[tuple[str, int | float]]:
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _numbers(f"{key}.{field.name}".lstrip("."), getattr(value, field.name))
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from _numbers(key, entry)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield key, value


class _PlainLoader(yaml.SafeLoader):
    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):  # a few lines of aliases can expand to gigabytes
            raise yaml.YAMLError("aliases are not supported")
        return super().compose_node(parent, index)


def load_yaml(text: str) -> Any:
    """Parse YAML with plain values only: no tags that run code, no aliases.

    Raises:
        ValueError: The text is not such YAML.
    """
    try:
        return yaml.load(text, _PlainLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error) or type(error).__name__) from error


def is_description(words: str) -> bool:
    """Return whether the value of `voice=` is a description; a single word without a final mark is a name."""
    return bool(re.search(r"\s|[.!?。！？।…]$", words.strip()))


def compose_yaml(text: str) -> yaml.Node | None:
    """Parse YAML without aliases into its nodes, which keep quotes and line numbers; None if it is empty.

    Raises:
        ValueError: The text is not such YAML.
    """
    try:
        node: yaml.Node | None = yaml.compose(text, _PlainLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error) or type(error).__name__) from error
    return node
