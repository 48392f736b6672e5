"""From the command line to a `Config`: Hydra's composition, with errors that say what there is.

Owns the groups that are found by name (`model=`, `voice=` ...), what may stand in their place (a folder, a hub id, a
description), and the words of every complaint. Hydra's own objects do not leave this module.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from types import NoneType
from typing import Any, cast, get_type_hints

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline import config
from pipeline.config import RENAMED_KEYS, Config
from pipeline.config.checks import is_description
from pipeline.errors import ConfigError, PipelineError, nearest_first
from pipeline.storage.paths import local_folder

CONFIG_DIR = Path(__file__).resolve().parent.parent / "configs"
GROUPS = ("task", "model", "voice", "engine", "executor", "experiment")

# What may stand beside a task that works on an existing run, whose own config holds.
_OF_A_RUN = {
    "status": ("task", "run", "json"),
    "verify": ("task", "run", "json", "deep", "deep_clips", "engine.device", "engine.slots"),
    "retry_rejects": ("task", "run", "executor", "executor.*", "engine.device", "engine.slots"),
}


def compose_config(arguments: Sequence[str]) -> Config:
    """Composes the config that the overrides ask for.

    Args:
        arguments: As typed, each `key=value`.

    Raises:
        ConfigError: A misspelt key, a wrong type, an impossible value, an unknown choice of a group.
    """
    overrides = [override for argument in arguments for override in _expand(argument)]
    _register()
    try:
        with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            composed = compose("config", overrides)
        chosen = cast(Config, OmegaConf.to_object(composed))
    except PipelineError:
        raise
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_explain(error, arguments)) from error
    _refuse_unused(chosen.task.name, arguments)
    if chosen.task.voices and chosen.task.name != "preview":
        raise ConfigError(
            f"voice=[{','.join(chosen.task.voices)}]: several voices side by side are for task=preview; to draw one "
            "for each utterance give voice.speakers=[{speaker:NAME},{speaker:NAME}]"
        )
    return chosen


def _refuse_unused(task: str, arguments: Sequence[str]) -> None:
    """A setting that a run's own config overrules must not look as if it held."""
    for argument in arguments if task in _OF_A_RUN else ():
        key = argument.partition("=")[0]
        if not any(fnmatchcase(key, pattern) for pattern in (*_OF_A_RUN[task], "task.*")):
            allowed = ", ".join(_OF_A_RUN[task][1:])
            raise ConfigError(
                f"{argument}: task={task} works with the run's own config, and takes only {allowed}; for another "
                "setting make another run with it (name=...)"
            )


def config_from(values: Mapping[str, Any]) -> Config:
    """The config of plain values, as they were frozen.

    Raises:
        ConfigError: They are not of this version, or not good.
    """
    try:
        plain = {key: _literal(value) for key, value in _renamed(values).items()}
        return cast(Config, OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), plain)))
    except OmegaConfBaseException as error:
        raise ConfigError(_explain(error, ())) from error


def _renamed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values with today's names of their keys."""
    renamed = {key: dict(value) if isinstance(value, Mapping) else value for key, value in values.items()}
    for old, new in RENAMED_KEYS.items():
        (*old_group, old_name), (*new_group, new_name) = old.split("."), new.split(".")
        source = renamed.get(old_group[0], {}) if old_group else renamed
        if isinstance(source, dict) and old_name in source:
            target = renamed.setdefault(new_group[0], {}) if new_group else renamed
            target[new_name] = source.pop(old_name)
    return renamed


def _literal(value: Any) -> Any:
    """The value with escapes, so that OmegaConf looks up nothing: `${oc.env:HOME}` is text."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    if isinstance(value, Mapping):
        return {key: _literal(each) for key, each in value.items()}
    return [_literal(each) for each in value] if isinstance(value, list) else value


def group_options(group: str) -> list[str]:
    """Names that can stand behind `group=`."""
    return sorted(path.stem for path in (CONFIG_DIR / group).glob("*.yaml"))


@lru_cache(maxsize=1)
def _register() -> None:
    """Makes the schema known to Hydra."""
    ConfigStore.instance().store("schema", Config)


@lru_cache(maxsize=1)
def _published() -> Mapping[str, tuple[str, str]]:
    """Return the model group and the id of each published repository, by the id in lower case."""
    files = (CONFIG_DIR / "model").glob("*.yaml")
    paths = {file.stem: (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get("path") for file in files}
    return {path.lower(): (group, path) for group, path in paths.items() if path}


@lru_cache(maxsize=1)
def _known_keys() -> Mapping[str, Any]:
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


def _expand(argument: str) -> list[str]:
    """Turns one argument into overrides that Hydra takes, or says what is wrong with it."""
    if (shown := argument.encode("utf-8", "backslashreplace").decode()) != argument:
        # The card, the frozen config and the list of files would have to name it.
        raise ConfigError(f"{shown}: is not UTF-8; rename the file or folder")
    key, equals, value = argument.partition("=")
    if not equals:
        raise ConfigError(f"{argument}: arguments are of the form key=value; --help shows some")
    if value == "???":  # to OmegaConf a value that is missing
        raise ConfigError(f"{argument}: is no value; write another")
    key = RENAMED_KEYS.get(key, key)
    argument = f"{key}={value}"
    if key in GROUPS:
        return _choose(key, value)
    if key == "text":  # short, since it is typed by hand; text.max_seconds and its like are another matter
        return [f"task.text={_quote(value)}"]
    if key not in _known_keys():
        near = nearest_first(key, [*GROUPS, *_known_keys()], limit=4)
        raise ConfigError(f"{key}: there is no such key; nearest are {', '.join(near)}")
    return [f"{key}={_as_hydra_value(argument, value, is_text=_known_keys()[key] in (str, str | None))}"]


def _choose(group: str, choice: str) -> list[str]:
    """A choice of a group, or what may stand in its place."""
    if group == "voice":
        return _choose_voice(choice)
    options = group_options(group)
    if choice in options or (group == "experiment" and choice == "null"):
        return [f"{group}={choice}"]
    at_revision = re.fullmatch(r"(\w[\w.-]*(?:/[\w.-]+)?)@(.+)", choice)  # mini@refs/pr/9, owner/name@v1.0
    if group == "model" and at_revision and not local_folder(choice):
        return [*_choose(group, at_revision[1]), f"model.revision={_quote(at_revision[2])}"]
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
        return [f"model={group}", f"model.name={_quote(Path(path).name)}"]
    name = Path(choice).name.replace(" ", "-")
    return ["model=checkpoint", f"model.path={_quote(choice)}", f"model.name={_quote(name)}"]


def _choose_voice(choice: str) -> list[str]:
    """A name, which the checkpoint's catalogue judges later; a description; a list of them; or a file of the group."""
    words = choice.strip()
    if not words:
        raise ConfigError(
            'voice=: give a name, or describe a voice: voice="A calm female voice, very close and clear."'
        )
    if words.startswith("["):
        return [f"task.voices=[{','.join(map(_quote, _voice_list(choice)))}]"]
    if words.lower() in group_options("voice"):
        return [f"voice={words.lower()}"]
    if is_description(words):
        return ["voice=described", f"voice.description={_quote(choice)}"]
    return ["voice=auto", f"voice.speaker={_quote(words)}"]


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


def _as_hydra_value(argument: str, value: str, is_text: bool) -> str:
    """The value as it is where Hydra's grammar reads it whole, else quoted: file names hold all sorts of characters.

    So do they hold digits: to Hydra `2024_05_01` is a number, and `1.10` is 1.1.
    """
    if "${" in value and not is_text:
        raise ConfigError(f"{argument}: nothing is looked up in ${{...}}; write the value itself")
    if "${" in value:
        return _quote(value)
    try:
        parsed = OverridesParser.create().parse_override(argument)
    except HydraException:
        return _quote(value)
    is_misread = is_text and not isinstance(parsed.value(), (str, NoneType))
    return _quote(value) if is_misread or parsed.is_sweep_override() else value


def _quote(value: str) -> str:
    value = _literal(value)
    return "'" + re.sub(r"(\\*)'", r"\1\1\\'", re.sub(r"(\\+)$", r"\1\1", value)) + "'"


def _explain(error: Exception, arguments: Sequence[str]) -> str:
    """What Hydra or OmegaConf complain of, in one line with key, value and fix."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__) is not None and cause not in chain:  # under a tracer, some cause themselves
        chain.append(cause)
    # The first that knows its key is OmegaConf's finished message; what caused it has placeholders.
    inner = next((link for link in chain if getattr(link, "full_key", None)), chain[-1])
    message = str(inner).strip().splitlines()[0]
    key = str(getattr(inner, "full_key", None) or "")
    unknown = re.match(r"Key '(.+?)' not in '(.+?)'", message)
    if unknown:
        known = [field.name for field in dataclasses.fields(getattr(config, unknown[2]))]
        return f"{key}: there is no such key; nearest are {', '.join(nearest_first(unknown[1], known, limit=4))}"
    value = next((value for name, _, value in (a.partition("=") for a in arguments) if name == key), "")
    fix = next((fix for phrase, fix in _FIXES.items() if phrase in message), message)
    return f"{key}={value}: {fix}" if key and value else f"{key}: {fix}" if key else message


_FIXES = {
    "could not be converted to Integer": "give a whole number",
    "could not be converted to Float": "give a number",
    "is not a valid bool": "give true or false",
    "is not a ListConfig": "give a list, e.g. [1,2]",
    "Cannot convert": "give a single value",
    "is not a subclass of SpeakerChoice": "give a list like [{speaker:Jon},{speaker:Lea}]",
}
