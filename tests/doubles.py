"""Stand-ins that tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from pipeline.types import Bucket, Clip, Finish, ModelInfo, Utterance

RATE = 8_000
INFO = ModelInfo("stand-in", "r1", RATE, 50.0, 1500, 4, "float32", "cpu")

Speak = Callable[[Utterance], Clip]


def speak(utterance: Utterance) -> Clip:
    """A clip that is a pure function of prompt and seed: noise as long as predicted."""
    rng = np.random.default_rng([utterance.seed, len(utterance.prompt)])
    seconds = utterance.predicted_seconds or 1.0
    samples = rng.uniform(-0.5, 0.5, round(seconds * RATE)).astype(np.float32)
    return Clip(utterance, samples, RATE, round(seconds * 50), Finish.EOS, seed=utterance.seed)


class StandInSynthesizer:
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
