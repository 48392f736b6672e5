"""Backends: the ways to generate audio with a checkpoint, found by the name that `engine.backend` gives.

`engine` batches continuously and is the default; `reference` calls upstream's `generate()` and defines what is right.
Another distribution adds one under the entry points `parler_pipeline.backends`; a program adds one with `BACKENDS.add`,
for its own process: the worker processes of a run on several devices find entry points only. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from pipeline import config
from pipeline.config import EngineConfig
from pipeline.registry import Registry
from pipeline.types import Bucket, Clip, ModelInfo, Utterance

if TYPE_CHECKING:
    from pipeline.synthesis.checkpoint import Checkpoint

__all__ = ["BACKENDS", "Backend", "Synthesizer"]


class Synthesizer(Protocol):
    """A loaded model that turns utterances into clips.

    Attributes:
        info: What the other stages need to know about the model.
    """

    info: ModelInfo

    @property
    def computed_frames(self) -> int:
        """Decoder steps so far, summed over the rows of each batch: padding and idle rows are included."""
        ...

    def warm_up(self, buckets: Iterable[Bucket]) -> None:
        """Prepare for these shapes: allocate, compile, capture."""

    def generate(self, utterances: Iterable[Utterance | None]) -> Iterator[Clip]:
        """Yield one clip for each utterance, in the order in which they are finished.

        Args:
            utterances: Iterated in the caller's thread, inside `next`, and only a limited number ahead of the clips
                that were yielded. It may therefore be endless, or depend on earlier clips. It yields None where it
                cannot say what follows before it has seen another clip; it is asked again after that clip.
        """
        ...

    def close(self) -> None:
        """Release the memory of the model."""


class Backend(Protocol):
    """A way to generate audio. One object serves all checkpoints and settings."""

    def check(self, engine: EngineConfig) -> None:
        """Refuse settings that cannot work on this machine. Called before anything is loaded or written.

        Raises:
            ConfigError: A setting that this backend does not support, or a device or package that is missing.
        """

    def build(self, checkpoint: Checkpoint, engine: EngineConfig) -> Synthesizer:
        """Load a checkpoint.

        The `info` of the synthesizer must be what `pipeline.synthesis.describe_model` returns for the same arguments:
        plans are made with that, and clips of a run are reused only with the same precision and kind of device.

        Args:
            checkpoint: Files on this machine, validated.
            engine: Settings that have passed `check`.

        Raises:
            ModelError: The checkpoint cannot be loaded.
        """
        ...


BACKENDS: Registry[Backend] = config.BACKENDS
