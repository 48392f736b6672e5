"""The files that an input names: a path, a glob, a list of both, or a folder with splits."""

from __future__ import annotations

import csv
import glob
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline.config import SourceConfig
from pipeline.config.checks import load_yaml
from pipeline.errors import SourceError, nearest_first
from pipeline.storage.paths import file_sizes, is_address, is_local, resolve_path

_MAX_CARD_BYTES = 1 << 20
# The words in the name of a file or folder that `datasets` takes for a split.
_SPLIT_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SHARD_NAME = re.compile(r"(?P<split>\w+(?:\.\w+)*)-\d{5}-of-\d{5}\b.*")

_log = logging.getLogger(__name__)


def input_paths(input: str) -> list[Path]:
    """Return the files and folders that an input names, in order; those of a glob sorted by name.

    The name of an existing file is never read as a glob or a list.

    Raises:
        SourceError: A glob matches nothing, or an entry of a list is empty.
    """
    is_list = input.startswith("[") and input.endswith("]") and not is_there(input)
    entries = [each.strip() for each in next(csv.reader([input[1:-1]], skipinitialspace=True))] if is_list else [input]
    if not entries or not all(entries):
        raise SourceError(f"input={input}: an entry of the list is empty; write [a.jsonl,b.jsonl]")
    paths = [path for entry in entries for path in _matches(entry)]
    if twice := [name for name, count in Counter(map(str, paths)).items() if count > 1]:
        raise SourceError(f"input={input}: names {twice[0]} twice")
    return paths


def check_file(path: Path) -> None:
    """Refuse a pipe or a device, since reading from it may never end.

    Raises:
        SourceError: It is one, or its kind cannot be found out.
    """
    try:
        is_special = is_local(path) and path.exists() and not (path.is_file() or path.is_dir())
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}); check the name") from error
    if is_special:
        raise SourceError(f"{path}: is not a regular file; to read from a pipe give input=- and source.format=...")


def files_of_split(folder: Path, names: list[str], source: SourceConfig) -> list[str]:
    """Return the files of a folder that belong to `source.split`.

    As in `datasets`, the folder's README.md says which files are which split, or else words in their names do:
    `validation.jsonl`, `data/test-00000-of-00001.parquet`. Without any of these, all files are the split train.

    Args:
        folder: The folder.
        names: Names of its files, relative to it.
        source: Names the split and the subset.

    Raises:
        SourceError: The folder does not have the split or the subset.
    """
    splits = _splits_in_card(folder, names, source) or _splits_in_names(names)
    if source.split not in splits:
        there = ", ".join(nearest_first(source.split, splits))
        raise SourceError(f"{folder}: no split {source.split!r}; set source.split to one of: {there}")
    chosen = splits[source.split]
    if others := sorted(set(names) - set(chosen)):
        _warn_once(
            f"{folder}: reads split {source.split!r}, {len(chosen)} of {len(chosen) + len(others)} files, without "
            f"{', '.join(others[:3])}{' ...' if len(others) > 3 else ''}: see source.split"
        )
    return chosen


def _splits_in_names(names: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(_split_in_name(name), []).append(name)
    if len(found) == 1 and "" in found:
        return {"train": found[""]}
    found.pop("", None)  # not read by `datasets` either; the caller warns of them
    return found


def _split_in_name(name: str) -> str:
    if shard := _SHARD_NAME.fullmatch(name.rpartition("/")[2]):
        return shard["split"]
    words = re.split(r"[^a-z]+", name.lower())
    return next((split for split, known in _SPLIT_WORDS.items() if any(word in words for word in known)), "")


def _splits_in_card(folder: Path, names: list[str], source: SourceConfig) -> dict[str, list[str]]:
    """Return the splits and their files that the YAML head of README.md names; empty if it names none."""
    configs = _card(folder).get("configs")
    if not isinstance(configs, list):
        return {}
    known = {str(each.get("config_name", "default")): each for each in configs if isinstance(each, dict)}
    default = next((name for name, each in known.items() if each.get("default")), None)
    wanted = source.subset or default or ("default" if "default" in known else next(iter(known), ""))
    if source.subset and source.subset not in known:
        there = ", ".join(nearest_first(source.subset, known))
        raise SourceError(f"{folder}: no subset {source.subset!r}; set source.subset to one of: {there}")
    files = known.get(wanted, {}).get("data_files")
    entries = files if isinstance(files, list) else [files]
    splits: dict[str, list[str]] = {}
    for entry in entries:
        split = str(entry.get("split", "train")) if isinstance(entry, dict) else "train"
        paths = entry.get("path") if isinstance(entry, dict) else entry
        patterns = [str(path) for path in (paths if isinstance(paths, list) else [paths]) if path]
        matching = [
            name for name in names if any(fnmatchcase(name, pattern.removeprefix("./")) for pattern in patterns)
        ]
        if matching:
            splits[split] = matching
    return splits


def _card(folder: Path) -> dict[str, Any]:
    path = folder / "README.md"
    try:
        if not path.is_file() or path.stat().st_size > _MAX_CARD_BYTES:
            return {}
        head = re.match(r"\ufeff?---\s*\n(.*?)\n---", path.read_text(encoding="utf-8"), re.DOTALL)
        content = load_yaml(head[1]) if head else None
    except (OSError, ValueError):
        return {}  # not a dataset card: the names of the files say which split they are
    return content if isinstance(content, dict) else {}


def _matches(entry: str) -> Iterator[Path]:
    marks = r"[*\[]" if is_address(entry) else r"[*?\[]"  # the query of an address begins with a question mark
    if not re.search(marks, entry) or is_there(entry):
        yield resolve_path(entry)
        return
    if is_address(entry):
        base = resolve_path(entry.partition("*")[0].rpartition("/")[0])
        found = sorted(str(base / name) for name in file_sizes(base) if fnmatchcase(str(base / name), entry))
    else:
        found = sorted(glob.glob(str(Path(entry).expanduser()), recursive=True))  # noqa: PTH207
    if not found:
        raise SourceError(f"input={entry}: no file matches; check the path")
    yield from (resolve_path(name) for name in found)


def is_there(name: str) -> bool:
    """Return whether a local file or folder has that name."""
    try:
        return not is_address(name) and Path(name).expanduser().exists()
    except OSError:  # a name that is too long
        return False


@lru_cache(maxsize=256)
def _warn_once(message: str) -> None:
    _log.warning("%s", message)
