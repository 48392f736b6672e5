"""Checkpoints of unfinished shards: what a kill costs."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from fakes import FakeSynthesizer, build_mortal, loader_of, speak

from pipeline.__main__ import main
from pipeline.commands import render as run_module
from pipeline.generation import checkpointing
from pipeline.outputs.dataset.shards import finished_shards
from pipeline.types import Clip, Utterance

NUM_TEXTS = 12


def texts(folder: Path, num_texts: int = NUM_TEXTS) -> Path:
    table = folder / "texts.jsonl"
    table.write_text("".join(json.dumps({"text": f"This is number {n}."}) + "\n" for n in range(num_texts)))
    return table


def hashes(run_dir: Path) -> dict[str, str]:
    return {clip.id: clip.audio_sha256 for manifest in finished_shards(run_dir) for clip in manifest.clips}


class Building:
    """Builds synthesizers; the first one is interrupted before its clip number `dies_at`."""

    def __init__(self, dies_at: int) -> None:
        self.built: list[FakeSynthesizer] = []
        self.dies_at = dies_at

    def __call__(self, *_: object, **__: object) -> FakeSynthesizer:
        self.built.append(FakeSynthesizer(speak if self.built else self._speak_and_die))
        return self.built[-1]

    def main(self, arguments: Sequence[str]) -> int:
        return main(arguments, loader_of(self))

    def _speak_and_die(self, utterance: Utterance) -> Clip:
        if len(self.built[0].asked) > self.dies_at:
            raise KeyboardInterrupt
        return speak(utterance)


@pytest.fixture
def building() -> Building:
    return Building(dies_at=7)


def pass_seconds(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let time pass at each call of the clock."""
    now = iter(range(10**9))
    monkeypatch.setattr(checkpointing, "time", SimpleNamespace(monotonic=lambda: next(now) * seconds))


def test_a_resumed_run_repeats_only_the_last_half_minute(
    tmp_path: Path, building: Building, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bug: an hour of work on a slow machine was lost with a shard that was not complete."""
    arguments = ["task=dataset", f"input={texts(tmp_path)}", f"output_dir={tmp_path}"]
    with monkeypatch.context() as patch:
        pass_seconds(patch, 11.0)  # so that each checkpoint has three clips
        assert building.main([*arguments, "name=killed"]) == 130
    assert building.main([*arguments, "name=killed"]) == 0
    first, second = building.built
    made_before = {one.id for one in first.asked} - {one.id for one in second.asked}
    assert len(second.asked) == NUM_TEXTS - len(made_before)
    assert 7 - 3 <= len(made_before) <= 7
    assert re.search(rf"^reused\b.*\b{len(made_before)}\b", capsys.readouterr().err, re.MULTILINE)
    assert building.main([*arguments, "name=whole"]) == 0
    assert hashes(tmp_path / "killed") == hashes(tmp_path / "whole")
    assert not (tmp_path / "killed" / ".kept").exists()
    assert building.main(["task=verify", f"run={tmp_path / 'killed'}"]) == 0


def test_the_checkpoints_of_two_killed_calls_are_all_found(
    tmp_path: Path, building: Building, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: the second call overwrote the checkpoints of the first one."""
    arguments = ["task=dataset", f"input={texts(tmp_path)}", f"output_dir={tmp_path}", "name=run"]
    pass_seconds(monkeypatch, 31.0)
    assert building.main(arguments) == 130
    building.built.clear()
    building.dies_at = 2
    assert building.main(arguments) == 130
    assert building.main(arguments) == 0
    assert len(building.built[-1].asked) == NUM_TEXTS - 7 - 2


def test_a_text_that_occurs_in_a_later_shard_does_not_miss_the_deleted_checkpoint(
    tmp_path: Path, building: Building, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Bug: the checkpoints of a shard are deleted with it, and a later shard found its clip damaged."""
    table = texts(tmp_path)
    table.write_text(table.read_text() * 2)
    arguments = ["task=dataset", f"input={table}", f"output_dir={tmp_path}", "name=run"]
    pass_seconds(monkeypatch, 31.0)
    assert building.main([*arguments, f"planning.shard_size={NUM_TEXTS}"]) == 130
    assert building.main([*arguments, f"planning.shard_size={NUM_TEXTS}"]) == 0
    assert not caplog.records
    assert len(hashes(tmp_path / "run")) == 2 * NUM_TEXTS
    assert len(building.built[-1].asked) <= 2 * NUM_TEXTS - 7


def test_a_fast_run_writes_no_checkpoint(tmp_path: Path, building: Building) -> None:
    """Guards against a dataset that is written twice."""
    assert building.main(["task=dataset", f"input={texts(tmp_path)}", f"output_dir={tmp_path}", "name=run"]) == 130
    assert not (tmp_path / "run" / ".kept").exists()
    assert building.main(["task=dataset", f"input={texts(tmp_path)}", f"output_dir={tmp_path}", "name=run"]) == 0
    assert len(building.built[-1].asked) == NUM_TEXTS


def test_the_checkpoints_of_a_crashed_worker_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards against repeated work in the second attempt at a shard, and in its sub-shards."""
    table = texts(tmp_path, 3)
    table.write_text(table.read_text() + json.dumps({"text": "The poison."}) + "\n")
    assert main(
        [
            *("task=dataset", f"input={table}", f"output_dir={tmp_path}", "name=run", "executor=local"),
            *("executor.devices=[cpu]", "executor.backoff_seconds=0", "executor.restarts=20"),
        ],
        loader_of(build_hoarding),
    ) == 0  # fmt: skip
    said = capsys.readouterr().err
    assert "3 of 4" in said
    assert re.search(r"^reused\b.*\b3\b", said, re.MULTILINE)
    assert not (tmp_path / "run" / ".kept").exists()


def build_hoarding(*_: object, **__: object) -> FakeSynthesizer:
    """Build, in a worker process, a synthesizer that aborts at poison; each clip gets a checkpoint."""
    checkpointing.CHECKPOINT_SECONDS = 0.0
    return build_mortal()


def test_the_preview_of_a_book_continues_after_a_kill(
    tmp_path: Path, building: Building, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: the live preview waited forever for reused clips."""
    book = tmp_path / "book.txt"
    book.write_text(
        "Chapter 1\n\n" + "\n\n".join(f"This is paragraph number {n} of the book." for n in range(NUM_TEXTS))
    )
    arguments, run_dir = [f"input={book}", f"output_dir={tmp_path}", "name=run"], tmp_path / "run"
    pass_seconds(monkeypatch, 31.0)
    assert building.main(arguments) == 130
    before, _ = soundfile.read(run_dir / "beginning.wav")
    heard: list[np.ndarray] = []
    monkeypatch.setattr(
        run_module, "finalize_run", lambda *_, **__: heard.append(soundfile.read(run_dir / "beginning.wav")[0])
    )
    assert building.main(arguments) == 0
    ((after,),) = [heard]
    assert len(after) > len(before) > 0
    np.testing.assert_allclose(after[: len(before)], before, atol=1e-4)  # two roundings to 16 bits
