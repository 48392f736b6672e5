"""Turn planned shards into rows and rejects.

A flawed take is generated again with another seed; the utterance is rejected after the last take. Earlier clips with
the same key are reused. All shards share one stream of utterances, so that the synthesizer is not idle at the end of a
shard.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TypeVar

from pipeline.config import Config
from pipeline.outputs.dataset.clip_store import ClipStore
from pipeline.outputs.dataset.columns import Row, make_row, renew_row
from pipeline.planning import make_batches, take_seed, utterance_key
from pipeline.quality.check import Checker, Finding, check_columns
from pipeline.quality.concurrent import ConcurrentChecker
from pipeline.quality.flaws import is_writable, join_flaws
from pipeline.synthesis import Synthesizer
from pipeline.types import Clip, Reject, Shard, Utterance

T = TypeVar("T")
OnTake = Callable[[Clip, Row | None], None]  # called with a take, and its row if the take was accepted
_MAX_COMPLETE = 4  # complete shards in memory; with more, no new shard is started

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RenderedShard:
    """Rows and rejects of a shard, which together are all of its utterances."""

    rows: tuple[Row, ...]  # in reading order
    rejects: tuple[Reject, ...]  # in reading order
    num_reused: int  # number of rows that are earlier clips
    work_seconds: float  # sum over the takes of this shard of the time since the previous take


@dataclass(frozen=True)
class RenderOptions:
    """Options of `render_shards`.

    Attributes:
        config: Config of the run.
        model_fingerprint: See `planning.utterance_key`.
        language: Default language of the texts.
        earlier: Clips to reuse.
        checker: The checks of the run, loaded.
        on_take: Called for each take.
        num_earlier_takes: Number of takes that an earlier call rejected, by utterance id. `checks.takes` new takes
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
    """Turn every utterance into a row or a reject. Yield each shard when it is complete, possibly out of order.

    The next shard is taken from `shards` only when the synthesizer asks for more utterances.

    Args:
        shards: Planned shards.
        synthesizer: Generates the takes.
        options: See `RenderOptions`.
    """
    columns = check_columns(options.config)
    with closing(ConcurrentChecker(options.checker, options.config.quality.max_waiting)) as checker:
        renderer = _Renderer(iter(shards), synthesizer, options, checker, columns)
        while renderer.has_more:
            for clip in synthesizer.generate(renderer.utterances()):
                renderer.submit(clip)
                renderer.receive_findings(wait=False)
                yield from renderer.complete_shards()
            yield from renderer.complete_shards()
            assert not renderer.attempts, f"the synthesizer returned no clip for {sorted(renderer.attempts)}"


@dataclass
class _OpenShard:
    """State of a shard that is not complete."""

    shard: Shard
    keys: Mapping[str, str]  # utterance id -> key, see `planning.utterance_key`
    rows: dict[str, Row] = field(default_factory=dict)
    rejects: dict[str, Reject] = field(default_factory=dict)
    reused: list[Utterance] = field(default_factory=list)  # rows are read when the shard is complete, to save memory
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
    end: int  # number after the last take
    best: Clip | None = None  # flawed take to keep if no take passes, see `Finding.penalty`
    penalty: float = math.inf  # of the best take


@dataclass
class _Renderer:
    """State of `render_shards`."""

    shards: Iterator[Shard]
    synthesizer: Synthesizer
    options: RenderOptions
    checker: ConcurrentChecker
    check_columns: Collection[str]
    has_more: bool = True  # there may be utterances to generate
    attempts: dict[str, _Attempt] = field(default_factory=dict)  # passed to the synthesizer, by utterance id
    checked: dict[str, _Attempt] = field(default_factory=dict)  # passed to the checks, by utterance id
    retakes: list[_Attempt] = field(default_factory=list)
    complete: deque[_OpenShard] = field(default_factory=deque)
    last_take: float = field(default_factory=time.monotonic)

    def utterances(self) -> Iterator[Utterance | None]:
        """Yield the next utterances to generate. Retakes are batched with the next shard, by similar length.

        After the last shard, yield None while takes are in progress, because they may have to be retried. Wait for the
        checks only when the synthesizer has nothing else to do.
        """
        while len(self.complete) < _MAX_COMPLETE:
            self.receive_findings(wait=False)
            attempts, self.retakes = self.retakes, []
            shard = next(self.shards, None)
            if shard is not None:
                attempts += self._open(shard)
            elif not attempts and self.attempts:
                yield None
                continue
            elif not attempts and self.checked:
                self.receive_findings(wait=True)
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

    def submit(self, clip: Clip) -> None:
        """Pass a take to the checks."""
        attempt = self.attempts.pop(clip.utterance.id)
        self.checked[clip.utterance.id] = attempt
        language = attempt.utterance.language or self.options.language
        self.checker.submit(replace(clip, utterance=replace(attempt.utterance, language=language), take=attempt.take))

    def receive_findings(self, wait: bool) -> None:
        """Process the takes that were checked; with `wait`, at least one if any is being checked."""
        for clip, finding in self.checker.findings(wait):
            self._receive(clip, finding)

    def _receive(self, clip: Clip, finding: Finding) -> None:
        """Accept a take, schedule another one, or reject the utterance."""
        attempt = self.checked.pop(clip.utterance.id)
        utterance, shard, config = attempt.utterance, attempt.shard, self.options.config
        flaws = tuple(finding.flaws)
        clip = replace(clip, utterance=utterance, measures=finding.measures, flaws=flaws)
        if finding.penalty is not None and finding.penalty < attempt.penalty and config.quality.keep_best:
            attempt = replace(attempt, best=clip, penalty=finding.penalty)
        is_last = attempt.take == attempt.end - 1
        row = None
        if not flaws or (is_last and config.checks.accept_last_take and is_writable(flaws)):
            row = self._accept(clip, shard)
        elif is_last and attempt.best is not None:
            clip = attempt.best
            row = self._accept(clip, shard)
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

    def _accept(self, clip: Clip, shard: _OpenShard) -> Row:
        id, config = clip.utterance.id, self.options.config
        row = make_row(clip, shard.keys[id], self.options.language, self.synthesizer.info, config.dataset.format)
        shard.rows[id] = row
        return row

    def complete_shards(self) -> Iterator[tuple[Shard, RenderedShard]]:
        """Yield the complete shards. If earlier clips of a shard are damaged, generate them again first."""
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
        """Start a shard; return the takes to generate."""
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
