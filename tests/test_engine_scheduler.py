"""The scheduler, without a model: plain records in, plain records out."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.synthesis.engine.conditioning import Entries
from pipeline.synthesis.engine.scheduler import Job, Scheduler

lengths = st.lists(st.floats(0, 1e6), max_size=40)


def run(jobs: list[Job], slots: int, seed: int = 0, restarts: int = 0) -> list[int]:
    """Plays a run with jobs that end in random order; the indices in the order of their release."""
    rng, scheduler, released = random.Random(seed), Scheduler(jobs, slots), []
    while not scheduler.finished:
        scheduler.admit()
        assert len(scheduler.running) <= slots
        if restarts and rng.random() < 0.3:
            restarts, slots = restarts - 1, max(1, slots // 2)
            scheduler.restart(slots)
            continue
        released.append(scheduler.release(rng.choice(sorted(scheduler.running))).index)
    return released


@settings(max_examples=100, deadline=None)
@given(lengths, st.integers(1, 8), st.integers(0, 3))
def test_each_job_runs_to_its_end_once(predicted: list[float], slots: int, restarts: int) -> None:
    """Guards against lost and doubled utterances, also when memory ran out on the way."""
    jobs = [Job(index, length) for index, length in enumerate(predicted)]
    assert sorted(run(jobs, slots, restarts=restarts)) == list(range(len(jobs)))


@settings(max_examples=100, deadline=None)
@given(lengths, st.integers(1, 8))
def test_the_longest_begin_first(predicted: list[float], slots: int) -> None:
    """Guards the order: a long one that begins last leaves all other slots idle."""
    scheduler = Scheduler([Job(index, length) for index, length in enumerate(predicted)], slots)
    begun = []
    while not scheduler.finished:
        begun += [admission.job.predicted_length for admission in scheduler.admit()]
        scheduler.release(min(scheduler.running))
    assert begun == sorted(predicted, reverse=True)


def test_a_free_slot_is_filled_at_once() -> None:
    """Guards continuous batching itself: no slot waits for the others."""
    scheduler = Scheduler([Job(index, 10.0 - index) for index in range(5)], slots=2)
    assert [(a.slot, a.job.index) for a in scheduler.admit()] == [(0, 0), (1, 1)]
    assert scheduler.admit() == []
    scheduler.release(1)
    assert [(a.slot, a.job.index) for a in scheduler.admit()] == [(1, 2)]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=60), st.integers(1, 6))
def test_rows_share_the_entry_of_their_description(arrivals: list[tuple[int, bool]], slots: int) -> None:
    """Guards the sharing of keys and values: same description, same entry; never taken from a row that looks at it."""
    entries, content, running = Entries(slots), {}, []
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
