"""Journals of workers, after a kill, on a full disk and with a jumping clock."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.outputs.dataset.shards import Manifest
from pipeline.reporting import journal as journal_module
from pipeline.reporting.journal import Counts, Journal, read_journals


class Clock:
    """Two clocks that a test sets."""

    def __init__(self) -> None:
        self.wall, self.monotonic = 1_000_000.0, 50.0

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def journal(run_dir: Path, clock: Clock, worker: str = "main") -> Journal:
    return Journal(run_dir, worker, "cpu", wall=lambda: clock.wall, monotonic=lambda: clock.monotonic)


def manifest(index: int) -> Manifest:
    return Manifest(index, 9, "", 0, "", "f", "p", 12.5, 3.25, (), ({"id": "a", "reason": "empty"},))


class Asked(BaseException):
    """What the handler of SIGTERM raises."""


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, Asked])
def test_being_stopped_is_no_failure(stop: type[BaseException], tmp_path: Path, clock: Clock) -> None:
    """Bug: SIGTERM was recorded as a failure without a message."""
    with pytest.raises(stop), journal(tmp_path, clock):
        raise stop
    history = read_journals(tmp_path)
    assert history.failures == ()
    assert [session.end_reason for session in history.workers[0].sessions] == ["stopped"]


def work(open_journal: Journal, clock: Clock, seconds: float, each: float = 1.0) -> None:
    """Record one second of audio for each second that passes."""
    for _ in range(round(seconds / each)):
        clock.pass_by(each)
        open_journal.record_take(each, True, 2.0)


def test_a_journal_is_read_as_it_was_written(tmp_path: Path, clock: Clock) -> None:
    """Guards all fields of a journal against a difference between writer and reader."""
    with journal(tmp_path, clock) as main:
        work(main, clock, 3)
        main.record_take(9.0, False, 31.5)
        main.record_shard(manifest(4))
    (worker,) = read_journals(tmp_path).workers
    (session,) = worker.sessions
    assert (session.pid, session.device, session.end_reason) == (os.getpid(), "cpu", "done")
    assert session.counts == Counts(clips=3, audio_seconds=3.0, computed_seconds=31.5, refused=1)
    (shard,) = session.shards
    assert (shard.index, shard.clips, shard.rejects, shard.audio_seconds, shard.elapsed) == (4, 0, 1, 12.5, 3.0)


def test_lines_are_few_however_long_a_run_is(tmp_path: Path, clock: Clock) -> None:
    """Guards against a journal with a million lines, one for each clip, after a long run."""
    with journal(tmp_path, clock) as main:
        work(main, clock, 60)
        assert 10 <= len(read_journals(tmp_path).workers[0].sessions[0].points) <= 13
        work(main, clock, 3 * 86_400, each=2.0)
    lines = (tmp_path / "journal" / "main.jsonl").read_text().splitlines()
    assert len(lines) < 6_000
    times = [json.loads(line)["elapsed"] for line in lines]
    assert max(later - earlier for earlier, later in pairwise(times)) <= journal_module.MAX_INTERVAL


def test_rates_do_not_depend_on_the_wall_clock(tmp_path: Path, clock: Clock) -> None:
    """Guards rates against a clock that is set during a run."""
    with journal(tmp_path, clock) as main:
        work(main, clock, 60)
        clock.wall -= 7200
        work(main, clock, 60)
        clock.wall += 1e6
        work(main, clock, 60)
    (session,) = read_journals(tmp_path).workers[0].sessions
    assert session.rate(window=100) == pytest.approx(1.0, rel=0.06)
    elapsed = [sample.elapsed for sample in session.points]
    assert elapsed == sorted(elapsed)


def test_torn_lines_and_unknown_events_are_skipped(tmp_path: Path, clock: Clock) -> None:
    """Guards the reader against a torn line, and the next session against a start line that is joined to it."""
    with journal(tmp_path, clock) as main:
        work(main, clock, 2)
    path = tmp_path / "journal" / "main.jsonl"
    path.write_text(path.read_text() + '{"event": "dance"}\n[1]\n{"event": "progress", "ti')
    with journal(tmp_path, clock) as main:
        work(main, clock, 3)
    first, second = read_journals(tmp_path).workers[0].sessions
    assert (first.counts.clips, second.counts.clips) == (2, 3)


@pytest.mark.parametrize("cut", range(0, 400, 7))
def test_a_journal_cut_anywhere_can_be_read(tmp_path: Path, clock: Clock, cut: int) -> None:
    """Guards the reader against a kill at any byte."""
    with journal(tmp_path, clock) as main:
        work(main, clock, 2)
    path = tmp_path / "journal" / "main.jsonl"
    path.write_bytes(path.read_bytes()[:cut])
    assert len(read_journals(tmp_path).workers) == 1


def test_a_full_disk_causes_one_warning_and_ends_nothing(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Guards the run against an error of its journal, and the next line against the half of the one before."""
    write, answers = os.write, iter(["whole", "half", "full", "full", "whole"])

    def unsteady(descriptor: int, content: bytes) -> int:
        answer = next(answers, "whole")
        if answer == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, content[: len(content) // 2] if answer == "half" else content)

    with caplog.at_level(logging.WARNING), journal(tmp_path, clock) as main:
        monkeypatch.setattr(os, "write", unsteady)
        for what in ("kept", "halved", "lost", "lost as well", "kept again"):
            main.record_failure(what)
    assert [failure.what for failure in read_journals(tmp_path).failures] == ["kept", "kept again"]
    assert read_journals(tmp_path).workers[0].sessions[0].end_reason == "done"
    assert len(caplog.records) == 1
    assert "No space left" in caplog.text


def test_an_exception_is_recorded_as_a_failure(tmp_path: Path, clock: Clock) -> None:
    """Guards against a worker that ends without a recorded reason."""
    with pytest.raises(MemoryError), journal(tmp_path, clock):
        raise MemoryError("CUDA out of memory")
    history = read_journals(tmp_path)
    assert [(failure.worker, failure.what) for failure in history.failures] == [
        ("main", "MemoryError: CUDA out of memory")
    ]
    assert history.workers[0].sessions[0].end_reason == "stopped"


def test_a_failure_is_recorded_for_another_worker(tmp_path: Path, clock: Clock) -> None:
    """Guards against a crash that is attributed to the supervisor."""
    with journal(tmp_path, clock) as main:
        main.record_failure("killed by signal 9", worker="cuda-1")
    assert [failure.worker for failure in read_journals(tmp_path).failures] == ["cuda-1"]


def test_a_run_without_journals_has_no_workers(tmp_path: Path) -> None:
    """Guards the status of a run that has only been planned."""
    assert read_journals(tmp_path).workers == ()


@pytest.fixture(autouse=True)
def no_descriptor_is_left_open() -> Iterator[None]:
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0  # noqa: PTH208
    yield
    if before:
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
