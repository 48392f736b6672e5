"""The form in which a prompt and a transcript are compared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.quality.transcript.align import align, word_errors
from pipeline.quality.transcript.recognizer import HeardWord, Transcript
from pipeline.quality.transcript.words import heard_words, split_words
from pipeline.text.spoken_form import spoken_form


def forms(text: str, language: str = "en") -> list[str]:
    return [word.form for word in split_words(text, language)]


# What is written in a book, and what a recogniser writes for a right reading of its spoken form.
HEARD_RIGHT = [
    ("Mr. Bennet paid £10.", "Mister Bennett paid ten pounds."),
    ("Mr. Bennet paid £10.", "Mr. Bennet paid £10."),
    ("He was born on May 5, 1813.", "He was born on May 5th 1813."),
    ("at 3:45 p.m.", "at 3.45 PM"),
    ("Chapter XIV", "Chapter 14"),
    ("King Henry VIII had six wives.", "King Henry the 8th had 6 wives."),
    ("on the 21st of March", "on the twenty first of March"),
    ("About 30% of the work-force", "about thirty percent of the workforce"),
    ("a snow-storm in the sea-side town", "A snowstorm in the seaside town."),
    ("some body knows", "somebody knows"),
    ("The colour of the harbour was grey.", "The color of the harbor was gray."),
    ("We travelled to the theatre and analysed it.", "We traveled to the theater and analyzed it."),
    ("a cheque for a programme", "a check for a program"),
    ("I don't know; they're here, won't he?", "I do not know. They are here, will not he?"),
    ("It's true that he'd gone.", "It is true that he had gone."),
    ("I cannot go at five o'clock.", "I can not go at 5 o clock."),
    ("I knew their son would write.", "I new there sun wood right."),
    ("Lizzy Bennet of Gracechurch Street", "Lizzie Bennett of Grace Church Street"),
    ("a fortnight", "a Fortnite"),
    ("one hundred and five men", "one hundred five men"),
    ("café", "cafe"),
    ("“Don’t,” said he.", '"Don\'t," said he.'),
]


@pytest.mark.parametrize(("written", "heard"), HEARD_RIGHT)
def test_another_spelling_of_the_same_sounds_is_no_error(written: str, heard: str) -> None:
    """Guards against retakes of clips that are read well, but written otherwise by the recogniser."""
    reference = split_words(spoken_form(written, "en", True), "en")
    steps = align(reference, split_words(heard, "en"))
    assert word_errors(steps) == 0, [step for step in steps if step.is_error]


def test_prompts_that_are_not_normalised_are_compared_too() -> None:
    """Guards runs with text.normalize=false, whose prompts hold figures."""
    assert forms("Call 2 cabs.") == forms("call two cabs") == ["call", "two", "cabs"]


def test_words_know_their_place_in_the_text() -> None:
    """Guards the diff that people read: it quotes the prompt as it is written."""
    text = "Well, Mr. Hale paid $25 -- at once."
    words = split_words(text, "en")
    assert {text[word.start : word.end] for word in words} == {"Well", "Mr", "Hale", "paid", "25", "at", "once"}
    assert [word.form for word in words if text[word.start : word.end] == "25"] == ["twenty", "five", "dollars"]


@given(st.text(max_size=200))
def test_any_text_is_split(text: str) -> None:
    """Guards against transcripts that break the check: a recogniser may write anything."""
    for language in ("en", "de", "hi"):
        words = split_words(text, language)
        assert all(word.form and 0 <= word.start < word.end <= len(text) for word in words)


@pytest.mark.parametrize(
    ("language", "reference", "heard"),
    [
        ("de", "Um drei Uhr, Fräulein Müller!", "um drei uhr fräulein müller"),
        ("fr", "L'été d'Émile", "l’été d’Émile."),
        ("hi", "नमस्ते, आप कैसे हैं?", "नमस्ते आप कैसे हैं"),
        ("zh", "你好，世界。", "你好世界"),
    ],
)
def test_other_languages_are_compared_by_letters(language: str, reference: str, heard: str) -> None:
    """Guards languages without a normalizer: case and marks go, accents and vowel signs stay."""
    assert forms(reference, language) == forms(heard, language)
    assert forms("é", "fr") != forms("e", "fr")


def test_vowel_signs_are_parts_of_words() -> None:
    """Guards Hindi, whose vowel signs are no letters to Python, and the joiners of Persian."""
    assert forms("नमस्ते, आप कैसे हैं?", "hi") == ["नमस्ते", "आप", "कैसे", "हैं"]
    assert forms("می\u200cروم", "fa") == ["میروم"]


def test_a_language_without_spaces_has_a_word_for_each_character() -> None:
    assert forms("你好，世界。", "zh") == ["你", "好", "世", "界"]


def test_heard_words_keep_their_times() -> None:
    """Guards the times of words: several words of one figure share its time by their lengths."""
    transcript = Transcript(
        "Page 25, please.",
        (HeardWord(" Page", 0.1, 0.4), HeardWord(" 25,", 0.4, 1.3, 0.5), HeardWord(" please.", 1.3, 2)),
    )
    text, words = heard_words(transcript, "en")
    assert text.split() == ["Page", "25,", "please."]
    assert [word.form for word in words] == ["page", "twenty", "five", "please"]
    assert [word.seconds for word in words] == [
        (0.1, 0.4),
        (0.4, pytest.approx(0.94)),
        (pytest.approx(0.94), 1.3),
        (1.3, 2),
    ]
    assert [word.probability for word in words] == [1.0, 0.5, 0.5, 1.0]


@pytest.mark.parametrize("parts", [(" for", " 85", ",000", " men."), ("for", "85,000", "men.")])
def test_parts_of_figures_are_joined(parts: tuple[str, ...]) -> None:
    """Guards figures that a recogniser writes in parts, and recognisers whose words have no blanks."""
    heard = tuple(HeardWord(part, float(index), index + 1.0) for index, part in enumerate(parts))
    _, words = heard_words(Transcript("for 85,000 men.", heard), "en")
    assert [word.form for word in words] == ["for", "eighty", "five", "thousand", "men"]


def test_heard_words_without_times() -> None:
    text, words = heard_words(Transcript("Good day."), "en")
    assert (text, [word.form for word in words], words[0].seconds) == ("Good day.", ["good", "day"], None)
