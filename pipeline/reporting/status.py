"""`task=status`: show the state of a run, on any machine that can read its files.

It reads file names, manifests and journals, but no audio. It writes nothing and takes no lock, so it does not disturb
an active run. If files are damaged or the plan is incomplete, it shows the part that it can read.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pipeline.errors import RunDirectoryError
from pipeline.outputs.dataset.shards import Manifest, is_finished, list_data, list_manifests, read_manifest
from pipeline.planning.plan_store import PlanHead, read_head
from pipeline.quality.flaws import reason_codes
from pipeline.reporting.journal import MAX_INTERVAL, History, WorkerHistory, WorkerSession, read_journals
from pipeline.reporting.progress import clock, count
from pipeline.storage.locks import Holder, find_holders
from pipeline.storage.paths import wrap_read_errors
from pipeline.storage.run_directory import CONFIG_NAME, RunDirectory

_SILENT_AFTER = 3 * MAX_INTERVAL  # seconds without a journal line, after which a worker counts as dead
_MAX_LINES = 5  # of damaged files, and of failures, in the output


@dataclass(frozen=True)
class Status:
    """The state of a run."""

    directory: str
    now: float  # Unix time in seconds
    head: PlanHead | None  # None: the plan is missing or damaged
    num_staged: int  # shards in an incomplete plan
    done: int  # finished shards; the next four values are totals of these
    clips: int
    rejects: int
    reasons: Counter[str]
    audio_seconds: float
    history: History
    holders: tuple[Holder, ...]  # holders of the locks, active or dead
    is_complete: bool  # whether SHA256SUMS exists
    damage: tuple[str, ...]

    @property
    def live_sessions(self) -> list[tuple[WorkerHistory, WorkerSession]]:
        """Workers that appear to be active, each with its current session."""
        if self.holders and all(holder.is_alive is False for holder in self.holders):
            return []
        return [(each, each.sessions[-1]) for each in self.history.workers if self._is_live(each)]

    @property
    def rate(self) -> float:
        """Seconds of audio per second of all workers together, over the last two minutes."""
        return sum(session.rate() for _, session in self.live_sessions)

    @property
    def seconds_left(self) -> float | None:
        """Predicted seconds until the last shard is finished; None if no worker is active or no clip is finished."""
        if self.head is None or not self.rate or not self.clips:
            return None
        # The mean duration of finished clips is a better predictor than the plan.
        left = self.head.num_utterances - self.clips - self.rejects
        return self.audio_seconds / (self.clips + self.rejects) * left / self.rate

    def _is_live(self, worker: WorkerHistory) -> bool:
        session = worker.sessions[-1] if worker.sessions else None
        return bool(session and session.end_reason is None and self.now - session.last_seen < _SILENT_AFTER)


def read_status(run_dir: Path, now: float | None = None) -> Status:
    """Read the state of a run.

    Args:
        run_dir: Directory of the run.
        now: Unix time in seconds; None: the current time.

    Raises:
        RunDirectoryError: The folder does not exist, cannot be read, or is not a run.
    """
    with wrap_read_errors(run_dir):
        return _read_status(run_dir, time.time() if now is None else now)


def _read_status(run_dir: Path, now: float) -> Status:
    if not run_dir.is_dir():
        raise RunDirectoryError(f"run={run_dir}: this folder does not exist; give the folder of a run")
    run = RunDirectory(run_dir)
    staged = list(run.staged_plan.glob("shard-*"))
    holders = find_holders(run_dir)
    if not staged and not holders and not run.plan.exists() and not run.config.exists():
        raise RunDirectoryError(
            f"run={run_dir}: not a run (it has no {CONFIG_NAME} and no plan); name a run, e.g. run=outputs/book"
        )
    damage: list[str] = []
    head = _readable_head(run_dir, damage) if run.plan.exists() else None
    done = clips = rejects = 0
    reasons: Counter[str] = Counter()
    audio_seconds = 0.0
    for manifest in _finished(run_dir, damage):
        done += 1
        clips += len(manifest.clips)
        rejects += len(manifest.rejects)
        reasons.update(code for reject in manifest.rejects for code in reason_codes(reject["reason"]))
        audio_seconds += manifest.audio_seconds
    history = read_journals(run_dir)
    return Status(
        directory=str(run_dir),
        now=now,
        head=head,
        num_staged=len(staged),
        done=done,
        clips=clips,
        rejects=rejects,
        reasons=reasons,
        audio_seconds=audio_seconds,
        history=history,
        holders=holders,
        is_complete=RunDirectory(run_dir).checksums.exists(),
        damage=(*damage, *history.damage),
    )


def render_status(status: Status) -> str:
    """Return the status as text."""
    return "\n".join([status.directory, *_progress_lines(status), *_worker_lines(status), *_trouble_lines(status)])


def _readable_head(run_dir: Path, damage: list[str]) -> PlanHead | None:
    try:
        return read_head(run_dir)
    except RunDirectoryError as error:
        damage.append(str(error))
        return None


def _finished(run_dir: Path, damage: list[str]) -> Iterator[Manifest]:
    """Yield the manifests of finished shards, like `finished_shards`, but continue after damaged ones."""
    data = list_data(run_dir)
    for path in list_manifests(run_dir):
        try:
            manifest = read_manifest(path)
        except RunDirectoryError as error:
            damage.append(str(error))
            continue
        if is_finished(manifest, data):
            yield manifest
        elif manifest.file in data:
            damage.append(
                f"{RunDirectory(run_dir).data / manifest.file}: {data[manifest.file]} bytes, but "
                f"{manifest.num_bytes} in its manifest; rerun the command of the run to generate it again"
            )


def _progress_lines(status: Status) -> list[str]:
    head = status.head
    lines = [f"state       {_state(status)}"]
    if head is None:
        return lines
    share = status.done / head.num_shards if head.num_shards else 1.0
    lines += [
        f"shards      {status.done:,} of {head.num_shards:,} ({share:.0%}) finished",
        f"utterances  {status.clips + status.rejects:,} of {head.num_utterances:,} in finished shards: "
        f"{count(status.clips, 'clip')}, {count(status.rejects, 'reject')}",
    ]
    if status.reasons:
        lines.append("rejects     " + ", ".join(f"{number:,} {code}" for code, number in status.reasons.most_common()))
    lines.append(f"audio       {clock(status.audio_seconds)} of {clock(head.predicted_seconds)} predicted")
    if status.rate:
        lines.append(f"speed       {status.rate:.2f}x real time, {count(len(status.live_sessions), 'worker')}")
    if status.seconds_left is not None:
        end = datetime.fromtimestamp(status.now) + timedelta(seconds=status.seconds_left)
        lines.append(f"remaining   {clock(status.seconds_left)}, until about {end:%A %H:%M}")
    return lines


def _state(status: Status) -> str:
    head = status.head
    alive = [holder for holder in status.holders if holder.is_alive is not False]
    if alive:
        unknown = "" if any(holder.is_alive for holder in alive) else "; on another machine, where it may have died"
        activity = "planning" if status.num_staged else "working"
        planned = f": {count(status.num_staged, 'shard')} planned so far" if status.num_staged else ""
        return f"{activity}{planned} ({'; '.join(holder.name for holder in alive)}{unknown})"
    died = "".join(f"; {holder.name} has died" for holder in status.holders)
    if head is None:
        what = "plan is damaged" if status.damage else "plan is incomplete"
        return f"{what}{died}; rerun the command of the run"
    if status.done < head.num_shards:
        return f"stopped{died}; rerun the command of the run to resume"
    if status.is_complete and not died:
        return "finished"
    return f"all shards finished{died}; rerun the command of the run to write the remaining files"


def _worker_lines(status: Status) -> list[str]:
    workers = [worker for worker in status.history.workers if worker.sessions]
    if not workers:
        return []
    failures = Counter(failure.worker for failure in status.history.failures)
    live = {worker.worker for worker, _ in status.live_sessions}
    width = max(10, *(len(worker.worker) for worker in workers))
    figures = f"{'speed':>9}{'shards':>8}{'starts':>8}{'failures':>10}"
    rows = [f"\n{'worker':{width}}  {'device':10}{'host':18}{figures}  last seen"]
    for worker in workers:
        session = worker.sessions[-1]
        rate = session.rate() if worker.worker in live else 0.0
        speed = f"{rate:.2f}x" if rate else "-"  # a supervisor or a worker that only reuses clips has no speed
        shards = sum(len(each.shards) for each in worker.sessions)
        rows.append(
            f"{worker.worker:{width}}  {session.device or '-':10}{session.host[:17]:18}{speed:>9}{shards:8,}"
            f"{len(worker.sessions):8,}{failures[worker.worker]:10,}  {_last_seen(session, status.now)}"
        )
    return rows


def _last_seen(session: WorkerSession, now: float) -> str:
    ago = f"{clock(max(0.0, now - session.last_seen))} ago"
    if session.end_reason is not None:
        return f"{ago}, {session.end_reason}"
    return ago if now - session.last_seen < _SILENT_AFTER else f"{ago}, killed or hung"


def _trouble_lines(status: Status) -> list[str]:
    lines = []
    if status.history.failures:
        lines.append(f"\n{count(len(status.history.failures), 'failure')}, the latest last:")
        lines += [
            f"  {datetime.fromtimestamp(failure.time):%d %b %H:%M:%S} {failure.worker}: {failure.what}"
            for failure in status.history.failures[-_MAX_LINES:]
        ]
    if status.damage:
        lines.append("\ndamaged files (task=verify checks all of them):")
        lines += [f"  {line}" for line in status.damage[:_MAX_LINES]]
        if len(status.damage) > _MAX_LINES:
            lines.append(f"  and {len(status.damage) - _MAX_LINES} more")
    return lines
