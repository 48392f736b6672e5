"""Options of the command line, including those of Hydra."""

from __future__ import annotations

import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

import pipeline
from pipeline.__main__ import main
from pipeline.config.compose import compose_config


@pytest.mark.parametrize(
    ("typed", "facts"),
    [
        ("-m seed=1,2", ["-m", "for s in"]),
        ("--multirun", ["--multirun", "for s in"]),
        ("--config-dir conf", ["--config-dir", "--config my.yaml"]),
        ("--config-name=other", ["--config-name", "--config my.yaml"]),
        ("-cp conf", ["-cp", "--config my.yaml"]),
        ("--info defaults-tree", ["--info", "--cfg job"]),
        ("-i", ["-i", "--cfg job"]),
        ("--hydra-help", ["--hydra-help", "--help"]),
        ("--experimental-rerun x.pickle", ["--experimental-rerun", "--config"]),
        ("--run", ["--run", "run="]),
        ("--cfg hydra", ["--cfg hydra", "--cfg job"]),
        ("--cfg", ["--cfg", "job"]),
        ("--cfg job -p nothing", ["--package nothing", "engine"]),
        ("-p engine", ["--package engine", "--cfg job"]),
        ("--resolve", ["--resolve", "--cfg job"]),
        ("--config", ["--config", "my.yaml"]),
        ("--completion tcsh", ["tcsh", "bash"]),
        ("--version=2", ["--version"]),
        ("--version --voices", ["--voices", "--version"]),
        ("--batch-size=4", ["--batch-size", "no such option"]),
        ("--dry-run", ["--dry-run", "dry_run="]),
        ("--name=x", ["--name=x", "name=x"]),
        ("hydra.run.dir=x", ["hydra.run.dir=x", "output_dir="]),
        ("hydra/launcher=joblib", ["hydra/launcher", "executor="]),
        ("~engine.slots", ["~engine.slots", "another value"]),
        ("~experiment", ["~experiment", "another value"]),
        ("~engine.slotz=1", ["~engine.slotz", "engine.slots"]),
        ("+engine.slotz=1", ["engine.slotz", "engine.slots"]),
        ("engine@other=compiled", ["engine@other"]),
    ],
)
def test_what_has_no_meaning_here_says_what_to_do(
    typed: str, facts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Bug: the message for options of Hydra did not say what to do instead."""
    assert main(typed.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    for fact in facts:
        assert fact in error


def test_keys_may_be_added_as_hydra_writes_it() -> None:
    """Guards `+key` and `++key`, which Hydra users type to add a key."""
    config = compose_config(["+engine.slots=4", "++seed=3", "+experiment=speech_dataset"])
    assert (config.engine.slots, config.seed, config.task.name) == (4, 3, "dataset")


@pytest.mark.parametrize(
    "typed", ["--cfg job --package engine", "-c job seed=3 -p engine --resolve", "--cfg=job -p=engine"]
)
def test_cfg_prints_one_group(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Guards all spellings of Hydra's option, before and after settings."""
    assert main(typed.split()) == 0
    values = yaml.safe_load(capsys.readouterr().out)
    assert list(values) == ["engine"]
    assert values["engine"]["backend"] == "engine"


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    """Guards the versions that bug reports need."""
    assert main(["--version"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"parler-pipeline {pipeline.__version__} ")
    assert f"torch {version('torch')}" in printed


@pytest.mark.parametrize(
    "arguments", [["--completion", "bash"], ["--shell-completion", "install=bash"], ["-sc", "bash"]]
)
def test_bash_completes_groups_keys_and_files(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards words with = and ., at which readline splits them."""
    assert main(arguments) == 0
    (tmp_path / "my book.txt").touch()
    test = (
        capsys.readouterr().out
        + """
compopt() { :; }
complete_line() {
  COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDS=($1) COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
  _parler_pipeline; echo "${COMPREPLY[*]}"
}
complete_line 'parler-pipeline voice=jon model=mini-'
complete_line 'parler-pipeline engine.bat'
complete_line 'parler-pipeline dry_run='
complete_line 'parler-pipeline input=my'
complete_line 'parler-pipeline --config my'
"""
    )
    done = subprocess.run(["bash", "-c", test], cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines == ["mini-v0.1 mini-v1.1", "engine.batch_size=", "true false", "my book.txt", "my book.txt"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_scripts_of_other_shells_hold_the_words(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Guards the words and, if the shell is installed, the syntax of the script."""
    assert main(["--completion", shell]) == 0
    script = capsys.readouterr().out
    assert {"model=mini", "engine.batch_size=", "--config"} <= set(script.replace("'", " ").split())
    if shutil.which(shell):
        subprocess.run([shell, "-n", "-c", script], check=True, capture_output=True)
