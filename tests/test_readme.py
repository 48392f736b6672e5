"""What the README shows must be true: its commands compose, its snippet runs, its files exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from pipeline.config.compose import compose_config

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line, comments=True)
    for block in re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    for line in block.splitlines()
]


def test_there_are_commands() -> None:
    assert sum(command[:3] == ["python", "-m", "pipeline"] for command in COMMANDS) >= 5


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_is_one_that_works(command: list[str]) -> None:
    """Guards a newcomer's first minutes."""
    if command[0] == "bash":
        assert (ROOT / command[1]).is_file()
    else:
        assert compose_config(command[3:])


@pytest.mark.parametrize("override", re.findall(r"`((?:voice|book|source)\.[\w.]+=[^`]+)`", README))
def test_every_setting_that_is_named_exists(override: str) -> None:
    compose_config(shlex.split(override))


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_python_snippet_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (snippet,) = [s for s in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL) if "soundfile" in s]
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet, "README.md", "exec"), {})
    assert (tmp_path / "hello.wav").stat().st_size > 1000
