"""Messages between workers and the coordinator: small, picklable, the same for every executor, and without audio."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import PipelineError
from pipeline.types import ModelInfo


@dataclass(frozen=True)
class WorkItem:
    """A unit of work for one worker: a whole shard, or a sub-shard, which is some of its utterances."""

    shard: int
    positions: tuple[int, ...] | None = None  # of the utterances in the shard's plan; None: the whole shard
    exclusive: bool = False  # the worker gets nothing else meanwhile, so that its crash is due to this item

    @property
    def sub_shard(self) -> int | None:
        """Number of the sub-shard within its shard, which is its first position; None for a whole shard."""
        return None if self.positions is None else self.positions[0]


@dataclass(frozen=True)
class Started:
    """The worker exists and begins to load the model."""


@dataclass(frozen=True)
class Ready:
    """The model is loaded and warmed up."""

    model: ModelInfo


@dataclass(frozen=True)
class Claim:
    """A request for work. The answer is a `WorkItem` or None."""

    idle: bool  # the worker has nothing else to do and waits; the answer None then means that the run is finished


@dataclass(frozen=True)
class TakeDone:
    """A take was generated and checked."""

    shard: int
    seconds: float  # of audio
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
    num_reused: int = 0  # clips that were taken over from earlier work
    computed_seconds: float = 0.0  # audio that this worker's decoder has computed since the worker started


@dataclass(frozen=True)
class Failed:
    """An exception ends the worker."""

    error: PipelineError | None  # what the user has to correct; None: a bug, or a defective device
    text: str  # one line
    trace: str = ""


@dataclass(frozen=True)
class Died:
    """The worker has exited. Sent by its executor, not by the worker."""

    reason: str


Message = Started | Ready | Claim | TakeDone | PreviewStarted | ItemDone | Failed | Died
