"""Small architectures of every kind and sentences of every length: what the engine's tests and `gpu_check` share."""

from __future__ import annotations

import dataclasses
import random

from pipeline.synthesis.untrained import UntrainedShape
from pipeline.types import Bucket, Utterance

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
