"""Planning: which utterances to generate, in which order and with which padded shapes. No model is loaded.

`duration` predicts lengths, `utterances` turns documents into utterances and shards, `buckets` assigns shapes and makes
batches, `plan_format` and `plan_store` store the plan on disk, `left_out` lists text that is not spoken, `summary`
counts, and `summary_text` formats the counts. The plan does not depend on the devices.
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
