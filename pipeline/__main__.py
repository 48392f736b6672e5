"""The command line, `python -m pipeline`: parse the arguments, run the command, return its exit code."""

from __future__ import annotations

import atexit
import dataclasses
import json
import os
import platform
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import yaml

from pipeline import __version__
from pipeline.config import Config
from pipeline.config.command_line import CommandLine, parse_command_line
from pipeline.config.completion import completion_script
from pipeline.config.compose import compose_config
from pipeline.config.overrides import group_options
from pipeline.errors import ConfigError, PipelineError, printable
from pipeline.reporting.progress import show

if TYPE_CHECKING:
    from pipeline.commands.model_loader import ModelLoader

HELP = """\
Render audiobooks and make speech datasets with Parler-TTS.

  python -m pipeline                                            render the short story in the package as an audiobook
  python -m pipeline input=book.txt model=mini voice=jon        render an audiobook: chapters, an m4b, and its dataset
  python -m pipeline task=dataset input=texts.jsonl model=mini  make a Hugging Face speech dataset
  python -m pipeline input=book.txt dry_run=true                estimate time and disk space, and check the text
  python -m pipeline task=preview text="Hello." model=mini      speak one sentence into a WAV file
  python -m pipeline task=status run=outputs/book-mini          show the progress of a run
  python -m pipeline task=verify run=outputs/book-mini          check that a finished run is complete and undamaged
  python -m pipeline task=retry_rejects run=outputs/book-mini   try the rejected sentences of a run again

Results are written to outputs/NAME/, where name=NAME gives the name. Repeat a command to resume a stopped run.

  task        {task}
  model       {model};
              or a folder, or a hub id (owner/name); mini@v1.0 or owner/name@refs/pr/9 for a revision
  voice       a name (see --voices), a description in quotes, or varied; for a preview also a list: [jon,lea]
  engine      {engine}
  executor    {executor}
  experiment  {experiment}

Other settings are given as key=value, e.g. seed=7 book.loudness_lufs=-20; docs/settings.md lists all of them.
json=true prints the result of dry_run=true, task=status and task=verify as JSON.

  --voices [model=NAME]  list the voices of a model          --cfg job          print all settings of a command
  --config FILE          read settings from a YAML file      --completion bash  print a completion script (or zsh, fish)
  --version              print versions, for bug reports     --help             print this text
"""


class Terminated(BaseException):
    """SIGTERM was received. It ends a run like Ctrl-C."""


def main(arguments: Sequence[str] | None = None, loader: ModelLoader | None = None) -> int:
    """Run one command.

    Args:
        arguments: Arguments of the command line; None: those of this process.
        loader: Loads the model; None: from its checkpoint.

    Returns:
        The exit code: 0 for success, 2 to 6 for an error (see `pipeline.errors`), 130 or 143 if stopped by a signal.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        line = parse_command_line(arguments)
        if line.action:
            show(_answer(line))
            return 0
        config = compose_config(line.overrides, line.config_files)
        from pipeline.commands.dispatch import run  # imports the rest, once the config is valid

        with _ended_by_sigterm():
            return run(config, loader)
    except PipelineError as error:
        print("\n".join(map(printable, f"error: {error}".split("\n"))), file=sys.stderr)
        return _failed(arguments, str(error), error.exit_code)
    except MemoryError:
        message = "out of memory; give a smaller input, source.limit=..., or use a machine with more memory"
        print(f"error: {message}", file=sys.stderr)
        return _failed(arguments, message, PipelineError.exit_code)
    except (KeyboardInterrupt, Terminated) as stop:
        print("\nStopped. Repeat the command to resume; at most about 30 s of work is lost.", file=sys.stderr)
        return _failed(arguments, "stopped", 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT))


def _failed(arguments: Sequence[str], message: str, exit_code: int) -> int:
    """Print the error as JSON if the arguments contain json=true, and return the exit code."""
    # Look at the arguments, because there is no config if they are wrong.
    if any(re.fullmatch(r"json=(true|yes|on|y|1)", argument, re.IGNORECASE) for argument in arguments):
        show(json.dumps({"error": message, "exit_code": exit_code}))
    return exit_code


def _answer(line: CommandLine) -> str:
    """Return the output of an option such as --help."""
    match line.action:
        case "--help":
            groups = ("task", "model", "engine", "executor", "experiment")
            return HELP.format(**{group: ", ".join(_choices(group)) for group in groups})
        case "--version":
            return _versions()
        case "--cfg":
            return _as_yaml(compose_config(line.overrides, line.config_files), line.package)
        case "--completion":
            return completion_script(line.value)
        case _:
            return _voices(line)


def _choices(group: str) -> list[str]:
    return [name for name in group_options(group) if name != "checkpoint"]  # needs model.path; model=FOLDER sets both


def _versions() -> str:
    """Return the versions of the package, Python, and the libraries that affect clips, for bug reports."""
    found = [f"Python {platform.python_version()}"]
    for name in ("torch", "transformers", "parler-tts"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    return f"parler-pipeline {__version__} ({', '.join(found)})"


def _as_yaml(config: Config, package: str) -> str:
    """Return all settings, or those of one group, as YAML that `--config` accepts."""
    values = dataclasses.asdict(config)
    names = package.split(".") if package else []
    for name in names:
        if not isinstance(values.get(name), dict):
            raise ConfigError(f"--package {package}: no such group of settings; give one such as engine or voice.style")
        values = values[name]
    for name in reversed(names):
        values = {name: values}
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True).rstrip("\n")


def _voices(line: CommandLine) -> str:
    """Return the table of the voices of the model that the command line gives, or of the default model."""
    for argument in line.overrides:
        if argument.lstrip("+").partition("=")[0].partition(".")[0] != "model":
            raise ConfigError(f"{argument}: has no effect with --voices; give only model=NAME")
    from pipeline.commands.voice_setup import render_voices

    config = compose_config(line.overrides, line.config_files)
    return render_voices(config.model, is_chosen=bool(line.overrides or line.config_files))


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    def terminate(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run_process() -> None:
    """Run the command of this process and end the process: the console script.

    After a signal, threads of native libraries may still compute. They would abort the process (exit code 134) while
    the interpreter is finalized, which is therefore omitted.
    """
    exit_code = main()
    if exit_code > 128:
        atexit._run_exitfuncs()  # temporary folders
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)
    sys.exit(exit_code)


if __name__ == "__main__":
    run_process()
