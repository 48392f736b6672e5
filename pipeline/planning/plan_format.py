"""The plan on disk: one line of JSON for each utterance, lossless, in a fixed order, readable by a person.

Owns the format, and the key under which a clip can be found again. It returns text; writing it is for others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pipeline.seeds import content_digest
from pipeline.types import Boundary, Bucket, Segment, Shard, Utterance

_KEY_BYTES = 16
_OPTIONAL = ("language", "split", "file_stem", "columns")  # written only where they say something
_MAX_STEM = 100
_PLAIN_STEM = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,98}[A-Za-z0-9_-])?")
_RESERVED_STEM = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)  # devices of Windows

_PRIORITY_KEY = "urgent"  # the name of `Utterance.priority` in plans of format 1 and 2


def utterance_to_json(utterance: Utterance) -> dict[str, Any]:
    """Return plain values for `json.dumps`, what a reader looks for first in front."""
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
    """Undoes `utterance_to_json`."""
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
    """Return one line for each utterance, each ended by a newline."""
    return "".join(
        json.dumps(utterance_to_json(utterance), ensure_ascii=False) + "\n" for utterance in shard.utterances
    )


def shard_from_json_lines(index: int, text: str) -> Shard:
    """Undoes `shard_to_json_lines`. The index is in the file's name, not in its lines."""
    # Not splitlines(): texts may hold U+2028 and its like, which JSON does not escape.
    return Shard(index, tuple(utterance_from_json(json.loads(line)) for line in text.split("\n") if line))


def utterance_key(utterance: Utterance, model_fingerprint: str) -> str:
    """Return the content hash under which a finished clip of this utterance can be used again.

    `model_fingerprint` stands for all that is the same for the whole run: revision, dtype, device, sampling. The padded
    lengths belong to the key, because they touch the last bits of floating point and the limit may cut the audio. The
    batch size does not: a clip does not depend on its batch.
    """
    bucket = utterance.bucket
    shape = "" if bucket is None else f"{bucket.prompt_tokens},{bucket.description_tokens},{bucket.max_frames}"
    content = (model_fingerprint, utterance.prompt, utterance.description, utterance.seed, shape)
    return content_digest("clip", *content, size=_KEY_BYTES).hex()


def safe_file_stem(id: str) -> str:
    """Return a file name, without suffix, for any id: plain ASCII, good on every system, at most 100 bytes.

    An id that is such a name already is its own. Otherwise a hash of the id keeps the names of different ids apart.
    """
    if _PLAIN_STEM.fullmatch(id) and not _RESERVED_STEM.fullmatch(id):
        return id
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", id[:_MAX_STEM]).strip("-")[:64]
    return "-".join(filter(None, (readable or "clip", content_digest("file", id).hex()[:12])))
