"""Encode samples as audio files in memory, and decode them: FLAC, WAV, Opus, MP3.

Samples are stored with 16 bits. The noise of a trained voice is above the rounding error, every program that reads
speech supports 16 bits, and FLAC with 24 bits is almost twice as large.
"""

from __future__ import annotations

import functools
import io
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from pipeline.config import AUDIO_FORMATS
from pipeline.errors import ConfigError, nearest_first
from pipeline.types import SYNTHETIC_SPEECH

_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(frozen=True)
class AudioFormat:
    """A file format."""

    container: str  # libsndfile's name
    subtype: str  # libsndfile's name
    suffix: str
    rates: tuple[int, ...] = ()  # sampling rates that it can store, in Hz; empty: any


_FORMATS = {
    "flac": AudioFormat("FLAC", "PCM_16", ".flac"),
    "wav": AudioFormat("WAV", "PCM_16", ".wav"),
    "opus": AudioFormat("OGG", "OPUS", ".opus", (8000, 12000, 16000, 24000, 48000)),
    "mp3": AudioFormat("MP3", "MPEG_LAYER_III", ".mp3", (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)),
}

LOSSLESS = ("flac", "wav")


def audio_format(name: str) -> AudioFormat:
    """Return the format with a name, e.g. "flac".

    Raises:
        ConfigError: There is no such format.
    """
    if name not in _FORMATS:
        raise ConfigError(f"dataset.format={name}: choose one of {', '.join(nearest_first(name, AUDIO_FORMATS))}")
    return _FORMATS[name]


def stored_rate(sampling_rate: int, name: str) -> int:
    """Return the rate in Hz at which a format stores audio of a sampling rate: the same, or the next higher one.

    Raises:
        ConfigError: There is no such format.
    """
    rates = audio_format(name).rates
    if not rates or sampling_rate in rates:
        return sampling_rate
    return min((rate for rate in rates if rate > sampling_rate), default=rates[-1])


def _shielded_from_signals(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Run a function in another thread, and wait for it.

    libsndfile accesses memory by callbacks into Python, where exceptions are printed and ignored. Ctrl-C and SIGTERM
    raise exceptions in the main thread: in such a callback they would be lost, and the encoded file might be damaged.
    """

    @functools.wraps(function)
    def in_thread(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(function, *args, **kwargs).result()

    return in_thread


@_shielded_from_signals
def encode(samples: npt.NDArray[np.float32], sampling_rate: int, name: str = "flac") -> bytes:
    """Encode mono audio. The same samples give the same bytes.

    Audio is resampled only if the format cannot store its rate (e.g. 44.1 kHz as Opus). Samples beyond full scale are
    clipped. A comment in the file says that the speech is synthetic.

    Args:
        samples: `[N]`, full scale is -1 to 1.
        sampling_rate: In Hz.
        name: Name of a format.

    Raises:
        ValueError: There are no samples, or a sample is not finite.
        ConfigError: There is no such format.
    """
    if len(samples) == 0 or not np.isfinite(samples).all():
        raise ValueError("cannot encode audio without samples, or with samples that are not finite")
    form = audio_format(name)
    rate = stored_rate(sampling_rate, name)
    if rate != sampling_rate:
        samples = soxr.resample(samples, sampling_rate, rate)
    pcm = np.clip(np.rint(samples * np.float32(32768)), -32768, 32767).astype(np.int16)
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", rate, channels=1, format=form.container, subtype=form.subtype) as file:
        file.comment = SYNTHETIC_SPEECH
        file.write(pcm)
    encoded = buffer.getvalue()
    return _with_fixed_serial(encoded) if form.container == "OGG" else encoded


@_shielded_from_signals
def decode(encoded: bytes) -> tuple[npt.NDArray[np.float32], int]:
    """Decode an audio file.

    Args:
        encoded: Content of the file.

    Returns:
        Samples `[N]`, and the sampling rate in Hz.

    Raises:
        soundfile.LibsndfileError: The bytes are damaged.
    """
    samples, sampling_rate = soundfile.read(io.BytesIO(encoded), dtype="float32")
    return samples, sampling_rate


def _with_fixed_serial(ogg: bytes) -> bytes:
    """Set the serial number of every Ogg page to 0, since libsndfile draws a random one for each stream.

    Layout of a page (RFC 3533): serial number in bytes 14 to 17, checksum in 22 to 25, number of segments in byte 26,
    lengths of the segments, segments.
    """
    pages = bytearray(ogg)
    start = 0
    while start < len(pages):
        num_segments = pages[start + 26]
        body = start + 27 + num_segments
        end = body + sum(pages[start + 27 : body])
        pages[start + 14 : start + 18] = bytes(4)
        pages[start + 22 : start + 26] = bytes(4)
        pages[start + 22 : start + 26] = struct.pack("<I", _ogg_checksum(pages[start:end]))
        start = end
    return bytes(pages)


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
        table.append(value & 0xFFFFFFFF)
    return tuple(table)


_CRC_TABLE = _crc_table()


def _ogg_checksum(page: bytes | bytearray) -> int:
    """Return the CRC-32 of Ogg, which is not bit-reversed like that of `zlib.crc32`."""
    value = 0
    for byte in page:
        value = ((value << 8) & 0xFFFFFFFF) ^ _CRC_TABLE[(value >> 24) ^ byte]
    return value
