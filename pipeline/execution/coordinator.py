"""Dispatch worker messages to the supervisor, the progress bar and the merger of sub-shards.

It is the same for all executors: it does not depend on where the workers run.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence

from pipeline.execution.messages import Died, Failed, ItemDone, Message, PreviewStarted, Ready, TakeDone, WorkItem
from pipeline.execution.sub_shards import merge_sub_shards
from pipeline.execution.supervisor import Supervisor
from pipeline.execution.worker import RunContext
from pipeline.outputs.dataset.shards import Manifest, finished_shard, hash_plan
from pipeline.planning.plan_store import read_shard_plan
from pipeline.reporting.journal import Journal
from pipeline.reporting.progress import Progress
from pipeline.reporting.report import RunStats
from pipeline.storage.checksums import delete_checksums
from pipeline.storage.locks import check_locks
from pipeline.storage.run_directory import RunDirectory
from pipeline.types import ModelInfo


class Coordinator:
    """Dispatch worker messages to the supervisor, the progress bar and the merger of sub-shards.

    Attributes:
        supervisor: Makes all decisions. Executors ask it for workers to start and for answers to claims.
        model: Description of the model by the first worker that is ready; None until then.
    """

    def __init__(
        self,
        context: RunContext,
        supervisor: Supervisor,
        progress: Progress,
        worker_names: Sequence[str],
        journal: Journal | None,
    ) -> None:
        """Initialize the coordinator.

        Args:
            context: The run.
            supervisor: State of the workers and of the remaining work.
            progress: Progress bar to update.
            worker_names: Names of the workers, indexed by their numbers.
            journal: Records crashes of workers. None: the worker runs in this process, whose crash ends the run.
        """
        self.supervisor = supervisor
        self.model: ModelInfo | None = None
        self._context = context
        self._progress = progress
        self._names = worker_names
        self._journal = journal
        self._start = time.monotonic()  # replaced by the time at which the first worker is ready
        self._num_reused = 0
        self._computed_seconds = 0.0  # decoded audio of workers that have exited
        self._computed_by_worker = defaultdict[int, float](float)  # decoded audio of active workers

    def handle(self, number: int, message: Message) -> None:
        """Process a message from or about the worker `number`.

        Raises:
            RunDirectoryError: A lock file of this run was deleted, or a sub-shard is damaged.
        """
        now = time.monotonic()
        if isinstance(message, Died):
            for done in list(self._unreported_items(number)):
                self.handle(number, done)
        self._show(number, message, now)
        num_restarts = self.supervisor.num_restarts
        self.supervisor.handle(number, message, now)
        if isinstance(message, Died) and not self.supervisor.finished:
            self._report_death(number, message.reason, is_restarted=self.supervisor.num_restarts > num_restarts)
        for split in self.supervisor.shards_to_merge():
            merge_sub_shards(self._context.run_dir, self._context.head, split)
            self.supervisor.close_shard(split.shard)
            self._progress.on_written(number, split.shard, len(split.poison))

    def run_stats(self) -> RunStats:
        """Return the statistics of this command."""
        return RunStats(
            wall_seconds=time.monotonic() - self._start,
            audio_seconds=self._progress.audio_seconds,
            computed_seconds=self._computed_seconds + sum(self._computed_by_worker.values()),
            num_retakes=self._progress.num_retakes,
            num_reused=self._num_reused,
            num_restarts=self.supervisor.num_restarts,
            given_up=tuple(self.supervisor.retired),
        )

    def _show(self, number: int, message: Message, now: float) -> None:
        """Update progress, statistics and the run directory."""
        if isinstance(message, Ready) and self.model is None:
            delete_checksums(self._context.run_dir)  # the file marks a finished run, and files change from now on
            self._start, self.model = now, message.model
            self._progress.start_clock()
        elif isinstance(message, TakeDone):
            self._progress.on_take(number, message.shard, message.seconds, message.accepted)
        elif isinstance(message, ItemDone):
            self._finish_item(number, message)
        elif isinstance(message, PreviewStarted):
            self._progress.say(f"{message.path}: preview of the first minutes of the book; it grows during the run")
        elif isinstance(message, Failed):
            self._progress.say(f"worker {self._names[number]}: {message.trace or message.text}")
        elif isinstance(message, Died):
            self._computed_seconds += self._computed_by_worker.pop(number, 0.0)
            self._progress.on_exit(number)

    def _report_death(self, number: int, reason: str, is_restarted: bool) -> None:
        name, reason = self._names[number], self.supervisor.exit_reason(number, reason)
        consequence = "restarted" if is_restarted else "not restarted again"
        self._progress.say(f"worker {name} exited ({reason}): {consequence}")
        if self._journal is not None:
            self._journal.record_failure(f"{reason}; {consequence}", self._context.journal_name(name))

    def _finish_item(self, number: int, done: ItemDone) -> None:
        check_locks(self._context.run_dir)
        self._num_reused += done.num_reused
        self._computed_by_worker[number] = max(self._computed_by_worker[number], done.computed_seconds)
        self._progress.num_reused += done.num_reused
        self._progress.on_written(number, done.item.shard, done.num_utterances, is_whole=done.item.sub_shard is None)

    def _unreported_items(self, number: int) -> Iterator[ItemDone]:
        """Yield the items that a dead worker finished writing but did not report."""
        for item in self.supervisor.assigned_items(number):
            manifest = self._manifest_of(item)
            if manifest is not None and self._is_result(manifest, item):
                yield ItemDone(item, len(manifest.clips) + len(manifest.rejects))

    def _manifest_of(self, item: WorkItem) -> Manifest | None:
        run_dir = self._context.run_dir
        if item.sub_shard is None:
            return finished_shard(run_dir, item.shard)
        return finished_shard(RunDirectory(run_dir).sub_shards(item.shard), item.sub_shard)

    def _is_result(self, manifest: Manifest, item: WorkItem) -> bool:
        """Return whether a file is the result of an item.

        An earlier run may have left a sub-shard with the same first position but other utterances.
        """
        run_dir, head = self._context.run_dir, self._context.head
        planned = read_shard_plan(run_dir, item.shard).utterances
        positions = range(len(planned)) if item.positions is None else item.positions
        settled = {clip.id for clip in manifest.clips} | {str(reject["id"]) for reject in manifest.rejects}
        return (
            manifest.fingerprint == head.fingerprint
            and manifest.plan_hash == hash_plan(run_dir, item.shard)
            and settled == {planned[position].id for position in positions}
        )
