"""Write, list and read shards. Each shard is one Parquet file of clips and one manifest.

A Parquet file under its final name is complete and has a manifest, even after a power failure: the Parquet file is
written under a temporary name, then the manifest is replaced, then the Parquet file is renamed. A shard with a manifest
but no Parquet file is unfinished, except when all of its utterances were rejected. Such a shard has no Parquet file,
because `datasets` 5.0 raises an IndexError if an empty file comes before others (fixed in 5.2).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config.checks import MAX_NUMBER
from pipeline.errors import RunDirectoryError
from pipeline.outputs.dataset.columns import Row, arrow_schema
from pipeline.planning.dataset_schema import COLUMNS
from pipeline.planning.kept_columns import NO_COLUMNS, Type, fit, leaf_paths
from pipeline.storage.atomic import remove_file, write_atomically
from pipeline.storage.paths import file_sizes, open_for_arrow, read_json, reason_of, sha256_of
from pipeline.storage.run_directory import FORMAT_VERSION, MAX_SECONDS, TRAIN, RunDirectory
from pipeline.types import Reject

# The dataset viewer of the hub reads a whole row group to show one row. It recommends at most 100 rows and 100 MB.
ROWS_PER_GROUP = 100
BYTES_PER_GROUP = 64 * 2**20
ROWS_PER_READ = 8  # rows in memory while a shard is read
_DATA_NAME = re.compile(r"(?P<split>\w[\w.]*)-\d{5,}-of-\d{5,}\.parquet", re.ASCII)
_MANIFEST_NAME = re.compile(r"shard-.*\.json")
BYTES_PER_READ = 2**20  # buffer for each column; without it Arrow reads the column of a whole row group at once


@dataclass(frozen=True)
class WrittenClip:
    """Entry of a manifest for one row of the shard."""

    id: str
    key: str  # content hash; an utterance with the same key can reuse this audio
    audio_sha256: str


@dataclass(frozen=True)
class Manifest:
    """Description of a shard, stored in a JSON file beside the Parquet file."""

    index: int
    num_shards: int
    file: str  # name of the Parquet file; "" for a shard without clips, whose num_bytes is 0 and sha256 is ""
    num_bytes: int
    sha256: str
    fingerprint: str  # of the config
    plan_hash: str  # of the shard's plan, see `hash_plan`
    audio_seconds: float
    work_seconds: float  # wall time; time that concurrent shards took is divided among them
    clips: tuple[WrittenClip, ...]  # in reading order, which is the order of the rows
    rejects: tuple[Mapping[str, Any], ...]  # `Reject.as_json` of each
    format_version: int = 1  # of the manifest and the Parquet file, see `FORMAT_VERSION`

    @property
    def split(self) -> str:
        """Dataset split of the clips; `train` for a shard without clips."""
        found = _DATA_NAME.fullmatch(self.file)
        return found["split"] if found else TRAIN


def hash_plan(run_dir: Path, index: int) -> str:
    """Return the SHA-256 of the plan file of a shard.

    A finished shard whose manifest has a different hash was made for an earlier version of the text.
    """
    return sha256_of(RunDirectory(run_dir).plan_shard(index))


@dataclass(frozen=True)
class ShardInfo:
    """Properties of a shard that its rows do not contain."""

    index: int  # from 0
    num_shards: int  # in the run
    sampling_rate: int  # Hz, as stored: see `audio.encoding.stored_rate`
    fingerprint: str  # of the config
    plan_hash: str  # see `hash_plan`; computed before generation began
    split: str = ""  # dataset split of all rows; "": train
    kept_columns: Mapping[str, Type] = field(
        default_factory=dict
    )  # name -> type of the columns in addition to `COLUMNS`


def write_shard(
    run_dir: Path, shard: ShardInfo, rows: Sequence[Row], rejects: Sequence[Reject], work_seconds: float = 0.0
) -> Manifest:
    """Write a shard atomically.

    Args:
        run_dir: Directory of the run.
        shard: Properties of the shard.
        rows: In reading order; may be empty.
        rejects: Planned utterances without a row.
        work_seconds: Wall time that the shard took.

    Raises:
        RunDirectoryError: The disk is full or the directory is not writable.
    """
    path = RunDirectory(run_dir).shard(shard.index, shard.num_shards, shard.split)
    manifest = Manifest(
        index=shard.index,
        num_shards=shard.num_shards,
        file="",
        num_bytes=0,
        sha256="",
        fingerprint=shard.fingerprint,
        plan_hash=shard.plan_hash,
        audio_seconds=sum(row.columns["duration"] for row in rows),
        work_seconds=work_seconds,
        clips=tuple(WrittenClip(row.id, row.key, row.audio_sha256()) for row in rows),
        rejects=tuple(reject.as_json() for reject in rejects),
        format_version=FORMAT_VERSION,
    )
    if not rows:
        _replace_manifest(run_dir, manifest, path)
        return manifest
    with write_atomically(path) as temporary:
        _write_parquet(temporary, rows, shard.sampling_rate, shard.kept_columns)
        manifest = replace(manifest, file=path.name, num_bytes=temporary.stat().st_size, sha256=sha256_of(temporary))
        _replace_manifest(run_dir, manifest, path)
    return manifest


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        RunDirectoryError: It is missing or damaged.
    """
    try:
        content = read_json(path)
        clips = tuple(WrittenClip(**clip) for clip in content.pop("clips"))
        manifest = Manifest(clips=clips, rejects=tuple(content.pop("rejects")), **content)
        _check_types(manifest)
        return manifest
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else error
        raise RunDirectoryError(
            f"{path}: the manifest is missing or damaged ({reason}). Delete it and rerun the same command to "
            "generate its shard again"
        ) from error


def _check_types(manifest: Manifest) -> None:
    """Raise `ValueError` for values of a wrong type or range, which would break sums and reports."""
    for name in ("index", "num_shards", "num_bytes", "format_version"):
        value = getattr(manifest, name)
        if type(value) is not int or not 0 <= value < MAX_NUMBER:
            raise ValueError(f"{name} is {value!r}")
    for name in ("audio_seconds", "work_seconds"):
        value = getattr(manifest, name)
        if type(value) not in (int, float) or not 0 <= value < MAX_SECONDS:
            raise ValueError(f"{name} is {value!r}")
    texts = [manifest.file, manifest.sha256, manifest.fingerprint, manifest.plan_hash]
    texts += [text for clip in manifest.clips for text in (clip.id, clip.key, clip.audio_sha256)]
    texts += [text for reject in manifest.rejects for text in (reject["id"], reject["reason"])]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a value that should be a string has another type")
    if manifest.file and not _DATA_NAME.fullmatch(manifest.file):
        raise ValueError(f"file is {manifest.file!r}")


def finished_shards(run_dir: Path) -> Iterator[Manifest]:
    """Yield the manifest of each finished shard, in order of shards. No audio is read.

    A shard is finished if its Parquet file exists and has the size given in the manifest, or if it has no clips.
    """
    sizes = list_data(run_dir)
    for path in list_manifests(run_dir):
        manifest = read_manifest(path)
        if is_finished(manifest, sizes):
            yield manifest


def list_data(run_dir: Path) -> dict[str, int]:
    """Return the name and the size in bytes of each Parquet file in `data/`."""
    return {name: size for name, size in file_sizes(RunDirectory(run_dir).data).items() if _DATA_NAME.fullmatch(name)}


def list_manifests(run_dir: Path) -> list[Path]:
    """Return the paths of all manifests, in order of shards."""
    folder = RunDirectory(run_dir).manifests
    return [folder / name for name in sorted(file_sizes(folder)) if _MANIFEST_NAME.fullmatch(name)]


def is_finished(manifest: Manifest, sizes: Mapping[str, int]) -> bool:
    """Return whether the Parquet file of a shard exists with its full size; `sizes` come from `list_data`."""
    return sizes.get(manifest.file, 0) == manifest.num_bytes


def finished_shard(run_dir: Path, index: int) -> Manifest | None:
    """Return the manifest of a shard, or None if the shard is not finished; see `finished_shards`."""
    path = RunDirectory(run_dir).manifest(index)
    if not path.exists():
        return None
    manifest = read_manifest(path)
    file = RunDirectory(run_dir).data / manifest.file
    sizes = {file.name: file.stat().st_size} if manifest.file and file.exists() else {}
    return manifest if is_finished(manifest, sizes) else None


def read_shard(run_dir: Path, manifest: Manifest, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """Yield the rows of a shard in reading order, with at most `ROWS_PER_READ` in memory.

    Args:
        run_dir: Directory of the run.
        manifest: Manifest of the shard.
        columns: Names of the columns to read; omit `audio` if it is not needed. None: all columns.

    Raises:
        RunDirectoryError: The Parquet file cannot be read or has a different number of rows than the manifest.
    """
    if not manifest.clips:
        return
    path = RunDirectory(run_dir).data / manifest.file
    keys = iter([clip.key for clip in manifest.clips])
    try:
        with (
            open_for_arrow(path) as source,
            pq.ParquetFile(source, pre_buffer=False, buffer_size=BYTES_PER_READ) as file,
        ):
            if file.metadata.num_rows != len(manifest.clips):
                raise pa.ArrowInvalid(f"{file.metadata.num_rows} rows, but the manifest has {len(manifest.clips)}")
            for batch in file.iter_batches(batch_size=ROWS_PER_READ, columns=list(columns) if columns else None):
                for record in batch.to_pylist():
                    yield Row(record, next(keys))
    except (OSError, pa.ArrowException) as error:
        raise RunDirectoryError(
            f"{path}: cannot be read ({error}). Delete it and rerun the same command to generate it again"
        ) from error


def read_checked(run_dir: Path, manifest: Manifest) -> Iterator[tuple[Row, bool]]:
    """Yield each row of a shard, and whether its audio still matches the hash in the manifest; see `read_shard`.

    Use it for rows that are copied to another shard: the manifest of that shard would otherwise record the hash of
    damaged audio.
    """
    for row, clip in zip(read_shard(run_dir, manifest), manifest.clips, strict=True):
        yield row, row.audio_sha256() == clip.audio_sha256


def iter_clips(run_dir: Path, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """Yield the rows of all finished shards in reading order; see `read_shard`."""
    for manifest in finished_shards(run_dir):
        yield from read_shard(run_dir, manifest, columns)


def write_rejects(run_dir: Path) -> None:
    """Write `rejects.jsonl` from the manifests, in reading order."""
    with write_atomically(RunDirectory(run_dir).rejects) as temporary, temporary.open("w", encoding="utf-8") as file:
        for manifest in finished_shards(run_dir):
            for reject in manifest.rejects:
                file.write(reject_line(reject))


def reject_line(reject: Mapping[str, Any]) -> str:
    """Return one line of `rejects.jsonl`, with its line break."""
    return json.dumps(reject, ensure_ascii=False) + "\n"


def _replace_manifest(run_dir: Path, manifest: Manifest, path: Path) -> None:
    with write_atomically(RunDirectory(run_dir).manifest(manifest.index)) as temporary:
        temporary.write_text(json.dumps(asdict(manifest), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        # Remove an older Parquet file of this shard, which the new manifest does not describe.
        remove_file(path)


def _write_parquet(
    path: Path, rows: Sequence[Row], sampling_rate: int, kept_columns: Mapping[str, Type] = NO_COLUMNS
) -> None:
    """Write rows as a Parquet file, with settings for streaming and for the viewer of the hub."""
    schema = arrow_schema(sampling_rate, kept_columns)
    for row in rows:
        mismatched = (row.columns.keys() ^ set(schema.names)) - (kept_columns.keys() - row.columns.keys())
        if mismatched:  # Arrow would silently write null or omit a column
            raise ValueError(f"row {row.id}: columns {sorted(mismatched)} are missing or unknown")
    plain = [column.name for column in COLUMNS if column.dtype != "audio"]
    kept = [path for name, column in kept_columns.items() for path in leaf_paths(name, column)]
    flat = [*plain, *(name for name, column in kept_columns.items() if isinstance(column, str))]
    writer = pq.ParquetWriter(
        path,
        schema,
        # Encoded audio is not compressible, and its minimum and maximum would add megabytes of useless statistics.
        compression={"audio.bytes": "none", "audio.path": "zstd", **dict.fromkeys([*plain, *kept], "zstd")},
        use_dictionary=flat,
        write_statistics=flat,
        write_page_index=True,
        use_content_defined_chunking=True,
    )
    with writer:
        for group in _row_groups(rows):
            records = [
                {**row.columns, **{name: fit(row.columns.get(name), column) for name, column in kept_columns.items()}}
                for row in group
            ]
            writer.write_table(pa.Table.from_pylist(records, schema))


def _row_groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    group: list[Row] = []
    num_bytes = 0
    for row in rows:
        size = len(row.audio)
        if group and (len(group) == ROWS_PER_GROUP or num_bytes + size > BYTES_PER_GROUP):
            yield group
            group, num_bytes = [], 0
        group.append(row)
        num_bytes += size
    if group:
        yield group
