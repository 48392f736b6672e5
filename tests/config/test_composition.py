"""Composition of the config from the command line, and its error messages."""

from __future__ import annotations

import dataclasses
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.commands.voice_setup import set_up_voices
from pipeline.config import Config, ModelConfig
from pipeline.config.compose import CONFIG_DIR, GROUPS, compose_config, group_options
from pipeline.config.schema import RENAMED_KEYS
from pipeline.errors import ConfigError

EXPERIMENTS = sorted(path.stem for path in (CONFIG_DIR / "experiment").glob("*.yaml"))


@pytest.mark.parametrize(
    "override",
    [
        f"{group}={name}"
        for group in GROUPS
        for name in group_options(group)
        if name not in ("verify", "status", "preview", "retry_rejects", "checkpoint")
    ],
)
def test_every_choice_of_every_group_composes(override: str) -> None:
    """Guards against a YAML file with a key that is not in the schema."""
    compose_config([override])


@pytest.mark.parametrize("name", [name for name in group_options("model") if name != "checkpoint"])
def test_segments_are_shorter_than_what_a_model_can_say(name: str) -> None:
    """Bug: segments of up to 15 s for the bundled model, which generates no longer clips: 4 of 276 were rejected."""
    config = compose_config([f"model={name}"])
    assert config.text.max_seconds * 1.25 <= config.model.max_seconds


def test_the_schema_holds_the_defaults() -> None:
    """Bug: `Config()` from Python made noise, because only the command line had the bundled model as default."""
    assert dataclasses.asdict(compose_config([])) == dataclasses.asdict(Config())
    assert Config().model.name == "bundled"


def test_another_model_from_python_has_the_limits_of_the_command_line() -> None:
    """Guards against the speakers and the limit of the bundled model in `ModelConfig(name, path)`."""
    assert compose_config(["model=acme/mine"]).model == ModelConfig("mine", "acme/mine")
    assert compose_config(["model=untrained"]).model == ModelConfig("untrained")


def test_defaults_are_the_story_in_the_voice_that_ships() -> None:
    """Guards the command without arguments."""
    config = compose_config([])
    assert (config.input, config.model.name, config.task.name, config.voice.speaker) == (
        "story",
        "bundled",
        "audiobook",
        "auto",
    )
    assert set_up_voices(config, "en")[0].voice.speaker == "Heart"


@pytest.mark.parametrize(
    ("argument", "named", "offered"),
    [
        ("voce=jon", "voce", ["voice"]),
        ("engine.batch_sise=3", "engine.batch_sise", ["engine.batch_size"]),
        ("engine.batch_size=many", "engine.batch_size=many", []),
        ("text.max_seconds=long", "text.max_seconds=long", []),
        ("dry_run=perhaps", "dry_run=perhaps", ["true", "false"]),
        ("planning.prompt_tokens=8", "planning.prompt_tokens=8", ["[1,2]"]),
        ("voice.speakers=[{wieght: 2}]", "wieght", ["weight"]),
        ("engine.batch_size=0", "engine.batch_size=0", ["1"]),
        ("engine.compile=fast", "engine.compile=fast", ["default", "reduce-overhead", "none"]),
        ("engine.sampling.temperature=0", "engine.sampling.temperature=0", ["do_sample=false"]),
        ("planning.max_seconds=[3,2]", "planning.max_seconds=[3.0, 2.0]", []),
        ("text.max_seconds=40", "text.max_seconds=40", ["30"]),
        ("model=minni", "model=minni", ["mini", "indic", "./my-model", "owner/name"]),
        ("model=checkpoint", "model.path=", ["model=./my-model", "model=owner/name"]),
        ("voice=jonn", "voice=jonn", ["model=bundled", "Heart", "--voices model=bundled", "voice.description="]),
        ("voice=", "voice=", ["voice="]),
        ("voice=[jon,lea]", "voice=[jon,lea]", ["task=preview", "voice.speakers=[{speaker:"]),
        ("task=dance", "task=dance", ["audiobook", "dataset", "retry_rejects"]),
        ("task=preview", "text", ["task=preview", "text="]),
        ("task=verify", "run", ["task=verify", "run=outputs/"]),
        ("task=status", "run", ["task=status", "run=outputs/"]),
        ("book.txt", "book.txt", ["key=value", "--help"]),
        ("source.format=pdf", "source.format=pdf", ["epub", "jsonl"]),
        ("source.language=german", "source.language=german", ["de"]),
        ("text=Hello.", "text=Hello.", ["task=preview"]),
        ("voice.speakers=[Jon,Lea]", "voice.speakers[0]", ["[{speaker:Jon},{speaker:Lea}]"]),
        (os.fsdecode(b"input=caf\xe9.jsonl"), "input=caf\\udce9.jsonl", ["UTF-8"]),
        ("executor.devices=[]", "executor.devices=[]", ["auto", "[cuda:0,cuda:1]"]),
    ],
)
def test_a_mistake_is_one_line_with_key_value_and_fix(
    argument: str, named: str, offered: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards against tracebacks, and against wrong values that are accepted."""
    assert main([argument]) == 2
    error = capsys.readouterr().err
    before, found, after = error.partition(named)
    assert found, error
    assert len(before) < 20, "the key comes first"
    for fact in offered:
        assert fact in after
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("typed", "speaker"),
    [
        ("jon", "jon"),
        (" Rohit ", "Rohit"),
        ("राम", "राम"),
        ("Jean-Luc", "Jean-Luc"),
        ("O'Brien", "O'Brien"),
        ("p225", "p225"),
        ("007", "007"),
        ("true", "true"),
        ("null", "null"),
        ("jon,lea", "jon,lea"),
        ("a=b", "a=b"),
        ("heart", "heart"),
    ],
)
def test_any_single_name_is_a_voice(typed: str, speaker: str) -> None:
    """Guards names that only the checkpoint can check, such as `voice=rohit model=indic`, in any order."""
    for order in (["model=indic", f"voice={typed}"], [f"voice={typed}", "model=indic"]):
        voice = compose_config(order).voice
        assert (voice.speaker, voice.description) == (speaker, None)
    with_experiment = compose_config(["experiment=speech_dataset", "input=a.jsonl", f"voice={typed}"]).voice
    assert (with_experiment.speaker, with_experiment.speakers) == (speaker, [])


@pytest.mark.parametrize(
    "words", ["A low voice.", "Whispering.", "低い声。", "Mary Ann", 'it\'s \\ a "test", [so]: {1}', "Jon\tspeaks"]
)
def test_words_describe_a_voice(words: str) -> None:
    voice = compose_config([f"voice={words}"]).voice
    assert (voice.speaker, voice.description) == (None, words)


@pytest.mark.parametrize(
    ("typed", "voices"),
    [
        ("[jon,lea,gary]", ["jon", "lea", "gary"]),
        ("[jon]", ["jon"]),
        (" [ jon , Mary  Ann ]", ["jon", "Mary Ann"]),
        ('[jon,"A low, calm voice."]', ["jon", "A low, calm voice."]),
        ("[jon,'It''s low: [yes], {no}.']", ["jon", "It's low: [yes], {no}."]),
        ("[007,true,null,1.10]", ["007", "true", "null", "1.10"]),
        ("[राम, O'Brien]", ["राम", "O'Brien"]),
        ("[a\\b]", ["a\\b"]),
    ],
)
def test_several_voices_of_a_preview(typed: str, voices: list[str]) -> None:
    """Guards names and descriptions in a list against the grammars of Hydra and YAML."""
    assert compose_config(["task=preview", "text=Hello.", f"voice={typed}"]).task.voices == voices


@pytest.mark.parametrize(
    "typed", ["[]", "[jon", "[jon,,lea]", "[jon,[lea]]", "[jon: lea]", "[jon]x", "[jon,varied]", "['']"]
)
def test_a_list_that_is_none_is_refused(typed: str) -> None:
    with pytest.raises(ConfigError, match=r"^voice="):
        compose_config(["task=preview", "text=Hello.", f"voice={typed}"])


@pytest.mark.parametrize("language", ["en", "EN", "en-GB", "de_DE", "zh-Hant-TW", "fil"])
def test_languages_may_name_their_region(language: str) -> None:
    assert compose_config([f"source.language={language}"]).source.language == language


def test_settings_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"(?=.*flash_attention_2)(?=.*static)"):
        compose_config(["engine.attention=flash_attention_2", "engine.cache=static"])


@pytest.mark.parametrize("task", ["retry_rejects", "verify", "status"])
def test_a_setting_that_would_not_be_heard_is_refused(task: str) -> None:
    """Guards against settings that have no effect on an existing run."""
    with pytest.raises(ConfigError, match=rf"^checks\.takes=9.*task={task}"):
        compose_config([f"task={task}", "run=outputs/a", "checks.takes=9"])
    compose_config([f"task={task}", "run=outputs/a"])


def test_rejects_are_tried_again_wherever_one_likes() -> None:
    config = compose_config(
        ["task=retry_rejects", "run=a", "executor=local", "executor.devices=[cpu]", "engine.slots=8"]
    )
    assert (config.executor.kind, config.executor.devices, config.engine.slots) == ("local", ["cpu"], 8)


def test_models_and_voices_may_be_given_in_place(tmp_path: Path) -> None:
    folder = tmp_path / "my model"
    folder.mkdir()
    config = compose_config([f"model={folder}", "voice=A low voice, very close: clear."])
    assert (config.model.path, config.model.name) == (str(folder), "my-model")
    assert (config.voice.speaker, config.voice.description) == (None, "A low voice, very close: clear.")
    assert compose_config(["model=parler-tts/anything"]).model.path == "parler-tts/anything"


@pytest.mark.parametrize(
    ("choice", "path", "revision"),
    [
        ("mini@refs/pr/9", "parler-tts/parler-tts-mini-v1", "refs/pr/9"),
        ("acme/my.model-1@v1.10", "acme/my.model-1", "v1.10"),
        ("acme/model@1234567", "acme/model", "1234567"),
        ("./runs@2/best", "./runs@2/best", None),
    ],
)
def test_a_revision_may_follow_the_model(choice: str, path: str, revision: str | None) -> None:
    """Guards against misreading revisions that look like numbers, and folders with an @."""
    model = compose_config([f"model={choice}"]).model
    assert (model.path, model.revision) == (path, revision)


@pytest.mark.parametrize(
    "name",
    [
        "My Book (1), it's [draft] {two}.txt",
        "C:\\books\\",
        "it\\'s",
        "a=b",
        "100%, $5.txt",
        """it's "both" kinds""",
        "Ünï — код 書.txt",
        "~/a, b: c",
    ],
)
def test_any_file_name_arrives_as_typed(name: str) -> None:
    """Guards names with brackets, quotes, commas and backslashes against Hydra's grammar."""
    assert compose_config([f"input={name}"]).input == name


@pytest.mark.parametrize("name", ["2024_05_01", "1.10", "1e5", "007", "true", "[draft]", "nan", "-0"])
def test_a_name_that_could_be_a_number_arrives_as_typed(name: str) -> None:
    """Bug: a run with such a name was made under another name."""
    assert compose_config([f"name={name}"]).name == name
    assert compose_config([f"output_dir={name}", f"dataset.name={name}"]).output_dir == name
    assert compose_config(["name=null"]).name is None
    assert compose_config(["seed=1_000"]).seed == 1000


def test_experiments_win_over_groups() -> None:
    assert "speech_dataset" in EXPERIMENTS
    config = compose_config(["experiment=speech_dataset"])
    assert (config.task.name, config.planning.shard_size, len(config.voice.speakers)) == ("dataset", 512, 6)


def test_help_is_short_and_shows_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) < 30
    assert "python -m pipeline input=book.txt" in text
    assert "mini-v1.1" in text


@pytest.mark.parametrize("arguments", ["--help", "dry_run=true"])
def test_who_reads_only_the_first_line_gets_no_traceback(arguments: str) -> None:
    command = f"{shlex.quote(sys.executable)} -m pipeline {arguments} | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 1
    assert "Broken" not in done.stderr


def test_mistakes_are_found_before_torch_is_imported() -> None:
    """Guards against importing torch, which takes seconds, before the arguments are checked."""
    program = (
        "import sys; from pipeline.__main__ import main; code = main(['engine.batch_size=0']); "
        "print(code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False"]


@pytest.mark.parametrize(("old", "new"), RENAMED_KEYS.items())
def test_an_old_key_names_the_new_one(old: str, new: str) -> None:
    """Guards against a message about a renamed key that does not give its new name."""
    with pytest.raises(ConfigError) as caught:
        compose_config([f"{old}=7"])
    assert f"{new}=7" in str(caught.value)


def test_a_run_is_named_only_where_it_is_read() -> None:
    """Bug: run=DIR without a task rendered the story."""
    with pytest.raises(ConfigError) as caught:
        compose_config(["run=outputs/mine"])
    assert all(fact in str(caught.value) for fact in ("run=outputs/mine", "status", "verify", "retry_rejects"))
