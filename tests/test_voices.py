"""The speaker catalogue, the wording of descriptions, and who is drawn for which utterance."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import ModelConfig, SpeakerChoice, StyleConfig, VoiceConfig
from pipeline.errors import ConfigError
from pipeline.voices import Casting, Voice, catalogue, describe

MINI = ModelConfig("mini", "parler/mini", similarity="mini_v1")
LARGE = ModelConfig("large", "parler/large", similarity="large_v1")
SHIPPED = ModelConfig("bundled", speakers=["Heart", "Puck"])
CLAUSES = ("expressivity", "pace", "pitch", "room", "quality")
FULL = StyleConfig("monotone", "slightly fast", "very low-pitch", "very close", "almost no background noise")

# Every word of the training descriptions' vocabulary, by clause.
LEVELS = ("very", "quite", "slightly")
BINS = {
    "expressivity": [
        "moderately dynamic",
        *(f"{a} {b}" for a in LEVELS for b in ("monotone", "expressive and animated")),
    ],
    "pace": ["moderate speed", *(f"{a} {b}" for a in LEVELS for b in ("slowly", "fast"))],
    "pitch": ["moderate pitch", *(f"{a} {b}" for a in LEVELS for b in ("low-pitch", "high-pitch"))],
    "room": [
        "moderately balanced reverberation",
        *(f"{a} {b}" for a in LEVELS for b in ("distant-sounding", "close-sounding")),
    ],
    "quality": ["balanced in clarity", *(f"{a} {b}" for a in LEVELS for b in ("noisy", "clean"))],
}


def test_catalogue_is_whole():
    """A speaker or a score lost from the table would silently weaken every warning."""
    speakers = catalogue()
    assert len({speaker.name for speaker in speakers}) == len(speakers) == 34
    for column, best in (("mini_v1", "Jon"), ("large_v1", "Will")):
        scores = {speaker.name: speaker.similarity[column] for speaker in speakers if column in speaker.similarity}
        assert len(scores) == 20
        assert max(scores, key=scores.__getitem__) == best
        assert all(0.8 < score < 1 for score in scores.values())


def test_description_reads_as_the_published_recipe():
    """The words have to be those of the training set, or the checkpoint ignores them."""
    assert describe("Jon", FULL) == (
        "Jon's voice is monotone, with a slightly fast delivery and a very low pitch. "
        "The recording is very close and has almost no background noise."
    )
    assert describe("Jon", StyleConfig()) == (
        "Jon's voice is slightly expressive and animated, with a moderate speed. "
        "The recording is very close and has very clear audio."
    )


@pytest.mark.parametrize("size", range(6))
def test_every_subset_of_the_words_is_a_sentence(size: int):
    """A clause left out must take its joining words with it ("with and a low pitch")."""
    said = {
        "expressivity": "monotone",
        "pace": "slightly fast",
        "pitch": "very low pitch",
        "room": "very close",
        "quality": "almost no background noise",
    }
    for kept in itertools.combinations(CLAUSES, size):
        text = describe("Jon", StyleConfig(**{name: getattr(FULL, name) if name in kept else "" for name in CLAUSES}))
        assert text.startswith("Jon's voice ")
        assert_well_formed(text)
        assert {name for name in CLAUSES if said[name] in text} == set(kept)


@pytest.mark.parametrize("clause", CLAUSES)
def test_every_word_of_the_vocabulary_fits_its_sentence(clause: str):
    """An adverb, an adjective and a noun of the same clause need different joining words."""
    for words in BINS[clause]:
        text = describe("Lea", StyleConfig(**{**dict.fromkeys(CLAUSES, ""), clause: words}))
        assert_well_formed(text)
        assert words.split()[0] in text


def assert_well_formed(text: str) -> None:
    assert text.endswith(".")
    assert not re.search(r"\s\s|\s[.,]|[.,]{2}|,\.", text)
    assert not re.search(r"\b(and|with|has|is|a|an|that)[.,]", text), "a joining word joins nothing"
    assert not re.search(r"\b(with|has|is|a|an) (and|with|has|is)\b|\band (and|with)\b", text), "joining words meet"
    assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", text)
    assert "ly delivery" not in text
    for sentence in re.split(r"(?<=\.) ", text):
        assert sentence[0].isupper()
        assert re.search(r"\b(is|has)\b", sentence)


def test_forms_of_the_same_pitch_and_pace_agree():
    """Users write low, low-pitch, low-pitched and low pitch alike; one voice must not get four descriptions."""
    pitches = {describe("Jon", StyleConfig(pitch=form)) for form in ("low", "low-pitch", "low pitch", "low-pitched")}
    assert len(pitches) == 1
    assert "with an unhurried delivery" in describe("Jon", StyleConfig(pace="unhurried"))
    assert "with a slow pace and" in describe("Jon", StyleConfig(pace=" a slow  pace. ", pitch="high"))


def test_no_speaker_is_a_speaker():
    assert describe(None, FULL).startswith("A speaker's voice is monotone")
    assert describe("James", FULL).startswith("James's voice is")


def test_unknown_speaker_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"voice\.speaker=jhon: .*Nearest: Jon,"):
        Casting(VoiceConfig(speaker="jhon"), MINI)
    with pytest.raises(ConfigError, match=r"voice\.speakers\[1\]\.speaker=: "):
        Casting(VoiceConfig(speakers=[SpeakerChoice("jon"), SpeakerChoice("")]), MINI)
    with pytest.raises(ConfigError, match=r"model\.similarity=mini: .* has mini_v1"):
        Casting(VoiceConfig(), ModelConfig(similarity="mini"))


def test_a_checkpoint_may_bring_its_own_names():
    """A fine-tuned checkpoint's speaker is not in the catalogue, and must not be refused for it."""
    own = ModelConfig("indic", "parler/indic", speakers=["Rohit", "Divya"])
    casting = Casting(VoiceConfig(speaker="rohit"), own)
    assert casting.names == ("Rohit",)
    assert casting.warnings == ()
    (warning,) = Casting(VoiceConfig(speaker="jon"), own).warnings
    assert "Jon" in warning
    assert "Rohit" in warning


def test_weak_speakers_get_a_warning_with_the_best_three():
    """Jon is the best of mini and 18th of large; Gary is third of mini and unknown to large."""
    assert Casting(VoiceConfig(speaker="jon"), MINI).warnings == ()
    assert Casting(VoiceConfig(speaker="jon"), LARGE).warnings == ()
    (warning,) = Casting(VoiceConfig(speaker="gary"), LARGE).warnings
    assert re.search(r"voice Gary: .*Will \(0\.906\), Eric \(0\.888\), Laura \(0\.878\)", warning)
    # Listing all names that a checkpoint was trained on says nothing about how well it keeps them.
    listed = dataclasses.replace(MINI, speakers=[speaker.name for speaker in catalogue()])
    assert len(Casting(VoiceConfig(speaker="david"), listed).warnings) == 1
    assert Casting(VoiceConfig(speaker="david"), ModelConfig()).warnings == ()


def test_voices_without_a_name_get_a_warning():
    """Drift from clip to clip is what users of Parler complain about first; a name prevents it."""
    assert len(Casting(VoiceConfig(speaker=None), MINI).warnings) == 1
    assert len(Casting(VoiceConfig(description="A calm voice."), MINI).warnings) == 1
    assert Casting(VoiceConfig(description="Laura's voice is calm."), MINI).warnings == ()
    unused = Casting(VoiceConfig(description="Laura's voice is calm.", speakers=[SpeakerChoice("jon")]), MINI)
    assert unused.warnings == ("voice.speakers is not used, because voice.description is set",)


def test_a_checkpoint_that_knows_none_of_the_names_has_its_own_drawn():
    """Guards datasets whose speaker column names Jenna where the model that ships has never heard of her."""
    casting = Casting(VoiceConfig(speakers=[SpeakerChoice("jon"), SpeakerChoice("lea")]), SHIPPED)
    assert casting.names == ("Heart", "Puck")
    (warning,) = casting.warnings
    assert "model=bundled knows none of these names; its own are drawn: Heart, Puck" in warning
    assert {casting.cast(str(n), "text", 0).speaker for n in range(20)} == {"Heart", "Puck"}
    assert Casting(VoiceConfig(speakers=[SpeakerChoice("puck"), SpeakerChoice("jon")]), SHIPPED).names == (
        "Puck",
        "Jon",
    )


def test_names_that_are_advised_are_those_of_the_checkpoint():
    """Jon is no help for a model that was not trained on him."""
    (warning,) = Casting(VoiceConfig(description="A low, calm male voice."), SHIPPED).warnings
    assert "It knows Heart, Puck" in warning
    assert "Jon" not in warning
    assert len(Casting(VoiceConfig(description="Jon's voice is low."), SHIPPED).warnings) == 1
    assert Casting(VoiceConfig(description="Puck speaks slowly."), SHIPPED).warnings == ()
    casting = Casting(VoiceConfig(speaker="heart"), SHIPPED)
    casting.cast("1", "text", 0, "hart")
    assert casting.row_warnings() == ("voice hart: no checkpoint is known to know this name; nearest are Heart, Puck",)


def test_a_row_wins_over_the_config():
    """A table's own columns are the more specific wish, and the config's free description is about another voice."""
    casting = Casting(VoiceConfig(description="Laura's voice is calm."), MINI)
    assert casting.cast("1", "text", 0) == Voice(None, "Laura's voice is calm.")
    assert casting.cast("1", "text", 0, description="A child.") == Voice(None, "A child.")
    assert casting.cast("1", "text", 0, "mike", "A child.") == Voice("Mike", "A child.")
    assert casting.cast("1", "text", 0, " mike ") == Voice("Mike", describe("Mike", StyleConfig()))
    assert casting.cast("1", "text", 0, "Zora").description.startswith("Zora's voice is")
    assert casting.cast("1", "text", 0, " ", "\n") == Voice(None, "Laura's voice is calm.")


def test_draws_follow_the_weights_and_are_independent():
    """Speaker and style drawn from the same hash would always meet in the same pairs."""
    slow, fast = StyleConfig(pace="slow", weight=1), StyleConfig(pace="fast", weight=3)
    casting = Casting(
        VoiceConfig(speakers=[SpeakerChoice("jon", 1), SpeakerChoice("lea", 4)], styles=[slow, fast]), MINI
    )
    assert casting.names == ("Jon", "Lea")
    rows = 20_000
    counts = Counter(casting.cast(str(row), "text", 0) for row in range(rows))
    for name, style, share in (("Jon", slow, 0.05), ("Jon", fast, 0.15), ("Lea", slow, 0.2), ("Lea", fast, 0.6)):
        deviation = (rows * share * (1 - share)) ** 0.5
        assert abs(counts[Voice(name, describe(name, style))] - rows * share) < 4 * deviation


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=20)), max_size=20), st.integers(0, 2**63 - 1))
@settings(max_examples=30, deadline=None)
def test_a_draw_does_not_depend_on_order(rows: list[tuple[str, str]], run_seed: int):
    """A shared generator would give every row after an inserted one another voice."""
    voice = VoiceConfig(speakers=[SpeakerChoice(name) for name in ("jon", "lea", "gary", "mike")])
    forward, backward = Casting(voice, MINI), Casting(voice, MINI)
    there = [forward.cast(source, text, run_seed) for source, text in rows]
    back = [backward.cast(source, text, run_seed) for source, text in reversed(rows)]
    assert there == back[::-1]


def test_weights_are_positive():
    """A weight of 0 for all styles would leave nothing to draw from."""
    with pytest.raises(ConfigError, match="weight"):
        StyleConfig(weight=0)
    with pytest.raises(ConfigError, match="weight"):
        SpeakerChoice("jon", weight=-1)


def test_the_run_seed_changes_the_draw():
    casting = Casting(VoiceConfig(speakers=[SpeakerChoice("jon"), SpeakerChoice("lea")]), MINI)
    first, second = ([casting.cast(str(row), "text", seed) for row in range(64)] for seed in (0, 1))
    assert first != second
