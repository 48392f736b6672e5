"""Compare the audio files of a book with the expected audio.

FLAC is lossless, so the samples of a chapter are compared. The m4b is lossy, and versions of FFmpeg decode it slightly
differently; its spectrum is compared for each second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from pipeline.storage.paths import open_regular, reason_of

Samples = npt.NDArray[np.float32]
Judge = Callable[[Samples, Samples], str]  # takes expected [N] and actual [N] samples; returns the problem or ""

# Machines may round the gain differently in the last bit, which can change a 16-bit sample by one step.
EXACT_STEPS = 2  # of 1/32768
# Versions of libsndfile decode clips in a lossy format (MP3, Opus) slightly differently.
LOSSY_STEPS = 64
_BLOCK_SECONDS = 1.0  # length of the blocks that are compared
_AAC_FRAME = 1024  # samples; the last frame is padded
# Limits between these measurements, on 142 s of the bundled voice and on white noise, at 8 to 44.1 kHz: the largest
# distance of any second is 0.9 dB for AAC from 64 kbit/s on, and 3.9 dB from 16 kbit/s on; the distance to another
# passage of the same voice is at least 7.7 dB.
_FAITHFUL_KBPS, _FAITHFUL_DB, _ROUGH_DB = 64, 1.5, 6.0
_FRAME, _BANDS, _FRAMES_A_CELL = 512, 16, 6  # of the spectrum: samples in a frame, bands, frames in a cell
_LOWEST_HZ, _HIGHEST_HZ = 100.0, 4000.0  # encoders remove higher frequencies at low bit rates
_FLOOR_POWER = 1e-6  # -60 dBFS; differences below it are inaudible


def judge_samples(steps: int) -> Judge:
    """Return a comparison of 16-bit audio that allows differences of `steps` quantization steps."""

    def judge(expected: Samples, heard: Samples) -> str:
        written = np.clip(np.rint(expected * np.float32(32768)), -32768, 32767)
        apart = np.abs(written - heard * np.float32(32768))
        num_other = int(np.count_nonzero(apart > steps))
        return f"{num_other} samples differ from the clips, by up to {apart.max() / 32768:.4f}" * bool(num_other)

    return judge


def judge_spectrum(sampling_rate: int, bitrate_kbps: int) -> Judge:
    """Return a comparison of lossy audio by the levels in frequency bands."""
    limit = _FAITHFUL_DB if bitrate_kbps >= _FAITHFUL_KBPS else _ROUGH_DB

    def judge(expected: Samples, heard: Samples) -> str:
        distance = spectral_distance(expected, heard, sampling_rate)
        problem = f"the spectrum differs from the clips by {distance:.1f} dB, limit {limit:g} dB"
        return problem if distance > limit else ""

    return judge


def spectral_distance(one: Samples, other: Samples, sampling_rate: int) -> float:
    """Return the RMS difference in dB between the band levels of two clips [N], over cells of about 0.1 s."""
    floors = [10 * np.log10(_band_powers(clip, sampling_rate) + _FLOOR_POWER) for clip in (one, other)]
    return float(np.sqrt(np.square(floors[0] - floors[1]).mean())) if floors[0].size else 0.0


def _band_powers(samples: Samples, sampling_rate: int) -> npt.NDArray[np.float64]:
    """Return powers [cells, bands]."""
    missing = max(0, _FRAME - len(samples))
    padded = np.pad(samples, (0, missing)) if missing else samples
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[:: _FRAME // 2] * np.hanning(_FRAME)
    powers = np.square(np.abs(np.fft.rfft(frames, axis=1))) / (
        _FRAME**2 * 0.375 / 2
    )  # 0.375: mean square of the window
    edges = np.geomspace(_LOWEST_HZ, min(_HIGHEST_HZ, 0.4 * sampling_rate), _BANDS + 1) / sampling_rate * _FRAME
    bands = np.add.reduceat(powers, np.unique(np.round(edges).astype(int)), axis=1)[:, :-1]
    starts = np.arange(0, max(1, len(bands) - _FRAMES_A_CELL + 1), _FRAMES_A_CELL)
    counts = np.diff(starts, append=len(bands))[:, np.newaxis]
    cells: npt.NDArray[np.float64] = np.add.reduceat(bands, starts, axis=0) / counts
    return cells


class ComparedFile:
    """A `make.Sink` that compares the received audio with a file. Use it as a context manager.

    Attributes:
        num_samples: Number of samples received so far.
        problem: The first problem of the file; "" if there is none.
    """

    def __init__(self, path: Path, sampling_rate: int, judge: Judge) -> None:
        self.num_samples = 0
        self.problem = ""
        self._path = path
        self._rate = sampling_rate
        self._judge = judge
        self._is_lossy = path.suffix != ".flac"
        self._waiting: list[Samples] = []  # received and not compared yet
        self._num_waiting = 0
        self._frames: Iterator[Samples] = iter(())
        self._heard: Samples = np.zeros(0, np.float32)  # decoded and not compared yet
        self._num_heard = 0
        self._open = ExitStack()

    def __enter__(self) -> ComparedFile:
        try:
            file = self._open.enter_context(open_regular(self._path))
            self._frames = self._decoded(self._open.enter_context(av.open(file)))
        except FileNotFoundError:
            self.problem = "missing"
        except (OSError, ValueError, av.FFmpegError) as error:
            self.problem = f"cannot be decoded ({reason_of(error)})"
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._open:
            if error is None:
                self._compare()
                self._compare_lengths()

    def write(self, samples: Samples) -> None:
        """Compare the next samples [N]."""
        self.num_samples += len(samples)
        self._waiting.append(samples)
        self._num_waiting += len(samples)
        if self._num_waiting >= _BLOCK_SECONDS * self._rate:
            self._compare()

    def write_silence(self, num_samples: int) -> None:
        """Compare the next samples with digital silence."""
        self.write(np.zeros(num_samples, dtype=np.float32))

    def _compare(self) -> None:
        expected = np.concatenate([np.zeros(0, np.float32), *self._waiting])
        self._waiting, self._num_waiting = [], 0
        if self.problem or not len(expected):
            return
        start = self.num_samples - len(expected)
        heard = self._read(len(expected))
        block = round(_BLOCK_SECONDS * self._rate)
        for first in range(0, len(heard), block):  # _compare_lengths reports a file that is too short
            problem = self._judge(expected[first : first + block][: len(heard) - first], heard[first : first + block])
            if problem and not self.problem:
                self.problem = f"at {(start + first) / self._rate:.1f} s {problem}"

    def _compare_lengths(self) -> None:
        while not self.problem.startswith("cannot") and len(self._read(self._rate)):
            pass
        slack = 3 * _AAC_FRAME if self._is_lossy else 0
        if abs(self._num_heard - self.num_samples) > slack and not self.problem.startswith(("cannot", "missing")):
            heard, expected = self._num_heard / self._rate, self.num_samples / self._rate
            self.problem = f"{heard:.3f} s of audio, but the clips have {expected:.3f} s"

    def _read(self, num_samples: int) -> Samples:
        """Return the next `num_samples` samples [N] of the file, or fewer at its end."""
        pieces, num_there = [self._heard], len(self._heard)
        try:
            while num_there < num_samples and (piece := next(self._frames, None)) is not None:
                pieces.append(piece)
                num_there += len(piece)
        except (OSError, ValueError, av.FFmpegError) as error:
            self.problem = f"cannot be decoded completely ({reason_of(error)})"
        heard = np.concatenate(pieces)
        heard, self._heard = heard[:num_samples], heard[num_samples:]
        self._num_heard += len(heard)
        return heard

    def _decoded(self, container: Any) -> Iterator[Samples]:
        if not container.streams.audio:
            raise OSError("the file has no audio")
        for frame in container.decode(audio=0):
            samples = frame.to_ndarray()
            if frame.sample_rate != self._rate or samples.shape[0] != 1 or len(frame.layout.channels) != 1:
                raise OSError(f"the audio is not mono at {self._rate} Hz")
            if samples.dtype.kind == "i":
                samples = samples / np.float32(2 ** (8 * samples.dtype.itemsize - 1))
            yield samples[0].astype(np.float32)
