"""Quoting of values, so that Hydra and OmegaConf read them back unchanged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import NoneType
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from pipeline.errors import ConfigError


def escape_interpolation(value: Any) -> Any:
    """Escape `${...}` in all strings of a value: nothing is interpolated, `${oc.env:HOME}` stays text."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    if isinstance(value, Mapping):
        return {key: escape_interpolation(each) for key, each in value.items()}
    return [escape_interpolation(each) for each in value] if isinstance(value, list) else value


def quote(value: str) -> str:
    """Return a string in the quotes of Hydra's override grammar."""
    value = escape_interpolation(value)
    return "'" + re.sub(r"(\\*)'", r"\1\1\\'", re.sub(r"(\\+)$", r"\1\1", value)) + "'"


def render(value: Any) -> str:
    """Return a value of a config file in Hydra's override grammar. All scalars are quoted; the schema converts them.

    Args:
        value: None, a string, or a list or mapping of values.
    """
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{render(each)}" for key, each in value.items()) + "}"
    return "[" + ",".join(map(render, value)) + "]" if isinstance(value, list) else quote(value)


def render_typed(argument: str, value: str, is_text: bool) -> str:
    """Return a value of the command line unchanged if Hydra's grammar reads it as intended, else quoted.

    File names may contain characters of the grammar, and for Hydra `2024_05_01` is a number and `1.10` is 1.1.

    Args:
        argument: `key=value`, as typed.
        value: The part after `=`.
        is_text: Whether the schema's type of the key is a string.

    Raises:
        ConfigError: The value contains an interpolation, and the type is not a string.
    """
    if "${" in value and not is_text:
        raise ConfigError(f"{argument}: ${{...}} is not interpolated; give the value itself")
    if "${" in value:
        return quote(value)
    try:
        parsed = OverridesParser.create().parse_override(argument)
    except HydraException:
        return quote(value)
    is_misread = is_text and not isinstance(parsed.value(), (str, NoneType))
    return quote(value) if is_misread or parsed.is_sweep_override() else value
