"""Write values so that Hydra's override grammar and OmegaConf read back exactly what was given."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import NoneType
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from pipeline.errors import ConfigError


def escape_interpolation(value: Any) -> Any:
    """Return the value with escapes, so that OmegaConf looks up nothing: `${oc.env:HOME}` is text."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    if isinstance(value, Mapping):
        return {key: escape_interpolation(each) for key, each in value.items()}
    return [escape_interpolation(each) for each in value] if isinstance(value, list) else value


def quote(value: str) -> str:
    """Return the text as a quoted string of Hydra's grammar."""
    value = escape_interpolation(value)
    return "'" + re.sub(r"(\\*)'", r"\1\1\\'", re.sub(r"(\\+)$", r"\1\1", value)) + "'"


def render(value: Any) -> str:
    """Return a value of a config file in Hydra's grammar. Every scalar is quoted: the schema knows its type.

    Args:
        value: None, a text, or a list or mapping of values; the keys of a mapping are plain words.
    """
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{render(each)}" for key, each in value.items()) + "}"
    return "[" + ",".join(map(render, value)) + "]" if isinstance(value, list) else quote(value)


def render_typed(argument: str, value: str, is_text: bool) -> str:
    """Return a value of the command line as it is where Hydra's grammar reads it whole, else quoted.

    File names hold all sorts of characters, digits too: to Hydra `2024_05_01` is a number, and `1.10` is 1.1.

    Args:
        argument: `key=value`, as typed.
        value: The part after `=`.
        is_text: The schema's type of the key is text.

    Raises:
        ConfigError: The value of a key that is no text asks for an interpolation.
    """
    if "${" in value and not is_text:
        raise ConfigError(f"{argument}: nothing is looked up in ${{...}}; write the value itself")
    if "${" in value:
        return quote(value)
    try:
        parsed = OverridesParser.create().parse_override(argument)
    except HydraException:
        return quote(value)
    is_misread = is_text and not isinstance(parsed.value(), (str, NoneType))
    return quote(value) if is_misread or parsed.is_sweep_override() else value
