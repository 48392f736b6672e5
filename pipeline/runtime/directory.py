"""A run directory: which config it belongs to, and what that config is.

Owns `config.yaml`, the frozen config: the truth about what is being made. A directory that was made with another config
is refused, with the difference shown, and so is a second writer. Knows nothing of plans or shards.
"""

from __future__ import annotations

import dataclasses
import os
import platform
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from pipeline.config import Config
from pipeline.dataset.files import write_text
from pipeline.errors import ConfigError, RunDirectoryError
from pipeline.places import is_local, place
from pipeline.runtime.lease import hold_lease, is_alive_here, read_lease
from pipeline.seeds import content_digest

CONFIG_NAME = "config.yaml"

# Keys that say where, when or in what wrapping, and not what the clips are: they may change from call to call.
FREE_KEYS = frozenset(
    {
        "name",
        "output_dir",
        "run",
        "dry_run",
        "task.name",
        "task.text",
        "source.title",
        "source.author",
        "engine.device",
        "engine.slots",  # clips do not depend on how many are made at once
        "model.name",  # model.revision says which weights they are
        "model.path",
        "dataset.license",
        "dataset.name",
    }
)
FREE_GROUPS = ("book.",)


def run_directory(config: Config) -> Path:
    """Where the run lies: `<output_dir>/<name>`, the name made of input and model unless it was given."""
    name = config.name or f"{_stem(config.input)}-{config.model.name}"
    if name != Path(name).name or name in ("", ".", ".."):
        raise ConfigError(f"name={name}: give a plain name; output_dir=... chooses the folder it lies in")
    return place(config.output_dir) / name


@contextmanager
def sole_writer(run_dir: Path) -> Iterator[None]:
    """Makes the directory and keeps all other runs out of it; the lock of a process that has died is none.

    Raises:
        RunDirectoryError: Another process is at work in it, or it cannot be written.
    """
    if not is_local(run_dir):
        with hold_lease(run_dir):
            yield
        return
    lock, name_tag = FileLock(run_dir / ".lock", blocking=False), run_dir / ".writer"
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        name_tag.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
    except Timeout as error:
        who = name_tag.read_text(encoding="utf-8") if name_tag.exists() else "another process"
        raise RunDirectoryError(f"{run_dir}: {who} is at work here; wait for it, or give name=...") from error
    except OSError as error:
        raise RunDirectoryError(f"{run_dir}: cannot be written ({error.strerror}); give output_dir=...") from error
    try:
        yield
    finally:
        name_tag.unlink(missing_ok=True)
        lock.release()
        if {entry.name for entry in run_dir.iterdir()} <= {".lock"}:  # refused before anything was written
            (run_dir / ".lock").unlink(missing_ok=True)
            run_dir.rmdir()


@dataclass(frozen=True)
class Writer:
    """Who is at work in a run directory, or was until it died."""

    name: str  # `process 77 on myhost`
    is_alive: bool | None  # None: it is on another machine, and cannot be asked from here

    def __str__(self) -> str:
        return self.name


def find_writer(run_dir: Path) -> Writer | None:
    """Looks who is at work, without disturbing it; None: nobody."""
    if not is_local(run_dir):
        lease = read_lease(run_dir)
        return None if lease is None else Writer(lease.owner, lease.is_alive)
    try:
        name = (run_dir / ".writer").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    return Writer(name, is_alive_here(name))


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
    return {key: value for key, value in _flatten(config) if key not in FREE_KEYS and not key.startswith(FREE_GROUPS)}


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
