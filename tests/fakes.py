"""Fakes that tests share: models that cost nothing, also in other processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.__main__ import main
from pipeline.commands.model_loader import ModelLoader
from pipeline.errors import ModelError, RunDirectoryError
from pipeline.outputs.dataset import shards
from pipeline.outputs.dataset.columns import Row
from pipeline.outputs.dataset.shards import Manifest
from pipeline.planning.planner import TokenCounter
from pipeline.synthesis.checkpoint import Checkpoint
from pipeline.synthesis.tokenizers import load_tokenizers
from pipeline.synthesis.untrained import UntrainedShape
from pipeline.types import Bucket, Clip, Finish, ModelInfo, Reject, Utterance

RATE = 8_000
INFO = ModelInfo("fake", "r1", RATE, 50.0, 1500, 4, "float32", "cpu")

Speak = Callable[[Utterance], Clip]
Checkpoints = Callable[[UntrainedShape], Path]  # gives the folder of an untrained checkpoint


def speak(utterance: Utterance) -> Clip:
    """A clip that is a pure function of prompt and seed: noise as long as predicted."""
    rng = np.random.default_rng([utterance.seed, len(utterance.prompt)])
    seconds = utterance.predicted_seconds or 1.0
    samples = rng.uniform(-0.5, 0.5, round(seconds * RATE)).astype(np.float32)
    return Clip(utterance, samples, RATE, round(seconds * 50), Finish.EOS, seed=utterance.seed)


class FakeSynthesizer:
    """A synthesizer that costs nothing and keeps what it was asked for."""

    def __init__(self, speak: Speak = speak) -> None:
        self.info = INFO
        self.computed_frames = 0
        self.asked: list[Utterance] = []
        self.warmed: list[Bucket] = []
        self._speak = speak

    def warm_up(self, buckets: Iterable[Bucket]) -> None:
        self.warmed.extend(buckets)

    def generate(self, utterances: Iterable[Utterance]) -> Iterator[Clip]:
        for utterance in utterances:
            self.asked.append(utterance)
            clip = self._speak(utterance)
            self.computed_frames += clip.num_frames
            yield clip

    def close(self) -> None:
        """Nothing is held."""


def loader_of(build: Callable[..., FakeSynthesizer]) -> ModelLoader:
    """A model that costs nothing, for `main(arguments, loader)`."""
    return ModelLoader(build, lambda *_: INFO, tokenizers_of)


class FakeModel(list[FakeSynthesizer]):
    """A model that costs nothing: the synthesizers that commands have built, in order."""

    def main(self, arguments: Sequence[str]) -> int:
        """Runs a command with this model in the place of a checkpoint's; returns the exit code."""
        return main(arguments, loader_of(self.build))

    def build(self, *_: object, **__: object) -> FakeSynthesizer:
        self.append(FakeSynthesizer())
        return self[-1]


_TOKENIZERS: dict[tuple[str | None, ...], TokenCounter] = {}


def tokenizers_of(checkpoint: Checkpoint) -> TokenCounter:
    """Loads tokenizers once in a process: those of the bundled model take a second, at each command of each test."""
    key = (str(checkpoint.folder), checkpoint.revision, checkpoint.description_tokenizer_revision)
    if key not in _TOKENIZERS:
        _TOKENIZERS[key] = load_tokenizers(checkpoint)
    return _TOKENIZERS[key]


# What stands in for `build_synthesizer` in another process: found there by name.


def build_fake(*_: object, **__: object) -> FakeSynthesizer:
    return FakeSynthesizer()


def build_mortal(*_: object, **__: object) -> FakeSynthesizer:
    """Its process aborts at a poisonous utterance."""

    def speak_or_abort(utterance: Utterance) -> Clip:
        if "poison" in utterance.prompt:
            os.abort()
        return speak(utterance)

    return FakeSynthesizer(speak_or_abort)


def build_drowsy(*_: object, **__: object) -> FakeSynthesizer:
    """It falls asleep at some utterance, once: a file tells that it has."""

    def speak_or_sleep(utterance: Utterance) -> Clip:
        words = utterance.prompt.split()
        if words[0] == "Sleep" and not (mark := Path(utterance.description)).exists():
            mark.touch()
            time.sleep(600)
        return speak(utterance)

    return FakeSynthesizer(speak_or_sleep)


def _speak_slowly(utterance: Utterance, seconds: float) -> Clip:
    time.sleep(seconds)
    return speak(utterance)


def build_slow(*_: object, **__: object) -> FakeSynthesizer:
    """A quarter of a second for each clip."""
    return FakeSynthesizer(partial(_speak_slowly, seconds=0.25))


def build_interrupted(*_: object, **__: object) -> FakeSynthesizer:
    """Its process is sent what Ctrl-C sends."""
    os.kill(os.getpid(), signal.SIGINT)
    return FakeSynthesizer()


def build_broken(*_: object, **__: object) -> FakeSynthesizer:
    raise ModelError("the weights are damaged")


def build_full_disk(*_: object, **__: object) -> FakeSynthesizer:
    def fail(utterance: Utterance) -> Clip:
        raise RunDirectoryError("there is no space left")

    return FakeSynthesizer(fail)


def write_shard(
    run_dir: Path, index: int, num_shards: int, rows: Sequence[Row], rejects: Sequence[Reject], **info: Any
) -> Manifest:
    """Write a shard; `info` are the other fields of `ShardInfo`, and `work_seconds`."""
    work_seconds = info.pop("work_seconds", 0.0)
    return shards.write_shard(run_dir, shards.ShardInfo(index, num_shards, **info), rows, rejects, work_seconds)
