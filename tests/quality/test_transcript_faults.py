"""The faults that are put into clips to measure the transcript check, and the table of what was found."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.quality.transcript.recognizer import HeardWord, Recording
from scripts.checks.speech_faults import BABBLE, KINDS, Fault, Source, inject

RATE = 8_000
WORDS = tuple(HeardWord(f" w{index}", 0.5 * index, 0.5 * index + 0.45) for index in range(8))


def source(words: tuple[HeardWord, ...] = WORDS) -> Source:
    """Each word is a tone of its own amplitude; between words there is silence."""
    samples = np.zeros(RATE * 4, np.float32)
    for index in range(8):
        first = round((0.5 * index + 0.05) * RATE)
        samples[first : first + round(0.35 * RATE)] = 0.1 * (index + 1)
    other = Recording(np.full(RATE, -0.5, np.float32), RATE)
    return Source(Recording(samples, RATE), words, other, np.random.default_rng(5))


def order(fault: Fault) -> list[int]:
    """The words of a clip in the order in which they are heard."""
    levels = np.rint(fault.recording.samples * 10).astype(int)
    blocks = levels[: len(levels) // 200 * 200].reshape(-1, 200)
    steady = [int(block[0]) - 1 for block in blocks if block[0] > 0 and (block == block[0]).all()]
    return [word for index, word in enumerate(steady) if index == 0 or steady[index - 1] != word]


@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_is_repeatable(kind: str) -> None:
    """Guards the cached transcripts, which belong to one certain fault."""
    first, second = inject(kind, source()), inject(kind, source())
    assert first is not None
    assert second is not None
    assert first.detail == second.detail
    np.testing.assert_array_equal(first.recording.samples, second.recording.samples)


def test_the_words_that_are_named_are_the_words_concerned() -> None:
    cut = inject("one word cut out", source())
    assert cut is not None
    assert sorted([*order(cut), int(cut.detail[1:])]) == list(range(8))
    swapped = inject("two words swapped", source())
    assert swapped is not None
    first, second = (int(word[1:]) for word in swapped.detail.split())
    expected = list(range(8))
    expected[first], expected[second] = second, first
    assert order(swapped) == expected


def test_lengths() -> None:
    seconds = {kind: fault.recording.seconds for kind in KINDS if (fault := inject(kind, source()))}
    assert seconds["one word cut out"] < 4 < seconds["one word doubled"]
    assert seconds["end cut at 80 %"] == pytest.approx(3.2)
    assert seconds[BABBLE] == pytest.approx(7.0)
    assert seconds["half the sampling rate"] == pytest.approx(4.0)


def test_clips_with_too_few_words_get_no_fault_of_words() -> None:
    assert inject("one word cut out", source(WORDS[:2])) is None
    assert inject("two words swapped", source(())) is None


def test_intervals_and_groups() -> None:
    """Guards the table: shares of few clips are told with their uncertainty."""
    from scripts.checks.transcripts import wilson

    assert wilson(0, 50) == (0.0, pytest.approx(0.0713, abs=1e-3))
    assert wilson(95, 100) == (pytest.approx(0.888, abs=1e-3), pytest.approx(0.978, abs=1e-3))
