"""The text of a voice: how a prompt is read, and where its words are heard."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from voice_cases import HOP

from scripts.voice.judges import word_errors
from scripts.voice.manifest import Line
from scripts.voice.phones import locate_words
from scripts.voice.prompt_encoding import Reader, places_of, spoken_tokens
from scripts.voice.speech import Utterance
from scripts.voice.teachers import Sound, Span, Tones
from scripts.voice.template_sentences import own_sentences
from scripts.voice.tokenizer import make_lexicon, make_tokenizer

_LEXICON = {"late": ["l", "ˈA", "t"], "don't": ["d", "ˈO", "n", "t"], "don": ["d", "ˈɑ", "n"], "it": ["ɪ", "t"]}
_SOUNDS = ["A", "d", "l", "n", "t", "ɪ", "ˈA", "ˈO", "ˈɑ"]


def test_words_are_read_by_sound_and_others_by_letter() -> None:
    """Bug: a rule that finds a word within another, or within the sounds that another rule wrote."""
    tokenizer = make_tokenizer(_LEXICON, _SOUNDS)
    read = tokenizer.convert_ids_to_tokens(tokenizer("Don’t sit, it is Late.").input_ids)
    assert read == [*"ｄ", "ˈＯ", *"ｎｔ sit, ɪｔ is ｌ", "ˈＡ", *"ｔ.", "</s>"]


@settings(max_examples=100, deadline=None)
@given(text=st.text(alphabet="doniltae '’-,é\u200d", min_size=1, max_size=30))
def test_reader_reads_as_the_tokenizer_does(text: str) -> None:
    """Bug: training on other tokens than those that the checkpoint's own tokenizer gives."""
    tokenizer = make_tokenizer(_LEXICON, _SOUNDS)
    read = Reader(tokenizer).read(text)
    assert Reader(tokenizer, [text, "don't"]).read(text) == read
    assert list(read.ids) == tokenizer(text).input_ids
    assert len(read.ids) == len(read.places)
    assert list(read.places) == sorted(read.places)


def test_a_spelled_word_has_its_letters_at_their_places() -> None:
    """Bug: the joiner that hides a word from the lexicon shifts what is said of its letters."""
    tokenizer = make_tokenizer(_LEXICON, _SOUNDS)
    read = Reader(tokenizer).read("it: late", random.Random(0), spelled=1.0)
    assert tokenizer.convert_ids_to_tokens(read.ids) == [*"it: late", "</s>"]
    assert read.places == (0, 1, 2, 3, 4, 5, 6, 7, 8)


def test_a_known_word_is_followed_sound_by_sound() -> None:
    """Bug: a long vowel whose frames are spread over the consonants around it."""
    tokenizer = make_tokenizer(_LEXICON, _SOUNDS)
    sounds = (Sound("_", 2), Sound("l", 1), Sound("ˈA", 4), Sound("t", 1), Sound(" ", 1), Sound("ɪ", 1), Sound("t", 2))
    utterance = Utterance(Line("late it", "", "", 1.0), 0, 0, (Span(0, 4, 2, 9), Span(5, 7, 9, 12)), sounds)
    spoken = spoken_tokens(utterance, Reader(tokenizer).read("late it"), padding=1)
    assert spoken.tolist() == [-1, -1, 1, 2, 2, 2, 2, 3, 4, 5, 6, 6]
    assert places_of(spoken, padding=1).tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 3, 4, 5, 5]


def test_a_frame_without_a_token_stays_where_the_speech_was() -> None:
    """Bug: a pause that sends the decoder back to the beginning of its text."""
    spoken = torch.tensor([-1, 2.5, 3.4, -1, 3.9, 6.0, -1])
    assert places_of(spoken, padding=2).tolist() == [0, 1, 1, 1, 2, 4, 4]


def test_lexicon_takes_the_most_usual_way_of_the_most_usual_words() -> None:
    """Bug: one odd pronunciation, or a word heard once, for good in the tokenizer."""
    said = [("The", ["ð", "ə"]), ("the", ["ð", "i"]), ("the", ["ð", "ə"]), ("cat", ["k"]), ("A", ["ə"]), ("a", ["ə"])]
    assert make_lexicon(said, 9) == {"the": ["ð", "ə"], "a": ["ə"]}
    assert make_lexicon(said, 1) == {"the": ["ð", "ə"]}


def test_words_are_located_in_the_text_and_in_time() -> None:
    """Bug: a word that the teacher rewrote shifts all words after it."""
    words = [("Mister", "abc "), ("&", "and "), ("I", "d "), ("!", "!")]
    durations = np.arange(1, len("abc and d !") + 3)  # opening pad, each phoneme, closing pad
    ends = np.concatenate([[0], np.cumsum(durations)])
    spans, character = locate_words("Mister and I!", words, 0, durations, 100)
    assert [(span.start, span.end) for span in spans] == [(0, 6), (11, 12), (12, 13)]
    assert character == 13
    assert spans[0] == Span(0, 6, 100 + int(ends[1]), 100 + int(ends[5]))
    assert spans[1].first_frame == 100 + ends[9]


@settings(max_examples=30, deadline=None)
@given(text=st.text(alphabet="ab ,.", min_size=1, max_size=20), speed=st.sampled_from([0.8, 1.0, 1.25]))
def test_spans_lie_inside_the_audio(text: str, speed: float) -> None:
    """Bug: spans of a teacher that reach past its samples."""
    speech = Tones().speak(Line(text, "Tone", "moderate", speed), 0)
    assert len(speech.samples) % HOP == 0
    assert speech.spans[-1].last_frame * HOP == len(speech.samples)
    assert speech.spans[-1].end == len(text)
    assert sum(sound.frames for sound in speech.sounds) * HOP == len(speech.samples)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_own_sentences_are_spoken_forms(seed: int) -> None:
    """Bug: an unfilled slot, or digits that a teacher and an ASR would read in ways of their own."""
    sentence = next(own_sentences(random.Random(seed)))
    assert not any(character.isdigit() or character in "{}" for character in sentence)


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("Twenty-four ships.", "24 ships", 0),
        ("It is late.", "It was late", 1),
        ("It is late.", "", 3),
        ("Late.", "It is late", 2),
    ],
)
def test_word_errors(said: str, heard: str, errors: int) -> None:
    """Bug: a word error rate that counts spelling, or leaves out words that were added or lost."""
    assert word_errors(said, heard) == (errors, len(said.replace("-", " ").split()))
