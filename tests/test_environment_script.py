"""`scripts/environment.sh`, with a stand-in for Python: who installs what, and when."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FAKE_PYTHON = """#!/usr/bin/env bash
case "$*" in
  "-m venv"*) sleep 0.2; mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; echo venv >>"$LOG" ;;
  *"pip --version"*) ;;
  *install*) echo "begin ${@: -1}" >>"$LOG"; sleep 0.2; echo "end ${@: -1}" >>"$LOG" ;;
esac
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("scripts/environment.sh", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    fake = tmp_path / "bin" / "python3"
    fake.parent.mkdir()
    fake.write_text(FAKE_PYTHON)
    fake.chmod(0o755)
    return tmp_path


def set_up(root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", "-c", "set -euo pipefail; source scripts/environment.sh; set_up_environment dev"],
        cwd=root,
        env={"PATH": f"{root}/bin:/usr/bin:/bin", "LOG": str(root / "log")},
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(set_up: subprocess.Popen[str]) -> str:
    """Wait for a set-up that is to succeed; return what it told."""
    _, told = set_up.communicate(timeout=30)
    assert set_up.returncode == 0, told
    return told


def installed(root: Path) -> list[str]:
    return (root / "log").read_text().split("\n")[:-1]


def test_set_ups_at_once_install_once(root: Path) -> None:
    """Bug: two set-ups at once installed into each other's half-made environment."""
    for each in [set_up(root) for _ in range(3)]:
        finish(each)
    assert installed(root) == ["venv", "begin torch", "end torch", f"begin {root}[dev]", f"end {root}[dev]"]
    assert not (root / ".venv.lock").exists()


def test_the_lock_of_a_killed_set_up_is_no_obstacle(root: Path) -> None:
    """A machine that is switched off while it installs must not need a person to tidy up."""
    dead = subprocess.Popen(["true"])
    dead.wait()
    (root / ".venv.lock").mkdir()
    (root / ".venv.lock" / "holder").write_text(f"{socket.gethostname()} {dead.pid}\n")
    finish(set_up(root))


def test_a_lock_of_another_machine_is_waited_for(root: Path) -> None:
    """Nobody can ask another machine whether its process lives."""
    lock = root / ".venv.lock"
    lock.mkdir()
    (lock / "holder").write_text("elsewhere 1\n")
    waiting = set_up(root)
    time.sleep(0.5)
    assert waiting.poll() is None
    shutil.rmtree(lock)
    told = finish(waiting)
    assert "elsewhere 1" in told
    assert str(lock) in told


def test_what_builds_the_package_is_pinned() -> None:
    """A build tool of the day that breaks an installation of the year before."""
    requires = re.search(r'requires = \["(setuptools==[\d.]+)"\]', (ROOT / "pyproject.toml").read_text())
    assert requires
    assert requires[1] in (ROOT / "constraints.txt").read_text().split()
