"""Find a checkpoint, check the settings, and load the model with the backend that `engine.backend` names."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pipeline.config import BUILTIN_MODELS, EngineConfig, ModelConfig
from pipeline.errors import ModelError, PipelineError
from pipeline.synthesis import upstream
from pipeline.synthesis.backend import BACKENDS, Synthesizer
from pipeline.synthesis.checkpoint import Checkpoint, find_checkpoint
from pipeline.synthesis.devices import choose_device, choose_dtype
from pipeline.synthesis.tokenizers import Tokenizers, load_tokenizers
from pipeline.types import ModelInfo, Sampling


@dataclass(frozen=True)
class LoadedModel:
    """A checkpoint in memory, as the backends `engine` and `reference` take it."""

    parler: upstream.Parler
    tokenizers: Tokenizers
    info: ModelInfo
    sampling: Sampling


def build(model: str | ModelConfig | Checkpoint, engine: EngineConfig) -> Synthesizer:
    """See `pipeline.synthesis.build_synthesizer`."""
    backend = BACKENDS.get(engine.backend)
    backend.check(engine)
    return backend.build(_find(model), engine)


def check(engine: EngineConfig) -> None:
    """See `pipeline.synthesis.check_settings`."""
    BACKENDS.get(engine.backend).check(engine)


def describe(checkpoint: Checkpoint, engine: EngineConfig) -> ModelInfo:
    """See `pipeline.synthesis.describe_model`."""
    device = choose_device(engine.device)
    return ModelInfo(
        model_id=checkpoint.model_id,
        revision=checkpoint.revision,
        sampling_rate=checkpoint.sampling_rate,
        frames_per_second=checkpoint.frames_per_second,
        max_frames=checkpoint.max_frames,
        num_codebooks=checkpoint.num_codebooks,
        dtype=str(choose_dtype(engine.dtype, device)).removeprefix("torch."),
        device=str(device),
        description_tokenizer=checkpoint.description_tokenizer_name,
    )


def load_model(checkpoint: Checkpoint, engine: EngineConfig, codec_dtype: torch.dtype | None = None) -> LoadedModel:
    """Load the weights and tokenizers of a checkpoint.

    Args:
        checkpoint: What to load.
        engine: Device, precision, attention and sampling.
        codec_dtype: Precision of the codec; None: that of the model.

    Raises:
        ModelError: The files are damaged, or describe a model that parler_tts cannot build.
    """
    sampling = checkpoint.sampling(engine.sampling)
    tokenizers = load_tokenizers(checkpoint)
    device = choose_device(engine.device)
    try:
        parler = upstream.load(
            checkpoint.folder,
            attention=engine.attention,
            dtype=choose_dtype(engine.dtype, device),
            device=device,
            codec_dtype=codec_dtype,
        )
    except PipelineError:
        raise
    except Exception as error:  # upstream may raise anything for an unexpected value in config.json
        first_line = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        raise ModelError(
            f"{checkpoint.model_id}: cannot be loaded as a Parler-TTS checkpoint ({first_line})"
        ) from error
    return LoadedModel(parler, tokenizers, describe(checkpoint, engine), sampling)


def _find(model: str | ModelConfig | Checkpoint) -> Checkpoint:
    if isinstance(model, Checkpoint):
        return model
    if isinstance(model, str):
        model = ModelConfig(name=model, path="" if model in BUILTIN_MODELS else model)
    return find_checkpoint(model)
