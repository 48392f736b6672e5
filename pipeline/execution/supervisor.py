"""Who does what next, when a worker is replaced, and which utterance kills workers.

Owns all decisions and no process: messages and the time come in, tasks and orders to start or end a worker go out.

A worker that dies takes the shards in its hands with it. Each is done again, alone, so that a second death is its own;
then it is cut in halves until the utterance that does it is alone. That one is rejected, and the pieces are put
together.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.config import ExecutorConfig
from pipeline.errors import PipelineError, WorkersLostError
from pipeline.execution.messages import Claim, Died, Done, Failed, Made, Message, Ready, Started, WorkItem

_FATAL_DEATHS = 2  # of a task that is alone: one may be an accident
_STARTS = 3  # of a worker that has never been ready
_LONGEST_BACKOFF_SECONDS = 60.0


@dataclass(frozen=True)
class SubShards:
    """A shard that was made in pieces, and what could not be made of it."""

    shard: int
    pieces: tuple[int, ...]
    poison: Mapping[int, str]  # reason by position


@dataclass
class _WorkerState:
    """Where a worker is, or will be again."""

    name: str
    start_at: float | None = 0.0  # None: a worker is there, or the place is given up
    is_alive: bool = False  # since it said so
    is_ready: bool = False
    was_ready: bool = False
    is_given_up: bool = False
    last_sign: float = 0.0
    deaths_in_a_row: int = 0
    verdict: str = ""  # why it is being ended, or its own last words
    claim: Claim | None = None
    tasks: list[WorkItem] = field(default_factory=list)


@dataclass
class _Inquiry:
    """A shard in pieces."""

    open: int = 0
    done: list[int] = field(default_factory=list)
    poison: dict[int, str] = field(default_factory=dict)


class Supervisor:
    """See the head of this module."""

    def __init__(
        self,
        shards: Sequence[int],
        places: Sequence[str],
        config: ExecutorConfig,
        size_of: Callable[[int], int],
        pieces: Sequence[WorkItem] = (),
        suspects: Sequence[WorkItem] = (),
    ) -> None:
        """Begins with everything to do.

        Args:
            shards: In the order in which they are begun.
            places: A name for each worker there shall be.
            config: Its limits.
            size_of: Number of utterances of a shard.
            pieces: Work on shards that are taken apart from the start.
            suspects: SubShards of one utterance that are known to have killed.
        """
        self.num_restarts = 0
        self.num_poisonous = 0
        self.error: PipelineError | None = None
        self._config = config
        self._size_of = size_of
        self._places = [_WorkerState(name) for name in places]
        self._waiting = deque(WorkItem(shard) for shard in shards)
        self._alone: deque[WorkItem] = deque()
        self._open = set(shards)
        self._deaths: Counter[WorkItem] = Counter(suspects)
        self._inquiries: dict[int, _Inquiry] = {}
        for task in (*pieces, *suspects):
            self._open_piece(task)

    @property
    def finished(self) -> bool:
        """Whether everything is done."""
        return not self._open

    @property
    def given_up(self) -> list[str]:
        """Names of the places that no worker comes to any more."""
        return [place.name for place in self._places if place.is_given_up]

    def assigned_items(self, number: int) -> tuple[WorkItem, ...]:
        """What the worker at a place is at."""
        return tuple(self._places[number].tasks)

    def exit_reason(self, number: int, reason: str) -> str:
        """Why the worker of a place has died, where its pool knows no more than `reason`."""
        return self._places[number].verdict or reason

    def workers_to_start(self, now: float) -> list[int]:
        """Places where a worker is to be started now; they count as started."""
        numbers = [i for i, place in enumerate(self._places) if place.start_at is not None and place.start_at <= now]
        for number in numbers:
            place = self._places[number]
            place.start_at, place.last_sign, place.verdict = None, now, ""
        return numbers

    def overdue(self, now: float) -> list[int]:
        """Places whose worker has hung and is to be ended now.

        One that is not there yet may wait for a machine as long as others are at work.
        """
        nobody_is_there = not any(place.is_alive for place in self._places)
        limit = self._config.hang_seconds
        numbers = []
        for number, place in enumerate(self._places):
            is_there = place.start_at is None and not place.is_given_up and not place.verdict
            owes_a_sign = bool(place.tasks) or not place.is_ready
            counts = place.is_alive or nobody_is_there
            if is_there and owes_a_sign and counts and now - place.last_sign > limit:
                place.verdict = f"hung: nothing came of it for {limit:g} s"
                numbers.append(number)
        return numbers

    def extend_deadlines(self, seconds: float, now: float) -> None:
        """For so long nobody has listened: that is no silence. The workers may have been suspended as well."""
        for place in self._places:
            place.last_sign = min(now, place.last_sign + seconds)

    def take(self, number: int, message: Message, now: float) -> None:
        """A worker, or its pool, has said something."""
        place = self._places[number]
        place.last_sign = now
        if isinstance(message, Started):
            place.is_alive = True
        elif isinstance(message, Ready):
            place.is_ready = place.was_ready = True
        elif isinstance(message, Claim):
            place.claim = message
        elif isinstance(message, Made):
            place.deaths_in_a_row = 0
        elif isinstance(message, Done):
            self._done(place, message.task)
        elif isinstance(message, Failed):
            self._failed(place, message)
        elif isinstance(message, Died):
            self._died(place, self.exit_reason(number, message.reason), now)

    def answers(self) -> Iterator[tuple[int, WorkItem | None]]:
        """Yields what is to be said to whom now."""
        for number, place in enumerate(self._places):
            if place.claim is None:
                continue
            task = self._next_for(place)
            if task is not None:
                place.tasks.append(task)
            elif place.claim.idle and not self.finished:
                continue  # others may still die and leave their shards
            place.claim = None
            yield number, task

    def merged_shards(self) -> Iterator[SubShards]:
        """Yields the shards whose pieces are all settled, once each; `close` them when they are put together."""
        for shard, inquiry in list(self._inquiries.items()):
            if not inquiry.open:
                del self._inquiries[shard]
                yield SubShards(shard, tuple(inquiry.done), inquiry.poison)

    def close(self, shard: int) -> None:
        """A shard is on the disk."""
        self._open.discard(shard)

    def _next_for(self, place: _WorkerState) -> WorkItem | None:
        if any(task.alone for task in place.tasks):
            return None
        # After a death, sound work first: it shows whether the device is to blame.
        if self._waiting and (place.tasks or place.deaths_in_a_row or not self._alone):
            return self._waiting.popleft()
        return self._alone.popleft() if self._alone and not place.tasks else None

    def _done(self, place: _WorkerState, task: WorkItem) -> None:
        place.tasks.remove(task)
        place.deaths_in_a_row = 0
        if task.piece is None:
            self.close(task.shard)
        else:
            inquiry = self._inquiries[task.shard]
            inquiry.open -= 1
            inquiry.done.append(task.piece)

    def _failed(self, place: _WorkerState, message: Failed) -> None:
        place.verdict = message.text
        if place.is_ready and message.error is not None:
            self.error = message.error  # what a person has to mend, e.g. a full disk: all others would meet it as well
        elif not place.is_ready:
            self._give_up(place, message.error)

    def _died(self, place: _WorkerState, reason: str, now: float) -> None:
        tasks, place.tasks, place.claim = place.tasks, [], None
        place.is_alive = place.is_ready = False
        place.deaths_in_a_row += 1
        for task in tasks:
            self._suspect(place, task, reason)
        if self.finished or place.is_given_up:
            return
        most = self._config.restarts if place.was_ready else _STARTS - 1
        if place.deaths_in_a_row > most:
            self._give_up(place, None, reason)
            return
        self.num_restarts += 1
        doublings = place.deaths_in_a_row - 2
        backoff = self._config.backoff_seconds * 2**doublings if doublings >= 0 else 0.0
        place.start_at = now + min(backoff, _LONGEST_BACKOFF_SECONDS)

    def _suspect(self, place: _WorkerState, task: WorkItem, reason: str) -> None:
        if not task.alone:  # it may have been another one in the same hands
            task = WorkItem(task.shard, alone=True)
        self._deaths[task] += 1
        positions = task.positions or tuple(range(self._size_of(task.shard)))
        cannot_be_cut = task.positions is None or len(positions) == 1
        if cannot_be_cut and self._deaths[task] < _FATAL_DEATHS:
            self._alone.append(task)
            return
        inquiry = self._inquiries.setdefault(task.shard, _Inquiry())
        inquiry.open -= task.positions is not None
        if len(positions) == 1:
            inquiry.poison[positions[0]] = reason
            self.num_poisonous += 1
            place.deaths_in_a_row = 0
            return
        middle = len(positions) // 2
        for half in (positions[:middle], positions[middle:]):
            self._open_piece(WorkItem(task.shard, half, alone=True))

    def _open_piece(self, task: WorkItem) -> None:
        self._open.add(task.shard)
        self._inquiries.setdefault(task.shard, _Inquiry()).open += 1
        self._alone.append(task)

    def _give_up(self, place: _WorkerState, error: PipelineError | None, reason: str = "") -> None:
        place.is_given_up = True
        if all(other.is_given_up for other in self._places):
            reason = reason or place.verdict
            self.error = error or WorkersLostError(
                f"no worker is left: the last one ended with {reason}; what is finished is kept, and the same command "
                "goes on from there"
            )
