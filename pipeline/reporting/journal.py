"""Journals: records of each worker's activity, as JSON Lines in `journal/<worker>.jsonl`.

`task=status` and `report.html` show them. Journals are informative only: progress is determined by the finished shards,
so a damaged, missing or unwritable journal does not change what is generated.

    {"event": "start", "time": 1764000000.0, "elapsed": 0.0, "host": "a", "pid": 7, "device": "cuda:0"}
    {"event": "progress", "time": ..., "elapsed": 5.0, "clips": 9, "audio_seconds": 40.1, "computed_seconds": 61.0, ...}
    {"event": "shard", "time": ..., "elapsed": 9.2, "index": 0, "clips": 17, "rejects": 1, ...}
    {"event": "failure", "time": ..., "elapsed": 9.4, "what": "out of memory", "worker": "cuda-1"}
    {"event": "end", "time": ..., "elapsed": 9.5, "why": "done"}

`time` is the wall clock, which may jump. `elapsed` is the time since the start line by a monotonic clock; all rates are
computed from it. The counts in a progress line are totals since the start line, so a lost line loses only detail.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.outputs.dataset.shards import Manifest
from pipeline.storage.paths import as_os_errors, is_local, parse_json, read_regular, reason_of
from pipeline.storage.run_directory import RunDirectory

# Seconds between two progress lines. The interval grows with the age of the session, which keeps the journal of a long
# run small. The maximum is short enough to tell an active worker from a dead one.
MIN_INTERVAL = 5.0
MAX_INTERVAL = 60.0
_REWRITE_INTERVAL = 20.0  # seconds between uploads of a journal in an object store
_LINES_PER_SESSION = 500  # about as many points as a chart can show
_MAX_BYTES = 2**28  # limit of the size of a journal to read
_MAX_VALUE = 1e11  # limit of a number in a line; lines with larger ones are invalid

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Counts:
    """Totals of a worker since its start line."""

    clips: int = 0  # accepted takes; reused clips are not counted
    audio_seconds: float = 0.0  # duration of these clips
    computed_seconds: float = 0.0  # audio that the decoder computed, including padding, empty rows and refused takes
    refused: int = 0  # takes that failed a check


class Journal:
    """The journal of one worker, open for writing. Enter it before the model is loaded.

    If a line cannot be written, e.g. because the disk is full, it is dropped; a warning is logged once.
    """

    def __init__(
        self,
        run_dir: Path,
        worker: str,
        device: str = "",
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Initialize the journal without writing.

        Args:
            run_dir: Directory of the run.
            worker: Name that is unique among the active processes of the run, such as `main`, `cuda-0`, `ray-3`, or
                `job-2-cuda-0` if the run has jobs.
            device: Device of the worker; empty for the supervisor.
            wall: Returns the Unix time in seconds.
            monotonic: Returns the time of a monotonic clock in seconds.
        """
        path = RunDirectory(run_dir).journal / f"{worker}.jsonl"
        self._lines = _AppendedLines(path) if is_local(path) else _RewrittenLines(path)
        self._device = device
        self._wall, self._monotonic = wall, monotonic
        self._started = self._last_progress = monotonic()
        self._counts = Counts()

    def __enter__(self) -> Journal:
        self._started = self._last_progress = self._monotonic()
        self._write("start", host=platform.node(), pid=os.getpid(), device=self._device)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):  # not for Ctrl-C and SIGTERM
            self.record_failure(f"{type(error).__name__}: {error}")
        self._record_progress()
        self._write("end", why="done" if error is None else "stopped")
        self._lines.close()

    def record_take(self, audio_seconds: float, accepted: bool, computed_seconds: float) -> None:
        """Count a take. A progress line is written only if the interval has passed.

        Args:
            audio_seconds: Duration of the take.
            accepted: Whether the take became a clip.
            computed_seconds: Audio that the decoder has computed since the start.
        """
        self._counts = Counts(
            self._counts.clips + accepted,
            self._counts.audio_seconds + audio_seconds * accepted,
            computed_seconds,
            self._counts.refused + (not accepted),
        )
        now = self._monotonic()
        interval = min(MAX_INTERVAL, max(MIN_INTERVAL, (now - self._started) / _LINES_PER_SESSION))
        if now - self._last_progress >= interval:
            self._record_progress()

    def record_shard(self, manifest: Manifest) -> None:
        """Record that a shard was written."""
        self._record_progress()
        self._write(
            "shard",
            index=manifest.index,
            clips=len(manifest.clips),
            rejects=len(manifest.rejects),
            audio_seconds=round(manifest.audio_seconds, 3),
            work_seconds=round(manifest.work_seconds, 3),
        )

    def record_failure(self, what: str, worker: str = "") -> None:
        """Record a failure of this worker, or of the dead worker that `worker` names."""
        self._write("failure", what=what, worker=worker)

    def _record_progress(self) -> None:
        self._last_progress = self._monotonic()
        counts = {key: round(value, 3) for key, value in vars(self._counts).items()}
        self._write("progress", **counts)

    def _write(self, event: str, **more: object) -> None:
        elapsed = round(self._monotonic() - self._started, 3)
        line = {"event": event, "time": round(self._wall(), 3), "elapsed": elapsed, **more}
        self._lines.write(json.dumps(line, ensure_ascii=False) + "\n")


class _AppendedLines:
    """A local file to which lines are appended without buffering."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._is_torn = True  # the file may end with an incomplete line; not known at first
        self._has_warned = False

    def write(self, line: str) -> None:
        # One system call per line, so that readers see whole lines and a kill damages at most the last one.
        content = ("\n" if self._is_torn else "").encode() + line.encode()
        try:
            if self._descriptor is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
                content = content if os.fstat(self._descriptor).st_size else line.encode()
            self._is_torn = os.write(self._descriptor, content) != len(content)
        except OSError as error:
            self._is_torn = True
            if not self._has_warned:
                _log.warning(
                    "warning: %s: cannot be written (%s); the run continues without it", self._path, error.strerror
                )
                self._has_warned = True

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None


class _RewrittenLines:
    """Like `_AppendedLines` for object stores, which cannot append: the object is rewritten at intervals."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text: str | None = None
        self._rewritten_at = -_REWRITE_INTERVAL
        self._has_warned = False

    def write(self, line: str) -> None:
        try:
            if self._text is None:
                with as_os_errors(self._path):
                    self._text = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
            self._text += line
            if time.monotonic() - self._rewritten_at >= _REWRITE_INTERVAL:
                self._rewrite()
        except OSError as error:
            self._warn(error)

    def close(self) -> None:
        try:
            self._rewrite()
        except OSError as error:
            self._warn(error)

    def _rewrite(self) -> None:
        self._rewritten_at = time.monotonic()
        with as_os_errors(self._path):
            self._path.write_text(self._text or "", encoding="utf-8")

    def _warn(self, error: OSError) -> None:
        if not self._has_warned:
            _log.warning("warning: %s: cannot be written (%s); the run continues without it", self._path, error)
        self._has_warned = True


@dataclass(frozen=True)
class ProgressPoint:
    """Totals of a session at one time."""

    elapsed: float  # seconds since the session's start
    counts: Counts


@dataclass(frozen=True)
class ShardLine:
    """A shard line of a journal."""

    elapsed: float  # seconds since the session's start
    index: int
    clips: int
    rejects: int
    audio_seconds: float
    work_seconds: float


@dataclass
class WorkerSession:
    """Records of a worker from a start line to its end line, or until it was killed."""

    started: float = 0.0  # Unix time in seconds
    host: str = ""
    pid: int = 0
    device: str = ""
    elapsed: float = 0.0  # seconds from the start to the last line
    last_seen: float = 0.0  # Unix time of the last line
    end_reason: str | None = None  # "done" or "stopped"; None: active or killed
    points: list[ProgressPoint] = field(default_factory=list)
    shards: list[ShardLine] = field(default_factory=list)

    @property
    def counts(self) -> Counts:
        """Totals in the last progress line."""
        return self.points[-1].counts if self.points else Counts()

    def rate(self, window: float = 120.0) -> float:
        """Return the seconds of accepted audio per second, over the last `window` seconds of the session."""
        earlier = next(
            (point for point in reversed(self.points) if point.elapsed <= self.elapsed - window),
            ProgressPoint(0.0, Counts()),
        )
        seconds = self.elapsed - earlier.elapsed
        return (self.counts.audio_seconds - earlier.counts.audio_seconds) / seconds if seconds > 0 else 0.0


@dataclass(frozen=True)
class Failure:
    """A recorded failure."""

    time: float  # Unix time in seconds
    worker: str  # name of the worker that failed
    what: str  # description


@dataclass(frozen=True)
class WorkerHistory:
    """All sessions of one worker."""

    worker: str
    sessions: tuple[WorkerSession, ...]  # more than one if the worker was restarted


@dataclass(frozen=True)
class History:
    """The content of all journals of a run."""

    workers: tuple[WorkerHistory, ...]  # sorted by name
    failures: tuple[Failure, ...]  # sorted by time
    damage: tuple[str, ...] = ()  # messages about journals that cannot be read


def read_journals(run_dir: Path) -> History:
    """Read all journals of a run. Invalid lines and unknown events are skipped.

    Journals that cannot be read are listed in `History.damage`.
    """
    workers, failures, damage = [], [], []
    for path in sorted(RunDirectory(run_dir).journal.glob("*.jsonl"), key=lambda path: path.name):
        sessions: list[WorkerSession] = []
        try:
            for line in _read_lines(path):
                _add_line(line, sessions)
                if line["event"] == "failure":
                    worker = str(line.get("worker") or path.stem)
                    failures.append(Failure(float(line["time"]), worker, str(line["what"])))
        except OSError as error:
            damage.append(f"{path}: cannot be read ({reason_of(error)}), so its content is not shown; delete the file")
        workers.append(WorkerHistory(path.stem, tuple(sessions)))
    return History(tuple(workers), tuple(sorted(failures, key=lambda failure: failure.time)), tuple(damage))


def _read_lines(path: Path) -> Iterator[dict[str, Any]]:
    for text in read_regular(path, _MAX_BYTES).decode(errors="replace").split("\n"):
        try:
            line = parse_json(text)
            is_known = all(isinstance(line[key], kind) for key, kind in _FIELDS[line["event"]].items())
        except (ValueError, TypeError, KeyError):  # truncated by a kill, or of another version
            continue
        if is_known and all(0 <= abs(value) < _MAX_VALUE for value in line.values() if isinstance(value, _NUMBER)):
            yield line


_NUMBER = (int, float)
_COMMON = {"time": _NUMBER, "elapsed": _NUMBER}
_COUNT_FIELDS = dict.fromkeys(vars(Counts()), _NUMBER)
_SHARD_FIELDS = dict.fromkeys(("index", "clips", "rejects", "audio_seconds", "work_seconds"), _NUMBER)
_FIELDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "start": {**_COMMON, "host": str, "pid": int, "device": str},
    "progress": {**_COMMON, **_COUNT_FIELDS},
    "shard": {**_COMMON, **_SHARD_FIELDS},
    "failure": {**_COMMON, "what": str},
    "end": {**_COMMON, "why": str},
}


def _add_line(line: dict[str, Any], sessions: list[WorkerSession]) -> None:
    event = line["event"]
    if event == "start" or not sessions:  # also if the start line was lost
        sessions.append(WorkerSession(line["time"] - line["elapsed"]))
    session = sessions[-1]
    session.elapsed = max(session.elapsed, line["elapsed"])
    session.last_seen = line["time"]
    if event == "start":
        session.host, session.pid, session.device = line["host"], line["pid"], line["device"]
    elif event == "progress":
        session.points.append(ProgressPoint(line["elapsed"], Counts(**{key: line[key] for key in _COUNT_FIELDS})))
    elif event == "shard":
        session.shards.append(ShardLine(line["elapsed"], **{key: line[key] for key in _SHARD_FIELDS}))
    elif event == "end":
        session.end_reason = line["why"]
