"""Utterances become clips. The only room that knows torch models; `build_synthesizer` is its door.

from pipeline.synthesis import build_synthesizer
from pipeline.types import Utterance

synthesizer = build_synthesizer("parler-tts/parler-tts-mini-v1", device="cuda", dtype="bfloat16")
for clip in synthesizer.generate([Utterance("Hello there.", "Jon's voice is calm and clear.", seed=1)]):
soundfile.write("hello.wav", clip.samples, clip.sampling_rate)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.config import EngineConfig, ModelConfig
from pipeline.types import Bucket, Clip, ModelInfo, Utterance

if TYPE_CHECKING:
    from pipeline.synthesis.checkpoint import Checkpoint


class Synthesizer(Protocol):
    """What turns utterances into clips."""

    info: ModelInfo

    @property
    def computed_frames(self) -> int:
        """Rows x steps so far, padding and waiting rows included."""
        ...

    def warm_up(self, buckets: Iterable[Bucket]) -> None:
        """Prepares (compiles, captures) for these shapes."""

    def generate(self, utterances: Iterable[Utterance | None]) -> Iterator[Clip]:
        """Yields one clip for each utterance, as they are done: not always in the order given.

        Utterances are drawn as they are needed, in the caller's thread and only inside `next`: never many more than the
        clips that were yielded. So they may come from a generator that has no end, or that looks at clips so far. One
        that can say no more until it has seen another clip gives None, and is asked again after that.
        """
        ...

    def close(self) -> None:
        """Frees the model's memory."""


def build_synthesizer(model: str | ModelConfig | Checkpoint, **engine: Any) -> Synthesizer:
    """Loads a model and makes it ready to generate.

    Args:
        model: A folder or a hub id, a `ModelConfig`, or a checkpoint that was already found.
        engine: Fields of `EngineConfig`: backend, device, dtype, attention, compile, cache, batch_size, sampling. What
            is left out of the sampling is the checkpoint's own.

    Raises:
        ConfigError: A setting that cannot work, or not on this machine.
        ModelError: The checkpoint cannot be found or loaded.
    """
    from pipeline.synthesis.build import build  # imports torch

    return build(model, EngineConfig(**engine))


def check_settings(engine: EngineConfig) -> None:
    """Says what cannot work on this machine, before anything is loaded or written; raises `ConfigError`."""
    from pipeline.synthesis.build import check  # imports torch

    check(engine)


def describe_model(checkpoint: Checkpoint, engine: EngineConfig) -> ModelInfo:
    """What is known of a model under these settings, without loading it."""
    from pipeline.synthesis.build import describe  # imports torch

    return describe(checkpoint, engine)
