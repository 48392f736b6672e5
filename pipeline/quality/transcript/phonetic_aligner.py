"""Phonetic alignment of a clip with its prompt: which words were left out or said twice, and when each was spoken.

A recogniser with a language model corrects what it hears: it writes a word that was left out, and writes a repeated
word once. The aligner has no language model. It explains the audio with the words of the prompt only, each of which may
be left out, repeated or swapped with the next one. `evidence` says how much better the words that were found explain
the audio than the prompt does.

The acoustic models (hidden Markov models of CMU Sphinx, 10 ms frames) are those of the package `soundswallower`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr

from pipeline.errors import ConfigError
from pipeline.quality.transcript.pronunciation import pronounce
from pipeline.quality.transcript.recognizer import Recording
from pipeline.quality.transcript.words import stretches
from pipeline.text.spoken_form import base_language

__all__ = ["AlignedWord", "PhoneticAligner", "PhoneticAlignment", "spoken_words"]

SAMPLING_RATE = 16_000
_MODELS = {"en": "en-us"}  # by language
_INSTALL = "pip install 'parler-pipeline[quality]'"
_MAX_WORDS = 120  # of a prompt; a longer one is not aligned
_MIN_SECONDS, _MAX_SECONDS = 0.1, 60.0  # of a clip
_LEVEL = 0.9  # of full scale, to which clips are brought
_BACK = (1, 2, 3, 4)  # words that the speaker may go back
_DEVIATION = 1e-10  # probability of leaving out a word, and of each way back
_SCORE_SCALE = 1024  # the package returns the likelihood to the power of 1 / 1024
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_VARIANT = re.compile(r"\(\d+\)$")  # "and(2)" is the second pronunciation of "and"


@dataclass(frozen=True)
class AlignedWord:
    """A word of the prompt, and when it was spoken."""

    text: str  # lower case
    start: float  # seconds from the beginning of the clip
    end: float


@dataclass(frozen=True)
class PhoneticAlignment:
    """The words that explain the audio best: words of the prompt, some left out or repeated.

    Attributes:
        words: As they were spoken.
        expected: The words of the prompt.
        evidence: Natural logarithm of how much more probable the audio is with `words` than with `expected`. 0: they
            are the same. Infinite: neither the prompt nor any variation of it explains the audio.
    """

    words: tuple[AlignedWord, ...]
    expected: tuple[str, ...]
    evidence: float

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values, from which `from_json` makes the alignment again."""
        evidence = self.evidence if math.isfinite(self.evidence) else None
        words = [[word.text, word.start, word.end] for word in self.words]
        return {"words": words, "expected": list(self.expected), "evidence": evidence}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> PhoneticAlignment:
        """Return the alignment that `as_json` wrote."""
        evidence = math.inf if values["evidence"] is None else float(values["evidence"])
        words = tuple(AlignedWord(*word) for word in values["words"])
        return cls(words, tuple(values["expected"]), evidence)

    def differences(self) -> Iterator[tuple[str, str]]:
        """Yield the places where both differ: what was expected, and what was spoken."""
        spoken = [word.text for word in self.words]
        for is_equal, first, last, spoken_first, spoken_last in stretches(self.expected, spoken):
            if not is_equal:
                yield " ".join(self.expected[first:last]), " ".join(spoken[spoken_first:spoken_last])


class PhoneticAligner:
    """Aligns clips with their prompts. One clip takes about 3 % of its length on one CPU core."""

    def __init__(self) -> None:
        """Import the package; a model is loaded when its language is first aligned.

        Raises:
            ConfigError: The package is not installed.
        """
        try:
            import soundswallower
        except ImportError as error:
            raise ConfigError(f"soundswallower: it is not installed ({error}); install it: {_INSTALL}") from error
        self._package = soundswallower
        self._decoders: dict[str, Any] = {}

    def align(self, recording: Recording, prompt: str, language: str) -> PhoneticAlignment | None:
        """Align a clip.

        Args:
            recording: The clip.
            prompt: In its spoken form.
            language: Tag of the prompt.

        Returns:
            The alignment; None if the language has no acoustic model, or if the prompt has no words, or too many.
        """
        model = _MODELS.get(base_language(language))
        words = spoken_words(prompt)
        if model is None or not 0 < len(words) <= _MAX_WORDS or recording.seconds > _MAX_SECONDS:
            return None
        audio = _prepare(recording)
        if audio is None:
            return PhoneticAlignment((), words, math.inf)
        decoder = self._decoder(model)
        for word in set(words):
            if decoder.lookup_word(word) is None:
                decoder.add_word(word, pronounce(word))
        free, path = _decode(decoder, audio, words, with_deviations=True)
        spoken = tuple(word.text for word in path)
        if free is None:
            return PhoneticAlignment((), words, math.inf)
        if spoken == words:
            return PhoneticAlignment(path, words, 0.0)
        expected, _ = _decode(decoder, audio, words, with_deviations=False)
        found, _ = _decode(decoder, audio, spoken, with_deviations=False)
        if expected is None or found is None:
            return PhoneticAlignment(path, words, math.inf)
        return PhoneticAlignment(path, words, max(0.0, found - expected))

    def _decoder(self, model: str) -> Any:
        if model not in self._decoders:
            config = self._package.Config(
                hmm=f"{self._package.get_model_path()}/{model}",
                loglevel="FATAL",
                samprate=SAMPLING_RATE,
                bestpath=False,
                beam=1e-60,  # wide: a search that loses the right path would find a deviation
                wbeam=1e-40,
                pbeam=1e-60,
                lw=1.0,
                wip=1.0,
                silprob=0.1,
            )
            self._decoders[model] = self._package.Decoder(config)
        return self._decoders[model]


def spoken_words(text: str) -> tuple[str, ...]:
    """Return the words of a text as the aligner names them: in lower case, hyphenated ones as several."""
    return tuple(match.group().lower().replace("’", "'") for match in _WORD.finditer(text))


def _prepare(recording: Recording) -> bytes | None:
    """Return 16-bit samples at the model's rate and at a constant level; None if there is nothing to hear."""
    samples = np.nan_to_num(np.asarray(recording.samples, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    samples = np.asarray(soxr.resample(samples, recording.sampling_rate, SAMPLING_RATE), dtype=np.float32)
    peak = float(np.abs(samples).max(initial=0.0))
    if len(samples) < _MIN_SECONDS * SAMPLING_RATE or peak == 0:
        return None  # the decoder cannot process it
    return (samples * (_LEVEL * 32767 / peak)).astype(np.int16).tobytes()


def _decode(
    decoder: Any, audio: bytes, words: Sequence[str], with_deviations: bool
) -> tuple[float | None, tuple[AlignedWord, ...]]:
    """Return the log likelihood of the best path and its words; None if no path explains all of the audio."""
    arcs: list[tuple[Any, ...]] = []
    for index, word in enumerate(words):
        arcs.append((index, index + 1, 1.0, word))
        if with_deviations:
            arcs.append((index, index + 1, _DEVIATION))
            arcs += [(index + 1, index + 1 - back, _DEVIATION) for back in _BACK if back <= index + 1]
            if index + 1 < len(words):  # swapped with the next one, over a state of its own
                between = len(words) + 1 + index
                arcs += [(index, between, _DEVIATION, words[index + 1]), (between, index + 2, 1.0, word)]
    decoder.set_fsg(decoder.create_fsg("prompt", 0, len(words), arcs))
    decoder.start_utt()
    decoder.process_raw(audio, full_utt=True)  # the means are those of the whole clip: no clip depends on another one
    decoder.end_utt()
    hypothesis = decoder.hyp
    if hypothesis is None or hypothesis.score <= 0:
        return None, ()
    path = tuple(
        AlignedWord(_VARIANT.sub("", segment.text), round(segment.start, 2), round(segment.start + segment.duration, 2))
        for segment in decoder.seg
        if segment.text[0].isalpha()  # others are silence, noise and arcs without a word
    )
    return _SCORE_SCALE * math.log(hypothesis.score), path
