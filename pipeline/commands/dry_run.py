"""`dry_run=true`: plan a run and print what it would produce and which resources it needs."""

from __future__ import annotations

from dataclasses import replace

from pipeline.commands.forecast import check_left_out, dry_run_values, make_forecast, render_dry_run, write_left_out
from pipeline.commands.model_loader import ModelLoader
from pipeline.commands.prepare import as_frozen, check_input, choose_voices, fit_to_checkpoint, model_limits
from pipeline.commands.refusal import find_refusal
from pipeline.commands.standard_input import copy_standard_input, kept_copy
from pipeline.commands.voice_setup import set_up_voices
from pipeline.config import Config, SamplingConfig
from pipeline.config.frozen import STANDARD_INPUT, is_run, recorded_revisions, run_directory
from pipeline.errors import NotDownloadedError
from pipeline.outputs.deliverable import chosen_deliverables
from pipeline.planning.buckets import ModelLimits
from pipeline.planning.planner import EstimatedTokens, Planner, TokenCounter
from pipeline.planning.staleness import input_digest
from pipeline.quality.check import refuse_checks
from pipeline.reporting.as_json import show_json
from pipeline.reporting.progress import say, show, warn
from pipeline.synthesis.checkpoint import Checkpoint, check_revision, find_checkpoint

# Keys whose final value is known only when the checkpoint has been downloaded.
_KEYS_OF_CHECKPOINT = (
    "model.revision",
    "model.description_tokenizer_revision",
    "text.max_seconds",
    "text.min_seconds",
    *(f"engine.sampling.{key}" for key in SamplingConfig.__dataclass_fields__),
)
# Limits of the published checkpoints, used for a checkpoint that has not been downloaded.
_PUBLISHED_LIMITS = ModelLimits(44_100, frames_per_second=44_100 / 512, max_seconds=30.0, max_positions=4_087)


def run_dry(config: Config, loader: ModelLoader) -> int:
    """Print what a run would produce, without loading a model, downloading anything or writing to the run.

    Returns:
        The exit code of the error that would stop the run before it renders; 0 if none is known.

    Raises:
        PipelineError: The plan cannot be made; the message says what to change.
    """
    asked = config
    config = copy_standard_input(config)
    language = check_input(config)
    check_revision(config.model)
    set_up_voices(config, language)  # before the checkpoint is looked for
    chosen_deliverables(config)
    refuse_checks(config)
    if config.left_out:
        check_left_out(config)
    tokens: TokenCounter = EstimatedTokens()
    checkpoint: Checkpoint | None = None
    try:
        checkpoint = find_checkpoint(recorded_revisions(run_directory(config), config.model), download=False)
        checkpoint.sampling(config.engine.sampling)  # refuses values that cannot be
        tokens = loader.tokenizers(checkpoint)
    except NotDownloadedError as error:
        say(f"{error}: numbers of tokens are estimated")
    config, casting = choose_voices(config, language, checkpoint)
    if checkpoint:
        config = fit_to_checkpoint(config, checkpoint)
    codec = model_limits(config, checkpoint) if checkpoint else _PUBLISHED_LIMITS
    planner = Planner(config, casting, tokens, codec)
    shard_seconds = [sum(each.predicted_seconds for each in shard.utterances) for shard in planner.shards()]
    warn(casting.row_warnings())
    if config.left_out:
        write_left_out(config.left_out, planner.left_out)
    frozen = as_frozen(config, checkpoint)
    if asked.input in STANDARD_INPUT:
        frozen = replace(frozen, input=str(kept_copy(asked)))
    digest = input_digest(config) if is_run(run_directory(config)) else ""  # reads all of the input again
    refusal = find_refusal(frozen, digest, () if checkpoint else _KEYS_OF_CHECKPOINT)
    config = replace(config, input=asked.input)
    forecast = make_forecast(config, planner.summary, shard_seconds, refusal)
    if config.json:
        show_json(dry_run_values(config, planner.summary, forecast))
    else:
        show(render_dry_run(config, planner.summary, forecast))
    return forecast.exit_code
