"""Faults around the engine: damaged weights, settings that cannot work, too little memory, callers that leave."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from engine_cases import TINY, assert_same, by_id, engine, random_utterances
from fakes import Checkpoints

from pipeline.config import EngineConfig, SamplingConfig
from pipeline.errors import ConfigError, ModelError
from pipeline.synthesis import build_synthesizer
from pipeline.synthesis.engine import decoder_loop
from pipeline.synthesis.engine import runner as runner_module
from pipeline.synthesis.engine.cache import SelfCache, allocate_self
from pipeline.synthesis.engine.engine import MAX_IN_FLIGHT_PER_SLOT, EngineSynthesizer
from pipeline.synthesis.engine.memory import is_out_of_memory, slots_that_fit
from pipeline.synthesis.engine.runner import SlotShape
from pipeline.synthesis.engine.weights import Weights
from pipeline.synthesis.untrained import make_untrained
from pipeline.types import Bucket, Finish, Utterance


@pytest.fixture
def tiny(checkpoint_of: Checkpoints) -> EngineSynthesizer:
    return engine(checkpoint_of(TINY), slots=4)


def test_nothing_to_do(tiny: EngineSynthesizer) -> None:
    """Guards an empty shard, or one whose utterances were all rejected."""
    assert list(tiny.generate([])) == []


@pytest.mark.parametrize("sampling", [SamplingConfig(), SamplingConfig(do_sample=False)], ids=["drawn", "greedy"])
def test_damaged_weights_are_reported(sampling: SamplingConfig, tmp_path: Path) -> None:
    """Guards against hours of noise: NaN compares false with everything and would be drawn as some id."""
    synthesizer = engine(make_untrained(tmp_path, TINY), sampling=sampling)
    threads = threading.active_count()
    synthesizer.decoder.weights.layers[1].ffn_norm.weight[3] = torch.nan
    with pytest.raises(ModelError):
        list(synthesizer.generate(random_utterances(seed=1, count=5)))
    assert threading.active_count() == threads


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"top_p": 0.0}, {"top_p": 1.5}, {"top_k": -1}])
def test_impossible_sampling_is_refused(wrong: dict[str, float]) -> None:
    """Guards the step against divisions by zero: such settings are refused before."""
    with pytest.raises(ConfigError, match=r"engine\.sampling"):
        EngineConfig(backend="engine", sampling=SamplingConfig(**wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize("setting", [{"attention": "flash_attention_2"}, {"compile": "default"}])
def test_what_only_the_reference_can_do_is_refused(setting: dict[str, str]) -> None:
    """Guards against a setting that is silently ignored."""
    with pytest.raises(ConfigError, match=f"engine.{next(iter(setting))}"):
        build_synthesizer("any", backend="engine", device="cpu", **setting)


def test_what_cannot_fit_is_refused_before_it_starts(checkpoint_of: Checkpoints) -> None:
    """Guards the cache and the position table against an index past their end."""
    synthesizer = engine(checkpoint_of(dataclasses.replace(TINY, max_positions=100)))
    fits = Utterance("Yes.", "A voice.", id="short", bucket=Bucket(0, 0, 50, 1))
    too_long = Utterance("word " * 30, "A voice.", id="long", bucket=Bucket(0, 0, 50, 1))
    with pytest.raises(ValueError, match="'long'"):
        next(iter(synthesizer.generate([fits, too_long])))
    assert synthesizer.stats.steps == 0
    assert len(list(synthesizer.generate([fits]))) == 1
    over_bucket = dataclasses.replace(too_long, bucket=Bucket(16, 16, 50, 1))
    with pytest.raises(ValueError, match=r"\b16\b"):
        list(synthesizer.generate([over_bucket]))


@pytest.mark.parametrize("max_frames", [1, 2, 3])
def test_very_short_limits(tiny: EngineSynthesizer, max_frames: int) -> None:
    """Guards the delay pattern with limits that are shorter than the delay."""
    utterance = Utterance("Yes.", "A voice.", bucket=Bucket(0, 0, max_frames, 1))
    (clip,) = tiny.generate([utterance])
    (longer,) = tiny.generate([dataclasses.replace(utterance, bucket=Bucket(0, 0, 8, 1))])
    assert (clip.num_frames, clip.finish) == (max_frames, Finish.MAX_FRAMES)
    assert len(clip.samples) == max_frames * 320
    assert longer.num_frames == 8


def test_a_consumer_may_leave_early(tiny: EngineSynthesizer) -> None:
    """Guards Ctrl-C and `break`: all threads end, and the synthesizer can be used again with the same result."""
    utterances = random_utterances(seed=2, count=8)
    threads = threading.active_count()
    for _ in range(2):
        clips = tiny.generate(utterances)
        first = next(clips)
        clips.close()
        assert threading.active_count() == threads
    pieces = tiny.stream(dataclasses.replace(utterances[0], bucket=None))
    next(pieces)
    pieces.close()
    again = by_id(tiny.generate(utterances))
    assert_same({first.utterance.id: again[first.utterance.id]}, {first.utterance.id: first})


def test_utterances_are_drawn_as_they_are_needed(tiny: EngineSynthesizer) -> None:
    """Guards constant memory for any number of utterances, and a caller that leaves an endless source."""
    drawn, threads = 0, threading.active_count()

    def endless() -> Iterator[Utterance]:
        nonlocal drawn
        while True:
            drawn += 1
            yield Utterance("Yes.", "A voice.", seed=drawn, bucket=Bucket(0, 0, 5 + drawn % 7, 1))

    clips = tiny.generate(endless())
    for taken in range(1, 60):
        next(clips)
        assert drawn - taken <= MAX_IN_FLIGHT_PER_SLOT * 4
    clips.close()
    assert threading.active_count() == threads


def test_a_source_that_fails_stops_the_work(tiny: EngineSynthesizer) -> None:
    """Guards against a source that fails halfway: its error is raised, and all threads end."""
    utterances, threads = random_utterances(seed=12, count=20), threading.active_count()

    def source() -> Iterator[Utterance]:
        yield from utterances
        raise OSError("no such shard")

    with pytest.raises(OSError, match="no such shard"):
        list(tiny.generate(source()))
    assert threading.active_count() == threads
    assert len(list(tiny.generate(utterances))) == 20


def test_slots_grow_with_what_comes(checkpoint_of: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the cache when a late utterance is longer than all before; reserved slots need not grow."""
    folder = checkpoint_of(dataclasses.replace(TINY, mean_seconds=100.0))
    sizes = [(1, 5)] * 20 + [(30, 60), (1, 150), (60, 9), (1, 9)]
    utterances = [
        Utterance("word " * words, "A voice. " * words, seed=i, id=str(i), bucket=Bucket(0, 0, frames, 1))
        for i, (words, frames) in enumerate(sizes)
    ]
    made: list[SlotShape] = []
    plain = decoder_loop.Runner
    monkeypatch.setattr(decoder_loop, "Runner", lambda *args: made.append(args[2]) or plain(*args))
    growing, announced = engine(folder, slots=4), engine(folder, slots=4)
    clips = by_id(growing.generate(iter(utterances)))
    assert len(made) > 1
    assert all(later.contains(earlier) for earlier, later in itertools.pairwise(made))
    made.clear()
    announced.warm_up([Bucket(384, 640, 150, 4)])
    assert_same(by_id(announced.generate(utterances)), clips)
    assert len(made) == 1


def test_two_callers_at_once_are_refused(tiny: EngineSynthesizer) -> None:
    """Guards the slots against a second caller, who would overwrite the rows of the first one."""
    utterances = random_utterances(seed=3, count=6)
    clips = tiny.generate(utterances)
    next(clips)
    with pytest.raises(RuntimeError):
        next(iter(tiny.generate(utterances)))
    assert len(list(clips)) == len(utterances) - 1, "the first caller goes on"


def exhaust_cpu() -> None:
    """Allocate more than any address space holds, so that the allocator raises its own error."""
    torch.empty(1 << 55, dtype=torch.uint8)


def exhaust_gpu() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("exhaust", [exhaust_cpu, exhaust_gpu])
def test_too_little_memory_halves_the_slots(
    exhaust: Callable[[], None],
    checkpoint_of: Checkpoints,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Guards long runs: they continue with fewer slots. Bug: Linux' message about CPU memory was unknown."""

    def allocate(weights: Weights, slots: int, capacity: int) -> SelfCache:
        if slots > 4:
            exhaust()
        return allocate_self(weights, slots, capacity)

    folder, utterances = checkpoint_of(TINY), random_utterances(seed=4, count=10)
    expected = by_id(engine(folder, slots=16).generate(utterances))
    monkeypatch.setattr(runner_module, "allocate_self", allocate)
    assert_same(by_id(engine(folder, slots=16).generate(utterances)), expected)
    (record,) = [each for each in caplog.records if each.levelname == "WARNING"]
    assert record.args == (4,), "slots"


def test_memory_that_runs_out_for_good_is_an_error(checkpoint_of: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against an endless loop when memory does not suffice for the smallest number of slots."""

    def allocate(weights: Weights, slots: int, capacity: int) -> SelfCache:
        exhaust_cpu()
        raise AssertionError

    monkeypatch.setattr(runner_module, "allocate_self", allocate)
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        list(engine(checkpoint_of(TINY)).generate(random_utterances(seed=5, count=2)))
    assert is_out_of_memory(RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory"))
    assert not is_out_of_memory(RuntimeError("shape mismatch"))


def test_slots_follow_the_memory(tiny: EngineSynthesizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the number of slots: at least one, at most the useful number."""
    from pipeline.synthesis.engine import memory

    for free, expected in ((0, 1), (1 << 24, None), (1 << 50, memory.MAX_SLOTS_ON_CPU)):
        monkeypatch.setattr(memory, "free_bytes", lambda device, free=free: free)
        slots = slots_that_fit(tiny.decoder.weights, positions=1000, description_tokens=100)
        assert 1 <= slots <= memory.MAX_SLOTS_ON_CPU
        assert expected in (None, slots)


def test_memory_that_holds_copies_of_files_is_free(tmp_path: Path) -> None:
    """Bug: memory that cached files, as after a download, was counted as used, so that too few slots were chosen."""
    from pipeline.synthesis.engine import memory

    cpu, meminfo, own_group = torch.device("cpu"), tmp_path / "meminfo", tmp_path / "cgroup"
    meminfo.write_text("MemTotal:  9000 kB\nMemFree:  100 kB\nMemAvailable:  8000 kB\nHugePages_Total:  0\n")
    files = memory.KernelFiles(meminfo, own_group, tmp_path / "groups")
    assert memory.free_bytes(cpu, files) == 8000 * 1024

    meminfo.write_text("MemTotal:  9000 kB\n")
    assert memory.free_bytes(cpu, files) > 0, "an old kernel does not say what is available"
    meminfo.write_text("MemAvailable:  8000 kB\n")
    own_group.write_text("4:memory:/old\n0::/job/task\n")
    (tmp_path / "groups" / "job" / "task").mkdir(parents=True)
    for name, limit in (("job", "5000000"), ("job/task", "max")):
        (tmp_path / "groups" / name / "memory.max").write_text(f"{limit}\n")
        (tmp_path / "groups" / name / "memory.current").write_text("4500000\n")
        (tmp_path / "groups" / name / "memory.stat").write_text("anon 1500000\ninactive_file 3000000\n")
    assert memory.free_bytes(cpu, files) == 3_500_000, "what the job's limit leaves, its copies of files not counted"


def test_descriptions_are_counted_among_what_must_fit(
    checkpoint_of: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: only the slots were counted, but cross-attention entries can be larger than slots of few positions."""
    from pipeline.synthesis.engine import memory

    decoder = engine(checkpoint_of(dataclasses.replace(TINY, kv_heads=1))).decoder
    free = 16_000_000
    monkeypatch.setattr(memory, "free_bytes", lambda device: free)
    decoder.reserve(32, 256, 60)
    state = decoder.prepare(decoder.slots_that_fit()).state
    assert state.rows.num_rows > 4
    assert state.cache.num_bytes + state.cross.num_bytes <= memory.CACHE_SHARE * free


def test_a_description_is_encoded_once(checkpoint_of: Checkpoints) -> None:
    """Guards the time of the text encoder: it runs once for each distinct description, over all calls."""
    synthesizer = engine(checkpoint_of(TINY), slots=4)
    utterances = random_utterances(seed=6, count=12)
    for _ in range(2):
        list(synthesizer.generate(utterances))
    assert synthesizer.decoder.model.encoder.num_encoded == len({utterance.description for utterance in utterances})


def test_slots_are_kept_busy(checkpoint_of: Checkpoints) -> None:
    """Guards continuous batching end to end: rows do not wait for the longest of their batch."""
    synthesizer = engine(checkpoint_of(dataclasses.replace(TINY, mean_seconds=100.0)), slots=4)
    utterances = [
        Utterance("Yes.", "A voice.", seed=i, bucket=Bucket(0, 0, frames, 1), predicted_seconds=frames / 50)
        for i, frames in enumerate([10, 100, 20, 90, 30, 80, 40, 70, 50, 60, 15, 25, 35, 45] * 2)
    ]
    list(synthesizer.generate(utterances))
    assert synthesizer.stats.occupancy > 0.9
    assert synthesizer.stats.peak_bytes > 0
