"""`task=verify deep=true`: clips are generated again from the plan, and compared with what is stored.

Owns the choice of the clips and what counts as the same. Hashes, texts and durations can be made to fit by whoever
alters a run; its audio has to come out of the model again.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from tqdm import tqdm

from pipeline.audio.encoding import LOSSLESS, decode, encode
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
from pipeline.reporting.report import versions
from pipeline.seeds import content_digest
from pipeline.storage.paths import read_json
from pipeline.storage.run_directory import REPORT_NAME, RunDirectory
from pipeline.synthesis import Synthesizer
from pipeline.types import Clip, ModelInfo, Utterance

Samples = npt.NDArray[np.float32]

# Two clips of the same codes differ by roundings: in each window the difference has to stay this far below the clip.
# With the bundled voice other thread counts and the reference stay 36 dB below; bfloat16 draws other codes, 2 dB above.
_WINDOW_SECONDS = 0.1
_SIMILAR_DB = 20.0
_SIMILAR_LOSSY_DB = 10.0  # of the same samples, encoded by another version of a lossy codec
_FLOOR_DB = 40.0  # below the whole clip: what is fainter may differ in any window
_STEP = 1 / 32768
_PADDED_SECONDS = 0.05  # by a lossy codec


@dataclass(frozen=True, order=True)
class _Choice:
    """A clip that may be generated again. The order is that of preference: one of each shard, then a second ..."""

    position: int  # in its shard, by rank
    rank: bytes
    shard: int
    id: str


class Outcome(str, Enum):
    """What a clip that was generated again is, beside the stored one."""

    IDENTICAL = "identical"  # bit for bit, as encoded or as decoded from a format without loss
    SIMILAR = "similar"  # of the same length, and every window of it differs by roundings only
    DIFFERENT = "different"


@dataclass(frozen=True)
class Comparison:
    """A stored clip and the one that was generated again."""

    outcome: Outcome
    seconds: float  # stored
    new_seconds: float
    alike_seconds: float  # from the start, until the first window that is another
    max_difference: float  # of two samples, full scale is 1

    def __str__(self) -> str:
        return (
            f"alike for the first {self.alike_seconds:.1f} s of {self.seconds:.3f} s, and {self.new_seconds:.3f} s "
            f"long; samples up to {self.max_difference:.4f} apart"
        )


def deep_problems(
    run_dir: Path, asked: Config, head: PlanHead, build: Callable[..., Synthesizer], outcomes: Counter[Outcome]
) -> Iterator[str]:
    """Generate `asked.deep_clips` clips again and yield those that are not what is stored.

    The run's own config holds; device and slots are those of this command. The input is not needed.

    Args:
        run_dir: Directory of the run.
        asked: The config of this command.
        head: Head of the plan.
        build: See `verify`.
        outcomes: Counts what the clips are; added to.

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
    with closing(build(checkpoint, **vars(engine))) as synthesizer:
        synthesizer.warm_up(head.buckets)
        reasons = _reasons_for_difference(run_dir, synthesizer.info)
        for index in tqdm(sorted(chosen), desc="generating again", unit="shard", disable=None):
            for name, clip, row in _generated(run_dir, index, chosen[index], synthesizer):
                found = _compare(row, clip, form)
                outcomes[found.outcome] += 1
                if problem := _problem_of(found, may_round=bool(reasons) or form not in LOSSLESS):
                    yield f"{name}: id {row.id}: {problem}: {found}{_doubt(reasons)}"
    counts = ", ".join(f"{outcomes[outcome]} {outcome.value}" for outcome in Outcome)
    say(f"deep: {count(outcomes.total(), 'clip')} generated again: {counts}")
    if reasons:
        say(f"deep: similar is enough, since bits may differ here: {'; '.join(reasons)}")


def _problem_of(found: Comparison, may_round: bool) -> str:
    if found.outcome is Outcome.DIFFERENT:
        return "generated again it is another clip"
    if found.outcome is Outcome.SIMILAR and not may_round:
        return (
            "generated again it is not the same to the bit, though device, precision and versions are those of the run"
        )
    return ""


def _doubt(reasons: Sequence[str]) -> str:
    if not reasons:
        return ""
    return f" ({'; '.join(reasons)}: there a rounding can draw another code, so verify where the clips were made)"


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


def _compare(row: Row, clip: Clip, form: str) -> Comparison:
    try:
        stored, rate = row.decode()
    except (RunDirectoryError, soundfile.LibsndfileError):
        stored, rate = np.zeros(0, np.float32), clip.sampling_rate
    if not len(clip.samples) or not np.isfinite(clip.samples).all():
        new_seconds = len(clip.samples) / clip.sampling_rate
        return Comparison(Outcome.DIFFERENT, len(stored) / rate, new_seconds, 0.0, 1.0)
    encoded = encode(clip.samples, clip.sampling_rate, form)
    new, new_rate = decode(encoded)
    found = compare_samples(stored, new, rate if rate == new_rate else 0, is_lossless=form in LOSSLESS)
    if encoded == row.audio:  # else another version of the encoder may have packed the same samples
        return replace(found, outcome=Outcome.IDENTICAL)
    return found


def compare_samples(stored: Samples, new: Samples, sampling_rate: int, is_lossless: bool) -> Comparison:
    """Compare a stored clip [N] with a new one [M]; `sampling_rate` is 0 where they have different ones."""
    if not sampling_rate or stored.ndim != 1 or new.ndim != 1:
        return Comparison(Outcome.DIFFERENT, 0.0, 0.0, 0.0, 1.0)
    common = min(len(new), len(stored))
    one, other = stored[:common].astype(np.float64), new[:common].astype(np.float64)
    starts = np.arange(0, common, max(1, round(_WINDOW_SECONDS * sampling_rate)))
    lengths = np.diff(starts, append=common)
    error, power = (np.add.reduceat(np.square(x), starts) / lengths if common else lengths for x in (one - other, one))
    limit = 10 ** (-(_SIMILAR_DB if is_lossless else _SIMILAR_LOSSY_DB) / 10)
    floor = max(float(np.square(one).mean()) * 10 ** (-_FLOOR_DB / 10), _STEP**2) if common else 0.0
    unlike = np.flatnonzero(~(error <= np.maximum(power * limit, floor)))
    alike = int(starts[unlike[0]]) if len(unlike) else common
    slack = 0 if is_lossless else round(_PADDED_SECONDS * sampling_rate)
    is_similar = common > 0 and alike == common and abs(len(new) - len(stored)) <= slack
    is_same = is_lossless and np.array_equal(new, stored) and common > 0
    return Comparison(
        outcome=Outcome.IDENTICAL if is_same else Outcome.SIMILAR if is_similar else Outcome.DIFFERENT,
        seconds=len(stored) / sampling_rate,
        new_seconds=len(new) / sampling_rate,
        alike_seconds=alike / sampling_rate,
        max_difference=float(np.abs(one - other).max(initial=0.0)),
    )


def _reasons_for_difference(run_dir: Path, info: ModelInfo) -> list[str]:
    """Why bit equality cannot be expected here; none: it can."""
    try:
        report = read_json(RunDirectory(run_dir).report)
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
