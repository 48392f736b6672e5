"""`task=status`: the state of a run, read from its files."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from pipeline.errors import RunDirectoryError
from pipeline.outputs.dataset.shards import Manifest, WrittenClip
from pipeline.planning.plan_store import PlanHead
from pipeline.quality.flaws import reason_codes
from pipeline.reporting.as_json import status_values
from pipeline.reporting.journal import Journal
from pipeline.reporting.status import read_status, render_status
from pipeline.storage.atomic import write_text

START = 1_000_000.0


def make_run(run_dir: Path, num_shards: int = 4, done: int = 2) -> Path:
    """Write a run with ten utterances per shard, one of which is rejected; each clip has 5 s."""
    head = PlanHead("f", num_shards, 10 * num_shards, 50.0 * num_shards, "T", "A", "en", (), "h", (50.0,) * num_shards)
    write_text(run_dir / "plan" / "plan.json", json.dumps(asdict(head)))
    write_text(run_dir / "config.yaml", "input: story\n")
    for index in range(done):
        file = f"train-{index:05d}-of-{num_shards:05d}.parquet"
        write_text(run_dir / "data" / file, "audio")
        clips = tuple(WrittenClip(f"{index}-{n}", "key", "hash") for n in range(9))
        reject = {"id": f"{index}-9", "reason": "silent: nothing above -60 dBFS; limit: still speaking"}
        manifest = Manifest(index, num_shards, file, 5, "s", "f", "p", 45.0, 9.0, clips, (reject,))
        write_text(run_dir / "manifests" / f"shard-{index:05d}.json", json.dumps(asdict(manifest)))
    return run_dir


def working(run_dir: Path, worker: str, device: str, speed: float, seconds: int = 60) -> Journal:
    """Write the journal of a worker that generates `speed` seconds of audio per second."""
    now = [START]
    journal = Journal(run_dir, worker, device, wall=lambda: now[0], monotonic=lambda: now[0])
    journal.__enter__()
    for _ in range(seconds):
        now[0] += 1
        journal.record_take(speed, True, 1.0)
    return journal


def status_of(run_dir: Path, now: float = START + 60) -> str:
    return render_status(read_status(run_dir, now=now))


def test_a_working_run_has_a_speed_and_a_predicted_end(tmp_path: Path) -> None:
    """Guards the figures of a run with several workers."""
    run_dir = make_run(tmp_path / "run")
    (run_dir / ".writer").write_text(f"process {os.getpid()} on {platform.node()}")
    working(run_dir, "cuda-0", "cuda:0", speed=3.0)
    working(run_dir, "cuda-1", "cuda:1", speed=2.0).record_failure("out of memory")
    status = read_status(run_dir, now=START + 60)
    assert status.rate == pytest.approx(5.0, rel=0.02)
    # 20 utterances are left, each of which came to 4.5 s of audio so far.
    assert status.seconds_left == pytest.approx(20 * 4.5 / 5.0, rel=0.02)
    text = render_status(status)
    for facts in (
        rf"\b{os.getpid()}\b",
        r"\b2 of 4 \(50%\)",
        r"\b18\b.*\b2\b",  # clips and rejects
        r"\b2 silent\b.*\b2 limit\b",
        r"\b5\.00x.*\b2\b",  # speed and workers
        r"\bcuda-1\b.*out of memory",
    ):
        assert re.search(facts, text), facts
    assert status_values(status)["state"] == "working"


@pytest.mark.parametrize(
    ("reason", "codes"),
    [
        ("limit: still speaking at the limit of 430 frames (5.00 s)", ["limit"]),
        ("silent: loudest 50 ms at -90.0 dBFS, limit -60; length: 0.10 s, predicted 1.00 s", ["silent", "length"]),
        ("too-long: 600 tokens are more than the 512 positions of the model; give a smaller value", ["too-long"]),
        ("worker_died: RuntimeError: no kernel image; compile with TORCH_USE_CUDA_DSA", ["worker_died"]),
        ("only symbols", ["only symbols"]),
    ],
)
def test_rejects_are_counted_by_the_codes_of_their_reasons(reason: str, codes: list[str]) -> None:
    """Bug: advice after a semicolon was counted as another reason."""
    assert reason_codes(reason) == codes


def test_a_killed_worker_is_not_counted_as_speed(tmp_path: Path) -> None:
    """Guards the predicted end against a worker that has died."""
    run_dir = make_run(tmp_path / "run")
    (run_dir / ".writer").write_text("process 1 on another-machine")
    working(run_dir, "cuda-0", "cuda:0", speed=3.0)
    working(run_dir, "cuda-1", "cuda:1", speed=2.0, seconds=400)
    values = status_values(read_status(run_dir, now=START + 400))
    assert values["speed"] == pytest.approx(2.0, rel=0.02)
    assert {worker["name"]: worker["is_working"] for worker in values["workers"]} == {"cuda-0": False, "cuda-1": True}
    assert values["state"] == "working", "a process on another machine may be alive"
    assert re.search(r"\b2\.00x.*\b1\b", status_of(run_dir, now=START + 400))


def test_the_status_names_a_process_that_died(tmp_path: Path) -> None:
    """Guards against the state "working" after the process was killed."""
    run_dir = make_run(tmp_path / "run")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (run_dir / ".writer").write_text(f"process {dead.pid} on {platform.node()}")
    working(run_dir, "main", "cpu", speed=3.0)
    status = read_status(run_dir, now=START + 60)
    assert status.seconds_left is None
    assert status_values(status)["state"] == "stopped"
    assert re.search(rf"\b{dead.pid}\b", render_status(status))


def state_of(run_dir: Path) -> str:
    return str(status_values(read_status(run_dir, now=START + 60))["state"])


def test_a_run_is_finished_when_its_checksums_are_written(tmp_path: Path) -> None:
    """Guards against "finished" while the book is still missing."""
    run_dir = make_run(tmp_path / "run", done=4)
    texts = [status_of(run_dir)]
    assert state_of(run_dir) == "unfinished"
    write_text(run_dir / "report.json", "{}")
    assert state_of(run_dir) == "unfinished", "the book may be missing"
    write_text(run_dir / "SHA256SUMS", "")
    assert state_of(run_dir) == "finished"
    assert status_of(run_dir) not in texts, "the text differs as well"


def test_an_incomplete_plan_has_a_status(tmp_path: Path) -> None:
    """Guards against an error while the plan is being written, or after that was interrupted."""
    folder = tmp_path / "run" / ".plan-next"
    for index in range(3):
        write_text(folder / f"shard-{index:05d}.jsonl", "{}\n")
    assert state_of(tmp_path / "run") == "unplanned"
    (tmp_path / "run" / ".writer").write_text(f"process {os.getpid()} on {platform.node()}")
    assert state_of(tmp_path / "run") == "planning"
    assert re.search(r"\b3\b", status_of(tmp_path / "run").removeprefix(str(tmp_path / "run")))


def test_damaged_files_are_named_and_the_others_counted(tmp_path: Path) -> None:
    """Guards the status of a run against one damaged file."""
    run_dir = make_run(tmp_path / "run", done=4)
    (run_dir / "manifests" / "shard-00001.json").write_text("{")
    (run_dir / "data" / "train-00002-of-00004.parquet").write_text("cut")
    (run_dir / "journal").mkdir()
    (run_dir / "journal" / "main.jsonl").write_bytes(b"\xff\x00{")
    text = status_of(run_dir)
    assert "2 of 4 (50%)" in text
    assert "shard-00001.json" in text
    assert re.search(r"train-00002-of-00004\.parquet.*\b3\b.*\b5\b", text), "its bytes, and those of the manifest"
    (run_dir / "plan" / "plan.json").write_text("{")
    assert state_of(run_dir) == "damaged"
    assert "plan.json" in status_of(run_dir)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    """Guards against zeros for a mistyped folder."""
    with pytest.raises(RunDirectoryError, match=f"run={tmp_path / 'nowhere'}"):
        read_status(tmp_path / "nowhere")
    with pytest.raises(RunDirectoryError, match=r"config\.yaml"):
        read_status(tmp_path)


def test_status_changes_no_file(tmp_path: Path) -> None:
    """Guards a working run against the command that watches it."""
    run_dir = make_run(tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in run_dir.rglob("*")}
    status_of(run_dir)
    assert {path: path.stat().st_mtime_ns for path in run_dir.rglob("*")} == before
