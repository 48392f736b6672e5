"""Speech of the checkpoint that ships."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config import ModelConfig, SamplingConfig
from pipeline.config.compose import compose_config
from pipeline.synthesis import build_synthesizer
from pipeline.types import Clip, Utterance
from pipeline.voices import describe

SENTENCES = (
    "It was late, and nobody in the house was awake.",
    "What did she say to the old man at the door?",
    "My brother came home in the evening, and we went down to the river.",
)


def speak(
    model: str, sampling: SamplingConfig, sentences: Sequence[str] = SENTENCES, speaker: str = "Heart"
) -> list[Clip]:
    """In the order of the sentences."""
    description = describe(speaker, compose_config([]).voice.style)
    synthesizer = build_synthesizer(ModelConfig(name=model), device="cpu", dtype="float32", sampling=sampling)
    requests = [Utterance(text, description, seed=i, id=str(i)) for i, text in enumerate(sentences)]
    return sorted(synthesizer.generate(requests), key=lambda clip: int(clip.utterance.id))
