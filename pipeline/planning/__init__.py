"""What is going to be made, in which order and in which shapes; all of it known before a model is loaded.

`seconds` predicts lengths, `utterances` turns documents into utterances and shards, `buckets` gives each its shape and
makes batches, `files` is the plan on disk, `left_out` what is not spoken,
`summary` the plan in figures and `summary_text` the same in words. Nothing here depends on devices.
"""

from pipeline.planning.buckets import Batch, assign_buckets, bucket_problem, find_bucket, make_batches
from pipeline.planning.duration import predict_seconds
from pipeline.planning.left_out import LeftOut, left_out_of
from pipeline.planning.plan_format import (
    safe_file_stem,
    shard_from_json_lines,
    shard_to_json_lines,
    utterance_from_json,
    utterance_key,
    utterance_to_json,
)
from pipeline.planning.summary import PlanSummary, audio_bytes
from pipeline.planning.summary_text import duration, render_plan, size
from pipeline.planning.utterances import group_into_shards, plan_utterances, repeat_documents
from pipeline.seeds import take_seed, utterance_seed

__all__ = [
    "Batch",
    "LeftOut",
    "PlanSummary",
    "assign_buckets",
    "audio_bytes",
    "bucket_problem",
    "duration",
    "find_bucket",
    "group_into_shards",
    "left_out_of",
    "make_batches",
    "plan_utterances",
    "predict_seconds",
    "render_plan",
    "repeat_documents",
    "safe_file_stem",
    "shard_from_json_lines",
    "shard_to_json_lines",
    "size",
    "take_seed",
    "utterance_from_json",
    "utterance_key",
    "utterance_seed",
    "utterance_to_json",
]
