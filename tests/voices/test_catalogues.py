"""Catalogues of voices: those of the published checkpoints, and `voices.yaml` of others."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.__main__ import main
from pipeline.commands.voice_setup import set_up_voices
from pipeline.config import DEFAULT_LANGUAGE, ModelConfig
from pipeline.config.compose import compose_config, group_options
from pipeline.errors import ModelError
from pipeline.voices import find_catalogue, language_code, language_name, load_catalogue
from pipeline.voices.catalogue import _KEYS, catalogue_names, catalogue_of_group, model_argument, parse_catalogue

DOCS = Path(__file__).resolve().parents[2] / "docs/voices.md"
GROUPS = [name for name in group_options("model") if name != "checkpoint"]
INDIC_VOICES = {"as": 4, "bn": 6, "brx": 3, "hne": 2, "doi": 1, "en": 21, "gu": 2, "hi": 4, "kn": 4, "ml": 3, "mni": 2,
                "mr": 6, "ne": 1, "or": 2, "pa": 2, "sa": 1, "ta": 2, "te": 3, "ur": 0}  # fmt: skip

EXAMPLE = """
languages: [de, en-GB]
default: Lena Maria
description: "{speaker} speaks slowly, in a quiet room."
max_seconds: 20
min_seconds: 2
voices:
  - Otto
  - {name: Lena Maria, languages: [ger], similarity: 0.91}
  - name: Sam
    languages: en
"""


@pytest.mark.parametrize("group", GROUPS)
def test_every_model_has_a_catalogue_by_name_and_by_id(group: str) -> None:
    """Guards against a model whose id differs from that of its catalogue, so that its voices are unknown."""
    model = compose_config([f"model={group}"]).model
    catalogue = find_catalogue(model)
    assert catalogue is catalogue_of_group(group) or model.speakers
    assert catalogue.speakers is not None
    assert model_argument(model) == group
    if model.path:
        assert find_catalogue(ModelConfig("any", model.path.upper())) is catalogue
        assert find_catalogue(ModelConfig(group, "/a/copy")) is catalogue
        assert find_catalogue(ModelConfig(group, f"/a/{group}")).speakers is None, "another folder of that name"


def test_the_catalogues_are_whole() -> None:
    """Guards against a missing speaker or similarity, on which warnings depend."""
    assert set(catalogue_names()) == set(GROUPS)
    for name, best, count in (("mini", "Jon", 20), ("large", "Will", 20), ("tiny", None, 0), ("untrained", None, 0)):
        speakers = load_catalogue(name).speakers or ()
        scores = {speaker.name: speaker.similarity for speaker in speakers if speaker.similarity}
        assert (len(speakers), len(scores)) == (34, count)
        assert best is None or max(scores, key=scores.__getitem__) == best
    indic = load_catalogue("indic")
    assert {code: len(indic.speakers_of(code)) for code in INDIC_VOICES} == INDIC_VOICES
    assert len(indic.speakers or ()) == 68
    riya = indic.find("Riya")
    assert riya is not None
    assert riya.languages == ("bn", "en")
    multilingual = load_catalogue("multilingual")
    assert len(multilingual.speakers or ()) == 16
    assert set(multilingual.languages) == {"en", "fr", "es", "pt", "pl", "de", "nl", "it"}
    assert [one.name for one in load_catalogue("expresso").speakers or ()] == ["Jerry", "Thomas", "Elisabeth", "Talia"]
    assert load_catalogue("mini-v0.1").speakers == ()


def test_the_bundled_names_are_in_both_places() -> None:
    """Guards against different names in the schema and in the catalogue."""
    speakers = load_catalogue("bundled").speakers or ()
    assert [speaker.name for speaker in speakers] == compose_config([]).model.speakers


@pytest.mark.parametrize(
    ("tag", "code"),
    [("hi", "hi"), ("hin", "hi"), ("hi-IN", "hi"), ("HI_in", "hi"), ("ger", "de"), ("deu", "de"), ("pt-BR", "pt"),
     ("brx", "brx"), ("mni-Beng", "mni"), ("ory", "or"), ("npi", "ne"), ("zh-Hant-TW", "zh"), ("xx", "xx"),
     ("und", ""), ("zxx", ""), ("EN", "en"), ("dgo", "doi"), ("gom", "kok")],
)  # fmt: skip
def test_a_language_has_one_code(tag: str, code: str) -> None:
    """Guards against a wrong voice for books whose language is written as `hin`."""
    assert language_code(tag) == code


def test_every_language_of_a_catalogue_has_a_name() -> None:
    codes = {code for name in catalogue_names() for code in catalogue_of_group(name).languages}
    assert len(codes) > 25
    assert all(language_name(code).endswith(f" ({code})") for code in codes)


def test_the_file_of_a_checkpoint_is_read_like_ours(tmp_path: Path) -> None:
    """Guards `voices.yaml`: names, languages, description and limits have the same effect as in our catalogues."""
    (tmp_path / "voices.yaml").write_text(EXAMPLE)
    catalogue = find_catalogue(ModelConfig("fine", str(tmp_path)))
    assert catalogue.languages == ("de", "en")
    assert [one.name for one in catalogue.speakers_of("de")] == ["Otto", "Lena Maria"]
    assert [one.name for one in catalogue.speakers_of("en")] == ["Otto", "Sam"]
    config, casting = set_up_voices(compose_config([f"model={tmp_path}"]), "de")
    assert (config.voice.speaker, config.voice.description) == (
        "Lena Maria",
        "Lena Maria speaks slowly, in a quiet room.",
    )
    assert casting.warnings == ()
    assert (config.model.max_seconds, config.text.max_seconds, config.text.min_seconds) == (20, 15, 2)
    config, casting = set_up_voices(compose_config([f"model={tmp_path}", "voice=sam", "voice.style.pace=slow"]), "en")
    assert (config.voice.speaker, config.voice.description, casting.names) == ("Sam", None, ("Sam",))


def test_shorter_clips_have_shorter_segments(tmp_path: Path) -> None:
    """Guards against segments that are longer than the clips of the checkpoint."""
    (tmp_path / "voices.yaml").write_text("max_seconds: 10\n")
    config, _ = set_up_voices(compose_config([f"model={tmp_path}"]), "en")
    assert (config.model.max_seconds, config.text.max_seconds, config.text.min_seconds) == (10, 8, 1.5)
    assert find_catalogue(config.model).speakers is None


def test_the_file_of_the_checkpoint_wins(tmp_path: Path) -> None:
    """Guards the order of precedence: `model.speakers`, `voices.yaml`, our catalogue."""
    (tmp_path / "voices.yaml").write_text("voices: [Zoe]\n")
    model = ModelConfig("mini", "parler-tts/parler-tts-mini-v1")
    assert [one.name for one in find_catalogue(model, tmp_path).speakers or ()] == ["Zoe"]
    typed = ModelConfig("mini", "parler-tts/parler-tts-mini-v1", speakers=["Ann"])
    assert [one.name for one in find_catalogue(typed, tmp_path).speakers or ()] == ["Ann"]


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        ("voces: [Jon]", ["voces", "voices"]),
        ("voices: {hi: [Rohit]}", ["voices"]),
        ("voices: Jon", ["voices"]),
        ("- Jon", []),
        ("just words", []),
        ("voices: [Jon, No]", ["voices[1].name"]),
        ("voices: [12]", ["voices[0].name"]),
        ("voices: [2024-01-01]", ["voices[0].name"]),
        ("voices: ['']", ["voices[0].name"]),
        ('voices: ["a\\ecb"]', ["voices[0].name"]),
        ("voices: [{languages: en}]", ["voices[0].name"]),
        ("voices: [{name: Jon, language: en}]", ["voices[0].language", "languages"]),
        ("voices: [{name: Jon, similarity: 2}]", ["voices[0].similarity", "2", "1"]),
        ("voices: [{name: Jon, similarity: true}]", ["voices[0].similarity"]),
        ("voices: [Jon, ' jon ']", ["voices", "jon"]),
        ("languages: [no]", ["languages", '"no"']),
        ("languages: [german]", ["languages", "german"]),
        ("max_seconds: 60", ["max_seconds", "60", "30"]),
        ("max_seconds: .nan", ["max_seconds"]),
        (f"max_seconds: 1{'0' * 400}", ["max_seconds"]),
        ("max_seconds: 5\nmin_seconds: 6", ["min_seconds", "max_seconds"]),
        ("voices: [Jon]\ndefault: Lea", ["default", "Lea", "Jon"]),
        ("description: '{speaker} speaks.'", ["description", "voices"]),
        ("voices: [Jon", ["line 1"]),
        ("voices: [a]\nvoices:\n\t- b", ["line 3"]),
        ("voices: [a]\nvoices: [b]", ["voices", "line 1"]),
        ("voices: [{name: a, name: b}]", ["name"]),
        ("voices: &a [*a]", ["voices[0].name"]),
        ("voices: !!python/object/apply:os.system ['true']", ["YAML"]),
        ("[" * 5000, ["YAML"]),
        ("{[1]: 2}", ["YAML"]),
        ("#" * (1 << 21), []),
        ("voices:\n" + "  - x\n" * 10_001, ["voices", "10,000"]),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_a_fault_names_file_key_and_fix(content: str, facts: list[str], tmp_path: Path) -> None:
    """Guards against tracebacks, and against values of unknown origin that are not checked."""
    (tmp_path / "voices.yaml").write_text(content)
    with pytest.raises(ModelError) as raised:
        find_catalogue(ModelConfig("fine", str(tmp_path)))
    message = str(raised.value)
    for fact in [str(tmp_path / "voices.yaml"), *facts]:
        assert fact in message
    assert "\n" not in message
    assert len(message) < 400


@pytest.mark.parametrize(
    "content",
    [b"", b"# nothing yet\n", b"\xef\xbb\xbfvoices: [Jon]\n", b"voices:\r\n- Jon\r\n", "voices: [രാമൻ‍]".encode()],
)
def test_files_from_any_editor_are_read(content: bytes) -> None:
    parse_catalogue(content, "voices.yaml")


@pytest.mark.parametrize("content", ["voices: [Jön]".encode("cp1252"), "voices: [Jon]".encode("utf-16")])
def test_another_encoding_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match="UTF-8"):
        parse_catalogue(content, "voices.yaml")


def test_our_files_are_data_of_the_same_format() -> None:
    """Guards the documented use of one of our files as a `voices.yaml`."""
    folder = Path(sys.modules[load_catalogue.__module__].__file__ or "").parent / "catalogues"
    files = sorted(folder.glob("*.yaml"))
    assert {file.stem for file in files} == {"mini" if name == "mini-v1.1" else name for name in catalogue_names()}
    for file in files:
        assert yaml.safe_load(file.read_bytes())
        assert parse_catalogue(file.read_bytes(), file.name) == load_catalogue(file.stem)


@pytest.mark.parametrize(
    "name", ["parler-tts/parler-tts-mini-v1", "Parler-TTS/Parler-TTS-Mini-V1", "ai4bharat/Indic-Parler-TTS/"]
)
def test_a_hub_id_has_the_settings_of_its_group(name: str) -> None:
    """Bug: a published checkpoint had other settings and no names if it was given by its id."""
    group = "indic" if "ndic" in name else "mini"
    typed, chosen = compose_config([f"model={name}"]).model, compose_config([f"model={group}"]).model
    assert typed.path == chosen.path
    assert (typed.similarity, typed.max_seconds, typed.speakers) == (
        chosen.similarity,
        chosen.max_seconds,
        chosen.speakers,
    )
    assert find_catalogue(typed) is find_catalogue(chosen)
    assert typed.name == Path(chosen.path).name


def test_a_folder_of_that_name_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parler-tts/parler-tts-mini-v1").mkdir(parents=True)
    assert compose_config(["model=parler-tts/parler-tts-mini-v1"]).model.similarity is None


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        ([], ["model=bundled", "Heart", "Puck", "indic"]),
        (["model=indic"], ["68", "Rohit", "Hindi (hi)", "Urdu (ur)"]),
        (["model=mini"], ["34", "0.908", "English (en)"]),
        (["model=mini-v0.1"], ["mini-v0.1", "voice="]),
        (["model=owner/never-seen"], ["owner/never-seen"]),
        (["model=mini", "model.speakers=[Ann,Bob]"], ["2", "Ann", "Bob"]),
    ],
)
def test_voices_are_listed(arguments: list[str], facts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Guards the table of `--voices`."""
    assert main(["--voices", *arguments]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    for fact in facts:
        assert fact in printed.out


def test_the_voices_of_a_folder_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"model={tmp_path}", "--voices"]) == 0
    assert str(tmp_path) in capsys.readouterr().out
    (tmp_path / "voices.yaml").write_text(EXAMPLE)
    assert main([f"model={tmp_path}", "--voices"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[3:6]] == ["Otto", "Lena", "Sam"]
    assert "German (de)" in lines[4].split("0.910")[1], "the default of German"
    (tmp_path / "voices.yaml").write_text("voces: []")
    assert main([f"model={tmp_path}", "--voices"]) == 2


def test_listing_takes_nothing_but_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--voices", "voice=jon"]) == 2
    assert "voice=jon" in capsys.readouterr().err


def test_listing_does_not_wait_for_torch() -> None:
    """Guards against importing torch or numpy, which is slow."""
    program = (
        "import sys; from pipeline.__main__ import main; code = main(['--voices', 'model=indic']); "
        "print(code, 'torch' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == ["0", "False", "False"]


def test_the_documentation_is_true() -> None:
    """Guards against an example or a command in the documentation that does not work."""
    text = DOCS.read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    catalogue = parse_catalogue(example.encode(), "voices.yaml")
    assert [one.name for one in catalogue.speakers_of("en")] == ["Otto", "Sam"]
    assert catalogue.default == "Lena"
    assert all(f"`{key}`" in text for key in _KEYS)
    assert all(f"`{name}`" in text for name in catalogue_names() if name != "untrained")
    blocks = "".join(re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL))
    for line in blocks.splitlines():
        words = shlex.split(line, comments=True)[3:]
        assert compose_config([word for word in words if word != "--voices"])


def test_the_default_language_is_one_that_the_default_model_speaks() -> None:
    assert DEFAULT_LANGUAGE in find_catalogue(compose_config([]).model).languages


def test_merge_keys_are_refused(tmp_path: Path) -> None:
    """Bug: a file of one kilobyte with merge keys that doubled forty times filled the memory."""
    lines = ["a0: &a0 {name: x}", *(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 41))]
    (tmp_path / "voices.yaml").write_text("\n".join(lines))
    with pytest.raises(ModelError, match=r"voices\.yaml.*line 2"):
        find_catalogue(ModelConfig("fine", str(tmp_path)))


@pytest.mark.parametrize(
    "content", ["voices: [Auto]", "voices: [varied]", 'voices: ["A\\u202eb"]', "max_seconds: 0x" + "f" * 5000]
)
def test_names_and_numbers_that_cannot_be_used_are_refused(content: str, tmp_path: Path) -> None:
    """Bug: speakers with such names could not be chosen, and long numbers caused a traceback."""
    (tmp_path / "voices.yaml").write_text(content)
    with pytest.raises(ModelError, match=r"voices\.yaml"):
        find_catalogue(ModelConfig("fine", str(tmp_path)))
