"""From planned shards to rows and rejects: work that flows, and shards that are done when their last clip is.

Owns the takes: which clip is accepted, which utterance is tried again with which seed, and when it is given up. Takes
clips of an earlier plan where they are the same. Knows nothing of progress bars or of files of shards.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from pipeline.config import Config
from pipeline.errors import RunDirectoryError
from pipeline.outputs.dataset.columns import Row, make_row, renew_row
from pipeline.outputs.dataset.shards import Manifest, finished_shards, read_checked
from pipeline.planning import make_batches, take_seed, utterance_key
from pipeline.quality.check import Checker, check_columns
from pipeline.quality.flaws import is_writable, join_flaws
from pipeline.synthesis import Synthesizer
from pipeline.types import Clip, Reject, Shard, Utterance

T = TypeVar("T")
OnClip = Callable[[Clip, Row | None], None]  # a take, and its row if it was accepted
_MAX_UNASKED = 4  # shards without work that may wait for the consumer before no more is drawn

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RenderedShard:
    """What became of the utterances of a shard; together they are all of them."""

    rows: tuple[Row, ...]  # in reading order
    rejects: tuple[Reject, ...]  # in reading order
    num_reused: int  # rows that were made before
    work_seconds: float  # its share of the time: what passed before each of its clips, since the clip before


class EarlierClips:
    """Clips that this run has made before, found by their key."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._places: dict[str, tuple[Path, Manifest]] = {}
        self._folders: set[Path] = set()  # that have clips
        for folder in folders:
            self.add(folder)

    def add(self, folder: Path) -> None:
        """Adds the clips of a folder that is like a run directory; where there is none, nothing."""
        for manifest in finished_shards(folder):
            self._folders.add(folder)
            for clip in manifest.clips:
                self._places.setdefault(clip.key, (folder, manifest))

    def forget(self, folder: Path) -> None:
        """Takes the clips of a folder back, before it is deleted."""
        if folder in self._folders:  # else a million clips would be looked through for each shard
            self._folders.remove(folder)
            self._places = {key: place for key, place in self._places.items() if place[0] != folder}

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def find(self, keys: Iterable[str]) -> dict[str, Row]:
        """The rows of those keys that there are; each old shard is read once. What is damaged is forgotten."""
        wanted = {key for key in keys if key in self._places}
        shards = {(folder, manifest.index): manifest for folder, manifest in map(self._places.__getitem__, wanted)}
        found: dict[str, Row] = {}
        for (folder, _), manifest in shards.items():
            found.update((row.key, row) for row in _intact_rows(folder, manifest, wanted))
        for key in wanted - found.keys():
            del self._places[key]
        return found


def _intact_rows(folder: Path, manifest: Manifest, wanted: Container[str]) -> Iterator[Row]:
    """The rows of wanted keys, without those that are damaged, of which it tells."""
    path = folder / "data" / manifest.file
    try:
        for row, is_intact in read_checked(folder, manifest):
            if row.key in wanted and is_intact:
                yield row
            elif row.key in wanted:
                _log.warning(
                    "warning: %s: the audio of %s has changed since it was written; it is made anew", path, row.id
                )
    except RunDirectoryError as error:
        _log.warning("warning: %s: cannot be read (%s); what is wanted of it is made anew", path, error.__cause__)


def render_shards(
    shards: Iterable[Shard],
    synthesizer: Synthesizer,
    config: Config,
    model_fingerprint: str,
    language: str,
    earlier: EarlierClips,
    on_clip: OnClip,
    takes_before: Mapping[str, int] | None = None,
) -> Iterator[tuple[Shard, RenderedShard]]:
    """Makes every utterance into a row or a reject; yields each shard when it is complete, not always in order.

    Shards share one stream of work, so that the end of one does not leave the synthesizer idle. A shard is drawn from
    `shards` when the synthesizer asks for more utterances than there are, and not before.

    Args:
        shards: As planned.
        synthesizer: What generates.
        config: For `checks` and `dataset.format`.
        model_fingerprint: What all clips of the run depend on; see `planning.utterance_key`.
        language: Of the texts.
        earlier: Clips to take again.
        on_clip: Called for each take as it is done.
        takes_before: Takes that were refused before, by the utterance's id: as many more are tried after them.
    """
    with closing(Checker(config.checks)) as checker:
        rendering = _Rendering(
            iter(shards),
            synthesizer,
            config,
            model_fingerprint,
            language,
            earlier,
            on_clip,
            takes_before or {},
            checker,
            check_columns(config.checks),
        )
        while rendering.has_more:
            for clip in synthesizer.generate(rendering.utterances()):
                rendering.receive(clip)
                yield from rendering.complete_shards()
            yield from rendering.complete_shards()
            assert not rendering.attempts, f"the synthesizer gave no clip for {sorted(rendering.attempts)}"


@dataclass
class _OpenShard:
    """A shard that is under way."""

    shard: Shard
    keys: Mapping[str, str]  # of each utterance's content, by its id
    rows: dict[str, Row] = field(default_factory=dict)
    rejects: dict[str, Reject] = field(default_factory=dict)
    reused: list[Utterance] = field(default_factory=list)  # their rows are read at the end: they may be many
    work_seconds: float = 0.0

    @property
    def is_complete(self) -> bool:
        return len(self.rows) + len(self.rejects) + len(self.reused) == len(self.shard.utterances)


@dataclass(frozen=True)
class _Attempt:
    """One take of one utterance."""

    utterance: Utterance  # as it was planned
    shard: _OpenShard
    take: int
    end: int  # the first take that is not tried any more


@dataclass
class _Rendering:
    """The state of `render_shards`."""

    shards: Iterator[Shard]
    synthesizer: Synthesizer
    config: Config
    model_fingerprint: str
    language: str
    earlier: EarlierClips
    on_clip: OnClip
    takes_before: Mapping[str, int]
    checker: Checker
    check_columns: Collection[str]
    has_more: bool = True  # utterances to generate
    attempts: dict[str, _Attempt] = field(default_factory=dict)  # under way, by the utterance's id
    retakes: list[_Attempt] = field(default_factory=list)
    complete: deque[_OpenShard] = field(default_factory=deque)
    last_clip: float = field(default_factory=time.monotonic)

    def utterances(self) -> Iterator[Utterance | None]:
        """What to generate next: retakes with the shard that is drawn after them, so that shapes stay together.

        None after the last shard, as long as something is under way that may have to be taken again.
        """
        while len(self.complete) < _MAX_UNASKED:
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
            seeded = [replace(one.utterance, seed=take_seed(one.utterance.seed, one.take)) for one in attempts]
            yield from (utterance for utterance in seeded if utterance.priority)
            for batch in make_batches(utterance for utterance in seeded if not utterance.priority):
                yield from batch.utterances

    def receive(self, clip: Clip) -> None:
        """Accepts a take, or sees to another one."""
        attempt = self.attempts.pop(clip.utterance.id)
        utterance, shard, checks = attempt.utterance, attempt.shard, self.config.checks
        clip = replace(clip, utterance=utterance, take=attempt.take)
        [found] = self.checker.inspect([clip])
        clip, flaws = replace(clip, measures=found.measures), found.flaws
        is_last = attempt.take == attempt.end - 1
        row = None
        if not flaws or (is_last and checks.accept_last_take and is_writable(flaws)):
            key, info = shard.keys[utterance.id], self.synthesizer.info
            row = make_row(clip, key, self.language, info, self.config.dataset.format, flaws)
            shard.rows[utterance.id] = row
        elif is_last:
            seeds = tuple(take_seed(utterance.seed, take) for take in range(attempt.end))
            shard.rejects[utterance.id] = Reject(utterance, join_flaws(flaws), len(seeds), seeds)
        else:
            self.retakes.append(replace(attempt, take=attempt.take + 1))
        self.on_clip(clip, row)
        now = time.monotonic()
        shard.work_seconds, self.last_clip = shard.work_seconds + now - self.last_clip, now
        if shard.is_complete:
            self.complete.append(shard)

    def complete_shards(self) -> Iterator[tuple[Shard, RenderedShard]]:
        """Hands out what is complete."""
        while self.complete:
            done = self.complete.popleft()
            rows, found = done.rows, self.earlier.find(done.keys[utterance.id] for utterance in done.reused)
            damaged = [utterance for utterance in done.reused if done.keys[utterance.id] not in found]
            if damaged:
                self._generate_after_all(done, damaged)
                continue
            for utterance in done.reused:
                row = found[done.keys[utterance.id]]
                rows[utterance.id] = renew_row(row, utterance, self.language, self.check_columns)
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
        """Begins a shard: what of it has to be generated."""
        keys = {utterance.id: utterance_key(utterance, self.model_fingerprint) for utterance in shard.utterances}
        opened = _OpenShard(shard, keys)
        attempts = []
        for utterance in shard.utterances:
            if utterance.problem:
                opened.rejects[utterance.id] = Reject(utterance, utterance.problem, takes=0)
            elif keys[utterance.id] in self.earlier:
                opened.reused.append(utterance)
            else:
                attempts.append(self._first_attempt(utterance, opened))
        if opened.is_complete:
            self.complete.append(opened)
        return attempts

    def _generate_after_all(self, shard: _OpenShard, damaged: Sequence[Utterance]) -> None:
        shard.reused = [utterance for utterance in shard.reused if utterance not in damaged]
        self.retakes += [self._first_attempt(utterance, shard) for utterance in damaged]
        self.has_more = True

    def _first_attempt(self, utterance: Utterance, shard: _OpenShard) -> _Attempt:
        first = self.takes_before.get(utterance.id, 0)
        return _Attempt(utterance, shard, first, first + self.config.checks.takes)


def _in_order(shard: Shard, by_id: Mapping[str, T]) -> tuple[T, ...]:
    return tuple(by_id[utterance.id] for utterance in shard.utterances if utterance.id in by_id)
