"""A preview: one utterance into a WAV file that grows while it is spoken. Knows no model."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import soundfile

from pipeline.types import SYNTHETIC_SPEECH, ModelInfo, Utterance


@runtime_checkable
class Streamer(Protocol):
    """A synthesizer that can hand out a clip while it grows."""

    info: ModelInfo

    def stream(self, utterance: Utterance) -> Iterator[npt.NDArray[np.float32]]:
        """Yields the clip's samples in pieces."""


@dataclass(frozen=True)
class PreviewReport:
    """How a preview went. Seconds count from the call."""

    first_audio_seconds: float
    total_seconds: float
    audio_seconds: float


def preview(synthesizer: Streamer, utterance: Utterance, path: Path) -> PreviewReport:
    """Writes `utterance` to a 16-bit WAV file, whose head is right after each piece."""
    began = time.perf_counter()
    first = 0.0
    with soundfile.SoundFile(
        path, "w", samplerate=synthesizer.info.sampling_rate, channels=1, subtype="PCM_16", format="WAV"
    ) as file:
        file.comment = SYNTHETIC_SPEECH
        for samples in synthesizer.stream(utterance):
            file.write(samples)
            file.flush()
            first = first or time.perf_counter() - began
        audio_seconds = file.frames / synthesizer.info.sampling_rate
    return PreviewReport(first, time.perf_counter() - began, audio_seconds)
