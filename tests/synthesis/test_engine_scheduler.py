"""The scheduler and the entries of the cross-attention cache, without a model."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.synthesis.engine.conditioning import CrossCacheSlots
from pipeline.synthesis.engine.scheduler import Scheduler

lengths = st.lists(st.floats(0, 1e6), max_size=40)


def run(lengths: list[float], slots: int, seed: int = 0, restarts: int = 0) -> tuple[list[int], list[int]]:
    """Simulate a run whose items come in groups and finish in random order; return them as admitted and as released."""
    rng, scheduler, coming = random.Random(seed), Scheduler[int](slots), list(enumerate(lengths))
    admitted, released = [], []
    running: set[int] = set()
    while coming or not scheduler.is_idle:
        for _ in range(rng.randint(1, 2 * slots)):
            if coming:
                scheduler.add(*coming.pop(0))
        if not coming:
            scheduler.set_all_added()
        begun = scheduler.admit()
        admitted += [job for _, job in begun]
        running.update(slot for slot, _ in begun)
        assert scheduler.num_running == min(slots, scheduler.num_running + scheduler.num_waiting)
        if restarts and rng.random() < 0.3:
            restarts, slots = restarts - 1, max(1, slots // 2)
            scheduler.restart(slots)
            running.clear()
            continue
        slot = rng.choice(sorted(running))
        running.remove(slot)
        released.append(scheduler.release(slot))
    return admitted, released


@settings(max_examples=100, deadline=None)
@given(lengths, st.integers(1, 8), st.integers(0, 3), st.integers(0, 99))
def test_each_job_runs_to_its_end_once(predicted: list[float], slots: int, restarts: int, seed: int) -> None:
    """Guards against lost and duplicated utterances, also after restarts with fewer slots."""
    assert sorted(run(predicted, slots, seed, restarts)[1]) == list(range(len(predicted)))


@settings(max_examples=100, deadline=None)
@given(lengths, st.integers(1, 8))
def test_once_all_have_come_the_longest_begin_first(predicted: list[float], slots: int) -> None:
    """Guards the end of a run: a long item that starts last would leave all other slots idle."""
    scheduler, begun, running = Scheduler[float](slots), [], set()
    for length in predicted:
        scheduler.add(length, length)
    scheduler.set_all_added()
    while not scheduler.is_idle:
        for slot, job in scheduler.admit():
            begun.append(job)
            running.add(slot)
        scheduler.release(running.pop())
    assert begun == sorted(predicted, reverse=True)


def test_while_more_is_to_come_nobody_waits_for_ever() -> None:
    """Guards against a short utterance that waits until the end of a book because longer ones go first."""
    scheduler, length = Scheduler[str](2), 1.0
    scheduler.add("short", length)
    for number in range(5):
        scheduler.add(f"long {number}", length := length + 1)
    assert [job for _, job in scheduler.admit()] == ["short", "long 0"]
    scheduler.set_all_added()
    scheduler.release(0)
    assert scheduler.admit() == [(0, "long 4")]


def test_a_free_slot_is_filled_at_once() -> None:
    """Guards continuous batching: a free slot is filled while the others are running."""
    scheduler = Scheduler[int](slots=2)
    for job in range(5):
        scheduler.add(job, 10.0 - job)
    assert scheduler.admit() == [(0, 0), (1, 1)]
    assert scheduler.admit() == []
    scheduler.release(1)
    assert scheduler.admit() == [(1, 2)]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=60), st.integers(1, 6))
def test_rows_share_the_entry_of_their_description(arrivals: list[tuple[int, bool]], slots: int) -> None:
    """Guards shared entries: one for each description, and never overwritten while a row uses it."""
    entries, content, running = CrossCacheSlots(slots), {}, []
    for description, leaves_after in arrivals:
        if len(running) == slots:
            entries.release(running.pop(0)[1])
        index, is_new = entries.acquire(description)
        assert is_new == (content.get(index) != description)
        content[index] = description
        running.append((description, index))
        assert all(content[at] == wanted for wanted, at in running)
        assert entries.num_used > max(at for _, at in running)
        if leaves_after:
            entries.release(running.pop()[1])


def test_slots_are_as_many_as_will_be_busy() -> None:
    """Bug: a short story used a slot for each sentence, and most were idle while the longest sentence was generated."""
    scheduler: Scheduler[int] = Scheduler(0)
    for number, length in enumerate([12.0, *[2.0] * 18]):
        scheduler.add(number, length)
    assert scheduler.useful_slots == scheduler.num_waiting == 19  # more may come
    scheduler.set_all_added()
    assert scheduler.useful_slots == 5  # 48 in all, four times the longest, and some to spare
    few: Scheduler[int] = Scheduler(0)
    few.set_all_added()
    assert few.useful_slots == 0
    few.add(0, 3.0)
    assert few.useful_slots == 1


@pytest.mark.parametrize("all_have_come", [False, True])
def test_urgent_jobs_come_first(all_have_come: bool) -> None:
    """Guards the time to the first audio of a book: its title is short and would come last."""
    scheduler = Scheduler[str](2)
    scheduler.add("long", 9.0)
    scheduler.add("title", 1.0, priority=True)
    scheduler.add("longer", 10.0)
    scheduler.add("opening", 2.0, priority=True)
    if all_have_come:
        scheduler.set_all_added()
    assert {job for _, job in scheduler.admit()} == {"title", "opening"}
    scheduler.restart(4)
    assert [job for _, job in scheduler.admit()][2:] == (["longer", "long"] if all_have_come else ["long", "longer"])
