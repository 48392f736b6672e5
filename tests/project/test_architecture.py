"""The map of the package, held against its imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "pipeline"

# From the top. Packages on one line do not import each other, and each imports only from lines below its own.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("__main__",),
    ("commands",),
    ("execution",),
    ("generation",),
    ("reporting",),
    ("outputs",),
    ("planning",),
    ("quality",),
    ("text",),
    ("synthesis",),
    ("audio", "voices"),
    ("config",),
    ("storage",),
    ("seeds", "types", "registry"),
    ("errors", "__version__"),
)
LAYER_OF = {name: -number for number, names in enumerate(LAYERS) for name in names}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(module: str) -> str:
    return module.split(".")[1]


def imports_of(path: Path) -> set[str]:
    """Modules that a file imports anywhere, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    """Guards the rooms against growing into one another."""
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room == "__init__":
        return
    for module in imports_of(path):
        if module.startswith("pipeline.") and room_of(module) != room:
            other = room_of(module)
            assert LAYER_OF[other] < LAYER_OF[room], f"{room} may not import {module}"


def test_only_one_module_imports_upstream() -> None:
    """Guards the mends: whoever imports parler_tts past them meets what they mend."""
    users = {path.name for path in MODULES if any(m.split(".")[0] == "parler_tts" for m in imports_of(path))}
    assert users == {"upstream.py"}


def test_the_pure_rooms_load_no_torch() -> None:
    """Guards quick answers and workers that only plan."""
    program = (
        "import sys, pipeline.config.compose, pipeline.planning, pipeline.voices, pipeline.text.readers.dispatch, "
        "pipeline.text.segmentation; print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_say_what_they_are_and_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), "opens by saying what it owns"
    assert len(text.splitlines()) <= 350


def test_a_command_does_not_wait_for_what_only_the_book_needs() -> None:
    """Guards the first sound of a run, and each worker's start: scipy takes a second to import."""
    program = "import sys, pipeline.commands.dispatch; print('scipy' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
