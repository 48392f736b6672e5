"""A run directory: which config it belongs to, and what that config is.

Owns `config.yaml`, the frozen config: the truth about what is being made. A directory that was made with another config
is refused, with the difference shown. Knows nothing of plans or shards.

Runs of earlier versions go on. A key that their config lacks has its default, a key with another name by now is read
under the old one, and the fingerprint, which is in the manifests of all their shards, is the one that they had.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline.config.checks import load_yaml
from pipeline.config.compose import config_from
from pipeline.config.schema import RENAMED_KEYS, Config, ModelConfig
from pipeline.config.schema_executor import EXECUTOR_AUTO, EXECUTOR_REGISTRY
from pipeline.config.schema_output import OUTPUT_KEYS
from pipeline.errors import ConfigError, RunDirectoryError
from pipeline.seeds import content_digest
from pipeline.storage.atomic import write_text
from pipeline.storage.paths import place, read_regular_text, reason_of
from pipeline.storage.run_directory import FORMAT_VERSION

CONFIG_NAME = "config.yaml"
STANDARD_INPUT = ("-", "/dev/stdin")
_MAX_NAME_BYTES = 150  # of a run's directory; file systems take 255, and some files are named after it
_MAX_CONFIG_BYTES = 1 << 22

# Keys that say where, when or in what wrapping, and not what the clips are: they may change from call to call.
NON_IDENTITY_KEYS = OUTPUT_KEYS | frozenset(
    {
        "name",
        "output_dir",
        "run",
        "dry_run",
        "left_out",
        "deep",
        "deep_clips",
        "job_index",
        "num_jobs",
        "task.name",
        "task.text",
        "task.voices",
        "source.title",
        "source.author",
        "source.max_inflated_mb",
        "engine.device",
        "engine.slots",  # clips do not depend on how many are made at once
        "model.name",  # model.revision says which weights they are
        "model.path",
        "model.description_tokenizer",  # its revision says which it is
        "dataset.license",
        "dataset.name",
    }
)
NON_IDENTITY_GROUPS = ("book.", "executor.")
# Defaults that have changed since, as they were when the first runs were made. In a frozen config a missing key still
# means these, and a fingerprint still leaves these out. Add a key here when its default changes; never edit an entry.
_FROZEN_DEFAULTS: Mapping[str, Any] = {
    "text.max_seconds": 15.0,
    "model.name": "untrained",
    "model.speakers": [],
    "model.max_seconds": 30.0,
    "checks.takes": 3,
}
_COMMIT = re.compile(r"[0-9a-f]{40}")

# What `config.yaml` says beside the config itself.
_FORMAT, _INPUT_DIGEST = "format_version", "input_digest"

# The first format, which had no number, hashed all keys that were not among these, `input` included. Never change it.
_FREE_KEYS_OF_FORMAT_1 = frozenset(
    {
        "name",
        "output_dir",
        "run",
        "dry_run",
        "shard_index",
        "num_shards",
        "task.name",
        "task.text",
        "source.title",
        "source.author",
        "engine.device",
        "engine.slots",
        "model.name",
        "model.path",
        "dataset.license",
        "dataset.name",
    }
)
_FREE_GROUPS_OF_FORMAT_1 = ("book.", "executor.")


def run_directory(config: Config) -> Path:
    """Where the run lies: `<output_dir>/<name>`, the name made of input and model unless it was given."""
    name = config.name or f"{_stem(config.input)}-{config.model.name}"
    if name != Path(name).name or name in ("", ".", "..") or not name.isprintable():
        raise ConfigError(f"name={name}: give a plain name; output_dir=... chooses the folder it lies in")
    if len(name.encode()) > _MAX_NAME_BYTES:
        raise ConfigError(f"name={name[:40]}...: has more than {_MAX_NAME_BYTES} bytes; give a shorter name=...")
    return place(config.output_dir) / name


def fingerprint(config: Config) -> str:
    """Hash of everything in the config that decides what the clips are.

    Defaults are left out, so that keys that come later change nothing. The path of the input is left out as well: its
    content is in the plan.
    """
    first_names = {new: old for old, new in RENAMED_KEYS.items()}
    values = dict(_flatten(_without_defaults(config)))
    content = sorted(
        (first_names.get(key, key), repr(value))
        for key, value in values.items()
        if _is_identity(key) and key != "input"
    )
    return content_digest(*(part for pair in content for part in pair), size=16).hex()


def run_fingerprint(run_dir: Path, config: Config) -> str:
    """The fingerprint of a run: that of its config, in the way of the version that it was begun with."""
    path = run_dir / CONFIG_NAME
    if path.exists() and _FORMAT not in (values := _read(path)):
        content = sorted(
            (key, repr(value))
            for key, value in _flatten(values)
            if key not in _FREE_KEYS_OF_FORMAT_1
            and not key.startswith(_FREE_GROUPS_OF_FORMAT_1)
            and key != _INPUT_DIGEST
        )
        return content_digest(*(part for pair in content for part in pair), size=16).hex()
    return fingerprint(config)


def refuse_foreign(run_dir: Path) -> None:
    """Makes sure that a folder is new, or a run, before anything is written to it.

    Raises:
        RunDirectoryError: It is something else, or cannot be read.
    """
    try:
        if (run_dir / CONFIG_NAME).exists() or not run_dir.is_dir():
            return
        is_foreign = any(not entry.name.startswith(".") for entry in run_dir.iterdir())
    except OSError as error:
        raise RunDirectoryError(
            f"{run_dir}: cannot be read ({error.strerror}); give name=... or output_dir=..."
        ) from error
    if is_foreign:
        raise RunDirectoryError(f"{run_dir}: is there already, and is not a run (no {CONFIG_NAME}); give name=...")


def is_run(folder: Path) -> bool:
    """Return whether a run was begun in a folder."""
    return (folder / CONFIG_NAME).exists()


def check_config(run_dir: Path, config: Config, input_digest: str = "", unknown_keys: Collection[str] = ()) -> None:
    """Makes sure that the directory is new, or that its `config.yaml` asks for the same clips.

    Args:
        run_dir: Directory of the run.
        config: What is asked for now.
        input_digest: Of the content of its input; "": not known.
        unknown_keys: Keys that cannot be compared, as their value is not known yet.

    Raises:
        RunDirectoryError: The directory was made with another config, is something else, or cannot be written.
    """
    refuse_foreign(run_dir)
    path = run_dir / CONFIG_NAME
    if not path.exists():
        return
    old, new = (dict(_flatten(dataclasses.asdict(each))) for each in (frozen_config(run_dir), config))
    differing = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key) and _is_identity(key)]
    if _is_same_input(_read(path), config, input_digest):
        differing = [key for key in differing if key != "input"]
    differing = [key for key in differing if key not in unknown_keys]
    if differing:
        lines = "\n".join(f"  {key}: {old.get(key)!r} there, {new.get(key)!r} now" for key in differing)
        raise RunDirectoryError(
            f"{run_dir}: was made with another config; the difference is\n{lines}\n"
            "give name=... for a new run, or the old values to go on with this one"
        )


def freeze_config(run_dir: Path, config: Config, input_digest: str = "") -> None:
    """Writes `config.yaml`, once `check_config` has found nothing against it.

    The file of an earlier version keeps its keys, and its input, of which the fingerprint is made.
    """
    path = run_dir / CONFIG_NAME
    values: dict[str, Any] = dataclasses.asdict(config)
    if path.exists() and _FORMAT not in (frozen := _read(path)):
        values = _with_keys_of(values, frozen) | {"input": frozen.get("input", config.input)}
    else:
        values = {_FORMAT: FORMAT_VERSION, **values}
    if input_digest:
        values[_INPUT_DIGEST] = input_digest
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def frozen_config(run_dir: Path) -> Config:
    """The config that a run was made with. Nothing in it is looked up or interpolated.

    Raises:
        RunDirectoryError: There is none, or it cannot be read.
    """
    path = run_dir / CONFIG_NAME
    values = {key: value for key, value in _read(path).items() if key not in (_FORMAT, _INPUT_DIGEST)}
    executor = values.get("executor")
    if isinstance(executor, dict) and executor.get("kind") not in EXECUTOR_REGISTRY:
        executor["kind"] = EXECUTOR_AUTO  # clips do not depend on it, and its distribution may be uninstalled
    try:
        return config_from(_with_frozen_defaults(values))
    except ConfigError as error:
        raise RunDirectoryError(f"{path}: {error}") from error


def recorded_input_digest(run_dir: Path) -> str:
    """Return the hash of the input's content that a run was made of; "": it is not known."""
    return str(_read(run_dir / CONFIG_NAME).get(_INPUT_DIGEST, ""))


def is_of_first_format(run_dir: Path) -> bool:
    """Whether a run was begun by the first version, whose config has no number of a format."""
    return _FORMAT not in _read(run_dir / CONFIG_NAME)


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


def _is_same_input(frozen: Mapping[str, Any], config: Config, input_digest: str) -> bool:
    """Whether an input under another path is the one that the run was made of: a run may move with its input.

    Earlier versions did not note its content. Theirs may be another folder's file of the same name; what is different
    in it is then planned anew, as if the file had been edited.
    """
    if _INPUT_DIGEST in frozen:
        return bool(input_digest) and frozen[_INPUT_DIGEST] == input_digest
    return Path(str(frozen.get("input"))).name == Path(config.input).name


def _stem(source: str) -> str:
    """A name for a run, made of its input: that of the file, of the first of a list, or of a glob's folder."""
    if source in STANDARD_INPUT:
        return "stdin"
    path = Path(source.strip("[]").split(",")[0])
    named = next((part for part in (path.stem, *(p.name for p in path.parents)) if part and "*" not in part), "")
    plain = re.sub(r"[^\w.-]+", "-", named).encode()[: _MAX_NAME_BYTES // 2].decode(errors="ignore")
    return plain.strip("-.") or "run"


def _read(path: Path) -> dict[str, Any]:
    try:
        content = load_yaml(read_regular_text(path, _MAX_CONFIG_BYTES))
    except (OSError, ValueError) as error:
        reason = reason_of(error)
        raise RunDirectoryError(f"{path}: cannot be read ({reason}); give name=... for a new run") from error
    if not isinstance(content, dict):
        raise RunDirectoryError(f"{path}: is not a frozen config; give name=... for a new run")
    version = content.get(_FORMAT, 1)
    if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
        raise RunDirectoryError(
            f"{path}: has format {version!r}, and this version reads 1 to {FORMAT_VERSION}: use the one that made it"
        )
    return content


def _is_identity(key: str) -> bool:
    """Whether a key may not change."""
    return key not in NON_IDENTITY_KEYS and not key.startswith(NON_IDENTITY_GROUPS)


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _without_defaults(schema: Any, prefix: str = "") -> dict[str, Any]:
    """Return a config as plain values, without those that have their (first) default; in lists of groups too."""
    default = type(schema)()
    values: dict[str, Any] = {}
    for field in dataclasses.fields(schema):
        value, key = getattr(schema, field.name), prefix + field.name
        if dataclasses.is_dataclass(value):
            values[field.name] = _without_defaults(value, f"{key}.")
        elif value != _FROZEN_DEFAULTS.get(key, getattr(default, field.name)):
            is_list = isinstance(value, list)
            values[field.name] = [_plain(entry) for entry in value] if is_list else value
    return values


def _plain(value: Any) -> Any:
    return _without_defaults(value) if dataclasses.is_dataclass(value) else value


def _with_frozen_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return frozen values with those of `_FROZEN_DEFAULTS` whose key they lack."""
    filled = dict(values)
    for key, default in _FROZEN_DEFAULTS.items():
        group, _, name = key.partition(".")
        given = filled.get(group, {})
        if isinstance(given, Mapping):
            filled[group] = {name: default, **given}
    return filled


def _with_keys_of(values: Mapping[str, Any], frozen: Mapping[str, Any]) -> dict[str, Any]:
    """The values of those keys alone that another tree has."""
    return {
        key: _with_keys_of(value, frozen[key])
        if isinstance(value, Mapping) and isinstance(frozen[key], Mapping)
        else value
        for key, value in values.items()
        if key in frozen
    }
