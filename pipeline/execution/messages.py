"""Messages between workers and the coordinator: small, picklable, without audio, and the same for all executors."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import PipelineError
from pipeline.types import ModelInfo


@dataclass(frozen=True)
class WorkItem:
    """Unit of work for one worker: a whole shard, or a sub-shard, which has some utterances of a shard."""

    shard: int
    positions: tuple[int, ...] | None = None  # indices of utterances in the shard's plan; None: the whole shard
    exclusive: bool = False  # the worker has no other item, so a crash is caused by this one

    @property
    def sub_shard(self) -> int | None:
        """Number of the sub-shard within its shard: its first position. None for a whole shard."""
        return None if self.positions is None else self.positions[0]


@dataclass(frozen=True)
class Started:
    """The worker has started and begins to load the model."""


@dataclass(frozen=True)
class Ready:
    """The model is loaded and warmed up."""

    model: ModelInfo


@dataclass(frozen=True)
class Claim:
    """A request for work. The answer is a `WorkItem` or None."""

    idle: bool  # the worker has no other work and waits for the answer; None then means that the run is finished


@dataclass(frozen=True)
class TakeDone:
    """A take was generated and checked."""

    shard: int
    seconds: float  # duration of the audio
    accepted: bool


@dataclass(frozen=True)
class PreviewStarted:
    """The first clips of a book can be played."""

    path: str


@dataclass(frozen=True)
class ItemDone:
    """A work item is finished and its file written."""

    item: WorkItem
    num_utterances: int
    num_reused: int = 0  # clips reused from earlier work
    computed_seconds: float = 0.0  # audio decoded since the worker started, with padding and retakes


@dataclass(frozen=True)
class Failed:
    """An exception ends the worker."""

    error: PipelineError | None  # error that the user must correct; None: a bug or a defective device
    text: str  # one line
    trace: str = ""  # traceback, for bugs


@dataclass(frozen=True)
class Died:
    """The worker has exited. The executor sends this message."""

    reason: str


Message = Started | Ready | Claim | TakeDone | PreviewStarted | ItemDone | Failed | Died
