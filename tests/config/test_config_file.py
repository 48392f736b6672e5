"""Config files of users: their content, their precedence, and error messages."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from pipeline.__main__ import main
from pipeline.config.compose import compose_config
from pipeline.config.frozen import freeze_config
from pipeline.errors import ConfigError

FULL = """\
task: dataset
model: mini
voice: varied
experiment: speech_dataset
input: [a.jsonl, "b, c.jsonl"]
name: 2024_05_01
seed: 7
source:
  title: "1984"        # a number in quotes
  columns: [id, 007, null_]
  chapters: null
text:                  # all of it is a comment
engine.slots: 8
engine: {batch_size: 4, sampling: {temperature: 0.5}}
voice.style.pace: very fast
dataset: {license: "${oc.env:HOME}", name: ~}
"""


@pytest.fixture
def my(tmp_path: Path) -> Path:
    return tmp_path / "my.yaml"


@pytest.mark.parametrize("way", ["--config", "experiment"])
def test_a_file_sets_what_its_keys_say(way: str, my: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards choices of groups, dotted keys, names that look like numbers, and text with ${...}."""
    monkeypatch.setenv("HOME", "/secret")
    my.write_text(FULL)
    config = compose_config([], [str(my)]) if way == "--config" else compose_config([f"experiment={my}"])
    assert (config.task.name, config.model.path, config.voice.speaker) == (
        "dataset",
        "parler-tts/parler-tts-mini-v1",
        "varied",
    )
    assert (config.input, config.name, config.seed) == ('["a.jsonl","b, c.jsonl"]', "2024_05_01", 7)
    assert (config.source.title, config.source.columns) == ("1984", ["id", "007", "null_"])
    assert (config.engine.slots, config.engine.batch_size, config.engine.sampling.temperature) == (8, 4, 0.5)
    assert (config.voice.style.pace, config.planning.shard_size) == ("very fast", 512)
    assert (config.dataset.license, config.dataset.name) == ("${oc.env:HOME}", None)


def test_the_command_line_wins_over_files_and_a_later_file_over_an_earlier(tmp_path: Path) -> None:
    """Bug: the description of a file was used although the command line named a voice."""
    first, second = tmp_path / "1.yaml", tmp_path / "2.yaml"
    first.write_text(
        "voice: A low, calm voice.\nvoice.style.pace: slow\nmodel: {path: me/mine, revision: v2}\nseed: 1\n"
    )
    second.write_text("seed: 2\nengine: {batch_size: 3, slots: 12}\n")
    files = [str(first), str(second)]
    config = compose_config(["voice=jon", "model=mini", "engine=compiled", "name=x"], files)
    assert (config.voice.speaker, config.voice.description, config.voice.style.pace) == ("jon", None, "slow")
    assert (config.model.path, config.model.revision) == ("parler-tts/parler-tts-mini-v1", None)
    assert (config.seed, config.engine.batch_size, config.engine.slots) == (2, 8, 12)
    config = compose_config(["seed=3", "voice.speaker=lea"], files)
    assert (config.seed, config.model.revision, config.voice.description) == (3, "v2", "A low, calm voice.")


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        ("engine: {batch_sise: 3}", ["engine.batch_sise", "engine.batch_size"]),
        ("engine: {batch_size: many}", ["engine.batch_size=many", "whole number"]),
        ("engine: {batch_size: 0}", ["engine.batch_size=0"]),
        ("model: minni", ["model=minni", "mini"]),
        ("seed: {a: 1}", ["seed.a"]),
        ("seed: [1, 2]", ["seed"]),
        ("seed: null", ["seed"]),
        ("voice: [jon, lea]", ["voice=[jon,lea]", "task=preview"]),
        ("voice.speakers: [{wieght: 2}]", ["wieght", "weight"]),
        ("seed: 1\nseed: 2", ["seed", "twice"]),
        ("engine: {slots: 1}\nengine.slots: 2", ["engine.slots", "twice"]),
        ("defaults:\n  - model: mini", ["defaults", "model: mini"]),
        ("hydra: {run: {dir: x}}", ["hydra.run.dir", "model: mini"]),
        ("experiment: other.yaml", ["experiment=other.yaml", "--config"]),
        ("[1, 2]", ["key: value"]),
        ("a: b: c", ["line 1"]),
        ("a: &x [1]\nb: *x", ["aliases"]),
        ("? [1]\n: 2", ["line 1"]),
        ("seed: ???", ["seed=???"]),
        ("task: verify\nrun: a\nchecks.takes: 9", ["checks.takes=9", "task=verify"]),
    ],
)
def test_a_mistake_in_a_file_is_one_line_with_file_and_key(
    content: str, facts: list[str], my: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards against messages that do not name the file and the key."""
    my.write_text(content)
    assert main(["--config", str(my)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    for fact in facts if content.startswith("voice: [") else [str(my), *facts]:
        assert fact in error


def test_a_mistake_of_the_command_line_is_not_blamed_on_the_file(my: Path) -> None:
    """Guards against a message that names a file when the command line is wrong."""
    my.write_text("engine: {batch_size: 4}")
    with pytest.raises(ConfigError, match=r"^engine.batch_size=0"):
        compose_config(["engine.batch_size=0"], [str(my)])


@pytest.mark.parametrize("name", ["missing.yaml", ".", "binary.yaml"])
def test_a_file_that_cannot_be_read_is_named(name: str, tmp_path: Path) -> None:
    """Guards against tracebacks for folders, missing files and other formats."""
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=name):
        compose_config([], [str(tmp_path / name)])


def test_what_cfg_prints_and_what_a_run_froze_are_config_files(
    my: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards the use of a frozen config, or of `--cfg job`, for a new run."""
    arguments = ["voice=A low voice: \\${x} 'calm'.", "name=007", "planning.prompt_tokens=[8,16]", "model=large"]
    arguments += ["voice.speakers=[{speaker:Jon,weight:2}]", "executor.devices=[cpu]", "source.columns=[id,text]"]
    config = compose_config(arguments)
    assert main([*arguments, "--cfg", "job"]) == 0
    my.write_text(printed := capsys.readouterr().out)
    assert yaml.safe_load(printed) == dataclasses.asdict(config)
    assert compose_config([], [str(my)]) == config
    freeze_config(tmp_path, config, "digest")
    assert compose_config([], [str(tmp_path / "config.yaml")]) == config


def test_a_run_freezes_the_content_of_a_file_and_not_its_path(my: Path, tmp_path: Path) -> None:
    """Guards against runs that depend on a config file which is edited or deleted later."""
    my.write_text("seed: 11\ninput: story\n")
    freeze_config(tmp_path, compose_config([f"experiment={my}"]))
    frozen = (tmp_path / "config.yaml").read_text()
    assert "seed: 11" in frozen
    assert my.name not in frozen
