"""What the documentation shows must be true: commands compose, snippets run, links and settings exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from pipeline.config.command_line import parse_command_line
from pipeline.config.compose import compose_config
from scripts.reference import dataset_page, settings_page

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
}
SHELL = {
    (page, line)
    for page, text in PAGES.items()
    for block in re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    for line in block.splitlines()
    if line and not line.startswith((" ", "#"))
}
COMMANDS = sorted((page, line) for page, line in SHELL if line.startswith(("python -m pipeline", "parler-pipeline")))
SCRIPTS = sorted((page, line) for page, line in SHELL if line.startswith("bash "))
SETTINGS = sorted(
    {
        (page, setting)
        for page, text in PAGES.items()
        for setting in re.findall(r"`((?:voice|book|source)\.[\w.]+=[^`…]+)`", text)
    }
)


def test_there_are_commands() -> None:
    """Guards the tests below against a pattern that finds nothing."""
    assert len(COMMANDS) >= 20
    assert len(SETTINGS) >= 10


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[line for _, line in COMMANDS])
def test_every_command_is_one_that_works(page: str, line: str) -> None:
    """Guards a newcomer's first minutes."""
    words = shlex.split(line, comments=True)
    parsed = parse_command_line(words[3:] if words[0] == "python" else words[1:])
    assert parsed.action or compose_config(parsed.overrides)


@pytest.mark.parametrize(("page", "line"), SCRIPTS, ids=[line for _, line in SCRIPTS])
def test_every_script_exists(page: str, line: str) -> None:
    assert (ROOT / line.split()[1]).is_file()


@pytest.mark.parametrize(("page", "setting"), SETTINGS, ids=[setting for _, setting in SETTINGS])
def test_every_setting_that_is_named_exists(page: str, setting: str) -> None:
    value = setting.replace("FILE", "cover.jpg").replace("=...", "=x")
    compose_config(shlex.split(value))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\((?!http|#)([^)#]+)(?:#[^)]*)?\)", PAGES[page]):
        assert ((ROOT / page).parent / target).exists(), target


@pytest.mark.parametrize(
    ("page", "text"), [("docs/settings.md", settings_page), ("docs/dataset_schema.md", dataset_page)]
)
def test_generated_pages_are_current(page: str, text: object) -> None:
    """Guards a reference that lags behind the code: `python -m scripts.reference` writes it again."""
    assert callable(text)
    assert PAGES[page] == text()


def test_the_python_snippet_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snippet = next(s for s in re.findall(r"```python\n(.*?)```", PAGES["docs/python.md"], flags=re.DOTALL))
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet, "docs/python.md", "exec"), {})
    assert (tmp_path / "hello.wav").stat().st_size > 1000
