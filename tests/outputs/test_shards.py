"""Shards: whole or not there, in order, readable by `datasets`, and copied without touching the audio."""

import dataclasses
import errno
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes import write_shard

from pipeline.audio.encoding import encode
from pipeline.errors import RunDirectoryError
from pipeline.outputs.dataset import shards
from pipeline.outputs.dataset.columns import Row, arrow_schema, make_row, renew_row
from pipeline.outputs.dataset.shards import (
    Manifest,
    finished_shards,
    hash_plan,
    iter_clips,
    read_manifest,
    read_shard,
    write_rejects,
)
from pipeline.planning.dataset_schema import COLUMNS
from pipeline.storage.atomic import remove_leftovers, write_atomically, write_text
from pipeline.storage.paths import sha256_of
from pipeline.storage.run_directory import RunDirectory
from pipeline.types import Boundary, Clip, Finish, Flaw, ModelInfo, Reject, Segment, Utterance

RATE = 16000
MODEL = ModelInfo("parler/mini", "abc123", RATE, 86.0, 2580, 9, "float32", "cpu")


def make_utterance(name: str, seed: int = 2**63 - 1) -> Utterance:
    text = f"Text of {name}."
    segment = Segment("book", 1, 7, 100, 100 + len(text), text, text.lower(), Boundary.PARAGRAPH)
    return Utterance(text.lower(), "Jon's voice.", seed, name, "Jon", 1.0, segment)


def make_clip(name: str = "a", seconds: float = 0.25) -> Clip:
    samples = np.random.default_rng(len(name)).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)
    return Clip(make_utterance(name), samples, RATE, 21, Finish.EOS, take=1, seed=5)


def make_rows(*names: str) -> list[Row]:
    return [make_row(make_clip(name), f"key-{name}", "en", MODEL) for name in names]


def write(
    run_dir: Path, index: int, num_shards: int, names: tuple[str, ...], rejected: tuple[str, ...] = (), **changes: Any
) -> Manifest:
    plan = RunDirectory(run_dir).plan_shard(index)
    if not plan.exists():
        write_text(plan, "".join(json.dumps({"id": name}) + "\n" for name in (*names, *rejected)))
    arguments = {"sampling_rate": RATE, "fingerprint": "f", "plan_hash": hash_plan(run_dir, index)} | changes
    rejects = [Reject(make_utterance(name), "silent: x", 3, (1, 2, 3)) for name in rejected]
    return write_shard(run_dir, index, num_shards, make_rows(*names), rejects, **arguments)


def test_schema_is_the_one_that_datasets_makes() -> None:
    """Bug: metadata that `datasets` does not take; the audio column then loads as a plain struct."""
    made = datasets.Features(
        {
            column.name: datasets.Audio(sampling_rate=RATE) if column.dtype == "audio" else datasets.Value(column.dtype)
            for column in COLUMNS
        }
    ).arrow_schema
    ours = arrow_schema(RATE)
    assert ours.equals(made)
    assert json.loads(ours.metadata[b"huggingface"]) == json.loads(made.metadata[b"huggingface"])


def test_what_is_written_is_read_back_in_order(tmp_path: Path) -> None:
    """Bug: rows sorted by length, as they were generated, make a book out of order."""
    names = [("c", "a"), ("zz", "b"), ()]
    for index in (2, 0, 1):  # the order in which workers happen to finish
        write(tmp_path, index, 3, names[index])
    rows = list(iter_clips(tmp_path))
    assert [row.id for row in rows] == ["c", "a", "zz", "b"]
    assert [row.key for row in rows] == ["key-c", "key-a", "key-zz", "key-b"]
    row = rows[0]
    assert row.columns["seed"] == 5
    assert row.columns["speaker_id"] == "Jon"
    assert (row.columns["source_start"], row.columns["source_end"]) == (100, 110)
    assert row.columns["audio"]["path"] == "c.flac"
    samples, rate = row.decode()
    assert rate == RATE
    np.testing.assert_allclose(samples, make_clip("c").samples, atol=1 / 32768)


def test_every_column_of_a_row_has_a_value_of_its_type(tmp_path: Path) -> None:
    """Bug: a measure under another name leaves a column of nulls that nobody notices."""
    write(tmp_path, 0, 1, ("a", "b"))
    table = pq.read_table(RunDirectory(tmp_path).shard(0, 1))
    assert table.schema.equals(arrow_schema(RATE))
    assert {column.name: table[column.name].null_count for column in COLUMNS} == dict.fromkeys(
        (column.name for column in COLUMNS), 0
    )
    row = make_rows("a")[0]
    with pytest.raises(ValueError, match="peak_dbfs"):
        row_groups(tmp_path / "x", [Row({k: v for k, v in row.columns.items() if k != "peak_dbfs"}, "key")])


def test_a_shard_of_rejects_is_finished_without_a_file(tmp_path: Path) -> None:
    """Bug: a shard with nothing to write is made again at each start; or an older file of it lives on."""
    write(tmp_path, 0, 1, ("a",))
    write(tmp_path, 0, 1, (), ("a",))
    assert [len(manifest.rejects) for manifest in finished_shards(tmp_path)] == [1]
    assert list((tmp_path / "data").iterdir()) == []
    assert list(iter_clips(tmp_path)) == []


def test_manifest_tells_what_is_in_the_file(tmp_path: Path) -> None:
    """Bug: a manifest that cannot prove its file, or retry its rejects."""
    manifest = write(tmp_path, 4, 9, ("a", "b"), ("c",), work_seconds=1.5)
    path = RunDirectory(tmp_path).shard(4, 9)
    assert path.name == "train-00004-of-00009.parquet"
    assert read_manifest(RunDirectory(tmp_path).manifest(4)) == manifest
    assert (manifest.sha256, manifest.num_bytes) == (sha256_of(path), path.stat().st_size)
    assert manifest.audio_seconds == pytest.approx(0.5)
    assert [clip.id for clip in manifest.clips] == ["a", "b"]
    assert manifest.clips[0].audio_sha256 == make_rows("a")[0].audio_sha256()
    reject = manifest.rejects[0]
    assert (reject["id"], reject["seeds"], reject["takes"], reject["seed"]) == ("c", [1, 2, 3], 3, 2**63 - 1)


def test_same_rows_make_the_same_file(tmp_path: Path) -> None:
    """Bug: a time stamp in the file gives another hash to each rendering of the same dataset."""
    first = write(tmp_path / "one", 0, 1, ("a", "b"))
    assert first.sha256 == write(tmp_path / "two", 0, 1, ("a", "b")).sha256


def row_groups(run_dir: Path, rows: Sequence[Row]) -> list[int]:
    """Writes a shard of these rows; returns how many rows its groups have."""
    write_shard(run_dir, 0, 1, rows, [], sampling_rate=RATE, fingerprint="f", plan_hash="p")
    metadata = pq.ParquetFile(RunDirectory(run_dir).shard(0, 1)).metadata
    return [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]


def test_row_groups_are_small_enough_for_the_viewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: one row group of a gigabyte has to be read whole to show one row, and to stream a book."""
    rows = make_rows("a") * 250
    size = len(rows[0].audio)
    assert row_groups(tmp_path, rows) == [100, 100, 50]
    monkeypatch.setattr(shards, "BYTES_PER_GROUP", 3 * size)
    assert row_groups(tmp_path, rows[:10]) == [3, 3, 3, 1]
    monkeypatch.setattr(shards, "BYTES_PER_GROUP", 1)
    assert row_groups(tmp_path, rows[:3]) == [1, 1, 1]
    metadata = pq.ParquetFile(RunDirectory(tmp_path).shard(0, 1)).metadata
    assert metadata.row_group(0).column(0).has_column_index


def test_audio_is_stored_once_and_not_in_the_statistics(tmp_path: Path) -> None:
    """Bug: compressing what is compressed, or a footer that repeats whole clips as least and greatest value."""
    rows = make_rows(*(f"clip-{number}" for number in range(50)))
    row_groups(tmp_path, rows)
    audio = sum(len(row.audio) for row in rows)
    assert RunDirectory(tmp_path).shard(0, 1).stat().st_size - audio < 25_000


def test_a_copied_row_keeps_audio_and_measures_and_takes_the_new_place(tmp_path: Path) -> None:
    """Bug: a line added to chapter 1 moves all that follows; re-used clips then tell old offsets."""
    manifest = write(tmp_path, 0, 1, ("old",))
    (row,) = read_shard(tmp_path, manifest)
    moved = make_utterance("new")
    assert moved.segment
    moved = dataclasses.replace(moved, segment=dataclasses.replace(moved.segment, start=500, end=510, chapter=3))
    renewed = renew_row(row, moved, "de")
    assert renewed.audio == row.audio
    assert renewed.key == row.key
    changed = {name for name in row.columns if renewed.columns[name] != row.columns[name]}
    assert changed == {"id", "audio", "text", "text_normalized", "language", "chapter", "source_start", "source_end"}
    assert renewed.columns["audio"]["path"] == "new.flac"


def test_a_lossy_row_tells_the_rate_that_its_audio_has() -> None:
    """Bug: `sampling_rate` says 44100 while the Opus file holds 48000."""
    clip = dataclasses.replace(make_clip(), sampling_rate=44100)
    flaws = (Flaw("limit", "x"), Flaw("length", "y"))
    row = make_row(dataclasses.replace(clip, flaws=flaws), "key", "en", MODEL, "opus")
    samples, rate = row.decode()
    assert (rate, row.columns["sampling_rate"]) == (48000, 48000)
    assert len(samples) / rate == pytest.approx(row.columns["duration"], abs=0.001)
    assert row.columns["audio"]["path"] == "a.opus"
    assert row.columns["flaws"] == "limit: x; length: y"


def test_an_utterance_without_a_segment_makes_a_row() -> None:
    """Bug: a Python user's own utterances, which have no source, crash the writer."""
    clip = dataclasses.replace(make_clip(), utterance=Utterance("Hello.", "A voice.", id="x"))
    columns = make_row(clip, "key", "en", MODEL).columns
    assert (columns["text"], columns["speaker_id"], columns["boundary"]) == ("Hello.", None, "none")


class KilledError(BaseException):
    """Stands for the end of the process: nothing of ours catches it."""


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("last_step", range(5))
def test_killed_at_any_moment_a_shard_is_whole_or_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last_step: int, older: bool
) -> None:
    """Bug: half a shard, or an older file beside a newer manifest, is taken for finished when the run goes on."""
    if older:
        size = write(tmp_path, 0, 1, ("b", "a")).num_bytes
    rows = make_rows("a", "b")
    steps = iter(range(100))

    def dying(original: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            if next(steps) == last_step:
                raise KilledError
            return original(*arguments, **options)

        return step

    with monkeypatch.context() as patch:
        # One step before anything is seen by others, then each that changes what they see.
        patch.setattr(shards, "sha256_of", dying(shards.sha256_of))
        patch.setattr(Path, "unlink", dying(Path.unlink))
        patch.setattr(Path, "replace", dying(Path.replace))
        with pytest.raises(KilledError):
            write_shard(tmp_path, 0, 1, rows, [], sampling_rate=RATE, fingerprint="f", plan_hash="p")
    for manifest in finished_shards(tmp_path):
        assert manifest.sha256 == sha256_of(RunDirectory(tmp_path).shard(0, 1))
    manifest = write(tmp_path, 0, 1, ("a", "b"))
    assert [row.id for row in iter_clips(tmp_path)] == ["a", "b"]
    if older:
        assert manifest.num_bytes == size  # else the size alone would have told the two apart


@pytest.mark.parametrize("where", [(os, "fsync"), (pq.ParquetWriter, "write_table"), (Path, "write_text")])
def test_no_space_left_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: tuple[Any, str]
) -> None:
    """Bug: a full disk ends in a traceback, and temporary files keep it full."""

    def raise_no_space(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(*where, raise_no_space)
    with pytest.raises(RunDirectoryError, match=r"00000.*No space left") as caught:
        write_shard(tmp_path, 0, 1, make_rows("a"), [], sampling_rate=RATE, fingerprint="f", plan_hash="p")
    assert "\n" not in str(caught.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """Bug: a traceback from deep inside when the output folder is a file, or belongs to someone else."""
    (tmp_path / "run").write_text("a file")
    with pytest.raises(RunDirectoryError, match=r"report\.json.*File exists"):
        write_text(tmp_path / "run" / "report.json", "x")


def test_a_failing_block_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    """Bug: a crash while the card is made again destroys the good one."""
    write_text(tmp_path / "README.md", "good")
    with pytest.raises(ZeroDivisionError), write_atomically(tmp_path / "README.md") as temporary:  # noqa: PT012
        temporary.write_text("half")
        1 / 0  # noqa: B018
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert (tmp_path / "README.md").read_text() == "good"


def test_leftovers_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    """Bug: each kill leaves a shard's worth of bytes behind for good."""
    write(tmp_path, 0, 1, ("a",))
    leftover = tmp_path / "data" / ".train-00000-of-00001.parquet.0123abcd.tmp"
    leftover.write_bytes(b"half")
    remove_leftovers(tmp_path)
    assert not leftover.exists()
    assert len(list(finished_shards(tmp_path))) == 1


def test_a_shard_without_its_manifest_or_with_another_size_is_not_finished(tmp_path: Path) -> None:
    """Bug: a truncated copy of a run is taken for a whole one, and its book has holes."""
    for index in range(3):
        write(tmp_path, index, 3, (f"a{index}",))
    RunDirectory(tmp_path).manifest(0).unlink()
    path = RunDirectory(tmp_path).shard(1, 3)
    path.write_bytes(path.read_bytes()[:-1])
    assert [manifest.index for manifest in finished_shards(tmp_path)] == [2]


def damage_footer(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8] + b"\0" * 8)


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [damage_footer, remove])
def test_a_damaged_shard_is_named(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """Bug: an Arrow traceback that names no file and no way out."""
    manifest = write(tmp_path, 0, 1, ("a",))
    damage(RunDirectory(tmp_path).shard(0, 1))
    with pytest.raises(RunDirectoryError, match=r"train-00000-of-00001\.parquet"):
        list(read_shard(tmp_path, manifest))
    with pytest.raises(RunDirectoryError, match=r"\ba\b"):
        Row({**make_rows("a")[0].columns, "audio": {"bytes": b"noise", "path": "a.flac"}}, "k").decode()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"clips": [], "rejects": []}', '{"clips": [{}]}'])
def test_a_damaged_manifest_is_named(tmp_path: Path, content: str) -> None:
    """Bug: a KeyError instead of the name of the file to delete."""
    path = RunDirectory(tmp_path).manifest(0)
    write_text(path, content)
    with pytest.raises(RunDirectoryError, match=r"shard-00000\.json"):
        read_manifest(path)


def test_rejects_are_collected_in_reading_order(tmp_path: Path) -> None:
    """Bug: rejects written by workers as they come are lost by a kill, or told twice after it."""
    write(tmp_path, 1, 2, (), ("d",))
    write(tmp_path, 0, 2, ("a",), ("b", "c"))
    for _ in range(2):
        write_rejects(tmp_path)
        lines = (tmp_path / "rejects.jsonl").read_text().splitlines()
        assert [json.loads(line)["id"] for line in lines] == ["b", "c", "d"]


def test_reading_some_columns_reads_no_audio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: a table of durations that reads a terabyte."""
    manifest = write(tmp_path, 0, 1, ("a", "b"))
    wanted: list[Any] = []
    original = pq.ParquetFile.iter_batches

    def spy(file: Any, **options: Any) -> Any:
        wanted.append(options["columns"])
        return original(file, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", spy)
    rows = list(read_shard(tmp_path, manifest, ["id", "duration"]))
    assert [dict(row.columns) for row in rows] == [{"id": "a", "duration": 0.25}, {"id": "b", "duration": 0.25}]
    assert wanted == [["id", "duration"]]


def test_datasets_loads_shards_with_and_without_rows(tmp_path: Path) -> None:
    """Bug: a shard whose clips were all rejected makes the whole dataset unreadable; so does a temporary file."""
    write(tmp_path, 0, 3, (), ("x",))
    write(tmp_path, 1, 3, ("a", "b"))
    write(tmp_path, 2, 3, (), ("y",))
    (tmp_path / "data" / ".train-00000-of-00003.parquet.0123abcd.tmp").write_bytes(b"half")
    for streaming in (False, True):
        loaded = datasets.load_dataset(
            str(tmp_path), split="train", streaming=streaming, cache_dir=str(tmp_path / "cache")
        )
        rows = list(loaded.cast_column("audio", datasets.Audio(decode=False)))
        assert [row["id"] for row in rows] == ["a", "b"]
        assert rows[0]["audio"]["bytes"] == make_rows("a")[0].audio
        assert loaded.features["audio"].sampling_rate == RATE


def test_encoded_audio_passes_through_unchanged(tmp_path: Path) -> None:
    """Bug: writing decodes and encodes again, which costs hours and, for lossy formats, quality."""
    row = make_row(make_clip(), "key", "en", MODEL)
    assert row.audio == encode(make_clip().samples, RATE)
    table = pa.Table.from_pylist([row.columns], arrow_schema(RATE))
    assert table["audio"][0].as_py()["bytes"] == row.audio
