"""`task=verify deep=true`: generate clips again from the plan and compare them with the stored ones.

This module chooses the clips and defines when two clips are equal. It finds changes that checksums cannot find: whoever
changes a run can also change its hashes, texts and durations, but cannot make the model generate the changed audio.
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

# Clips decoded from the same codes differ only by rounding. They are similar if in each window the power of the
# difference is at least `_SIMILAR_DB` below the power of the clip. Measured with the bundled voice: other thread counts
# and the reference backend differ at -36 dB; bfloat16 samples other codes, which differ at +2 dB.
_WINDOW_SECONDS = 0.1
_SIMILAR_DB = 20.0
_SIMILAR_LOSSY_DB = 10.0  # for lossy formats, whose encoder may have another version
_FLOOR_DB = 40.0  # differences this far below the power of the whole clip are ignored
_STEP = 1 / 32768  # of 16-bit PCM
_PADDED_SECONDS = 0.05  # length that a lossy codec may add or remove


@dataclass(frozen=True, order=True)
class _Choice:
    """A candidate clip. Sorting puts the first clip of each shard before the second of any shard, and so on."""

    position: int  # in its shard, ordered by rank
    rank: bytes  # hash of the clip's id
    shard: int
    id: str


class Outcome(str, Enum):
    """Result of comparing a regenerated clip with the stored one."""

    IDENTICAL = "identical"  # same encoded bytes, or same samples in a lossless format
    SIMILAR = "similar"  # same length, and only rounding differences in every window
    DIFFERENT = "different"


@dataclass(frozen=True)
class Comparison:
    """Comparison of a stored clip with the regenerated one."""

    outcome: Outcome
    seconds: float  # duration of the stored clip
    new_seconds: float  # duration of the regenerated clip
    similar_seconds: float  # from the start to the first window that differs
    max_difference: float  # largest difference of two samples; full scale is 1

    def __str__(self) -> str:
        return (
            f"similar for the first {self.similar_seconds:.1f} s; stored {self.seconds:.3f} s, regenerated "
            f"{self.new_seconds:.3f} s; largest difference of samples {self.max_difference:.4f}"
        )


def deep_problems(
    run_dir: Path, asked: Config, head: PlanHead, build: Callable[..., Synthesizer], outcomes: Counter[Outcome]
) -> Iterator[str]:
    """Generate `asked.deep_clips` clips again and yield a message for each one that differs from the stored clip.

    The frozen config of the run is used, with the device and slots of this command. The input is not read.

    Args:
        run_dir: Directory of the run.
        asked: Config of this command.
        head: Head of the plan.
        build: Function that loads the model; see `verify`.
        outcomes: Number of clips by outcome; updated.

    Raises:
        PipelineError: The weights of the run are not available, or the model cannot be loaded.
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
        for index in tqdm(sorted(chosen), desc="regenerating", unit="shard", disable=None):
            for name, clip, row in _generated(run_dir, index, chosen[index], synthesizer):
                found = _compare(row, clip, form)
                outcomes[found.outcome] += 1
                if problem := _problem_of(found, may_round=bool(reasons) or form not in LOSSLESS):
                    yield f"{name}: id {row.id}: {problem}: {found}{_doubt(reasons)}"
    counts = ", ".join(f"{outcomes[outcome]} {outcome.value}" for outcome in Outcome)
    say(f"deep: {count(outcomes.total(), 'clip')} regenerated: {counts}")
    if reasons:
        say(f"deep: similar clips are accepted, because rounding may differ here: {'; '.join(reasons)}")


def _problem_of(found: Comparison, may_round: bool) -> str:
    if found.outcome is Outcome.DIFFERENT:
        return "the regenerated clip is different"
    if found.outcome is Outcome.SIMILAR and not may_round:
        return "the regenerated clip is not bit-identical, although device, precision and versions are those of the run"
    return ""


def _doubt(reasons: Sequence[str]) -> str:
    if not reasons:
        return ""
    return f" ({'; '.join(reasons)}; rounding can then change the sampled codes, so verify where the clips were made)"


def choose_clips(run_dir: Path, num_clips: int, salt: str) -> dict[int, tuple[str, ...]]:
    """Choose clips by their hash, spread over the shards, about a quarter of them retakes if there are any.

    Args:
        run_dir: Directory of the run.
        num_clips: How many to choose.
        salt: Another salt chooses other clips.

    Returns:
        Ids of clips by index of the shard.
    """
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
    """Regenerate clips of one shard; yield the name of its file, the new clip, and the row of the stored clip."""
    manifest = finished_shard(run_dir, index)
    if manifest is None:
        return
    wanted = {*ids}
    rows = {row.id: row for row in read_shard(run_dir, manifest) if row.id in wanted}
    utterances: list[Utterance] = []
    for utterance in read_shard_plan(run_dir, index).utterances:
        seed = rows[utterance.id].columns["seed"] if utterance.id in rows else None
        if isinstance(seed, int) and 0 <= seed < MAX_NUMBER:  # other values were reported when the rows were verified
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
    if encoded == row.audio:  # otherwise the encoder may have another version
        return replace(found, outcome=Outcome.IDENTICAL)
    return found


def compare_samples(stored: Samples, new: Samples, sampling_rate: int, is_lossless: bool) -> Comparison:
    """Compare a stored clip [N] with a regenerated one [M]; `sampling_rate` is 0 if their rates differ."""
    if not sampling_rate or stored.ndim != 1 or new.ndim != 1:
        return Comparison(Outcome.DIFFERENT, 0.0, 0.0, 0.0, 1.0)
    common = min(len(new), len(stored))
    one, other = stored[:common].astype(np.float64), new[:common].astype(np.float64)
    starts = np.arange(0, common, max(1, round(_WINDOW_SECONDS * sampling_rate)))
    lengths = np.diff(starts, append=common)
    error, power = (np.add.reduceat(np.square(x), starts) / lengths if common else lengths for x in (one - other, one))
    limit = 10 ** (-(_SIMILAR_DB if is_lossless else _SIMILAR_LOSSY_DB) / 10)
    floor = max(float(np.square(one).mean()) * 10 ** (-_FLOOR_DB / 10), _STEP**2) if common else 0.0
    differing = np.flatnonzero(~(error <= np.maximum(power * limit, floor)))
    num_similar = int(starts[differing[0]]) if len(differing) else common
    slack = 0 if is_lossless else round(_PADDED_SECONDS * sampling_rate)
    is_similar = common > 0 and num_similar == common and abs(len(new) - len(stored)) <= slack
    is_same = is_lossless and np.array_equal(new, stored) and common > 0
    return Comparison(
        outcome=Outcome.IDENTICAL if is_same else Outcome.SIMILAR if is_similar else Outcome.DIFFERENT,
        seconds=len(stored) / sampling_rate,
        new_seconds=len(new) / sampling_rate,
        similar_seconds=num_similar / sampling_rate,
        max_difference=float(np.abs(one - other).max(initial=0.0)),
    )


def _reasons_for_difference(run_dir: Path, info: ModelInfo) -> list[str]:
    """Return why regenerated clips may differ in rounding; empty if they must be bit-identical."""
    try:
        report = read_json(RunDirectory(run_dir).report)
        model, then = report["model"], report.get("versions") or {}
        made = {"device": str(model["device"]).split(":")[0], "dtype": str(model["dtype"])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return [f"{REPORT_NAME} does not name the device and the precision of the run"]
    here = {"device": info.device.split(":")[0], "dtype": info.dtype}
    reasons = [f"made with {key} {made[key]}, here {here[key]}" for key in here if made[key] != here[key]]
    if not isinstance(then, Mapping) or not then:
        reasons.append("the run did not record the versions of its libraries")
    else:
        now = versions()
        reasons += [f"made with {key} {then.get(key)}, here {now[key]}" for key in now if then.get(key) != now[key]]
    if here["device"] == "cpu" and info.dtype != "float32":
        reasons.append(f"in {info.dtype} on a CPU, a clip depends on the other clips of its batch")
    return reasons
