"""A pipeline of threads: one producer and some finishers between a caller's source and the caller. Knows no models.

The decoder generates codes in one thread, the codec decodes them in others, and the caller reads, encodes and writes in
its own, so that no stage waits for another. torch releases the interpreter's lock while it computes, so threads are
enough. The number of items in flight is limited: the source is read again when the caller takes a result. So a source
may be endless, and a slow caller slows the other stages down.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

Item = TypeVar("Item")
Value = TypeVar("Value")
Value_in = TypeVar("Value_in", contravariant=True)
Result = TypeVar("Result")


@dataclass(frozen=True)
class PipelineLimits:
    """Sizes of a pipeline.

    Attributes:
        max_in_flight: Items that were read from the source and whose results were not taken yet, at most.
        num_finishers: Threads that finish values, besides the producer's.
        max_batch: Values that are finished in one call, at most.
        linger_seconds: How long a finisher waits for a full batch after its first value.
    """

    max_in_flight: int
    num_finishers: int
    max_batch: int = 1
    linger_seconds: float = 0.0


class _Stopped(Exception):  # noqa: N818  # unwinds a thread whose consumer has left; not an error
    pass


@dataclass(frozen=True)
class _Failure:
    error: BaseException


_END = object()
_PAUSE = object()


class Inbox(Generic[Item]):
    """The items that were read from the source, for the producer.

    Attributes:
        has_ended: No more items will come.
        has_paused: The source yielded None: more items come only in response to results.
    """

    def __init__(self) -> None:
        self.has_ended = False
        self.has_paused = False
        self._queue: queue.SimpleQueue[Item | object] = queue.SimpleQueue()
        self._stop = threading.Event()

    def receive(self, *, wait: bool) -> list[Item]:
        """Return all items that have come; with `wait` at least one, unless the source has ended."""
        received: list[Item] = []
        while not self.has_ended:
            try:
                item = self._queue.get(block=wait and not received)
            except queue.Empty:
                break
            if item is _END:
                self.has_ended = True
            elif item is _PAUSE:
                self.has_paused = True
            else:
                received.append(item)  # type: ignore[arg-type]  # all but the marks are Items
        self.check()
        return received

    def check(self) -> None:
        """Unwind the calling thread if the consumer has left."""
        if self._stop.is_set():
            raise _Stopped

    def put(self, item: Item) -> None:
        """Add an item."""
        self._queue.put(item)

    def pause(self) -> None:
        """Mark that no more items come before another result."""
        self._queue.put(_PAUSE)

    def end(self) -> None:
        """Mark the end of the source."""
        self._queue.put(_END)

    def stop(self) -> None:
        """Tell the threads that the consumer has left."""
        self._stop.set()
        self.end()


class Outbox(Protocol[Value_in]):
    """Where the producer puts its values."""

    @property
    def backlog(self) -> int:
        """Values that no finisher has taken yet."""

    @property
    def is_idle(self) -> bool:
        """Return whether all values are finished."""

    def emit(self, value: Value_in) -> None:
        """Pass a value to the finishers."""

    def finish_one(self) -> None:
        """Finish a value in the calling thread, if one is waiting."""


Produce = Callable[[Inbox[Item], Outbox[Value]], None]
Finish = Callable[[Sequence[Value]], Iterable[Result]]


def run_pipeline(
    source: Iterable[Item | None],
    produce: Produce[Item, Value],
    finish: Finish[Value, Result],
    limits: PipelineLimits,
) -> Iterator[Result]:
    """Yield a result for each item of a source, in the order in which they are finished.

    Args:
        source: Read in the caller's thread, and only inside `next`. None means: no more items before another result.
        produce: Called once, in its own thread, with its inbox and an outbox. It emits one value for each item. When it
            returns, its thread joins the finishers; it may finish single values before.
        finish: Turns values into results, one for each. Called in several threads at the same time.
        limits: Sizes of the pipeline.

    Raises:
        Exception: The first that was raised in any thread. Closing the generator stops all threads and waits for them.
    """
    pipeline, items = _Pipeline(produce, finish, limits), iter(source)
    num_missing = pipeline.fill(items, limits.max_in_flight)  # results that are to come
    if not num_missing:
        return
    tasks = [pipeline.produce_then_finish, *[pipeline.finish_all] * limits.num_finishers]
    threads = [threading.Thread(target=task, daemon=True) for task in tasks]
    for thread in threads:
        thread.start()
    try:
        while num_missing:
            result = pipeline.results.get()
            if isinstance(result, _Failure):
                raise result.error
            num_missing -= 1
            yield result
            num_missing += pipeline.fill(items, limits.max_in_flight - num_missing)
    finally:
        pipeline.inbox.stop()
        pipeline.values.put(_END)
        for thread in threads:
            thread.join()


class _Pipeline(Generic[Item, Value, Result]):
    """The queues between the threads. It is the producer's `Outbox`."""

    def __init__(self, produce: Produce[Item, Value], finish: Finish[Value, Result], limits: PipelineLimits) -> None:
        self.inbox: Inbox[Item] = Inbox()
        # Not a SimpleQueue: up to CPython 3.12 its `get` with a timeout may wait forever, if another thread takes the
        # value at the moment when the time is over.
        self.values: queue.Queue[Value | object] = queue.Queue()
        self.results: queue.SimpleQueue[Result | _Failure] = queue.SimpleQueue()
        self._produce = produce
        self._finish = finish
        self._limits = limits
        self._is_source_exhausted = False
        self._num_unfinished = 0
        self._count_lock = threading.Lock()

    @property
    def backlog(self) -> int:
        return self.values.qsize()

    @property
    def is_idle(self) -> bool:
        return not self._num_unfinished

    def emit(self, value: Value) -> None:
        self.inbox.check()
        with self._count_lock:
            self._num_unfinished += 1
        self.values.put(value)

    def finish_one(self) -> None:
        with suppress(queue.Empty):
            if (value := self.values.get_nowait()) is _END:  # the consumer has left, or has all results
                self.values.put(_END)
                self.inbox.check()
            else:
                self._finish_values([value])  # type: ignore[list-item]  # all but the mark are Values

    def fill(self, items: Iterator[Item | None], max_items: int) -> int:
        """Read items into the inbox, and return how many there were."""
        for num_read in range(max_items):
            if self._is_source_exhausted:
                return num_read
            item = next(items, _END)
            if item is _END:
                self._is_source_exhausted = True
                self.inbox.end()
                return num_read
            if item is None:
                self.inbox.pause()
                return num_read
            self.inbox.put(item)  # type: ignore[arg-type]  # all but the mark are Items
        return max_items

    def produce_then_finish(self) -> None:
        """Run the producer's thread."""

        def work() -> None:
            self._produce(self.inbox, self)
            self._finish_all()

        self._run(work)

    def finish_all(self) -> None:
        """Run a finisher's thread."""
        self._run(self._finish_all)

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except _Stopped:
            return
        except BaseException as error:  # raised again in the consumer's thread
            self.results.put(_Failure(error))

    def _finish_all(self) -> None:
        while values := self._next_batch():
            self._finish_values(values)

    def _next_batch(self) -> list[Value]:
        """Wait for a value, then a moment for more; return none at the end."""
        values: list[Value] = []
        timeout: float | None = None  # for the first value, no limit
        first_at = 0.0
        while len(values) < self._limits.max_batch:
            try:
                value = self.values.get(timeout=timeout)
            except queue.Empty:
                break
            if value is _END:
                self.values.put(_END)  # for the next finisher, and for the next call
                break
            values.append(value)  # type: ignore[arg-type]  # all but the mark are Values
            first_at = first_at or time.monotonic()
            timeout = max(0.0, first_at + self._limits.linger_seconds - time.monotonic())
        return values

    def _finish_values(self, values: Sequence[Value]) -> None:
        self.inbox.check()
        for result in self._finish(values):
            with self._count_lock:
                self._num_unfinished -= 1
            self.results.put(result)
