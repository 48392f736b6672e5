"""From one argument or setting to overrides that Hydra takes.

Owns the groups that are found by name (`model=`, `voice=` ...), and what may stand in their place (a folder, a hub id,
a description).
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
# A wheel carries the groups inside the package; in a checkout they lie beside it.
CONFIG_DIR = next(folder for folder in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if folder.is_dir())
GROUPS = ("task", "model", "voice", "engine", "executor", "experiment")


def group_options(group: str) -> list[str]:
    """Names that can stand behind `group=`."""
    return sorted(path.stem for path in (CONFIG_DIR / group).glob("[!_]*.yaml"))


@lru_cache(maxsize=1)
def _published() -> Mapping[str, tuple[str, str]]:
    """Return the model group and the id of each published repository, by the id in lower case."""
    files = {group: CONFIG_DIR / "model" / f"{group}.yaml" for group in group_options("model")}
    contents = {group: yaml.safe_load(file.read_text(encoding="utf-8")) for group, file in files.items()}
    paths = {group: content.get("model", content).get("path") for group, content in contents.items()}
    return {path.lower(): (group, path) for group, path in paths.items() if path}


@lru_cache(maxsize=1)
def known_keys() -> Mapping[str, Any]:
    """Every key that can be set, dotted, down to values and lists, with its type."""

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
    """Returns the argument as `key=value`; `+key=value` and `++key=value` mean the same, since every key exists."""
    if (shown := argument.encode("utf-8", "backslashreplace").decode()) != argument:
        # The card, the frozen config and the list of files would have to name it.
        raise ConfigError(f"{shown}: is not UTF-8; rename the file or folder")
    key, equals, value = re.sub(r"^\+\+?", "", argument).partition("=")
    if re.match(r"hydra[./]", key):
        raise ConfigError(
            f"{argument}: Hydra only composes the config here; output_dir=... and name=... choose the folder, "
            "executor=... the workers"
        )
    if key.startswith("~"):
        known = known_keys()
        raise ConfigError(
            f"{argument}: a key cannot be removed; leave it out, or give another value"
            if key[1:] in known or key[1:] in GROUPS
            else f"{argument}: a key cannot be removed, and {_unknown_key(key[1:])}"
        )
    if not equals:
        raise ConfigError(f"{argument}: arguments are of the form key=value; --help shows some")
    return f"{key}={value}"


def expand(argument: str) -> list[str]:
    """Turns one argument, `key=value`, into overrides that Hydra takes, or says what is wrong with it."""
    key, _, value = argument.partition("=")
    if value == "???":  # to OmegaConf a value that is missing
        raise ConfigError(f"{argument}: is no value; write another")
    if key in GROUPS:
        return _choose(key, value)
    if key == "text":  # short, since it is typed by hand; text.max_seconds and its like are another matter
        return [f"task.text={quote(value)}"]
    if key not in known_keys():
        raise _unknown_key(key)
    return [f"{key}={render_typed(argument, value, is_text=known_keys()[key] in (str, str | None))}"]


def _unknown_key(key: str) -> ConfigError:
    near = nearest_first(key, [*GROUPS, *known_keys()], limit=4)
    return ConfigError(f"{key}: there is no such key; nearest are {', '.join(near)}")


def _choose(group: str, choice: str) -> list[str]:
    """A choice of a group, or what may stand in its place."""
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
    raise ConfigError(f"{group}={choice}: there is no such {group}; there are {near}{hint}")


def _choose_checkpoint(choice: str) -> list[str]:
    """A folder or a repository of the hub. The id of a published checkpoint has the settings of its group."""
    published = None if local_folder(choice) else _published().get(choice.rstrip("/").lower())
    if published:
        group, path = published
        return [f"model={group}", f"model.name={quote(Path(path).name)}"]
    name = Path(choice).name.replace(" ", "-")
    return ["model=checkpoint", f"model.path={quote(choice)}", f"model.name={quote(name)}"]


def _choose_voice(choice: str) -> list[str]:
    """A name, which the checkpoint's catalogue judges later; a description; a list of them; or a file of the group."""
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
    """The names and descriptions of `voice=[jon,"A low, calm voice."]`."""
    try:
        voices = yaml.load(choice, Loader=yaml.BaseLoader)  # a safe loader, which leaves all values texts
    except yaml.YAMLError:
        voices = None
    if not isinstance(voices, list) or not voices or not all(isinstance(each, str) and each.strip() for each in voices):
        raise ConfigError(
            f"voice={choice}: give names and descriptions, those with commas or colons in quotes: "
            "voice='[jon,\"A low, calm voice.\"]'"
        )
    for voice in voices:
        if voice.strip().lower() in group_options("voice"):
            raise ConfigError(f"voice={choice}: {voice} is no voice that can stand in a list; name speakers")
    return [" ".join(voice.split()) for voice in voices]


def expand_setting(key: str, value: Any) -> list[str]:
    """Turns one setting of a config file into overrides that Hydra takes."""
    if key == "defaults" or key.startswith("hydra."):
        raise ConfigError(f"{key}: a config file holds settings alone; write a group as a key, e.g. `model: mini`")
    if key in GROUPS and isinstance(value, str):
        value = " ".join(value.split())  # a text of several lines ends with a line break
    if key == "experiment" and isinstance(value, str) and is_config_path(value):
        raise ConfigError(f"{key}={value}: a config file names no other; give each with --config")
    if key == "voice" and isinstance(value, list):
        return _choose_voice(yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True))
    if key == "input" and isinstance(value, list):  # as typed: [a.jsonl,b.jsonl]
        if not all(isinstance(each, str) for each in value):
            raise ConfigError(f"{key}: give a list of names: [a.jsonl, b.jsonl]")
        value = "[" + ",".join('"' + each.replace('"', '""') + '"' for each in value) + "]"
    if isinstance(value, str) and (key in GROUPS or key == "text" or value == "???"):
        return expand(f"{key}={value}")
    if key not in known_keys():
        raise _unknown_key(key)
    return [f"{key}={render(value)}"]
