"""A run directory: which config it belongs to, and what that config is.

Owns `config.yaml`, the frozen config: the truth about what is being made. A directory that was made with another config
is refused, with the difference shown. Knows nothing of plans or shards.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline.composition import config_from
from pipeline.config import Config, ModelConfig
from pipeline.dataset.files import write_text
from pipeline.errors import ConfigError, RunDirectoryError
from pipeline.places import place
from pipeline.seeds import content_digest

CONFIG_NAME = "config.yaml"

# Keys that say where, when or in what wrapping, and not what the clips are: they may change from call to call.
FREE_KEYS = frozenset(
    {
        "name",
        "output_dir",
        "run",
        "dry_run",
        "left_out",
        "shard_index",
        "num_shards",
        "task.name",
        "task.text",
        "task.voices",
        "source.title",
        "source.author",
        "engine.device",
        "engine.slots",  # clips do not depend on how many are made at once
        "model.name",  # model.revision says which weights they are
        "model.path",
        "model.description_tokenizer",  # its revision says which it is
        "dataset.license",
        "dataset.name",
    }
)
FREE_GROUPS = ("book.", "executor.")
# Keys that are younger than some runs: null says no more than that there is no such key.
ADDED_KEYS = frozenset({"model.description_tokenizer_revision"})
_COMMIT = re.compile(r"[0-9a-f]{40}")


def run_directory(config: Config) -> Path:
    """Where the run lies: `<output_dir>/<name>`, the name made of input and model unless it was given."""
    name = config.name or f"{_stem(config.input)}-{config.model.name}"
    if name != Path(name).name or name in ("", ".", ".."):
        raise ConfigError(f"name={name}: give a plain name; output_dir=... chooses the folder it lies in")
    return place(config.output_dir) / name


def fingerprint(config: Config) -> str:
    """Hash of everything in the config that decides what the clips are."""
    content = sorted((key, repr(value)) for key, value in _binding(dataclasses.asdict(config)).items())
    return content_digest(*(part for pair in content for part in pair), size=16).hex()


def check_config(run_dir: Path, config: Config) -> None:
    """Makes sure that the directory is new, or that its `config.yaml` asks for the same clips.

    Raises:
        RunDirectoryError: The directory was made with another config, is something else, or cannot be written.
    """
    path = run_dir / CONFIG_NAME
    if path.exists():
        differences = _differences(_binding(_read(path)), _binding(dataclasses.asdict(config)))
        if differences:
            lines = "\n".join(f"  {line}" for line in differences)
            raise RunDirectoryError(
                f"{run_dir}: was made with another config; the difference is\n{lines}\n"
                "give name=... for a new run, or the old values to go on with this one"
            )
    elif run_dir.is_dir() and any(entry for entry in run_dir.iterdir() if not entry.name.startswith(".")):
        raise RunDirectoryError(f"{run_dir}: is there already, and is not a run (no {CONFIG_NAME}); give name=...")


def freeze_config(run_dir: Path, config: Config) -> None:
    """Writes `config.yaml`, once `check_config` has found nothing against it."""
    path = run_dir / CONFIG_NAME
    text = yaml.safe_dump(dataclasses.asdict(config), sort_keys=False, allow_unicode=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def frozen_config(run_dir: Path) -> Config:
    """The config that a run was made with.

    Raises:
        RunDirectoryError: There is none, or it cannot be read.
    """
    path = run_dir / CONFIG_NAME
    try:
        return config_from(_read(path))
    except ConfigError as error:
        raise RunDirectoryError(f"{path}: {error}") from error


def recorded_revisions(run_dir: Path, model: ModelConfig) -> ModelConfig:
    """Return the model at the commits that the run was made with, where the user names no revision.

    The hub's branches may have moved since. A repository that the run was not made with is left as it is.
    """
    path = run_dir / CONFIG_NAME
    recorded = (_read(path).get("model") if path.exists() else None) or {}
    if not model.path or recorded.get("path") != model.path:
        return model
    keys = ["revision"]
    if recorded.get("description_tokenizer") == model.description_tokenizer:
        keys.append("description_tokenizer_revision")
    commits = {
        key: recorded[key] for key in keys if getattr(model, key) is None and _COMMIT.fullmatch(str(recorded.get(key)))
    }
    return dataclasses.replace(model, **commits)


def _stem(source: str) -> str:
    return re.sub(r"[^\w.-]+", "-", Path(source).stem).strip("-.") or "run"


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RunDirectoryError(f"{path}: cannot be read ({error}); give name=... for a new run") from error
    if not isinstance(content, dict):
        raise RunDirectoryError(f"{path}: is not a frozen config; give name=... for a new run")
    return content


def _binding(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that may not change, dotted."""
    return {
        key: value
        for key, value in _flatten(config)
        if key not in FREE_KEYS and not key.startswith(FREE_GROUPS) and not (key in ADDED_KEYS and value is None)
    }


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    missing = object()
    return [
        f"{key}: {_show(old.get(key, missing), missing)} there, {_show(new.get(key, missing), missing)} now"
        for key in sorted({*old, *new})
        if old.get(key, missing) != new.get(key, missing)
    ]


def _show(value: object, missing: object) -> str:
    return "nothing" if value is missing else repr(value)
