"""Find and validate a checkpoint: a folder, a repository of the hub, the bundled one, or an untrained one.

Errors in the files are reported here, before any weight is loaded. Imports no torch, unless the untrained checkpoint
has to be made.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import ModelConfig, SamplingConfig
from pipeline.errors import ModelError, nearest_first
from pipeline.storage.paths import local_folder
from pipeline.synthesis.checkpoint_files import (
    GenerationSettings,
    check_weights,
    read_config,
    read_generation,
    tokenizer_files,
)
from pipeline.synthesis.hub import HubSource, cached_folder, fetch_checkpoint, fetch_tokenizer
from pipeline.types import Sampling

_BUNDLED = Path(__file__).resolve().parent.parent / "bundled"
_UNTRAINED_PREFIX = "parler-untrained-"  # followed by the process id
_HUB_ADDRESS = re.compile(r"https?://[^/]+/([\w.-]+/[\w.-]+)")
# The files that decide what a model generates, besides its tokenizers. Their hash is the revision of a local folder.
_MODEL_FILES = ("*.safetensors", "model.safetensors.index.json", "config.json", "*_config.json")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on this machine's disk."""

    model_id: str  # as the user gave it
    revision: str  # commit of the hub, or a hash of the files of a folder
    folder: Path
    description_tokenizer: Path | None  # folder; None: descriptions use the tokenizer of prompts
    config: dict[str, Any]  # config.json
    generation: GenerationSettings
    description_tokenizer_id: str = ""  # hub id or folder of a tokenizer outside of `folder`, else empty
    description_tokenizer_revision: str | None = None  # commit of the hub, or a hash of its files

    @property
    def prompt_tokenizer(self) -> Path:
        """Folder of the tokenizer of prompts."""
        own = self.folder / "prompt_tokenizer"  # in some published fine-tunes
        return own if own.is_dir() else self.folder

    @property
    def description_tokenizer_name(self) -> str:
        """`id@revision` of a description tokenizer outside of the checkpoint's folder; empty if there is none."""
        if not self.description_tokenizer_id:
            return ""
        return f"{self.description_tokenizer_id}@{self.description_tokenizer_revision}"

    @property
    def max_frames(self) -> int:
        """Longest clip in frames, T: the limit of steps without the start step and the K - 1 steps of delay."""
        return min(self.generation.max_length - self.num_codebooks, self.max_positions - 1)

    @property
    def max_seconds(self) -> float:
        """Longest clip in seconds."""
        return self.max_frames / self.frames_per_second

    @property
    def num_codebooks(self) -> int:
        """Number of codebooks, K."""
        return int(self.config["decoder"]["num_codebooks"])

    @property
    def max_positions(self) -> int:
        """Positions for a prompt and its frames together: those of the decoder without K for the delay."""
        return int(self.config["decoder"].get("max_position_embeddings", 2048)) - self.num_codebooks

    @property
    def sampling_rate(self) -> int:
        """Sampling rate of the codec in Hz."""
        return int(self.config["audio_encoder"].get("sampling_rate", 44_100))

    @property
    def frames_per_second(self) -> float:
        """Frame rate of the codec, exact: the rate in published configs is rounded up."""
        ratios = self.config["audio_encoder"].get("downsampling_ratios", [2, 4, 8, 8])
        hop = 1
        for ratio in ratios:
            hop *= int(ratio)
        return self.sampling_rate / hop

    def sampling(self, given: SamplingConfig) -> Sampling:
        """Complete sampling settings by those of the checkpoint, or else by the defaults of `Sampling`.

        Args:
            given: The user's settings; None where a key is not set.

        Raises:
            ConfigError: A value of the checkpoint is not valid.
        """
        chosen: dict[str, Any] = {}
        for key, published in vars(Sampling()).items():  # do_sample comes first
            is_sampled = chosen.get("do_sample", True)  # greedy may have a temperature of 0
            own = getattr(self.generation, key) if is_sampled else None
            candidates = (getattr(given, key), own, published)
            chosen[key] = type(published)(next(value for value in candidates if value is not None))
        return Sampling(**vars(SamplingConfig(**chosen)))


def known_folder(model: ModelConfig) -> Path | None:
    """Return the folder with files of a checkpoint on this machine, complete or not; None if there is none."""
    if not model.path or (local := local_folder(model.path)) or _looks_like_folder(model.path):
        return local if model.path else None
    return cached_folder(HubSource(model.path, model.revision))


def check_revision(model: ModelConfig) -> None:
    """Refuse a revision that would have no effect. For settings that the user typed, not for a frozen config.

    Raises:
        ModelError: There is a revision, and the model is a folder.
    """
    if model.revision and (not model.path or local_folder(model.path)):
        raise ModelError(
            f"model.revision={model.revision}: model={model.path or model.name} is a folder, and only repositories of "
            "the hub have revisions"
        )


def find_checkpoint(model: ModelConfig, *, download: bool = True) -> Checkpoint:
    """Find the files of a model, download those that are missing, and validate them.

    Args:
        model: The model; `path` is a folder or an id of the hub.
        download: Whether to download; False uses only files on this machine, as a dry run does.

    Raises:
        ModelError: The folder does not exist, a file is missing or not valid, or the hub does not provide the model.
    """
    if not model.path:
        folder, revision = _BUNDLED if model.name == "bundled" else _untrained(), ""
    elif local := local_folder(model.path):
        folder, revision = local, ""
    elif _looks_like_folder(model.path):
        raise ModelError(f"model={model.path}: no such folder{_hint(model.path)}")
    else:
        snapshot = fetch_checkpoint(HubSource(model.path, model.revision), download=download)
        folder, revision = snapshot.folder, snapshot.revision
    config = read_config(folder)
    check_weights(folder, config)
    tokenizer = _description_tokenizer(model, folder, config, download)
    return Checkpoint(
        model_id=model.path or model.name,
        revision=revision or _content_hash(folder, tokenizer.folder),
        folder=folder,
        description_tokenizer=tokenizer.folder,
        config=config,
        generation=read_generation(folder, config),
        description_tokenizer_id=tokenizer.id,
        description_tokenizer_revision=tokenizer.revision,
    )


def _untrained() -> Path:
    """Make the untrained checkpoint, which takes less than a second, in a temporary folder of this process."""
    from pipeline.synthesis.untrained import make_untrained  # imports torch

    _delete_abandoned()
    folder = Path(tempfile.mkdtemp(prefix=f"{_UNTRAINED_PREFIX}{os.getpid()}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return make_untrained(folder)


def _delete_abandoned() -> None:
    """Delete the untrained checkpoints of processes that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_UNTRAINED_PREFIX}*-*"):
        pid = folder.name.removeprefix(_UNTRAINED_PREFIX).partition("-")[0]
        if not pid.isdecimal() or folder.is_symlink():
            continue
        try:
            os.kill(int(pid), 0)  # signal 0: only checks whether the process exists
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (PermissionError, OverflowError):  # another user's process; not a process id
            continue


def _looks_like_folder(path: str) -> bool:
    return path.startswith((".", "/", "~")) or path.count("/") != 1 or "\\" in path


def _hint(path: str) -> str:
    """Return a hint for a folder that does not exist, or an empty string."""
    if match := _HUB_ADDRESS.match(path):
        return f"; for a model of the hub give owner/name: model={match[1]}"
    if "@" in path and local_folder(path.rpartition("@")[0]):
        return "; only models of the hub have revisions (after an @)"
    parent = local_folder(str(Path(path).parent))
    folder = parent / Path(path).name if parent else None
    if folder is None:
        return ""
    names = nearest_first(folder.name, (entry.name for entry in folder.parent.iterdir() if entry.is_dir()), limit=3)
    return f"; {folder.parent} contains {', '.join(names)}" if names else ""


def _content_hash(folder: Path, description_tokenizer: Path | None) -> str:
    """Hash the files that a model is loaded from, tokenizers included: a changed folder is another revision."""
    model_files = {path for pattern in _MODEL_FILES for path in folder.glob(pattern) if path.is_file()}
    paths = sorted(model_files | {*tokenizer_files(folder)})
    for tokenizer in filter(None, (folder / "prompt_tokenizer", description_tokenizer)):
        paths += tokenizer_files(tokenizer)
    return _hash_files(paths)


def _hash_files(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode())
        try:
            with path.open("rb") as file:
                while block := file.read(1 << 24):
                    digest.update(block)
        except OSError as error:
            raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class _DescriptionTokenizer:
    folder: Path | None = None  # None: the tokenizer of prompts
    id: str = ""  # of a tokenizer outside of the checkpoint's folder
    revision: str | None = None  # of the same


def _description_tokenizer(
    model: ModelConfig, folder: Path, config: dict[str, Any], download: bool
) -> _DescriptionTokenizer:
    """Find the tokenizer of descriptions: the one that the user names, one in the folder, or that of the text encoder.

    Prompts and descriptions share a tokenizer if their embedding tables have the same size.
    """
    local, text_encoder = folder / "description_tokenizer", config["text_encoder"]
    name = model.description_tokenizer
    if name is None:
        if local.is_dir():
            return _DescriptionTokenizer(local)
        if config.get("vocab_size") == text_encoder.get("vocab_size"):
            return _DescriptionTokenizer()
        name = text_encoder.get("_name_or_path") or ""
        name = name if isinstance(name, str) else ""
    if path := local_folder(name):
        return _DescriptionTokenizer(path, name, _hash_files(tokenizer_files(path)))
    if not name or name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name:
        given = "model.description_tokenizer is" if model.description_tokenizer else "config.json names"
        raise ModelError(
            f"{folder}: prompts and descriptions have different vocabularies, and {given} "
            f"{f'{name}, which is not a folder here' if name else 'no tokenizer for descriptions'}; give "
            "model.description_tokenizer=... (a folder or a hub id: the text encoder that the model was trained with, "
            f"e.g. google/flan-t5-large), or put the tokenizer's files into {local}"
        )
    source = HubSource(
        name,
        model.description_tokenizer_revision,
        purpose=f" (a second repository, with the tokenizer for the descriptions of {model.path})",
        copy_key="model.description_tokenizer",
    )
    snapshot = fetch_tokenizer(source, download=download)
    return _DescriptionTokenizer(snapshot.folder, name, snapshot.revision)
