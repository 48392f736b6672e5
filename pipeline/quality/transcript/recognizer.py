"""Speech recognisers: the protocol, its input and output, and the registry `RECOGNIZERS`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from pipeline.registry import Registry

__all__ = ["RECOGNIZERS", "HeardWord", "Recognizer", "RecognizerOptions", "Recording", "TextScorer", "Transcript"]


@dataclass(frozen=True)
class Recording:
    """Audio to listen to."""

    samples: npt.NDArray[np.floating[Any]]  # [N], mono, full scale is 1.0
    sampling_rate: int  # Hz

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sampling_rate


@dataclass(frozen=True)
class HeardWord:
    """A word of a transcript, with its punctuation and white space."""

    text: str
    start: float  # seconds from the beginning of the clip
    end: float
    probability: float = 1.0  # 0 to 1


@dataclass(frozen=True)
class Transcript:
    """Output of a recogniser for one clip."""

    text: str
    words: tuple[HeardWord, ...] = ()  # empty: the recogniser gives no times
    no_speech_probability: float = 0.0  # probability that the clip has no speech; 0: not available

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values, from which `from_json` makes the transcript again."""
        return {
            "text": self.text,
            "words": [[word.text, word.start, word.end, word.probability] for word in self.words],
            "no_speech_probability": self.no_speech_probability,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Transcript:
        """Return the transcript that `as_json` wrote."""
        words = tuple(HeardWord(*word) for word in values["words"])
        return cls(values["text"], words, values["no_speech_probability"])


@dataclass(frozen=True)
class RecognizerOptions:
    """Options of a recogniser.

    A model is a folder on this machine, or a repository of the Hugging Face hub with the commit of one revision. A
    repository is read from the local cache; it is downloaded only with `allow_download`.
    """

    model: str = "tiny.en"
    revision: str = ""  # commit, 40 hexadecimal digits; for a repository only
    device: str = "cpu"  # or "cuda", "cuda:1"
    compute_type: str = "default"  # precision of the weights, as the backend names it
    num_threads: int = 0  # CPU threads; 0: chosen by the backend
    batch_size: int = 16  # clips that are decoded together
    beam_size: int = 1  # 1: greedy
    allow_download: bool = False


class Recognizer(Protocol):
    """Transcribes clips.

    The result for a clip does not depend on the others of the call, but for rounding, and for the place where endless
    repetition is cut off.
    """

    @property
    def identity(self) -> str:
        """Backend, model and revision, to record with the results."""

    def supports(self, language: str) -> bool:
        """Return whether the recogniser understands a language, given by its tag."""

    def transcribe(self, recordings: Sequence[Recording], language: str) -> list[Transcript]:
        """Return one transcript for each recording, in their order.

        Args:
            recordings: Of any lengths; the recogniser makes the batches.
            language: Tag of what is spoken, e.g. "en" or "en-GB".
        """


@runtime_checkable
class TextScorer(Protocol):
    """A recogniser that can also score given texts against a recording."""

    @property
    def max_score_seconds(self) -> float:
        """Longest recording that it can score."""

    def score(self, recording: Recording, texts: Sequence[str], language: str) -> list[float]:
        """Return the log probability of each text, given the recording.

        A difference of n between two of them means that the first one is e ** n times as probable.
        """


class RecognizerLoader(Protocol):
    """Loads a recogniser. The entries of `RECOGNIZERS` have this type."""

    def check(self, options: RecognizerOptions) -> None:
        """Refuse options that cannot work on this machine, without loading the model.

        Raises:
            ConfigError: The package is not installed, or the model is not on this machine and may not be downloaded.
        """

    def __call__(self, options: RecognizerOptions) -> Recognizer:
        """Return the recogniser, with its model in memory.

        Raises:
            ConfigError: The package is not installed, or there is no such model on this machine.
        """


RECOGNIZERS: Registry[RecognizerLoader] = Registry(
    "parler_pipeline.recognizers",
    {"faster-whisper": "pipeline.quality.transcript.faster_whisper:FasterWhisperRecognizer"},
)
