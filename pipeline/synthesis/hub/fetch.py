"""Fetch a checkpoint or a tokenizer: from the cache, or by a download of what is missing there."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from pipeline.errors import ModelError
from pipeline.synthesis.hub.cache import (
    Snapshot,
    cached_snapshot,
    declare_layout,
    record_ref,
    require_cached,
    snapshot_at,
)
from pipeline.synthesis.hub.download import Listing, download_files, list_files
from pipeline.synthesis.hub.errors import Failure, HubSource, check_repository_id, describe_failure

__all__ = ["HubSource", "Snapshot", "cached_folder", "fetch_checkpoint", "fetch_tokenizer", "missing_weights"]

_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.model",  # of sentencepiece
)
_VOCABULARY = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model")
# Never pickles or code. voices.yaml is optional.
_SETTINGS = ("config.json", "generation_config.json", "preprocessor_config.json", "voices.yaml")
_CHECKPOINT = (
    *_SETTINGS,
    *_TOKENIZER,
    *(f"{kind}_tokenizer/{name}" for kind in ("description", "prompt") for name in _TOKENIZER),
)
_log = logging.getLogger(__name__)


def fetch_checkpoint(source: HubSource, *, download: bool) -> Snapshot:
    """Return a checkpoint in the cache, after a download of what is missing: settings, tokenizers, then weights.

    Of a repository that is not a Parler-TTS model only the settings are downloaded: their reader reports the error.

    Args:
        source: The repository.
        download: Whether to download; False uses only the cache.

    Raises:
        ModelError: It cannot be downloaded, or is incomplete.
    """
    return _fetch(source, _download_checkpoint, _missing_from_checkpoint, download=download)


def fetch_tokenizer(source: HubSource, *, download: bool) -> Snapshot:
    """Return the tokenizer of a repository in the cache, like `fetch_checkpoint`. Weights are never downloaded.

    Raises:
        ModelError: It cannot be downloaded, or the repository has no tokenizer.
    """
    return _fetch(source, _download_tokenizer, _missing_from_tokenizer, download=download)


def cached_folder(source: HubSource) -> Path | None:
    """Return the folder of a repository's snapshot in the cache, complete or not; None if there is none."""
    try:
        check_repository_id(source)
    except ModelError:
        return None
    snapshot = cached_snapshot(source)
    return snapshot.folder if snapshot else None


def missing_weights(folder: Path) -> list[str]:
    """Return the names of the weight files that are missing in a checkpoint's folder.

    Raises:
        ModelError: The index of the weights cannot be read.
    """
    if (folder / _WEIGHTS).is_file():
        return []
    names = _shard_names(folder) if (folder / _INDEX).is_file() else [_WEIGHTS]
    return [name for name in names if not (folder / name).is_file()]


def _fetch(
    source: HubSource,
    download_missing: Callable[[HubSource, Listing], None],
    missing: Callable[[Path], list[str]],
    *,
    download: bool,
) -> Snapshot:
    snapshot = _fetch_or_find(source, download_missing, missing, download)
    declare_layout()
    return snapshot


def _fetch_or_find(
    source: HubSource,
    download_missing: Callable[[HubSource, Listing], None],
    missing: Callable[[Path], list[str]],
    download: bool,
) -> Snapshot:
    """Ask the hub for the commit and download what is missing. Without the hub, use a complete snapshot."""
    from huggingface_hub import constants

    check_repository_id(source)
    if not download or constants.HF_HUB_OFFLINE:
        return require_cached(source, missing)
    try:
        listing = list_files(source)
    except Exception as error:  # it may raise errors of many libraries: each is reported in one line
        failure = describe_failure(error, source)
        snapshot = None if failure.is_final else cached_snapshot(source)
        if snapshot is None or missing(snapshot.folder):
            raise source.error(failure) from error
        _log.warning("%s: %s; using commit %s from the cache", source.repository, failure.cause, snapshot.revision)
        return snapshot
    # Only now if there is an older snapshot: after an interrupted update an offline machine still finds that one.
    if cached_snapshot(source) is None:
        record_ref(source, listing.commit)
    download_missing(source, listing)
    record_ref(source, listing.commit)
    return snapshot_at(source.repository, listing.commit)


def _download_checkpoint(source: HubSource, listing: Listing) -> None:
    is_single = _WEIGHTS in listing.files
    index = [] if is_single or _INDEX not in listing.files else [_INDEX]
    download_files(source, listing, [*_select(listing, _CHECKPOINT), *index])
    folder = snapshot_at(source.repository, listing.commit).folder
    if not _is_parler_tts(folder):
        return
    if not is_single and not index:
        remedy = "other formats are not loaded: convert the weights to safetensors"
        raise source.error(Failure(f"the repository has no {_WEIGHTS}", remedy))
    weights = [_WEIGHTS] if is_single else _shard_names(folder)
    if absent := [name for name in weights if name not in listing.files]:
        remedy = "its upload is incomplete: tell the authors, or give another model.revision"
        raise source.error(Failure(f"the repository has no {', '.join(absent)}", remedy))
    download_files(source, listing, weights)


def _download_tokenizer(source: HubSource, listing: Listing) -> None:
    if not _select(listing, _VOCABULARY):
        raise source.error(Failure("the repository has no tokenizer", "give another one", copy_helps=True))
    # config.json names the tokenizer's class where an old tokenizer_config.json does not.
    download_files(source, listing, _select(listing, ("config.json", *_TOKENIZER)))


def _select(listing: Listing, patterns: Sequence[str]) -> list[str]:
    """Return the names that match, in the order of the patterns. A `*` does not match in other folders."""
    return [
        name
        for pattern in patterns
        for name in listing.files
        if name.count("/") == pattern.count("/") and fnmatchcase(name, pattern)
    ]


def _missing_from_checkpoint(folder: Path) -> list[str]:
    settings = [name for name in ("config.json",) if not (folder / name).is_file()]
    prompt = folder / "prompt_tokenizer"
    tokenizer = _missing_from_tokenizer(prompt if prompt.is_dir() else folder)
    return [*settings, *tokenizer, *missing_weights(folder)]


def _missing_from_tokenizer(folder: Path) -> list[str]:
    has_vocabulary = any(path.is_file() for pattern in _VOCABULARY for path in folder.glob(pattern))
    return [] if has_vocabulary else ["tokenizer.json"]


def _is_parler_tts(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"] == "parler_tts")
    except (OSError, ValueError, KeyError, TypeError):
        return False  # the reader of the config reports it


def _shard_names(folder: Path) -> list[str]:
    path = folder / _INDEX
    try:
        return sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: not an index of weights ({error!r}); download it again") from error
