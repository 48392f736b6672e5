"""Who speaks: teachers that turn a line into samples and say which frame belongs to which characters.

A teacher works on a grid of 25 ms, the codec's frames. It knows no codec and no model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import soxr

from scripts.voice.lines import Line

FRAME_SECONDS = 0.025
_EDGE_FRAMES = 4  # of silence left at both ends
_SILENCE_DBFS = -50.0


@dataclass(frozen=True)
class Span:
    """A stretch of the text and when it is spoken: both half open, in characters and frames."""

    start: int
    end: int
    first_frame: int
    last_frame: int


@dataclass(frozen=True)
class Speech:
    """One spoken line, a whole number of frames long."""

    samples: npt.NDArray[np.float32]
    spans: tuple[Span, ...]  # in order; frames and characters between two of them belong to none


class Teacher(Protocol):
    """Something that speaks. It is made once in every process that renders."""

    speakers: tuple[str, ...]
    sampling_rate: int

    def speak(self, line: Line, seed: int) -> Speech:
        """The same line and seed give the same speech."""


class Hibari:
    """The package hibari-tts: one US female voice, about 100 times real time on a core.

    Its network tells the duration of each phoneme in units of 25 ms; that tensor is made an output here.
    """

    speakers: tuple[str, ...] = ("Heart",)

    def __init__(self, sampling_rate: int = 16_000) -> None:
        self.sampling_rate = sampling_rate

    @cached_property
    def _voice(self) -> Any:
        from hibari import Hibari as Voice

        return Voice(threads=1)

    @cached_property
    def _session(self) -> Any:
        import onnxruntime
        from hibari.voices import voice_path

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        network = Path(voice_path("heart")).read_bytes() + _extra_output(b"/Clip_output_0")
        return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])

    def speak(self, line: Line, seed: int) -> Speech:
        """See `Teacher`."""
        from hibari.dsp import SR

        chance = np.random.default_rng(seed)
        pieces, spans, frame, character = [], [], 0, 0
        for sentence in self._voice.split_sentences(line.text):
            words = self._words(sentence)
            samples, durations = self._synthesize("".join(sound for _, sound in words).strip(), line.speed, chance)
            found, character = _locate(line.text, words, character, durations, frame)
            pieces.append(samples)
            spans += found
            frame += int(durations.sum())
        whole = soxr.resample(np.concatenate(pieces), SR, self.sampling_rate)
        hop = round(self.sampling_rate * FRAME_SECONDS)
        return _trimmed(np.resize(whole, frame * hop) if len(whole) < frame * hop else whole[: frame * hop], spans, hop)

    def _words(self, sentence: str) -> list[tuple[str, str]]:
        """Words as written and their phonemes, with the space after a word among its phonemes."""
        from hibari.g2p import normalize

        reader = self._voice.g2p
        tokens = reader.phonemize_tokens(reader.tokenize(normalize(sentence)))
        return [(token.text, (token.phonemes or "") + (" " if token.whitespace else "")) for token in tokens]

    def _synthesize(self, phonemes: str, speed: float, chance: np.random.Generator) -> tuple[Any, Any]:
        """Samples at 24 kHz and the duration of the opening pad, each phoneme and the closing pad, in frames."""
        from hibari.dsp import synth

        ids = self._voice.ids(phonemes)
        inputs = {"ids": np.asarray([ids], np.int64), "speed": np.asarray([speed], np.float32)}
        *spectra, durations = self._session.run(None, inputs)
        known = self._voice.vocab
        full = np.zeros(len(phonemes) + 2, int)  # one for each character, 0 where the network does not know it
        full[[0, *[i + 1 for i, sound in enumerate(phonemes) if sound in known], -1]] = durations
        return synth(*(spectrum[0] for spectrum in spectra), chance), full


def _extra_output(name: bytes) -> bytes:
    """Bytes that, put after an ONNX file, add a tensor to its outputs: protobuf merges messages that follow another."""

    def message(field: int, content: bytes) -> bytes:
        return bytes([field << 3 | 2, len(content)]) + content  # both below 128, so one byte each

    graph_of_model, output_of_graph, name_of_value = 7, 12, 1
    return message(graph_of_model, message(output_of_graph, message(name_of_value, name)))


def _locate(
    text: str, words: Sequence[tuple[str, str]], character: int, durations: npt.NDArray[np.int64], frame: int
) -> tuple[list[Span], int]:
    """Finds the words of one sentence in `text` from `character` on; `frame` is where its audio begins.

    A word that the teacher has rewritten is not found and gets no span.
    """
    ends = frame + np.concatenate([[0], np.cumsum(durations)])
    spans, sound = [], 1  # the opening pad is durations[0]
    for word, phonemes in words:
        first, last = ends[min(sound, len(durations) - 1)], ends[min(sound + len(phonemes), len(durations) - 1)]
        sound += len(phonemes)
        start = text.find(word, character)
        if start < 0:
            continue
        character = start + len(word)
        if last > first:
            spans.append(Span(start, character, int(first), int(last)))
    return spans, character


def _trimmed(samples: npt.NDArray[np.float32], spans: Sequence[Span], hop: int) -> Speech:
    """Without the silence at both ends, but for a few frames."""
    levels = np.sqrt((samples.reshape(-1, hop).astype(np.float64) ** 2).mean(axis=1))
    loud = np.flatnonzero(levels > 10 ** (_SILENCE_DBFS / 20))
    if not len(loud):
        raise ValueError("the teacher was silent")
    first = max(0, int(loud[0]) - _EDGE_FRAMES)
    last = min(len(levels), int(loud[-1]) + 1 + _EDGE_FRAMES)
    moved = (
        Span(span.start, span.end, max(span.first_frame, first) - first, min(span.last_frame, last) - first)
        for span in spans
    )
    kept = tuple(span for span in moved if span.last_frame > span.first_frame)
    return Speech(np.ascontiguousarray(samples[first * hop : last * hop], dtype=np.float32), kept)


class Tones:
    """A stand-in for tests: every letter is a tone of its own, 75 ms long at speed 1; everything else is a rest."""

    speakers: tuple[str, ...] = ("Tone",)

    def __init__(self, sampling_rate: int = 16_000) -> None:
        self.sampling_rate = sampling_rate

    def speak(self, line: Line, seed: int) -> Speech:
        """See `Teacher`."""
        hop = round(self.sampling_rate * FRAME_SECONDS)
        frames = max(1, round(3 / line.speed))
        time = np.arange(frames * hop) / self.sampling_rate
        chance = np.random.default_rng(seed)
        pitches = [150 + 40 * (ord(letter) % 32) if letter.isalpha() else 0 for letter in line.text]
        tones = [0.3 * np.sin(2 * np.pi * pitch * time) for pitch in pitches]
        noise = 0.001 * chance.standard_normal(len(time) * len(tones))
        spans = tuple(Span(i, i + 1, i * frames, (i + 1) * frames) for i in range(len(tones)))
        return Speech((np.concatenate(tones) + noise).astype(np.float32), spans)


TEACHERS: dict[str, Callable[[int], Teacher]] = {"hibari": Hibari, "tones": Tones}  # given a sampling rate
