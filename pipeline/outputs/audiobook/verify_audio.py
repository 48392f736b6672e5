"""Verification of a book's audio: each file is decoded to its end, and is as long as the index says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av

from pipeline.outputs.audiobook.joining import TAIL_SECONDS
from pipeline.storage.paths import open_regular, read_json, reason_of

_FLAC_TOLERANCE = 0.001  # seconds; times in the index are rounded
_AAC_FRAME = 1024  # samples; the last frame is padded, and a decoder may give the encoder's delay as well
_MEND = "give the run's own command again to make the book anew"


def audio_problems(book: Path) -> Iterator[str]:
    """Decode the files that the index gives a length, a little at a time. Nothing for a book of names alone.

    Raises:
        OSError: The index cannot be read.
    """
    try:
        index = read_json(book / "book.json")
        if not all(isinstance(entry, dict) for entry in index["files"]):
            return  # an older index
        expected = _expected_seconds(index)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        yield f"book/book.json: damaged ({error!r}); {_MEND}"
        return
    for name, seconds in expected.items():
        try:
            with open_regular(book / name) as file:
                heard, rate = _decoded_length(file)
        except (OSError, ValueError, av.FFmpegError) as error:
            yield f"book/{name}: cannot be decoded to its end ({reason_of(error)}); {_MEND}"
            continue
        tolerance = _FLAC_TOLERANCE if name.endswith(".flac") else 3 * _AAC_FRAME / rate
        if not abs(heard - seconds) <= tolerance:
            yield f"book/{name}: {heard:.3f} s of audio, book.json says {seconds:.3f} s; {_MEND}"


def _expected_seconds(index: dict[str, Any]) -> dict[str, float]:
    """The length of each audio file, by its name."""
    names = [Path(entry["name"]).name for entry in index["files"]]
    expected = {name: float(index["seconds"]) for name in names if name.endswith(".m4b")}
    for chapter in index["chapters"]:
        end = float(chapter["segments"][-1]["end"])
        expected[Path(chapter["file"]).name] = end - float(chapter["file_start"]) + TAIL_SECONDS
    return expected


def _decoded_length(file: Any) -> tuple[float, int]:
    """Seconds of audio, and the sampling rate."""
    num_samples, rate = 0, 0
    with av.open(file) as container:
        if not container.streams.audio:
            raise OSError("it has no audio")
        for frame in container.decode(audio=0):
            num_samples, rate = num_samples + frame.samples, frame.sample_rate
    if not num_samples:
        raise OSError("it has no audio")
    return num_samples / rate, rate
