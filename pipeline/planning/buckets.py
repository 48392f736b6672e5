"""Assign a bucket (padded shape) to every utterance, and group utterances of the same bucket into batches.

The bucket depends only on the utterance and the config, not on the other utterances of the batch: padding changes
floating-point rounding, and a clip must not depend on its batch. The caller counts the tokens.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.config import PlanningConfig
from pipeline.types import Bucket, Shard, Utterance

_FRAME_TOLERANCE = 1e-6  # seconds * frames per second may be slightly below a whole frame


@dataclass(frozen=True)
class ModelLimits:
    """Rates and limits of a model that planning needs."""

    sampling_rate: int  # Hz
    frames_per_second: float
    max_seconds: float  # longest audio that the model can generate
    max_positions: int  # prompt and frames together


@dataclass(frozen=True)
class Shapes:
    """Settings that determine the shapes of a run."""

    planning: PlanningConfig
    limits: ModelLimits
    batch_size: int  # rows


@dataclass(frozen=True)
class Batch:
    """Utterances that are generated together."""

    bucket: Bucket | None  # None: not padded; the batch then has one row
    utterances: tuple[Utterance, ...]


def find_bucket(utterance: Utterance, prompt_tokens: int, description_tokens: int, shapes: Shapes) -> Bucket | None:
    """Return the smallest bucket for an utterance; None if it fits none, see `bucket_problem`."""
    planning, limits = shapes.planning, shapes.limits
    prompt_rung = _smallest_rung(planning.prompt_tokens, prompt_tokens)
    description_rung = _smallest_rung(planning.description_tokens, description_tokens)
    if prompt_rung is None or description_rung is None:
        return None
    seconds = _seconds_limit(utterance.predicted_seconds, planning, limits.max_seconds)
    max_frames = int(seconds * limits.frames_per_second + _FRAME_TOLERANCE)
    return Bucket(prompt_rung, description_rung, max_frames, shapes.batch_size)


def bucket_problem(
    prompt_tokens: int, description_tokens: int, planning: PlanningConfig, bucket: Bucket | None, max_positions: int
) -> str | None:
    """Return the reason for a reject if the tokens do not fit a bucket or the model; None if they fit.

    The reason begins with a stable code by which rejects are counted. It is stored in the plan, so that a change of its
    wording changes the hash of plans with rejects.
    """
    if prompt_tokens > planning.prompt_tokens[-1]:
        limit = planning.prompt_tokens[-1]
        return f"too-long: the text has more than the {limit} tokens that planning.prompt_tokens ends at"
    if description_tokens > planning.description_tokens[-1]:
        limit = planning.description_tokens[-1]
        return f"description: it has more than the {limit} tokens that planning.description_tokens ends at"
    if bucket is not None and prompt_tokens + bucket.max_frames > max_positions:
        return (
            f"too-long: {prompt_tokens} tokens and {bucket.max_frames} frames are more than the {max_positions} "
            "positions of the model; give a smaller text.max_seconds"
        )
    return None


def assign_buckets(
    shard: Shard, prompt_tokens: Sequence[int], description_tokens: Sequence[int], shapes: Shapes
) -> Shard:
    """Return the shard with a bucket or a problem in every utterance. Token counts are in the order of the shard."""

    def assign(utterance: Utterance, prompt: int, description: int) -> Utterance:
        if utterance.problem:
            return utterance
        bucket = find_bucket(utterance, prompt, description, shapes)
        problem = bucket_problem(prompt, description, shapes.planning, bucket, shapes.limits.max_positions)
        return dataclasses.replace(utterance, bucket=None if problem else bucket, problem=problem)

    rows = zip(shard.utterances, prompt_tokens, description_tokens, strict=True)
    return Shard(shard.index, tuple(assign(*row) for row in rows))


def make_batches(utterances: Iterable[Utterance]) -> list[Batch]:
    """Group utterances into batches by bucket, those with the longest predicted audio first.

    The largest bucket is first, so that a lack of memory is found at the start. Utterances with a problem are omitted.
    An utterance without a bucket forms its own batch.
    """
    by_bucket: defaultdict[Bucket, list[Utterance]] = defaultdict(list)
    unpadded: list[Batch] = []
    for utterance in utterances:
        if utterance.problem:
            continue
        if utterance.bucket is None:
            unpadded.append(Batch(None, (utterance,)))
        else:
            by_bucket[utterance.bucket].append(utterance)
    batches: list[Batch] = []
    for bucket in sorted(by_bucket, key=lambda shape: (shape.max_frames, shape), reverse=True):
        rows = sorted(by_bucket[bucket], key=lambda utterance: -utterance.predicted_seconds)
        for start in range(0, len(rows), bucket.batch_size):
            batches.append(Batch(bucket, tuple(rows[start : start + bucket.batch_size])))
    return batches + unpadded


def _smallest_rung(ladder: Sequence[int], needed: int) -> int | None:
    return next((rung for rung in ladder if rung >= needed), None)


def _seconds_limit(predicted_seconds: float, planning: PlanningConfig, model_max_seconds: float) -> float:
    """Return the smallest limit in seconds with headroom over the prediction, at most the limit of the model."""
    if predicted_seconds == 0:
        return model_max_seconds
    needed = predicted_seconds * planning.headroom
    rungs = [rung for rung in planning.max_seconds if rung < model_max_seconds]
    return next((rung for rung in rungs if rung >= needed), model_max_seconds)
