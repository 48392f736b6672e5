"""The pipeline of threads between decoder, codec and caller, without a model."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import pytest

from pipeline.synthesis.engine.async_pipeline import Inbox, Outbox, PipelineLimits, run_pipeline


def forward(inbox: Inbox[int], outbox: Outbox[int]) -> None:
    """A producer that emits what it receives."""
    while not inbox.has_ended:
        for value in inbox.receive(wait=True):
            outbox.emit(value)


def unchanged(values: Sequence[int]) -> Sequence[int]:
    return values


def doubled(values: Sequence[int]) -> Sequence[int]:
    return [2 * value for value in values]


@pytest.mark.parametrize("num_finishers", [1, 3])
@pytest.mark.parametrize("max_in_flight", [1, 64])
def test_every_value_is_finished_once(num_finishers: int, max_in_flight: int) -> None:
    """Guards against clips lost or doubled between threads."""
    results = list(run_pipeline(range(50), forward, doubled, PipelineLimits(max_in_flight, num_finishers)))
    assert sorted(results) == [2 * i for i in range(50)]


def test_the_producer_helps_when_it_is_done() -> None:
    """Guards the end of a run, where the codec is behind and the decoder's core would be idle."""
    names: set[str] = set()

    def finish(values: Sequence[int]) -> Sequence[int]:
        names.add(threading.current_thread().name)
        time.sleep(0.01)
        return values

    list(run_pipeline(range(10), forward, finish, PipelineLimits(10, 1)))
    assert len(names) == 2


def test_the_producer_may_help_before() -> None:
    """Guards the use of cores: a producer can finish values itself, and sees when all are finished."""
    names: list[str] = []

    def produce(inbox: Inbox[int], outbox: Outbox[int]) -> None:
        for value in inbox.receive(wait=True):
            outbox.emit(value)
        assert not outbox.is_idle
        while outbox.backlog:
            outbox.finish_one()
        outbox.finish_one()  # with nothing to do it does nothing
        names.append("producer is free")

    def finish(values: Sequence[int]) -> Sequence[int]:
        names.append(threading.current_thread().name)
        time.sleep(0.01)
        return values

    assert sorted(run_pipeline(range(10), produce, finish, PipelineLimits(10, 1))) == list(range(10))
    assert len(set(names[: names.index("producer is free")])) == 2


def test_values_that_wait_are_finished_together() -> None:
    """Guards the codec's batches: a finisher waits a moment for more values, up to the limit of a batch."""
    together: list[int] = []

    def finish(values: Sequence[int]) -> Sequence[int]:
        together.append(len(values))
        return values

    results = run_pipeline(range(20), forward, finish, PipelineLimits(20, 1, max_batch=8, linger_seconds=5.0))
    assert sorted(next(results) for _ in range(8)) == list(range(8))
    results.close()
    assert together[0] == 8, "all come within the time that is lingered"
    results = run_pipeline(range(20), forward, finish, PipelineLimits(3, 1, max_batch=8, linger_seconds=0.001))
    assert sorted(results) == list(range(20)), "more than can be under way is waited for no longer than that"
    assert max(together) <= 8


def test_no_finisher_waits_for_company_that_does_not_come() -> None:
    """Guards against a finisher that waits forever for a second value, which another finisher has taken."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # so that threads meet; with a SimpleQueue twenty rounds were enough
    try:
        for _ in range(60):
            results = run_pipeline(
                range(300), forward, unchanged, PipelineLimits(6, 3, max_batch=4, linger_seconds=1e-5)
            )
            assert sorted(results) == list(range(300))
    finally:
        sys.setswitchinterval(before)


def test_a_producer_that_helps_sees_the_end() -> None:
    """Guards against a producer that takes the mark of the end for a value, and puts it back forever."""
    before = threading.active_count()

    def produce(inbox: Inbox[int], outbox: Outbox[int]) -> None:
        forward(inbox, outbox)
        while True:
            outbox.finish_one()

    assert sorted(run_pipeline(range(5), produce, unchanged, PipelineLimits(3, 1))) == list(range(5))
    assert threading.active_count() == before


def test_a_source_without_end_is_drawn_from_as_results_are_taken() -> None:
    """Guards constant memory: the number of items in flight is limited, also with a slow caller."""
    drawn = 0

    def count() -> Iterator[int]:
        nonlocal drawn
        while True:
            yield (drawn := drawn + 1)

    before = threading.active_count()
    results = run_pipeline(count(), forward, unchanged, PipelineLimits(5, 2))
    for taken in range(1, 200):
        next(results)
        assert drawn <= taken + 5
    results.close()
    assert threading.active_count() == before


def test_a_source_may_depend_on_results() -> None:
    """Guards retakes: a source may yield items that depend on results."""
    again: list[int] = []

    def source() -> Iterator[int]:
        for value in range(20):
            yield value
            yield from again
            again.clear()

    results = []
    for result in run_pipeline(source(), forward, unchanged, PipelineLimits(3, 1)):
        results.append(result)
        if 0 <= result < 10:
            again.append(-result - 1)
    assert sorted(results) == list(range(-10, 20))


def test_a_source_is_drawn_from_in_the_callers_thread() -> None:
    """Guards sources with locks or connections that belong to a thread."""
    threads = set()

    def source() -> Iterator[int]:
        for value in range(20):
            threads.add(threading.current_thread())
            yield value

    list(run_pipeline(source(), forward, unchanged, PipelineLimits(3, 1)))
    assert threads == {threading.current_thread()}


def broken_source() -> Iterator[int]:
    yield from range(10)
    raise ZeroDivisionError("source")


def broken_producer(inbox: Inbox[int], outbox: Outbox[int]) -> None:
    outbox.emit(inbox.receive(wait=True)[0])
    raise ZeroDivisionError("producer")


def broken_finisher(values: Sequence[int]) -> Sequence[int]:
    raise ZeroDivisionError("finisher")


@pytest.mark.parametrize(
    ("source", "produce", "finish", "message"),
    [
        (broken_source(), forward, unchanged, "source"),
        (range(5), broken_producer, unchanged, "producer"),
        (range(5), forward, broken_finisher, "finisher"),
    ],
    ids=["source", "producer", "finisher"],
)
def test_errors_come_out_where_the_results_are_wanted(
    source: Iterable[int],
    produce: Callable[[Inbox[int], Outbox[int]], None],
    finish: Callable[[Sequence[int]], Sequence[int]],
    message: str,
) -> None:
    """Guards against a thread that fails silently, and a caller that waits forever."""
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError, match=message):
        list(run_pipeline(source, produce, finish, PipelineLimits(4, 2)))
    assert threading.active_count() == before


def test_nothing_comes_of_nothing() -> None:
    """Guards an empty source, for which no thread is started."""
    assert list(run_pipeline([], broken_producer, broken_finisher, PipelineLimits(3, 1))) == []


def test_a_consumer_may_leave() -> None:
    """Guards against threads that continue after the consumer has left."""
    before, emitted = threading.active_count(), []

    def produce(inbox: Inbox[int], outbox: Outbox[int]) -> None:
        for value in inbox.receive(wait=True):
            emitted.append(value)
            outbox.emit(value)
            time.sleep(0.001)

    results = run_pipeline(range(10_000), produce, unchanged, PipelineLimits(10_000, 2))
    next(results)
    results.close()
    assert threading.active_count() == before
    assert len(emitted) < 10_000


@pytest.mark.parametrize("num_finishers", [1, 2])
@pytest.mark.parametrize("max_in_flight", [1, 3, 64])
def test_a_source_may_run_dry_and_go_on(num_finishers: int, max_in_flight: int) -> None:
    """Guards retakes: a paused source continues after the next result, and the pipeline ends when it is exhausted."""
    asked = list(range(9))

    def source() -> Iterator[int | None]:
        while asked or under:
            yield asked.pop() if asked else None

    under, results = 9, []
    for result in run_pipeline(source(), forward, unchanged, PipelineLimits(max_in_flight, num_finishers)):
        results.append(result)
        if result in (2, 5, 105):
            asked.append(result + 100)  # once more
        else:
            under -= 1
    assert sorted(results) == [*range(9), 102, 105, 205]


def test_a_producer_is_told_when_its_source_runs_dry() -> None:
    """Guards the choice of slots, which depends on whether more requests may come."""
    told: list[tuple[list[int], bool, bool]] = []

    def produce(inbox: Inbox[int], outbox: Outbox[int]) -> None:
        while not inbox.has_ended:
            values = inbox.receive(wait=True)
            told.append((values, inbox.has_paused, inbox.has_ended))
            for value in values:
                outbox.emit(value)

    assert list(run_pipeline(iter([1, 2, None]), produce, unchanged, PipelineLimits(9, 1))) == [1, 2]
    assert told[0] == ([1, 2], True, False)
