"""Phonemes of the neural teachers: how a text is pronounced, and which frames each word and phone takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from scripts.voice.teachers import HALVES, Sound, Span, Speech, Voice

_EDGE_FRAMES = 4  # of silence left at both ends
_SILENCE_DBFS = -50.0
_REST = "_"  # name of the silence before and after a sentence
_STRESS = "ˈˌ"


def pronounce_text(text: str) -> Iterator[tuple[str, list[str]]]:
    from hibari import Hibari as Reader

    for sentence in Reader.split_sentences(text):
        for word, phonemes in split_into_words(sentence):
            silent = np.zeros(len(phonemes.strip()) + 2, np.int64)
            yield word, [sound.name for sound in split_into_phones(phonemes.strip(), silent)][1:-1]


@lru_cache(maxsize=1)
def _reader() -> Any:
    from hibari.g2p import G2P

    return G2P()


def split_into_words(sentence: str) -> list[tuple[str, str]]:
    """Words as written and their phonemes, with the space after a word among its phonemes."""
    from hibari.g2p import normalize

    reader = _reader()
    tokens = reader.phonemize_tokens(reader.tokenize(normalize(sentence)))
    return [(token.text, (token.phonemes or "") + (" " if token.whitespace else "")) for token in tokens]


def phoneme_ids(phonemes: str, vocabulary: Mapping[str, int]) -> tuple[list[int], list[int]]:
    """Ids of the phonemes that the network knows, between two pads, and their places in `phonemes`, counted from 1."""
    places = [i for i, sound in enumerate(phonemes, 1) if sound in vocabulary]
    return [0, *(vocabulary[phonemes[i - 1]] for i in places), 0], places


def spread_durations(durations: Any, places: Sequence[int], phonemes: str) -> npt.NDArray[np.int64]:
    """Durations of all phonemes and both pads: 0 for a phoneme that the network does not know."""
    spread = np.zeros(len(phonemes) + 2, np.int64)
    spread[[0, *places, -1]] = durations.ravel()
    return spread


def locate_words(
    text: str, words: Sequence[tuple[str, str]], character: int, durations: npt.NDArray[np.int64], frame: int
) -> tuple[list[Span], int]:
    """Find the words of one sentence in `text` from `character` on; `frame` is where its audio begins.

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


def split_into_phones(phonemes: str, durations: npt.NDArray[np.int64]) -> Iterator[Sound]:
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


def trim_silence(
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
