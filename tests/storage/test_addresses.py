"""Whole runs in an object store, which has no folders, renames or appends."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes import FakeModel, FakeSynthesizer, loader_of, speak
from object_store import StrictStore, store  # noqa: F401  (a fixture)

from pipeline.__main__ import Terminated, main
from pipeline.config import SourceConfig
from pipeline.errors import ConfigError, RunDirectoryError, SourceError
from pipeline.outputs.dataset.shards import finished_shards
from pipeline.reporting.journal import read_journals
from pipeline.storage import lease
from pipeline.storage.atomic import write_atomically, write_text
from pipeline.storage.lease import hold_lease
from pipeline.storage.paths import file_sizes, is_local, move_folder, resolve_path
from pipeline.text.readers.dispatch import read_documents
from pipeline.types import Clip, Utterance

TEXTS = [f"This is text number {number}, which is spoken." for number in range(7)]


@pytest.fixture(autouse=True)
def quick(
    monkeypatch: pytest.MonkeyPatch,
    store: type[StrictStore],  # noqa: F811
    fake_model: FakeModel,
) -> FakeModel:
    """Replace the model, return the fakes that were built, and make the lease settle at once."""
    monkeypatch.setattr(lease, "_SETTLE_SECONDS", 0.01)
    return fake_model


@pytest.fixture(params=["s3", "memory"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{request.param}://bucket/{tmp_path.name}"


def command(bucket: str, *more: str) -> list[str]:
    write_text(resolve_path(f"{bucket}/in/texts.jsonl"), "".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    given = [f"input={bucket}/in/texts.jsonl", f"output_dir={bucket}/out", "name=run", "planning.shard_size=2"]
    return ["task=dataset", *given, *more]


def hashes(run_dir: Path) -> dict[str, str]:
    return {clip.id: clip.audio_sha256 for manifest in finished_shards(run_dir) for clip in manifest.clips}


def test_a_dataset_behind_an_address_is_that_of_a_disk(
    bucket: str, tmp_path: Path, quick: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards a whole remote run: rendered, status, verified, resumed; and no files on the local disk."""
    assert quick.main(command(bucket)) == 0
    run_dir = resolve_path(f"{bucket}/out/run")
    assert quick.main(command(bucket, f"output_dir={tmp_path / 'disk'}")) == 0
    on_disk = tmp_path / "disk" / "run"
    assert hashes(run_dir) == hashes(on_disk)
    not_of_the_run = {".lock"}  # of the disk
    assert file_sizes(run_dir).keys() == file_sizes(on_disk).keys() - not_of_the_run
    assert quick.main(["task=verify", f"run={bucket}/out/run"]) == 0
    assert quick.main(["task=status", f"run={bucket}/out/run", "json=true"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["state"] == "finished"
    (worker,) = read_journals(run_dir).workers
    assert worker.sessions[0].counts.clips == 7
    assert quick.main(command(bucket)) == 0
    assert len(quick) == 2, "nothing is made twice"


def test_a_stopped_run_behind_an_address_goes_on(bucket: str, quick: FakeModel) -> None:
    countdown = iter([True] * 3)

    def until_ctrl_c(utterance: Utterance) -> Clip:
        if not next(countdown, False):
            raise KeyboardInterrupt
        return speak(utterance)

    assert main(command(bucket), loader_of(lambda *_, **__: FakeSynthesizer(until_ctrl_c))) == 130
    run_dir = resolve_path(f"{bucket}/out/run")
    assert len(hashes(run_dir)) == 2
    assert quick.main(command(bucket)) == 0
    assert sum(len(synthesizer.asked) for synthesizer in quick) == 5
    assert quick.main(["task=verify", f"run={bucket}/out/run"]) == 0


def test_a_changed_text_behind_an_address_costs_its_own_clip(bucket: str, quick: FakeModel) -> None:
    """Guards the move of an earlier plan in a store without renames."""
    assert quick.main(command(bucket)) == 0
    arguments = command(bucket)
    texts = resolve_path(f"{bucket}/in/texts.jsonl")
    write_text(texts, texts.read_text(encoding="utf-8").replace("number 3", "number thirteen"))
    assert quick.main(arguments) == 0
    assert [len(synthesizer.asked) for synthesizer in quick] == [7, 1]
    assert quick.main(["task=verify", f"run={bucket}/out/run"]) == 0


def test_a_book_behind_an_address(bucket: str, quick: FakeModel) -> None:
    write_text(
        resolve_path(f"{bucket}/in/lamp.md"), "# The Lamp\n\n## One\n\nMr. Grey lit the lamp.\n\n## Two\n\nIt smoked.\n"
    )
    arguments = [f"input={bucket}/in/lamp.md", f"output_dir={bucket}/out", "name=lamp"]
    assert quick.main(arguments) == 0
    names = file_sizes(resolve_path(f"{bucket}/out/lamp/book")).keys()
    assert {Path(name).suffix for name in names} >= {".m4b", ".flac", ".json"}
    assert quick.main(["task=verify", f"run={bucket}/out/lamp"]) == 0
    assert quick.main(arguments) == 0


def test_what_is_lost_behind_an_address_is_missed(
    bucket: str, quick: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quick.main(command(bucket)) == 0
    run_dir = resolve_path(f"{bucket}/out/run")
    (run_dir / "data" / "train-00001-of-00004.parquet").unlink()
    content = (run_dir / "README.md").read_bytes()
    (run_dir / "README.md").write_bytes(content + b" ")
    assert quick.main(["task=verify", f"run={bucket}/out/run"]) == 4
    printed = capsys.readouterr().out
    assert "data/train-00001-of-00004.parquet" in printed
    assert "README.md" in printed


def test_an_object_is_put_whole_or_not_at_all(store: type[StrictStore]) -> None:  # noqa: F811
    """Guards atomic writes in a store: a failed block uploads nothing."""
    path = resolve_path("s3://bucket/a/b.txt")
    with pytest.raises(UnicodeEncodeError), write_atomically(path) as temporary:
        temporary.write_text("half \ud800", encoding="utf-8")
    assert store.puts == []
    with write_atomically(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"


def test_a_full_store_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise PermissionError("quota exceeded")

    monkeypatch.setattr(StrictStore, "put_file", full)
    with pytest.raises(RunDirectoryError, match=r"s3://bucket/x.*quota exceeded"):
        write_text(resolve_path("s3://bucket/x"), "text")


def test_a_folder_moves_with_its_mark_last(store: type[StrictStore]) -> None:  # noqa: F811
    """Guards against a plan that counts as complete while only half of it has been moved."""
    for name in ("plan.json", "shard-00000.jsonl", "shard-00001.jsonl"):
        write_text(resolve_path(f"s3://bucket/old/{name}"), name)
    store.puts.clear()
    move_folder(resolve_path("s3://bucket/old"), resolve_path("s3://bucket/new"), last="plan.json")
    assert file_sizes(resolve_path("s3://bucket/old")) == {}
    assert sorted(file_sizes(resolve_path("s3://bucket/new"))) == [
        "plan.json",
        "shard-00000.jsonl",
        "shard-00001.jsonl",
    ]


def put_lease(run_dir: Path, token: str) -> None:
    """Write the lease of an active run on another machine."""
    write_text(run_dir / ".lease", json.dumps({"owner": "another machine", "token": token, "renewed": time.time()}))


def test_a_lease_keeps_a_second_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir = resolve_path("s3://bucket/run")
    with hold_lease(run_dir):
        with pytest.raises(RunDirectoryError, match=rf"\b{os.getpid()}\b"), hold_lease(run_dir):
            pass
        monkeypatch.setattr(lease, "LEASE_SECONDS", -1.0)  # as if the first had been silent for long
        with hold_lease(run_dir):
            pass
    assert file_sizes(run_dir) == {}


def test_of_two_that_start_at_once_the_last_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards two runs that start at the same time and both find no lease."""
    run_dir = resolve_path("s3://bucket/run")

    def while_it_settles(_: float) -> None:
        monkeypatch.setattr(lease.time, "sleep", lambda _: None)
        put_lease(run_dir, "of the other")

    monkeypatch.setattr(lease.time, "sleep", while_it_settles)
    with pytest.raises(RunDirectoryError, match="another machine"), hold_lease(run_dir):
        pass


def test_a_lease_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir = resolve_path("s3://bucket/run")
    monkeypatch.setattr(lease, "_RENEWAL_SECONDS", 0.01)
    with hold_lease(run_dir):
        first = lease.read_lease(run_dir)
        waited: Any = None
        for _ in range(500):
            lease.time.sleep(0.01)
            waited = lease.read_lease(run_dir)
            if first and waited and waited.renewed > first.renewed:
                break
        assert waited.renewed > first.renewed  # type: ignore[union-attr]


def stop(*_: object) -> None:
    """Handle SIGTERM like `__main__`."""
    raise Terminated


@pytest.mark.parametrize("on_ctrl_c", [signal.default_int_handler, signal.SIG_IGN])
def test_a_run_that_was_followed_stops(
    on_ctrl_c: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Guards a lease that another machine takes over while this one is suspended.

    Bug: a background job of a shell, which ignores SIGINT, continued.
    """
    for number, handler in ((signal.SIGINT, on_ctrl_c), (signal.SIGTERM, stop)):
        request.addfinalizer(partial(signal.signal, number, signal.signal(number, handler)))
    run_dir = resolve_path("s3://bucket/run")
    monkeypatch.setattr(lease, "_RENEWAL_SECONDS", 0.2)
    began = time.monotonic()

    def work() -> None:
        with hold_lease(run_dir):
            put_lease(run_dir, "of another")
            lease.time.sleep(20)

    with pytest.raises(RunDirectoryError, match="s3://bucket/run"):
        work()
    assert time.monotonic() - began < 10, "also out of a wait"
    assert lease.read_lease(run_dir).token == "of another"  # type: ignore[union-attr]


def test_of_a_process_of_this_machine_the_system_knows(store: type[StrictStore]) -> None:  # noqa: F811
    """Guards a killed and restarted run against minutes of waiting for the lease."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    left = {"owner": f"process {process.pid} on {platform.node()}", "token": "t", "renewed": time.time()}
    store.objects["bucket/run/.lease"] = json.dumps(left).encode()
    with hold_lease(resolve_path("s3://bucket/run")):
        pass
    assert store.objects == {}


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet", "a.txt", "a.md"])
def test_every_format_is_read_from_an_address(name: str, tmp_path: Path) -> None:
    rows = [{"text": "One."}, {"text": "Two."}]
    path = resolve_path(f"memory://bucket/{tmp_path.name}/{name}")
    if name.endswith("parquet"):
        with write_atomically(path) as temporary:
            pq.write_table(pa.Table.from_pylist(rows), temporary)
    else:
        lines = {"a.jsonl": [json.dumps(row) for row in rows], "a.csv": ["text", "One.", "Two."]}
        write_text(path, "\n".join(lines.get(name, ["One.", "", "Two."])) + "\n")
    texts = " ".join(document.text for document in read_documents(str(path), SourceConfig()))
    assert texts.split() == ["One.", "Two."]


def test_a_long_table_is_never_held_whole(store: type[StrictStore]) -> None:  # noqa: F811
    """Guards memory: the first row is available before the second half of the file is read."""
    path = resolve_path("memory://bucket/long.jsonl")
    path.write_text("".join(json.dumps({"text": f"{n} " + "x" * 1000}) + "\n" for n in range(20_000)))
    documents = read_documents("memory://bucket/long.jsonl", SourceConfig())
    assert next(documents).text.startswith("0 ")
    assert sum(1 for _ in documents) == 19_999
    path.unlink()


def test_addresses_that_lead_nowhere_are_one_line() -> None:
    with pytest.raises(ConfigError, match="nonsense://x"):
        resolve_path("nonsense://x")
    with pytest.raises(SourceError, match=r"memory://bucket/nowhere\.jsonl"):
        list(read_documents("memory://bucket/nowhere.jsonl", SourceConfig()))
    assert is_local(resolve_path("~/x"))
    assert main(["task=preview", "text=Hello.", "output_dir=memory://x"]) == 2


def test_a_file_that_goes_while_a_folder_is_listed_hides_no_other(tmp_path: Path) -> None:
    """Guards `task=status` against temporary files that an active run deletes meanwhile."""
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "d").write_text("dd")
    assert file_sizes(tmp_path) == {"a": 1, "b": 1, "c": 1, "folder/d": 2}
    assert file_sizes(tmp_path / "nowhere") == {}
