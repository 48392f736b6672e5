"""Who may write to a run directory: one run, or several jobs that share it.

Owns the locks. A whole run holds `.lock` for itself. A job holds its own (`.lock-3-of-8`) and shares `.lock` with the
other jobs; what only one of them may do at a time, planning and finishing, is done under `.lock-jobs`. All are
`flock`s: the system lets go of them when their process dies, however it dies, so that none is ever stale. Beside each
lies the name of its holder, for the others to read. Remote places have no locks; see `lease`.
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
    """Who is at work in a run directory, or was until it died."""

    name: str  # `process 77 on myhost`
    is_alive: bool | None  # None: it is on another machine, and cannot be asked from here


def find_holders(run_dir: Path) -> tuple[Holder, ...]:
    """Look who is at work, without disturbing it."""
    if not is_local(run_dir):
        lease = read_lease(run_dir)
        return () if lease is None else (Holder(lease.owner, lease.is_alive),)
    names = [name for tag in _tags(run_dir) if (name := _holder_name(tag)) is not None]
    return tuple(Holder(name, is_alive_here(name)) for name in names)


def _holder_name(tag: Path) -> str | None:
    """What a holder has signed with; None: it is gone."""
    try:
        return printable(read_regular(tag, _MAX_TAG_BYTES).decode(errors="replace").strip())
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{tag.name}, which cannot be read ({reason_of(error)}); delete it if nobody is at work"


_held: list[_Lock] = []  # by this process


def check_locks(run_dir: Path) -> None:
    """Make sure that the locks which this process holds in a run directory are still there.

    Raises:
        RunDirectoryError: One was deleted or replaced, so that another process may have begun to write there.
    """
    for lock in _held:
        if lock.path.parent == run_dir and not lock.is_in_place():
            raise RunDirectoryError(
                f"{lock.path}: was deleted while this command was at work, so that another one may write here as well: "
                "give the same command again, once nobody else is at work"
            )


class WriteLock:
    """The right to write to a run directory."""

    def __init__(self, run_dir: Path, shared: _Lock | None = None, own: _Lock | None = None) -> None:
        self._run_dir = run_dir
        self._own = own  # of this job
        self._shared = shared  # with other jobs; None: this run is alone in the directory

    @contextmanager
    def alternate(self) -> Iterator[bool]:
        """Where jobs would be in each other's way; gives whether this one is alone in the directory."""
        if self._shared is None:
            yield True
            return
        with ExitStack() as held:
            turn = _Lock(self._run_dir / ".lock-jobs")
            held.callback(turn.release)
            with wrap_os_errors(self._run_dir):
                turn.acquire(wait=True)
            is_alone = self._shared.try_acquire()
            if not is_alone and not self._shared.try_acquire(shared=True):
                raise _is_taken(self._run_dir, self._own)
            _tag_of(self._shared.path).unlink(missing_ok=True)  # of a killed run: no whole one is here now
            _delete_killed_jobs(self._run_dir)
            try:
                yield is_alone
            finally:
                if not self._shared.try_acquire(shared=True):
                    raise _is_taken(self._run_dir, self._own)


def check_jobs(run_dir: Path, job: int | None) -> None:
    """Refuse several jobs in a remote place.

    Raises:
        ConfigError: Jobs cannot share one.
    """
    if job is not None and not is_local(run_dir):
        raise ConfigError(
            f"output_dir={run_dir.parent}: jobs (job_index) share a folder on a disk only, which they can lock; "
            "for an address give one command, with executor=local or executor=ray"
        )


@contextmanager
def write_lock(run_dir: Path, job: int | None = None, num_jobs: int = 1) -> Iterator[WriteLock]:
    """Make the directory and keep out all who may not be there at the same time.

    Args:
        run_dir: Directory of the run.
        job: This job's number among those that share it; None: this run is to be alone in it.
        num_jobs: How many share it.

    Raises:
        ConfigError: Jobs cannot share a remote place.
        RunDirectoryError: Another process is at work in it, or it cannot be written.
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
            if not (own.try_acquire() if job is None else own.try_for_a_moment()):
                raise _is_taken(run_dir)
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
    """Raise `RunDirectoryError` for an `OSError` of the block."""
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(
            f"{run_dir}: cannot be written ({error.strerror}); free some space or mend the permissions, or give "
            "output_dir=... for another place"
        ) from error


class _Lock:
    """A file that is locked, and the name of its holder beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        self._tag: Path | None = None  # the holder's name, once it has signed

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
                f"{self.path}: its file system cannot lock files ({error.strerror}); give output_dir=... on another one"
            ) from error

    def is_in_place(self) -> bool:
        """Return whether the file that is locked is the one that others find under its name."""
        if self._descriptor is None:
            return True
        try:
            there, held = self.path.stat(), os.fstat(self._descriptor)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, held)

    def try_acquire(self, *, shared: bool = False) -> bool:
        """Take the lock, or turn it into one of the other kind, if no other holder prevents it."""
        try:
            self.acquire(wait=False, shared=shared)
        except BlockingIOError:
            return False
        return True

    def try_for_a_moment(self) -> bool:
        """Take the lock of a job: others take it for an instant, to see whether its last holder is gone."""
        for _ in range(_TRIES):
            if self.try_acquire():
                return True
            time.sleep(_BETWEEN_TRIES_SECONDS)
        return False

    def sign(self, prefix: str) -> None:
        self._tag = _tag_of(self.path)
        self._tag.write_text(f"{prefix}process {os.getpid()} on {platform.node()}", encoding="utf-8")

    def release(self) -> None:
        if self._tag is not None and self.is_in_place():  # else it is the name of another holder by now
            self._tag.unlink(missing_ok=True)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _is_taken(run_dir: Path, own: _Lock | None = None) -> RunDirectoryError:
    others = (tag for tag in _tags(run_dir) if own is None or tag != _tag_of(own.path))
    holders = [tag.read_text(encoding="utf-8") for tag in others if _is_held(_lock_of(tag))]
    who = "; ".join(holders) or "another process"
    return RunDirectoryError(f"{run_dir}: {who} is at work here; wait for it, or give name=...")


def _is_held(path: Path) -> bool:
    lock = _Lock(path)
    try:
        return _tag_of(path).exists() and not lock.try_acquire()
    finally:
        lock.release()


def _delete_killed_jobs(run_dir: Path) -> None:
    """Remove the names of jobs that are gone, which would be told of as at work for ever."""
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
    """Leave no trace of a run that was refused before anything was written."""
    entries = list(run_dir.iterdir()) if run_dir.is_dir() else []
    if not entries:  # somebody has deleted it
        return
    if all(entry.name in (".lock", ".writer") for entry in entries):
        for entry in entries:
            entry.unlink()
        run_dir.rmdir()
