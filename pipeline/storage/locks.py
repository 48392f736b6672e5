"""Locks of a run directory: exclusive for one run, shared for several jobs.

A run without jobs holds `.lock` exclusively. A job holds its own lock (such as `.lock-3-of-8`) and shares `.lock` with
the other jobs; planning and finalizing also need `.lock-jobs`, which one job can hold. All are `flock` locks, which
the operating system releases when the process ends for any reason, so there are no stale locks. A file beside each lock
(`.writer`, `.writer-3-of-8`: the tag) names its holder. Object stores have no locks; see `lease`.
"""

from __future__ import annotations

import fcntl
import os
import platform
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ConfigError, RunDirectoryError, printable
from pipeline.storage.lease import hold_lease, is_alive_here, read_lease
from pipeline.storage.paths import is_local, read_regular, reason_of
from pipeline.storage.run_directory import RunDirectory

_MAX_TAG_BYTES = 4096
_TRIES, _BETWEEN_TRIES_SECONDS = 10, 0.1


@dataclass(frozen=True)
class Holder:
    """The holder of a lock, which may have ended without removing its tag."""

    name: str  # e.g. `process 77 on myhost`
    is_alive: bool | None  # None: not known, since it is on another machine


def find_holders(run_dir: Path) -> tuple[Holder, ...]:
    """Return the holders of the run's locks or lease, without taking a lock."""
    if not is_local(run_dir):
        lease = read_lease(run_dir)
        return () if lease is None else (Holder(lease.owner, lease.is_alive),)
    names = [name for tag in _tags(run_dir) if (name := _holder_name(tag)) is not None]
    return tuple(Holder(name, is_alive_here(name)) for name in names)


def _holder_name(tag: Path) -> str | None:
    """Return the name in a tag; None if the tag is missing."""
    try:
        return printable(read_regular(tag, _MAX_TAG_BYTES).decode(errors="replace").strip())
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{tag.name}, which cannot be read ({reason_of(error)}); delete it if no process uses the run"


_held: list[_Lock] = []  # locks of this process


def check_locks(run_dir: Path) -> None:
    """Check that the lock files that this process holds in a run directory still exist.

    Raises:
        RunDirectoryError: One was deleted or replaced, so another process may have started to write there.
    """
    for lock in _held:
        if lock.path.parent == run_dir and not lock.is_in_place():
            raise RunDirectoryError(
                f"{lock.path}: the lock file was deleted while this command was running, so another command may write "
                "to the run too. Make sure that no other command uses the run, then rerun this one."
            )


class WriteLock:
    """Permission to write to a run directory."""

    def __init__(self, run_dir: Path, shared: _Lock | None = None, own: _Lock | None = None) -> None:
        self._run_dir = run_dir
        self._own = own  # lock of this job
        self._shared = shared  # lock shared with other jobs; None: no other job may use the directory

    @contextmanager
    def alternate(self) -> Iterator[bool]:
        """Run a block that one job at a time may execute; yield whether no other job is active.

        Raises:
            RunDirectoryError: A run without jobs holds the directory, or it cannot be written.
        """
        if self._shared is None:
            yield True
            return
        with ExitStack() as held:
            jobs_lock = _Lock(self._run_dir / ".lock-jobs")
            held.callback(jobs_lock.release)
            with wrap_os_errors(self._run_dir):
                jobs_lock.acquire(wait=True)
            is_alone = self._shared.try_acquire()
            if not is_alone and not self._shared.try_acquire(shared=True):
                raise _in_use_error(self._run_dir, self._own)
            # A tag of `.lock` was left by a killed run: no run without jobs is active now.
            _tag_of(self._shared.path).unlink(missing_ok=True)
            _delete_killed_jobs(self._run_dir)
            try:
                yield is_alone
            finally:
                if not self._shared.try_acquire(shared=True):
                    raise _in_use_error(self._run_dir, self._own)


def check_jobs(run_dir: Path, job: int | None) -> None:
    """Check that the run directory of a job is on a local disk.

    Raises:
        ConfigError: It is remote; jobs cannot share a remote directory.
    """
    if job is not None and not is_local(run_dir):
        raise ConfigError(
            f"output_dir={run_dir.parent}: jobs (job_index) need a folder on a disk, where files can be locked; "
            "for an address, start a single command with executor=local or executor=ray"
        )


@contextmanager
def write_lock(run_dir: Path, job: int | None = None, num_jobs: int = 1) -> Iterator[WriteLock]:
    """Create the run directory and hold its locks.

    Args:
        run_dir: Directory of the run.
        job: Index of this job among those that share the run; None: the run has no jobs and needs an exclusive lock.
        num_jobs: Number of jobs that share the run.

    Raises:
        ConfigError: The directory is remote and `job` is given.
        RunDirectoryError: Another process uses the directory, or it cannot be written.
    """
    check_jobs(run_dir, job)
    if not is_local(run_dir):
        with hold_lease(run_dir):
            yield WriteLock(run_dir)
        return
    lock = _Lock(RunDirectory(run_dir).lock)
    own = lock if job is None else _Lock(run_dir / f".lock-{job}-of-{num_jobs}")
    with ExitStack() as held:
        with wrap_os_errors(run_dir):
            run_dir.mkdir(parents=True, exist_ok=True)
            for one in (lock, own):
                held.callback(one.release)
                one.open()
            if not (own.try_acquire() if job is None else own.try_repeatedly()):
                raise _in_use_error(run_dir)
            if job is None:
                _delete_killed_jobs(run_dir)
                held.callback(_remove_if_empty, run_dir)
            for one in (lock, own):
                _held.append(one)
                held.callback(_held.remove, one)
            own.sign("" if job is None else f"job {job} of {num_jobs}, ")
        yield WriteLock(run_dir) if job is None else WriteLock(run_dir, lock, own)


@contextmanager
def wrap_os_errors(run_dir: Path) -> Iterator[None]:
    """Convert an `OSError` in the block to a `RunDirectoryError`."""
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(
            f"{run_dir}: cannot be written ({error.strerror}); free disk space, correct the permissions, or choose "
            "another place with output_dir=..."
        ) from error


class _Lock:
    """An `flock` on a file, and the tag that names its holder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        self._tag: Path | None = None  # file with the name of the holder; None before `sign`

    def open(self) -> None:
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def acquire(self, *, wait: bool, shared: bool = False) -> None:
        self.open()
        assert self._descriptor is not None
        try:
            fcntl.flock(self._descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise
        except OSError as error:
            raise RunDirectoryError(
                f"{self.path}: the file system does not support file locks ({error.strerror}); "
                "choose another one with output_dir=..."
            ) from error

    def is_in_place(self) -> bool:
        """Return whether the locked file still exists under its name and was not replaced."""
        if self._descriptor is None:
            return True
        try:
            current, held = self.path.stat(), os.fstat(self._descriptor)
        except FileNotFoundError:
            return False
        return os.path.samestat(current, held)

    def try_acquire(self, *, shared: bool = False) -> bool:
        """Acquire the lock or convert it to the given kind, without waiting; return whether it succeeded."""
        try:
            self.acquire(wait=False, shared=shared)
        except BlockingIOError:
            return False
        return True

    def try_repeatedly(self) -> bool:
        """Acquire the lock of a job within a second; return whether it succeeded.

        Other jobs hold it for a moment when they check whether its holder has ended.
        """
        for _ in range(_TRIES):
            if self.try_acquire():
                return True
            time.sleep(_BETWEEN_TRIES_SECONDS)
        return False

    def sign(self, prefix: str) -> None:
        self._tag = _tag_of(self.path)
        self._tag.write_text(f"{prefix}process {os.getpid()} on {platform.node()}", encoding="utf-8")

    def release(self) -> None:
        if self._tag is not None and self.is_in_place():  # otherwise the tag names another holder
            self._tag.unlink(missing_ok=True)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _in_use_error(run_dir: Path, own: _Lock | None = None) -> RunDirectoryError:
    others = (tag for tag in _tags(run_dir) if own is None or tag != _tag_of(own.path))
    holders = [tag.read_text(encoding="utf-8") for tag in others if _is_held(_lock_of(tag))]
    who = "; ".join(holders) or "another process"
    return RunDirectoryError(f"{run_dir}: in use by {who}; wait until it ends, or choose another name with name=...")


def _is_held(path: Path) -> bool:
    lock = _Lock(path)
    try:
        return _tag_of(path).exists() and not lock.try_acquire()
    finally:
        lock.release()


def _delete_killed_jobs(run_dir: Path) -> None:
    """Delete the tags of jobs that were killed, which would otherwise be reported as active."""
    for tag in run_dir.glob(".writer-*"):
        lock = _Lock(_lock_of(tag))
        try:
            if lock.try_acquire():
                tag.unlink(missing_ok=True)
        finally:
            lock.release()


def _tags(run_dir: Path) -> list[Path]:
    return sorted({run_dir / ".writer", *run_dir.glob(".writer-*")})


def _tag_of(lock: Path) -> Path:
    return lock.with_name(lock.name.replace(".lock", ".writer"))


def _lock_of(tag: Path) -> Path:
    return tag.with_name(tag.name.replace(".writer", ".lock"))


def _remove_if_empty(run_dir: Path) -> None:
    """Remove the directory of a run that ended before it wrote any file except its lock and tag."""
    entries = list(run_dir.iterdir()) if run_dir.is_dir() else []
    if not entries:  # missing, or its files were deleted
        return
    if all(entry.name in (".lock", ".writer") for entry in entries):
        for entry in entries:
            entry.unlink()
        run_dir.rmdir()
