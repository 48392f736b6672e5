"""Alignment of what was heard with the prompt."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.quality.transcript.align import MAX_WORDS, Difference, Step, align, character_errors, word_errors
from pipeline.quality.transcript.words import Word

WORDS = st.lists(
    st.sampled_from(["the", "snow", "storm", "snowstorm", "elinor", "eleanor", "a", "an", "other", "another", "x"]),
    max_size=25,
)


def as_words(forms: Sequence[str]) -> list[Word]:
    return [Word(form.lower(), 0, 1) for form in forms]


def steps_of(reference: str, heard: str) -> list[tuple[str, str, str]]:
    words, others = reference.split(), heard.split()
    return [
        (step.kind.value, " ".join(words[step.first : step.last]), " ".join(others[step.heard_first : step.heard_last]))
        for step in align(as_words(words), as_words(others))
    ]


@given(WORDS, WORDS)
def test_steps_cover_both_texts_in_order(reference: list[str], heard: list[str]) -> None:
    """Guards the diff: no word of either text is lost or shown twice."""
    first = heard_first = 0
    for step in align(as_words(reference), as_words(heard)):
        assert (step.first, step.heard_first) == (first, heard_first)
        assert (step.last, step.heard_last) != (first, heard_first)
        first, heard_first = step.last, step.heard_last
    assert (first, heard_first) == (len(reference), len(heard))


@given(WORDS, WORDS)
def test_errors_are_none_for_equal_texts_and_bounded_for_others(reference: list[str], heard: list[str]) -> None:
    words, others = as_words(reference), as_words(heard)
    assert word_errors(align(words, words)) == character_errors(align(words, words), words, words) == 0
    assert word_errors(align(words, others)) <= len(words) + len(others)


@pytest.mark.parametrize(
    ("reference", "heard", "expected"),
    [
        ("he went home again", "he home again", [("left out", "went", "")]),
        ("he went home", "he went went home", [("added", "", "went")]),
        ("he went home", "he went", [("left out", "home", "")]),
        ("a snow storm came", "a snowstorm came", [("same sound", "snow storm", "snowstorm")]),
        ("miss elinor came", "miss eleanor came", [("same sound", "elinor", "eleanor")]),
        ("miss udolpho came", "miss adolfo came", [("substituted", "udolpho", "adolfo")]),
        (
            "of the grand tilney estate",
            "of the tony estate",
            [("left out", "grand", ""), ("substituted", "tilney", "tony")],
        ),
    ],
)
def test_differences(reference: str, heard: str, expected: list[tuple[str, str, str]]) -> None:
    """Guards the kinds of difference: what sounds alike stands beside its like."""
    found = [step for step in steps_of(reference, heard) if step[0] != "equal"]
    assert sorted(found) == sorted(("added" if kind == "added" else kind, ref, hyp) for kind, ref, hyp in expected)


def test_rates_count_words_and_letters() -> None:
    reference, heard = as_words(["he", "wept", "there", "again"]), as_words(["he", "swept", "there"])
    steps = align(reference, heard)
    assert word_errors(steps) == 2
    assert character_errors(steps, reference, heard) == 1 + len("again")


@pytest.mark.parametrize(
    ("reference", "heard"),
    [
        ("the end", "so " * 50_000),
        ("word " * 20_000, "other " * 20_000),
        (" ".join(f"a{number}" for number in range(3_000)), " ".join(f"b{number}" for number in range(3_000))),
    ],
)
def test_hostile_texts_are_aligned_in_bounded_time(reference: str, heard: str) -> None:
    """Guards against a recogniser that loops, and rows that hold whole books."""
    words, others = as_words(reference.split()), as_words(heard.split())
    start = time.perf_counter()
    steps = align(words, others)
    assert time.perf_counter() - start < 5
    assert steps[-1].last == len(words)
    assert steps[-1].heard_last == len(others)
    assert word_errors(steps) >= min(MAX_WORDS, len(others)) - len(words)


def test_only_errors_count() -> None:
    assert not Step(Difference.SAME_SOUND, 0, 2, 0, 1).is_error
    assert Step(Difference.SUBSTITUTED, 0, 2, 0, 1).num_errors == 2
