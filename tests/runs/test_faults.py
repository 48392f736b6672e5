"""Faults of the machine: full disks, damaged files, jumping clocks."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import Checkpoints, FakeModel, FakeSynthesizer, loader_of, speak

from pipeline.__main__ import main
from pipeline.commands import retry as retry_module
from pipeline.config.frozen import frozen_config
from pipeline.outputs.dataset import deliverable
from pipeline.outputs.dataset.shards import finished_shards
from pipeline.synthesis.untrained import UntrainedShape

NUM_TEXTS = 12


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def command(folder: Path, output: Path) -> list[str]:
    table = folder / "texts.jsonl"
    table.write_text("".join(json.dumps({"text": f"This is number {n}."}) + "\n" for n in range(NUM_TEXTS)))
    return ["task=dataset", f"input={table}", f"output_dir={output}", "name=run", "planning.shard_size=2"]


def hashes(run_dir: Path) -> dict[str, str]:
    return {clip.id: clip.audio_sha256 for manifest in finished_shards(run_dir) for clip in manifest.clips}


def fill(path: Path) -> None:
    """Fill the disk."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(1024)):
            pass


def test_a_run_keeps_finished_work_on_a_full_disk_and_resumes_when_there_is_space(
    tmp_path: Path, small_disk: Path, fake_model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards finished shards, and the error message, on a real file system without space."""
    arguments = command(tmp_path, small_disk)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(110_000))
    assert fake_model.main(arguments) == 3, "refused before it starts"
    assert "check_disk=false" in capsys.readouterr().err
    assert fake_model == []
    assert fake_model.main([*arguments, "check_disk=false"]) == 3
    error = capsys.readouterr().err
    assert "No space left on device" in error
    assert str(small_disk / "run") in error
    survived = hashes(small_disk / "run")
    assert 0 < len(survived) < NUM_TEXTS
    assert not list(small_disk.rglob(".*.tmp"))
    fill(small_disk / "more ballast")
    code = fake_model.main([*arguments, "check_disk=false"])
    assert code == 3, "there is no space for the lock file either"
    assert "No space left on device" in capsys.readouterr().err
    (small_disk / "more ballast").unlink()
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    assert fake_model.main(arguments) == 0
    assert survived.items() <= hashes(small_disk / "run").items()
    assert len(fake_model[1].asked) == NUM_TEXTS - len(survived)
    assert fake_model.main(["task=verify", f"run={small_disk / 'run'}"]) == 0


def test_a_read_only_folder_is_refused_before_a_model_loads(
    tmp_path: Path, small_disk: Path, fake_model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards against a traceback after the model was loaded."""
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert fake_model.main(command(tmp_path, small_disk)) == 3
    error = capsys.readouterr().err
    assert "Read-only file system" in error
    assert "output_dir=" in error
    assert fake_model == []


def test_status_is_finished_only_when_all_files_are_of_the_current_text(
    tmp_path: Path,
    fake_model: FakeModel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Bug: the report of an earlier text was enough for "finished", while card, report and checksums were not those of
    the new text."""
    arguments, run_dir = command(tmp_path, tmp_path), tmp_path / "run"
    assert fake_model.main(arguments) == 0
    (tmp_path / "texts.jsonl").write_text('{"text": "This is another text."}\n')

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(deliverable, "write_card", interrupt)
        assert fake_model.main(arguments) == 130
    capsys.readouterr()
    assert fake_model.main(["task=status", f"run={run_dir}", "json=true"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "unfinished"
    assert fake_model.main(arguments) == 0
    capsys.readouterr()
    assert fake_model.main(["task=status", f"run={run_dir}", "json=true"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "finished"


def truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)


def test_a_truncated_shard_is_generated_again(tmp_path: Path, fake_model: FakeModel) -> None:
    """Guards against a resumed run that takes a truncated file for a finished shard."""
    arguments, run_dir = command(tmp_path, tmp_path), tmp_path / "run"
    assert fake_model.main(arguments) == 0
    before = hashes(run_dir)
    truncate(run_dir / "data" / "train-00002-of-00006.parquet")
    assert fake_model.main(["task=verify", f"run={run_dir}"]) == 4
    assert fake_model.main(arguments) == 0
    assert len(fake_model[1].asked) == 2
    assert hashes(run_dir) == before
    assert fake_model.main(["task=verify", f"run={run_dir}"]) == 0


def test_an_altered_shard_is_found_by_verify_and_generated_again_when_deleted(
    tmp_path: Path, fake_model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards against a changed byte that nothing detects."""
    arguments, run_dir = command(tmp_path, tmp_path), tmp_path / "run"
    assert fake_model.main(arguments) == 0
    before, path = hashes(run_dir), run_dir / "data" / "train-00002-of-00006.parquet"
    alter(path)
    assert fake_model.main(["task=verify", f"run={run_dir}"]) == 4
    assert "train-00002-of-00006.parquet" in capsys.readouterr().out
    path.unlink()
    assert fake_model.main(arguments) == 0
    assert hashes(run_dir) == before
    assert fake_model.main(["task=verify", f"run={run_dir}"]) == 0


def test_a_shard_of_another_config_is_replaced(tmp_path: Path, fake_model: FakeModel) -> None:
    """Guards a dataset against files that were copied into it from another run."""
    arguments = command(tmp_path, tmp_path)
    assert fake_model.main([*arguments, "name=other", "seed=7"]) == 0
    assert fake_model.main(arguments) == 0
    before = hashes(tmp_path / "run")
    for name in ("data/train-00001-of-00006.parquet", "manifests/shard-00001.json"):
        (tmp_path / "run" / name).write_bytes((tmp_path / "other" / name).read_bytes())
    assert hashes(tmp_path / "run") != before
    assert fake_model.main(arguments) == 0
    assert len(fake_model[2].asked) == 2
    assert hashes(tmp_path / "run") == before
    assert fake_model.main(["task=verify", f"run={tmp_path / 'run'}"]) == 0


def test_a_shard_of_an_older_text_is_generated_again(tmp_path: Path, fake_model: FakeModel) -> None:
    """Guards against a shard of another text, e.g. after two calls with different texts at the same time."""
    arguments, run_dir = command(tmp_path, tmp_path), tmp_path / "run"
    assert fake_model.main(arguments) == 0
    kept = {
        name: (run_dir / name).read_bytes()
        for name in ("data/train-00001-of-00006.parquet", "manifests/shard-00001.json")
    }
    table = tmp_path / "texts.jsonl"
    table.write_text(table.read_text().replace("number 3", "number 33"))
    assert fake_model.main(arguments) == 0
    before = hashes(run_dir)
    for name, content in kept.items():
        (run_dir / name).write_bytes(content)
    assert fake_model.main(["task=verify", f"run={run_dir}"]) == 4
    assert fake_model.main(arguments) == 0
    assert hashes(run_dir) == before
    assert fake_model.main(["task=verify", f"run={run_dir}"]) == 0


def test_a_retry_that_is_killed_at_its_end_is_completed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: there was nothing left to retry, so that card, report and checksums were not updated."""
    silent = FakeSynthesizer(lambda utterance: replace(speak(utterance), samples=np.zeros(800, np.float32)))
    synthesizers = [silent, FakeSynthesizer()]
    loader = loader_of(lambda *_, **__: synthesizers.pop(0))
    assert main(command(tmp_path, tmp_path), loader) == 5
    retry, verify = (["task=" + name, f"run={tmp_path / 'run'}"] for name in ("retry_rejects", "verify"))

    def interrupt(*_: object, **__: object) -> FakeSynthesizer:
        raise KeyboardInterrupt

    assert main(retry, loader_of(interrupt)) == 130
    assert main(verify) == 0, "nothing had changed yet"
    with monkeypatch.context() as patch:
        patch.setattr(retry_module, "finalize_run", interrupt)
        assert main(retry, loader) == 130
    assert main(verify) == 4
    assert main(retry, loader) == 0
    assert main(verify) == 0


def test_rejects_are_not_retried_with_other_weights(
    tmp_path: Path,
    checkpoint_of: Checkpoints,
    fake_model: FakeModel,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Bug: after the model in a folder was trained further, it generated clips for a run whose card names the old
    model."""
    model = Path(shutil.copytree(checkpoint_of(UntrainedShape()), tmp_path / "model"))
    nothing_is_loud_enough = [f"model={model}", "checks.silence_dbfs=0"]
    assert fake_model.main([*command(tmp_path, tmp_path), *nothing_is_loud_enough]) == 5
    old = (model / "config.json").read_text()
    (model / "config.json").write_text(old + "\n")
    assert fake_model.main(["task=retry_rejects", f"run={tmp_path / 'run'}"]) == 3
    error = capsys.readouterr().err
    assert frozen_config(tmp_path / "run").model.revision in error, "the revision of the run"
    assert "name=" in error
    assert len(fake_model) == 1
    (model / "config.json").write_text(old)
    assert fake_model.main(["task=retry_rejects", f"run={tmp_path / 'run'}"]) == 5
    assert len(fake_model) == 2


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
def test_a_clock_that_jumps_changes_nothing(
    jump: float, tmp_path: Path, fake_model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards speeds, time limits and resume against a wall clock that is set during a run."""
    real, jumps = time.time, itertools.count()
    jumping: Callable[[], float] = lambda: real() + jump * next(jumps)  # noqa: E731
    monkeypatch.setattr(time, "time", jumping)
    arguments, run_dir = [*command(tmp_path, tmp_path), "executor.hang_seconds=60"], tmp_path / "run"
    assert fake_model.main(arguments) == 0
    session = json.loads((run_dir / "report.json").read_text())["session"]
    assert 0 < session["wall_seconds"] < 60
    assert session["num_restarts"] == 0
    assert fake_model.main(arguments) == 0
    assert len(fake_model) == 1, "nothing was generated twice"
    assert fake_model.main(["task=verify", f"run={run_dir}"]) == 0
