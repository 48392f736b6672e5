"""One shard: from planned utterances to rows and rejects.

Owns the takes: which clip is accepted, which utterance is tried again with which seed, and when it is given up. Takes
clips of an earlier plan where they are the same. Knows nothing of progress bars or of other shards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from pipeline.audio.checks import find_flaws, is_writable, measure
from pipeline.config import Config
from pipeline.dataset.features import Row, make_row, renew_row
from pipeline.dataset.shards import Manifest, finished_shards, read_shard
from pipeline.planning import make_batches, take_seed, utterance_key
from pipeline.synthesis import Synthesizer
from pipeline.types import Clip, Reject, Shard, Utterance

T = TypeVar("T")
OnClip = Callable[[Clip, bool], None]  # the clip, and whether it was accepted


@dataclass(frozen=True)
class RenderedShard:
    """What became of the utterances of a shard; together they are all of them."""

    rows: tuple[Row, ...]  # in reading order
    rejects: tuple[Reject, ...]  # in reading order
    num_reused: int  # rows that an earlier plan had made


class EarlierClips:
    """The clips of earlier plans of this run, found by their key."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._places: dict[str, tuple[Path, Manifest]] = {}
        for folder in folders:
            for manifest in finished_shards(folder):
                for clip in manifest.clips:
                    self._places.setdefault(clip.key, (folder, manifest))

    def find(self, keys: Iterable[str]) -> dict[str, Row]:
        """The rows of those keys that there are; each old shard is read once."""
        wanted = {key for key in keys if key in self._places}
        shards = {(folder, manifest.index): manifest for folder, manifest in map(self._places.__getitem__, wanted)}
        return {
            row.key: row
            for (folder, _), manifest in shards.items()
            for row in read_shard(folder, manifest)
            if row.key in wanted
        }


def render_shard(
    shard: Shard,
    synthesizer: Synthesizer,
    config: Config,
    model_fingerprint: str,
    language: str,
    earlier: EarlierClips,
    on_clip: OnClip,
) -> RenderedShard:
    """Makes every utterance of `shard` into a row or a reject.

    Args:
        shard: As planned.
        synthesizer: What generates.
        config: For `checks` and `dataset.format`.
        model_fingerprint: What all clips of the run depend on; see `planning.utterance_key`.
        language: Of the texts.
        earlier: Clips to take again.
        on_clip: Called for each take as it is done.
    """
    keys = {utterance.id: utterance_key(utterance, model_fingerprint) for utterance in shard.utterances}
    rejects = {
        utterance.id: Reject(utterance, utterance.problem, takes=0)
        for utterance in shard.utterances
        if utterance.problem
    }
    speakable = [utterance for utterance in shard.utterances if not utterance.problem]
    found = earlier.find(keys[utterance.id] for utterance in speakable)
    rows = {
        utterance.id: renew_row(found[keys[utterance.id]], utterance, language)
        for utterance in speakable
        if keys[utterance.id] in found
    }
    num_reused = len(rows)
    pending = [utterance for utterance in speakable if utterance.id not in rows]
    flaws: dict[str, tuple[str, ...]] = {}
    for take in range(config.checks.takes):
        is_last = take == config.checks.takes - 1
        for clip in _generate(pending, take, synthesizer):
            flaws[clip.utterance.id] = found_flaws = find_flaws(clip, config.checks)
            put_up_with = is_last and config.checks.accept_last_take and is_writable(found_flaws)
            accepted = not found_flaws or put_up_with
            if accepted:
                rows[clip.utterance.id] = make_row(
                    clip, keys[clip.utterance.id], language, synthesizer.info, config.dataset.format, found_flaws
                )
            on_clip(clip, accepted)
        pending = [utterance for utterance in pending if utterance.id not in rows]
        if not pending:
            break
    for utterance in pending:
        seeds = tuple(take_seed(utterance.seed, take) for take in range(config.checks.takes))
        rejects[utterance.id] = Reject(utterance, "; ".join(flaws[utterance.id]), len(seeds), seeds)
    return RenderedShard(_in_order(shard, rows), _in_order(shard, rejects), num_reused)


def _generate(utterances: Sequence[Utterance], take: int, synthesizer: Synthesizer) -> Iterable[Clip]:
    """Clips of one take of each utterance, measured, and with the utterance as it was planned."""
    planned = {utterance.id: utterance for utterance in utterances}
    seeded = [replace(utterance, seed=take_seed(utterance.seed, take)) for utterance in utterances]
    batches = make_batches(seeded)
    for clip in synthesizer.generate(utterance for batch in batches for utterance in batch.utterances):
        yield replace(
            clip,
            utterance=planned[clip.utterance.id],
            take=take,
            measures=measure(clip.samples, clip.sampling_rate),
        )


def _in_order(shard: Shard, by_id: Mapping[str, T]) -> tuple[T, ...]:
    return tuple(by_id[utterance.id] for utterance in shard.utterances if utterance.id in by_id)
