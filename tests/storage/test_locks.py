"""Locks of a run directory."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from fakes import FakeSynthesizer, loader_of, speak

from pipeline.__main__ import main
from pipeline.errors import RunDirectoryError
from pipeline.storage.locks import check_locks, find_holders, write_lock
from pipeline.types import Clip, Utterance

HERE = rf"\b{os.getpid()}\b.*{re.escape(platform.node())}"  # how a message names this process


def test_a_whole_run_is_alone(tmp_path: Path) -> None:
    """Bug: a second run in the same directory overwrote shards and deleted temporary files of the first."""
    with write_lock(tmp_path / "run") as right, right.alternate() as is_alone:
        assert is_alone
        with pytest.raises(RunDirectoryError, match=HERE), write_lock(tmp_path / "run"):
            pass
        with (
            write_lock(tmp_path / "run", 0, 2) as job,
            pytest.raises(RunDirectoryError, match=rf"^(?!.*\b0 of 2\b).*{HERE}"),
            job.alternate(),
        ):
            pass
    with write_lock(tmp_path / "run"):
        pass


def test_a_lock_that_was_deleted_is_missed(tmp_path: Path) -> None:
    """Bug: after `.lock` was deleted, a second run started while the first continued to write."""
    for name, job in ((".lock", None), (".lock-0-of-2", 0), (".lock", 0)):
        run_dir = tmp_path / f"{name}-{job}"
        with write_lock(run_dir, job, 2):
            check_locks(run_dir)
            (run_dir / name).unlink()
            with pytest.raises(RunDirectoryError, match=rf"{name}: .*deleted"):
                check_locks(run_dir)
            check_locks(tmp_path)  # nothing is held there
        check_locks(run_dir)
    with write_lock(tmp_path / "run"):
        (tmp_path / "run" / ".lock").unlink()
        with write_lock(tmp_path / "run"), pytest.raises(RunDirectoryError, match="was deleted"):
            check_locks(tmp_path / "run")


def test_a_run_whose_lock_was_deleted_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: two runs wrote the same shards at the same time without an error."""
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"text": "Line number {n}."}}\n' for n in range(6)))
    run_dir = tmp_path / "run"

    def speak_and_delete(utterance: Utterance) -> Clip:
        (run_dir / ".lock").unlink(missing_ok=True)
        return speak(utterance)

    loader = loader_of(lambda *_, **__: FakeSynthesizer(speak_and_delete))
    command = ["task=dataset", f"input={tmp_path / 'rows.jsonl'}", f"output_dir={tmp_path}", "name=run"]
    assert main([*command, "planning.shard_size=2"], loader) == 3
    assert len(list((run_dir / "data").iterdir())) < 3
    assert not (run_dir / "SHA256SUMS").exists()


def test_jobs_share_a_directory_but_not_with_a_whole_run_nor_their_number(tmp_path: Path) -> None:
    with write_lock(tmp_path, 0, 2) as first:
        with first.alternate() as is_alone:
            assert is_alone, "the plan is its to make"
        with write_lock(tmp_path, 1, 2) as second:
            with second.alternate() as is_alone:
                assert not is_alone, "the plan is there"
            with (
                pytest.raises(RunDirectoryError, match=rf"\b0 of 2\b.*{HERE}.*\b1 of 2\b.*{HERE}"),
                write_lock(tmp_path),
            ):
                pass
            with pytest.raises(RunDirectoryError, match=r"\b1 of 2\b"), write_lock(tmp_path, 1, 2):
                pass
        with first.alternate() as is_alone:
            assert is_alone, "the other has left"


def test_a_job_waits_for_who_only_looks_at_its_lock(tmp_path: Path) -> None:
    """Guards restarted job arrays: all jobs check the locks of the others at the same time."""
    with write_lock(tmp_path, 0, 2):
        pass
    looker = os.open(tmp_path / ".lock-0-of-2", os.O_RDWR)
    fcntl.flock(looker, fcntl.LOCK_EX)
    threading.Timer(0.3, os.close, (looker,)).start()
    with write_lock(tmp_path, 0, 2):
        pass


def test_what_a_killed_process_held_is_free(tmp_path: Path) -> None:
    """Guards against a lock or tag of a killed run that stops the next run or is reported as active."""
    program = (
        "import os, signal, sys; from pathlib import Path; from pipeline.storage.locks import write_lock\n"
        "with write_lock(Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", program, tmp_path], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / ".writer").exists()
    with write_lock(tmp_path, 0, 2) as job, job.alternate():
        pass
    with write_lock(tmp_path):
        assert re.search(HERE, (tmp_path / ".writer").read_text())


def kill_a_job(run_dir: Path) -> None:
    """Write the lock and tag that job 3 of 5 leaves when it is killed."""
    program = (
        "import os, signal, sys; from pathlib import Path; from pipeline.storage.locks import write_lock\n"
        "with write_lock(Path(sys.argv[1]), 3, 5): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", program, run_dir], check=False).returncode == -signal.SIGKILL


def test_a_killed_job_is_not_told_of_as_at_work(tmp_path: Path) -> None:
    """Bug: dead jobs were not detected, because their names have a prefix."""
    kill_a_job(tmp_path)
    with write_lock(tmp_path, 0, 5):
        here, dead = find_holders(tmp_path)
    assert re.search(rf"\b0 of 5\b.*{HERE}", here.name)
    assert re.search(r"\b3 of 5\b", dead.name)
    assert (here.is_alive, dead.is_alive) == (True, False)


def test_the_name_of_a_killed_job_goes_with_the_next_write_lock(tmp_path: Path) -> None:
    """Bug: `task=status` reported a killed job as active, even after the run was finished."""
    kill_a_job(tmp_path)
    with write_lock(tmp_path, 1, 5), write_lock(tmp_path, 0, 5) as other, other.alternate():
        jobs = [re.findall(r"\b\d of 5\b", holder.name) for holder in find_holders(tmp_path)]
        assert jobs == [["0 of 5"], ["1 of 5"]]
    kill_a_job(tmp_path)
    with write_lock(tmp_path):
        (holder,) = find_holders(tmp_path)
        assert re.search(HERE, holder.name)
    assert find_holders(tmp_path) == ()


def test_a_disk_that_is_still_full_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: a full disk caused a traceback when the tag was written."""

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / ".lock").touch()
    (tmp_path / "config.yaml").touch()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(RunDirectoryError, match="No space left on device"):
            enter(tmp_path)
    enter(tmp_path)


def enter(run_dir: Path, job: int | None = None) -> None:
    with write_lock(run_dir, job, 2) as right, right.alternate():
        pass


@pytest.mark.parametrize("job", [None, 0])
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks_is_one_line(
    number: int, job: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: a file system without file locks, such as some network drives, caused a traceback."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(RunDirectoryError, match=rf"{re.escape(os.strerror(number))}.*output_dir="):
        enter(tmp_path, job)


def test_a_refused_run_leaves_no_folder(tmp_path: Path) -> None:
    with write_lock(tmp_path / "run"):
        pass
    assert not (tmp_path / "run").exists()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunDirectoryError, match="Not a directory"), write_lock(tmp_path / "file" / "run"):
        pass
