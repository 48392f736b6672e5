"""From the command line to a `Config`: Hydra's composition, with errors that say what there is.

Owns which of the command line, config files and groups wins, and the words of every complaint. Hydra's own objects do
not leave this module; `overrides` says what an argument means.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, cast

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.config import schema
from pipeline.config.config_file import is_config_path, read_config_file
from pipeline.config.hydra_values import escape_interpolation
from pipeline.config.overrides import CONFIG_DIR as CONFIG_DIR
from pipeline.config.overrides import GROUPS as GROUPS
from pipeline.config.overrides import expand, expand_setting, known_keys, plain_override
from pipeline.config.overrides import group_options as group_options
from pipeline.config.schema import RENAMED_KEYS, Config
from pipeline.errors import ConfigError, PipelineError, nearest_first

# What may stand beside a task that works on an existing run, whose own config holds.
_OF_A_RUN = {
    "status": ("task", "run", "json"),
    "verify": ("task", "run", "json", "deep", "deep_clips", "engine.device", "engine.slots"),
    "retry_rejects": ("task", "run", "executor", "executor.*", "engine.device", "engine.slots"),
}


# What a choice of a group decides: `voice=jon` on the command line replaces these keys of a config file, and no others.
_DECIDED_BY_CHOICE = {
    "task": ("task", "task.name"),
    "model": ("model", "model.*"),
    "voice": ("voice", "voice.speaker", "voice.speakers", "voice.description", "voice.styles"),
    "engine": (
        *("engine", "engine.backend", "engine.dtype", "engine.attention", "engine.compile", "engine.cache"),
        "engine.batch_size",
    ),
    "executor": ("executor", "executor.kind", "executor.devices", "executor.address", "executor.workers"),
}


@dataclasses.dataclass(frozen=True)
class _Layer:
    """Settings of one origin: the command line, or a config file."""

    origin: str  # "" for the command line, else the name of the file
    overrides: Mapping[str, Sequence[str]]  # in Hydra's grammar, by the key that asks for them
    shown: Mapping[str, str]  # each setting as it was given, by its key

    def __contains__(self, key: str) -> bool:
        return any(key == own or key.startswith(f"{own}.") or own.startswith(f"{key}.") for own in self.overrides)


def compose_config(arguments: Sequence[str], config_files: Sequence[str] = ()) -> Config:
    """Composes the config that the overrides ask for.

    The command line wins over the files, a later file over an earlier one, and each of them over the groups.

    Args:
        arguments: As typed, each `key=value`. `experiment=./my.yaml` names one more config file.
        config_files: Names of config files.

    Raises:
        ConfigError: A misspelt key, a wrong type, an impossible value, an unknown choice of a group.
    """
    named = [argument for argument in arguments if _names_a_file(argument)]
    files = [*config_files, *(argument.partition("=")[2] for argument in named)]
    layers = [_file_layer(name) for name in files] + [_typed_layer([a for a in arguments if a not in named])]
    _register()
    try:
        with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            composed = compose("config", _merge(layers))
        chosen = cast(Config, OmegaConf.to_object(composed))
    except PipelineError as error:
        raise _located(str(error), layers) from error
    except (HydraException, OmegaConfBaseException) as error:
        shown = {key: value for layer in layers for key, value in layer.shown.items()}
        raise _located(_explain(error, shown), layers) from error
    for layer in layers:
        _refuse_unused(chosen.task.name, layer)
    if chosen.task.voices and chosen.task.name != "preview":
        raise ConfigError(
            f"voice=[{','.join(chosen.task.voices)}]: several voices side by side are for task=preview; to draw one "
            "for each utterance give voice.speakers=[{speaker:NAME},{speaker:NAME}]"
        )
    return chosen


def _names_a_file(argument: str) -> bool:
    key, _, value = argument.lstrip("+").partition("=")
    return key == "experiment" and is_config_path(value)


def _typed_layer(arguments: Sequence[str]) -> _Layer:
    overrides: dict[str, Sequence[str]] = {}
    shown = {}
    for argument in arguments:
        key, _, value = plain_override(argument).partition("=")
        if key in RENAMED_KEYS:
            raise ConfigError(f"{argument}: {key} has been renamed; give {RENAMED_KEYS[key]}={value}")
        overrides[key] = [*overrides.get(key, ()), *expand(f"{key}={value}")]
        shown[key] = value
    return _Layer("", overrides, shown)


def _file_layer(name: str) -> _Layer:
    overrides, shown = {}, {}
    for given, value in read_config_file(name).items():
        key = RENAMED_KEYS.get(given, given)
        if value is None and any(known.startswith(f"{key}.") for known in known_keys()):
            continue  # a section whose lines are all comments
        try:
            overrides[key] = expand_setting(key, value)
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from error
        shown[key] = value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True).split("\n")[0]
    return _Layer(name, overrides, shown)


def _merge(layers: Sequence[_Layer]) -> list[str]:
    """The overrides of all layers, without those that a later layer replaces."""
    merged: dict[str, Sequence[str]] = {}
    for layer in layers:
        replaced = [*layer.overrides, *(key for group in layer.overrides for key in _DECIDED_BY_CHOICE.get(group, ()))]
        merged = {key: each for key, each in merged.items() if not any(fnmatchcase(key, old) for old in replaced)}
        merged |= layer.overrides
    return [override for overrides in merged.values() for override in overrides]


def _located(message: str, layers: Sequence[_Layer]) -> ConfigError:
    """The error with the name of the config file that its key stands in, if it does."""
    named = re.match(r"[\w.]+", message)
    word = named[0] if named else ""
    holders = [layer for layer in layers if word in layer]
    holders = holders or [
        layer for layer in layers if any(word in value for value in layer.shown.values())
    ]  # in a list
    origin = holders[-1].origin if word and holders else ""
    return ConfigError(f"{origin}: {message}" if origin else message)


def _refuse_unused(task: str, layer: _Layer) -> None:
    """A setting that a run's own config overrules must not look as if it held."""
    for key in layer.overrides if task in _OF_A_RUN else ():
        if not any(fnmatchcase(key, pattern) for pattern in (*_OF_A_RUN[task], "task.*")):
            allowed = ", ".join(_OF_A_RUN[task][1:])
            where = f"{layer.origin}: " if layer.origin else ""
            raise ConfigError(
                f"{where}{key}={layer.shown[key]}: task={task} works with the run's own config, and takes only "
                f"{allowed}; for another setting make another run with it (name=...)"
            )


def config_from(values: Mapping[str, Any]) -> Config:
    """The config of plain values, as they were frozen.

    Raises:
        ConfigError: They are not of this version, or not good.
    """
    try:
        plain = {key: escape_interpolation(value) for key, value in _renamed(values).items()}
        return cast(Config, OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), plain)))
    except OmegaConfBaseException as error:
        raise ConfigError(_explain(error, {})) from error


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


@lru_cache(maxsize=1)
def _register() -> None:
    """Makes the schema known to Hydra."""
    ConfigStore.instance().store("schema", Config)


def _explain(error: Exception, given: Mapping[str, str]) -> str:
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
        known = [field.name for field in dataclasses.fields(getattr(schema, unknown[2]))]
        return f"{key}: there is no such key; nearest are {', '.join(nearest_first(unknown[1], known, limit=4))}"
    value = given.get(key, "")
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
