"""Verify the audio of a book: decode each file completely and compare its duration with the index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av

from pipeline.outputs.audiobook.joining import TAIL_SECONDS
from pipeline.storage.paths import open_regular, read_json, reason_of

_FLAC_TOLERANCE = 0.001  # seconds; the index has rounded times
_AAC_FRAME = 1024  # samples; the last frame is padded, and some decoders include the encoder delay
_FIX = "rerun the command of the run to make the book again"


def audio_problems(book: Path) -> Iterator[str]:
    """Yield the audio files that cannot be decoded or have a wrong duration. Skip indexes of older versions.

    Raises:
        OSError: The index cannot be read.
    """
    try:
        index = read_json(book / "book.json")
        if not all(isinstance(entry, dict) for entry in index["files"]):
            return  # older versions list names only
        expected = _expected_seconds(index)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        yield f"book/book.json: damaged ({error!r}); {_FIX}"
        return
    for name, seconds in expected.items():
        try:
            with open_regular(book / name) as file:
                heard, rate = _decoded_length(file)
        except (OSError, ValueError, av.FFmpegError) as error:
            yield f"book/{name}: cannot be decoded completely ({reason_of(error)}); {_FIX}"
            continue
        tolerance = _FLAC_TOLERANCE if name.endswith(".flac") else 3 * _AAC_FRAME / rate
        if not abs(heard - seconds) <= tolerance:
            yield f"book/{name}: {heard:.3f} s of audio, but book.json says {seconds:.3f} s; {_FIX}"


def _expected_seconds(index: dict[str, Any]) -> dict[str, float]:
    """Return the duration in seconds of each audio file by name."""
    names = [Path(entry["name"]).name for entry in index["files"]]
    expected = {name: float(index["seconds"]) for name in names if name.endswith(".m4b")}
    for chapter in index["chapters"]:
        end = float(chapter["segments"][-1]["end"])
        expected[Path(chapter["file"]).name] = end - float(chapter["file_start"]) + TAIL_SECONDS
    return expected


def _decoded_length(file: Any) -> tuple[float, int]:
    """Return the duration in seconds and the sampling rate in Hz."""
    num_samples, rate = 0, 0
    with av.open(file) as container:
        if not container.streams.audio:
            raise OSError("the file has no audio")
        for frame in container.decode(audio=0):
            num_samples, rate = num_samples + frame.samples, frame.sample_rate
    if not num_samples:
        raise OSError("the file has no audio")
    return num_samples / rate, rate
