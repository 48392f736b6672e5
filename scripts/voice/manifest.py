"""Lines: what a teacher is asked to say. Knows neither where the words come from nor what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Line:
    """One utterance for the teacher."""

    text: str  # spoken form, which is what the decoder's prompt will be
    speaker: str
    pace: str  # word of the description
    speed: float  # of the teacher; 1 is its own


def write_lines(path: Path, lines: Sequence[Line]) -> None:
    """Write them as JSON lines."""
    path.write_text("".join(json.dumps(asdict(line)) + "\n" for line in lines), encoding="utf-8")


def read_lines(path: Path) -> list[Line]:
    """Read what `write_lines` wrote."""
    with path.open(encoding="utf-8") as file:
        return [Line(**json.loads(row)) for row in file]
