"""JSON format of planned utterances, one line each, and the key that identifies reusable clips."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pipeline.seeds import content_digest
from pipeline.types import Boundary, Bucket, Segment, Shard, Utterance

_KEY_BYTES = 16
_OPTIONAL = ("language", "split", "file_stem", "columns")  # omitted if empty
_MAX_STEM = 100
_PLAIN_STEM = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,98}[A-Za-z0-9_-])?")
_RESERVED_STEM = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)  # device names on Windows

_PRIORITY_KEY = "urgent"  # the name of `Utterance.priority` in plans of format 1 and 2


def utterance_to_json(utterance: Utterance) -> dict[str, Any]:
    """Return values for `json.dumps`, in an order that is easy to read."""
    bucket, segment = utterance.bucket, utterance.segment
    return {
        "id": utterance.id,
        "prompt": utterance.prompt,
        "speaker": utterance.speaker,
        "description": utterance.description,
        "seed": utterance.seed,
        "predicted_seconds": utterance.predicted_seconds,
        "problem": utterance.problem,
        _PRIORITY_KEY: utterance.priority,
        "bucket": None if bucket is None else dict(vars(bucket)),
        "segment": None if segment is None else {**vars(segment), "boundary": segment.boundary.value},
        **{name: value for name in _OPTIONAL if (value := getattr(utterance, name))},
    }


def utterance_from_json(line: Mapping[str, Any]) -> Utterance:
    """Convert the output of `utterance_to_json` back to an utterance."""
    bucket, segment = line["bucket"], line["segment"]
    return Utterance(
        **{
            **{name: value for name, value in line.items() if name != _PRIORITY_KEY},
            "priority": line[_PRIORITY_KEY],
            "bucket": None if bucket is None else Bucket(**bucket),
            "segment": None if segment is None else Segment(**{**segment, "boundary": Boundary(segment["boundary"])}),
        }
    )


def shard_to_json_lines(shard: Shard) -> str:
    """Return one JSON line for each utterance, each with a line break at its end."""
    return "".join(
        json.dumps(utterance_to_json(utterance), ensure_ascii=False) + "\n" for utterance in shard.utterances
    )


def shard_from_json_lines(index: int, text: str) -> Shard:
    """Convert the output of `shard_to_json_lines` back to a shard. The index comes from the name of the file."""
    # splitlines() would also split at characters such as U+2028, which JSON does not escape.
    return Shard(index, tuple(utterance_from_json(json.loads(line)) for line in text.split("\n") if line))


def utterance_key(utterance: Utterance, model_fingerprint: str) -> str:
    """Return the content hash of an utterance; clips with the same key are interchangeable.

    The key includes the padded lengths, because they affect floating-point rounding and the length limit may truncate
    the audio. It does not include the batch size, because a clip does not depend on its batch.

    Args:
        utterance: The planned utterance.
        model_fingerprint: Identifies everything that is constant in a run: model revision, dtype, device, sampling.
    """
    bucket = utterance.bucket
    shape = "" if bucket is None else f"{bucket.prompt_tokens},{bucket.description_tokens},{bucket.max_frames}"
    content = (model_fingerprint, utterance.prompt, utterance.description, utterance.seed, shape)
    return content_digest("clip", *content, size=_KEY_BYTES).hex()


def safe_file_stem(id: str) -> str:
    """Return a file name without suffix for any id: ASCII, valid on every system, at most 100 bytes.

    An id that is already a valid name is returned unchanged. Otherwise the name contains a hash of the id, so that
    different ids have different names.
    """
    if _PLAIN_STEM.fullmatch(id) and not _RESERVED_STEM.fullmatch(id):
        return id
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", id[:_MAX_STEM]).strip("-")[:64]
    return "-".join(filter(None, (readable or "clip", content_digest("file", id).hex()[:12])))
