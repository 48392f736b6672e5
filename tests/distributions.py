"""Distributions that exist only as metadata, for entry points."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.registry import Registry


def install_distribution(folder: Path, entries: str, group: str, name: str = "toy") -> None:
    """Write the metadata of an installed distribution, so that `importlib.metadata` finds its entry points."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{entries}\n")


@contextmanager
def installed(folder: Path, entries: str, registry: Registry[Any]) -> Iterator[None]:
    """Install a distribution with entry points for a registry of this program, and uninstall it at the end."""
    site = folder / "site"
    site.mkdir()
    install_distribution(site, entries, registry.group)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        registry.refresh()
        yield
    registry.refresh()
