"""Finds a checkpoint: a local folder, an id of the hub, the one in the package, or the untrained one, made on the spot.

Everything that can be said against a checkpoint is said here, before any weight is loaded. Imports no torch, unless the
untrained checkpoint has to be made.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import ModelConfig, SamplingConfig
from pipeline.errors import ModelError, nearest_first
from pipeline.types import Sampling

_BUNDLED = Path(__file__).resolve().parent.parent / "bundled"
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "voices.yaml"]  # never pickles, never code
_DEFAULT_MAX_LENGTH = 2580  # of the published checkpoints: 30 s
_TOKENIZER_FILES = ["*.json", "*.model", "*.txt"]
# What decides how a model speaks: its revision, if it is a folder. Logs and notes may lie beside it.
_SAID_BY = ("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "*.model")
_SPOKEN_BY = ("*.safetensors", "model.safetensors.index.json", "config.json", "*_config.json", *_SAID_BY)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on this machine's disk."""

    model_id: str  # as the user gave it
    revision: str  # commit of the hub, or a hash of the local files' content
    folder: Path
    description_tokenizer: Path | None  # its own folder; None: the same tokenizer as the prompt's
    config: dict[str, Any]  # config.json
    generation: dict[str, Any]  # generation_config.json

    @property
    def max_frames(self) -> int:
        """T, the longest that it generates: by its own limit, without the start step and the K - 1 steps of delay."""
        return int(self.generation.get("max_length", _DEFAULT_MAX_LENGTH)) - self.num_codebooks

    @property
    def num_codebooks(self) -> int:
        """K."""
        return int(self.config["decoder"]["num_codebooks"])

    @property
    def most_positions(self) -> int:
        """Positions of the decoder that a prompt and its frames may take together; the delay takes K more."""
        return int(self.config["decoder"].get("max_position_embeddings", 2048)) - self.num_codebooks

    @property
    def sampling_rate(self) -> int:
        """Of its codec, in Hz."""
        return int(self.config["audio_encoder"].get("sampling_rate", 44_100))

    @property
    def frames_per_second(self) -> float:
        """Of its codec, exact (the rate in published configs is rounded up)."""
        ratios = self.config["audio_encoder"].get("downsampling_ratios", [2, 4, 8, 8])
        hop = 1
        for ratio in ratios:
            hop *= int(ratio)
        return self.sampling_rate / hop

    def sampling(self, given: SamplingConfig) -> Sampling:
        """What is given, and for the rest what the checkpoint says, else what the published ones were made with.

        Raises:
            ConfigError: The checkpoint says what cannot be.
        """
        chosen: dict[str, Any] = {}
        for key, published in vars(Sampling()).items():  # do_sample comes first
            own = self.generation.get(key) if chosen.get("do_sample", True) else None  # greedy has a temperature of 0
            said = (getattr(given, key), own, published)
            chosen[key] = type(published)(next(value for value in said if value is not None))
        return Sampling(**vars(SamplingConfig(**chosen)))


def find_checkpoint(model: ModelConfig, *, download: bool = True) -> Checkpoint:
    """Locates the files of `model`, fetching them from the hub where they are not on disk.

    Args:
        model: What the user chose; `path` is a folder or a hub id.
        download: False looks only at this machine (for a dry run).

    Raises:
        ModelError: No such folder, a folder without weights or config, a hub that cannot be reached, an unknown id.
    """
    folder = Path(model.path).expanduser()
    if not model.path:
        folder, revision = _BUNDLED if model.name == "bundled" else _untrained(), ""
    elif folder.is_dir():
        revision = ""
    elif _looks_like_folder(model.path):
        raise ModelError(f"model={model.path}: no such folder{_near_folders(folder)}")
    else:
        folder = _snapshot(model.path, model.revision, _FILES, download)
        revision = folder.name
    config = _read_config(folder)
    description_tokenizer = _description_tokenizer(folder, config, download)
    return Checkpoint(
        model_id=model.path or model.name,
        revision=revision or _content_hash(folder, description_tokenizer),
        folder=folder,
        description_tokenizer=description_tokenizer,
        config=config,
        generation=_read_generation(folder),
    )


def _untrained() -> Path:
    """The small untrained checkpoint, in a temporary folder of this process: making it anew takes under a second."""
    from pipeline.synthesis.untrained import make_untrained  # imports torch

    folder = Path(tempfile.mkdtemp(prefix="parler-untrained-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return make_untrained(folder)


def _looks_like_folder(path: str) -> bool:
    return path.startswith((".", "/", "~")) or path.count("/") != 1 or "\\" in path


def _near_folders(folder: Path) -> str:
    if not folder.parent.is_dir():
        return ""
    names = nearest_first(folder.name, (entry.name for entry in folder.parent.iterdir() if entry.is_dir()), limit=3)
    return f"; in {folder.parent} there are: {', '.join(names)}" if names else ""


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"{folder}: no config.json; a Parler-TTS checkpoint has config.json and model.safetensors")
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path}: not valid JSON ({error})") from error
    if config.get("model_type") != "parler_tts":
        raise ModelError(f"{path}: model_type is {config.get('model_type')!r}, not 'parler_tts': another kind of model")
    if not any((folder / name).is_file() for name in _WEIGHTS):
        found = ", ".join(sorted(entry.name for entry in folder.iterdir())[:8])
        raise ModelError(f"{folder}: no weights; model.safetensors is missing (there are: {found})")
    return config


def _read_generation(folder: Path) -> dict[str, Any]:
    path = folder / "generation_config.json"
    generation: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return generation


def _content_hash(folder: Path, description_tokenizer: Path | None) -> str:
    """A hash of all that a model is loaded from, its tokenizers too, so that a changed folder is another model."""
    paths = _matching(folder, _SPOKEN_BY)
    if description_tokenizer is not None:
        paths += _matching(description_tokenizer, _SAID_BY)
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode())
        with path.open("rb") as file:
            while block := file.read(1 << 24):
                digest.update(block)
    return digest.hexdigest()[:16]


def _matching(folder: Path, patterns: Sequence[str]) -> list[Path]:
    return sorted({path for pattern in patterns for path in folder.glob(pattern)})


def _description_tokenizer(folder: Path, config: dict[str, Any], download: bool) -> Path | None:
    """The description's own tokenizer, where prompt and description do not share one.

    Where it does not lie in the folder, sharing shows in the sizes: the prompt's embedding table and the text encoder's
    are then equally long.
    """
    local, text_encoder = folder / "description_tokenizer", config["text_encoder"]
    if local.is_dir():
        return local
    if config.get("vocab_size") == text_encoder.get("vocab_size"):
        return None
    name = text_encoder.get("_name_or_path", "")
    if not name:
        raise ModelError(
            f"{folder}: prompt and description have different vocabularies, and config.json does not name "
            f"the description's tokenizer; put its files into {local}"
        )
    return Path(name) if Path(name).is_dir() else _snapshot(name, None, _TOKENIZER_FILES, download)


def _snapshot(repository: str, revision: str | None, patterns: list[str], download: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(
            snapshot_download(repository, revision=revision, allow_patterns=patterns, local_files_only=not download)
        )
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        what = f"revision {revision} of {repository}" if isinstance(error, RevisionNotFoundError) else repository
        raise ModelError(f"{what}: not on the hub, or private (log in with `huggingface-cli login`)") from error
    except HFValidationError as error:
        raise ModelError(f"model={repository}: neither a folder here nor an id of the hub (owner/name)") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        if not download:
            raise ModelError(f"{repository}: not on this machine yet") from error
        raise ModelError(
            f"{repository}: the hub cannot be reached and the checkpoint is not in the local cache; connect, or give "
            f"the folder of a copy: model=/path/to/{repository.rsplit('/', maxsplit=1)[-1]}"
        ) from error
