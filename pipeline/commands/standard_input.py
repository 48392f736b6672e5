"""`input=-`: read standard input once, and keep it in the run when nothing refuses the run any more."""

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
    """Return where the copy of standard input lies in the run directory."""
    return run_directory(config) / _FOLDER / f"stdin.{config.source.format}"


def copy_standard_input(config: Config) -> Config:
    """Return the config with a temporary copy as its input; the config itself if its input is something else.

    The copy in the run is taken where standard input is empty or a terminal, so that the same command resumes.

    Raises:
        SourceError: The format is not named, or there is nothing to read.
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
            raise SourceError(
                f"input={config.input}: there is nothing on standard input; pipe the texts into this command"
            )
        return replace(config, input=str(kept))
    return replace(config, input=str(read), name=config.name or run_directory(config).name)


def keep_standard_input(config: Config, asked: Config) -> Config:
    """Keep the temporary copy in the run, and return the config with that as its input.

    Args:
        config: As `copy_standard_input` returned it, with what was found since.
        asked: The config of the command.
    """
    if asked.input not in STANDARD_INPUT:
        return config
    read, kept = Path(config.input), kept_copy(asked)
    if read != kept and (not kept.exists() or not is_local(kept) or sha256_of(kept) != sha256_of(read)):
        with write_atomically(kept) as temporary:
            shutil.copyfile(read, temporary)
    return replace(config, input=str(kept), name=asked.name)
