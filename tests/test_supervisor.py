"""Who does what next, who is replaced, and which utterance kills: all without a process."""

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
from pipeline.execution.messages import Claim, Died, Done, Failed, Made, Message, Ready, Started, WorkItem
from pipeline.execution.pool import supervise
from pipeline.execution.supervisor import SubShards, Supervisor
from pipeline.types import ModelInfo

READY = Ready(ModelInfo("stand-in", "r1", 8_000, 50.0, 1500, 4, "float32", "cpu"))
SIZE = 8
LIMITS = ExecutorConfig(hang_seconds=100.0, restarts=16, backoff_seconds=0.0)


class Office:
    """A supervisor with imaginary workers, each with up to two shards in hand, and a clock of its own."""

    def __init__(
        self,
        shards: Iterable[int] = (),
        workers: int = 1,
        limits: ExecutorConfig = LIMITS,
        pieces: tuple[WorkItem, ...] = (),
        suspects: tuple[WorkItem, ...] = (),
    ) -> None:
        names = [f"w{number}" for number in range(workers)]
        self.supervisor = Supervisor(list(shards), names, limits, lambda _: SIZE, pieces, suspects)
        self.now = 0.0
        self.given: list[WorkItem] = []
        self.parts: list[SubShards] = []

    def hire(self) -> list[int]:
        numbers = self.supervisor.workers_to_start(self.now)
        for number in numbers:
            self.supervisor.take(number, Started(), self.now)
            self.supervisor.take(number, READY, self.now)
        return numbers

    def claim(self, number: int = 0, idle: bool = True) -> WorkItem | None:
        self.supervisor.take(number, Claim(idle), self.now)
        answers = dict(self.supervisor.answers())
        task = answers.get(number)
        self.given += [task] if task else []
        return task

    def done(self, task: WorkItem, number: int = 0) -> None:
        self.supervisor.take(number, Done(task, SIZE), self.now)
        self.collect()

    def die(self, number: int = 0, reason: str = "ended by SIGKILL") -> None:
        self.supervisor.take(number, Died(reason), self.now)
        self.collect()

    def collect(self) -> None:
        for parts in self.supervisor.merged_shards():
            self.parts.append(parts)
            self.supervisor.close(parts.shard)

    def run(self, poison: set[tuple[int, int]], workers: int = 1, limit: int = 200) -> None:
        """Works until everything is done or lost; whoever touches poison dies."""
        for _ in range(limit):
            if self.supervisor.finished or self.supervisor.error:
                return
            self.hire()
            for number in range(workers):
                hand = [task] if (task := self.claim(number)) else []
                if hand and (another := self.claim(number, idle=False)):
                    hand.append(another)
                touched = {(t.shard, at) for t in hand for at in (t.positions or range(SIZE))}
                if hand and touched & poison:
                    self.die(number)
                else:
                    for one in hand:
                        self.done(one, number)
        raise AssertionError("endless")


def test_each_shard_is_given_once_and_in_order() -> None:
    office = Office(range(5), workers=2)
    office.run(set(), workers=2)
    assert [task.shard for task in office.given] == [0, 1, 2, 3, 4]
    assert office.supervisor.num_restarts == 0


def test_nobody_waits_while_shards_remain_and_all_are_told_of_the_end() -> None:
    """Guards against idle devices, and against workers that wait forever for the last shard of another."""
    office = Office([0], workers=2)
    office.hire()
    task = office.claim(0)
    assert task == WorkItem(0)
    assert office.claim(0, idle=False) is None, "answered at once: what is in hand goes on"
    office.supervisor.take(1, Claim(idle=True), 0.0)
    assert list(office.supervisor.answers()) == [], "the other may still die"
    office.done(task)
    assert office.supervisor.finished
    assert list(office.supervisor.answers()) == [(1, None)]


def test_shards_of_a_dead_worker_are_done_again_each_alone() -> None:
    """Guards against a loss, and against an innocent neighbour that is suspected twice."""
    office = Office([0, 1, 2])
    office.hire()
    assert [office.claim(), office.claim(idle=False)] == [WorkItem(0), WorkItem(1)]
    office.die()
    office.hire()
    assert office.claim() == WorkItem(2), "first of all, whether the device is to blame"
    office.done(WorkItem(2))
    assert office.claim() == WorkItem(0, alone=True)
    assert office.claim(idle=False) is None, "nothing else is put into its hands"
    office.done(WorkItem(0, alone=True))
    assert office.claim() == WorkItem(1, alone=True)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("poison", [{(1, 0)}, {(1, 7)}, {(0, 3), (0, 4)}, {(2, at) for at in range(SIZE)}])
def test_what_kills_is_found_and_nothing_else_is_given_up(poison: set[tuple[int, int]], workers: int) -> None:
    """Guards a million rows against one, the one's neighbours against its fate, and the search against no end."""
    office = Office(range(4), workers=workers)
    office.run(poison, workers)
    assert office.supervisor.error is None
    assert {(parts.shard, at) for parts in office.parts for at in parts.poison} == poison
    assert office.supervisor.num_poisonous == len(poison)
    for parts in office.parts:
        made = [t for t in office.given if t.shard == parts.shard and t.piece in parts.pieces and t.positions]
        last = {t.piece: t.positions for t in made}
        covered = sorted([at for piece in parts.pieces for at in last[piece] or ()] + list(parts.poison))
        assert covered == list(range(SIZE)), "each utterance is in one piece, or is poison"


def test_a_single_accident_is_no_poison() -> None:
    """Guards an utterance whose worker was killed from outside."""
    office = Office(pieces=(WorkItem(0, (5,), alone=True),))
    office.hire()
    task = office.claim()
    office.die()
    office.hire()
    assert office.claim() == task
    assert task is not None
    office.done(task)
    (parts,) = office.parts
    assert (parts.pieces, parts.poison) == ((5,), {})


def test_a_known_killer_has_one_more_chance() -> None:
    office = Office(suspects=(WorkItem(0, (5,), alone=True),))
    office.hire()
    office.claim()
    office.die(reason="ended by SIGABRT")
    assert office.parts == [SubShards(0, (), {5: "ended by SIGABRT"})]


def test_a_worker_that_makes_nothing_is_ended_after_a_while() -> None:
    """Guards against a run that stands still: a GPU that answers no more."""
    office = Office([0], workers=2)
    office.hire()
    office.claim(0)
    office.now = 90.0
    office.supervisor.take(0, Made(0, 1.0, True), office.now)
    office.now = 150.0
    assert office.supervisor.overdue(office.now) == [], "the other has nothing to do, and this one has made a clip"
    office.now = 191.0
    assert office.supervisor.overdue(office.now) == [0]
    assert office.supervisor.overdue(office.now) == [], "once"
    office.die(0)
    assert office.hire() == [0]
    assert office.claim(0) == WorkItem(0, alone=True)
    office.now = 300.0
    office.supervisor.overdue(office.now)
    office.die(0)
    assert office.claim(1) == WorkItem(0, (0, 1, 2, 3), alone=True), "a shard that hangs twice is looked into as well"


class Pool:
    """Imaginary workers that say what is planned for them: at each look, how long it takes and what is heard."""

    def __init__(self, looks: Iterable[tuple[float, list[tuple[int, Message]]]]) -> None:
        self.looks = iter(looks)
        self.now = 0.0
        self.killed: list[int] = []

    def start(self, number: int) -> None:
        pass

    def send(self, number: int, answer: WorkItem | None) -> None:
        pass

    def poll(self, timeout: float) -> list[tuple[int, Message]]:
        seconds, messages = next(self.looks)
        self.now += seconds
        return messages

    def kill(self, number: int) -> None:
        self.killed.append(number)

    def close(self, at_once: bool) -> None:
        pass


def oversee(monkeypatch: pytest.MonkeyPatch, looks: list[tuple[float, list[tuple[int, Message]]]]) -> list[int]:
    """A run of one shard by one worker, which is hung after 100 s of silence; gives who was killed."""
    supervisor = Supervisor([0], ["w"], LIMITS, lambda _: SIZE)
    begin: list[Message] = [Started(), READY, Claim(idle=True)]
    end: list[Message] = [Done(WorkItem(0), SIZE)]
    pool = Pool([(0.0, [(0, message) for message in begin]), *looks, (0.2, [(0, message) for message in end])])
    desk = SimpleNamespace(
        supervisor=supervisor, take=lambda number, message: supervisor.take(number, message, pool.now)
    )
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: pool.now)
        supervise(cast(Coordinator, desk), pool)
    return pool.killed


def test_a_supervisor_that_was_suspended_takes_its_own_absence_for_nobodys_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bug: a run that was suspended (SIGSTOP, `docker pause`, `scontrol suspend`) killed all its workers as it woke."""
    assert oversee(monkeypatch, [(90.0, []), (5000.0, []), (0.2, [])]) == []
    assert oversee(monkeypatch, [(1.0, [])] * 99) == []
    assert oversee(monkeypatch, [(1.0, [])] * 102) == [0], "and it listens as before"
    assert oversee(monkeypatch, [(5000.0, []), *[(1.0, [])] * 102]) == [0]


def test_one_that_waits_for_a_machine_hangs_only_when_nobody_works() -> None:
    """Guards a cluster that has lost a node: its worker may wait, and the others go on."""
    office = Office([0, 1], workers=2)
    office.supervisor.workers_to_start(0.0)
    office.supervisor.take(0, Started(), 0.0)
    office.supervisor.take(0, READY, 0.0)
    assert office.supervisor.overdue(500.0) == []
    office.claim(0)
    office.die(0)
    office.supervisor.workers_to_start(0.0)
    assert office.supervisor.overdue(500.0) == [0, 1]


def test_a_model_that_does_not_load_ends_the_run_with_its_own_error() -> None:
    """Guards against endless restarts of what cannot start."""
    office = Office([0], workers=2)
    office.supervisor.workers_to_start(0.0)
    error = ModelError("no such weights")
    office.supervisor.take(0, Failed(error, str(error)), 0.0)
    office.die(0)
    assert office.supervisor.error is None, "the other may have more luck"
    assert office.supervisor.workers_to_start(1e9) == []
    office.supervisor.take(1, Failed(error, str(error)), 0.0)
    assert office.supervisor.error is error


def test_workers_that_die_while_loading_are_given_up_soon() -> None:
    office = Office([0], limits=dataclasses.replace(LIMITS, backoff_seconds=1.0))
    deaths = 0
    while not office.supervisor.error and deaths < 50:
        assert office.supervisor.workers_to_start(office.now) == [0]
        office.die()
        deaths += 1
        office.now += 60.0
    assert deaths == 3
    assert isinstance(office.supervisor.error, WorkersLostError)
    assert "SIGKILL" in str(office.supervisor.error)


def test_a_device_on_which_everything_dies_is_given_up_and_little_is_rejected() -> None:
    """Guards a dataset against a broken GPU that would reject it all, one utterance after the other."""
    everything = {(shard, at) for shard in range(100) for at in range(SIZE)}
    office = Office(range(100))
    office.run(everything)
    assert isinstance(office.supervisor.error, WorkersLostError)
    assert office.supervisor.num_poisonous == 0
    assert office.supervisor.num_restarts == LIMITS.restarts


def test_what_a_person_has_to_mend_ends_the_run() -> None:
    """Guards a full disk against being taken for a worker's weakness."""
    office = Office([0], workers=2)
    office.hire()
    office.claim()
    full = RunDirectoryError("no space left")
    office.supervisor.take(0, Failed(full, str(full)), 0.0)
    assert office.supervisor.error is full


def test_restarts_in_a_row_come_later_and_later() -> None:
    office = Office([0, 1, 2], limits=dataclasses.replace(LIMITS, backoff_seconds=1.0))
    pauses = []
    for _ in range(9):
        office.hire()
        office.claim()
        office.die()
        before = office.now
        while not office.supervisor.workers_to_start(office.now):
            office.now += 0.5
        pauses.append(office.now - before)
        office.supervisor.take(0, READY, office.now)
    assert pauses[:4] == [0.0, 1.0, 2.0, 4.0]
    assert max(pauses) == 60.0
