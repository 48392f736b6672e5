"""Descriptions, validation of names, and the choice of the voice of each utterance."""

from __future__ import annotations

import itertools
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import ModelConfig, SpeakerChoice, StyleConfig, VoiceConfig
from pipeline.errors import ConfigError
from pipeline.voices import Casting, Voice, describe
from pipeline.voices.catalogue import parse_catalogue

MINI = ModelConfig("mini", "parler-tts/parler-tts-mini-v1")
LARGE = ModelConfig("large", "parler-tts/parler-tts-large-v1")
INDIC = ModelConfig("indic", "ai4bharat/indic-parler-tts")
OTHER = ModelConfig("other", "owner/other")  # its names are not known
BUILTIN_MODELS = ModelConfig("bundled", speakers=["Heart", "Puck"])
VARIED = [SpeakerChoice("Jon"), SpeakerChoice("Lea")]
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


def test_description_reads_as_the_published_recipe():
    """Guards against descriptions in words that the checkpoint was not trained with, and ignores."""
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
    """Guards against joining words of an omitted clause ("with and a low pitch")."""
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
    """Guards against wrong joining words: adverbs, adjectives and nouns need different ones."""
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
    """Guards against four descriptions of one voice: low, low-pitch, low-pitched and low pitch."""
    pitches = {describe("Jon", StyleConfig(pitch=form)) for form in ("low", "low-pitch", "low pitch", "low-pitched")}
    assert len(pitches) == 1
    assert "with an unhurried delivery" in describe("Jon", StyleConfig(pace="unhurried"))
    assert "with a slow pace and" in describe("Jon", StyleConfig(pace=" a slow  pace. ", pitch="high"))


def test_no_speaker_is_a_speaker():
    assert describe(None, FULL).startswith("A speaker's voice is monotone")
    assert describe("James", FULL).startswith("James's voice is")


def test_unknown_speaker_is_refused_with_the_nearest() -> None:
    """Guards against a long run with a name that the checkpoint was not trained with."""
    with pytest.raises(ConfigError, match=r"voice=jhon\b.*model=mini\b.*\bJon\b.*--voices model=mini"):
        Casting(VoiceConfig(speaker="jhon"), MINI)
    with pytest.raises(ConfigError, match=r"voice=jon\b.*model=indic"):
        Casting(VoiceConfig(speaker="jon"), INDIC)
    with pytest.raises(ConfigError, match=r"voice=rohit\b.*model=mini\b.*model=indic"):
        Casting(VoiceConfig(speaker="rohit"), MINI)
    with pytest.raises(ConfigError, match=r"voice\.speakers\[1\]\.speaker=zork"):
        Casting(VoiceConfig(speakers=[SpeakerChoice("jon"), SpeakerChoice("zork")]), MINI)
    with pytest.raises(ConfigError, match=r"voice\.speakers\[1\]\.speaker="):
        Casting(VoiceConfig(speakers=[SpeakerChoice("jon"), SpeakerChoice("")]), OTHER)
    with pytest.raises(ConfigError, match=r"voice=jon\b.*model=mini-v0\.1"):
        Casting(VoiceConfig(speaker="jon"), ModelConfig("mini-v0.1", "parler-tts/parler_tts_mini_v0.1"))
    with pytest.raises(ConfigError, match=r"model\.similarity=mini\b.*mini_v1"):
        Casting(VoiceConfig(), ModelConfig("other", "owner/other", similarity="mini"))


@pytest.mark.parametrize("typed", ["rohit", "ROHIT", "  Rohit ", "Ｒｏｈｉｔ"])
def test_a_name_may_be_typed_in_any_case(typed: str) -> None:
    """Guards against two descriptions of one voice, which sound different."""
    casting = Casting(VoiceConfig(speaker=typed), INDIC, language="hi")
    assert (casting.names, casting.warnings) == (("Rohit",), ())
    assert casting.cast("1", "text", 0).description == describe("Rohit", StyleConfig())


def test_a_name_of_several_words_is_no_description() -> None:
    """Guards against taking a name of several words for a description."""
    own = parse_catalogue("voices: [Mary Ann, Jean-Luc, राम]".encode(), "voices.yaml")
    casting = Casting(VoiceConfig(speaker=None, description="mary  ann"), OTHER, own)
    assert (casting.voice.speaker, casting.voice.description) == ("Mary Ann", None)
    assert casting.cast("1", "text", 0).description.startswith("Mary Ann's voice is")
    for typed in ("jean-luc", "राम"):
        assert Casting(VoiceConfig(speaker=typed), OTHER, own).warnings == ()
    assert Casting(VoiceConfig(speaker=None, description="Mary Ann speaks slowly."), OTHER, own).warnings == ()
    assert len(Casting(VoiceConfig(speaker=None, description="Maryann speaks."), OTHER, own).warnings) == 1


def test_names_of_a_checkpoint_without_a_catalogue_pass_with_one_warning() -> None:
    """Guards fine-tuned models whose speakers are not listed."""
    casting = Casting(VoiceConfig(speaker="zork"), OTHER)
    assert casting.names == ("zork",)
    assert len(casting.warnings) == 1
    assert "model.speakers=" in casting.warnings[0]
    casting.cast("1", "text", 0, "blip")
    assert casting.row_warnings() == ()  # told already
    from_rows = Casting(VoiceConfig(speaker=None, description="A calm voice."), OTHER)
    from_rows.cast("1", "text", 0, "blip")
    assert len(from_rows.row_warnings()) == 1


def test_a_checkpoint_may_bring_its_own_names() -> None:
    """Guards the precedence of `model.speakers=[...]` over the catalogue."""
    own = ModelConfig("indic", "ai4bharat/indic-parler-tts", speakers=["Rohit", "Zoe"])
    casting = Casting(VoiceConfig(speaker="zoe"), own)
    assert (casting.names, casting.warnings) == (("Zoe",), ())
    with pytest.raises(ConfigError, match="Divya"):
        Casting(VoiceConfig(speaker="Divya"), own)


@pytest.mark.parametrize(
    ("model", "language", "speaker"),
    [
        (MINI, "en", "Jon"),
        (LARGE, "en", "Jon"),
        (ModelConfig("bundled"), "en-GB", "Heart"),
        (INDIC, "en", "Thoma"),
        (INDIC, "hi", "Rohit"),
        (INDIC, "hin", "Rohit"),
        (INDIC, "ta-IN", "Jaya"),
        (INDIC, "brx", "Bikram"),
        (INDIC, "ur", "Rohit"),
        (ModelConfig("jenny", "parler-tts/parler-tts-mini-jenny-30H"), "en", "Jenny"),
        (ModelConfig("expresso", "parler-tts/parler-tts-mini-expresso"), "en", "Thomas"),
        (ModelConfig("x", "parler-tts/parler-tts-mini-multilingual-v1.1"), "fr_CA", "Daniel"),
        (ModelConfig("mini-v0.1", "parler-tts/parler_tts_mini_v0.1"), "en", None),
        (OTHER, "en", None),
    ],
)
def test_the_default_voice_is_one_of_the_checkpoint(model: ModelConfig, language: str, speaker: str | None) -> None:
    """Bug: jon was the default for checkpoints that were not trained with this name."""
    casting = Casting(VoiceConfig(), model, language=language)
    assert casting.voice.speaker == speaker
    assert casting.cast("1", "text", 0) == Voice(speaker, describe(speaker, StyleConfig()))
    assert Casting(casting.voice, model, language=language).voice == casting.voice, "a frozen voice is what it says"
    if speaker is None:
        assert model.name in casting.warnings[0]


def test_a_language_that_is_not_spoken_gets_a_warning() -> None:
    """Guards against a French book that an English model reads without a warning."""
    (warning,) = Casting(VoiceConfig(), MINI, language="de-AT").warnings
    for fact in ("German (de)", "model=mini", "English (en)", "model=multilingual"):
        assert fact in warning
    assert Casting(VoiceConfig(), MINI, language="en-AU").warnings == ()
    assert Casting(VoiceConfig(), MINI, language="und").warnings == ()
    assert (
        Casting(VoiceConfig(speaker="zork"), OTHER, language="de").warnings
        == Casting(VoiceConfig(speaker="zork"), OTHER).warnings
    )


def test_a_voice_of_another_language_gets_one_warning() -> None:
    """Guards against a Tamil text with a Hindi voice."""
    (warning,) = Casting(VoiceConfig(speaker="rohit"), INDIC, language="ta").warnings
    for fact in ("Rohit", "Hindi (hi)", "Tamil (ta)", "Jaya"):
        assert fact in warning
    assert Casting(VoiceConfig(speaker="riya"), INDIC, language="bn").warnings == ()
    assert Casting(VoiceConfig(speaker="riya"), INDIC, language="en").warnings == ()
    two = VoiceConfig(speakers=[SpeakerChoice("rohit"), SpeakerChoice("amit"), SpeakerChoice("jaya")])
    assert len(Casting(two, INDIC, language="ta").warnings) == 1


def test_weak_speakers_get_a_warning_with_the_best_three() -> None:
    """Guards the warning for speakers that are not among the 20 with a published similarity."""
    assert Casting(VoiceConfig(speaker="jon"), MINI).warnings == ()
    assert Casting(VoiceConfig(speaker="jon"), LARGE).warnings == ()
    (warning,) = Casting(VoiceConfig(speaker="gary"), LARGE).warnings
    assert re.search(r"\bGary\b.*Will \(0\.906\), Eric \(0\.888\), Laura \(0\.878\)", warning)
    assert Casting(VoiceConfig(speaker="david"), ModelConfig("untrained")).warnings == ()
    copied = ModelConfig("copy", "/a/copy", similarity="large_v1")
    assert Casting(VoiceConfig(speaker="gary"), copied).warnings == (warning.replace("model=large", "model=copy"),)


def test_voices_without_a_name_get_a_warning() -> None:
    """Guards the warning that a voice without a name differs between clips."""
    assert len(Casting(VoiceConfig(speaker=None), MINI).warnings) == 1
    assert len(Casting(VoiceConfig(description="A calm voice."), MINI).warnings) == 1
    assert Casting(VoiceConfig(description="Laura's voice is calm."), MINI).warnings == ()
    unused = Casting(VoiceConfig(description="Laura's voice is calm.", speakers=[SpeakerChoice("jon")]), MINI)
    (warning,) = unused.warnings
    assert "voice.speakers" in warning
    assert "voice.description" in warning


@pytest.mark.parametrize(
    ("model", "language", "names"),
    [
        (MINI, "en", ("Jon", "Lea")),
        (BUILTIN_MODELS, "en", ("Heart", "Puck")),
        (INDIC, "te", ("Prakash", "Lalitha", "Kiran")),
        (OTHER, "en", ("Jon", "Lea")),
        (ModelConfig("mini-v0.1", "parler-tts/parler_tts_mini_v0.1"), "en", ()),
        (ModelConfig("other", "owner/other", speakers=["Lea", "Zoe"]), "en", ("Lea",)),
    ],
)
def test_varied_draws_what_the_checkpoint_knows(model: ModelConfig, language: str, names: tuple[str, ...]) -> None:
    """Guards against speakers of `voice=varied` that the checkpoint was not trained with."""
    casting = Casting(VoiceConfig(speaker="varied", speakers=VARIED), model, language=language)
    assert casting.names == names
    assert {casting.cast(str(n), "text", 0).speaker for n in range(60)} == (set(names) or {None})
    assert casting.voice.speaker is None
    assert len(casting.voice.speakers) == len(names), "what is frozen is who speaks"


def test_a_list_that_is_typed_is_checked() -> None:
    """Guards against an unknown name in a list of speakers, which is not noticed in a large dataset."""
    with pytest.raises(ConfigError, match=r"voice\.speakers\[0\]\.speaker=Jon\b.*model=bundled"):
        Casting(VoiceConfig(speakers=VARIED), BUILTIN_MODELS)


def test_names_that_are_advised_are_those_of_the_checkpoint() -> None:
    """Guards against advice that gives a name which the model does not know."""
    (warning,) = Casting(VoiceConfig(description="A low, calm male voice."), BUILTIN_MODELS).warnings
    assert "Heart, Puck" in warning
    assert "Jon" not in warning
    assert len(Casting(VoiceConfig(description="Jon's voice is low."), BUILTIN_MODELS).warnings) == 1
    assert Casting(VoiceConfig(description="Puck speaks slowly."), BUILTIN_MODELS).warnings == ()


def test_rows_that_name_an_unknown_speaker_are_counted() -> None:
    """Guards the warning for unknown names in a column, with the number of rows."""
    casting = Casting(VoiceConfig(speaker="heart"), BUILTIN_MODELS)
    for source, speaker in (("1", "hart"), ("1", "hart"), ("2", "puck"), ("3", "hart"), ("4", "jon")):
        casting.cast(source, "text", 0, speaker)
    of_hart, of_jon = sorted(casting.row_warnings(), key=lambda line: "Jon" in line)
    for fact in ("hart", "model=bundled", "Heart"):
        assert fact in of_hart
    assert re.search(r"\b2\b", of_hart), "rows"
    assert re.search(r"\b1\b", of_jon)
    in_tamil = Casting(VoiceConfig(), INDIC, language="ta")
    in_tamil.cast("1", "text", 0, "ROHIT")
    (warning,) = in_tamil.row_warnings()
    assert "Hindi (hi)" in warning
    assert re.search(r"\b1\b", warning)


def test_a_row_wins_over_the_config():
    """Guards the precedence of a row's own voice over the settings."""
    casting = Casting(VoiceConfig(description="Laura's voice is calm."), MINI)
    assert casting.cast("1", "text", 0) == Voice(None, "Laura's voice is calm.")
    assert casting.cast("1", "text", 0, description="A child.") == Voice(None, "A child.")
    assert casting.cast("1", "text", 0, "mike", "A child.") == Voice("Mike", "A child.")
    assert casting.cast("1", "text", 0, " mike ") == Voice("Mike", describe("Mike", StyleConfig()))
    assert casting.cast("1", "text", 0, "Zora").description.startswith("Zora's voice is")
    assert casting.cast("1", "text", 0, " ", "\n") == Voice(None, "Laura's voice is calm.")


def test_draws_follow_the_weights_and_are_independent():
    """Guards against choosing speaker and style with the same hash, so that they always come in the same pairs."""
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
    """Guards against other voices of all rows after one that is inserted."""
    voice = VoiceConfig(speakers=[SpeakerChoice(name) for name in ("jon", "lea", "gary", "mike")])
    forward, backward = Casting(voice, MINI), Casting(voice, MINI)
    there = [forward.cast(source, text, run_seed) for source, text in rows]
    back = [backward.cast(source, text, run_seed) for source, text in reversed(rows)]
    assert there == back[::-1]


def test_weights_are_positive():
    """Guards against weights of 0, which would leave no style to choose."""
    with pytest.raises(ConfigError, match="weight"):
        StyleConfig(weight=0)
    with pytest.raises(ConfigError, match="weight"):
        SpeakerChoice("jon", weight=-1)


def test_the_run_seed_changes_the_draw():
    casting = Casting(VoiceConfig(speakers=[SpeakerChoice("jon"), SpeakerChoice("lea")]), MINI)
    first, second = ([casting.cast(str(row), "text", seed) for row in range(64)] for seed in (0, 1))
    assert first != second
