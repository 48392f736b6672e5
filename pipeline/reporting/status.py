"""`task=status`: how a run stands, told from its files alone, from any terminal or machine that sees them.

Owns what is counted and how it is put into words. Reads names, manifests and journals, never audio; writes nothing and
takes no lock, so that it disturbs no run. A run that is damaged or half planned is described as far as it can be.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pipeline.config.frozen import CONFIG_NAME
from pipeline.errors import RunDirectoryError
from pipeline.outputs.dataset.shards import Manifest, is_finished, list_data, list_manifests, read_manifest
from pipeline.planning.plan_store import PlanHead, read_head
from pipeline.reporting.journal import LONGEST_PAUSE, History, WorkerHistory, WorkerSession, read_journals
from pipeline.reporting.progress import clock, count
from pipeline.reporting.report import reason_codes
from pipeline.storage.checksums import CHECKSUMS_NAME
from pipeline.storage.locks import Holder, find_holders
from pipeline.storage.paths import as_unreadable
from pipeline.storage.run_directory import staged_plan_folder

_SILENT_AFTER = 3 * LONGEST_PAUSE  # seconds without a line: a long clip on a slow device, or a worker that hangs
_MAX_LINES = 5  # of damage, and of failures


@dataclass(frozen=True)
class Status:
    """How a run stands."""

    directory: str
    now: float  # seconds since 1970
    head: PlanHead | None  # None: there is no readable plan
    num_staged: int  # shards of a plan that is being made
    done: int  # shards
    clips: int
    rejects: int
    reasons: Counter[str]
    audio_seconds: float
    history: History
    holders: tuple[Holder, ...]  # who is at work, or was when it died
    is_complete: bool  # the last step of a run is done
    damage: tuple[str, ...]

    @property
    def live_sessions(self) -> list[tuple[WorkerHistory, WorkerSession]]:
        """The workers that are at work, as far as can be told, each with its present session."""
        if self.holders and all(holder.is_alive is False for holder in self.holders):
            return []
        return [(each, each.sessions[-1]) for each in self.history.workers if self._is_live(each)]

    @property
    def rate(self) -> float:
        """Seconds of audio a second, by all workers together, lately."""
        return sum(session.rate() for _, session in self.live_sessions)

    @property
    def seconds_left(self) -> float | None:
        """Of wall time, if it goes on as it does; None: nobody is at work, or nothing is known yet."""
        if self.head is None or not self.rate or not self.clips:
            return None
        # What came out so far is a better guide to what is to come than what was predicted before.
        left = self.head.num_utterances - self.clips - self.rejects
        return self.audio_seconds / (self.clips + self.rejects) * left / self.rate

    def _is_live(self, worker: WorkerHistory) -> bool:
        session = worker.sessions[-1] if worker.sessions else None
        return bool(session and session.end_reason is None and self.now - session.last_seen < _SILENT_AFTER)


def read_status(run_dir: Path, now: float | None = None) -> Status:
    """Looks at a run.

    Raises:
        RunDirectoryError: The folder is not there, cannot be read, or is no run.
    """
    with as_unreadable(run_dir):
        return _read_status(run_dir, time.time() if now is None else now)


def _read_status(run_dir: Path, now: float) -> Status:
    if not run_dir.is_dir():
        raise RunDirectoryError(f"run={run_dir}: no such folder")
    staged = list(staged_plan_folder(run_dir).glob("shard-*"))
    holders = find_holders(run_dir)
    if not staged and not holders and not (run_dir / "plan").exists() and not (run_dir / CONFIG_NAME).exists():
        raise RunDirectoryError(f"run={run_dir}: is not a run (no {CONFIG_NAME}, no plan); name one, e.g. outputs/book")
    damage: list[str] = []
    head = _readable_head(run_dir, damage) if (run_dir / "plan").exists() else None
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
        is_complete=(run_dir / CHECKSUMS_NAME).exists(),
        damage=(*damage, *history.damage),
    )


def render_status(status: Status) -> str:
    """The status for a person."""
    return "\n".join([status.directory, *_progress_lines(status), *_worker_lines(status), *_trouble_lines(status)])


def _readable_head(run_dir: Path, damage: list[str]) -> PlanHead | None:
    try:
        return read_head(run_dir)
    except RunDirectoryError as error:
        damage.append(str(error))
        return None


def _finished(run_dir: Path, damage: list[str]) -> Iterator[Manifest]:
    """Like `finished_shards`, but goes on past what is damaged. One at a time: there may be a million clips in all."""
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
                f"{run_dir / 'data' / manifest.file}: {data[manifest.file]} bytes, its manifest says "
                f"{manifest.num_bytes}; the same command makes it anew"
            )


def _progress_lines(status: Status) -> list[str]:
    head = status.head
    lines = [f"state       {_state(status)}"]
    if head is None:
        return lines
    share = status.done / head.num_shards if head.num_shards else 1.0
    lines += [
        f"shards      {status.done:,} of {head.num_shards:,} ({share:.0%})",
        f"utterances  {status.clips + status.rejects:,} of {head.num_utterances:,} in finished shards: "
        f"{count(status.clips, 'clip')}, {status.rejects:,} rejected",
    ]
    if status.reasons:
        lines.append("rejected    " + ", ".join(f"{number:,} {code}" for code, number in status.reasons.most_common()))
    lines.append(f"audio       {clock(status.audio_seconds)} of about {clock(head.predicted_seconds)}")
    if status.rate:
        lines.append(f"speed       {status.rate:.2f}x real time, by {count(len(status.live_sessions), 'worker')}")
    if status.seconds_left is not None:
        end = datetime.fromtimestamp(status.now) + timedelta(seconds=status.seconds_left)
        lines.append(f"left        {clock(status.seconds_left)}, until about {end:%A %H:%M}")
    return lines


def _state(status: Status) -> str:
    head = status.head
    there = [holder for holder in status.holders if holder.is_alive is not False]
    if there:
        known = "" if any(holder.is_alive for holder in there) else ", as far as can be told from here"
        doing = "planning" if status.num_staged else "at work"
        planned = f": {count(status.num_staged, 'shard')} planned so far" if status.num_staged else ""
        return f"{doing}{planned} ({'; '.join(holder.name for holder in there)}{known})"
    died = "".join(f"; {holder.name} has died" for holder in status.holders)
    if head is None:
        what = "its plan is damaged" if status.damage else "not planned to the end"
        return f"{what}{died}; give the same command again"
    if status.done < head.num_shards:
        return f"stopped{died}; the same command goes on from here"
    return "finished" if status.is_complete and not died else f"all shards are made{died}; the same command ends it"


def _worker_lines(status: Status) -> list[str]:
    workers = [worker for worker in status.history.workers if worker.sessions]
    if not workers:
        return []
    failures = Counter(failure.worker for failure in status.history.failures)
    live = {worker.worker for worker, _ in status.live_sessions}
    width = max(10, *(len(worker.worker) for worker in workers))
    rows = [
        f"\n{'worker':{width}}  {'device':10}{'host':18}{'speed':>9}{'shards':>8}{'starts':>8}{'failures':>10}  seen"
    ]
    for worker in workers:
        session = worker.sessions[-1]
        speed = f"{session.rate():.2f}x" if worker.worker in live and session.device else "-"
        shards = sum(len(each.shards) for each in worker.sessions)
        rows.append(
            f"{worker.worker:{width}}  {session.device or '-':10}{session.host[:17]:18}{speed:>9}{shards:8,}"
            f"{len(worker.sessions):8,}{failures[worker.worker]:10,}  {_sign_of_life(session, status.now)}"
        )
    return rows


def _sign_of_life(session: WorkerSession, now: float) -> str:
    ago = f"{clock(max(0.0, now - session.last_seen))} ago"
    if session.end_reason is not None:
        return f"{ago}, {session.end_reason}"
    return ago if now - session.last_seen < _SILENT_AFTER else f"{ago}: silent, or killed"


def _trouble_lines(status: Status) -> list[str]:
    lines = []
    if status.history.failures:
        lines.append(f"\n{count(len(status.history.failures), 'failure')}, the last:")
        lines += [
            f"  {datetime.fromtimestamp(failure.time):%d %b %H:%M:%S} {failure.worker}: {failure.what}"
            for failure in status.history.failures[-_MAX_LINES:]
        ]
    if status.damage:
        lines.append("\ndamaged (task=verify looks at everything):")
        lines += [f"  {line}" for line in status.damage[:_MAX_LINES]]
        if len(status.damage) > _MAX_LINES:
            lines.append(f"  and {len(status.damage) - _MAX_LINES} more")
    return lines
