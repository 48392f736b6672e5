"""Registries: entries of the package, of a program, and of another distribution."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from distributions import install_distribution

from pipeline.errors import ConfigError
from pipeline.registry import Registry

GROUP = "parler_pipeline.tests"


@pytest.fixture
def registry() -> Registry[object]:
    return Registry(GROUP, {"builtin": "pipeline.errors:ConfigError"})


def test_an_entry_of_the_package_is_imported_when_asked_for(registry: Registry[object]) -> None:
    """Guards quick commands: a name is known without its module."""
    lazy: Registry[object] = Registry(GROUP, {"lazy": "no_such_module:thing"})
    assert lazy.names() == ["lazy"]
    assert registry.get("builtin") is ConfigError


def test_a_program_adds_an_entry_and_takes_it_away(registry: Registry[object]) -> None:
    registry.add("own", 5)
    assert registry.get("own") == 5
    assert registry.names() == ["builtin", "own"]
    registry.remove("own")
    with pytest.raises(ConfigError) as caught:
        registry.get("own")
    assert "own" in str(caught.value)
    assert "builtin" in str(caught.value)


def test_another_distribution_adds_an_entry(
    registry: Registry[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards extension without a change of this package."""
    (tmp_path / "toy_plugin.py").write_text("THING = 7\n")
    install_distribution(tmp_path, "toy = toy_plugin:THING\nbroken = toy_plugin:MISSING", GROUP)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert registry.names() == ["builtin", "broken", "toy"]
    assert registry.get("toy") == 7
    with pytest.raises(ConfigError) as caught:
        registry.get("broken")
    assert "MISSING" in str(caught.value)
    sys.modules.pop("toy_plugin", None)


@pytest.mark.parametrize("entries", ["builtin = toy_plugin:THING"])
def test_a_name_that_is_taken_is_refused(
    registry: Registry[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entries: str
) -> None:
    """Guards against a distribution that replaces a part of this one unnoticed."""
    install_distribution(tmp_path, entries, GROUP)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError) as caught:
        registry.names()
    assert "builtin" in str(caught.value)
    assert "toy" in str(caught.value)
