"""Preview: stream one utterance into a WAV file that can be played while it grows."""

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
    """A synthesizer that can return a clip while it is generated."""

    info: ModelInfo

    def stream(self, utterance: Utterance) -> Iterator[npt.NDArray[np.float32]]:
        """Yield the samples `[N]` of the clip in pieces."""


@dataclass(frozen=True)
class PreviewReport:
    """Timing of a preview. `first_audio_seconds` and `total_seconds` are measured from the call."""

    first_audio_seconds: float
    total_seconds: float
    audio_seconds: float


def preview(synthesizer: Streamer, utterance: Utterance, path: Path) -> PreviewReport:
    """Write an utterance to a 16-bit WAV file while it is generated.

    The header is updated after each piece, so that the file is valid at any time.
    """
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
