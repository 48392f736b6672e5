"""Verify one shard: compare each row of its Parquet file with the manifest and the plan.

The checks also detect changes that were made together with all file hashes: every row is compared with the plan, the
audio is decoded and measured, and the content hash of each clip is recomputed from the plan.
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

DURATION_TOLERANCE = 0.001  # seconds; lossy formats round the length to a sample of their own rate
_EXACT_TOLERANCE = 1e-9  # seconds, for lossless formats
_EXACT_SUFFIXES = (".flac", ".wav")
# Columns of `planned_columns` that are comparable in run format 1; later formats allow all of them.
_ALWAYS_PLANNED = ("text", "text_normalized", "text_description", "speaker_id")
# Precision and device type, which are part of the content hash of a clip but not of the plan.
_ENVIRONMENTS = tuple(itertools.product(("float32", "bfloat16", "float16"), ("cpu", "cuda", "mps")))
_MAX_SHOWN = 40  # characters of a value in a message


@dataclass(frozen=True)
class Expected:
    """Expected contents of a shard, from the plan."""

    utterances: Mapping[str, Utterance]  # by id; empty if the plan of the shard cannot be read
    language: str  # of the run
    kept_columns: Mapping[str, Type]  # name -> type of the columns in addition to `COLUMNS`
    check_columns: Collection[str] = ()  # the kept columns that checks measured


def key_problems(manifest: Manifest, utterances: Mapping[str, Utterance]) -> Iterator[str]:
    """Yield the clips whose content hash does not match the prompt, description, seed and config of the plan."""
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
            yield f"{name}: id {clip.id}: the key does not match the text, voice, seed and config of the plan"


def file_problems(run_dir: Path, manifest: Manifest, expected: Expected) -> Iterator[str]:
    """Compare the Parquet file with its manifest, and each row with the manifest and the plan."""
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
            if not _has_standard_columns(schema):
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
        yield from (f"{name}: id {id} is in the manifest but not in the file" for id in sorted(known - there))
        yield from (f"{name}: id {id} is in the file but not in the manifest" for id in sorted(there - known, key=str))
        yield f"{name}: the ids and their order do not match the manifest"
        return
    try:
        yield from _row_problems(run_dir, name, manifest, expected)
    except RunDirectoryError as error:
        yield str(error)


def _byte_problems(path: Path, name: str, manifest: Manifest) -> Iterator[str]:
    size = path.stat().st_size
    if size != manifest.num_bytes:
        yield f"{name}: {size} bytes, but the manifest says {manifest.num_bytes}"
    elif sha256_of(path) != manifest.sha256:
        yield f"{name}: the file has changed since it was written (SHA-256 differs)"


def _schema_problem(schema: pa.Schema, manifest: Manifest, kept: Mapping[str, Type]) -> str | None:
    """Return what is wrong with the names, types or `datasets` features of the columns; None: nothing."""
    try:
        expected = arrow_schema(0, kept)
    except (KeyError, TypeError, IndexError):
        return "kept_columns in plan/plan.json contains an unknown type"
    if missing := [name for name in expected.names if name not in schema.names]:
        return f"missing columns: {', '.join(map(printable, missing))}"
    if added := [name for name in schema.names if name not in expected.names]:
        return f"unexpected columns: {', '.join(map(printable, added))}"
    if len(schema.names) != len(set(schema.names)):
        return "two columns have the same name"
    if manifest.format_version < 2:
        return None
    for field in expected:
        if schema.field(field.name).type != field.type:
            return f"column {printable(field.name)} has type {schema.field(field.name).type} instead of {field.type}"
    return (
        None
        if _features(schema) == _features(expected)
        else "the `datasets` features in the metadata do not match the columns"
    )


def _has_standard_columns(schema: pa.Schema) -> bool:
    """Return whether each standard column exists once and has its type, so that rows can be compared."""
    return all(
        schema.names.count(field.name) == 1 and schema.field(field.name).type == field.type for field in arrow_schema(0)
    )


def _features(schema: pa.Schema) -> Any:
    """Return the features for `datasets` with the sampling rate set to 0; the rate is compared for each row."""
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
        yield f"{manifest_name}: says {manifest.audio_seconds:.3f} s of audio, but the rows have {seconds:.3f} s"


def _plan_problems(row: Row, utterance: Utterance, expected: Expected, format_version: int) -> Iterator[str]:
    """Yield the columns of a row that differ from the plan."""
    planned = planned_columns(utterance, expected.language)
    if format_version < 2:
        planned = {column: planned[column] for column in _ALWAYS_PLANNED}
    try:
        kept = [each for each in expected.kept_columns.items() if each[0] not in expected.check_columns]
        planned |= {column: fit(utterance.columns.get(column), kind) for column, kind in kept}
    except (TypeError, ValueError, AttributeError, KeyError):
        yield "the kept columns in the plan do not have the types in kept_columns of plan/plan.json"
    for column, value in planned.items():
        there = row.columns.get(column)
        if there != value and repr(there) != repr(value):  # NaN is not equal to itself
            yield f"{column} is {_shown(there)}, but the plan has {_shown(value)}"
    take, seed = row.columns.get("take"), row.columns.get("seed")
    if not isinstance(take, int) or take < 0 or seed != take_seed(utterance.seed, take):
        yield f"seed {seed} does not match take {take} of the planned utterance"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _clip_problem(row: Row, audio_sha256: str) -> str | None:
    if (row.columns["audio"] or {}).get("bytes") is None:
        return "the row has no audio"
    if row.audio_sha256() != audio_sha256:
        return "the audio has changed since it was written (SHA-256 differs)"
    try:
        samples, sampling_rate = decode(row.audio)
    except soundfile.LibsndfileError as error:
        return f"the audio cannot be decoded ({error})"
    if sampling_rate != row.columns["sampling_rate"]:
        return f"audio at {sampling_rate} Hz, but the row says {row.columns['sampling_rate']} Hz"
    seconds, recorded = len(samples) / sampling_rate, row.columns["duration"]
    if not isinstance(recorded, float):
        return f"{seconds:.3f} s of audio, but the row says {recorded}"
    is_exact = str(row.columns["audio"].get("path")).endswith(_EXACT_SUFFIXES)
    # Written as `not <=`, so that NaN fails the check.
    if not abs(seconds - recorded) <= (_EXACT_TOLERANCE if is_exact else DURATION_TOLERANCE):
        digits = 3 if f"{seconds:.3f}" != f"{recorded:.3f}" else 9
        return f"{seconds:.{digits}f} s of audio, but the row says {recorded:.{digits}f} s"
    problem_of = measures_problem if is_exact else lossy_measures_problem
    return problem_of(row.columns, samples, sampling_rate) or None
