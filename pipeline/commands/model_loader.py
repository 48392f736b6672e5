"""Functions with which the commands load a model; tests pass their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.config import EngineConfig
from pipeline.planning.planner import TokenCounter
from pipeline.synthesis import Synthesizer, build_synthesizer, describe_model
from pipeline.synthesis.checkpoint import Checkpoint
from pipeline.synthesis.tokenizers import load_tokenizers
from pipeline.types import ModelInfo


@dataclass(frozen=True)
class ModelLoader:
    """The functions that load the parts of a model.

    Attributes:
        build: Like `build_synthesizer`. Worker processes import it by its name.
        describe: Like `describe_model`.
        tokenizers: Like `load_tokenizers`.
    """

    build: Callable[..., Synthesizer] = build_synthesizer
    describe: Callable[[Checkpoint, EngineConfig], ModelInfo] = describe_model
    tokenizers: Callable[[Checkpoint], TokenCounter] = load_tokenizers
