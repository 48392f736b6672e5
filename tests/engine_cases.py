"""What the engine's tests share: small architectures of every kind, sentences of every length, and comparisons."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import numpy as np

from pipeline.synthesis import build_synthesizer
from pipeline.synthesis.engine.engine import EngineSynthesizer
from pipeline.synthesis.untrained import UntrainedShape
from pipeline.types import Bucket, Clip, Utterance

TINY = UntrainedShape(mean_seconds=0.4, max_seconds=4.0, codec_hidden=24)
VARIANTS = {
    "sinusoidal": TINY,
    "rotary": dataclasses.replace(TINY, rope=True),
    "cross-attended prompt": dataclasses.replace(TINY, prompt_cross_attention=True),
    "rotary, cross-attended prompt": dataclasses.replace(TINY, rope=True, prompt_cross_attention=True),
    "grouped queries": dataclasses.replace(TINY, kv_heads=2, cross_kv_heads=1),
    "grouped queries, rotary, fused heads": dataclasses.replace(TINY, kv_heads=1, rope=True, fused_heads=True),
    "projected text": dataclasses.replace(TINY, text_hidden=32),
    "nine codebooks": dataclasses.replace(TINY, codebooks=9, layers=1),
}
_SHORTEST = 8  # frames: below K - 1 upstream forgets the delay
_WORDS = "it was a bright cold day in April, and the clocks were striking thirteen; nobody looked up. Yes! Who?"
_VOICES = ("A calm voice.", "Jon's voice is slightly expressive, very close and clear.", "Loud, far away, in a hall.")


def random_utterances(seed: int, count: int) -> list[Utterance]:
    """Prompts of 1 to 25 words, three voices, limits of 8 to 60 frames."""
    rng = random.Random(seed)
    return [
        Utterance(
            prompt=" ".join(rng.choices(_WORDS.split(), k=rng.randint(1, 25))),
            description=rng.choice(_VOICES),
            seed=rng.getrandbits(62),
            id=f"{seed}-{i}",
            bucket=Bucket(0, 0, rng.randint(_SHORTEST, 60), 1),
        )
        for i in range(count)
    ]


def engine(folder: Path, **settings: object) -> EngineSynthesizer:
    return cast(EngineSynthesizer, build_synthesizer(str(folder), backend="engine", device="cpu", **settings))


def by_id(clips: Iterable[Clip]) -> dict[str, Clip]:
    return {clip.utterance.id: clip for clip in clips}


def assert_same(clips: dict[str, Clip], expected: dict[str, Clip], tolerance: float = 0.0) -> None:
    """Every clip is the same clip: its length, its end, its samples."""
    assert clips.keys() == expected.keys()
    for key, clip in clips.items():
        assert (clip.num_frames, clip.finish) == (expected[key].num_frames, expected[key].finish), key
        np.testing.assert_allclose(clip.samples, expected[key].samples, rtol=0, atol=tolerance, err_msg=key)
