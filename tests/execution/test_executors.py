"""Whole runs with real worker processes: the same bytes whichever worker generates them, also after crashes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import fakes
import pytest
from fakes import Checkpoints, FakeSynthesizer, loader_of

from pipeline.__main__ import main
from pipeline.execution.local import worker_specs
from pipeline.outputs.dataset.shards import finished_shards
from pipeline.reporting.journal import read_journals
from pipeline.synthesis.untrained import UntrainedShape

TINY = UntrainedShape(mean_seconds=0.4, codec_hidden=24)
LOCAL = ("executor=local", "executor.devices=[cpu,cpu]", "executor.backoff_seconds=0")
Build = Callable[..., FakeSynthesizer]


def command(folder: Path, texts: list[str], *more: str) -> list[str]:
    table = folder / "texts.jsonl"
    table.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return ["task=dataset", f"input={table}", f"output_dir={folder}", "name=run", "planning.shard_size=4", *more]


def hashes(run_dir: Path) -> dict[str, str]:
    return {clip.id: clip.audio_sha256 for manifest in finished_shards(run_dir) for clip in manifest.clips}


def rejects(run_dir: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run_dir / "rejects.jsonl").read_text().splitlines()]


def numbered(count: int) -> list[str]:
    return [f"This is number {n}." for n in range(count)]


def test_one_worker_three_workers_and_two_jobs_generate_the_same_bytes(
    tmp_path: Path, checkpoint_of: Checkpoints, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards against clips that depend on the executor or on the number of workers, with the real engine."""
    arguments = command(tmp_path, numbered(9), f"model={checkpoint_of(TINY)}", "checks.length_ratio=0")
    arguments.append("planning.shard_size=2")
    assert main(arguments) == 0
    expected = hashes(tmp_path / "run")
    assert len(expected) == 9
    assert main([*arguments, "name=three", "executor=local", "executor.devices=[cpu,cpu,cpu]"]) == 0
    assert hashes(tmp_path / "three") == expected
    jobs = [*arguments, "name=jobs", "num_jobs=2"]
    assert main([*jobs, "job_index=0"]) == 0
    assert [manifest.index for manifest in finished_shards(tmp_path / "jobs")] == [0, 2, 4]
    assert "3 of 5 shards" in capsys.readouterr().err
    assert not (tmp_path / "jobs" / "report.json").exists()
    assert main([*jobs, "job_index=1"]) == 0
    assert hashes(tmp_path / "jobs") == expected
    for name in ("three", "jobs"):
        assert main(["task=verify", f"run={tmp_path / name}"]) == 0
    assert "num_jobs: 1" in (tmp_path / "jobs" / "config.yaml").read_text()


def test_an_utterance_that_crashes_workers_is_rejected_and_all_others_are_generated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards a run against an utterance on which the process aborts, and the utterances beside it."""
    texts = [*numbered(2), "This is poison.", *numbered(6)[3:]]
    loader = loader_of(fakes.build_mortal)
    assert main(command(tmp_path, texts, *LOCAL), loader) == 0
    run_dir = tmp_path / "run"
    (reject,) = rejects(run_dir)
    assert (reject["text"], reject["reason"], reject["takes"]) == (texts[2], "worker_died: ended by SIGABRT", 1)
    before = hashes(run_dir)
    assert len(before) == 5
    assert main(["task=verify", f"run={run_dir}"]) == 0
    assert "SIGABRT" in capsys.readouterr().err
    assert any("SIGABRT" in failure.what for failure in read_journals(run_dir).failures)
    assert json.loads((run_dir / "report.json").read_text())["session"]["num_restarts"] >= 3
    untouched = (run_dir / "data" / "train-00001-of-00002.parquet").stat().st_mtime_ns

    retry = ["task=retry_rejects", f"run={run_dir}"]
    assert main(retry, loader) == 0
    (again,) = rejects(run_dir)
    assert again["takes"] == 2
    assert len(set(again["seeds"])) == 2, "the retry used another seed"  # type: ignore[arg-type]
    assert hashes(run_dir) == before

    assert main(retry, loader_of(fakes.build_fake)) == 0
    assert rejects(run_dir) == []
    after = hashes(run_dir)
    assert len(after) == 6
    assert before.items() <= after.items()
    assert (run_dir / "data" / "train-00001-of-00002.parquet").stat().st_mtime_ns == untouched
    assert main(["task=verify", f"run={run_dir}"]) == 0
    assert not (run_dir / ".pieces").exists()
    assert main(retry, loader_of(fakes.build_broken)) == 0, "no model is loaded when there is nothing to retry"


def test_a_worker_that_hangs_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Guards against a run that waits forever for one utterance."""
    texts = [*numbered(3), "Sleep now, please.", *numbered(8)[4:]]
    arguments = command(tmp_path, texts, *LOCAL, "executor.hang_seconds=30", f"voice.description={tmp_path / 'slept'}")
    assert main(arguments, loader_of(fakes.build_drowsy)) == 0
    assert "hung: " in capsys.readouterr().err
    assert any("30 s" in failure.what for failure in read_journals(tmp_path / "run").failures)
    assert len(hashes(tmp_path / "run")) == 8


@pytest.mark.parametrize(
    ("build", "code", "complaint"),
    [(fakes.build_broken, 2, "the weights are damaged"), (fakes.build_full_disk, 3, "there is no space left")],
)
def test_an_error_that_the_user_has_to_correct_ends_the_run_at_once(
    build: Build, code: int, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards against endless restarts, and an error or exit code that differs from that of executor=inline."""
    assert main(command(tmp_path, numbered(4), *LOCAL), loader_of(build)) == code
    assert f"error: {complaint}" in capsys.readouterr().err


def start(arguments: list[str], build: Build = fakes.build_slow) -> subprocess.Popen[str]:
    """Start a run in another process."""
    program = (
        "import sys, fakes; from pipeline.__main__ import main\n"
        f"sys.exit(main(sys.argv[1:], fakes.loader_of(fakes.{build.__name__})))"
    )
    path = os.pathsep.join(map(str, Path(__file__).parents[1:3]))
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    )


def wait_for_shards(run_dir: Path, number: int) -> None:
    deadline = time.monotonic() + 60
    while len(list(run_dir.glob("data/train-*"))) < number:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_empty(group: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_a_run_that_is_ended_leaves_no_worker_and_can_be_resumed(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    """Guards against workers that outlive their run and write into the files of the next one."""
    arguments = command(tmp_path, numbered(400), *LOCAL)  # long enough to be working while another run is refused
    process = start(arguments)
    try:
        wait_for_shards(tmp_path / "run", 2)
        second = subprocess.run(
            [sys.executable, "-m", "pipeline", *arguments], stderr=subprocess.PIPE, text=True, check=False
        )
        assert re.search(rf"\b{process.pid}\b", second.stderr)
        assert second.returncode == 3
        if number is signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.send_signal(number)
        assert process.wait(30) == code
        assert is_empty(process.pid)
    finally:
        process.kill()
        error = process.stderr.read() if process.stderr else ""
        process.communicate()
    if number is not signal.SIGKILL:
        assert not list((tmp_path / "run").rglob(".*.tmp"))
    assert "Traceback" not in error
    alone = [argument for argument in arguments if argument not in LOCAL]
    assert main(alone, loader_of(fakes.build_fake)) == 0
    assert len(hashes(tmp_path / "run")) == 400
    assert main(["task=verify", f"run={tmp_path / 'run'}"]) == 0


def test_workers_ignore_ctrl_c(tmp_path: Path) -> None:
    """Bug: after Ctrl-C the first worker sometimes wrote a traceback to the terminal."""
    process = start(command(tmp_path, numbered(9), *LOCAL), fakes.build_interrupted)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in error
    assert read_journals(tmp_path / "run").failures == ()
    assert len(hashes(tmp_path / "run")) == 9


def test_a_worker_sees_one_gpu_and_those_on_the_cpu_share_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against workers that all use the first GPU, and against more threads than cores."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [(spec.device, spec.visible_gpu) for spec in worker_specs("ab", ["cuda:0", "cuda:3"], 8)] == [
        ("cuda", "0"),
        ("cuda", "3"),
    ]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert [spec.visible_gpu for spec in worker_specs("ab", ["cuda:0", "cuda:1"], 8)] == ["5", "7"]
    assert [spec.num_threads for spec in worker_specs("abc", ["cpu"] * 3, 8)] == [2, 2, 2]
    assert [spec.num_threads for spec in worker_specs("abc", ["cpu"] * 3, 2)] == [1, 1, 1]
