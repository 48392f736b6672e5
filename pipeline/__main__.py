"""`python -m pipeline`: Hydra in, exit code out."""

from __future__ import annotations

import dataclasses
import json
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
Renders audiobooks and makes speech datasets with Parler-TTS.

  python -m pipeline                                            the story that ships, as a book
  python -m pipeline input=book.txt model=mini voice=jon        a book: chapters, one m4b, and the dataset of its clips
  python -m pipeline task=dataset input=texts.jsonl model=mini  a Hugging Face speech dataset
  python -m pipeline input=book.txt dry_run=true                what it would make, and how much time and disk it needs
  python -m pipeline task=preview text="Hello." model=mini      one sentence into a WAV that grows as it is spoken
  python -m pipeline --voices model=indic                       the voices of a model, with their languages
  python -m pipeline task=verify run=outputs/book-mini          proves that a finished run is whole
  python -m pipeline task=status run=outputs/book-mini          how a run stands, from another terminal or machine
  python -m pipeline task=retry_rejects run=outputs/book-mini   tries again what it has rejected

The same command again goes on where a stopped run was. Everything lies in outputs/<name>/; name=... chooses it.

  task        {task}
  model       {model}
              or a folder, or a hub id (owner/name); mini@v1.0 and owner/name@refs/pr/9 choose a revision
  voice       a name that --voices lists; varied; a description in quotes; of a preview several: [jon,lea]
  engine      {engine}
  executor    {executor}
  experiment  {experiment}

Any other key as key=value: engine.batch_size=16 text.max_seconds=12 book.loudness_lufs=-20 seed=7. All keys with their
meaning are in docs/settings.md, the groups in configs/. json=true prints dry_run, status and verify for programs.
--config my.yaml reads settings from a file, --cfg job prints all of them, --completion bash (zsh, fish) completes them.
"""


class Terminated(BaseException):
    """SIGTERM, which ends a run as Ctrl-C does: in order."""


def main(arguments: Sequence[str] | None = None, loader: ModelLoader | None = None) -> int:
    """Run one command and return its exit code: 0 done, 2 an error of the user, 3 to 6 see `errors`, 130, 143 stopped.

    Args:
        arguments: Of the command line; None: those of this process, for the console script.
        loader: Where the model comes from; None: from its checkpoint.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        line = parse_command_line(arguments)
        if line.action:
            show(_answer(line))
            return 0
        config = compose_config(line.overrides, line.config_files)
        from pipeline.commands.dispatch import run  # after the config has been found good: this loads the rest

        with _ended_by_sigterm():
            return run(config, loader)
    except PipelineError as error:
        print("\n".join(map(printable, f"error: {error}".split("\n"))), file=sys.stderr)
        return _failed(arguments, str(error), error.exit_code)
    except MemoryError:
        message = "out of memory; give a smaller input or source.limit=..., or a machine with more"
        print(f"error: {message}", file=sys.stderr)
        return _failed(arguments, message, PipelineError.exit_code)
    except (KeyboardInterrupt, Terminated) as stop:
        again = "and makes again what was under way and the last half minute"
        print(f"\nStopped; the same command goes on from there, {again}.", file=sys.stderr)
        return _failed(arguments, "stopped", 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT))


def _failed(arguments: Sequence[str], message: str, exit_code: int) -> int:
    """Print an error as JSON where the command was asked for JSON; return the exit code."""
    # The arguments themselves are asked, since they may be what is wrong.
    if any(re.fullmatch(r"json=(true|yes|on|y|1)", argument, re.IGNORECASE) for argument in arguments):
        show(json.dumps({"error": message, "exit_code": exit_code}))
    return exit_code


def _answer(line: CommandLine) -> str:
    """What an option asks to be printed."""
    match line.action:
        case "--help":
            groups = ("task", "model", "engine", "executor", "experiment")
            return HELP.format(**{group: ", ".join(group_options(group)) for group in groups})
        case "--version":
            return _versions()
        case "--cfg":
            return _as_yaml(compose_config(line.overrides, line.config_files), line.package)
        case "--completion":
            return completion_script(line.value)
        case _:
            return _voices(line)


def _versions() -> str:
    """Return the version, and those of what decides how a clip sounds, for reports of bugs."""
    found = [f"Python {platform.python_version()}"]
    for name in ("torch", "transformers", "parler-tts"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    return f"parler-pipeline {__version__} ({', '.join(found)})"


def _as_yaml(config: Config, package: str) -> str:
    """Return all settings, or those of one group, as a file that `--config` reads."""
    values = dataclasses.asdict(config)
    names = package.split(".") if package else []
    for name in names:
        if not isinstance(values.get(name), dict):
            raise ConfigError(f"--package {package}: is no group of settings; give one such as engine or voice.style")
        values = values[name]
    for name in reversed(names):
        values = {name: values}
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True).rstrip("\n")


def _voices(line: CommandLine) -> str:
    """Return the voices of the model that the command line names, else those of the default one."""
    for argument in line.overrides:
        if argument.lstrip("+").partition("=")[0].partition(".")[0] != "model":
            raise ConfigError(f"{argument}: --voices lists the voices of a model, and takes only model=NAME")
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


if __name__ == "__main__":
    sys.exit(main())
