"""What a worker does, wherever it runs: claims shards as its synthesizer needs them, renders and writes them.

Knows its supervisor only as a `WorkerChannel`. Audio goes from the synthesizer into files and nowhere else.
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
from pipeline.execution.messages import Claim, Done, Made, Message, PreviewStarted, Ready, WorkItem
from pipeline.execution.sub_shards import all_sub_shards, earlier_rejects, sub_shards_dir
from pipeline.generation.checkpointing import ClipCheckpointer, checkpoints_dir
from pipeline.generation.renderer import EarlierClips, RenderedShard, render_shards
from pipeline.outputs.audiobook.live_preview import MAX_PREVIEW_UTTERANCES, LivePreview
from pipeline.outputs.dataset.columns import Row
from pipeline.outputs.dataset.shards import hash_plan, write_shard
from pipeline.planning import utterance_key
from pipeline.planning.plan_store import PlanHead, earlier_runs, read_shard_plan
from pipeline.reporting.journal import Journal
from pipeline.storage.paths import is_local
from pipeline.synthesis import Synthesizer
from pipeline.synthesis.checkpoint import Checkpoint
from pipeline.types import Bucket, Clip, ModelInfo, Shard, Utterance


class WorkerChannel(Protocol):
    """A worker's way to its supervisor."""

    def claim(self, claim: Claim) -> WorkItem | None:
        """Asks for a task; see `messages.Claim`."""

    def report(self, message: Message) -> None:
        """Says what has happened."""


@dataclass(frozen=True)
class RunContext:
    """What all workers of a run need to know. It can be pickled."""

    run_dir: Path
    config: Config
    head: PlanHead
    checkpoint: Checkpoint
    buckets: tuple[Bucket, ...]
    build: Callable[..., Synthesizer]  # `synthesis.build_synthesizer`, or what stands in for it

    def journal_name(self, worker: str) -> str:
        """Of a worker's journal: no other job in the directory has it."""
        job = self.config.shard_index
        return worker if job is None else f"job-{job}-{worker}"


def work(order: RunContext, name: str, device: str, port: WorkerChannel) -> None:
    """Loads the model and works until there is nothing left to do."""
    engine = {**vars(order.config.engine), "device": device}
    with (
        Journal(order.run_dir, order.journal_name(name), device) as journal,
        closing(order.build(order.checkpoint, **engine)) as synthesizer,
    ):
        synthesizer.warm_up(order.buckets)
        port.report(Ready(synthesizer.info))
        worker = _Worker(order, synthesizer, port, journal)
        while (task := port.claim(Claim(idle=True))) is not None:
            worker.do(task)


class _Worker:
    def __init__(self, order: RunContext, synthesizer: Synthesizer, port: WorkerChannel, journal: Journal) -> None:
        self._order = order
        self._synthesizer = synthesizer
        self._port = port
        self._journal = journal
        self._assigned_items: dict[
            int, tuple[WorkItem, str]
        ] = {}  # by shard: the task, and the hash of the plan it is done by
        self._shard_of: dict[str, int] = {}  # by the id of each utterance in hand
        self._rate = stored_rate(synthesizer.info.sampling_rate, order.config.dataset.format)
        self._keeper = ClipCheckpointer(order.run_dir, self._rate, order.head.fingerprint, order.head.kept_columns)
        self._earlier = EarlierClips([*earlier_runs(order.run_dir), *all_sub_shards(order.run_dir)])
        self._is_new = not len(self._earlier)
        self._beginning: LivePreview | None = None  # once the shard with it is in hand

    def do(self, first: WorkItem) -> None:
        """Does a task, and all that can be claimed before it is done."""
        order = self._order
        rendered_shards = render_shards(
            self._shards(first),
            self._synthesizer,
            order.config,
            clip_fingerprint(order.head, self._synthesizer.info),
            order.head.language,
            self._earlier,
            self._on_clip,
            {} if first.positions is None else _takes_before(order.run_dir, first.shard),
        )
        for shard, rendered in rendered_shards:
            self._write(shard, rendered)

    def _shards(self, first: WorkItem) -> Iterator[Shard]:
        task: WorkItem | None = first
        while task is not None:
            # The hash is of the plan that is read here, whatever comes after.
            self._assigned_items[task.shard] = task, hash_plan(self._order.run_dir, task.shard)
            shard = read_shard_plan(self._order.run_dir, task.shard)
            if task.positions is not None:
                shard = replace(shard, utterances=tuple(shard.utterances[position] for position in task.positions))
            self._shard_of.update((utterance.id, task.shard) for utterance in shard.utterances)
            self._earlier.add(checkpoints_dir(self._order.run_dir, task.shard))
            if self._begins_book(task):
                self._begin_book(shard.utterances[:MAX_PREVIEW_UTTERANCES])
            yield shard
            task = self._port.claim(Claim(idle=False))

    def _begins_book(self, task: WorkItem) -> bool:
        """Whether it is the first of a new book: of one that was made before, old clips are read only at the end."""
        order = self._order
        return (
            task == WorkItem(0) and order.config.task.name == "audiobook" and is_local(order.run_dir) and self._is_new
        )

    def _begin_book(self, opening: Sequence[Utterance]) -> None:
        """Lets the book's beginning be heard, as far as it was made before a kill at once."""
        self._beginning = LivePreview(self._order.run_dir, opening, self._order.config.book)
        fingerprint = clip_fingerprint(self._order.head, self._synthesizer.info)
        keys = {utterance.id: utterance_key(utterance, fingerprint) for utterance in opening}
        found = self._earlier.find(keys.values())
        for id, key in keys.items():
            if key in found:
                self._add_to_beginning(id, *found[key].decode())

    def _on_clip(self, clip: Clip, row: Row | None) -> None:
        shard = self._shard_of[clip.utterance.id]
        self._journal.take(clip.seconds, row is not None, self._computed_seconds)
        self._port.report(Made(shard, clip.seconds, row is not None))
        if row is not None:
            self._keeper.add(shard, row)
            self._add_to_beginning(clip.utterance.id, clip.samples, clip.sampling_rate)

    def _add_to_beginning(self, id: str, samples: npt.NDArray[np.float32], sampling_rate: int) -> None:
        if self._beginning is not None and self._beginning.add(id, samples, sampling_rate):
            self._port.report(PreviewStarted(str(self._beginning.path)))

    def _write(self, shard: Shard, rendered: RenderedShard) -> None:
        order = self._order
        task, plan_hash = self._assigned_items.pop(shard.index)
        if self._beginning is not None and shard.index == 0:
            self._beginning.close()
        for utterance in shard.utterances:
            del self._shard_of[utterance.id]
        manifest = write_shard(
            order.run_dir if task.piece is None else sub_shards_dir(order.run_dir, task.shard),
            task.shard if task.piece is None else task.piece,
            order.head.num_shards,
            rendered.rows,
            rendered.rejects,
            sampling_rate=self._rate,
            fingerprint=order.head.fingerprint,
            plan_hash=plan_hash,
            work_seconds=rendered.work_seconds,
            split=shard.utterances[0].split,
            kept_columns=order.head.kept_columns,
        )
        if task.piece is None:
            self._journal.shard(manifest)
            self._earlier.forget(checkpoints_dir(order.run_dir, task.shard))
        self._keeper.settle(task.shard, is_whole=task.piece is None)
        self._port.report(Done(task, len(shard.utterances), rendered.num_reused, self._computed_seconds))

    @property
    def _computed_seconds(self) -> float:
        return self._synthesizer.computed_frames / self._synthesizer.info.frames_per_second


def clip_fingerprint(head: PlanHead, model: ModelInfo) -> str:
    """What all clips of a run depend on besides their utterance: the frozen config, precision and kind of device."""
    return " ".join((head.fingerprint, model.dtype, model.device.split(":")[0]))


def _takes_before(run_dir: Path, shard: int) -> Mapping[str, int]:
    return {id: reject["takes"] for id, reject in earlier_rejects(run_dir, shard).items()}
