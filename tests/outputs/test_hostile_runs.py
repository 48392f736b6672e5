"""Runs with unexpected files: pipes, loops of links, impossible numbers. Each is reported, and nothing hangs."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeSynthesizer
from test_verify import make_run

from pipeline.__main__ import main
from pipeline.commands.verify import verify
from pipeline.config import Config, TaskConfig
from pipeline.errors import RunDirectoryError
from pipeline.planning.plan_store import PlanHead
from pipeline.reporting.status import read_status, render_status
from pipeline.storage.paths import file_sizes


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished run with the head of a plan, a journal and the tag of a lock holder."""
    run_dir = make_run(tmp_path_factory.mktemp("made"))
    path = run_dir / "plan" / "plan.json"
    head = json.loads(path.read_text())
    whole = PlanHead("f00d", 4, 7, 2.0, "T", "A", "en", (), head["plan_hash"], (1.0,) * 4, format_version=2)
    path.write_text(json.dumps(asdict(whole)))
    (run_dir / "journal").mkdir()
    (run_dir / "journal" / "main.jsonl").write_text("{}\n")
    (run_dir / ".writer").write_text("process 1 on there")
    return run_dir


@pytest.fixture
def run_dir(made_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_once, tmp_path / "run"))


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt("it hangs")  # no OSError, which would be told of as a finding

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def found_by_verify(run_dir: Path) -> str:
    asked = replace(Config(), task=TaskConfig("verify"), run=str(run_dir))
    try:
        return "\n".join(verify(asked, FakeSynthesizer).problems)
    except RunDirectoryError as error:
        return str(error)


def found_by_status(run_dir: Path) -> str:
    try:
        return render_status(read_status(run_dir))
    except RunDirectoryError as error:
        return str(error)


def loop(path: Path) -> None:
    path.symlink_to(path)


def enormous(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def nested(path: Path) -> None:
    path.write_text("[" * 200_000)


# What each command opens. Sums and audio of a book are read as bytes by `verify` alone.
OF_STATUS = ["plan/plan.json", "manifests/shard-00001.json", "journal/main.jsonl", ".writer"]
OF_VERIFY = [
    *OF_STATUS[:2],
    *("plan/shard-00001.jsonl", "data/train-00001-of-00004.parquet", "config.yaml", "README.md", "report.json"),
    *("durations.png", "rejects.jsonl", "SHA256SUMS", "book/book.json", "book/all.m4b"),
]


@pytest.mark.parametrize("make", [os.mkfifo, loop, Path.mkdir], ids=["pipe", "loop", "folder"])
def test_what_is_no_regular_file_is_named_and_not_waited_for(run_dir: Path, make: Callable[[Path], Any]) -> None:
    """Bug: verify and status blocked on a named pipe, or ended with a traceback."""
    names = OF_VERIFY if make is os.mkfifo else OF_VERIFY[:4]
    of_status = [name for name in OF_STATUS if make is not Path.mkdir or "shard" not in name]  # not finished, it says
    for find, opened in ((found_by_verify, names), (found_by_status, of_status)):
        for name in opened:
            path = run_dir / name
            path.rename(run_dir.parent / "kept")
            make(path)
            found = find(run_dir)
            assert path.name in found, (find, name)
            path.rmdir() if make is Path.mkdir else path.unlink()
            (run_dir.parent / "kept").rename(path)


@pytest.mark.parametrize("make", [enormous, nested])
@pytest.mark.parametrize("name", ["plan/plan.json", "manifests/shard-00001.json", "book/book.json"])
def test_what_is_too_large_or_too_deep_is_named(run_dir: Path, make: Callable[[Path], None], name: str) -> None:
    """Bug: a file of a terabyte was read into memory, and nested brackets raised RecursionError."""
    (run_dir / name).unlink()
    make(run_dir / name)
    assert Path(name).name in found_by_verify(run_dir)
    if "book" not in name:
        assert Path(name).name in found_by_status(run_dir)


@pytest.mark.parametrize("name", OF_VERIFY[::2])
def test_a_file_without_permission_is_named(run_dir: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: an unreadable file caused a traceback. The error is simulated, because root can read all files."""
    real = os.open

    def refuse(path: Any, *more: Any, **options: Any) -> int:
        if str(path) == str(run_dir / name):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *more, **options)

    monkeypatch.setattr(os, "open", refuse)
    found = found_by_verify(run_dir)
    assert any(name in line and "Permission denied" in line for line in found.split("\n")), found


@pytest.mark.parametrize("folder", ["plan", "manifests", "data", ""])
def test_a_folder_without_permission_is_named(run_dir: Path, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def refuse(path: Any = ".") -> Any:
        if str(path) == str(run_dir / folder):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    for find in (found_by_verify, found_by_status):
        assert "Permission denied" in find(run_dir) or (find is found_by_status and folder in ("plan", ""))


def test_a_loop_of_folders_is_listed_once_and_found(run_dir: Path) -> None:
    """Bug: a link to its own folder was followed until the path was too long."""
    (run_dir / "data" / "loop").symlink_to(run_dir)
    assert file_sizes(run_dir)["data/loop"] == 0
    assert "data/loop: " in found_by_verify(run_dir)
    (run_dir.parent / "other").mkdir()
    (run_dir.parent / "other" / "file").write_text("x")
    (run_dir / "linked").symlink_to(run_dir.parent / "other")
    assert "linked/file" in file_sizes(run_dir), "a folder on another disk is part of the run"


@pytest.mark.parametrize("value", [300_000_000, -1, "x", 1.5, None, float("inf")])
def test_a_number_of_shards_that_cannot_be_is_refused(run_dir: Path, value: object) -> None:
    """Bug: three hundred million missing shards were listed one by one, and text was compared with numbers."""
    path = run_dir / "plan" / "plan.json"
    head = json.loads(path.read_text())
    path.write_text(json.dumps({**head, "num_shards": value}))
    for find in (found_by_verify, found_by_status):
        found = find(run_dir)
        assert "plan.json" in found
        assert len(found) < 200_000
    path.write_text(json.dumps({**head, "shard_seconds": [1.0], "num_shards": value}))
    assert "plan.json" in found_by_status(run_dir)


@pytest.mark.parametrize("task", ["verify", "status"])
def test_the_commands_end_without_a_traceback(run_dir: Path, task: str, capsys: pytest.CaptureFixture[str]) -> None:
    (run_dir / "plan" / "plan.json").unlink()
    os.mkfifo(run_dir / "plan" / "plan.json")
    assert main([f"task={task}", f"run={run_dir}"]) == (3 if task == "verify" else 0)
    printed = capsys.readouterr()
    assert "plan.json" in printed.out + printed.err
    assert "Traceback" not in printed.out + printed.err


@pytest.mark.parametrize("value", ["x", None, float("nan"), 1e300])
@pytest.mark.parametrize("key", ["audio_seconds", "num_bytes"])
def test_a_manifest_with_impossible_numbers_is_damaged(run_dir: Path, key: str, value: object) -> None:
    """Bug: impossible numbers in journals were summed, and a date out of range raised an exception."""
    path = run_dir / "manifests" / "shard-00001.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    assert path.name in found_by_status(run_dir)
    assert path.name in found_by_verify(run_dir)


def test_times_in_a_journal_that_are_no_dates_are_passed_over(run_dir: Path) -> None:
    lines = [{"event": "failure", "time": time, "elapsed": 0.0, "what": "x"} for time in (1e300, float("nan"), 1e9)]
    (run_dir / "journal" / "main.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert len(read_status(run_dir).history.failures) == 1
