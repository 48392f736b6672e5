"""The first minutes of a book, to be heard while the rest is rendered.

Owns `beginning.wav` in a run directory. It grows by clips in reading order, joined as in the book but at the level
they were spoken at, and is deleted when the book is there. It is for ears: nothing is made of it, and a run goes on
without it.
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
MAX_PREVIEW_UTTERANCES = 64  # some five minutes; more would have to wait in memory where an early one is taken again

_log = logging.getLogger(__name__)


class LivePreview:
    """`beginning.wav`, open for writing. Clips come in any order and are written in that of the book."""

    def __init__(self, run_dir: Path, utterances: Sequence[Utterance], config: BookConfig) -> None:
        """Write nothing yet.

        Args:
            run_dir: A folder on a disk of this machine.
            utterances: The first ones of the book, in reading order.
            config: For the pauses.
        """
        self.path = run_dir / NAME
        self._awaited = deque(utterances)
        self._clips: dict[str, tuple[Samples, int]] = {}  # by the utterance's id: those that wait for an earlier one
        self._next: list[BookClip] = []
        self._parts = join(iter(self._next.pop, None), config)  # which draws one clip for each part
        self._file: soundfile.SoundFile | None = None

    def add(self, id: str, samples: Samples, sampling_rate: int) -> bool:
        """Add the clip of an utterance, write what follows the last one written, and return whether it is the first.

        Args:
            id: Of the utterance.
            samples: [N], mono, full scale is 1.0.
            sampling_rate: In Hz.
        """
        if id not in {utterance.id for utterance in self._awaited}:
            return False
        was_silent = self._file is None
        self._clips[id] = samples, sampling_rate
        while self._awaited and (self._awaited[0].problem or self._awaited[0].id in self._clips):
            self._write(self._awaited.popleft())
        return was_silent and self._file is not None

    def close(self) -> None:
        """Write what is there, now that others will not come, and no more."""
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
            _log.warning("warning: %s: cannot be written (%s); the run goes on", self.path, error)
            self._awaited.clear()

    def _append(self, file: soundfile.SoundFile, utterance: Utterance, samples: Samples) -> None:
        segment = utterance.segment
        self._next.append(
            BookClip(
                id=utterance.id,
                text=utterance.prompt,
                chapter=segment.chapter if segment else 0,
                boundary=segment.boundary if segment else Boundary.NONE,
                samples=samples,  # of a reject none, but its pause follows
                sampling_rate=file.samplerate,
            )
        )
        part = next(self._parts)
        file.write(np.zeros(part.pause, np.float32))
        file.write(part.samples)
        file.flush()


def delete_live_preview(run_dir: Path) -> None:
    """Delete it, now that the whole book can be heard."""
    if is_local(run_dir):
        (run_dir / NAME).unlink(missing_ok=True)
