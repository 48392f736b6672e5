"""The threads between decoder, codec and caller, without a model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from pipeline.synthesis.engine.overlap import overlapped


def count_to(n: int) -> Callable[[Callable[[int], None]], None]:
    def produce(emit: Callable[[int], None]) -> None:
        for i in range(n):
            emit(i)

    return produce


@pytest.mark.parametrize("finishers", [1, 3])
@pytest.mark.parametrize("ahead", [1, 64])
def test_every_value_is_finished_once(finishers: int, ahead: int) -> None:
    """Guards against clips lost or doubled between threads."""
    results = list(overlapped(count_to(50), lambda value: value * 2, finishers=finishers, ahead=ahead))
    assert sorted(results) == [2 * i for i in range(50)]


def test_the_producer_helps_when_it_is_done() -> None:
    """Guards the end of a run, when the codec is behind and the decoder's core would idle."""
    names: set[str] = set()

    def finish(value: int) -> int:
        names.add(threading.current_thread().name)
        time.sleep(0.01)
        return value

    list(overlapped(count_to(10), finish, finishers=1))
    assert len(names) == 2


def broken_producer(emit: Callable[[int], None]) -> None:
    emit(1)
    raise ZeroDivisionError("producer")


def broken_finisher(value: int) -> int:
    raise ZeroDivisionError("finisher")


@pytest.mark.parametrize(
    ("produce", "finish", "message"),
    [(broken_producer, lambda value: value, "producer"), (count_to(5), broken_finisher, "finisher")],
)
def test_errors_come_out_where_the_results_are_wanted(
    produce: Callable[[Callable[[int], None]], None], finish: Callable[[int], int], message: str
) -> None:
    """Guards against a thread that dies silently and a caller that waits for ever."""
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError, match=message):
        list(overlapped(produce, finish, finishers=2))
    assert threading.active_count() == before


def test_a_consumer_may_leave() -> None:
    """Guards against threads that go on when nobody listens, also those that wait at a full queue."""
    before, emitted = threading.active_count(), []

    def produce(emit: Callable[[int], None]) -> None:
        for i in range(10_000):
            emitted.append(i)
            emit(i)
            time.sleep(0.001)

    results = overlapped(produce, lambda value: value, finishers=2, ahead=2)
    next(results)
    results.close()
    assert threading.active_count() == before
    assert len(emitted) < 10_000
