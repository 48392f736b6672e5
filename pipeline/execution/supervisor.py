"""Assign work to workers, restart crashed or hung workers, and find the utterances that crash them.

The supervisor makes all decisions but controls no process: its inputs are messages and the time, its outputs are work
items, workers to start and workers to kill.

When a worker crashes, each shard that was assigned to it is generated again as the only work of a worker, so that a
second crash is caused by that shard. The shard is then bisected into sub-shards until the crashing utterance is alone.
That utterance is rejected, and the sub-shards are merged.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.config import ExecutorConfig
from pipeline.errors import PipelineError, WorkersLostError
from pipeline.execution.messages import Claim, Died, Failed, ItemDone, Message, Ready, Started, TakeDone, WorkItem

_FATAL_CRASHES = 2  # crashes of an exclusive item; a single crash may have another cause
_MAX_STARTS = 3  # attempts to start a worker that was never ready
_MAX_BACKOFF_SECONDS = 60.0


@dataclass(frozen=True)
class Workload:
    """Work to generate.

    Attributes:
        shards: Whole shards, in the order in which they are assigned.
        sub_shards: Parts of shards that are split from the start.
        suspects: Sub-shards of one utterance that crashed a worker in an earlier run. One more crash rejects them.
    """

    shards: tuple[int, ...] = ()
    sub_shards: tuple[WorkItem, ...] = ()
    suspects: tuple[WorkItem, ...] = ()


@dataclass(frozen=True)
class SplitShard:
    """A shard that was generated in sub-shards, all of which are settled.

    Attributes:
        shard: Index of the shard.
        sub_shards: Numbers of the sub-shards that are written.
        poison: Reject reason of each utterance that crashes workers, by its position in the shard.
    """

    shard: int
    sub_shards: tuple[int, ...]
    poison: Mapping[int, str]


@dataclass
class _WorkerState:
    name: str
    start_at: float | None = 0.0  # None: it was started or is retired
    is_alive: bool = False  # `Started` was received
    is_ready: bool = False
    was_ready: bool = False  # since the run started
    is_retired: bool = False
    last_heard: float = 0.0
    num_crashes: int = 0  # consecutive, without a take in between
    exit_reason: str = ""  # set before the exit if the worker hung or reported a failure
    claim: Claim | None = None
    items: list[WorkItem] = field(default_factory=list)


@dataclass
class _Split:
    """A shard that is being generated in sub-shards."""

    num_open: int = 0
    done: list[int] = field(default_factory=list)
    poison: dict[int, str] = field(default_factory=dict)


class Supervisor:
    """The state of a run's workers and of its remaining work. Workers are numbered from 0."""

    def __init__(
        self, workload: Workload, worker_names: Sequence[str], config: ExecutorConfig, size_of: Callable[[int], int]
    ) -> None:
        """Queue the workload without starting workers.

        Args:
            workload: Work to generate.
            worker_names: Name of each worker.
            config: Limits of restarts, hang time and backoff.
            size_of: Returns the number of utterances of a shard.
        """
        self.num_restarts = 0
        self.num_poison = 0
        self.error: PipelineError | None = None  # error that ends the run
        self._config = config
        self._size_of = size_of
        self._workers = [_WorkerState(name) for name in worker_names]
        self._queue = deque(WorkItem(shard) for shard in workload.shards)
        self._exclusive_queue: deque[WorkItem] = deque()
        self._open_shards = set(workload.shards)
        self._crash_counts: Counter[WorkItem] = Counter(workload.suspects)
        self._splits: dict[int, _Split] = {}
        for item in (*workload.sub_shards, *workload.suspects):
            self._add_sub_shard(item)

    @property
    def finished(self) -> bool:
        """Return whether every shard is written."""
        return not self._open_shards

    @property
    def retired(self) -> list[str]:
        """Names of the workers that are not restarted again."""
        return [worker.name for worker in self._workers if worker.is_retired]

    def assigned_items(self, number: int) -> tuple[WorkItem, ...]:
        """Return the items that a worker has claimed and not finished."""
        return tuple(self._workers[number].items)

    def exit_reason(self, number: int, reason: str) -> str:
        """Return why a worker exited: the reason known here, otherwise `reason` from its executor."""
        return self._workers[number].exit_reason or reason

    def workers_to_start(self, now: float) -> list[int]:
        """Return the workers that the caller must start now, and mark them as started."""
        due = [
            number
            for number, worker in enumerate(self._workers)
            if worker.start_at is not None and worker.start_at <= now
        ]
        for number in due:
            worker = self._workers[number]
            worker.start_at, worker.last_heard, worker.exit_reason = None, now, ""
        return due

    def hung_workers(self, now: float) -> list[int]:
        """Return the workers that the caller must kill now, each once.

        A worker that has not reported `Started` may be waiting for a machine. It counts as hung only if no other worker
        is alive.
        """
        is_any_alive = any(worker.is_alive for worker in self._workers)
        limit = self._config.hang_seconds
        hung = []
        for number, worker in enumerate(self._workers):
            is_started = worker.start_at is None and not worker.is_retired and not worker.exit_reason
            is_busy = bool(worker.items) or not worker.is_ready
            is_watched = worker.is_alive or not is_any_alive
            if is_started and is_busy and is_watched and now - worker.last_heard > limit:
                worker.exit_reason = f"hung: no message for {limit:g} s"
                hung.append(number)
        return hung

    def extend_deadlines(self, seconds: float, now: float) -> None:
        """Extend all deadlines by the time for which this process, and perhaps the workers, were suspended."""
        for worker in self._workers:
            worker.last_heard = min(now, worker.last_heard + seconds)

    def handle(self, number: int, message: Message, now: float) -> None:
        """Update the state with a message from or about a worker."""
        worker = self._workers[number]
        worker.last_heard = now
        if isinstance(message, Started):
            worker.is_alive = True
        elif isinstance(message, Ready):
            worker.is_ready = worker.was_ready = True
        elif isinstance(message, Claim):
            worker.claim = message
        elif isinstance(message, TakeDone):
            worker.num_crashes = 0
        elif isinstance(message, ItemDone):
            self._finish_item(worker, message.item)
        elif isinstance(message, Failed):
            self._handle_failure(worker, message)
        elif isinstance(message, Died):
            self._handle_death(worker, self.exit_reason(number, message.reason), now)

    def answers(self) -> Iterator[tuple[int, WorkItem | None]]:
        """Yield (worker number, answer) for each claim that can be answered now."""
        for number, worker in enumerate(self._workers):
            if worker.claim is None:
                continue
            item = self._next_item(worker)
            if item is not None:
                worker.items.append(item)
            elif worker.claim.idle and not self.finished:
                continue  # keep it waiting: another worker may crash, and its items are then free
            worker.claim = None
            yield number, item

    def shards_to_merge(self) -> Iterator[SplitShard]:
        """Yield each shard whose sub-shards are all settled, once. The caller merges it and calls `close_shard`."""
        for shard, split in list(self._splits.items()):
            if not split.num_open:
                del self._splits[shard]
                yield SplitShard(shard, tuple(split.done), split.poison)

    def close_shard(self, shard: int) -> None:
        """Record that a shard is written."""
        self._open_shards.discard(shard)

    def _next_item(self, worker: _WorkerState) -> WorkItem | None:
        if any(item.exclusive for item in worker.items):
            return None
        # After a crash, first assign a shard that no worker has crashed on, to find out whether the device works.
        if self._queue and (worker.items or worker.num_crashes or not self._exclusive_queue):
            return self._queue.popleft()
        return self._exclusive_queue.popleft() if self._exclusive_queue and not worker.items else None

    def _finish_item(self, worker: _WorkerState, item: WorkItem) -> None:
        worker.items.remove(item)
        worker.num_crashes = 0
        if item.sub_shard is None:
            self.close_shard(item.shard)
        else:
            split = self._splits[item.shard]
            split.num_open -= 1
            split.done.append(item.sub_shard)

    def _handle_failure(self, worker: _WorkerState, message: Failed) -> None:
        worker.exit_reason = message.text
        if worker.is_ready and message.error is not None:
            self.error = message.error  # e.g. a full disk, which affects every worker
        elif not worker.is_ready:
            self._retire(worker, message.error)

    def _handle_death(self, worker: _WorkerState, reason: str, now: float) -> None:
        items, worker.items, worker.claim = worker.items, [], None
        worker.is_alive = worker.is_ready = False
        worker.num_crashes += 1
        for item in items:
            self._requeue(worker, item, reason)
        if self.finished or worker.is_retired:
            return
        max_restarts = self._config.restarts if worker.was_ready else _MAX_STARTS - 1
        if worker.num_crashes > max_restarts:
            self._retire(worker, None, reason)
            return
        self.num_restarts += 1
        num_doublings = worker.num_crashes - 2
        backoff = self._config.backoff_seconds * 2**num_doublings if num_doublings >= 0 else 0.0
        worker.start_at = now + min(backoff, _MAX_BACKOFF_SECONDS)

    def _requeue(self, worker: _WorkerState, item: WorkItem, reason: str) -> None:
        """Queue an item of a crashed worker again, whole or in halves, or reject it if it is a single utterance."""
        if not item.exclusive:  # another item may have caused the crash
            item = WorkItem(item.shard, exclusive=True)
        self._crash_counts[item] += 1
        positions = item.positions or tuple(range(self._size_of(item.shard)))
        needs_second_crash = item.positions is None or len(positions) == 1
        if needs_second_crash and self._crash_counts[item] < _FATAL_CRASHES:
            self._exclusive_queue.append(item)
            return
        split = self._splits.setdefault(item.shard, _Split())
        split.num_open -= item.positions is not None
        if len(positions) == 1:
            split.poison[positions[0]] = reason
            self.num_poison += 1
            worker.num_crashes = 0
            return
        middle = len(positions) // 2
        for half in (positions[:middle], positions[middle:]):
            self._add_sub_shard(WorkItem(item.shard, half, exclusive=True))

    def _add_sub_shard(self, item: WorkItem) -> None:
        self._open_shards.add(item.shard)
        self._splits.setdefault(item.shard, _Split()).num_open += 1
        self._exclusive_queue.append(item)

    def _retire(self, worker: _WorkerState, error: PipelineError | None, reason: str = "") -> None:
        worker.is_retired = True
        if all(other.is_retired for other in self._workers):
            reason = reason or worker.exit_reason
            self.error = error or WorkersLostError(
                f"all workers have stopped; the last one: {reason}. Finished shards are kept. Correct the cause and "
                "rerun the same command to resume."
            )
