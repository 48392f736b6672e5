"""Samples to the bytes of an audio file, and back.

Owns the formats, the step to 16 bits and the rates a format can hold. Knows nothing of clips, datasets or disks.

16 bits, because a trained voice is noisier than their rounding, every consumer of speech reads them, and 24-bit FLAC
is almost twice as large for noise alone.
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
    """A file format as libsndfile names it; `rates` are the only ones it holds, in Hz, empty: any."""

    container: str
    subtype: str
    suffix: str
    rates: tuple[int, ...] = ()


_FORMATS = {
    "flac": AudioFormat("FLAC", "PCM_16", ".flac"),
    "wav": AudioFormat("WAV", "PCM_16", ".wav"),
    "opus": AudioFormat("OGG", "OPUS", ".opus", (8000, 12000, 16000, 24000, 48000)),
    "mp3": AudioFormat("MP3", "MPEG_LAYER_III", ".mp3", (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)),
}

LOSSLESS = ("flac", "wav")


def audio_format(name: str) -> AudioFormat:
    """Looks a format up by the name that the config uses."""
    if name not in _FORMATS:
        raise ConfigError(f"dataset.format={name}: choose one of {', '.join(nearest_first(name, AUDIO_FORMATS))}")
    return _FORMATS[name]


def stored_rate(sampling_rate: int, name: str) -> int:
    """The rate at which a format stores audio of `sampling_rate`: the same, or the next one it can hold."""
    rates = audio_format(name).rates
    if not rates or sampling_rate in rates:
        return sampling_rate
    return min((rate for rate in rates if rate > sampling_rate), default=rates[-1])


def _out_of_reach_of_signals(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Runs a function on a thread of its own, and waits for it.

    libsndfile reaches memory by callbacks into Python. What is raised there, as Ctrl-C and SIGTERM raise wherever the
    main thread is, is printed and forgotten: the run would go on, and the file that was being written might be a wrong
    one. Signals are raised in no other thread.
    """

    @functools.wraps(function)
    def on_a_thread(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(function, *args, **kwargs).result()

    return on_a_thread


@_out_of_reach_of_signals
def encode(samples: npt.NDArray[np.float32], sampling_rate: int, name: str = "flac") -> bytes:
    """Encodes mono audio; the same samples give the same bytes. A comment says that the speech is synthetic.

    Audio is resampled only where the format cannot hold its rate (44.1 kHz as Opus). Samples beyond full scale are
    clipped. There must be at least one sample, and no NaN or infinity: `checks.find_flaws` finds those.
    """
    if len(samples) == 0 or not np.isfinite(samples).all():
        raise ValueError("audio without samples, or with samples that are not a number, cannot be encoded")
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


@_out_of_reach_of_signals
def decode(encoded: bytes) -> tuple[npt.NDArray[np.float32], int]:
    """Returns samples [N] and the sampling rate in Hz; raises `soundfile.LibsndfileError` for damaged bytes."""
    samples, sampling_rate = soundfile.read(io.BytesIO(encoded), dtype="float32")
    return samples, sampling_rate


def _with_fixed_serial(ogg: bytes) -> bytes:
    """Gives every page the serial number 0, since libsndfile draws one by chance for each stream.

    Page layout, RFC 3533: serial number in bytes 14 to 17, checksum in 22 to 25, number of segments in byte 26, then
    their lengths, then the segments.
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
    """CRC-32 as Ogg defines it: not reflected, so that `zlib.crc32` is another one."""
    value = 0
    for byte in page:
        value = ((value << 8) & 0xFFFFFFFF) ^ _CRC_TABLE[(value >> 24) ^ byte]
    return value
