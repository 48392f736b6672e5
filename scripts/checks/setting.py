"""The device, and the models on it that checks ask for. Knows nothing of what is checked."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from pipeline.config import EngineConfig, ModelConfig
from pipeline.synthesis import upstream
from pipeline.synthesis.checkpoint import find_checkpoint
from pipeline.synthesis.engine.backend import BACKEND
from pipeline.synthesis.engine.codec import Codec
from pipeline.synthesis.engine.engine import EngineSynthesizer
from pipeline.synthesis.engine.strategy import Strategy
from pipeline.synthesis.untrained import UntrainedShape, make_untrained
from pipeline.types import Clip
from scripts.bench import SHAPES
from scripts.cases import TINY

PUBLISHED_CODEC = dataclasses.replace(  # with a decoder that is made quickly
    SHAPES["mini"], hidden=64, layers=2, heads=4, kv_heads=4, cross_kv_heads=4, ffn=128, text_hidden=64
)


@dataclass(frozen=True)
class Check:
    """One line of the table."""

    name: str
    run: Callable[[], str]  # what was found; raises what is wrong
    measures: bool = False  # whether it finds a figure, and nothing can be wrong with it
    needs_cuda: bool = False  # whether a CPU has nothing to say to it


@dataclass
class Setting:
    """Where and how checks run."""

    device: torch.device
    tiny: bool
    bandwidth: float  # bytes a second
    shapes: tuple[str, ...]  # of the models whose speed is measured
    folder: Path
    _checkpoints: dict[UntrainedShape, Path] = field(default_factory=dict)

    @property
    def dtype(self) -> str:
        """What speed is measured in."""
        return "bfloat16" if self.device.type == "cuda" else "float32"

    def checkpoint(self, shape: UntrainedShape) -> Path:
        """The folder of an untrained checkpoint, made when it is first asked for."""
        if shape not in self._checkpoints:
            self._checkpoints[shape] = make_untrained(self.folder / str(len(self._checkpoints)), shape)
        return self._checkpoints[shape]

    def engine(self, shape: UntrainedShape, strategy: Strategy | None = None, **settings: Any) -> EngineSynthesizer:
        """A new engine."""
        checkpoint = find_checkpoint(ModelConfig(name="untrained", path=str(self.checkpoint(shape))))
        engine = EngineConfig(backend="engine", device=str(self.device), **settings)
        return BACKEND.build(checkpoint, engine, strategy)

    def codec(self, dtype: torch.dtype, loaded: torch.dtype = torch.float32) -> Codec:
        """A new codec, of a checkpoint that was loaded in one precision, computing in another."""
        folder = self.checkpoint(TINY if self.tiny else PUBLISHED_CODEC)
        model = upstream.load(folder, attention="sdpa", dtype=loaded, device=self.device)
        return Codec(model.audio_encoder, dtype)

    def seconds(self, work: Callable[[], object], repeats: int = 5) -> float:
        """Median seconds of some work, once it has been done before, until the device has done it."""
        work()
        self.wait()
        taken = []
        for _ in range(repeats):
            began = time.perf_counter()
            work()
            self.wait()
            taken.append(time.perf_counter() - began)
        return statistics.median(taken)

    def wait(self) -> None:
        """Until the device has nothing to do."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def by_id(clips: Iterable[Clip]) -> dict[str, Clip]:
    """Clips by their utterances' ids."""
    return {clip.utterance.id: clip for clip in clips}
