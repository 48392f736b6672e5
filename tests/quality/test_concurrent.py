"""Checks in a thread beside the synthesis."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np
import pytest

from pipeline.config import Config
from pipeline.errors import CheckError
from pipeline.quality.check import CHECKS, Checker, Finding
from pipeline.quality.concurrent import ConcurrentChecker
from pipeline.types import Clip, Column, Finish, Utterance


class SlowCheck:
    """Takes its time, and notes its batches."""

    columns = (Column("letters", "int64", "characters of the prompt"),)

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.may_work = threading.Event()

    def check(self, config: Config) -> None:
        """Accept every setting."""

    def load(self, config: Config) -> SlowCheck:
        return self

    def inspect(self, clips: Sequence[Clip]) -> list[Finding]:
        assert self.may_work.wait(timeout=30)
        self.batches.append([clip.utterance.id for clip in clips])
        if any(clip.utterance.prompt == "fail" for clip in clips):
            raise RuntimeError("the check has failed")
        return [Finding({"letters": len(clip.utterance.prompt)}) for clip in clips]

    def close(self) -> None:
        """Nothing to release."""


@pytest.fixture
def slow() -> Iterator[SlowCheck]:
    check = SlowCheck()
    CHECKS.add("slow", check)
    yield check
    check.may_work.set()
    CHECKS.remove("slow")


def clip(number: int, prompt: str = "words") -> Clip:
    samples = np.sin(np.arange(8_000) * 0.3).astype(np.float32)
    return Clip(Utterance(prompt, "", id=str(number)), samples, 8_000, 50, Finish.EOS)


def checker_of(slow: SlowCheck | None, max_waiting: int = 4) -> ConcurrentChecker:
    config = Config()
    if slow:
        config.checks.extra = ["slow"]
    return ConcurrentChecker(Checker(config), max_waiting)


def test_the_signal_check_alone_needs_no_thread() -> None:
    """Guards the order of takes in runs without other checks."""
    num_threads = threading.active_count()
    with closing(checker_of(None)) as checker:
        checker.submit(clip(1))
        assert threading.active_count() == num_threads
        [(checked, finding)] = checker.findings(wait=False)
        assert checked.utterance.id == "1"
        assert "peak_dbfs" in finding.measures
        assert not checker.num_pending


def test_clips_are_checked_beside_the_caller_and_in_batches(slow: SlowCheck) -> None:
    """Guards the engine against waiting for each clip, and every clip against being lost or doubled."""
    with closing(checker_of(slow, max_waiting=20)) as checker:
        for number in range(12):
            checker.submit(clip(number))
        assert list(checker.findings(wait=False)) == []
        slow.may_work.set()
        found = []
        while checker.num_pending:
            found += [int(checked.utterance.id) for checked, _ in checker.findings(wait=True)]
        assert found == list(range(12))
        assert len(slow.batches) < 12


def test_a_full_queue_makes_the_caller_wait(slow: SlowCheck) -> None:
    """Guards memory: with a slow check, all clips of a run would wait in it."""
    with closing(checker_of(slow, max_waiting=2)) as checker:
        submitted: list[int] = []

        def submit() -> None:
            for number in range(6):
                checker.submit(clip(number))
                submitted.append(number)

        caller = threading.Thread(target=submit)
        caller.start()
        time.sleep(0.3)
        assert len(submitted) <= 3 + 1  # two wait, and the thread holds a batch
        slow.may_work.set()
        caller.join(timeout=30)
        while checker.num_pending:
            list(checker.findings(wait=True))
        assert sorted(id for batch in slow.batches for id in batch) == [str(number) for number in range(6)]


def test_an_error_of_a_check_ends_the_run(slow: SlowCheck) -> None:
    """Guards against a run that waits forever for a thread that has died."""
    slow.may_work.set()
    with closing(checker_of(slow, max_waiting=1)) as checker:
        checker.submit(clip(0, "fail"))
        with pytest.raises(CheckError, match="slow"):
            list(checker.findings(wait=True))
        for number in range(3):
            checker.submit(clip(number))  # does not block


def test_a_run_can_be_left_while_clips_wait(slow: SlowCheck) -> None:
    """Guards Ctrl-C: pending clips are dropped and the thread ends."""
    checker = checker_of(slow, max_waiting=8)
    for number in range(5):
        checker.submit(clip(number))
    threading.Timer(0.2, slow.may_work.set).start()
    checker.close()
    assert not any(thread.name == "checks" and thread.is_alive() for thread in threading.enumerate())
