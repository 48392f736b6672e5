"""Steps before planning: check the input, choose the voices, and complete the config from the checkpoint."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import islice
from pathlib import Path

from pipeline.commands.voice_setup import announce_voice, set_up_voices
from pipeline.config import Config, SamplingConfig
from pipeline.errors import ConfigError, ModelError
from pipeline.planning.buckets import ModelLimits
from pipeline.reporting.progress import say, warn
from pipeline.synthesis.checkpoint import Checkpoint
from pipeline.text.readers.dispatch import check_source, read_documents
from pipeline.text.readers.inputs import is_there
from pipeline.voices import Casting

_SHARE_OF_LIMIT = 0.8  # longest segment / longest audio of a checkpoint; below 1, since predictions are inexact


def check_input(config: Config) -> str:
    """Read the input up to its first text and return the language of that text. Check the book cover, too.

    Raises:
        PipelineError: The input or the cover cannot be used, or the input of an audiobook is a table of texts.
    """
    if config.task.name != "audiobook":
        language = check_source(config.input, config.source).language
    else:
        documents = list(islice(read_documents(config.input, config.source), 2))
        language = documents[0].language if documents else check_source(config.input, config.source).language
        if len(documents) > 1:
            raise ConfigError(f"{config.input}: a table of texts cannot become an audiobook; use task=dataset")
    if config.book.cover:
        from pipeline.outputs.audiobook.containers import check_cover  # imports PyAV

        check_cover(Path(config.book.cover))
    return language


def choose_voices(config: Config, language: str, checkpoint: Checkpoint | None) -> tuple[Config, Casting]:
    """Choose the voices and print them. `checkpoint` is None if it has not been downloaded yet."""
    chosen, casting = set_up_voices(config, language, checkpoint.folder if checkpoint else None)
    announce_voice(config, chosen, casting)
    warn(casting.warnings)
    return chosen, casting


def as_frozen(config: Config, checkpoint: Checkpoint | None) -> Config:
    """Return the config to freeze, completed with values from the checkpoint (None: not downloaded yet)."""
    source = os.path.normpath(config.input) if is_there(config.input) else config.input  # ./a -> a
    config = replace(config, input=source)
    if checkpoint is None:
        return config
    return replace(
        config,
        model=replace(
            config.model,
            revision=checkpoint.revision,
            description_tokenizer_revision=checkpoint.description_tokenizer_revision,
        ),
        engine=replace(config.engine, sampling=SamplingConfig(**vars(checkpoint.sampling(config.engine.sampling)))),
    )


def fit_to_checkpoint(config: Config, checkpoint: Checkpoint) -> Config:
    """Limit the segment length to what the checkpoint can generate, and warn about its unsupported settings.

    Raises:
        ModelError: The checkpoint generates less than a usable length.
    """
    if checkpoint.generation.unsupported:
        settings = ", ".join(checkpoint.generation.unsupported)
        warn([f"{checkpoint.model_id}: {settings} in generation_config.json not supported and ignored"])
    if config.text.max_seconds <= checkpoint.max_seconds:
        return config
    seconds = round(_SHARE_OF_LIMIT * checkpoint.max_seconds, 1)
    if seconds < 1:
        limit = f"max_length={checkpoint.generation.max_length} in its generation_config.json"
        raise ModelError(f"{checkpoint.model_id}: {limit} allows {checkpoint.max_seconds:.1f} s, too little for speech")
    say(
        f"{checkpoint.model_id} generates at most {checkpoint.max_seconds:.1f} s of audio: text.max_seconds is reduced "
        f"from {config.text.max_seconds:g} to {seconds:g}"
    )
    minimum = min(config.text.min_seconds, seconds / 2)
    return replace(config, text=replace(config.text, max_seconds=seconds, min_seconds=minimum))


def model_limits(config: Config, checkpoint: Checkpoint) -> ModelLimits:
    """Return the limits of a checkpoint that planning needs."""
    max_seconds = min(config.model.max_seconds, checkpoint.max_seconds)
    return ModelLimits(checkpoint.sampling_rate, checkpoint.frames_per_second, max_seconds, checkpoint.max_positions)
