"""Run the task that a config names and return the exit code."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial

from tqdm import tqdm

from pipeline.commands.dry_run import run_dry
from pipeline.commands.model_loader import ModelLoader
from pipeline.commands.preview import run_preview
from pipeline.commands.render import render
from pipeline.commands.retry import retry_rejects
from pipeline.commands.verify import verify
from pipeline.config import Config
from pipeline.errors import ConfigError, VerificationError
from pipeline.reporting.as_json import show_json, status_values, verify_values
from pipeline.reporting.progress import say, show
from pipeline.reporting.status import read_status, render_status
from pipeline.storage.paths import resolve_path
from pipeline.synthesis import build_synthesizer, describe_model
from pipeline.synthesis.tokenizers import load_tokenizers

_UNTRAINED = "model=untrained has random weights, so its output is noise; for speech use model=bundled or model=mini"


def run(config: Config, loader: ModelLoader | None = None) -> int:
    """Run the task that a config names and return the exit code.

    Args:
        config: Composed config of the command.
        loader: Functions that load the model; None: load it from its checkpoint.

    Raises:
        PipelineError: The command cannot continue; the message says what to change.
    """
    loader = loader or ModelLoader(build_synthesizer, describe_model, load_tokenizers)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    # This logger warns at each retry of a download. If all retries fail, the pipeline reports one error. A filter is
    # used because huggingface_hub resets the log level.
    logging.getLogger("huggingface_hub.utils._http").addFilter(lambda _: False)
    return COMMANDS[config.task.name](config, loader)


def _generate(config: Config, loader: ModelLoader) -> int:
    if config.model.name == "untrained":
        say(_UNTRAINED)
    return (run_dry if config.dry_run else render)(config, loader)


def _preview(config: Config, loader: ModelLoader) -> int:
    if config.model.name == "untrained":
        say(_UNTRAINED)
    if config.json:
        raise ConfigError(
            "json=true: task=preview has no JSON output; use json=true with dry_run=true, task=status or task=verify"
        )
    return run_preview(config, loader.build)


def _status(config: Config, loader: ModelLoader) -> int:
    status = read_status(resolve_path(config.run or ""))
    if config.json:
        show_json(status_values(status))
    else:
        show(render_status(status))
    return 0


def _verify(config: Config, loader: ModelLoader) -> int:
    report = verify(config, loader.build, partial(tqdm, desc="verifying", unit="shard", disable=None))
    if config.json:
        show_json(verify_values(report))
    else:
        show(str(report))
    return VerificationError.exit_code if report.problems else 0


COMMANDS: Mapping[str, Callable[[Config, ModelLoader], int]] = {
    "audiobook": _generate,
    "dataset": _generate,
    "preview": _preview,
    "retry_rejects": retry_rejects,
    "status": _status,
    "verify": _verify,
}
