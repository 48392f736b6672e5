"""Verification of one shard: its Parquet file, row by row, against its manifest and its plan.

Assumes that whoever changed a file has also renewed all hashes of files: every row is compared with what was planned,
its audio is decoded, and the content hash of each clip is computed again from the plan.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from pipeline.audio.encoding import decode
from pipeline.errors import RunDirectoryError, printable
from pipeline.outputs.dataset.columns import Row, arrow_schema, planned_columns
from pipeline.outputs.dataset.shards import Manifest, read_shard
from pipeline.planning import take_seed, utterance_key
from pipeline.planning.kept_columns import Type, fit
from pipeline.quality.signal import lossy_measures_problem, measures_problem
from pipeline.storage.paths import open_for_arrow, reason_of, sha256_of
from pipeline.storage.run_directory import RunDirectory
from pipeline.types import Utterance

DURATION_TOLERANCE = 0.001  # seconds; a lossy format may round the length to one of its own samples
_EXACT_TOLERANCE = 1e-9  # seconds, of a format without loss
_EXACT_SUFFIXES = (".flac", ".wav")
# Columns that the plan decides in every format; later formats have the others in the same way.
_ALWAYS_PLANNED = ("text", "text_normalized", "text_description", "speaker_id")
# What else a clip's content hash is made of: precision and kind of device.
_ENVIRONMENTS = tuple(itertools.product(("float32", "bfloat16", "float16"), ("cpu", "cuda", "mps")))
_MAX_SHOWN = 40  # characters of a value in a message


@dataclass(frozen=True)
class Expected:
    """What the plan says about a shard."""

    utterances: Mapping[str, Utterance]  # by id; empty: its plan cannot be read, so that rows cannot be compared
    language: str  # of the run
    kept_columns: Mapping[str, Type]  # beside the standard ones
    check_columns: Collection[str] = ()  # those of them that checks measured


def key_problems(manifest: Manifest, utterances: Mapping[str, Utterance]) -> Iterator[str]:
    """Compare each clip's content hash with prompt, description, seed and shape in the plan."""
    name = RunDirectory(Path()).manifest(manifest.index).as_posix()
    likely = _ENVIRONMENTS[0]
    for clip in manifest.clips:
        if clip.id not in utterances:
            continue
        for environment in (likely, *_ENVIRONMENTS):
            if utterance_key(utterances[clip.id], " ".join((manifest.fingerprint, *environment))) == clip.key:
                likely = environment
                break
        else:
            yield f"{name}: id {clip.id}: was not made of the words, the voice, the seed and the config of the plan"


def file_problems(run_dir: Path, manifest: Manifest, expected: Expected) -> Iterator[str]:
    """The Parquet file is the manifest's, and so is each clip in it; its rows are those of the plan."""
    if not manifest.clips:
        return
    path = RunDirectory(run_dir).data / manifest.file
    name = path.relative_to(run_dir).as_posix()
    if not path.exists() and not path.is_symlink():
        yield f"{name}: missing"
        return
    try:
        with open_for_arrow(path) as source:
            yield from _byte_problems(path, name, manifest)
            with pq.ParquetFile(source) as file:
                schema = file.schema_arrow
            if problem := _schema_problem(schema, manifest, expected.kept_columns):
                yield f"{name}: {problem}"
            if not _has_our_columns(schema):
                return
        with open_for_arrow(path) as source:
            ids = pq.read_table(source, columns=["id"], partitioning=None)["id"].to_pylist()
    except FileNotFoundError:
        yield f"{name}: missing"
        return
    except (OSError, pa.ArrowException) as error:
        yield f"{name}: not a readable Parquet file ({reason_of(error)})"
        return
    if ids != [clip.id for clip in manifest.clips]:
        there, known = set(ids), {clip.id for clip in manifest.clips}
        yield from (f"{name}: id {id} is in the manifest, but not in the file" for id in sorted(known - there))
        yield from (f"{name}: id {id} is in the file, but not in the manifest" for id in sorted(there - known, key=str))
        yield f"{name}: its ids are not those of its manifest, one by one"
        return
    try:
        yield from _row_problems(run_dir, name, manifest, expected)
    except RunDirectoryError as error:
        yield str(error)


def _byte_problems(path: Path, name: str, manifest: Manifest) -> Iterator[str]:
    size = path.stat().st_size
    if size != manifest.num_bytes:
        yield f"{name}: {size} bytes, its manifest says {manifest.num_bytes}"
    elif sha256_of(path) != manifest.sha256:
        yield f"{name}: its bytes have changed since it was written (SHA-256 differs)"


def _schema_problem(schema: pa.Schema, manifest: Manifest, kept: Mapping[str, Type]) -> str | None:
    """What is wrong with names, types and features of the columns."""
    try:
        expected = arrow_schema(0, kept)
    except (KeyError, TypeError, IndexError):
        return "kept_columns in plan/plan.json has a type that no column can have"
    if missing := [name for name in expected.names if name not in schema.names]:
        return f"its column {', '.join(map(printable, missing))} is missing"
    if added := [name for name in schema.names if name not in expected.names]:
        return f"its column {', '.join(map(printable, added))} is neither ours nor one of the input"
    if len(schema.names) != len(set(schema.names)):
        return "it has two columns of one name"
    if manifest.format_version < 2:
        return None
    for field in expected:
        if schema.field(field.name).type != field.type:
            return f"its column {printable(field.name)} is {schema.field(field.name).type}, not {field.type}"
    return None if _features(schema) == _features(expected) else "the features in its metadata are not its columns"


def _has_our_columns(schema: pa.Schema) -> bool:
    """Return whether rows can be compared: each of our columns is there, once and with its type."""
    return all(
        schema.names.count(field.name) == 1 and schema.field(field.name).type == field.type for field in arrow_schema(0)
    )


def _features(schema: pa.Schema) -> Any:
    """The features that `datasets` reads, without the rate of the audio, which is compared row by row."""
    try:
        features = dict(json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"])
        return {**features, "audio": {**features["audio"], "sampling_rate": 0}}
    except (KeyError, ValueError, TypeError, RecursionError):
        return None


def _row_problems(run_dir: Path, name: str, manifest: Manifest, expected: Expected) -> Iterator[str]:
    seconds = 0.0
    for row, clip in zip(read_shard(run_dir, manifest), manifest.clips, strict=True):
        seconds += row.columns["duration"] or 0.0
        found = [_clip_problem(row, clip.audio_sha256)]
        if utterance := expected.utterances.get(row.id):
            found += _plan_problems(row, utterance, expected, manifest.format_version)
        yield from (f"{name}: id {row.id}: {problem}" for problem in found if problem)
    if not math.isclose(seconds, manifest.audio_seconds, abs_tol=DURATION_TOLERANCE):
        manifest_name = RunDirectory(Path()).manifest(manifest.index).as_posix()
        yield f"{manifest_name}: says {manifest.audio_seconds:.3f} s of audio, the rows have {seconds:.3f} s"


def _plan_problems(row: Row, utterance: Utterance, expected: Expected, format_version: int) -> Iterator[str]:
    """Columns in which a row is not what was planned."""
    planned = planned_columns(utterance, expected.language)
    if format_version < 2:
        planned = {column: planned[column] for column in _ALWAYS_PLANNED}
    try:
        kept = [each for each in expected.kept_columns.items() if each[0] not in expected.check_columns]
        planned |= {column: fit(utterance.columns.get(column), kind) for column, kind in kept}
    except (TypeError, ValueError, AttributeError, KeyError):
        yield "its input's columns in the plan have other types than kept_columns in plan/plan.json says"
    for column, value in planned.items():
        there = row.columns.get(column)
        if there != value and repr(there) != repr(value):  # NaN is not equal to itself
            yield f"its {column} is {_shown(there)}, the plan has {_shown(value)}"
    take, seed = row.columns.get("take"), row.columns.get("seed")
    if not isinstance(take, int) or take < 0 or seed != take_seed(utterance.seed, take):
        yield f"its seed {seed} is not that of take {take} of what was planned"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _clip_problem(row: Row, audio_sha256: str) -> str | None:
    if (row.columns["audio"] or {}).get("bytes") is None:
        return "it has no audio"
    if row.audio_sha256() != audio_sha256:
        return "its audio has changed since it was written (SHA-256 differs)"
    try:
        samples, sampling_rate = decode(row.audio)
    except soundfile.LibsndfileError as error:
        return f"its audio cannot be decoded ({error})"
    if sampling_rate != row.columns["sampling_rate"]:
        return f"audio at {sampling_rate} Hz, its row says {row.columns['sampling_rate']} Hz"
    seconds, told = len(samples) / sampling_rate, row.columns["duration"]
    if not isinstance(told, float):
        return f"{seconds:.3f} s of audio, its row says {told}"
    is_exact = str(row.columns["audio"].get("path")).endswith(_EXACT_SUFFIXES)
    # Not the other way round: a duration that is no number is within no tolerance.
    if not abs(seconds - told) <= (_EXACT_TOLERANCE if is_exact else DURATION_TOLERANCE):
        digits = 3 if f"{seconds:.3f}" != f"{told:.3f}" else 9
        return f"{seconds:.{digits}f} s of audio, its row says {told:.{digits}f} s"
    problem_of = measures_problem if is_exact else lossy_measures_problem
    return problem_of(row.columns, samples, sampling_rate) or None
