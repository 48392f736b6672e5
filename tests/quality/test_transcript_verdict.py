"""The verdict on a clip by its words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.quality.transcript.check import Listener, check_transcripts
from pipeline.quality.transcript.comparison import Comparison, compare, repaired
from pipeline.quality.transcript.recognizer import HeardWord, Recording, Transcript
from pipeline.quality.transcript.thresholds import Thresholds
from pipeline.quality.transcript.verdict import Outcome, Verdict, judge, texts_to_score

LIMITS = Thresholds()
PROMPT = "She dreaded seeing Mister Wickham again, and was resolved to avoid him as long as possible."
WORD_SECONDS = 0.3


def heard(text: str, probability: float = 0.95) -> Transcript:
    """A transcript whose words follow each other at a steady pace."""
    words = text.split()
    return Transcript(
        text,
        tuple(
            HeardWord(f" {word}", WORD_SECONDS * index, WORD_SECONDS * (index + 1), probability)
            for index, word in enumerate(words)
        ),
    )


def comparison(text: str, reference: str = PROMPT, seconds: float | None = None) -> Comparison:
    transcript = heard(text)
    return compare(reference, transcript, seconds or WORD_SECONDS * len(transcript.words) + 0.2, "en")


def verdict(text: str, reference: str = PROMPT, evidence: float | None = None) -> Verdict:
    """With evidence: how much more probable the transcript is than the prompt, in each place where they deviate."""
    found = comparison(text, reference)
    if evidence is None:
        return judge(found, LIMITS)
    scores = dict.fromkeys(texts_to_score(found, LIMITS), -evidence)
    return judge(found, LIMITS, {**scores, found.heard.strip(): 0.0})


@pytest.mark.parametrize(
    "text",
    [
        PROMPT,
        "She dreaded seeing Mr. Wickham again and was resolved to avoid him as long as possible.",
        "she dreaded seeing Mr. Wiccan again, and was resolved to avoid him as long as possible",
        "She dreaded seeing Mr. Wicked Ham again, and was resolved to avoid him as long as possible.",
    ],
)
def test_what_is_said_passes_however_it_is_written(text: str) -> None:
    """Guards names: the recogniser spells them its own way, which is no fault of the voice."""
    assert verdict(text).outcome is Outcome.PASS
    assert verdict(text, evidence=30.0).outcome is Outcome.PASS


FAULTS = [
    ("She dreaded seeing Mister Wickham again, and was resolved as long as possible.", "left out: to avoid him"),
    ("She dreaded seeing Mister Wickham again, and was resolved to avoid", "end cut: him as long as possible"),
    (PROMPT.replace("was resolved", "was resolved was resolved"), "doubled: was resolved"),
    (PROMPT.replace("seeing", "seeing seeing"), "doubled: seeing"),
    (PROMPT.replace("resolved to avoid", "to resolved avoid"), "swapped: to resolved for resolved to"),
    (PROMPT.replace("resolved to avoid", "resolved avoiding to"), "swapped: avoiding to for to avoid"),
    (PROMPT.replace("again", "again my dear old friend"), "added: my dear old friend"),
    (
        PROMPT + " Then the weather in the north of the country was fine.",
        "babble: Then the weather in the north of the",
    ),
    (PROMPT + " so so so so so so so so", "babble: so so so so so so so so"),
    ("The weather in the north of the country was fine.", "wrong: "),
]


@pytest.mark.parametrize(("text", "reason"), FAULTS)
def test_faults_of_two_words_are_retaken(text: str, reason: str) -> None:
    """Guards the purpose of the check, and the reason that people read."""
    for evidence in (None, 30.0):
        found = verdict(text, evidence=evidence)
        assert found.outcome is Outcome.RETAKE
        assert any(each.startswith(reason) for each in found.reasons), found.reasons


def test_one_word_is_judged_by_the_evidence() -> None:
    """Guards against retakes for a word that a recogniser may have missed."""
    text = PROMPT.replace("dreaded ", "")
    assert verdict(text).outcome is Outcome.UNSURE  # no scores
    assert verdict(text, evidence=0.5).outcome is Outcome.PASS
    assert verdict(text, evidence=0.9 * LIMITS.evidence).outcome is Outcome.UNSURE
    found = verdict(text, evidence=2 * LIMITS.evidence)
    assert (found.outcome, found.reasons) == (Outcome.RETAKE, ("left out: dreaded",))


def test_missing_words_need_more_evidence_where_there_was_time_for_them() -> None:
    """Guards dialogue tags at the end, which Whisper likes to leave out although they are spoken."""
    text = PROMPT.removesuffix(" as long as possible.")
    found = comparison(text, seconds=WORD_SECONDS * len(text.split()) + 2.0)
    scores = dict.fromkeys(texts_to_score(found, LIMITS), -1.5 * LIMITS.evidence) | {found.heard.strip(): 0.0}
    assert judge(found, LIMITS, scores).outcome is Outcome.UNSURE
    found = replace(found, seconds=WORD_SECONDS * len(text.split()))
    assert judge(found, LIMITS, scores).outcome is Outcome.RETAKE


def test_words_that_nobody_can_have_spoken_are_the_recognisers_own() -> None:
    """Guards against what an ASR makes up in the silence after the last word."""
    words = heard(PROMPT).words
    end = words[-1].end
    made_up = tuple(HeardWord(f" {word}", end, end + 0.1, 0.2) for word in ("Thank", "you", "for", "watching"))
    transcript = Transcript(PROMPT + " Thank you for watching", words + made_up)
    assert judge(compare(PROMPT, transcript, end + 0.3, "en"), LIMITS).outcome is Outcome.PASS
    spoken = tuple(
        replace(word, start=end + index, end=end + index + 0.9, probability=0.9) for index, word in enumerate(made_up)
    )
    transcript = Transcript(transcript.text, words + spoken)
    assert judge(compare(PROMPT, transcript, end + 4.0, "en"), LIMITS).outcome is Outcome.RETAKE


def test_babble_is_found_without_word_times() -> None:
    transcript = Transcript(PROMPT + " and then the weather in the north of the country was fine")
    assert judge(compare(PROMPT, transcript, 9.0, "en"), LIMITS).outcome is Outcome.RETAKE


@pytest.mark.parametrize("reference", ["Yes.", "Good day."])
def test_short_prompts_are_never_wrong(reference: str) -> None:
    """Guards single words, which a recogniser gets wrong without a sentence around them."""
    assert verdict(reference, reference).outcome is Outcome.PASS
    assert verdict("Hey there", reference).outcome is Outcome.UNSURE
    assert verdict("Hey there", reference, evidence=30.0).outcome is Outcome.UNSURE


@pytest.mark.parametrize("reference", ["Yes.", "Good day.", PROMPT])
def test_silent_and_endless_clips_are_retaken_at_any_length(reference: str) -> None:
    assert judge(compare(reference, Transcript(""), 3.0, "en"), LIMITS).outcome is Outcome.RETAKE
    assert judge(compare(reference, Transcript(" . . ."), 3.0, "en"), LIMITS).outcome is Outcome.RETAKE
    nobody = Transcript("You", (HeardWord(" You", 1.0, 2.0, 0.1),), no_speech_probability=0.95)
    assert judge(compare(reference, nobody, 3.0, "en"), LIMITS).outcome is Outcome.RETAKE
    endless = heard(reference + " and so on and on" * 20)
    assert judge(compare(reference, endless, 40.0, "en"), LIMITS).outcome is Outcome.RETAKE


def test_a_prompt_without_words_is_unsure() -> None:
    assert judge(compare("...", heard("you"), 1.0, "en"), LIMITS).outcome is Outcome.UNSURE


def test_rates_and_the_diff() -> None:
    """Guards what the columns and the review page show."""
    text = PROMPT.replace("dreaded ", "").replace("avoid him", "avoid avoid him")
    found = verdict(text)
    assert found.wer == pytest.approx(2 / 16)
    assert 0 < found.cer < 0.3
    assert " ".join(part.reference for part in found.diff if part.reference).replace(",", "") == PROMPT.replace(
        ",", ""
    ).removesuffix(".")
    assert all(PROMPT[part.start : part.end] == part.reference for part in found.diff)
    assert [part.kind.value for part in found.diff] == ["equal", "left out", "equal", "added", "equal"]
    assert found.diff[0].seconds == (0.0, pytest.approx(WORD_SECONDS))
    assert found.diff[1].seconds is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("She seeing Mr. Wickham.", "She dreaded seeing Mr. Wickham."),
        ("She dreaded seeing seeing Mr. Wickham.", "She dreaded seeing Mr. Wickham."),
        ("She dreaded seeing", "She dreaded seeing Mister Wickham."),
    ],
)
def test_a_repaired_transcript_has_the_words_of_the_prompt(text: str, expected: str) -> None:
    """Guards the texts that are scored: they differ from the transcript in one place only."""
    found = comparison(text, "She dreaded seeing Mister Wickham.")
    assert [repaired(found, deviation) for deviation in found.deviations] == [expected]


WORDS = st.lists(
    st.sampled_from(
        ["she", "21st", "21", "twenty", "first", "one,", "Mr.", "Hale", "it's", "snow-storm", "storm.", "..."]
    ),
    max_size=12,
)


@given(WORDS, WORDS, st.floats(0.0, 60.0))
def test_any_transcript_is_judged(reference: list[str], words: list[str], seconds: float) -> None:
    """Guards against texts that break the check, and verdicts without a reason."""
    found = compare(" ".join(reference), heard(" ".join(words)), seconds, "en")
    texts = texts_to_score(found, LIMITS)
    assert all(text.strip() for text in texts[:1])
    for scores in (None, dict.fromkeys(texts, -1.0)):
        result = judge(found, LIMITS, scores)
        assert (result.outcome is Outcome.PASS) == (not result.reasons)


class FakeRecognizer:
    """Hears what it was told, and finds the prompt improbable."""

    identity = "fake"
    max_score_seconds = 6.0

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        self.scored: list[int] = []

    def transcribe(self, recordings: Sequence[Recording], language: str) -> list[Transcript]:
        return [heard(text) for text in self.texts]

    def score(self, recording: Recording, texts: Sequence[str], language: str) -> list[float]:
        self.scored.append(len(recording.samples))
        return [-1.0 if text == texts[0] else -40.0 for text in texts]


class FakeWithoutScores:
    """Only hears."""

    identity = "fake"

    def transcribe(self, recordings: Sequence[Recording], language: str) -> list[Transcript]:
        return [heard(PROMPT.replace("dreaded ", "")) for _ in recordings]


def test_only_clips_that_deviate_are_listened_to_again() -> None:
    """Guards the cost: scoring takes a second pass over the clip."""
    recordings = [Recording(np.zeros(16_000 * 5 + index, np.float32), 16_000) for index in range(3)]
    recognizer = FakeRecognizer([PROMPT, PROMPT.replace("dreaded ", ""), PROMPT.replace("Wickham", "Wiccan")])
    found = check_transcripts(Listener(recognizer, LIMITS), recordings, [PROMPT] * 3, "en")
    assert [each.verdict.outcome for each in found] == [Outcome.PASS, Outcome.RETAKE, Outcome.PASS]
    assert recognizer.scored == [16_000 * 5 + 1]
    long = FakeRecognizer([PROMPT.replace("dreaded ", "")])
    check_transcripts(Listener(long, LIMITS), [Recording(np.zeros(16_000 * 7, np.float32), 16_000)], [PROMPT], "en")
    assert not long.scored
    unsure = check_transcripts(Listener(FakeWithoutScores(), LIMITS), recordings[:1], [PROMPT], "en")
    assert unsure[0].verdict.outcome is Outcome.UNSURE
