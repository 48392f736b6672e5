"""Who may be in a run directory at the same time."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.errors import RunDirectoryError
from pipeline.storage.locks import Holder, find_holders, writer

HERE = f"process {os.getpid()} on {platform.node()}"


def test_a_whole_run_is_alone(tmp_path: Path) -> None:
    """Guards two runs that write each other's shards, and the temporary files of one against the other's clean-up."""
    with writer(tmp_path / "run") as right, right.alternate() as is_alone:
        assert is_alone
        with pytest.raises(RunDirectoryError, match=f"{HERE} is at work here"), writer(tmp_path / "run"):
            pass
        with (
            writer(tmp_path / "run", 0, 2) as job,
            pytest.raises(RunDirectoryError, match=f"run: {HERE} is at work here"),  # and not "job 0 of 2"
            job.alternate(),
        ):
            pass
    with writer(tmp_path / "run"):
        pass


def test_jobs_share_a_directory_but_not_with_a_whole_run_nor_their_number(tmp_path: Path) -> None:
    with writer(tmp_path, 0, 2) as first:
        with first.alternate() as is_alone:
            assert is_alone, "the plan is its to make"
        with writer(tmp_path, 1, 2) as second:
            with second.alternate() as is_alone:
                assert not is_alone, "the plan is there"
            with pytest.raises(RunDirectoryError, match=f"job 0 of 2, {HERE}; job 1 of 2, {HERE} is"), writer(tmp_path):
                pass
            with pytest.raises(RunDirectoryError, match="job 1 of 2"), writer(tmp_path, 1, 2):
                pass
        with first.alternate() as is_alone:
            assert is_alone, "the other has left"


def test_a_job_waits_for_who_only_looks_at_its_lock(tmp_path: Path) -> None:
    """Guards an array that starts again as a whole: each job looks whether the others' last holders are gone."""
    with writer(tmp_path, 0, 2):
        pass
    looker = os.open(tmp_path / ".lock-0-of-2", os.O_RDWR)
    fcntl.flock(looker, fcntl.LOCK_EX)
    threading.Timer(0.3, os.close, (looker,)).start()
    with writer(tmp_path, 0, 2):
        pass


def test_what_a_killed_process_held_is_free(tmp_path: Path) -> None:
    """Guards the morning after: neither a lock nor a name that is left may keep the next run out, or be told of."""
    program = (
        "import os, signal, sys; from pathlib import Path; from pipeline.storage.locks import writer\n"
        "with writer(Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", program, tmp_path], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / ".writer").exists()
    with writer(tmp_path, 0, 2) as job, job.alternate():
        pass
    with writer(tmp_path):
        assert HERE in (tmp_path / ".writer").read_text()


def leave_name_of_killed_job(run_dir: Path) -> Holder:
    """What a job leaves that is killed; gives what is told of it."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    name = f"job 3 of 5, process {dead.pid} on {platform.node()}"
    (run_dir / ".lock-3-of-5").touch()
    (run_dir / ".writer-3-of-5").write_text(name)
    return Holder(name, is_alive=False)


def test_a_killed_job_is_not_told_of_as_at_work(tmp_path: Path) -> None:
    """Bug: nobody asked after the process of a job, whose name is longer than that of a whole run."""
    dead = leave_name_of_killed_job(tmp_path)
    with writer(tmp_path, 0, 5):
        assert find_holders(tmp_path) == (Holder(f"job 0 of 5, {HERE}", is_alive=True), dead)


def test_the_name_of_a_killed_job_goes_with_the_next_writer(tmp_path: Path) -> None:
    """Bug: status told of it for ever, of a finished run as well."""
    leave_name_of_killed_job(tmp_path)
    with writer(tmp_path, 1, 5), writer(tmp_path, 0, 5) as other, other.alternate():
        assert [holder.name[:5] for holder in find_holders(tmp_path)] == ["job 0", "job 1"]
    leave_name_of_killed_job(tmp_path)
    with writer(tmp_path):
        assert [holder.name for holder in find_holders(tmp_path)] == [HERE]
    assert find_holders(tmp_path) == ()


def test_a_disk_that_is_still_full_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: the name of the holder is written first of all, and a disk without space for it gave a traceback."""

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / ".lock").touch()
    (tmp_path / "config.yaml").touch()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(RunDirectoryError, match=r"cannot be written \(No space left on device\); free some space"):
            enter(tmp_path)
    enter(tmp_path)


def enter(run_dir: Path, job: int | None = None) -> None:
    with writer(run_dir, job, 2) as right, right.alternate():
        pass


@pytest.mark.parametrize("job", [None, 0])
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks_is_one_line(
    number: int, job: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: such a one, as some network drives are, gave a traceback."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(RunDirectoryError, match=r"its file system cannot lock files \(.+\); give output_dir=..."):
        enter(tmp_path, job)


def test_a_refused_run_leaves_no_folder(tmp_path: Path) -> None:
    with writer(tmp_path / "run"):
        pass
    assert not (tmp_path / "run").exists()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunDirectoryError, match="cannot be written"), writer(tmp_path / "file" / "run"):
        pass
