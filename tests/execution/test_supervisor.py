"""Decisions of the supervisor, with fake workers and a fake clock: who works, who is replaced, what is rejected."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable
from types import SimpleNamespace
from typing import cast

import pytest

from pipeline.config import ExecutorConfig
from pipeline.errors import ModelError, RunDirectoryError, WorkersLostError
from pipeline.execution.coordinator import Coordinator
from pipeline.execution.messages import Claim, Died, Failed, ItemDone, Message, Ready, Started, TakeDone, WorkItem
from pipeline.execution.pool import supervise
from pipeline.execution.supervisor import SplitShard, Supervisor, Workload
from pipeline.types import ModelInfo

READY = Ready(ModelInfo("fake", "r1", 8_000, 50.0, 1500, 4, "float32", "cpu"))
SIZE = 8
LIMITS = ExecutorConfig(hang_seconds=100.0, restarts=16, backoff_seconds=0.0)


class FakeCrew:
    """A supervisor with fake workers that take up to two shards each, and a clock."""

    def __init__(
        self,
        shards: Iterable[int] = (),
        workers: int = 1,
        limits: ExecutorConfig = LIMITS,
        **more: tuple[WorkItem, ...],
    ) -> None:
        names = [f"w{number}" for number in range(workers)]
        self.supervisor = Supervisor(Workload(tuple(shards), **more), names, limits, lambda _: SIZE)
        self.now = 0.0
        self.given: list[WorkItem] = []
        self.splits: list[SplitShard] = []

    def start(self) -> list[int]:
        numbers = self.supervisor.workers_to_start(self.now)
        for number in numbers:
            self.supervisor.handle(number, Started(), self.now)
            self.supervisor.handle(number, READY, self.now)
        return numbers

    def claim(self, number: int = 0, idle: bool = True) -> WorkItem | None:
        self.supervisor.handle(number, Claim(idle), self.now)
        item = dict(self.supervisor.answers()).get(number)
        self.given += [item] if item else []
        return item

    def done(self, item: WorkItem, number: int = 0) -> None:
        self.supervisor.handle(number, ItemDone(item, SIZE), self.now)
        self.merge()

    def die(self, number: int = 0, reason: str = "ended by SIGKILL") -> None:
        self.supervisor.handle(number, Died(reason), self.now)
        self.merge()

    def merge(self) -> None:
        for split in self.supervisor.shards_to_merge():
            self.splits.append(split)
            self.supervisor.close_shard(split.shard)

    def run(self, poison: set[tuple[int, int]], workers: int = 1, limit: int = 200) -> None:
        """Work until everything is done or the run has failed; a worker that gets poison dies."""
        for _ in range(limit):
            if self.supervisor.finished or self.supervisor.error:
                return
            self.start()
            for number in range(workers):
                items = [item] if (item := self.claim(number)) else []
                if items and (another := self.claim(number, idle=False)):
                    items.append(another)
                touched = {(each.shard, at) for each in items for at in (each.positions or range(SIZE))}
                if items and touched & poison:
                    self.die(number)
                else:
                    for item in items:
                        self.done(item, number)
        raise AssertionError("endless")


def test_each_shard_is_assigned_once_and_in_order() -> None:
    """Guards against shards that are generated twice."""
    crew = FakeCrew(range(5), workers=2)
    crew.run(set(), workers=2)
    assert [item.shard for item in crew.given] == [0, 1, 2, 3, 4]
    assert crew.supervisor.num_restarts == 0


def test_no_worker_waits_while_shards_remain_and_all_learn_of_the_end() -> None:
    """Guards against idle devices, and against workers that wait forever for the last shard of another worker."""
    crew = FakeCrew([0], workers=2)
    crew.start()
    item = crew.claim(0)
    assert item == WorkItem(0)
    assert crew.claim(0, idle=False) is None, "answered at once, so that the assigned shard continues"
    crew.supervisor.handle(1, Claim(idle=True), 0.0)
    assert list(crew.supervisor.answers()) == [], "the other worker may still die"
    crew.done(item)
    assert crew.supervisor.finished
    assert list(crew.supervisor.answers()) == [(1, None)]


def test_shards_of_a_dead_worker_are_generated_again_one_by_one() -> None:
    """Guards against lost shards, and against a sound shard that is blamed for the crash of another one."""
    crew = FakeCrew([0, 1, 2])
    crew.start()
    assert [crew.claim(), crew.claim(idle=False)] == [WorkItem(0), WorkItem(1)]
    crew.die()
    crew.start()
    assert crew.claim() == WorkItem(2), "a new shard first, which shows whether the device works"
    crew.done(WorkItem(2))
    assert crew.claim() == WorkItem(0, exclusive=True)
    assert crew.claim(idle=False) is None, "nothing else is assigned to its worker"
    crew.done(WorkItem(0, exclusive=True))
    assert crew.claim() == WorkItem(1, exclusive=True)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("poison", [{(1, 0)}, {(1, 7)}, {(0, 3), (0, 4)}, {(2, at) for at in range(SIZE)}])
def test_poison_is_found_and_nothing_else_is_rejected(poison: set[tuple[int, int]], workers: int) -> None:
    """Guards against a run that ends because of one utterance, rejected neighbours, and an endless bisection."""
    crew = FakeCrew(range(4), workers=workers)
    crew.run(poison, workers)
    assert crew.supervisor.error is None
    assert {(split.shard, at) for split in crew.splits for at in split.poison} == poison
    assert crew.supervisor.num_poison == len(poison)
    for split in crew.splits:
        given = [item for item in crew.given if item.shard == split.shard and item.sub_shard in split.sub_shards]
        last = {item.sub_shard: item.positions for item in given if item.positions}
        covered = sorted([at for number in split.sub_shards for at in last[number] or ()] + list(split.poison))
        assert covered == list(range(SIZE)), "each utterance is in one sub-shard, or is poison"


def test_a_single_crash_does_not_reject_an_utterance() -> None:
    """Guards against the rejection of an utterance whose worker was killed from outside."""
    crew = FakeCrew(sub_shards=(WorkItem(0, (5,), exclusive=True),))
    crew.start()
    item = crew.claim()
    crew.die()
    crew.start()
    assert crew.claim() == item
    assert item is not None
    crew.done(item)
    (split,) = crew.splits
    assert (split.sub_shards, split.poison) == ((5,), {})


def test_a_suspect_is_rejected_after_one_more_crash() -> None:
    """Guards against retries that crash more workers than needed."""
    crew = FakeCrew(suspects=(WorkItem(0, (5,), exclusive=True),))
    crew.start()
    crew.claim()
    crew.die(reason="ended by SIGABRT")
    assert crew.splits == [SplitShard(0, (), {5: "ended by SIGABRT"})]


def test_a_worker_that_finishes_nothing_is_killed_after_a_while() -> None:
    """Guards against a run that waits forever for a GPU that does not respond any more."""
    crew = FakeCrew([0], workers=2)
    crew.start()
    crew.claim(0)
    crew.now = 90.0
    crew.supervisor.handle(0, TakeDone(0, 1.0, True), crew.now)
    crew.now = 150.0
    assert crew.supervisor.hung_workers(crew.now) == [], "one worker has nothing to do, the other has finished a take"
    crew.now = 191.0
    assert crew.supervisor.hung_workers(crew.now) == [0]
    assert crew.supervisor.hung_workers(crew.now) == [], "once"
    crew.die(0)
    assert crew.start() == [0]
    assert crew.claim(0) == WorkItem(0, exclusive=True)
    crew.now = 300.0
    crew.supervisor.hung_workers(crew.now)
    crew.die(0)
    assert crew.claim(1) == WorkItem(0, (0, 1, 2, 3), exclusive=True), "a shard that hangs twice is bisected as well"


class FakePool:
    """Fake workers with prepared messages. Each round has its duration and the messages that `poll` returns."""

    def __init__(self, rounds: Iterable[tuple[float, list[tuple[int, Message]]]]) -> None:
        self.rounds = iter(rounds)
        self.now = 0.0
        self.killed: list[int] = []

    def start(self, number: int) -> None:
        pass

    def send(self, number: int, answer: WorkItem | None) -> None:
        pass

    def poll(self, timeout: float) -> list[tuple[int, Message]]:
        seconds, messages = next(self.rounds)
        self.now += seconds
        return messages

    def kill(self, number: int) -> None:
        self.killed.append(number)

    def close(self, at_once: bool) -> None:
        pass


def kills_of(monkeypatch: pytest.MonkeyPatch, rounds: list[tuple[float, list[tuple[int, Message]]]]) -> list[int]:
    """Run one shard with one worker, which counts as hung after 100 s without a message; return who was killed."""
    supervisor = Supervisor(Workload((0,)), ["w"], LIMITS, lambda _: SIZE)
    begin: list[Message] = [Started(), READY, Claim(idle=True)]
    end: list[Message] = [ItemDone(WorkItem(0), SIZE)]
    pool = FakePool([(0.0, [(0, message) for message in begin]), *rounds, (0.2, [(0, message) for message in end])])
    coordinator = SimpleNamespace(
        supervisor=supervisor, handle=lambda number, message: supervisor.handle(number, message, pool.now)
    )
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: pool.now)
        supervise(cast(Coordinator, coordinator), pool)
    return pool.killed


def test_workers_are_not_hung_because_the_main_process_was_suspended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bug: a run that was suspended (SIGSTOP, `docker pause`, `scontrol suspend`) killed all workers when resumed."""
    assert kills_of(monkeypatch, [(90.0, []), (5000.0, []), (0.2, [])]) == []
    assert kills_of(monkeypatch, [(1.0, [])] * 99) == []
    assert kills_of(monkeypatch, [(1.0, [])] * 102) == [0], "it detects hung workers as before"
    assert kills_of(monkeypatch, [(5000.0, []), *[(1.0, [])] * 102]) == [0]


def test_a_worker_that_waits_for_a_machine_is_hung_only_when_no_other_is_alive() -> None:
    """Guards against the end of a run on a cluster that has lost a node."""
    crew = FakeCrew([0, 1], workers=2)
    crew.supervisor.workers_to_start(0.0)
    crew.supervisor.handle(0, Started(), 0.0)
    crew.supervisor.handle(0, READY, 0.0)
    assert crew.supervisor.hung_workers(500.0) == []
    crew.claim(0)
    crew.die(0)
    crew.supervisor.workers_to_start(0.0)
    assert crew.supervisor.hung_workers(500.0) == [0, 1]


def test_a_model_that_does_not_load_ends_the_run_with_its_own_error() -> None:
    """Guards against endless restarts of a worker that cannot start."""
    crew = FakeCrew([0], workers=2)
    crew.supervisor.workers_to_start(0.0)
    error = ModelError("no such weights")
    crew.supervisor.handle(0, Failed(error, str(error)), 0.0)
    crew.die(0)
    assert crew.supervisor.error is None, "the other worker may be able to load it"
    assert crew.supervisor.workers_to_start(1e9) == []
    crew.supervisor.handle(1, Failed(error, str(error)), 0.0)
    assert crew.supervisor.error is error


def test_workers_that_die_while_loading_are_retired_after_three_starts() -> None:
    """Guards against hours of restarts when the model does not fit into memory."""
    crew = FakeCrew([0], limits=dataclasses.replace(LIMITS, backoff_seconds=1.0))
    crashes = 0
    while not crew.supervisor.error and crashes < 50:
        assert crew.supervisor.workers_to_start(crew.now) == [0]
        crew.die()
        crashes += 1
        crew.now += 60.0
    assert crashes == 3
    assert isinstance(crew.supervisor.error, WorkersLostError)
    assert "SIGKILL" in str(crew.supervisor.error)


def test_a_device_on_which_everything_crashes_is_retired_and_nothing_is_rejected() -> None:
    """Guards against a defective GPU, on which every utterance would be rejected."""
    everything = {(shard, at) for shard in range(100) for at in range(SIZE)}
    crew = FakeCrew(range(100))
    crew.run(everything)
    assert isinstance(crew.supervisor.error, WorkersLostError)
    assert crew.supervisor.num_poison == 0
    assert crew.supervisor.num_restarts == LIMITS.restarts


def test_an_error_that_the_user_has_to_correct_ends_the_run() -> None:
    """Guards against restarts because of a full disk."""
    crew = FakeCrew([0], workers=2)
    crew.start()
    crew.claim()
    full = RunDirectoryError("no space left")
    crew.supervisor.handle(0, Failed(full, str(full)), 0.0)
    assert crew.supervisor.error is full


def test_the_pause_before_restarts_doubles_up_to_a_minute() -> None:
    """Guards against a busy loop of restarts."""
    crew = FakeCrew([0, 1, 2], limits=dataclasses.replace(LIMITS, backoff_seconds=1.0))
    pauses = []
    for _ in range(9):
        crew.start()
        crew.claim()
        crew.die()
        before = crew.now
        while not crew.supervisor.workers_to_start(crew.now):
            crew.now += 0.5
        pauses.append(crew.now - before)
        crew.supervisor.handle(0, READY, crew.now)
    assert pauses[:4] == [0.0, 1.0, 2.0, 4.0]
    assert max(pauses) == 60.0
