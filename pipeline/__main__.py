"""`python -m pipeline`: Hydra in, exit code out."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.config.compose import compose_config, group_options
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
meaning are in pipeline/config.py, the groups in configs/. json=true prints dry_run, status and verify for programs.
"""


class Terminated(BaseException):
    """SIGTERM, which ends a run as Ctrl-C does: in order."""


def main(arguments: Sequence[str], loader: ModelLoader | None = None) -> int:
    """Runs one command and returns its exit code: 0 done, 2 a mistake, 3 to 6 see `errors`, 130 and 143 stopped.

    Args:
        arguments: What follows `python -m pipeline`.
        loader: Where the model comes from; None: from its checkpoint.
    """
    if {"-h", "--help", "help"} & set(arguments):
        groups = ("task", "model", "engine", "executor", "experiment")
        show(HELP.format(**{group: ", ".join(group_options(group)) for group in groups}))
        return 0
    try:
        if "--voices" in arguments:
            return _list_voices([argument for argument in arguments if argument != "--voices"])
        config = compose_config(arguments)
        from pipeline.commands.render import run  # after the config has been found good: this loads the rest

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


def _list_voices(arguments: Sequence[str]) -> int:
    """Prints the voices of the model that the arguments name, else those of the default one."""
    for argument in arguments:
        if argument.partition("=")[0].partition(".")[0] != "model":
            raise ConfigError(f"{argument}: --voices lists the voices of a model, and takes only model=NAME")
    from pipeline.commands.voice_setup import render_voices

    show(render_voices(compose_config(arguments).model, is_chosen=bool(arguments)))
    return 0


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
    sys.exit(main(sys.argv[1:]))
