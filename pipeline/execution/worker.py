"""A worker: claims shards when its synthesizer needs more work, generates their clips and writes them.

It communicates with its supervisor through a `WorkerChannel`. It writes audio to the run directory and sends none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pipeline.audio.encoding import stored_rate
from pipeline.config import Config
from pipeline.execution.messages import Claim, ItemDone, Message, PreviewStarted, Ready, TakeDone, WorkItem
from pipeline.execution.sub_shards import earlier_rejects, split_shards
from pipeline.generation.checkpointing import ClipCheckpointer
from pipeline.generation.renderer import RenderedShard, RenderOptions, render_shards
from pipeline.outputs.audiobook.live_preview import MAX_PREVIEW_UTTERANCES, LivePreview
from pipeline.outputs.dataset.clip_store import ClipStore
from pipeline.outputs.dataset.columns import Row
from pipeline.outputs.dataset.shards import ShardInfo, hash_plan, write_shard
from pipeline.planning import utterance_key
from pipeline.planning.plan_store import PlanHead, earlier_runs, read_shard_plan
from pipeline.quality.check import Checker
from pipeline.reporting.journal import Journal
from pipeline.storage.paths import is_local
from pipeline.storage.run_directory import RunDirectory
from pipeline.synthesis import Synthesizer
from pipeline.synthesis.checkpoint import Checkpoint
from pipeline.types import Bucket, Clip, ModelInfo, Shard, Utterance


class WorkerChannel(Protocol):
    """Connects a worker with its supervisor."""

    def claim(self, claim: Claim) -> WorkItem | None:
        """Request work and wait for the answer; see `messages.Claim`."""

    def report(self, message: Message) -> None:
        """Send a message without waiting."""


@dataclass(frozen=True)
class RunContext:
    """Data that every worker of a run needs. It can be pickled."""

    run_dir: Path
    config: Config
    head: PlanHead
    checkpoint: Checkpoint
    buckets: tuple[Bucket, ...]
    build: Callable[..., Synthesizer]  # like `synthesis.build_synthesizer`

    def journal_name(self, worker: str) -> str:
        """Return the name of a worker's journal, which is unique among all jobs of the run."""
        job = self.config.job_index
        return worker if job is None else f"job-{job}-{worker}"


def work(context: RunContext, name: str, device: str, channel: WorkerChannel) -> None:
    """Load the model and generate work items until none is left.

    The caller must report `Started` before, and `Failed` if this function raises an exception.

    Args:
        context: The run.
        name: Name of the worker.
        device: Torch name of the device.
        channel: Connection to the supervisor.
    """
    engine = {**vars(context.config.engine), "device": device}
    with (
        Journal(context.run_dir, context.journal_name(name), device) as journal,
        closing(context.build(context.checkpoint, **engine)) as synthesizer,
        closing(Checker(context.config)) as checker,
    ):
        synthesizer.warm_up(context.buckets)
        channel.report(Ready(synthesizer.info))
        worker = _Worker(context, synthesizer, checker, channel, journal)
        while (item := channel.claim(Claim(idle=True))) is not None:
            worker.work(item)


class _Worker:
    def __init__(
        self,
        context: RunContext,
        synthesizer: Synthesizer,
        checker: Checker,
        channel: WorkerChannel,
        journal: Journal,
    ) -> None:
        head = context.head
        self._context = context
        self._synthesizer = synthesizer
        self._checker = checker
        self._channel = channel
        self._journal = journal
        self._assigned: dict[int, tuple[WorkItem, str]] = {}  # by shard: (item, hash of the shard's plan)
        self._shard_of: dict[str, int] = {}  # by utterance id, for assigned utterances
        self._rate = stored_rate(synthesizer.info.sampling_rate, context.config.dataset.format)
        self._checkpointer = ClipCheckpointer(context.run_dir, self._rate, head.fingerprint, head.kept_columns)
        self._earlier = ClipStore([*earlier_runs(context.run_dir), *split_shards(context.run_dir)])
        self._is_new_run = not len(self._earlier)
        self._preview: LivePreview | None = None  # for the first shard of a book, while it is assigned

    def work(self, first: WorkItem) -> None:
        """Generate an item, and further items that are claimed before it is complete."""
        context = self._context
        options = RenderOptions(
            context.config,
            clip_fingerprint(context.head, self._synthesizer.info),
            context.head.language,
            self._earlier,
            self._checker,
            self._on_take,
            {} if first.positions is None else _num_earlier_takes(context.run_dir, first.shard),
        )
        for shard, rendered in render_shards(self._shards(first), self._synthesizer, options):
            self._write(shard, rendered)

    def _shards(self, first: WorkItem) -> Iterator[Shard]:
        """Yield the shard of an item, then the shards of further items, claimed one by one."""
        item: WorkItem | None = first
        while item is not None:
            run_dir = self._context.run_dir
            # Hash the plan now, because it may be replaced before the shard is written.
            self._assigned[item.shard] = item, hash_plan(run_dir, item.shard)
            shard = read_shard_plan(run_dir, item.shard)
            if item.positions is not None:
                shard = replace(shard, utterances=tuple(shard.utterances[position] for position in item.positions))
            self._shard_of.update((utterance.id, item.shard) for utterance in shard.utterances)
            self._earlier.add(RunDirectory(run_dir).checkpoints(item.shard))
            if self._has_preview(item):
                self._start_preview(shard.utterances[:MAX_PREVIEW_UTTERANCES])
            yield shard
            item = self._channel.claim(Claim(idle=False))

    def _has_preview(self, item: WorkItem) -> bool:
        """Return whether to write a live preview for an item: only for the first shard of a new, local book.

        A book with clips of an earlier plan has no preview, because they are read only when the shard is complete.
        """
        is_local_book = self._context.config.task.name == "audiobook" and is_local(self._context.run_dir)
        return item == WorkItem(0) and is_local_book and self._is_new_run

    def _start_preview(self, utterances: Sequence[Utterance]) -> None:
        """Start the live preview, and add the clips that are in checkpoints."""
        self._preview = LivePreview(self._context.run_dir, utterances, self._context.config.book)
        fingerprint = clip_fingerprint(self._context.head, self._synthesizer.info)
        keys = {utterance.id: utterance_key(utterance, fingerprint) for utterance in utterances}
        found = self._earlier.find(keys.values())
        for id, key in keys.items():
            if key in found:
                self._add_to_preview(id, *found[key].decode())

    def _on_take(self, clip: Clip, row: Row | None) -> None:
        shard = self._shard_of[clip.utterance.id]
        self._journal.record_take(clip.seconds, row is not None, self._computed_seconds)
        self._channel.report(TakeDone(shard, clip.seconds, row is not None))
        if row is not None:
            self._checkpointer.add(shard, row)
            self._add_to_preview(clip.utterance.id, clip.samples, clip.sampling_rate)

    def _add_to_preview(self, id: str, samples: npt.NDArray[np.float32], sampling_rate: int) -> None:
        if self._preview is not None and self._preview.add(id, samples, sampling_rate):
            self._channel.report(PreviewStarted(str(self._preview.path)))

    def _write(self, shard: Shard, rendered: RenderedShard) -> None:
        run_dir, head = self._context.run_dir, self._context.head
        item, plan_hash = self._assigned.pop(shard.index)
        if self._preview is not None and shard.index == 0:
            self._preview.close()
        for utterance in shard.utterances:
            del self._shard_of[utterance.id]
        info = ShardInfo(
            item.shard if item.sub_shard is None else item.sub_shard,
            head.num_shards,
            self._rate,
            head.fingerprint,
            plan_hash,
            shard.utterances[0].split,
            head.kept_columns,
        )
        folder = run_dir if item.sub_shard is None else RunDirectory(run_dir).sub_shards(item.shard)
        manifest = write_shard(folder, info, rendered.rows, rendered.rejects, rendered.work_seconds)
        if item.sub_shard is None:
            self._journal.record_shard(manifest)
            self._earlier.discard(RunDirectory(run_dir).checkpoints(item.shard))
        self._checkpointer.discard(item.shard, is_whole=item.sub_shard is None)
        self._channel.report(ItemDone(item, len(shard.utterances), rendered.num_reused, self._computed_seconds))

    @property
    def _computed_seconds(self) -> float:
        return self._synthesizer.computed_frames / self._synthesizer.info.frames_per_second


def clip_fingerprint(head: PlanHead, model: ModelInfo) -> str:
    """Return what the clips of a run depend on besides the utterance: frozen config, precision, kind of device."""
    return " ".join((head.fingerprint, model.dtype, model.device.split(":")[0]))


def _num_earlier_takes(run_dir: Path, shard: int) -> Mapping[str, int]:
    return {id: reject["takes"] for id, reject in earlier_rejects(run_dir, shard).items()}
