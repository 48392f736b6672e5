"""Balanced voices: how often each speaks in a shard and in a split."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import ModelConfig, SpeakerChoice, StyleConfig, TextConfig, VoiceConfig
from pipeline.errors import ConfigError
from pipeline.planning import group_into_shards, plan_utterances, predict_seconds
from pipeline.text.segmentation import segment_document
from pipeline.types import Chapter, Document, Paragraph, Shard
from pipeline.voices import Casting

NAMES = ["Jon", "Lea", "Gary", "Jenna", "Mike", "Laura", "Patrick"]


def row(number: int, text: str = "", **fields: str) -> Document:
    text = text or f"Row number {number}."
    return Document(f"r{number}", text, (Chapter("", (Paragraph(text, 0),)),), has_own_id=True, **fields)  # type: ignore[arg-type]


def plan(rows: list[Document], num_speakers: int, shard_size: int, run_seed: int = 0) -> list[Shard]:
    speakers = [SpeakerChoice(name) for name in NAMES[:num_speakers]]
    casting = Casting(VoiceConfig(speakers=speakers, balance=True), ModelConfig("untrained"))
    casting.begin_plan(shard_size)
    utterances = plan_utterances(
        rows, lambda document: segment_document(document, TextConfig(split=False), predict_seconds), casting, run_seed
    )
    return list(group_into_shards(utterances, shard_size))


def is_balanced(counts: Counter[str], num_speakers: int) -> bool:
    numbers = [counts[name] for name in NAMES[:num_speakers]]
    return max(numbers) - min(numbers) <= 1


@given(
    st.lists(st.tuples(st.sampled_from(["train", "test"]), st.sampled_from(["", "", "", "own", "mute"])), max_size=90),
    st.integers(2, 7),
    st.integers(1, 13),
    st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_each_voice_speaks_equally_often(
    kinds: list[tuple[str, str]], num_speakers: int, shard_size: int, run_seed: int
) -> None:
    """Guards against a shard or a split in which one voice speaks more often than others."""
    rows = [
        row(number, "..." if kind == "mute" else "", split=split, **({"speaker": "Rick"} if kind == "own" else {}))
        for number, (split, kind) in enumerate(kinds)
    ]
    totals: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for shard in plan(rows, num_speakers, shard_size, run_seed):
        spoken = [each for each in shard.utterances if not each.problem and each.speaker != "Rick"]
        counts = Counter(str(each.speaker) for each in spoken)
        assert is_balanced(counts, num_speakers)
        for each in spoken:
            totals[each.split][str(each.speaker)] += 1
    for counts in totals.values():
        assert is_balanced(counts, num_speakers)
    number_of_own = sum(kind == "own" for _, kind in kinds)
    speakers = [each.speaker for shard in plan(rows, num_speakers, shard_size, run_seed) for each in shard.utterances]
    assert speakers.count("Rick") == number_of_own


def test_no_pattern_of_the_input_favours_a_voice() -> None:
    """Guards against a fixed order of speakers, e.g. the same voice for each question of a dialogue."""
    utterances = [each for shard in plan([row(n) for n in range(800)], 2, 50) for each in shard.utterances]
    questions = Counter(each.speaker for each in utterances[::2])
    assert 120 < questions["Jon"] < 280


def test_the_same_plan_has_the_same_voices_each_time() -> None:
    """Guards against other voices when a run is planned again."""
    rows = [row(n) for n in range(40)]
    assert plan(rows, 4, 8) == plan(rows, 4, 8)
    assert plan(rows, 4, 8) != plan(rows, 4, 8, run_seed=1)


def test_styles_are_drawn_as_ever() -> None:
    """Guards against an effect of `voice.balance` on styles."""
    styles = [StyleConfig(pace="slightly slow", weight=3), StyleConfig(pace="slightly fast", weight=1)]
    casting = Casting(
        VoiceConfig(speakers=[SpeakerChoice("Jon"), SpeakerChoice("Lea")], styles=styles, balance=True),
        ModelConfig("untrained"),
    )
    casting.begin_plan(10)
    rows = plan_utterances(
        [row(n) for n in range(200)],
        lambda d: segment_document(d, TextConfig(split=False), predict_seconds),
        casting,
        0,
    )
    numbers = Counter(each.description.replace(str(each.speaker), "") for each in rows)
    assert sorted(numbers.values()) == pytest.approx([50, 150], abs=25)


@pytest.mark.parametrize(
    ("voice", "key"),
    [
        (VoiceConfig(speaker="Jon", balance=True), "voice=varied"),
        (VoiceConfig(description="A calm voice.", balance=True), "voice=varied"),
        (VoiceConfig(speakers=[SpeakerChoice("Jon"), SpeakerChoice("Lea", 2)], balance=True), "weight"),
        (VoiceConfig(speakers=[SpeakerChoice("jon"), SpeakerChoice("Jon"), SpeakerChoice("Lea")], balance=True), "Jon"),
    ],
)
def test_what_cannot_be_balanced_is_refused(voice: VoiceConfig, key: str) -> None:
    """Guards against a setting that is accepted without an effect."""
    with pytest.raises(ConfigError, match=r"voice\.balance") as error:
        Casting(voice, ModelConfig("untrained"))
    assert key in str(error.value)
