"""A producer and its finishers in threads, with results handed to whoever asks. Knows nothing of models.

The decoder makes codes in one thread, the codec turns them into samples in others, and the caller encodes and writes in
its own: none waits for another. torch lets go of the interpreter's lock while it computes, so threads are enough.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

Value = TypeVar("Value")
Result = TypeVar("Result")
_PATIENCE_SECONDS = 0.1  # how long a full queue is waited for before looking whether the consumer has left


class _Stopped(Exception):  # noqa: N818  # unwinds a thread whose consumer has left; it is no error
    pass


@dataclass(frozen=True)
class _Failure:
    error: BaseException


_END = object()


def overlapped(
    produce: Callable[[Callable[[Value], None]], None],
    finish: Callable[[Value], Result],
    *,
    finishers: int,
    ahead: int = 64,
) -> Iterator[Result]:
    """Yields `finish(value)` for each value that `produce` emits, as they are done: not always in order.

    The producer's thread joins the finishers when it has nothing more to produce.

    Args:
        produce: Called once, with the function that takes its values.
        finish: Called in several threads at once.
        finishers: Threads besides the producer's.
        ahead: Results that may wait for the consumer before the finishers pause.

    Raises:
        Exception: The first that either of them raised. Closing the generator stops all threads and waits for them.
    """
    pipeline = _Overlap(produce, finish, ahead)
    tasks = [pipeline.produce_then_finish, *[pipeline.finish_all] * finishers]
    threads = [threading.Thread(target=pipeline.run, args=(task,), daemon=True) for task in tasks]
    for thread in threads:
        thread.start()
    try:
        left = len(threads)
        while left:
            result = pipeline.done.get()
            if isinstance(result, _Failure):
                raise result.error
            if result is _END:
                left -= 1
            else:
                yield result  # type: ignore[misc]  # neither mark is a Result
    finally:
        pipeline.stop.set()
        pipeline.todo.put(_END)
        for thread in threads:
            thread.join()


class _Overlap(Generic[Value, Result]):
    def __init__(
        self, produce: Callable[[Callable[[Value], None]], None], finish: Callable[[Value], Result], ahead: int
    ) -> None:
        self.todo: queue.SimpleQueue[Value | object] = queue.SimpleQueue()
        self.done: queue.Queue[Result | _Failure | object] = queue.Queue(maxsize=ahead)
        self.stop = threading.Event()
        self._produce = produce
        self._finish = finish

    def run(self, task: Callable[[], None]) -> None:
        """A thread's life."""
        try:
            task()
            self._hand_over(_END)
        except _Stopped:
            return
        except BaseException as error:  # raised again in the consumer's thread
            try:
                self._hand_over(_Failure(error))
            except _Stopped:
                return

    def produce_then_finish(self) -> None:
        self._produce(self._emit)
        self.todo.put(_END)
        self.finish_all()

    def finish_all(self) -> None:
        while (value := self.todo.get()) is not _END:
            self._hand_over(self._finish(value))  # type: ignore[arg-type]  # all but the mark are Values
        self.todo.put(_END)  # for the next finisher

    def _emit(self, value: Value) -> None:
        if self.stop.is_set():
            raise _Stopped
        self.todo.put(value)

    def _hand_over(self, result: Result | _Failure | object) -> None:
        while not self.stop.is_set():
            try:
                return self.done.put(result, timeout=_PATIENCE_SECONDS)
            except queue.Full:
                continue
        raise _Stopped
