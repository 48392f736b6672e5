"""Reading of a user's config file, which `--config my.yaml` or `experiment=./my.yaml` names.

It is YAML with the keys of the schema. Scalars stay strings here, as on the command line, and the schema converts
them, so that `name: 2024_05_01` and `title: 1984` keep their spelling.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pipeline.config.checks import compose_yaml
from pipeline.errors import ConfigError
from pipeline.storage.paths import read_regular_text, reason_of

ENDINGS = (".yaml", ".yml")
_MAX_BYTES = 1 << 20
_NULL = "tag:yaml.org,2002:null"
# Keys of a frozen config that are not settings; `--config RUN/config.yaml` is allowed too.
_NOT_SETTINGS = ("format_version", "input_digest")


def is_config_path(name: str) -> bool:
    """Return whether the value of `experiment=` is a file and not one of `configs/experiment`."""
    return name.endswith(ENDINGS) or "/" in name or "\\" in name


def read_config_file(name: str) -> dict[str, Any]:
    """Read a config file.

    Args:
        name: Path of the file.

    Returns:
        Values by dotted key: `engine: {slots: 8}` has the key `engine.slots`. A value is None, a string, or a list of
        strings and mappings.

    Raises:
        ConfigError: The file cannot be read, is not YAML, or contains a key twice. The message names file and key.
    """
    try:
        node = compose_yaml(read_regular_text(Path(name), _MAX_BYTES))
    except FileNotFoundError as error:
        raise ConfigError(f"{name}: no such config file; give the path of a YAML file") from error
    except (OSError, ValueError) as error:
        reason = " ".join(str(reason_of(error)).split())
        raise ConfigError(f"{name}: cannot be read as YAML ({reason})") from error
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{name}: contains no settings; write each as `key: value`, e.g. `model: mini`")
    settings: dict[str, Any] = {}
    for key, value in _flatten(name, node):
        if key in settings:
            raise ConfigError(f"{name}: {key}: is given twice; delete one")
        settings[key] = value
    return {key: value for key, value in settings.items() if key not in _NOT_SETTINGS}


def _flatten(name: str, node: yaml.MappingNode, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key_node, value_node in node.value:
        key = prefix + _key(name, key_node)
        if isinstance(value_node, yaml.MappingNode):
            yield from _flatten(name, value_node, f"{key}.")
        else:
            yield key, _value(name, value_node)


def _key(name: str, node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode) or not re.fullmatch(r"[A-Za-z_][\w.]*", node.value):
        raise ConfigError(f"{name}: line {node.start_mark.line + 1}: a key has to be a name such as engine.slots")
    return str(node.value)


def _value(name: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return [_value(name, each) for each in node.value]
    if isinstance(node, yaml.MappingNode):  # an entry of a list
        return {_key(name, key): _value(name, value) for key, value in node.value}
    return None if node.tag == _NULL else node.value
