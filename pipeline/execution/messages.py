"""What a worker and its supervisor say to each other: small, plain, the same over a pipe and over Ray. No audio."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import PipelineError
from pipeline.types import ModelInfo


@dataclass(frozen=True)
class WorkItem:
    """What a worker is given to do: a shard, or some utterances of one."""

    shard: int
    positions: tuple[int, ...] | None = None  # in the shard's plan; None: all, and the shard is written
    alone: bool = False  # nothing else may be in its worker's hands: if that dies, this was it

    @property
    def piece(self) -> int | None:
        """Number of the piece among those of its shard: its first position."""
        return None if self.positions is None else self.positions[0]


@dataclass(frozen=True)
class Started:
    """The process is there and begins to load."""


@dataclass(frozen=True)
class Ready:
    """The model is loaded and warm."""

    model: ModelInfo


@dataclass(frozen=True)
class Claim:
    """Asks for a task. The answer is a `WorkItem` or None."""

    idle: bool  # has nothing to do, and waits for the answer; None then means that the run is over


@dataclass(frozen=True)
class Made:
    """A take is done."""

    shard: int
    seconds: float  # of audio
    accepted: bool


@dataclass(frozen=True)
class PreviewStarted:
    """There is something to listen to."""

    path: str


@dataclass(frozen=True)
class Done:
    """A task is done and its file written."""

    task: WorkItem
    num_utterances: int
    num_reused: int = 0  # rows that were made before
    computed_seconds: float = 0.0  # of audio, by this worker since it is there: what its decoder computed


@dataclass(frozen=True)
class Failed:
    """An exception ends the worker."""

    error: PipelineError | None  # for the user to mend; None: a bug, or a device in trouble
    text: str  # in one line
    trace: str = ""


@dataclass(frozen=True)
class Died:
    """The worker is gone. Said by its pool, not by itself."""

    reason: str


Message = Started | Ready | Claim | Made | PreviewStarted | Done | Failed | Died
