"""Turn planned shards into rows and rejects.

A take that is flawed is generated again with another seed, and the utterance is rejected after the last take. Clips of
earlier work are reused where they are the same. All shards share one stream of work, so that the synthesizer is never
idle at the end of a shard.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from pipeline.config import Config
from pipeline.outputs.dataset.clip_store import ClipStore
from pipeline.outputs.dataset.columns import Row, make_row, renew_row
from pipeline.planning import make_batches, take_seed, utterance_key
from pipeline.quality.check import Checker, check_columns
from pipeline.quality.flaws import is_writable, join_flaws
from pipeline.synthesis import Synthesizer
from pipeline.types import Clip, Reject, Shard, Utterance

T = TypeVar("T")
OnTake = Callable[[Clip, Row | None], None]  # called with a take, and with its row if it was accepted
_MAX_COMPLETE = 4  # shards that wait to be consumed; with more, no shard is drawn

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RenderedShard:
    """The rows and the rejects of a shard; together they are all of its utterances."""

    rows: tuple[Row, ...]  # in reading order
    rejects: tuple[Reject, ...]  # in reading order
    num_reused: int  # rows that are clips of earlier work
    work_seconds: float  # sum, over the takes of this shard, of the time since the take before


@dataclass(frozen=True)
class RenderOptions:
    """What `render_shards` needs beside shards and synthesizer.

    Attributes:
        config: Its `checks` and `dataset.format` are used.
        model_fingerprint: What all clips of the run depend on; see `planning.utterance_key`.
        language: Of the texts.
        earlier: Clips that are reused.
        checker: The checks of the run, loaded.
        on_take: Called for each take.
        num_earlier_takes: Takes that were rejected in an earlier call, by the utterance's id. As many takes as usual
            are tried after them.
    """

    config: Config
    model_fingerprint: str
    language: str
    earlier: ClipStore
    checker: Checker
    on_take: OnTake
    num_earlier_takes: Mapping[str, int] = field(default_factory=dict)


def render_shards(
    shards: Iterable[Shard], synthesizer: Synthesizer, options: RenderOptions
) -> Iterator[tuple[Shard, RenderedShard]]:
    """Turn every utterance into a row or a reject. Yield each shard when it is complete, not always in order.

    Shards share one stream of work, so that the synthesizer is not idle at the end of a shard. A shard is drawn from
    `shards` when the synthesizer asks for more utterances than there are, and not before.

    Args:
        shards: As planned.
        synthesizer: Generates the takes.
        options: See `RenderOptions`.
    """
    renderer = _Renderer(iter(shards), synthesizer, options, check_columns(options.config.checks))
    while renderer.has_more:
        for clip in synthesizer.generate(renderer.utterances()):
            renderer.receive(clip)
            yield from renderer.complete_shards()
        yield from renderer.complete_shards()
        assert not renderer.attempts, f"the synthesizer gave no clip for {sorted(renderer.attempts)}"


@dataclass
class _OpenShard:
    """A shard that is not complete."""

    shard: Shard
    keys: Mapping[str, str]  # see `planning.utterance_key`, by the utterance's id
    rows: dict[str, Row] = field(default_factory=dict)
    rejects: dict[str, Reject] = field(default_factory=dict)
    reused: list[Utterance] = field(default_factory=list)  # their rows are read last, since they may be many
    work_seconds: float = 0.0

    @property
    def is_complete(self) -> bool:
        return len(self.rows) + len(self.rejects) + len(self.reused) == len(self.shard.utterances)


@dataclass(frozen=True)
class _Attempt:
    """One take of one utterance."""

    utterance: Utterance  # as planned
    shard: _OpenShard
    take: int
    end: int  # one more than the last take that is tried


@dataclass
class _Renderer:
    """The state of `render_shards`."""

    shards: Iterator[Shard]
    synthesizer: Synthesizer
    options: RenderOptions
    check_columns: Collection[str]
    has_more: bool = True  # utterances to generate
    attempts: dict[str, _Attempt] = field(default_factory=dict)  # in the synthesizer, by the utterance's id
    retakes: list[_Attempt] = field(default_factory=list)
    complete: deque[_OpenShard] = field(default_factory=deque)
    last_take: float = field(default_factory=time.monotonic)

    def utterances(self) -> Iterator[Utterance | None]:
        """Yield what to generate next, retakes together with the next shard, so that lengths are similar in a batch.

        After the last shard, yield None while there are takes in the synthesizer that may have to be retaken.
        """
        while len(self.complete) < _MAX_COMPLETE:
            attempts, self.retakes = self.retakes, []
            shard = next(self.shards, None)
            if shard is not None:
                attempts += self._open(shard)
            elif not attempts and self.attempts:
                yield None
                continue
            elif not attempts:
                self.has_more = False
                return
            for attempt in attempts:
                self.attempts[attempt.utterance.id] = attempt
            seeded = [replace(each.utterance, seed=take_seed(each.utterance.seed, each.take)) for each in attempts]
            yield from (utterance for utterance in seeded if utterance.priority)
            for batch in make_batches(utterance for utterance in seeded if not utterance.priority):
                yield from batch.utterances

    def receive(self, clip: Clip) -> None:
        """Accept a take, or queue another one, or reject the utterance."""
        attempt = self.attempts.pop(clip.utterance.id)
        utterance, shard, config = attempt.utterance, attempt.shard, self.options.config
        clip = replace(clip, utterance=utterance, take=attempt.take)
        [found] = self.options.checker.inspect([clip])
        flaws = tuple(found.flaws)
        clip = replace(clip, measures=found.measures, flaws=flaws)
        is_last = attempt.take == attempt.end - 1
        row = None
        if not flaws or (is_last and config.checks.accept_last_take and is_writable(flaws)):
            key, info = shard.keys[utterance.id], self.synthesizer.info
            row = make_row(clip, key, self.options.language, info, config.dataset.format)
            shard.rows[utterance.id] = row
        elif is_last:
            seeds = tuple(take_seed(utterance.seed, take) for take in range(attempt.end))
            shard.rejects[utterance.id] = Reject(utterance, join_flaws(flaws), len(seeds), seeds)
        else:
            self.retakes.append(replace(attempt, take=attempt.take + 1))
        self.options.on_take(clip, row)
        now = time.monotonic()
        shard.work_seconds, self.last_take = shard.work_seconds + now - self.last_take, now
        if shard.is_complete:
            self.complete.append(shard)

    def complete_shards(self) -> Iterator[tuple[Shard, RenderedShard]]:
        """Yield the shards that are complete; one whose earlier clips are damaged is opened again."""
        while self.complete:
            done = self.complete.popleft()
            rows, found = done.rows, self.options.earlier.find(done.keys[utterance.id] for utterance in done.reused)
            damaged = [utterance for utterance in done.reused if done.keys[utterance.id] not in found]
            if damaged:
                self._generate_damaged(done, damaged)
                continue
            for utterance in done.reused:
                row = found[done.keys[utterance.id]]
                rows[utterance.id] = renew_row(row, utterance, self.options.language, self.check_columns)
            yield (
                done.shard,
                RenderedShard(
                    _in_order(done.shard, rows),
                    _in_order(done.shard, done.rejects),
                    len(done.reused),
                    done.work_seconds,
                ),
            )

    def _open(self, shard: Shard) -> list[_Attempt]:
        """Open a shard; return what has to be generated."""
        fingerprint = self.options.model_fingerprint
        keys = {utterance.id: utterance_key(utterance, fingerprint) for utterance in shard.utterances}
        opened = _OpenShard(shard, keys)
        attempts = []
        for utterance in shard.utterances:
            if utterance.problem:
                opened.rejects[utterance.id] = Reject(utterance, utterance.problem, takes=0)
            elif keys[utterance.id] in self.options.earlier:
                opened.reused.append(utterance)
            else:
                attempts.append(self._first_attempt(utterance, opened))
        if opened.is_complete:
            self.complete.append(opened)
        return attempts

    def _generate_damaged(self, shard: _OpenShard, damaged: Sequence[Utterance]) -> None:
        shard.reused = [utterance for utterance in shard.reused if utterance not in damaged]
        self.retakes += [self._first_attempt(utterance, shard) for utterance in damaged]
        self.has_more = True

    def _first_attempt(self, utterance: Utterance, shard: _OpenShard) -> _Attempt:
        first = self.options.num_earlier_takes.get(utterance.id, 0)
        return _Attempt(utterance, shard, first, first + self.options.config.checks.takes)


def _in_order(shard: Shard, by_id: Mapping[str, T]) -> tuple[T, ...]:
    return tuple(by_id[utterance.id] for utterance in shard.utterances if utterance.id in by_id)
