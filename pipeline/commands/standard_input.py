"""`input=-`: copy standard input to a temporary file, and to the run directory once the run is accepted."""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from pipeline.config import Config, source_formats
from pipeline.config.frozen import STANDARD_INPUT, refuse_foreign, run_directory
from pipeline.errors import SourceError
from pipeline.storage.atomic import write_atomically
from pipeline.storage.paths import is_local, sha256_of

_FOLDER = ".input"


def kept_copy(config: Config) -> Path:
    """Return the path of the copy of standard input in the run directory."""
    return run_directory(config) / _FOLDER / f"stdin.{config.source.format}"


def copy_standard_input(config: Config) -> Config:
    """Return the config with a temporary copy of standard input as its input; other inputs are left unchanged.

    If standard input is empty or a terminal, the copy in the run directory is used, so that the same command resumes.

    Raises:
        SourceError: `source.format` is not set, or standard input is empty and the run has no copy.
    """
    if config.input not in STANDARD_INPUT:
        return config
    if config.source.format in ("auto", "datasets"):
        formats = ", ".join(each for each in source_formats() if each not in ("auto", "datasets"))
        raise SourceError(f"input={config.input}: set source.format to one of: {formats}")
    name = f"stdin.{config.source.format}"
    scratch = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    read, kept = scratch / name, kept_copy(config)
    refuse_foreign(run_directory(config))
    is_terminal = sys.stdin is None or sys.stdin.isatty()
    if not is_terminal:
        with read.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
    if is_terminal or not read.stat().st_size:
        if not kept.exists():
            raise SourceError(f"input={config.input}: standard input is empty; pipe the text into this command")
        return replace(config, input=str(kept))
    return replace(config, input=str(read), name=config.name or run_directory(config).name)


def keep_standard_input(config: Config, asked: Config) -> Config:
    """Copy the temporary file to the run directory, and return the config with that copy as its input.

    Args:
        config: A config derived from the result of `copy_standard_input`.
        asked: Config of the command.
    """
    if asked.input not in STANDARD_INPUT:
        return config
    read, kept = Path(config.input), kept_copy(asked)
    if read != kept and (not kept.exists() or not is_local(kept) or sha256_of(kept) != sha256_of(read)):
        with write_atomically(kept) as temporary:
            shutil.copyfile(read, temporary)
    return replace(config, input=str(kept), name=asked.name)
