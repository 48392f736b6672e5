"""Distributions that exist only as metadata, for entry points."""

from __future__ import annotations

from pathlib import Path


def install_distribution(folder: Path, entries: str, group: str, name: str = "toy") -> None:
    """Write the metadata of an installed distribution, so that `importlib.metadata` finds its entry points."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{entries}\n")
