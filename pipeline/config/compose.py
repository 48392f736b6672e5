"""Composition of a `Config` from the command line and config files, with Hydra.

This module decides which origin of a setting takes precedence, and rewrites the errors of Hydra and OmegaConf. Their
objects do not leave it. `overrides` translates single arguments.
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

# Keys that are allowed with a task on an existing run; all other settings are those of the run.
_OF_A_RUN = {
    "status": ("task", "run", "json"),
    "verify": ("task", "run", "json", "deep", "deep_clips", "engine.device", "engine.slots"),
    "retry_rejects": ("task", "run", "executor", "executor.*", "engine.device", "engine.slots"),
}

# Keys of a config file that a choice on the command line replaces, e.g. `voice=jon`.
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
    overrides: Mapping[str, Sequence[str]]  # overrides for Hydra, by the key of the setting
    shown: Mapping[str, str]  # values as given, by key; for messages

    def __contains__(self, key: str) -> bool:
        return any(key == own or key.startswith(f"{own}.") or own.startswith(f"{key}.") for own in self.overrides)


def compose_config(arguments: Sequence[str], config_files: Sequence[str] = ()) -> Config:
    """Compose the config of a command.

    The command line takes precedence over config files, a later file over an earlier one, and all over the groups.

    Args:
        arguments: Settings as typed, `key=value`. `experiment=./my.yaml` is one more config file.
        config_files: Paths of config files.

    Raises:
        ConfigError: An unknown key or choice, a wrong type, or a value that is not allowed.
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
            f"voice=[{','.join(chosen.task.voices)}]: a list of voices is for task=preview; to sample a speaker for "
            "each utterance, give voice.speakers=[{speaker:NAME},{speaker:NAME}]"
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
            continue  # a section that contains only comments
        try:
            overrides[key] = expand_setting(key, value)
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from error
        shown[key] = value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True).split("\n")[0]
    return _Layer(name, overrides, shown)


def _merge(layers: Sequence[_Layer]) -> list[str]:
    """Return the overrides of all layers, without those that a later layer replaces."""
    merged: dict[str, Sequence[str]] = {}
    for layer in layers:
        replaced = [*layer.overrides, *(key for group in layer.overrides for key in _DECIDED_BY_CHOICE.get(group, ()))]
        merged = {key: each for key, each in merged.items() if not any(fnmatchcase(key, old) for old in replaced)}
        merged |= layer.overrides
    return [override for overrides in merged.values() for override in overrides]


def _located(message: str, layers: Sequence[_Layer]) -> ConfigError:
    """Return an error that names the config file which contains the key, if there is one."""
    named = re.match(r"[\w.]+", message)
    word = named[0] if named else ""
    holders = [layer for layer in layers if word in layer]
    if not holders:  # the key is inside a list
        holders = [layer for layer in layers if any(word in value for value in layer.shown.values())]
    origin = holders[-1].origin if word and holders else ""
    return ConfigError(f"{origin}: {message}" if origin else message)


def _refuse_unused(task: str, layer: _Layer) -> None:
    """Refuse settings that would have no effect, because the task uses the config of an existing run."""
    for key in layer.overrides if task in _OF_A_RUN else ():
        if not any(fnmatchcase(key, pattern) for pattern in (*_OF_A_RUN[task], "task.*")):
            allowed = ", ".join(_OF_A_RUN[task][1:])
            where = f"{layer.origin}: " if layer.origin else ""
            raise ConfigError(
                f"{where}{key}={layer.shown[key]}: has no effect, since task={task} uses the config of the run; only "
                f"{allowed} are allowed. For other settings start a new run (name=...)"
            )


def config_from(values: Mapping[str, Any]) -> Config:
    """Return the config of plain values, e.g. of a frozen config.

    Raises:
        ConfigError: A key is unknown, or a value is not allowed.
    """
    try:
        plain = {key: escape_interpolation(value) for key, value in _renamed(values).items()}
        return cast(Config, OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), plain)))
    except OmegaConfBaseException as error:
        raise ConfigError(_explain(error, {})) from error


def _renamed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain values with the present names of renamed keys."""
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
    """Register the schema with Hydra."""
    ConfigStore.instance().store("schema", Config)


def _explain(error: Exception, given: Mapping[str, str]) -> str:
    """Return the error of Hydra or OmegaConf as one line with key, value and fix."""
    chain: list[BaseException] = [error]
    # With a tracer, some errors are their own cause.
    while (cause := chain[-1].__cause__) is not None and cause not in chain:
        chain.append(cause)
    # The first error with a key has the final message of OmegaConf; its causes contain placeholders.
    inner = next((link for link in chain if getattr(link, "full_key", None)), chain[-1])
    message = str(inner).strip().splitlines()[0]
    key = str(getattr(inner, "full_key", None) or "")
    unknown = re.match(r"Key '(.+?)' not in '(.+?)'", message)
    if unknown:
        known = [field.name for field in dataclasses.fields(getattr(schema, unknown[2]))]
        return f"{key}: no such key; the nearest are {', '.join(nearest_first(unknown[1], known, limit=4))}"
    fix = next((fix for phrase, fix in _FIXES.items() if phrase in message), message)
    return f"{key}={given[key]}: {fix}" if key in given else f"{key}: {fix}" if key else message


_FIXES = {
    "could not be converted to Integer": "give a whole number",
    "could not be converted to Float": "give a number",
    "is not a valid bool": "give true or false",
    "is not a ListConfig": "give a list, e.g. [1,2] or [a,b]",
    "Cannot convert": "give a single value",
    "is not a subclass of SpeakerChoice": "give a list like [{speaker:Jon},{speaker:Lea}]",
}
