"""The strategy of a GPU on the CPU: delayed snapshots, few shapes, warm-up, the codec in batches.

What needs a GPU is in the tests with that marker and in `scripts/gpu_check.py`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_cases import TINY, VARIANTS, assert_same, by_id, engine, random_utterances
from fakes import Checkpoints

from pipeline.config import EngineConfig, ModelConfig
from pipeline.synthesis import build_synthesizer
from pipeline.synthesis.checkpoint import find_checkpoint
from pipeline.synthesis.engine import memory
from pipeline.synthesis.engine import runner as runner_module
from pipeline.synthesis.engine.backend import BACKEND
from pipeline.synthesis.engine.cache import SelfCache, allocate_self
from pipeline.synthesis.engine.engine import EngineSynthesizer
from pipeline.synthesis.engine.memory import is_out_of_memory
from pipeline.synthesis.engine.step import DecoderState, step
from pipeline.synthesis.engine.strategy import cuda_strategy
from pipeline.synthesis.engine.weights import Weights
from pipeline.types import Bucket
from scripts.gpu_check import main

TO_TRY = ["sinusoidal", "rotary, cross-attended prompt", "grouped queries, rotary, fused heads"]


class EagerStep:
    """A step without graphs that records the shapes it is called with."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, int]] = []
        made.append(self)

    def __call__(self, decoder: DecoderState, length: int, num_entries: int) -> None:
        self.shapes.append((length, num_entries))
        step(decoder, length, num_entries)


made: list[EagerStep] = []
GpuPath = Callable[..., EngineSynthesizer]


@pytest.fixture
def gpu_path() -> GpuPath:
    """Build an engine on the CPU with the strategy of a GPU."""
    made.clear()
    strategy = dataclasses.replace(cuda_strategy(torch.device("cpu")), make_step=EagerStep, length_multiple=64)

    def build(folder: Path, slots: int = 0) -> EngineSynthesizer:
        checkpoint = find_checkpoint(ModelConfig(name="tiny", path=str(folder)))
        return BACKEND.build(checkpoint, EngineConfig(device="cpu", slots=slots), strategy)

    return build


@pytest.mark.parametrize("name", TO_TRY)
def test_clips_are_those_of_the_cpus_path(name: str, checkpoint_of: Checkpoints, gpu_path: GpuPath) -> None:
    """Guards delayed snapshots: a slot that has another request by now must not be freed."""
    folder, utterances = checkpoint_of(VARIANTS[name]), random_utterances(seed=31, count=30)
    expected = by_id(engine(folder, slots=4).generate(utterances))
    synthesizer = gpu_path(folder, slots=4)
    for _ in range(2):
        assert_same(by_id(synthesizer.generate(utterances)), expected, tolerance=1e-5)


def test_a_codec_of_odd_strides(checkpoint_of: Checkpoints, gpu_path: GpuPath) -> None:
    """Bug: clips of such a codec are shorter than frames times stride, and the warm-up ended in a ValueError."""
    folder = checkpoint_of(dataclasses.replace(TINY, codec_ratios=(2, 4, 5, 8)))
    utterances = random_utterances(seed=36, count=4)
    expected = by_id(build_synthesizer(str(folder), backend="reference", device="cpu").generate(utterances))
    synthesizer = gpu_path(folder, slots=4)
    synthesizer.warm_up([Bucket(256, 64, 60, 1)])
    assert_same(by_id(synthesizer.generate(utterances)), expected, tolerance=1e-4)


def test_warm_up_meets_every_shape(
    checkpoint_of: Checkpoints, gpu_path: GpuPath, caplog: pytest.LogCaptureFixture
) -> None:
    """Guards against captures in the middle of a run, and against a warm-up that changes the state of rows."""
    caplog.set_level("INFO")
    folder = checkpoint_of(dataclasses.replace(TINY, mean_seconds=100.0))
    utterances = [
        dataclasses.replace(utterance, description=f"Voice {i}.", bucket=Bucket(192, 32, 10 + 15 * i, 1))
        for i, utterance in enumerate(random_utterances(seed=32, count=12))
    ]
    expected = by_id(engine(folder, slots=8).generate(utterances))
    synthesizer = gpu_path(folder, slots=8)
    synthesizer.warm_up({utterance.bucket for utterance in utterances if utterance.bucket})
    (stepped,) = made
    warmed = set(stepped.shapes)
    assert {entries for _, entries in warmed} == {1, 4, 8}
    assert re.search(rf"\b{len(warmed)}\b.*64, 128, 192, 256, 320, 384\b.*1, 4, 8\b", caplog.text)
    assert_same(by_id(synthesizer.generate(utterances)), expected, tolerance=1e-5)
    assert len(made) == 1, "the slots with their graphs are kept"
    assert len(set(stepped.shapes)) == len(warmed)


def test_a_prompt_that_is_attended_across_has_no_entries_to_count(
    checkpoint_of: Checkpoints, gpu_path: GpuPath
) -> None:
    """Guards against equal graphs: with a cross-attended prompt all entries are read at each step."""
    synthesizer = gpu_path(checkpoint_of(VARIANTS["cross-attended prompt"]), slots=8)
    synthesizer.warm_up([Bucket(64, 64, 100, 8)])
    list(synthesizer.generate(random_utterances(seed=33, count=6)))
    assert {entries for _, entries in made[0].shapes} == {1}


def test_slots_stay_when_memory_has_been_taken(
    checkpoint_of: Checkpoints, gpu_path: GpuPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the graphs: they and the codec take memory, and with fewer slots all graphs would be captured again."""
    synthesizer = gpu_path(checkpoint_of(TINY))
    synthesizer.warm_up([Bucket(256, 64, 60, 1)])
    monkeypatch.setattr(memory, "free_bytes", lambda device: 0)
    list(synthesizer.generate(random_utterances(seed=34, count=3)))
    assert len(made) == 1


def test_a_stream_uses_the_slots_that_are_there(checkpoint_of: Checkpoints, gpu_path: GpuPath) -> None:
    """Guards the time to the first audio: capturing graphs for other slots would take longer than the whole clip."""
    folder, (utterance,) = checkpoint_of(TINY), random_utterances(seed=35, count=1)
    synthesizer = gpu_path(folder, slots=8)
    synthesizer.warm_up([Bucket(256, 64, 60, 1)])
    (clip,) = synthesizer.generate([utterance])
    np.testing.assert_allclose(np.concatenate(list(synthesizer.stream(utterance))), clip.samples, rtol=0, atol=1e-5)
    assert len(made) == 1


@pytest.mark.parametrize("slots", [0, 16])
def test_a_warm_up_for_which_memory_is_too_small_halves_the_slots(
    slots: int,
    checkpoint_of: Checkpoints,
    gpu_path: GpuPath,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Bug: memory that ran out in the warm-up ended the run, instead of continuing with fewer slots."""

    def allocate(weights: Weights, slots: int, capacity: int) -> SelfCache:
        if slots > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return allocate_self(weights, slots, capacity)

    monkeypatch.setattr(runner_module, "allocate_self", allocate)
    synthesizer = gpu_path(checkpoint_of(TINY), slots=slots)
    synthesizer.warm_up([Bucket(256, 64, 60, 1)])
    warnings = [each for each in caplog.records if each.levelname == "WARNING"]
    assert warnings[-1].args == (4,), "slots"
    steps = len(made)
    assert len(list(synthesizer.generate(random_utterances(seed=37, count=10)))) == 10
    assert len(made) == steps, "the slots with their graphs are kept"


def test_memory_that_runs_out_while_recording_is_recognised() -> None:
    """Guards the halving of slots: a failed capture raises another error while the first is handled."""

    def record() -> None:
        try:
            raise torch.OutOfMemoryError("CUDA out of memory")
        finally:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")

    with pytest.raises(RuntimeError, match="capture") as caught:
        record()
    assert is_out_of_memory(caught.value)


@pytest.mark.slow
def test_gpu_check_runs_without_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    """Guards the script that checks a GPU against mistakes that only show on one."""
    assert main(["--device", "cpu", "--tiny"]) == 0
    table = capsys.readouterr().out.rsplit("\n\n", 1)[-1]
    assert "| skipped: needs CUDA |" in table
    assert "failed" not in table
    assert table.count("| measured |") + table.count("| ok |") >= 8


@pytest.mark.gpu
def test_gpu_check_passes_on_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    """Guards the code for GPUs: equality with the reference with and without graphs, and the codec."""
    assert main(["--device", "cuda", "--tiny"]) == 0
    table = capsys.readouterr().out.rsplit("\n\n", 1)[-1]
    assert "failed" not in table
    assert "skipped" not in table
