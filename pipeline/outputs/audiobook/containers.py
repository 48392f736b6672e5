"""File formats of a book: FLAC and m4b with tags, chapter marks and cover (PyAV), subtitles, safe file names."""

from __future__ import annotations

import io
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from html import escape
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import av
import numpy as np
import numpy.typing as npt
from av.stream import Disposition

from pipeline.errors import ConfigError

Samples = npt.NDArray[np.float32]

NAME_BYTES = 120  # file systems allow 255; leaves room for a prefix and the extension
MARK_BYTES = 255  # longest chapter title in an m4b; FFmpeg would truncate inside a character
MAX_COVER_BYTES = 20_000_000
RESERVED_NAMES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(1, 10))}
# Languages of the European Parler-TTS checkpoints, as the ISO 639-2 codes that MP4 requires.
MP4_LANGUAGES = {"en": "eng", "fr": "fra", "es": "spa", "pt": "por", "pl": "pol", "de": "deu", "it": "ita", "nl": "nld"}


class Mark(NamedTuple):
    """A chapter mark; `start` and `end` are in samples."""

    title: str
    start: int
    end: int


class Cue(NamedTuple):
    """A subtitle; `start` and `end` are in seconds."""

    text: str
    start: float
    end: float


class AudioWriter:
    """Streaming writer of a mono audio file. Use it as a context manager, which completes the file on exit."""

    def __init__(self, container: av.container.OutputContainer, stream: av.AudioStream, sampling_rate: int) -> None:
        self.num_samples = 0
        self._container = container
        self._stream = stream
        self._sampling_rate = sampling_rate

    def __enter__(self) -> AudioWriter:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()

    def write(self, samples: Samples) -> None:
        """Append `samples` [N]."""
        if not len(samples):
            return
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="fltp", layout="mono")
        frame.sample_rate = self._sampling_rate
        frame.time_base = Fraction(1, self._sampling_rate)
        frame.pts = self.num_samples
        self.num_samples += len(samples)
        self._container.mux(self._stream.encode(frame))

    def write_silence(self, num_samples: int) -> None:
        """Append digital silence."""
        self.write(np.zeros(num_samples, dtype=np.float32))


def open_flac(path: Path, sampling_rate: int, tags: Mapping[str, str]) -> AudioWriter:
    """Open a 16-bit FLAC file with Vorbis comments for writing."""
    container = av.open(str(path.resolve()), "w", format="flac")
    container.metadata.update(_written(tags))
    stream = container.add_stream("flac", rate=sampling_rate, layout="mono", format="s16")
    return AudioWriter(container, stream, sampling_rate)


@dataclass(frozen=True)
class M4bOptions:
    """Settings and metadata of an m4b."""

    bitrate_kbps: int
    tags: Mapping[str, str]
    language: str  # code such as "en"
    marks: Sequence[Mark]
    cover: bytes | None = None  # JPEG or PNG


def open_m4b(path: Path, sampling_rate: int, options: M4bOptions) -> AudioWriter:
    """Open an MP4 audiobook: AAC, with chapter marks and a cover.

    The marks are written in two formats: as a Nero chapter list, which is limited to 255 chapters, and as a QuickTime
    text track. The edit list contains the encoder delay, so that time 0 is the first sample in players that support
    edit lists. (FFmpeg's format "ipod" writes the same marks but does not support covers.)
    """
    container = av.open(str(path.resolve()), "w", format="mp4", options={"brand": "M4B ", "movflags": "+faststart"})
    container.metadata.update(_written({"media_type": "2", **options.tags}))  # 2: an audiobook
    # The FFmpeg documentation recommends the fast coder from 64 kbit/s on; it is also twice as fast.
    search = "fast" if options.bitrate_kbps >= 64 else "twoloop"
    stream = container.add_stream(
        "aac", rate=sampling_rate, layout="mono", format="fltp", options={"aac_coder": search}
    )
    stream.bit_rate = options.bitrate_kbps * 1000
    if options.language in MP4_LANGUAGES:
        stream.metadata["language"] = MP4_LANGUAGES[options.language]
    container.set_chapters(
        [
            {
                "id": number,
                "start": mark.start,
                "end": mark.end,
                "time_base": Fraction(1, sampling_rate),
                "metadata": {"title": cut_to_bytes(mark.title, MARK_BYTES)},
            }
            for number, mark in enumerate(options.marks)
        ]
    )
    if options.cover is not None:
        _attach_cover(container, options.cover)
    return AudioWriter(container, stream, sampling_rate)


def _attach_cover(container: av.container.OutputContainer, cover: bytes) -> None:
    with av.open(io.BytesIO(cover)) as picture:
        source = picture.streams.video[0]
        stream = container.add_stream_from_template(source)
        stream.disposition = Disposition.attached_pic
        packet = next(picture.demux(source))
        packet.stream = stream
        packet.pts = packet.dts = 0
        container.mux(packet)


def cover_packet(cover: bytes) -> bytes:
    """Return the bytes that an m4b contains for a cover picture."""
    with av.open(io.BytesIO(cover)) as picture:
        return bytes(next(picture.demux(picture.streams.video[0])))


def check_cover(path: Path) -> bytes:
    """Read a cover picture. Call this before a run starts, so that a wrong file is reported early.

    Raises:
        ConfigError: The file cannot be read or is not a JPEG or PNG.
    """
    path = path.expanduser()
    try:
        is_special = path.exists() and not path.is_file()  # reading a pipe or a device may never end
        content = b""
        if not is_special:
            with path.open("rb") as file:
                content = file.read(MAX_COVER_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"book.cover={path}: cannot be read ({error.strerror}); use a JPEG or PNG file") from error
    if len(content) > MAX_COVER_BYTES:
        raise ConfigError(f"book.cover={path}: larger than {MAX_COVER_BYTES / 1e6:,.0f} MB; use a smaller picture")
    if problem := "is not a regular file" if is_special else picture_problem(content):
        raise ConfigError(f"book.cover={path}: {problem}; use a JPEG or PNG file")
    return content


def picture_problem(content: bytes) -> str:
    """Return why these bytes cannot be used as a cover; "" if they can."""
    try:
        with av.open(io.BytesIO(content)) as picture:
            codec = str(picture.streams.video[0].codec_context.name)
            next(picture.decode(video=0))
    except (av.FFmpegError, IndexError, StopIteration, AttributeError, ValueError):  # for example an SVG
        return "is not a readable picture"
    return "" if codec in ("mjpeg", "png") else f"has the format {codec}"


def _written(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if value}


def cut_to_bytes(text: str, limit: int) -> str:
    """Return the longest prefix of `text` that is at most `limit` bytes in UTF-8."""
    return text.encode()[:limit].decode(errors="ignore")


def safe_name(text: str, default: str) -> str:
    """Return `text` as a file name without extension that is valid on Windows, macOS, Linux and FAT; else `default`."""
    name = unicodedata.normalize("NFC", text)
    name = re.sub(r'[<>:"/\\|?*]', " ", name)
    name = "".join(" " if unicodedata.category(letter).startswith("C") else letter for letter in name)
    name = cut_to_bytes(" ".join(name.split()), NAME_BYTES).strip(" .")
    if name.split(".")[0].strip().upper() in RESERVED_NAMES:
        name = f"_{name}"
    return name or default


def srt(cues: Iterable[Cue]) -> str:
    """Return subtitles in SubRip format."""
    blocks = (
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{_one_line(cue.text)}\n"
        for number, cue in enumerate(cues, start=1)
    )
    return "\n".join(blocks)


def vtt(cues: Iterable[Cue]) -> str:
    """Return subtitles in WebVTT format."""
    blocks = (
        f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{escape(_one_line(cue.text), quote=False)}\n"
        for cue in cues
    )
    return "\n".join(["WEBVTT\n", *blocks])


def _one_line(text: str) -> str:
    # In both formats an empty line ends a cue, and an arrow is part of its header.
    return " ".join(text.split()).replace("-->", "→")


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"


def publish(staging: Path, directory: Path, names: Sequence[str], old_names: Sequence[str]) -> None:
    """Move `names` from `staging` to `directory` in this order, after deleting the files only in `old_names`."""
    for name in names:
        with (staging / name).open("rb+") as file:
            os.fsync(file.fileno())
    for name in set(old_names) - set(names):
        (directory / name).unlink(missing_ok=True)
    for name in names:
        (staging / name).replace(directory / name)
