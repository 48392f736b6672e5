"""Verification: each kind of damage to a run is found and reported with its file."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes import write_shard

from pipeline.errors import RunDirectoryError
from pipeline.outputs.dataset import shards
from pipeline.outputs.dataset.columns import Row, make_row
from pipeline.outputs.dataset.shards import hash_plan, write_rejects
from pipeline.outputs.dataset.verify import verify_run
from pipeline.planning import utterance_key
from pipeline.planning.plan_format import utterance_to_json
from pipeline.planning.plan_store import hash_files
from pipeline.storage.atomic import write_text
from pipeline.storage.checksums import write_checksums
from pipeline.storage.paths import sha256_of
from pipeline.storage.run_directory import RunDirectory
from pipeline.types import Clip, Finish, ModelInfo, Reject, Utterance

RATE = 8000
MODEL = ModelInfo("parler/mini", "abc123", RATE, 86.0, 2580, 9, "float32", "cpu")
PLAN = (("a", "b", "c"), ("d", "e"), ("f",), ("g",))
REJECTED = {"b", "f"}  # shard 2 has no clip at all


def utterance(id: str) -> Utterance:
    return Utterance(f"Text of {id}.", "A voice.", seed=1, id=id)


def plan_line(id: str) -> str:
    return json.dumps(utterance_to_json(utterance(id))) + "\n"


def row(id: str) -> Row:
    samples = np.random.default_rng(ord(id)).normal(0, 0.1, RATE // 4).astype(np.float32)
    key = utterance_key(utterance(id), "f00d float32 cpu")
    return make_row(Clip(utterance(id), samples, RATE, 21, Finish.EOS, seed=1), key, "en", MODEL)


def write(run_dir: Path, index: int, rows: list[Row], rejected: list[str], fingerprint: str = "f00d") -> None:
    write_shard(
        run_dir,
        index,
        len(PLAN),
        rows,
        [Reject(utterance(id), "silent: x", 3) for id in rejected],
        sampling_rate=RATE,
        fingerprint=fingerprint,
        plan_hash=hash_plan(run_dir, index),
    )


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def run_dir(made_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_once, tmp_path / "run"))


def make_run(tmp_path: Path) -> Path:
    """Return a finished run: 4 shards, 7 planned utterances, 5 clips, 2 rejects, and a book of two files."""
    for index, ids in enumerate(PLAN):
        write_text(RunDirectory(tmp_path).plan_shard(index), "".join(map(plan_line, ids)))
    plan_hash = hash_files(RunDirectory(tmp_path).plan_shard(index) for index in range(len(PLAN)))
    head = {"num_shards": len(PLAN), "num_utterances": 7, "fingerprint": "f00d", "plan_hash": plan_hash}
    write_text(
        RunDirectory(tmp_path).plan_head,
        json.dumps({**head, "language": "en", "kept_columns": {}, "format_version": 2}),
    )
    for index, ids in enumerate(PLAN):
        rows = [row(id) for id in ids if id not in REJECTED]
        write(tmp_path, index, rows, [id for id in ids if id in REJECTED])
    write_rejects(tmp_path)
    for name in ("README.md", "durations.png", "report.json", "book/1.flac", "book/all.m4b"):
        write_text(tmp_path / name, f"bytes of {name}")
    files = [tmp_path / "book" / name for name in ("1.flac", "all.m4b")]
    listed = [{"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)} for path in files]
    write_text(tmp_path / "book" / "book.json", json.dumps({"files": listed}))
    write_text(tmp_path / "config.yaml", "input: story\n")
    write_checksums(tmp_path)
    return tmp_path


def test_a_whole_run_has_no_problem(run_dir: Path) -> None:
    """Guards intact runs against false problems."""
    report = verify_run(run_dir)
    assert report.problems == ()
    assert (report.num_planned, report.num_written, report.num_rejected) == (7, 5, 2)
    assert report.audio_seconds == pytest.approx(5 * 0.25)
    assert "7 planned = 5 written + 2 rejected" in str(report)


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def rewrite_parquet(run_dir: Path, index: int, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change a Parquet file and update its manifest, so that only deeper checks can find it."""
    path = RunDirectory(run_dir).shard(index, len(PLAN))
    pq.write_table(change(pq.read_table(path)), path)
    rewrite(
        RunDirectory(run_dir).manifest(index),
        lambda manifest: manifest.update(num_bytes=path.stat().st_size, sha256=sha256_of(path)),
    )


def missing_shard(run_dir: Path) -> None:
    RunDirectory(run_dir).shard(1, 4).unlink()


def missing_manifest(run_dir: Path) -> None:
    RunDirectory(run_dir).manifest(1).unlink()


def missing_plan_shard(run_dir: Path) -> None:
    RunDirectory(run_dir).plan_shard(1).unlink()


def damaged_manifest(run_dir: Path) -> None:
    RunDirectory(run_dir).manifest(1).write_text("{")


def truncated_shard(run_dir: Path) -> None:
    path = RunDirectory(run_dir).shard(1, 4)
    path.write_bytes(path.read_bytes()[:-20])


def flipped_byte_in_audio(run_dir: Path) -> None:
    path = RunDirectory(run_dir).shard(1, 4)
    content = bytearray(path.read_bytes())
    content[content.index(row("e").audio) + 500] ^= 1
    path.write_bytes(bytes(content))


def removed_row(run_dir: Path) -> None:
    path = RunDirectory(run_dir).shard(1, 4)
    pq.write_table(pq.read_table(path).slice(0, 1), path)


def removed_row_with_a_new_hash(run_dir: Path) -> None:
    rewrite_parquet(run_dir, 1, lambda table: table.slice(0, 1))


def removed_row_with_a_new_manifest(run_dir: Path) -> None:
    write(run_dir, 1, [row("d")], [])


def added_row(run_dir: Path) -> None:
    write(run_dir, 1, [row("d"), row("e"), row("x")], [])


def doubled_row(run_dir: Path) -> None:
    write(run_dir, 1, [row("d"), row("d"), row("e")], [])


def written_and_rejected(run_dir: Path) -> None:
    write(run_dir, 1, [row("d"), row("e")], ["e"])
    write_rejects(run_dir)


def rows_in_another_order(run_dir: Path) -> None:
    write(run_dir, 1, [row("e"), row("d")], [])


def swapped_rows_in_the_file(run_dir: Path) -> None:
    rewrite_parquet(run_dir, 1, lambda table: table.take([1, 0]))


def swapped_manifests(run_dir: Path) -> None:
    one, other = RunDirectory(run_dir).manifest(1), RunDirectory(run_dir).manifest(3)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def swapped_files(run_dir: Path) -> None:
    one, other = RunDirectory(run_dir).shard(1, 4), RunDirectory(run_dir).shard(3, 4)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def swapped_audio(run_dir: Path) -> None:
    def swap(table: pa.Table) -> pa.Table:
        return table.set_column(1, table.schema.field("audio"), table["audio"].take(pa.array([1, 0])))

    rewrite_parquet(run_dir, 1, swap)


def wrong_duration(run_dir: Path) -> None:
    broken = row("e")
    write(run_dir, 1, [row("d"), Row({**broken.columns, "duration": 0.3}, broken.key)], [])


def wrong_sampling_rate(run_dir: Path) -> None:
    broken = row("e")
    write(run_dir, 1, [row("d"), Row({**broken.columns, "sampling_rate": 16000}, broken.key)], [])


def audio_that_is_none(run_dir: Path) -> None:
    broken = row("e")
    write(run_dir, 1, [row("d"), Row({**broken.columns, "audio": {"bytes": b"no", "path": "e.flac"}}, "k")], [])


def another_config(run_dir: Path) -> None:
    write(run_dir, 1, [row("d"), row("e")], [], fingerprint="beef")


def another_plan(run_dir: Path) -> None:
    path = RunDirectory(run_dir).plan_shard(1)
    path.write_text(path.read_text().replace('"id"', '"seed": 2, "id"'))


def id_planned_twice(run_dir: Path) -> None:
    write_text(RunDirectory(run_dir).plan_shard(3), '{"id": "d"}\n')
    write(run_dir, 3, [row("d")], [])


def id_planned_twice_in_one_shard(run_dir: Path) -> None:
    write_text(RunDirectory(run_dir).plan_shard(1), '{"id": "d"}\n{"id": "d"}\n{"id": "e"}\n')
    write(run_dir, 1, [row("d"), row("d"), row("e")], [])


def plan_with_another_count(run_dir: Path) -> None:
    rewrite(RunDirectory(run_dir).plan_head, lambda head: head.update(num_utterances=8))


def leftover_of_a_killed_run(run_dir: Path) -> None:
    (run_dir / "data" / ".train-00001-of-00004.parquet.0123abcd.tmp").write_bytes(b"half")


def shard_of_another_count(run_dir: Path) -> None:
    RunDirectory(run_dir).shard(4, 5).write_bytes(RunDirectory(run_dir).shard(1, 4).read_bytes())


def file_of_a_shard_without_clips(run_dir: Path) -> None:
    RunDirectory(run_dir).shard(2, 4).write_bytes(RunDirectory(run_dir).shard(1, 4).read_bytes())


def no_card(run_dir: Path) -> None:
    (run_dir / "README.md").unlink()


def no_picture(run_dir: Path) -> None:
    (run_dir / "durations.png").unlink()


def no_report(run_dir: Path) -> None:
    (run_dir / "report.json").unlink()


def missing_book_file(run_dir: Path) -> None:
    (run_dir / "book" / "1.flac").unlink()


def truncated_book_file(run_dir: Path) -> None:
    path = run_dir / "book" / "all.m4b"
    path.write_bytes(path.read_bytes()[:-1])


def altered_book_file(run_dir: Path) -> None:
    path = run_dir / "book" / "all.m4b"
    path.write_bytes(b"B" + path.read_bytes()[1:])


def damaged_book_index(run_dir: Path) -> None:
    (run_dir / "book" / "book.json").write_text('{"files": [{}]}')


def no_book_index(run_dir: Path) -> None:
    (run_dir / "book" / "book.json").unlink()


def no_rejects_file(run_dir: Path) -> None:
    (run_dir / "rejects.jsonl").unlink()


def forgotten_reject(run_dir: Path) -> None:
    path = run_dir / "rejects.jsonl"
    path.write_text(path.read_text().splitlines()[0] + "\n")


FILE = "data/train-00001-of-00004.parquet"
MANIFEST = "manifests/shard-00001.json"


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (missing_shard, [f"{FILE}: missing"]),
        (missing_manifest, [f"{MANIFEST}: missing"]),
        (missing_plan_shard, ["plan/shard-00001.jsonl: missing"]),
        (damaged_manifest, [f"{MANIFEST}"]),
        (truncated_shard, [f"{FILE}: ", f"{FILE}: ... bytes", f"{FILE}: ... Parquet"]),
        (flipped_byte_in_audio, [f"{FILE}: ... SHA-256", f"{FILE}: id e: ... SHA-256"]),
        (removed_row, [f"{FILE}: id e is in the manifest"]),
        (removed_row_with_a_new_hash, [f"{FILE}: id e is in the manifest"]),
        (removed_row_with_a_new_manifest, [f"{MANIFEST}: id e ... planned"]),
        (added_row, [f"{MANIFEST}: id x ... plan"]),
        (doubled_row, [f"{MANIFEST}: id d is written or rejected 2 times"]),
        (written_and_rejected, [f"{MANIFEST}: id e is written or rejected 2 times"]),
        (rows_in_another_order, [f"{MANIFEST}: ... order"]),
        (swapped_rows_in_the_file, [f"{FILE}: ... ids"]),
        (swapped_manifests, [f"{MANIFEST}: ... 3 of 4", "shard-00003.json: ... 1 of 4"]),
        (swapped_files, [f"{FILE}: id d is in the manifest", "train-00003-of-00004.parquet: id g is in the manifest"]),
        (swapped_audio, [f"{FILE}: id d: ... SHA-256", f"{FILE}: id e: ... SHA-256"]),
        (wrong_duration, [f"{FILE}: id e: ... 0.250 s ... 0.300 s"]),
        (wrong_sampling_rate, [f"{FILE}: id e: ... 8000 Hz ... 16000 Hz"]),
        (audio_that_is_none, [f"{FILE}: id e: ... decoded"]),
        (another_config, [f"{MANIFEST}: ... beef ... f00d"]),
        (another_plan, [f"{MANIFEST}: ... plan"]),
        (id_planned_twice, ["plan/shard-00003.jsonl: id d is also planned in shard 1"]),
        (id_planned_twice_in_one_shard, ["plan/shard-00001.jsonl: id d is planned 2 times"]),
        (plan_with_another_count, ["plan/plan.json: ... 8 ... 7"]),
        (leftover_of_a_killed_run, ["data/.train-00001-of-00004.parquet.0123abcd.tmp: belongs to no shard"]),
        (shard_of_another_count, ["data/train-00004-of-00005.parquet: belongs to no shard"]),
        (file_of_a_shard_without_clips, ["data/train-00002-of-00004.parquet: belongs to no shard"]),
        (no_card, ["README.md: missing"]),
        (no_picture, ["durations.png: missing"]),
        (no_report, ["report.json: missing"]),
        (missing_book_file, ["book/1.flac: missing"]),
        (truncated_book_file, ["book/all.m4b: ... 20 ... 21"]),
        (altered_book_file, ["book/all.m4b: ... SHA-256"]),
        (damaged_book_index, ["book/book.json: damaged"]),
        (no_book_index, ["book/book.json: missing"]),
        (no_rejects_file, ["rejects.jsonl: missing"]),
        (forgotten_reject, ["rejects.jsonl: ... rejects"]),
    ],
)
def test_each_damage_is_found_and_named(run_dir: Path, damage: Callable[[Path], None], expected: list[str]) -> None:
    """Guards against a missing shard, a missing row or a changed bit that is not reported."""
    damage(run_dir)
    report = verify_run(run_dir)
    for facts in expected:
        assert any(all(fact in problem for fact in facts.split(" ... ")) for problem in report.problems), (
            report.problems
        )
    assert not any("\n" in problem for problem in report.problems)
    num_problems = len(report.problems)
    assert f"{num_problems} problem{'s' * (num_problems != 1)}; " in str(report)


@pytest.mark.parametrize("damage", [missing_shard, missing_book_file, truncated_book_file, no_book_index])
def test_one_damage_is_not_told_as_many(run_dir: Path, damage: Callable[[Path], None]) -> None:
    """Guards against many messages about a single cause."""
    damage(run_dir)
    assert len(verify_run(run_dir).problems) == 1


def test_a_book_whose_index_has_names_alone_is_verified(run_dir: Path) -> None:
    """Guards books of older versions against false problems and against missing files."""
    write_text(run_dir / "book" / "book.json", json.dumps({"files": ["1.flac", "all.m4b", "book.json"]}))
    write_checksums(run_dir)
    assert verify_run(run_dir).problems == ()
    missing_book_file(run_dir)
    assert verify_run(run_dir).problems == ("book/1.flac: missing",)


def test_a_dataset_needs_no_book(run_dir: Path) -> None:
    """Guards datasets against a report of a missing book."""
    shutil.rmtree(run_dir / "book")
    write_checksums(run_dir)
    assert verify_run(run_dir).problems == ()


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_what_is_no_run_is_refused(tmp_path: Path, content: str | None) -> None:
    """Guards against an empty or mistyped directory that passes verification."""
    if content is not None:
        write_text(RunDirectory(tmp_path).plan_head, content)
    with pytest.raises(RunDirectoryError, match=r"plan\.json: no readable plan"):
        verify_run(tmp_path)


def test_audio_is_read_a_few_clips_at_a_time(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against memory use that grows with the audio of a shard."""
    monkeypatch.setattr(shards, "ROWS_PER_READ", 1)
    sizes: list[int] = []
    original = pq.ParquetFile.iter_batches

    def spy(file: Any, **options: Any) -> Any:
        for batch in original(file, **options):
            sizes.append(batch.num_rows)
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", spy)
    assert verify_run(run_dir).problems == ()
    assert sizes == [1] * 5


NAMES = sorted(
    [
        *(f"plan/shard-{index:05d}.jsonl" for index in range(4)),
        *(f"manifests/shard-{index:05d}.json" for index in range(4)),
        *(f"data/train-{index:05d}-of-00004.parquet" for index in (0, 1, 3)),
        *("README.md", "SHA256SUMS", "book/1.flac", "book/all.m4b", "book/book.json", "config.yaml", "durations.png"),
        *("plan/plan.json", "rejects.jsonl", "report.json"),
    ]
)


def delete(path: Path, position: float) -> None:
    path.unlink()


def truncate(path: Path, position: float) -> None:
    path.write_bytes(path.read_bytes()[: int(position * path.stat().st_size)])


def flip(path: Path, position: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= 1
    path.write_bytes(content)


def lengthen(path: Path, position: float) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def add_beside(path: Path, position: float) -> None:
    (path.parent / "stray.txt").write_text("from elsewhere")


def complaints(run_dir: Path) -> list[str]:
    try:
        return list(verify_run(run_dir).problems)
    except RunDirectoryError as error:
        return [str(error)]


def test_every_kind_of_file_is_damaged_below(run_dir: Path) -> None:
    """Guards against new files of a run that these tests do not cover."""
    assert sorted(path.relative_to(run_dir).as_posix() for path in run_dir.rglob("*") if path.is_file()) == NAMES


@pytest.mark.parametrize(
    ("damage", "position"),
    [(delete, 0), (lengthen, 0), (add_beside, 0), *((how, at) for how in (truncate, flip) for at in (0, 0.37, 0.999))],
)
@pytest.mark.parametrize("name", NAMES)
def test_no_file_can_be_lost_or_altered_unnoticed(
    run_dir: Path, name: str, damage: Callable[[Path, float], None], position: float
) -> None:
    """Guards against copies of a run with missing, changed or added files."""
    damage(run_dir / name, position)
    stray = (Path(name).parent / "stray.txt").as_posix()
    assert any((stray if damage is add_beside else name) in problem for problem in complaints(run_dir))


def test_a_book_that_is_gone_whole_is_missed(run_dir: Path) -> None:
    shutil.rmtree(run_dir / "book")
    assert any(problem.startswith("book/all.m4b: missing") for problem in complaints(run_dir))


def test_the_sums_are_those_that_every_system_can_check(run_dir: Path) -> None:
    done = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=run_dir, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_journal_may_grow_after_the_end(run_dir: Path) -> None:
    """Guards finished runs against a journal that another job still writes."""
    write_text(run_dir / "journal" / "job-2.jsonl", "{}\n")
    assert complaints(run_dir) == []
