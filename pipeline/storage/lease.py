"""One writer at a time where files cannot be locked: a lease, an object with its owner and the time of its renewal.

Object stores have no lock, and fsspec no "write only if nobody has": this is an agreement. It keeps out a second run
that starts while one is at work, and it is taken over when its owner has not renewed it for `LEASE_SECONDS`, or is a
process of this machine that has died. A run that was followed, since it slept for so long, stops when it wakes. Two
runs that start within the same second or two may both see no lease; each writes its own, waits, and goes on only if its
own is still there, which leaves one, unless a store takes longer than `_SETTLE_SECONDS` to show what was written last.
Even then nothing is damaged: shards are put whole, and both would put the same bytes. Clocks of the machines are
compared, so they should agree to within a minute.
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
    """Who writes to a place."""

    owner: str  # `process 77 on myhost`
    token: str  # new for each run
    renewed: float  # seconds since 1970

    @property
    def is_alive(self) -> bool:
        """Return whether it was renewed lately, by a process that is not known to be dead."""
        return time.time() - self.renewed < LEASE_SECONDS and is_alive_here(self.owner) is not False


def is_alive_here(owner: str) -> bool | None:
    """Return whether the process of this name, `process 77 on myhost`, lives; None: it is on another machine.

    What its job is may stand before it: `job 3 of 8, process 77 on myhost`.
    """
    found = re.fullmatch(r"(?:job \d+ of \d+, )?process (\d+) on (.*)", owner)
    if found is None or found[2] != platform.node():
        return None
    try:
        os.kill(int(found[1]), 0)  # asks only whether there is such a process
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # of another user
    return True


def read_lease(run_dir: Path) -> Lease | None:
    """The lease of a place; None: there is none, or none that can be read."""
    try:
        with as_os_errors(run_dir):
            content = RunDirectory(run_dir).lease.read_text(encoding="utf-8")
        return Lease(**json.loads(content))
    except (FileNotFoundError, ValueError, TypeError):
        return None


@contextmanager
def hold_lease(run_dir: Path) -> Iterator[None]:
    """Keep other runs out of a remote place.

    Raises:
        RunDirectoryError: Another run is at work there, or it cannot be written.
    """
    token = uuid.uuid4().hex
    try:
        there = read_lease(run_dir)
        if there is None or not there.is_alive:
            _write(run_dir, token)
            time.sleep(_SETTLE_SECONDS)
            there = read_lease(run_dir)
    except OSError as error:
        raise RunDirectoryError(f"{run_dir}: cannot be written ({error}); give output_dir=...") from error
    if there is None or there.token != token:
        who = there.owner if there else "another run"
        raise RunDirectoryError(
            f"{run_dir}: {who} is at work here; wait for it, or give name=... (a run that was killed is taken over "
            f"{LEASE_SECONDS:.0f} s after its last sign of life)"
        )
    done, lost = threading.Event(), threading.Event()
    renewal = threading.Thread(target=_renew, args=(run_dir, token, done, lost), daemon=True)
    renewal.start()
    try:
        yield
    except BaseException:
        if lost.is_set():
            raise RunDirectoryError(f"{run_dir}: another run has taken over, since this one was silent") from None
        raise
    finally:
        done.set()
        renewal.join()
        _give_back(run_dir, token)


def _write(run_dir: Path, token: str) -> None:
    lease = Lease(f"process {os.getpid()} on {platform.node()}", token, time.time())
    with as_os_errors(run_dir):
        RunDirectory(run_dir).lease.write_text(json.dumps(asdict(lease)) + "\n", encoding="utf-8")


def _give_back(run_dir: Path, token: str) -> None:
    try:
        if (there := read_lease(run_dir)) is not None and there.token == token:
            with as_os_errors(run_dir):
                RunDirectory(run_dir).lease.unlink(missing_ok=True)
    except OSError as error:  # nobody renews it any more
        _log.warning("warning: %s: the lease cannot be given back (%s)", run_dir, error)


def _stop_main_thread() -> None:
    """By a signal, since it ends a wait as well: Ctrl-C's, or SIGTERM where a shell's background job ignores that."""
    is_deaf = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM if is_deaf else signal.SIGINT)


def _renew(run_dir: Path, token: str, done: threading.Event, lost: threading.Event) -> None:
    while not done.wait(_RENEWAL_SECONDS):
        try:
            there = read_lease(run_dir)
            if there is not None and there.token != token:
                lost.set()
                _stop_main_thread()
                return
            _write(run_dir, token)
        except OSError as error:  # the next time may do better, and others wait for several
            _log.warning("warning: %s: the lease cannot be renewed (%s)", run_dir, error)
