"""The backend `engine`: checks settings and loads a checkpoint into an `EngineSynthesizer`."""

from __future__ import annotations

import torch

from pipeline.config import EngineConfig
from pipeline.errors import ConfigError
from pipeline.synthesis.build import load_model
from pipeline.synthesis.checkpoint import Checkpoint
from pipeline.synthesis.devices import choose_device
from pipeline.synthesis.engine.engine import EngineSynthesizer
from pipeline.synthesis.engine.strategy import Strategy


class EngineBackend:
    """A `Backend` with continuous batching. `engine.cache` has no effect: its cache is always static."""

    def check(self, engine: EngineConfig) -> None:
        """See `Backend.check`."""
        device = choose_device(engine.device)
        if engine.attention == "flash_attention_2":
            raise ConfigError(
                "engine.attention=flash_attention_2: the engine has its own attention; give engine.attention=sdpa, or "
                "engine.backend=reference"
            )
        if engine.compile != "none" and device.type != "cuda":
            raise ConfigError(
                f"engine.compile={engine.compile}: the engine compiles on CUDA devices only, not on {device}; give "
                "engine.compile=none, or engine.backend=reference"
            )

    def build(
        self, checkpoint: Checkpoint, engine: EngineConfig, strategy: Strategy | None = None
    ) -> EngineSynthesizer:
        """See `Backend.build`; `strategy` replaces the one for the kind of device."""
        # On a GPU the codec computes in float16. Its weights are loaded in float32 for that: rounded to the bfloat16 of
        # the model first, they would limit the signal-to-noise ratio to 45 dB.
        codec_dtype = None if choose_device(engine.device).type == "cpu" else torch.float32
        return EngineSynthesizer(load_model(checkpoint, engine, codec_dtype), engine, strategy)


BACKEND = EngineBackend()
