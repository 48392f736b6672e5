"""Translation of an argument or setting into overrides for Hydra.

The value of a group (`model=`, `voice=` ...) is the name of a file in `configs/`, or a value that stands for settings:
a folder, a hub id, a description.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from pipeline.config.checks import is_description
from pipeline.config.config_file import is_config_path
from pipeline.config.hydra_values import quote, render, render_typed
from pipeline.config.schema import Config
from pipeline.config.schema_executor import EXECUTOR_REGISTRY
from pipeline.errors import ConfigError, nearest_first
from pipeline.storage.paths import local_folder

_PACKAGE = Path(__file__).resolve().parent.parent
# In a wheel the groups are inside the package, in a checkout beside it.
CONFIG_DIR = next(folder for folder in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if folder.is_dir())
GROUPS = ("task", "model", "voice", "engine", "executor", "experiment")


def group_options(group: str) -> list[str]:
    """Return the names that `group=` accepts. Files that begin with _ are included by others and have no name."""
    return sorted(path.stem for path in (CONFIG_DIR / group).glob("[!_]*.yaml"))


@lru_cache(maxsize=1)
def _published() -> Mapping[str, tuple[str, str]]:
    """Return the name in `configs/model` and the hub id of each published checkpoint, by the id in lower case."""
    files = {group: CONFIG_DIR / "model" / f"{group}.yaml" for group in group_options("model")}
    contents = {group: yaml.safe_load(file.read_text(encoding="utf-8")) for group, file in files.items()}
    paths = {group: content.get("model", content).get("path") for group, content in contents.items()}
    return {path.lower(): (group, path) for group, path in paths.items() if path}


@lru_cache(maxsize=1)
def known_keys() -> Mapping[str, Any]:
    """Return the type of each key of the schema, by its dotted name."""

    def walk(prefix: str, schema: Any) -> Iterator[tuple[str, Any]]:
        types = get_type_hints(type(schema))
        for field in dataclasses.fields(schema):
            value = getattr(schema, field.name)
            if dataclasses.is_dataclass(value):
                yield from walk(f"{prefix}{field.name}.", value)
            else:
                yield prefix + field.name, types[field.name]

    return dict(walk("", Config()))


def plain_override(argument: str) -> str:
    """Return an argument as `key=value`; Hydra's `+key=value` and `++key=value` mean the same here.

    Raises:
        ConfigError: It has another form, or is not UTF-8.
    """
    if (shown := argument.encode("utf-8", "backslashreplace").decode()) != argument:
        # Files of the run contain the name, and they are UTF-8.
        raise ConfigError(f"{shown}: is not UTF-8; rename the file or folder")
    key, equals, value = re.sub(r"^\+\+?", "", argument).partition("=")
    if re.match(r"hydra[./]", key):
        raise ConfigError(
            f"{argument}: settings of Hydra have no effect here; output_dir=... and name=... choose the folder of the "
            "run, executor=... the workers"
        )
    if key.startswith("~"):
        known = known_keys()
        raise ConfigError(
            f"{argument}: a key cannot be removed; leave it out to use its default, or give another value"
            if key[1:] in known or key[1:] in GROUPS
            else f"{argument}: {_unknown_key(key[1:])}"
        )
    if not equals:
        raise ConfigError(f"{argument}: give arguments as key=value, e.g. input=book.txt; see --help")
    return f"{key}={value}"


def expand(argument: str) -> list[str]:
    """Translate an argument, `key=value`, into overrides for Hydra.

    Raises:
        ConfigError: The key or the value is unknown.
    """
    key, _, value = argument.partition("=")
    if value == "???":  # for OmegaConf, a missing value
        raise ConfigError(f"{argument}: is reserved by OmegaConf; give another value")
    if key in GROUPS:
        return _choose(key, value)
    if key == "text":  # the short form of task.text; text.max_seconds etc. belong to the group `text`
        return [f"task.text={quote(value)}"]
    if key not in known_keys():
        raise _unknown_key(key)
    return [f"{key}={render_typed(argument, value, is_text=known_keys()[key] in (str, str | None))}"]


def _unknown_key(key: str) -> ConfigError:
    near = nearest_first(key, [*GROUPS, *known_keys()], limit=4)
    return ConfigError(f"{key}: no such key; the nearest are {', '.join(near)}")


def _choose(group: str, choice: str) -> list[str]:
    """Translate `group=choice`: the name of a file, or a value that stands for settings."""
    if group == "voice":
        return _choose_voice(choice)
    options = group_options(group)
    if choice in options or (group == "experiment" and choice == "null"):
        return [f"{group}={choice}"]
    if group == "executor":
        if choice in EXECUTOR_REGISTRY:  # of another distribution, which has no file of the group
            return ["executor=auto", f"executor.kind={quote(choice)}"]
        options = [*options, *(name for name in EXECUTOR_REGISTRY.names() if name not in options)]
    at_revision = re.fullmatch(r"(\w[\w.-]*(?:/[\w.-]+)?)@(.+)", choice)  # mini@refs/pr/9, owner/name@v1.0
    if group == "model" and at_revision and not local_folder(choice):
        return [*_choose(group, at_revision[1]), f"model.revision={quote(at_revision[2])}"]
    if group == "model" and ("/" in choice or "\\" in choice or local_folder(choice)):
        return _choose_checkpoint(choice)
    hint = "; or give a folder (./my-model) or a hub id (owner/name)" if group == "model" else ""
    near = ", ".join(nearest_first(choice, options, limit=40))
    raise ConfigError(f"{group}={choice}: no such {group}; there are {near}{hint}")


def _choose_checkpoint(choice: str) -> list[str]:
    """Translate a folder or hub id. The id of a published checkpoint has the settings of its file."""
    published = None if local_folder(choice) else _published().get(choice.rstrip("/").lower())
    if published:
        group, path = published
        return [f"model={group}", f"model.name={quote(Path(path).name)}"]
    name = Path(choice).name.replace(" ", "-")
    return ["model=checkpoint", f"model.path={quote(choice)}", f"model.name={quote(name)}"]


def _choose_voice(choice: str) -> list[str]:
    """Translate a name, which is checked when the model is known; a description; a list of them; or a file's name."""
    words = choice.strip()
    if not words:
        raise ConfigError(
            'voice=: give a name, or describe a voice: voice="A calm female voice, very close and clear."'
        )
    if words.startswith("["):
        return [f"task.voices=[{','.join(map(quote, _voice_list(choice)))}]"]
    if words.lower() in group_options("voice"):
        return [f"voice={words.lower()}"]
    if is_description(words):
        return ["voice=described", f"voice.description={quote(choice)}"]
    return ["voice=auto", f"voice.speaker={quote(words)}"]


def _voice_list(choice: str) -> list[str]:
    """Parse a list of names and descriptions: `voice=[jon,"A low, calm voice."]`."""
    try:
        voices = yaml.load(choice, Loader=yaml.BaseLoader)  # a safe loader that keeps all values as strings
    except yaml.YAMLError:
        voices = None
    if not isinstance(voices, list) or not voices or not all(isinstance(each, str) and each.strip() for each in voices):
        raise ConfigError(
            f"voice={choice}: give a list of names and descriptions, with quotes around commas and colons: "
            "voice='[jon,\"A low, calm voice.\"]'"
        )
    for voice in voices:
        if voice.strip().lower() in group_options("voice"):
            raise ConfigError(f"voice={choice}: {voice} is not allowed in a list; give names of speakers")
    return [" ".join(voice.split()) for voice in voices]


def expand_setting(key: str, value: Any) -> list[str]:
    """Translate a setting of a config file into overrides for Hydra.

    Raises:
        ConfigError: The key or the value is unknown.
    """
    if key == "defaults" or key.startswith("hydra."):
        raise ConfigError(f"{key}: a config file contains settings only; write a group as a key, e.g. `model: mini`")
    if key in GROUPS and isinstance(value, str):
        value = " ".join(value.split())  # a block of text ends with a line break
    if key == "experiment" and isinstance(value, str) and is_config_path(value):
        raise ConfigError(f"{key}={value}: a config file cannot include another; give each with --config")
    if key == "voice" and isinstance(value, list):
        return _choose_voice(yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True))
    if key == "input" and isinstance(value, list):  # as typed: [a.jsonl,b.jsonl]
        if not all(isinstance(each, str) for each in value):
            raise ConfigError(f"{key}: give a list of file names: [a.jsonl, b.jsonl]")
        value = "[" + ",".join('"' + each.replace('"', '""') + '"' for each in value) + "]"
    if isinstance(value, str) and (key in GROUPS or key == "text" or value == "???"):
        return expand(f"{key}={value}")
    if key not in known_keys():
        raise _unknown_key(key)
    return [f"{key}={render(value)}"]
