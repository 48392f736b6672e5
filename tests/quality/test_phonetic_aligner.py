"""The phonetic alignment of a clip with its prompt, on clips of the voices that ship."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from bundled_speech import SENTENCES, speak

from pipeline.config import SamplingConfig
from pipeline.quality.transcript.phonetic_aligner import AlignedWord, PhoneticAligner, PhoneticAlignment
from pipeline.quality.transcript.pronunciation import pronounce
from pipeline.quality.transcript.recognizer import Recording
from pipeline.types import Clip

FAULT = 67.0  # evidence; see `Thresholds.aligned_fault`
PROMPT = SENTENCES[2]


@pytest.fixture(scope="module")
def clip() -> Clip:
    (spoken,) = speak("bundled", SamplingConfig(), [PROMPT])
    return spoken


@pytest.fixture(scope="module")
def aligner() -> PhoneticAligner:
    return PhoneticAligner()


def recording(clip: Clip, *parts: tuple[AlignedWord, AlignedWord]) -> Recording:
    """The stretches of a clip from the start of one word to the end of another."""
    cut = [clip.samples[round(a.start * clip.sampling_rate) : round(b.end * clip.sampling_rate)] for a, b in parts]
    return Recording(np.concatenate(cut), clip.sampling_rate)


def whole(clip: Clip) -> Recording:
    return Recording(clip.samples, clip.sampling_rate)


def align(aligner: PhoneticAligner, heard: Recording, prompt: str = PROMPT) -> PhoneticAlignment:
    found = aligner.align(heard, prompt, "en-GB")
    assert found is not None
    return found


def test_a_clip_is_aligned_with_its_words(aligner: PhoneticAligner, clip: Clip) -> None:
    """Guards against false faults, and word times outside the clip or out of order."""
    found = align(aligner, whole(clip))
    assert found.evidence == 0
    assert [word.text for word in found.words] == list(found.expected)
    times = [time for word in found.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= clip.seconds
    pauses = [after.start - before.end for before, after in zip(found.words, found.words[1:], strict=False)]
    assert found.words[int(np.argmax(pauses))].text == "evening", "the pause is at the comma"


def test_each_fault_of_words_is_found(aligner: PhoneticAligner, clip: Clip) -> None:
    """Guards the three faults that a recogniser corrects: a word left out, repeated, or in another order."""
    words = align(aligner, whole(clip)).words
    index = next(index for index, word in enumerate(words) if word.text == "brother")
    before, word, after, last = words[0], words[index], words[index + 1], words[-1]
    left_out = align(aligner, recording(clip, (before, words[index - 1]), (after, last)))
    repeated = align(aligner, recording(clip, (before, word), (word, last)))
    swapped = align(
        aligner, recording(clip, (before, words[index - 1]), (after, after), (word, word), (words[index + 2], last))
    )
    assert list(left_out.differences()) == [("brother", "")]
    assert ("", "brother") in repeated.differences()
    assert swapped.differences()
    assert min(left_out.evidence, repeated.evidence, swapped.evidence) > FAULT


def test_a_clip_does_not_depend_on_the_one_before(aligner: PhoneticAligner, clip: Clip) -> None:
    """Guards against state of the decoder, such as its running mean of the spectrum."""
    first = align(aligner, whole(clip))
    align(aligner, Recording(clip.samples[: len(clip.samples) // 3] * 0.01, clip.sampling_rate))
    assert align(aligner, whole(clip)) == first
    assert align(PhoneticAligner(), whole(clip)) == first
    quiet = Recording(clip.samples * np.float32(0.05), clip.sampling_rate)
    assert align(aligner, quiet).words == first.words


@pytest.mark.parametrize(
    "samples", [np.zeros(0, np.float32), np.zeros(16_000, np.float32), np.full(16_000, np.nan, np.float32)]
)
def test_silence_is_not_the_prompt(aligner: PhoneticAligner, samples: npt.NDArray[np.float32]) -> None:
    """Guards against a crash, and against silence that passes."""
    assert align(aligner, Recording(samples, 16_000)).evidence == math.inf


@pytest.mark.parametrize(("prompt", "language"), [("…", "en"), ("", "en"), ("Es war spät.", "de"), ("no " * 200, "en")])
def test_what_cannot_be_aligned_is_not_judged(aligner: PhoneticAligner, clip: Clip, prompt: str, language: str) -> None:
    assert aligner.align(whole(clip), prompt, language) is None


def test_names_are_pronounced(aligner: PhoneticAligner, clip: Clip) -> None:
    """Guards against a word without a pronunciation, which ends the decoder."""
    assert pronounce("Zoë") == "Z AA EH"
    assert pronounce("Khaleesi's") == "K HH AE L IY S IH S"
    assert pronounce("北京") == "AH"
    assert align(aligner, whole(clip), "Khaleesi Bingleyish 北京 o'Q").evidence > FAULT


def test_alignments_are_plain_json(aligner: PhoneticAligner, clip: Clip) -> None:
    for found in (align(aligner, whole(clip)), align(aligner, Recording(np.zeros(99, np.float32), 16_000))):
        assert PhoneticAlignment.from_json(found.as_json()) == found
