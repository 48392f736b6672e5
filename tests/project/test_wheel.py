"""The wheel: built, installed into an environment of its own, and used far from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline import __version__

ROOT = Path(__file__).resolve().parents[2]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


def run(*command: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run([*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(*PIP, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel alone, which borrows the dependencies: torch has gigabytes."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    (packages,) = folder.glob("lib/python3*/site-packages")
    run(*PIP, "--python", folder / "bin" / "python", "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=folder)
    # The folder of the dependencies has a .pth file as well, which names the checkout: added by name, it is not read.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def outside(environment: Path) -> dict[str, str]:
    """Variables of a shell that knows nothing of the checkout."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return kept | {"PATH": f"{environment / 'bin'}:/usr/bin:/bin"}


def test_the_wheel_carries_what_the_package_reads(wheel: Path) -> None:
    """Bug: a wheel without configs/, which ended at the first command."""
    names = set(zipfile.ZipFile(wheel).namelist())
    here = {
        *(f"pipeline/{path.relative_to(ROOT)}" for path in (ROOT / "configs").rglob("*.yaml")),
        *(
            str(path.relative_to(ROOT))
            for path in (ROOT / "pipeline").rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        ),
    }
    info = f"parler_pipeline-{__version__}.dist-info"
    assert here <= names
    assert {name for name in names if not name.startswith(("pipeline/", info))} == set()
    metadata = zipfile.ZipFile(wheel).read(f"{info}/METADATA").decode()
    assert f"Version: {__version__}" in metadata
    assert "Requires-Python: <3.14,>=3.10" in metadata


def test_the_wheel_renders_a_sentence_far_from_the_checkout(environment: Path, tmp_path: Path) -> None:
    """Guards configs, weights and story of an installed package, and the console script."""
    where = "import pipeline, pipeline.config.compose as c; print(pipeline.__file__, c.CONFIG_DIR)"
    env = outside(environment)
    python = environment / "bin" / "python"
    assert all(
        Path(each).is_relative_to(environment) for each in run(python, "-c", where, cwd=tmp_path, env=env).split()
    )
    command = environment / "bin" / "parler-pipeline"
    assert run(command, "--version", cwd=tmp_path, env=env).startswith(f"parler-pipeline {__version__} ")
    run(command, "task=preview", "text=Hello there.", "name=hello", cwd=tmp_path, env=env)
    (wav,) = tmp_path.rglob("*.wav")
    assert wav.stat().st_size > 10_000
