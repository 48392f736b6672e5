"""`scripts/environment.sh`, with fakes of Python and uv: who installs what, when, and with which Python."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("bash", "cat", "cksum", "cp", "dirname", "env", "mkdir", "sleep", "touch", "tr", "uname")
FAKE_PYTHON = f"""#!/usr/bin/env bash
case "$*" in
  "- "*) exec {sys.executable} "$@" ;;  # takes the lock
  "-m venv"*) sleep 0.2; mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; echo venv >>"$LOG" ;;
  *install*)
    echo "begin ${{*: -1}}" >>"$LOG"
    sleep "$SLOW"
    if [[ "$*" == *"$FAIL"* ]]; then exit 1; fi
    echo "end ${{*: -1}}" >>"$LOG"
    ;;
esac
"""
FAKE_UV = """#!/usr/bin/env bash
echo "uv $*" >>"$LOG"
case "$*" in
  venv*) mkdir -p "${@: -1}/bin"; cp "$5" "${@: -1}/bin/python" ;;
  "python find"*) [ -e "$HOME/fetched" ] && echo "$HOME/fetched" ;;
  "python install"*) cp "$HOME/spare" "$HOME/fetched" ;;
esac
"""
FAKE_OLD_PYTHON = "#!/usr/bin/env bash\n[ $1 != -c ] && echo Python 3.9.1\n"
LOCKS = ("build", "base", "dev")


def make_executable(path: Path, script: str) -> None:
    path.write_text(script)
    path.chmod(0o755)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with nothing but the script, on a machine with one Python."""
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    make_executable(tmp_path / "bin" / "python3", FAKE_PYTHON)
    for name in ("scripts/environment.sh", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    return tmp_path


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Set-ups that are ended with the test."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for each in processes:
        if each.poll() is None:
            os.killpg(each.pid, signal.SIGKILL)
        if each.stderr and not each.stderr.closed:
            each.communicate()


def set_up(root: Path, *arguments: str, slow: float = 0.1, fail: str = "no such argument") -> subprocess.Popen[str]:
    variables = {"PATH": f"{root}/bin", "HOME": str(root), "LOG": str(root / "log"), "SLOW": str(slow), "FAIL": fail}
    return subprocess.Popen(
        [str(root / "bin" / "bash"), "scripts/environment.sh", *(arguments or ("dev",))],
        cwd=root,
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(set_up: subprocess.Popen[str]) -> str:
    """Wait for a set-up that is to succeed; return what it told."""
    _, told = set_up.communicate(timeout=30)
    assert set_up.returncode == 0, told
    return told


def installed(root: Path) -> list[str]:
    return (root / "log").read_text().split("\n")[:-1] if (root / "log").exists() else []


def steps(root: Path) -> list[str]:
    files = [f"{root}/requirements/{name}.txt" for name in LOCKS]
    return [f"{when} {what}" for what in (*files, "torch", str(root)) for when in ("begin", "end")]


def wait_for(root: Path, line: str) -> None:
    deadline = time.monotonic() + 20
    while not any(line in each for each in installed(root)):
        assert time.monotonic() < deadline, installed(root)
        time.sleep(0.02)


def test_set_ups_at_once_install_once(root: Path) -> None:
    """Bug: two set-ups at once installed into each other's half-made environment."""
    for each in [set_up(root) for _ in range(3)]:
        finish(each)
    assert installed(root) == ["venv", *steps(root)]
    finish(set_up(root))
    assert installed(root) == ["venv", *steps(root)]


def test_a_killed_set_up_lets_one_of_those_in_that_waited(root: Path, started: list[subprocess.Popen[str]]) -> None:
    """Bug: two that met the lock of a dead process at once both removed it, and both installed."""
    started.append(killed := set_up(root, slow=60))
    wait_for(root, "begin")
    started.extend(waiting := [set_up(root) for _ in range(3)])
    time.sleep(0.5)
    assert [each.poll() for each in waiting] == [None] * 3
    os.killpg(killed.pid, signal.SIGKILL)
    told = [finish(each) for each in waiting]
    assert all(f"process {killed.pid} on " in each for each in told)
    first_step = steps(root)[0]
    assert installed(root) == ["venv", first_step, *steps(root)]


def test_a_file_that_is_not_the_one_of_the_lock_stops_the_set_up(root: Path) -> None:
    """Guards against a way on without hashes that nobody chose; the way that can be chosen is told and works."""
    _, told = (failed := set_up(root, fail="base.txt")).communicate(timeout=30)
    assert failed.returncode == 1
    assert "requirements/base.txt" in told
    assert "bash scripts/environment.sh --no-hashes dev" in told
    assert not any("torch" in line for line in installed(root))
    finish(set_up(root, "--no-hashes", "dev", fail="base.txt"))
    assert installed(root)[-1] == f"end {root}[dev]"
    before = installed(root)
    finish(set_up(root, fail="base.txt"))
    assert installed(root) == before


def test_any_supported_python_is_found(root: Path) -> None:
    """Bug: python3 of another version was the end, though python3.13 was there."""
    make_executable(root / "bin" / "python3", FAKE_OLD_PYTHON)
    make_executable(root / "bin" / "python3.13", FAKE_PYTHON)
    finish(set_up(root))
    assert installed(root) == ["venv", *steps(root)]


def test_without_a_supported_python_the_versions_are_told(root: Path) -> None:
    """Guards the first line that somebody with another Python sees."""
    make_executable(root / "bin" / "python3", FAKE_OLD_PYTHON)
    _, told = (failed := set_up(root)).communicate(timeout=30)
    assert failed.returncode == 1
    assert "3.13" in told
    assert "Python 3.9.1" in told
    assert not (root / ".venv").exists()


def test_uv_does_the_work_where_it_is_and_fetches_a_python(root: Path) -> None:
    """Guards machines with uv and no Python: all steps go through it, hashes included."""
    make_executable(root / "bin" / "python3", FAKE_OLD_PYTHON)
    make_executable(root / "bin" / "uv", FAKE_UV)
    make_executable(root / "spare", FAKE_PYTHON)
    finish(set_up(root))
    commands = [line for line in installed(root) if not line.startswith("uv python")]
    assert commands[0].startswith("uv venv")
    assert all(line.startswith("uv pip install") for line in commands[1:])
    assert [line.split()[-1] for line in commands[1:]] == [line.split()[-1] for line in steps(root)[::2]]
    assert [line.split()[-1] for line in commands if "--require-hashes" in line] == [
        f"{root}/requirements/{name}.txt" for name in LOCKS
    ]


def test_what_builds_the_package_is_pinned() -> None:
    """A build tool of the day that breaks an installation of the year before."""
    requires = re.search(r'requires = \["(hatchling==[\d.]+)"\]', (ROOT / "pyproject.toml").read_text())
    assert requires
    assert f"\n{requires[1]} " in (ROOT / "requirements" / "build.txt").read_text()


def pins(path: Path) -> set[str]:
    """Return names, versions and conditions of a file of requirements."""
    return set(re.findall(r"^[a-z0-9-]+==[^\\\n]+(?<! )", path.read_text(), flags=re.MULTILINE))


def test_the_files_with_hashes_hold_all_that_is_pinned_once() -> None:
    """Guards what is installed without looking at dependencies: one that is in no file would be missing."""
    files = [pins(ROOT / "requirements" / f"{name}.txt") for name in ("base", "dev", "ray")]
    assert len(set.union(*files)) == sum(map(len, files))
    rest = pins(ROOT / "constraints.txt") - set.union(*files)
    assert set.union(*files) <= pins(ROOT / "constraints.txt")
    assert all(re.match(r"(torch|triton|nvidia-[a-z0-9-]+|cuda-[a-z]+)==", pin) for pin in rest)
