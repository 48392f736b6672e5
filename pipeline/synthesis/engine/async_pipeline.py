"""A producer and its finishers in threads, between a caller's source and the caller. Knows nothing of models.

The decoder makes codes in one thread, the codec turns them into samples in others, and the caller reads, encodes and
writes in its own: none waits for another. torch lets go of the interpreter's lock while it computes, so threads are
enough. So many items are under way at a time, and no more: each result that the caller takes lets one more in. So a
source may be endless, and a caller that is slow makes the others wait.
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


class _Stopped(Exception):  # noqa: N818  # unwinds a thread whose consumer has left; it is no error
    pass


@dataclass(frozen=True)
class _Failure:
    error: BaseException


_END = object()
_LULL = object()


class Inbox(Generic[Item]):
    """What has been drawn from the source for the producer."""

    def __init__(self) -> None:
        self.ended = False  # nothing will come any more
        self.lulled = False  # whether the source has run dry: what may still come is what results ask for
        self._queue: queue.SimpleQueue[Item | object] = queue.SimpleQueue()
        self._stop = threading.Event()

    def take(self, *, wait: bool) -> list[Item]:
        """All that have come; with `wait` at least one, unless the source has ended."""
        taken: list[Item] = []
        while not self.ended:
            try:
                item = self._queue.get(block=wait and not taken)
            except queue.Empty:
                break
            if item is _END:
                self.ended = True
            elif item is _LULL:
                self.lulled = True
            else:
                taken.append(item)  # type: ignore[arg-type]  # all but the mark are Items
        self.check()
        return taken

    def check(self) -> None:
        """Ends the calling thread's work if nobody wants it any more."""
        if self._stop.is_set():
            raise _Stopped

    def put(self, item: Item) -> None:
        """Hands over one item."""
        self._queue.put(item)

    def pause(self) -> None:
        """Says that no more comes for now."""
        self._queue.put(_LULL)

    def end(self) -> None:
        """Says that the last has been put."""
        self._queue.put(_END)

    def stop(self) -> None:
        """Says that nothing is wanted any more."""
        self._stop.set()
        self.end()


class Outbox(Protocol[Value_in]):
    """Where the producer's values go."""

    @property
    def backlog(self) -> int:
        """Values that no finisher has taken yet."""

    @property
    def is_idle(self) -> bool:
        """Whether all values are finished."""

    def emit(self, value: Value_in) -> None:
        """Hands over one value."""

    def finish_one(self) -> None:
        """Finishes a value in the calling thread, if one is waiting."""


def overlapped(
    source: Iterable[Item | None],
    produce: Callable[[Inbox[Item], Outbox[Value]], None],
    finish: Callable[[Sequence[Value]], Iterable[Result]],
    *,
    finishers: int,
    under_way: int,
    at_once: int = 1,
    linger_seconds: float = 0.0,
) -> Iterator[Result]:
    """Yields a result for each item of `source`, as they are done: not always in order.

    Args:
        source: Drawn from by the caller's thread, and only inside `next`. None: no more before another result.
        produce: Called once, in a thread of its own, with its inbox and with the outbox for its values: one for each
            item. That thread joins the finishers when it has nothing more to produce, and before if it likes.
        finish: Makes values into their results. Called in several threads at once.
        finishers: Threads besides the producer's.
        under_way: Items at most that have been drawn and whose results have not been taken.
        at_once: Values at most that `finish` is given together.
        linger_seconds: How long, after the first of them, it may be waited for more.

    Raises:
        Exception: The first that any of them raised. Closing the generator stops all threads and waits for them.
    """
    overlap, items = _Overlap(produce, finish, at_once, linger_seconds), iter(source)
    missing = overlap.fill(items, under_way)  # results that are to come
    if not missing:
        return
    tasks = [overlap.produce_then_finish, *[overlap.finish_all] * finishers]
    threads = [threading.Thread(target=task, daemon=True) for task in tasks]
    for thread in threads:
        thread.start()
    try:
        while missing:
            result = overlap.done.get()
            if isinstance(result, _Failure):
                raise result.error
            missing -= 1
            yield result
            missing += overlap.fill(items, under_way - missing)
    finally:
        overlap.inbox.stop()
        overlap.todo.put(_END)
        for thread in threads:
            thread.join()


class _Overlap(Generic[Item, Value, Result]):
    def __init__(
        self,
        produce: Callable[[Inbox[Item], Outbox[Value]], None],
        finish: Callable[[Sequence[Value]], Iterable[Result]],
        at_once: int,
        linger_seconds: float,
    ) -> None:
        self.inbox: Inbox[Item] = Inbox()
        # No SimpleQueue: up to CPython 3.12 its `get` may wait for ever, whatever its timeout, where another thread is
        # quicker and takes the value as the time runs out.
        self.todo: queue.Queue[Value | object] = queue.Queue()
        self.done: queue.SimpleQueue[Result | _Failure] = queue.SimpleQueue()
        self._produce = produce
        self._finish = finish
        self._at_once = at_once
        self._linger_seconds = linger_seconds
        self._is_drawn_out = False
        self._num_unfinished = 0
        self._lock = threading.Lock()  # of the number

    @property
    def backlog(self) -> int:
        return self.todo.qsize()

    @property
    def is_idle(self) -> bool:
        return not self._num_unfinished

    def emit(self, value: Value) -> None:
        self.inbox.check()
        with self._lock:
            self._num_unfinished += 1
        self.todo.put(value)

    def finish_one(self) -> None:
        with suppress(queue.Empty):
            if (value := self.todo.get_nowait()) is _END:  # the consumer has left, or has all it wanted
                self.todo.put(_END)
                self.inbox.check()
            else:
                self._finish_values([value])  # type: ignore[list-item]  # all but the mark are Values

    def fill(self, items: Iterator[Item | None], most: int) -> int:
        """Draws up to so many items into the inbox; how many there were."""
        for drawn in range(most):
            if self._is_drawn_out:
                return drawn
            item = next(items, _END)
            if item is _END:
                self._is_drawn_out = True
                self.inbox.end()
                return drawn
            if item is None:
                self.inbox.pause()
                return drawn
            self.inbox.put(item)  # type: ignore[arg-type]  # all but the mark are Items
        return most

    def produce_then_finish(self) -> None:
        """The producer's thread."""

        def work() -> None:
            self._produce(self.inbox, self)
            self._finish_all()

        self._run(work)

    def finish_all(self) -> None:
        """A finisher's thread."""
        self._run(self._finish_all)

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except _Stopped:
            return
        except BaseException as error:  # raised again in the consumer's thread
            self.done.put(_Failure(error))

    def _finish_all(self) -> None:
        while values := self._next_values():
            self._finish_values(values)

    def _next_values(self) -> list[Value]:
        """Waits for values, and a moment for more; none once the end has come."""
        values: list[Value] = []
        patience: float | None = None  # for the first, as long as it takes
        began = 0.0
        while len(values) < self._at_once:
            try:
                value = self.todo.get(timeout=patience)
            except queue.Empty:
                break
            if value is _END:
                self.todo.put(_END)  # for the next finisher, and for this one's next look
                break
            values.append(value)  # type: ignore[arg-type]  # all but the mark are Values
            began = began or time.monotonic()
            patience = max(0.0, began + self._linger_seconds - time.monotonic())
        return values

    def _finish_values(self, values: Sequence[Value]) -> None:
        self.inbox.check()
        for result in self._finish(values):
            with self._lock:
                self._num_unfinished -= 1
            self.done.put(result)
