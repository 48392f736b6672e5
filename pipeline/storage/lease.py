"""Lease for a run in an object store: an object that names the writer and the time of the last renewal.

Object stores have no locks, and fsspec has no conditional write, so the lease is advisory. It refuses a second run
while the first is active. Another run may take the lease over when its owner has not renewed it for `LEASE_SECONDS`, or
was a process of this machine that has ended. The previous owner, for example on a machine that was suspended, stops at
its next renewal.

Two runs that start within one or two seconds may both find no lease. Each writes its own, waits `_SETTLE_SECONDS` and
continues only if its own lease is still there, so one remains unless the store takes longer to show the last write.
Even then no data is damaged: shards are uploaded as complete objects, and both runs upload the same bytes. The clocks
of the machines should agree to within a minute.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import re
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.errors import RunDirectoryError
from pipeline.storage.paths import as_os_errors
from pipeline.storage.run_directory import RunDirectory

LEASE_SECONDS = 180.0
_RENEWAL_SECONDS = 30.0
_SETTLE_SECONDS = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lease:
    """The content of a lease."""

    owner: str  # e.g. `process 77 on myhost`
    token: str  # random, unique for each run
    renewed: float  # Unix time in seconds

    @property
    def is_alive(self) -> bool:
        """Return whether the lease was renewed within `LEASE_SECONDS` and its owner is not known to have ended."""
        return time.time() - self.renewed < LEASE_SECONDS and is_alive_here(self.owner) is not False


def is_alive_here(owner: str) -> bool | None:
    """Return whether the owner's process is running; None if it belongs to another machine.

    Args:
        owner: Such as `process 77 on myhost` or `job 3 of 8, process 77 on myhost`.
    """
    found = re.fullmatch(r"(?:job \d+ of \d+, )?process (\d+) on (.*)", owner)
    if found is None or found[2] != platform.node():
        return None
    try:
        os.kill(int(found[1]), 0)  # signal 0 only checks that the process exists
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it belongs to another user
    return True


def read_lease(run_dir: Path) -> Lease | None:
    """Return the lease of a run; None if it is missing or its content is invalid."""
    try:
        with as_os_errors(run_dir):
            content = RunDirectory(run_dir).lease.read_text(encoding="utf-8")
        return Lease(**json.loads(content))
    except (FileNotFoundError, ValueError, TypeError):
        return None


@contextmanager
def hold_lease(run_dir: Path) -> Iterator[None]:
    """Hold the lease of a remote run, and renew it in a background thread.

    Raises:
        RunDirectoryError: Another run holds the lease, has taken it over, or the run directory cannot be written.
    """
    token = uuid.uuid4().hex
    try:
        lease = read_lease(run_dir)
        if lease is None or not lease.is_alive:
            _write(run_dir, token)
            time.sleep(_SETTLE_SECONDS)
            lease = read_lease(run_dir)
    except OSError as error:
        raise RunDirectoryError(
            f"{run_dir}: cannot be written ({error}); choose another place with output_dir=..."
        ) from error
    if lease is None or lease.token != token:
        who = lease.owner if lease else "another run"
        raise RunDirectoryError(
            f"{run_dir}: in use by {who}; wait until it ends, or choose another name with name=... (the lease of a "
            f"killed run expires after {LEASE_SECONDS:.0f} s)"
        )
    done, lost = threading.Event(), threading.Event()
    renewal = threading.Thread(target=_renew, args=(run_dir, token, done, lost), daemon=True)
    renewal.start()
    try:
        yield
    except BaseException:
        if lost.is_set():
            raise RunDirectoryError(
                f"{run_dir}: another run took the lease over, because this one did not renew it in time"
            ) from None
        raise
    finally:
        done.set()
        renewal.join()
        _release(run_dir, token)


def _write(run_dir: Path, token: str) -> None:
    lease = Lease(f"process {os.getpid()} on {platform.node()}", token, time.time())
    with as_os_errors(run_dir):
        RunDirectory(run_dir).lease.write_text(json.dumps(asdict(lease)) + "\n", encoding="utf-8")


def _release(run_dir: Path, token: str) -> None:
    try:
        if (lease := read_lease(run_dir)) is not None and lease.token == token:
            with as_os_errors(run_dir):
                RunDirectory(run_dir).lease.unlink(missing_ok=True)
    except OSError as error:  # harmless: the lease expires, since nothing renews it
        _log.warning("warning: %s: the lease cannot be released (%s)", run_dir, error)


def _stop_main_thread() -> None:
    """Interrupt the main thread with SIGINT, or with SIGTERM if it ignores SIGINT, as background jobs of a shell do.

    A signal interrupts blocking calls too.
    """
    ignores_sigint = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM if ignores_sigint else signal.SIGINT)


def _renew(run_dir: Path, token: str, done: threading.Event, lost: threading.Event) -> None:
    while not done.wait(_RENEWAL_SECONDS):
        try:
            lease = read_lease(run_dir)
            if lease is not None and lease.token != token:
                lost.set()
                _stop_main_thread()
                return
            _write(run_dir, token)
        except OSError as error:  # the lease outlives several failed renewals
            _log.warning("warning: %s: the lease cannot be renewed (%s)", run_dir, error)
