"""The frozen config of a run directory."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from fakes import Checkpoints, FakeModel

from pipeline.config import Config, EngineConfig, ModelConfig
from pipeline.config.frozen import (
    check_config,
    fingerprint,
    freeze_config,
    recorded_revisions,
    run_directory,
)
from pipeline.errors import ConfigError, RunDirectoryError
from pipeline.storage.locks import write_lock
from pipeline.synthesis.untrained import UntrainedShape


def config(**changes: object) -> Config:
    return dataclasses.replace(Config(), **changes)  # type: ignore[arg-type]


def test_the_same_config_may_come_back(tmp_path: Path) -> None:
    freeze_config(tmp_path / "run", config())
    before = (tmp_path / "run" / "config.yaml").read_bytes()
    freeze_config(tmp_path / "run", config())
    assert (tmp_path / "run" / "config.yaml").read_bytes() == before


def test_another_config_is_refused_and_the_difference_shown(tmp_path: Path) -> None:
    """Guards against clips of two voices, seeds or models in one directory."""
    freeze_config(tmp_path / "run", config())
    other = config(seed=7, engine=EngineConfig(batch_size=3))
    with pytest.raises(RunDirectoryError) as caught:
        check_config(tmp_path / "run", other)
    assert re.search(r"\bseed\b.*\b0\b.*\b7\b", str(caught.value))
    assert re.search(r"\bengine\.batch_size\b.*\b8\b.*\b3\b", str(caught.value))
    assert "name=" in str(caught.value)


def test_what_does_not_touch_clips_may_change(tmp_path: Path) -> None:
    """Guards against refusing settings that do not affect clips, such as loudness or the device."""
    freeze_config(tmp_path / "run", config())
    changed = config(engine=EngineConfig(device="cpu"), output_dir="elsewhere")
    changed.book.loudness_lufs = -20.0
    freeze_config(tmp_path / "run", changed)
    assert "loudness_lufs: -20.0" in (tmp_path / "run" / "config.yaml").read_text()
    assert fingerprint(changed) == fingerprint(config())
    assert fingerprint(config(seed=1)) != fingerprint(config())


def test_a_run_that_is_older_than_a_key_goes_on(tmp_path: Path) -> None:
    """Guards against refusing a run that was made before a key existed."""
    freeze_config(tmp_path / "run", config())
    path = tmp_path / "run" / "config.yaml"
    frozen = yaml.safe_load(path.read_text())
    for key in ("description_tokenizer", "description_tokenizer_revision"):
        del frozen["model"][key]
    path.write_text(yaml.safe_dump(frozen))
    check_config(tmp_path / "run", config())
    model = replace(config().model, description_tokenizer_revision="1" * 40)
    assert fingerprint(config(model=model)) != fingerprint(config())
    assert fingerprint(config(model=replace(model, description_tokenizer="other/t5"))) == fingerprint(
        config(model=model)
    )


def test_a_run_keeps_the_commits_of_its_own_repositories(tmp_path: Path) -> None:
    """Guards against resuming a run with another commit of its repository."""
    commits = {"revision": "1" * 40, "description_tokenizer_revision": "2" * 40}
    asked = ModelConfig("mini", "acme/mini")
    assert recorded_revisions(tmp_path / "run", asked) == asked
    freeze_config(tmp_path / "run", config(model=replace(asked, **commits)))
    assert recorded_revisions(tmp_path / "run", asked) == replace(asked, **commits)
    for kept in (replace(asked, path="acme/other"), ModelConfig("untrained")):
        assert recorded_revisions(tmp_path / "run", kept) == kept
    named = replace(asked, revision="main", description_tokenizer="other/t5")
    assert recorded_revisions(tmp_path / "run", named) == named
    freeze_config(tmp_path / "run", config(model=replace(asked, revision="0123456789abcdef")))
    assert recorded_revisions(tmp_path / "run", asked) == asked, "the hash of a folder is no commit"


def test_the_frozen_sampling_is_what_clips_were_drawn_with(
    tmp_path: Path, checkpoint_of: Checkpoints, fake_model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bug: the frozen temperature was not that of the checkpoint, which was used."""
    folder = shutil.copytree(checkpoint_of(UntrainedShape(mean_seconds=0.4, codec_hidden=24)), tmp_path / "cool")
    generation = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps({**generation, "temperature": 0.25}))
    (tmp_path / "book.txt").write_text("The lamp was lit.")
    command = [f"input={tmp_path / 'book.txt'}", f"model={folder}", f"output_dir={tmp_path}", "name=run"]
    command = [*command, "task=dataset", "engine.sampling.top_k=7"]
    assert fake_model.main(command) == 0
    used = {"do_sample": True, "temperature": 0.25, "top_k": 7, "top_p": 1.0}
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["engine"]["sampling"] == used
    assert "0.25" in (tmp_path / "run" / "README.md").read_text()
    for again in ([], ["engine.sampling.temperature=0.25"]):
        assert fake_model.main([*command, *again]) == 0
    assert fake_model.main(["task=verify", f"run={tmp_path / 'run'}"]) == 0
    assert len(fake_model) == 1, "nothing was made twice"
    assert fake_model.main([*command, "engine.sampling.temperature=1"]) == 3
    assert re.search(r"engine\.sampling\.temperature\b.*0\.25.*1\.0", capsys.readouterr().err)


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    """Guards folders that are not runs against writing and deleting files."""
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(RunDirectoryError, match=re.escape(str(tmp_path))):
        check_config(tmp_path, config())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_broken_frozen_config_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("- not\n- a config\n")
    with pytest.raises(RunDirectoryError, match=r"config\.yaml"):
        check_config(tmp_path, config())


def test_a_directory_has_one_writer_at_a_time(tmp_path: Path) -> None:
    """Guards against two processes that write one run."""
    with write_lock(tmp_path / "run"):
        program = (
            "import sys; from pathlib import Path; from pipeline.storage.locks import write_lock\n"
            "with write_lock(Path(sys.argv[1])): pass"
        )
        second = subprocess.run([sys.executable, "-c", program, tmp_path / "run"], capture_output=True, text=True)
        assert second.returncode != 0
        assert RunDirectoryError.__name__ in second.stderr
        assert re.search(rf"\b{os.getpid()}\b", second.stderr), "who is there"
    with write_lock(tmp_path / "run"):
        pass
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunDirectoryError, match=r"run.*Not a directory"), write_lock(tmp_path / "file" / "run"):
        pass


def test_names_are_made_of_input_and_model() -> None:
    assert run_directory(config(input="books/My Book (1).txt")) == Path("outputs/My-Book-1-bundled")
    assert run_directory(config(name="mine", output_dir="/elsewhere")) == Path("/elsewhere/mine")
    with pytest.raises(ConfigError, match="name=a/b"):
        run_directory(config(name="a/b"))
