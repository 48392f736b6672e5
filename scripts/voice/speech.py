"""Renders lines with a teacher and keeps the result: samples on disk, one row of facts for each line.

A shard is `NAME.npy` (int16 samples of its lines, end to end), `NAME.voice` (how high the voice is and where its pulses
are) and `NAME.jsonl` (their texts, lengths, spans). Shards are rendered by several processes and written atomically:
whatever is there is complete, what is missing is rendered.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scripts.voice.manifest import Line, read_lines
from scripts.voice.neural_teachers import make_teacher
from scripts.voice.teachers import HALVES, Sound, Span, Speech, Teacher, Voice

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Utterance:
    """One rendered line, and where its audio lies in the shard."""

    line: Line
    start: int  # in samples
    num_samples: int
    spans: tuple[Span, ...]
    sounds: tuple[Sound, ...]


@dataclass(frozen=True)
class Shard:
    """A finished shard."""

    path: Path  # of the samples

    @cached_property
    def samples(self) -> Samples:
        """All samples, mapped into memory."""
        mapped: Samples = np.load(self.path, mmap_mode="r")
        return mapped

    @cached_property
    def utterances(self) -> tuple[Utterance, ...]:
        """In the order of the samples."""
        with self.path.with_suffix(".jsonl").open(encoding="utf-8") as file:
            rows = [json.loads(row) for row in file]
        return tuple(
            Utterance(
                Line(**row["line"]),
                row["start"],
                row["num_samples"],
                tuple(Span(*span) for span in row["spans"]),
                tuple(Sound(*sound) for sound in row["sounds"]),
            )
            for row in rows
        )

    def audio(self, utterance: Utterance) -> npt.NDArray[np.float32]:
        """Samples of one utterance, full scale at 1."""
        samples = self.samples[utterance.start : utterance.start + utterance.num_samples]
        scaled: npt.NDArray[np.float32] = samples.astype(np.float32) / np.float32(32768)
        return scaled

    def voice(self, utterance: Utterance, hop: int) -> Voice:
        """The voice of one utterance; a frame has `hop` samples."""
        halves = slice(
            *(HALVES * sample // hop for sample in (utterance.start, utterance.start + utterance.num_samples))
        )
        return Voice(*self._voices[:, halves])

    @cached_property
    def _voices(self) -> npt.NDArray[np.float32]:
        loaded: npt.NDArray[np.float32] = np.load(self.path.with_suffix(".voice"))
        return loaded


def shards(folder: Path, part: str) -> list[Shard]:
    """The finished shards of `train` or `held_out`."""
    return [Shard(path) for path in sorted(folder.glob(f"{part}-*.npy"))]


@dataclass(frozen=True)
class TeacherPool:
    """How lines are rendered: goes to every process."""

    teacher: str
    sampling_rate: int
    seed: int
    voice_packs: Path | None = None


def render(lines: Path, folder: Path, studio: TeacherPool, shard_lines: int, processes: int) -> None:
    """Render what is missing of both parts and print how long everything is."""
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    tasks = list(_missing(lines, folder, shard_lines))
    job = partial(_render_shard, studio=studio)
    if processes > 1 and len(tasks) > 1:
        _teacher(studio)  # here first: what a teacher unpacks once, several processes must not unpack at once
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            seconds = sum(pool.imap_unordered(job, tasks))
    else:
        seconds = sum(map(job, tasks))
    elapsed = time.monotonic() - began
    if tasks:
        print(f"speech: {seconds / 3600:.2f} h rendered in {elapsed:.0f} s, {seconds / elapsed:.0f} x real time")
    for part in ("train", "held_out"):
        utterances = [utterance for shard in shards(folder, part) for utterance in shard.utterances]
        hours = sum(utterance.num_samples for utterance in utterances) / studio.sampling_rate / 3600
        print(f"speech: {part}: {len(utterances)} utterances, {hours:.2f} h")


def _missing(lines: Path, folder: Path, shard_lines: int) -> Iterator[tuple[Path, Sequence[Line]]]:
    for part in ("held_out", "train"):
        rows = read_lines(lines / f"{part}.jsonl")
        for number, first in enumerate(range(0, len(rows), shard_lines)):
            path = folder / f"{part}-{number:04d}.npy"
            if not path.exists():
                yield path, rows[first : first + shard_lines]


@lru_cache(maxsize=1)  # one for each process: loading takes longer than a line
def _teacher(studio: TeacherPool) -> Teacher:
    return make_teacher(studio.teacher, studio.sampling_rate, studio.voice_packs)


def _render_shard(task: tuple[Path, Sequence[Line]], studio: TeacherPool) -> float:
    """Write one shard and return its seconds."""
    path, lines = task
    speeches = [_teacher(studio).speak(line, studio.seed + number) for number, line in enumerate(lines)]
    utterances = [
        Utterance(line, 0, len(speech.samples), speech.spans, speech.sounds)
        for line, speech in zip(lines, speeches, strict=True)
    ]
    write_shard(path, utterances, [_as_int16(speech) for speech in speeches], [speech.voice for speech in speeches])
    return sum(utterance.num_samples for utterance in utterances) / studio.sampling_rate


def write_shard(
    path: Path, utterances: Sequence[Utterance], pieces: Sequence[Samples], voices: Sequence[Voice]
) -> None:
    """Write a shard of these utterances with their samples. The samples come last: they mark it as complete."""
    rows: list[dict[str, Any]] = []
    start = 0
    for utterance, piece in zip(utterances, pieces, strict=True):
        spans = [list(asdict(span).values()) for span in utterance.spans]
        sounds = [list(asdict(sound).values()) for sound in utterance.sounds]
        facts = {"line": asdict(utterance.line), "start": start, "num_samples": len(piece)}
        rows.append({**facts, "spans": spans, "sounds": sounds})
        start += len(piece)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.with_suffix(".jsonl").write_text(text, encoding="utf-8")
    with path.with_suffix(".voice").open("wb") as file:
        np.save(file, np.concatenate([np.stack([voice.hertz, voice.cycles]) for voice in voices], axis=1))
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        np.save(file, np.concatenate(pieces))
    unfinished.replace(path)


def _as_int16(speech: Speech) -> Samples:
    return np.round(np.clip(speech.samples, -1, 32767 / 32768) * 32768).astype(np.int16)
