"""Where all messages of a run arrive: the supervisor decides, the bar shows, shards in pieces are put together.

The same for every kind of worker. Knows neither processes nor Ray.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.execution.messages import Died, Done, Failed, Made, Message, PreviewStarted, Ready, WorkItem
from pipeline.execution.sub_shards import merge_sub_shards, sub_shards_dir
from pipeline.execution.supervisor import Supervisor
from pipeline.execution.worker import RunContext
from pipeline.outputs.dataset.shards import Manifest, finished_shard, hash_plan
from pipeline.planning.plan_store import read_shard_plan
from pipeline.reporting.journal import Journal
from pipeline.reporting.progress import Progress
from pipeline.reporting.report import RunStats
from pipeline.storage.checksums import delete_checksums
from pipeline.types import ModelInfo


class Coordinator:
    """See the head of this module."""

    def __init__(
        self,
        order: RunContext,
        supervisor: Supervisor,
        progress: Progress,
        names: Sequence[str],
        journal: Journal | None,
    ) -> None:
        self.supervisor = supervisor
        self.model: ModelInfo | None = None  # of the first worker that was ready
        self._order = order
        self._progress = progress
        self._names = names
        self._journal = journal  # of those who can say no more; None: one worker, which does
        self._start = time.monotonic()  # until the first worker is ready, and then when that was
        self._num_reused = 0
        self._computed_seconds = 0.0  # by workers that are gone
        self._computing = defaultdict[int, float](float)  # by those that are there

    def take(self, number: int, message: Message) -> None:
        """Sees to a message from the worker at a place, or about it."""
        now = time.monotonic()
        if isinstance(message, Ready) and self.model is None:
            delete_checksums(self._order.run_dir)  # from now on something may be written
            self._start, self.model = now, message.model
            self._progress.begin()
        elif isinstance(message, Made):
            self._progress.on_clip(number, message.shard, message.seconds, message.accepted)
        elif isinstance(message, Done):
            self._done(number, message)
        elif isinstance(message, PreviewStarted):
            self._progress.say(f"{message.path}: the book begins here, and goes on while you listen")
        elif isinstance(message, Failed):
            self._progress.say(f"worker {self._names[number]}: {message.trace or message.text}")
        elif isinstance(message, Died):
            for done in list(self._unheard_of(number)):
                self.take(number, done)
            self._computed_seconds += self._computing.pop(number, 0.0)
            self._progress.on_death(number)
        before = self.supervisor.num_restarts
        self.supervisor.take(number, message, now)
        if isinstance(message, Died) and not self.supervisor.finished:
            self._tell_of_death(number, message.reason, is_replaced=self.supervisor.num_restarts > before)
        for parts in self.supervisor.merged_shards():
            merge_sub_shards(self._order.run_dir, self._order.head, parts)
            self.supervisor.close(parts.shard)
            self._progress.on_written(number, parts.shard, len(parts.poison))

    def session(self) -> RunStats:
        """What this call of the command has done."""
        return RunStats(
            wall_seconds=time.monotonic() - self._start,
            audio_seconds=self._progress.audio_seconds,
            computed_seconds=self._computed_seconds + sum(self._computing.values()),
            num_retakes=self._progress.num_retakes,
            num_reused=self._num_reused,
            num_restarts=self.supervisor.num_restarts,
            given_up=tuple(self.supervisor.given_up),
        )

    def _tell_of_death(self, number: int, reason: str, is_replaced: bool) -> None:
        name, reason = self._names[number], self.supervisor.exit_reason(number, reason)
        follow = "is started again" if is_replaced else "is given up"
        self._progress.say(f"worker {name} is gone ({reason}) and {follow}")
        if self._journal is not None:
            self._journal.failure(f"{reason}; {follow}", self._order.journal_name(name))

    def _done(self, number: int, done: Done) -> None:
        self._num_reused += done.num_reused
        self._computing[number] = max(self._computing[number], done.computed_seconds)
        self._progress.on_written(number, done.task.shard, done.num_utterances, is_whole=done.task.piece is None)

    def _unheard_of(self, number: int) -> Iterator[Done]:
        """Tasks that a worker had finished when it died, and could not say so any more."""
        for task in self.supervisor.assigned_items(number):
            manifest = finished_shard(*_place(self._order, task))
            if manifest is not None and _is_of(self._order, task, manifest):
                yield Done(task, len(manifest.clips) + len(manifest.rejects))


def _place(order: RunContext, task: WorkItem) -> tuple[Path, int]:
    if task.piece is None:
        return order.run_dir, task.shard
    return sub_shards_dir(order.run_dir, task.shard), task.piece


def _is_of(order: RunContext, task: WorkItem, manifest: Manifest) -> bool:
    """Whether a task has made this. A piece that an earlier run has left may begin as this one does, and be another."""
    planned = read_shard_plan(order.run_dir, task.shard).utterances
    positions = range(len(planned)) if task.positions is None else task.positions
    settled = {clip.id for clip in manifest.clips} | {str(reject["id"]) for reject in manifest.rejects}
    return (
        manifest.fingerprint == order.head.fingerprint
        and manifest.plan_hash == hash_plan(order.run_dir, task.shard)
        and settled == {planned[position].id for position in positions}
    )
