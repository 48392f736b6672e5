"""Write `beginning.wav`, the first minutes of a book, while the rest is generated.

The clips are appended in reading order and joined as in the book, but without mastering. The file is deleted when the
book is finished. It is only for listening during the run; the run continues if it cannot be written.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from pipeline.config import BookConfig
from pipeline.outputs.audiobook.joining import BookClip, join
from pipeline.storage.paths import is_local
from pipeline.types import SYNTHETIC_SPEECH, Boundary, Utterance

Samples = npt.NDArray[np.float32]

NAME = "beginning.wav"
MAX_PREVIEW_UTTERANCES = 64  # about five minutes; limits the clips in memory while an early utterance is retried

_log = logging.getLogger(__name__)


class LivePreview:
    """Writer of `beginning.wav`. Clips are added in any order and written in reading order."""

    def __init__(self, run_dir: Path, utterances: Sequence[Utterance], config: BookConfig) -> None:
        """Create a writer. The file is created with the first clip.

        Args:
            run_dir: Directory of the run, on a local disk.
            utterances: The first utterances of the book, in reading order.
            config: Durations of pauses.
        """
        self.path = run_dir / NAME
        self._awaited = deque(utterances)
        self._clips: dict[str, tuple[Samples, int]] = {}  # by id; clips that wait for an earlier one
        self._next: list[BookClip] = []
        self._parts = join(iter(self._next.pop, None), config)  # yields one part for each clip in `_next`
        self._file: soundfile.SoundFile | None = None

    def add(self, id: str, samples: Samples, sampling_rate: int) -> bool:
        """Add the clip of an utterance and write all clips that are next in reading order.

        Args:
            id: Id of the utterance.
            samples: [N], mono, full scale is 1.0.
            sampling_rate: In Hz.

        Returns:
            Whether this call created the file.
        """
        if id not in {utterance.id for utterance in self._awaited}:
            return False
        was_silent = self._file is None
        self._clips[id] = samples, sampling_rate
        while self._awaited and (self._awaited[0].problem or self._awaited[0].id in self._clips):
            self._write(self._awaited.popleft())
        return was_silent and self._file is not None

    def close(self) -> None:
        """Write the remaining clips, skip missing ones, and close the file."""
        while self._awaited:
            self._write(self._awaited.popleft())
        if self._file is not None:
            self._file.close()

    def _write(self, utterance: Utterance) -> None:
        samples, rate = self._clips.pop(utterance.id, (np.zeros(0, np.float32), 0))
        try:
            if self._file is None and rate:
                self._file = soundfile.SoundFile(self.path, "w", rate, channels=1, subtype="PCM_16", format="WAV")
                self._file.comment = SYNTHETIC_SPEECH
            if self._file is not None:
                self._append(self._file, utterance, samples)
        except (OSError, soundfile.LibsndfileError) as error:
            _log.warning("warning: %s: cannot be written (%s); the run continues without it", self.path, error)
            self._awaited.clear()

    def _append(self, file: soundfile.SoundFile, utterance: Utterance, samples: Samples) -> None:
        segment = utterance.segment
        self._next.append(
            BookClip(
                id=utterance.id,
                text=utterance.prompt,
                chapter=segment.chapter if segment else 0,
                boundary=segment.boundary if segment else Boundary.NONE,
                samples=samples,  # empty for a reject, whose pause is still added
                sampling_rate=file.samplerate,
            )
        )
        part = next(self._parts)
        file.write(np.zeros(part.pause, np.float32))
        file.write(part.samples)
        file.flush()


def delete_live_preview(run_dir: Path) -> None:
    """Delete `beginning.wav` after the book is finished."""
    if is_local(run_dir):
        (run_dir / NAME).unlink(missing_ok=True)
