"""Shards: one Parquet file of clips and one manifest each.

Owns how a shard is written, found again and read. Knows nothing of plans, models or how clips are made.

A shard file under its final name is complete and has its manifest, whenever the power fails: the Parquet file is
written under a temporary name, then the manifest appears, then the Parquet file gets its name. A manifest alone is a
shard that is not finished; unless it has no clips, all of them rejected. Such a shard has no Parquet file, because
`datasets` 5.0 fails with an IndexError on a file without rows that comes before others (5.2 does not).
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

# The dataset viewer of the hub reads a row group to show a row: 100 rows and 100 MB are its own advice.
ROWS_PER_GROUP = 100
BYTES_PER_GROUP = 64 * 2**20
ROWS_PER_READ = 8  # rows of a shard in memory at once when it is read
_DATA_NAME = re.compile(r"(?P<split>\w[\w.]*)-\d{5,}-of-\d{5,}\.parquet", re.ASCII)
_MANIFEST_NAME = re.compile(r"shard-.*\.json")
BYTES_PER_READ = 2**20  # of a column; without it Arrow reads the column of a whole row group first


@dataclass(frozen=True)
class WrittenClip:
    """One row of a shard, as its manifest knows it."""

    id: str
    key: str  # content hash: an utterance with this key needs no new audio
    audio_sha256: str


@dataclass(frozen=True)
class Manifest:
    """What is known about a finished shard without opening its Parquet file."""

    index: int
    num_shards: int
    file: str  # name of the Parquet file; this and the next two are empty for a shard without clips
    num_bytes: int
    sha256: str
    fingerprint: str  # of the config that it was made with
    plan_hash: str  # of the shard's plan, see `hash_plan`
    audio_seconds: float
    work_seconds: float  # wall time that making it took; shards that were made side by side share it out
    clips: tuple[WrittenClip, ...]  # in reading order, which is the order of the rows
    rejects: tuple[Mapping[str, Any], ...]  # `Reject.as_json` of each
    format_version: int = 1  # of this file and of its Parquet file, see `FORMAT_VERSION`

    @property
    def split(self) -> str:
        """The split that its clips are in; that of a shard without clips is not known."""
        found = _DATA_NAME.fullmatch(self.file)
        return found["split"] if found else TRAIN


def hash_plan(run_dir: Path, index: int) -> str:
    """Hash of a shard's plan file. A finished shard with another one was made for a text that has changed since."""
    return sha256_of(RunDirectory(run_dir).plan_shard(index))


@dataclass(frozen=True)
class ShardInfo:
    """What a shard is, beside its rows."""

    index: int  # from 0
    num_shards: int  # of the run
    sampling_rate: int  # Hz, as stored: see `audio.encoding.stored_rate`
    fingerprint: str  # of the config
    plan_hash: str  # of the plan that the rows were made for, read before the work began
    split: str = ""  # of all its rows; "": train
    kept_columns: Mapping[str, Type] = field(default_factory=dict)  # that rows may have beside the standard ones


def write_shard(
    run_dir: Path, shard: ShardInfo, rows: Sequence[Row], rejects: Sequence[Reject], work_seconds: float = 0.0
) -> Manifest:
    """Write a whole shard, atomically.

    Args:
        run_dir: Directory of the run.
        shard: What the shard is.
        rows: In reading order; may be empty.
        rejects: The planned utterances that have no row.
        work_seconds: Wall time that was spent on the rows.

    Raises:
        RunDirectoryError: No space left, or the directory cannot be written.
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
    """Read one manifest; a `RunDirectoryError` says so when it is missing or damaged."""
    try:
        content = read_json(path)
        clips = tuple(WrittenClip(**clip) for clip in content.pop("clips"))
        manifest = Manifest(clips=clips, rejects=tuple(content.pop("rejects")), **content)
        _check_types(manifest)
        return manifest
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else error
        raise RunDirectoryError(
            f"{path}: not a readable manifest ({reason}): delete it and give the same command again to make its shard "
            "anew"
        ) from error


def _check_types(manifest: Manifest) -> None:
    """Raise `ValueError` for values with which no run writes a manifest: others sum them up, and show them."""
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
        raise ValueError("a text in it is none")
    if manifest.file and not _DATA_NAME.fullmatch(manifest.file):
        raise ValueError(f"file is {manifest.file!r}")


def finished_shards(run_dir: Path) -> Iterator[Manifest]:
    """Yield the manifest of each finished shard, in order of shards. No audio is read.

    A shard is finished when its Parquet file is there with the size that its manifest tells, or when it has no clips.
    """
    sizes = list_data(run_dir)
    for path in list_manifests(run_dir):
        manifest = read_manifest(path)
        if is_finished(manifest, sizes):
            yield manifest


def list_data(run_dir: Path) -> dict[str, int]:
    """The Parquet files that are there, by name, with their sizes."""
    return {name: size for name, size in file_sizes(RunDirectory(run_dir).data).items() if _DATA_NAME.fullmatch(name)}


def list_manifests(run_dir: Path) -> list[Path]:
    """The manifests that are there, in order of shards."""
    folder = RunDirectory(run_dir).manifests
    return [folder / name for name in sorted(file_sizes(folder)) if _MANIFEST_NAME.fullmatch(name)]


def is_finished(manifest: Manifest, sizes: Mapping[str, int]) -> bool:
    """Return whether a shard's Parquet file is there, whole; `sizes` are from `list_data`."""
    return sizes.get(manifest.file, 0) == manifest.num_bytes


def finished_shard(run_dir: Path, index: int) -> Manifest | None:
    """The manifest of one shard, if it is finished; see `finished_shards`."""
    path = RunDirectory(run_dir).manifest(index)
    if not path.exists():
        return None
    manifest = read_manifest(path)
    file = RunDirectory(run_dir).data / manifest.file
    sizes = {file.name: file.stat().st_size} if manifest.file and file.exists() else {}
    return manifest if is_finished(manifest, sizes) else None


def read_shard(run_dir: Path, manifest: Manifest, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """Yield the rows of one shard in reading order, a few in memory at a time.

    Args:
        run_dir: Directory of the run.
        manifest: Of the shard.
        columns: Names of `COLUMNS`; leave `audio` out where it is not needed. None: all.
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
                raise pa.ArrowInvalid(f"{file.metadata.num_rows} rows, its manifest has {len(manifest.clips)}")
            for batch in file.iter_batches(batch_size=ROWS_PER_READ, columns=list(columns) if columns else None):
                for record in batch.to_pylist():
                    yield Row(record, next(keys))
    except (OSError, pa.ArrowException) as error:
        raise RunDirectoryError(
            f"{path}: cannot be read ({error}): delete it and give the same command again to make it anew"
        ) from error


def read_checked(run_dir: Path, manifest: Manifest) -> Iterator[tuple[Row, bool]]:
    """Yield the rows of one shard, each with whether its audio still is what was written; see `read_shard`.

    For rows that go on into another shard: its manifest vouches for their bytes, whatever they are by then.
    """
    for row, clip in zip(read_shard(run_dir, manifest), manifest.clips, strict=True):
        yield row, row.audio_sha256() == clip.audio_sha256


def iter_clips(run_dir: Path, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """Yield the clips of all finished shards in reading order, a few in memory at a time; see `read_shard`."""
    for manifest in finished_shards(run_dir):
        yield from read_shard(run_dir, manifest, columns)


def write_rejects(run_dir: Path) -> None:
    """Write `rejects.jsonl` from the manifests, in reading order."""
    with write_atomically(RunDirectory(run_dir).rejects) as temporary, temporary.open("w", encoding="utf-8") as file:
        for manifest in finished_shards(run_dir):
            for reject in manifest.rejects:
                file.write(reject_line(reject))


def reject_line(reject: Mapping[str, Any]) -> str:
    """One line of `rejects.jsonl`."""
    return json.dumps(reject, ensure_ascii=False) + "\n"


def _replace_manifest(run_dir: Path, manifest: Manifest, path: Path) -> None:
    with write_atomically(RunDirectory(run_dir).manifest(manifest.index)) as temporary:
        temporary.write_text(json.dumps(asdict(manifest), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        # An older file of this shard must not be taken for the one that the new manifest describes.
        remove_file(path)


def _write_parquet(
    path: Path, rows: Sequence[Row], sampling_rate: int, kept_columns: Mapping[str, Type] = NO_COLUMNS
) -> None:
    """Write rows as a Parquet file that streams well and shows well on the hub."""
    schema = arrow_schema(sampling_rate, kept_columns)
    for row in rows:
        amiss = (row.columns.keys() ^ set(schema.names)) - (kept_columns.keys() - row.columns.keys())
        if amiss:  # Arrow would write null, or leave a column out
            raise ValueError(f"row {row.id}: columns {sorted(amiss)} are amiss")
    plain = [column.name for column in COLUMNS if column.dtype != "audio"]
    kept = [path for name, column in kept_columns.items() for path in leaf_paths(name, column)]
    flat = [*plain, *(name for name, column in kept_columns.items() if isinstance(column, str))]
    writer = pq.ParquetWriter(
        path,
        schema,
        # Encoded audio does not get smaller, and its least and greatest value are megabytes that help nobody.
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
