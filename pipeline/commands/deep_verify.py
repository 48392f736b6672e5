"""`task=verify deep=true`: clips are generated again from the plan, and compared with what is stored.

Owns the choice of the clips and what counts as the same. Hashes, texts and durations can be made to fit by whoever
alters a run; its audio has to come out of the model again.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from tqdm import tqdm

from pipeline.audio.encoding import decode, encode
from pipeline.commands.retry import same_checkpoint
from pipeline.config import Config
from pipeline.config.checks import MAX_NUMBER
from pipeline.config.frozen import frozen_config
from pipeline.errors import RunDirectoryError
from pipeline.outputs.dataset.columns import Row
from pipeline.outputs.dataset.shards import Manifest, finished_shard, finished_shards, read_shard
from pipeline.planning import make_batches
from pipeline.planning.plan_store import PlanHead, read_shard_plan
from pipeline.reporting.progress import count, say
from pipeline.reporting.report import REPORT_NAME, versions
from pipeline.seeds import content_digest
from pipeline.storage.paths import read_json
from pipeline.synthesis import Synthesizer
from pipeline.types import Clip, ModelInfo, Utterance

_LOSSLESS = ("flac", "wav")
_SAME_SOUND = 0.99  # correlation of two decodings of a lossy codec, of the same samples
_SAME_SECONDS = 0.05  # a lossy codec may pad
# Elsewhere than where a clip was made, one rounding may draw another code, and from there on it is another reading.
_LIKE = 0.9  # correlation of a clip that has drawn the same codes
_LIKE_SECONDS, _LIKE_SHARE = 0.5, 0.25  # how far the lengths of two readings of a text may be apart


@dataclass(frozen=True, order=True)
class _Choice:
    """A clip that may be generated again. The order is that of preference: one of each shard, then a second ..."""

    position: int  # in its shard, by rank
    rank: bytes
    shard: int
    id: str


@dataclass(frozen=True)
class _Comparison:
    """A stored clip and the one that was generated again."""

    is_identical: bool  # bit for bit, as far as the format is without loss
    seconds: float  # stored
    new_seconds: float
    correlation: float  # over the common length
    max_difference: float  # of two samples, full scale is 1

    def is_accepted(self, is_lossless: bool, is_exact: bool) -> bool:
        """Whether this is the same clip; `is_exact`: bit equality can be expected."""
        apart = abs(self.seconds - self.new_seconds)
        if self.is_identical:
            return True
        if not is_lossless and self.correlation >= _SAME_SOUND and apart <= _SAME_SECONDS:
            return True
        longer = max(self.seconds, self.new_seconds)
        return not is_exact and (self.correlation >= _LIKE or apart <= max(_LIKE_SECONDS, _LIKE_SHARE * longer))

    def __str__(self) -> str:
        return (
            f"{self.new_seconds:.3f} s instead of {self.seconds:.3f} s, correlation {self.correlation:.3f}, samples up "
            f"to {self.max_difference:.4f} apart"
        )


def deep_problems(run_dir: Path, asked: Config, head: PlanHead, build: Callable[..., Synthesizer]) -> Iterator[str]:
    """Generate `asked.deep_clips` clips again and yield those that are not what is stored.

    The run's own config holds; device and slots are those of this command. The input is not needed.

    Raises:
        PipelineError: The weights of the run are not here, or the model cannot be loaded.
    """
    frozen = frozen_config(run_dir)
    engine = replace(frozen.engine, device=asked.engine.device, slots=asked.engine.slots)
    chosen = choose_clips(run_dir, asked.deep_clips, head.fingerprint)
    if not chosen:
        return
    checkpoint = same_checkpoint(run_dir, replace(frozen, engine=engine))
    form = frozen.dataset.format
    num_identical = num_alike = 0
    with closing(build(checkpoint, **vars(engine))) as synthesizer:
        synthesizer.warm_up(head.buckets)
        reasons = _reasons_for_difference(run_dir, synthesizer.info)
        for index in tqdm(sorted(chosen), desc="generating again", unit="shard", disable=None):
            for name, clip, row in _generated(run_dir, index, chosen[index], synthesizer):
                found = _compare(row, clip, form)
                if found.is_accepted(form in _LOSSLESS, not reasons):
                    num_identical += found.is_identical
                    num_alike += not found.is_identical
                else:
                    why = f" ({'; '.join(reasons)})" if reasons else ""
                    yield f"{name}: id {row.id}: generated again it is another clip: {found}{why}"
    num_clips = sum(map(len, chosen.values()))
    say(f"deep: {count(num_clips, 'clip')} generated again: {num_identical} identical, {num_alike} alike")
    if reasons:
        say(f"deep: compared by length and correlation, since bits may differ: {'; '.join(reasons)}")
    elif form not in _LOSSLESS:
        say(f"deep: {form} loses detail, so clips are compared as encoded, else by correlation of what is heard")


def choose_clips(run_dir: Path, num_clips: int, salt: str) -> dict[int, tuple[str, ...]]:
    """Choose clips by their hash, spread over the shards, a quarter of them retaken ones if there are; by shard."""
    best: list[_Choice] = []
    retaken: list[_Choice] = []
    for manifest in finished_shards(run_dir):
        ranked = sorted(
            (content_digest("deep", salt, row.id), row.id, bool(row.columns["take"]))
            for row in read_shard(run_dir, manifest, ["id", "take"])
        )
        best = heapq.nsmallest(num_clips, [*best, *_choices(ranked, manifest, num_clips)])
        again = [entry for entry in ranked if entry[2]]
        retaken = heapq.nsmallest(num_clips, [*retaken, *_choices(again, manifest, num_clips)])
    first = retaken[: max(1, num_clips // 4)]
    taken = {(choice.shard, choice.id) for choice in first}
    others = [choice for choice in best if (choice.shard, choice.id) not in taken]
    by_shard: dict[int, tuple[str, ...]] = {}
    for choice in [*first, *others][:num_clips]:
        by_shard[choice.shard] = (*by_shard.get(choice.shard, ()), choice.id)
    return by_shard


def _choices(ranked: Sequence[tuple[bytes, str, bool]], manifest: Manifest, limit: int) -> Iterator[_Choice]:
    for position, (rank, id, _) in enumerate(ranked[:limit]):
        yield _Choice(position, rank, manifest.index, id)


def _generated(
    run_dir: Path, index: int, ids: Sequence[str], synthesizer: Synthesizer
) -> Iterator[tuple[str, Clip, Row]]:
    """Generate clips of one shard again; yields the name of its file, each clip, and the row of the stored one."""
    manifest = finished_shard(run_dir, index)
    if manifest is None:
        return
    wanted = {*ids}
    rows = {row.id: row for row in read_shard(run_dir, manifest) if row.id in wanted}
    utterances: list[Utterance] = []
    for utterance in read_shard_plan(run_dir, index).utterances:
        seed = rows[utterance.id].columns["seed"] if utterance.id in rows else None
        if isinstance(seed, int) and 0 <= seed < MAX_NUMBER:  # others were told of when rows were compared
            utterances.append(replace(utterance, seed=seed))
    batches = make_batches(utterances)
    for clip in synthesizer.generate(utterance for batch in batches for utterance in batch.utterances):
        yield f"data/{manifest.file}", clip, rows[clip.utterance.id]


def _compare(row: Row, clip: Clip, form: str) -> _Comparison:
    try:
        stored, rate = row.decode()
    except (RunDirectoryError, soundfile.LibsndfileError):
        stored, rate = np.zeros(0, np.float32), clip.sampling_rate
    if not len(clip.samples) or not np.isfinite(clip.samples).all():
        return _Comparison(False, len(stored) / rate, len(clip.samples) / clip.sampling_rate, 0.0, 1.0)
    encoded = encode(clip.samples, clip.sampling_rate, form)
    new, new_rate = decode(encoded)
    is_same_sound = form in _LOSSLESS and new_rate == rate and np.array_equal(new, stored)
    common = min(len(new), len(stored))
    return _Comparison(
        is_identical=encoded == row.audio or is_same_sound,  # another version of the encoder may pack FLAC differently
        seconds=len(stored) / rate,
        new_seconds=len(new) / new_rate,
        correlation=_correlation(new[:common], stored[:common]),
        max_difference=float(np.abs(new[:common] - stored[:common]).max(initial=0.0)),
    )


def _correlation(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Of two clips of one length, from -1 to 1; 0 where one of them is constant."""
    if not len(one) or one.ndim != 1 or other.ndim != 1:
        return 0.0
    first, second = one.astype(np.float64) - one.mean(), other.astype(np.float64) - other.mean()
    scale = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / scale if scale > 0 else 0.0


def _reasons_for_difference(run_dir: Path, info: ModelInfo) -> list[str]:
    """Why bit equality cannot be expected here; none: it can."""
    try:
        report = read_json(run_dir / REPORT_NAME)
        model, then = report["model"], report.get("versions") or {}
        made = {"device": str(model["device"]).split(":")[0], "dtype": str(model["dtype"])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return [f"{REPORT_NAME} does not tell on what the run was made"]
    here = {"device": info.device.split(":")[0], "dtype": info.dtype}
    reasons = [f"made with {key} {made[key]}, here {here[key]}" for key in here if made[key] != here[key]]
    if not isinstance(then, Mapping) or not then:
        reasons.append("the versions of its libraries were not recorded")
    else:
        now = versions()
        reasons += [f"made with {key} {then.get(key)}, here {now[key]}" for key in now if then.get(key) != now[key]]
    if here["device"] == "cpu" and info.dtype != "float32":
        reasons.append(f"in {info.dtype} on a CPU a clip depends on those that are generated beside it")
    return reasons
