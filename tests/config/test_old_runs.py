"""Runs of earlier versions, moved runs, and manipulated frozen configs."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from fakes import FakeModel

from pipeline.__main__ import main
from pipeline.config import Config, DatasetConfig, ModelConfig, SourceConfig, StyleConfig, VoiceConfig
from pipeline.config import compose as composition
from pipeline.config import frozen as directory
from pipeline.config.compose import compose_config
from pipeline.config.frozen import (
    check_config,
    fingerprint,
    freeze_config,
    frozen_config,
    run_directory,
    run_fingerprint,
)
from pipeline.errors import ConfigError, RunDirectoryError
from pipeline.outputs.dataset.shards import finished_shards
from pipeline.storage.run_directory import FORMAT_VERSION

# As the first format wrote it, with the fingerprint that its version gave.
FIRST = """\
input: texts.jsonl
name: null
output_dir: /tmp/out
run: null
seed: 0
dry_run: false
shard_index: null
num_shards: 1
task: {name: dataset, text: null}
source: {format: auto, encoding: utf-8, language: null, title: null, author: null, text_column: text, id_column: id,
  description_column: null, speaker_column: null, split: train, subset: null, limit: null, chapters: null}
text: {normalize: true, max_seconds: 5.0, min_seconds: 1.5}
voice:
  speaker: jon
  description: null
  style: {expressivity: slightly expressive and animated, pace: moderate speed, pitch: '', room: very close,
    quality: very clear audio, weight: 1.0}
  speakers: []
  styles: []
model: {name: untrained, path: '', revision: abc, speakers: [], similarity: null, max_seconds: 30.0}
engine:
  backend: engine
  device: auto
  dtype: auto
  attention: sdpa
  compile: none
  cache: dynamic
  batch_size: 8
  slots: 0
  sampling: {do_sample: true, temperature: 1.0, top_k: 50, top_p: 1.0}
executor: {kind: auto, devices: auto, address: null, workers: 0, gpus_per_worker: 1.0, hang_seconds: 900.0,
  restarts: 16, backoff_seconds: 1.0}
planning:
  shard_size: 2
  prompt_tokens: [32, 64, 128, 256, 512]
  description_tokens: [64, 128, 256]
  max_seconds: [5.0, 10.0, 20.0, 30.0]
  headroom: 1.6
checks: {takes: 3, silence_dbfs: -60.0, clipped_fraction: 0.02, length_ratio: 2.5, accept_last_take: false}
dataset: {format: flac, license: other, name: null}
book: {clause_pause: 0.15, sentence_pause: 0.35, paragraph_pause: 0.7, scene_pause: 1.6, heading_pause: 1.2,
  chapter_pause: 2.5, loudness_lufs: -18.0, peak_dbfs: -3.0, bitrate_kbps: 96, narrator: null, cover: null}
"""
FIRST_FINGERPRINT = "c247ccc441458cb12c43c98ef7b964ac"


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """The directory of a run of the first format, with its config only."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(FIRST)
    return tmp_path / "run"


def test_a_config_of_the_first_format_asks_for_the_same(first: Path) -> None:
    """Bug: new keys changed the config of all older runs, and their shards were made again."""
    config = frozen_config(first)
    assert config.source == SourceConfig(id_column="id")
    check_config(first, config)
    assert run_fingerprint(first, config) == FIRST_FINGERPRINT
    freeze_config(first, dataclasses.replace(config, output_dir="elsewhere"), "digest")
    assert run_fingerprint(first, config) == FIRST_FINGERPRINT, "also after a later version has written the file"
    assert frozen_config(first).output_dir == "elsewhere"
    check_config(first, config, "digest")
    with pytest.raises(RunDirectoryError, match=r"dataset\.readings_per_text\b.*\b1\b.*\b2\b"):
        check_config(first, dataclasses.replace(config, dataset=DatasetConfig(readings_per_text=2)))


def test_defaults_do_not_enter_the_fingerprint() -> None:
    """Bug: a new key changed the fingerprint of all runs. Only values other than the default may."""
    config = Config()
    values = fingerprint(config)
    assert fingerprint(dataclasses.replace(config, input="elsewhere.jsonl")) == values
    assert fingerprint(dataclasses.replace(config, source=SourceConfig(seed_column="s"))) != values
    voices = [VoiceConfig(styles=[StyleConfig(pitch=pitch)]) for pitch in ("", "low", "high")]
    styled = [dataclasses.replace(config, voice=voice) for voice in voices]
    assert len({fingerprint(each) for each in (config, *styled)}) == 4
    bare = directory._without_defaults(styled[1])["voice"]
    assert bare == {"style": {}, "styles": [{"pitch": "low"}]}, "keys that have their default in a list, too"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "49fc73c354c02afaa77ea510d2086e67"),
        (["model=mini"], "2ef52a24bc5b8e23aad9e05a43cecab4"),
        (["model=acme/x"], "7ebb3c7c2a87b1a2f8a7ed729ecb040d"),
        (["model=untrained"], "84565dfcee8c49c7e53645579068280c"),
        (["experiment=speech_dataset", "model=mini"], "7e434ce524c200d897853964f434e4fc"),
        (["text.max_seconds=15", "checks.takes=3"], "b62f95aaebf484b3dbf546c8ec6b20e8"),
        (["model=mini", "text.max_seconds=12", "checks.takes=6"], "6300827ee79c1ce3fcd0abd15e5860ac"),
    ],
)
def test_a_default_that_changes_does_not_change_fingerprints(arguments: list[str], expected: str) -> None:
    """Guards fingerprints of runs that were made when the default was model.name=untrained."""
    assert fingerprint(compose_config(arguments)) == expected


def test_a_key_that_a_frozen_config_lacks_has_its_first_default(first: Path) -> None:
    """Guards the meaning of old runs when a default changes."""
    frozen = yaml.safe_load(FIRST)
    del frozen["model"], frozen["text"]["max_seconds"], frozen["checks"]["takes"]
    (first / "config.yaml").write_text(yaml.safe_dump(frozen))
    config = frozen_config(first)
    assert config.model == ModelConfig("untrained", max_seconds=30.0)
    assert (config.text.max_seconds, config.checks.takes) == (15.0, 3)


def test_keys_are_read_under_both_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against renamed keys that are unknown in older runs and scripts."""
    before = dataclasses.replace(Config(), checks=dataclasses.replace(Config().checks, takes=5))
    freeze_config(tmp_path, before)
    text = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(text.replace("takes: 5", "attempts: 5").replace("num_jobs:", "num_shards:"))
    with pytest.raises(RunDirectoryError, match=r"checks\.attempts"):
        frozen_config(tmp_path)
    renamed = {"checks.attempts": "checks.takes", "num_shards": "num_jobs"}
    values = fingerprint(before)
    monkeypatch.setattr(composition, "RENAMED_KEYS", renamed)
    monkeypatch.setattr(directory, "RENAMED_KEYS", renamed)
    assert frozen_config(tmp_path).checks.takes == 5
    with pytest.raises(ConfigError) as caught:
        compose_config(["checks.attempts=7"])
    assert "checks.takes=7" in str(caught.value)
    assert fingerprint(before) != values, "a fingerprint is made of the first name of a key"


def test_a_config_of_a_later_format_is_refused(tmp_path: Path) -> None:
    """Guards against writing to a run of a later version."""
    freeze_config(tmp_path, Config())
    text = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(text.replace(f"format_version: {FORMAT_VERSION}", "format_version: 99"))
    with pytest.raises(RunDirectoryError, match=r"\b99\b"):
        check_config(tmp_path, Config())


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x]\nb: &b [*a, *a]\nname: *b\n",
        "[" * 20_000,
        "!!python/object/apply:os.system ['touch /tmp/ran']",
        "x: 1\n" * 2_000_000,
        "name: \x00",
        "format_version: [1]",
        "planning: {prompt_tokens: 7}",
        "planning: 7",
        "seed: ${oc.env:HOME}",
        "7: 8",
    ],
)
def test_a_hostile_config_is_one_line(tmp_path: Path, text: str) -> None:
    """Bug: aliases expanded to gigabytes, and other files caused a traceback or ran code."""
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(RunDirectoryError) as caught:
        frozen_config(tmp_path)
    assert "\n" not in str(caught.value)
    assert "config.yaml" in str(caught.value)


@pytest.mark.parametrize("text", ["${oc.env:HOME}", "It costs ${5} now.", "a${", "\\${x}", "$", "${now:%Y}\\"])
def test_nothing_is_looked_up(tmp_path: Path, text: str) -> None:
    """Bug: `${oc.env:SECRET}` in a frozen config was replaced by the secret, and a text with ${5} was refused."""
    assert compose_config(["task=preview", f"text={text}"]).task.text == text
    for key in ("input", "output_dir", "name", "dataset.license", "source.title"):
        value: Any = compose_config([f"{key}={text}"])
        for part in key.split("."):
            value = getattr(value, part)
        assert value == text
    assert compose_config([f"voice=A voice {text}"]).voice.description == f"A voice {text}"
    frozen = dataclasses.replace(Config(), dataset=dataclasses.replace(Config().dataset, license=text, name=text))
    freeze_config(tmp_path, frozen)
    assert frozen_config(tmp_path) == frozen
    with pytest.raises(ConfigError, match="seed="):
        compose_config([f"seed={text}"])


@pytest.mark.parametrize(
    "argument",
    [
        "checks.silence_dbfs=nan", "checks.length_ratio=inf", "planning.headroom=inf", "planning.max_seconds=[1,nan]",
        "voice.style.weight=nan", "voice.speakers=[{speaker:Jon,weight:inf}]", "executor.hang_seconds=inf",
        "book.loudness_lufs=nan", "text.min_seconds=nan", "planning.prompt_tokens=[99999999999]",
        "planning.description_tokens=[64,70000]", "engine.batch_size=9999999999999999999999", "checks.takes=1e400",
    ],
)  # fmt: skip
def test_numbers_that_are_none_are_refused(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Bug: nan disabled checks, and 99999999999 tokens were allocated."""
    assert main([argument, "dry_run=true"]) == 2
    error = capsys.readouterr().err
    assert argument.split("=")[0].split("[")[0] in error or "weight" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", ["x" * 300, "a\nb", "a\x1b[2Jb", "é" * 100, "..", "a/b", "\u202e"])
def test_odd_names_of_runs_are_refused(name: str) -> None:
    """Guards tables, lists of hashes and terminals against line breaks and escapes in names."""
    with pytest.raises(ConfigError) as caught:
        run_directory(Config(name=name))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("key", ["input", "output_dir", "run"])
def test_endless_paths_are_one_line(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Bug: very long paths caused a traceback."""
    task = ["task=verify"] if key == "run" else ["task=dataset", "input=story"]
    assert main([*task, f"{key}={'x' * 300}/{'y' * 300}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("-", "stdin"),
        ("/dev/stdin", "stdin"),
        ("[data/a.jsonl,b.jsonl]", "a"),
        ("data/*.jsonl", "data"),
        ("data/x-*.jsonl", "data"),
        ("a\nb\x1b.txt", "a-b"),
        ("é" * 120 + ".txt", "é" * 37),
        ("books/My Book (1).txt", "My-Book-1"),
    ],
)
def test_names_of_runs(source: str, name: str) -> None:
    """Guards the default name, by which a command finds its run again."""
    assert run_directory(Config(input=source)).name == f"{name}-bundled"


ROWS = [{"id": f"r{n}", "text": text, "label": n} for n, text in enumerate(["One more.", "Again.", "Again.", "***"])]


def command(tmp_path: Path, *more: str) -> list[str]:
    tmp_path.mkdir(exist_ok=True)
    path = tmp_path / "rows.jsonl"
    if not path.exists():
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    given = ["task=dataset", f"input={path}", f"output_dir={tmp_path}", "name=run", "source.id_column=id"]
    return [*given, "planning.shard_size=2", *more]


def hashes(run_dir: Path) -> Mapping[str, str]:
    return {clip.id: clip.audio_sha256 for shard in finished_shards(run_dir) for clip in shard.clips}


def test_a_run_moves_with_its_input(tmp_path: Path, fake_model: FakeModel) -> None:
    """Bug: a copy of a run with its input was refused because of its path."""
    assert fake_model.main(command(tmp_path / "a")) == 0
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert fake_model.main(command(tmp_path / "b")) == 0
    assert len(fake_model) == 1
    assert fake_model.main(["task=verify", f"run={tmp_path / 'b' / 'run'}"]) == 0
    (tmp_path / "c").mkdir()
    other = tmp_path / "c" / "rows.jsonl"
    other.write_text(json.dumps({"id": "x", "text": "Other words."}))
    task, _, *rest = command(tmp_path / "b")
    assert fake_model.main([task, f"input={other}", *rest]) == 3, "other content"


def test_a_refused_folder_stays_as_it_is(tmp_path: Path, fake_model: FakeModel) -> None:
    """Bug: a lock file was left in a folder that is not a run."""
    command(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("precious")
    assert fake_model.main(command(tmp_path)) == 3
    assert fake_model.main(["task=retry_rejects", f"run={tmp_path / 'run'}"]) == 3
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.txt"]


def run_of_first_format(tmp_path: Path, fake_model: FakeModel) -> Path:
    """Make a run like one of the first version: without later keys, and with its fingerprint in all files."""
    run_dir = tmp_path / "run"
    assert fake_model.main(command(tmp_path, "source.keep_columns=[]")) == 0
    values = yaml.safe_load((run_dir / "config.yaml").read_text())
    old: dict[str, Any] = {}
    for key, group in yaml.safe_load(FIRST).items():
        is_group = isinstance(group, dict)
        old[key] = (
            {name: each for name, each in values[key].items() if name in group} if is_group else values.get(key, group)
        )
    shutil.rmtree(run_dir)
    run_dir.mkdir()
    (run_dir / "config.yaml").write_text(yaml.safe_dump(old, sort_keys=False))
    rows = [{key: row[key] for key in ("id", "text")} for row in ROWS]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert fake_model.main(command(tmp_path)) == 0
    for path in (run_dir / "plan" / "plan.json", *(run_dir / "manifests").iterdir()):
        content = json.loads(path.read_text())
        assert content["fingerprint"] != fingerprint(frozen_config(run_dir))
        assert content.pop("format_version") == FORMAT_VERSION
        content.pop("kept_columns", None)
        path.write_text(json.dumps(content))
    (run_dir / "config.yaml").write_text(yaml.safe_dump(old, sort_keys=False))
    return run_dir


def test_a_run_of_the_first_format_resumes_retries_and_verifies(tmp_path: Path, fake_model: FakeModel) -> None:
    """Guards against runs of the first version that are refused or made again."""
    run_dir = run_of_first_format(tmp_path, fake_model)
    before, num_made = hashes(run_dir), len(fake_model)
    (run_dir / "SHA256SUMS").unlink()
    assert fake_model.main(["task=retry_rejects", f"run={run_dir}"]) == 0
    assert fake_model.main(["task=verify", f"run={run_dir}"]) == 0
    assert fake_model.main(command(tmp_path)) == 0
    assert len(fake_model) == num_made, "nothing was to be made"
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert fake_model.main(command(tmp_path)) == 0
    assert not any(each.computed_frames for each in fake_model[num_made:]), "a new column needs no new clip"
    assert hashes(run_dir) == before
    assert fake_model.main(["task=verify", f"run={run_dir}"]) == 0
    (run_dir / "data" / "train-00000-of-00002.parquet").unlink()
    assert fake_model.main(command(tmp_path)) == 0
    assert hashes(run_dir) == before
