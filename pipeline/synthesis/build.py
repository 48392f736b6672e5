"""Chooses device and precision, loads the model, and puts the chosen backend around it."""

from __future__ import annotations

from importlib.util import find_spec

import torch

from pipeline.config import BUILTIN_MODELS, EngineConfig, ModelConfig
from pipeline.errors import ConfigError, ModelError, PipelineError
from pipeline.synthesis import Synthesizer, upstream
from pipeline.synthesis.checkpoint import Checkpoint, find_checkpoint
from pipeline.synthesis.engine.engine import EngineSynthesizer
from pipeline.synthesis.reference import ReferenceSynthesizer
from pipeline.synthesis.tokenizers import load_tokenizers
from pipeline.types import ModelInfo


def build(model: str | ModelConfig | Checkpoint, engine: EngineConfig) -> Synthesizer:
    """See `pipeline.synthesis.build_synthesizer`."""
    device, dtype = check(engine)
    checkpoint = _checkpoint(model)
    sampling = checkpoint.sampling(engine.sampling)
    tokenizers = load_tokenizers(checkpoint)
    # On a GPU the engine's codec keeps its weights as saved: rounded to bfloat16 they alone are 45 dB from the truth.
    keeps_codec = engine.backend == "engine" and device.type != "cpu"
    parler = _load(checkpoint, engine.attention, dtype, device, torch.float32 if keeps_codec else dtype)
    backend = EngineSynthesizer if engine.backend == "engine" else ReferenceSynthesizer
    return backend(parler, tokenizers, describe(checkpoint, engine), engine, sampling)


def check(engine: EngineConfig) -> tuple[torch.device, torch.dtype]:
    """Device and precision for these settings, or a `ConfigError` for what cannot work here."""
    device = choose_device(engine.device)
    dtype = choose_dtype(engine.dtype, device)
    check_attention(engine.attention, device, dtype)
    if engine.backend == "engine":
        check_engine(engine, device)
    return device, dtype


def describe(checkpoint: Checkpoint, engine: EngineConfig) -> ModelInfo:
    """What is known of a checkpoint under these settings, without loading it."""
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


def choose_device(name: str) -> torch.device:
    """The torch device for `engine.device`; auto takes the first CUDA device, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"engine.device={name}: give auto, cpu, cuda, cuda:1 or mps") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"engine.device={name}: there are {torch.cuda.device_count()} CUDA devices here; give auto or cpu"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("engine.device=mps: not available here; give auto or cpu")
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """The precision for `engine.dtype`; auto takes bfloat16 on a GPU that computes in it (compute capability 8)."""
    if name == "auto":
        good = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if good else torch.float32
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def check_attention(attention: str, device: torch.device, dtype: torch.dtype) -> None:
    """Refuses flash attention 2 where it cannot run, before anything is loaded."""
    if attention != "flash_attention_2":
        return
    if find_spec("flash_attn") is None:
        raise ConfigError(
            "engine.attention=flash_attention_2: the package flash-attn is not installed (pip install flash-attn "
            "--no-build-isolation); engine.attention=sdpa needs nothing"
        )
    if device.type != "cuda" or dtype == torch.float32:
        raise ConfigError(
            f"engine.attention=flash_attention_2: needs a CUDA device and bfloat16 or float16, here {device} and "
            f"{str(dtype).removeprefix('torch.')}; give engine.attention=sdpa"
        )


def check_engine(engine: EngineConfig, device: torch.device) -> None:
    """Refuses what only the reference backend can do. The engine's cache is always static."""
    if engine.attention == "flash_attention_2":
        raise ConfigError(
            "engine.attention=flash_attention_2: the engine has attention of its own; give engine.attention=sdpa, or "
            "engine.backend=reference"
        )
    if engine.compile != "none" and device.type != "cuda":
        raise ConfigError(
            f"engine.compile={engine.compile}: the engine compiles on CUDA devices only, here {device}; give "
            "engine.compile=none, or engine.backend=reference"
        )


def _checkpoint(model: str | ModelConfig | Checkpoint) -> Checkpoint:
    if isinstance(model, Checkpoint):
        return model
    if isinstance(model, str):
        model = ModelConfig(name=model, path="" if model in BUILTIN_MODELS else model)
    return find_checkpoint(model)


def _load(
    checkpoint: Checkpoint, attention: str, dtype: torch.dtype, device: torch.device, codec_dtype: torch.dtype
) -> upstream.Parler:
    try:
        return upstream.load(
            checkpoint.folder, attention=attention, dtype=dtype, device=device, codec_dtype=codec_dtype
        )
    except PipelineError:
        raise
    except Exception as error:  # config.json is a stranger's: whatever upstream makes of a value has to be one line
        first_line = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        raise ModelError(
            f"{checkpoint.model_id}: cannot be loaded as a Parler-TTS checkpoint ({first_line})"
        ) from error
