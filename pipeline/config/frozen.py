"""The frozen config of a run: `config.yaml` in the run directory, which defines what the run makes.

A run directory that was made with another config is refused, and the error shows the difference.
Runs of earlier versions can be resumed: a key that their config lacks has the default of its first version, a renamed
key is read under its old name, and the fingerprint, which the manifests of all shards contain, does not change.
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
from pipeline.config.schema_quality import QUALITY_RUN_KEYS
from pipeline.errors import ConfigError, RunDirectoryError
from pipeline.seeds import content_digest
from pipeline.storage.atomic import write_text
from pipeline.storage.paths import read_regular_text, reason_of, resolve_path
from pipeline.storage.run_directory import CONFIG_NAME, FORMAT_VERSION, RunDirectory

STANDARD_INPUT = ("-", "/dev/stdin")
_MAX_NAME_BYTES = 150  # of the name of a run directory; file systems allow 255, and some names of files contain it
_MAX_CONFIG_BYTES = 1 << 22

# Keys that do not affect the clips: they may change when a run is resumed.
NON_IDENTITY_KEYS = OUTPUT_KEYS.union(
    QUALITY_RUN_KEYS,
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
        "engine.slots",  # clips do not depend on the number that are generated at once
        "model.name",  # model.revision identifies the weights
        "model.path",
        "model.description_tokenizer",  # its revision identifies it
        "dataset.license",
        "dataset.name",
    },
)
NON_IDENTITY_GROUPS = ("book.", "executor.")
# The first defaults of keys whose default has changed. A frozen config without the key means this value, and a
# fingerprint omits it. Add a key when its default changes, and never edit an entry.
_FROZEN_DEFAULTS: Mapping[str, Any] = {
    "text.max_seconds": 15.0,
    "model.name": "untrained",
    "model.speakers": [],
    "model.max_seconds": 30.0,
    "checks.takes": 3,
}
_COMMIT = re.compile(r"[0-9a-f]{40}")

# Keys of `config.yaml` that are not part of the config.
_FORMAT, _INPUT_DIGEST = "format_version", "input_digest"

# The first format, which had no version, hashed all keys but these; also `input`. Never change this set.
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
    """Return the directory of a run, `<output_dir>/<name>`. The default name is made of the input and the model.

    Raises:
        ConfigError: The name is not a plain name, or is too long.
    """
    name = config.name or f"{_stem(config.input)}-{config.model.name}"
    if name != Path(name).name or name in ("", ".", "..") or not name.isprintable():
        raise ConfigError(f"name={name}: give a plain name; the folder that contains it is output_dir=...")
    if len(name.encode()) > _MAX_NAME_BYTES:
        raise ConfigError(f"name={name[:40]}...: is longer than {_MAX_NAME_BYTES} bytes; give a shorter name=...")
    return resolve_path(config.output_dir) / name


def fingerprint(config: Config) -> str:
    """Return a hash of all settings that affect the clips.

    Values that are the (first) default are omitted, so that new keys do not change fingerprints. The path of the input
    is omitted because the plan contains its content.
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
    """Return the fingerprint of a run, as the version that started the run computes it."""
    path = RunDirectory(run_dir).config
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
    """Check that a folder is a run, empty, or does not exist.

    Raises:
        RunDirectoryError: It contains other files, or cannot be read.
    """
    try:
        if RunDirectory(run_dir).config.exists() or not run_dir.is_dir():
            return
        is_foreign = any(not entry.name.startswith(".") for entry in run_dir.iterdir())
    except OSError as error:
        raise RunDirectoryError(
            f"{run_dir}: cannot be read ({error.strerror}); give name=... or output_dir=..."
        ) from error
    if is_foreign:
        raise RunDirectoryError(f"{run_dir}: is not a run directory (it has no {CONFIG_NAME}); give another name=...")


def is_run(folder: Path) -> bool:
    """Return whether a folder is a run directory."""
    return RunDirectory(folder).config.exists()


def check_config(run_dir: Path, config: Config, input_digest: str = "", unknown_keys: Collection[str] = ()) -> None:
    """Check that a directory is new, or that its frozen config means the same clips.

    Args:
        run_dir: Directory of the run.
        config: Config of this command.
        input_digest: Hash of the content of the input; "": not known.
        unknown_keys: Keys that are not compared, because their value is not known yet.

    Raises:
        RunDirectoryError: The directory was made with another config, is no run, or cannot be read.
    """
    refuse_foreign(run_dir)
    path = RunDirectory(run_dir).config
    if not path.exists():
        return
    old, new = (dict(_flatten(dataclasses.asdict(each))) for each in (frozen_config(run_dir), config))
    differing = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key) and _is_identity(key)]
    if _is_same_input(_read(path), config, input_digest):
        differing = [key for key in differing if key != "input"]
    differing = [key for key in differing if key not in unknown_keys]
    if differing:
        lines = "\n".join(f"  {key}: {old.get(key)!r} in the run, {new.get(key)!r} now" for key in differing)
        raise RunDirectoryError(
            f"{run_dir}: was made with another config:\n{lines}\n"
            "give name=... for a new run, or the old values to resume this one"
        )


def freeze_config(run_dir: Path, config: Config, input_digest: str = "") -> None:
    """Write `config.yaml`; call `check_config` first.

    A file of the first format keeps its keys and its input, because its fingerprint is computed from them.
    """
    path = RunDirectory(run_dir).config
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
    """Return the config that a run was made with, without interpolation.

    Raises:
        RunDirectoryError: There is no `config.yaml`, or it cannot be read.
    """
    path = RunDirectory(run_dir).config
    values = {key: value for key, value in _read(path).items() if key not in (_FORMAT, _INPUT_DIGEST)}
    executor = values.get("executor")
    if isinstance(executor, dict) and executor.get("kind") not in EXECUTOR_REGISTRY:
        executor["kind"] = EXECUTOR_AUTO  # clips do not depend on it, and its distribution may be uninstalled
    try:
        return config_from(_with_frozen_defaults(values))
    except ConfigError as error:
        raise RunDirectoryError(f"{path}: {error}") from error


def recorded_input_digest(run_dir: Path) -> str:
    """Return the hash of the content of a run's input; "" if it was not recorded."""
    return str(_read(RunDirectory(run_dir).config).get(_INPUT_DIGEST, ""))


def is_of_first_format(run_dir: Path) -> bool:
    """Return whether the config of a run has the first format, which has no version."""
    return _FORMAT not in _read(RunDirectory(run_dir).config)


def recorded_revisions(run_dir: Path, model: ModelConfig) -> ModelConfig:
    """Return the model with the commits that the run was made with, unless the user gives a revision.

    A branch of the hub may point to another commit by now. If the run was made with another repository, the model is
    returned unchanged.
    """
    path = RunDirectory(run_dir).config
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
    """Return whether an input has the content that the run was made of; its path may differ.

    Earlier versions did not record the content. For their runs a file of the same name is accepted; if its content
    differs, it is planned again like an edited file.
    """
    if _INPUT_DIGEST in frozen:
        return bool(input_digest) and frozen[_INPUT_DIGEST] == input_digest
    return Path(str(frozen.get("input"))).name == Path(config.input).name


def _stem(source: str) -> str:
    """Return the default name of a run: the name of the input file, of the first in a list, or of a glob's folder."""
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
        raise RunDirectoryError(f"{path}: is not the config of a run; give name=... for a new run")
    version = content.get(_FORMAT, 1)
    if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
        raise RunDirectoryError(
            f"{path}: has format_version {version!r}, and this version reads 1 to {FORMAT_VERSION}; use the version "
            "that made the run"
        )
    return content


def _is_identity(key: str) -> bool:
    """Return whether a key affects the clips, so that it may not change when a run is resumed."""
    return key not in NON_IDENTITY_KEYS and not key.startswith(NON_IDENTITY_GROUPS)


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _without_defaults(schema: Any, prefix: str = "") -> dict[str, Any]:
    """Return a config as plain values, without those that are the (first) default; also in lists of groups."""
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
    """Return frozen values, with the first default of each missing key whose default has changed."""
    filled = dict(values)
    for key, default in _FROZEN_DEFAULTS.items():
        group, _, name = key.partition(".")
        given = filled.get(group, {})
        if isinstance(given, Mapping):
            filled[group] = {name: default, **given}
    return filled


def _with_keys_of(values: Mapping[str, Any], frozen: Mapping[str, Any]) -> dict[str, Any]:
    """Return only those values whose key is in `frozen`, at all levels."""
    return {
        key: _with_keys_of(value, frozen[key])
        if isinstance(value, Mapping) and isinstance(frozen[key], Mapping)
        else value
        for key, value in values.items()
        if key in frozen
    }
