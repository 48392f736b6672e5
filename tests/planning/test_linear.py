"""Cost that grows with the input, and no faster: ten times as much may take at most fifteen times as long.

CPU time is measured, not wall time. Sizes are such that a quadratic cost shows, while a linear one takes a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from growth import assert_linear
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import ModelConfig, PlanningConfig, SourceConfig, SpeakerChoice, TextConfig, VoiceConfig
from pipeline.errors import SourceError
from pipeline.planning import group_into_shards, occurrences, plan_utterances, predict_seconds
from pipeline.planning.dataset_schema import COLUMN_NAMES
from pipeline.planning.kept_columns import TypeFinder, dataset_name
from pipeline.text.readers.dispatch import read_documents
from pipeline.text.segmentation import segment_document
from pipeline.types import Document, Segment
from pipeline.voices import Casting

CHARACTERS = 6_000  # of the small input
MARKS = [
    '"',
    '""',
    "'",
    ",",
    ";",
    "\t",
    "|",
    "\n",
    "\r\n",
    "\r",
    " ",
    "  ",
    "a",
    "word ",
    "{",
    "}",
    "[",
    "]",
    "\\",
    "-",
]
JSON_MARKS = ['{"text": "a"}\n', '{"text": "a"},', '"text": ', "\\u00e9", "é", "\ufeff", "\u2028", "1", ".", ":"]
PARTS = st.sampled_from([*MARKS, *JSON_MARKS]) | st.text(min_size=1, max_size=3)
PIECES = st.lists(PARTS, min_size=1, max_size=6).map("".join)


def read_all(path: Path, source: SourceConfig) -> None:
    """Reads a table to its end, or to the error that it is refused with."""
    finder = TypeFinder()
    try:
        for document in read_documents(str(path), source):
            finder.add({dataset_name(name, COLUMN_NAMES): value for name, value in document.columns.items()})
    except SourceError as error:
        message = str(error)
    else:
        return
    assert len(message) < 3000


@pytest.mark.parametrize(
    ("name", "opening"),
    [
        ("a.csv", "id,text\n"),
        ("a.tsv", "id\ttext\n"),
        ("b.csv", 'id;text\n1;"'),
        ("a.jsonl", '{"text": "a"}\n'),
        ("b.jsonl", '{"text": "'),
        ("a.json", '[{"text": "a"},'),
        ("b.json", '[{"text": "'),
        ("c.json", '{"text": ['),
    ],
)
@given(piece=PIECES)
@settings(max_examples=8, deadline=None)
def test_reading_is_linear(tmp_path_factory: pytest.TempPathFactory, name: str, opening: str, piece: str) -> None:
    """Guards against files of a megabyte that take an hour: each reader looks back, and each has patterns."""
    folder = tmp_path_factory.mktemp("linear")

    def work(factor: int) -> None:
        path = folder / str(factor) / name
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            repeated = piece * (factor * CHARACTERS // len(piece))
            path.write_text(opening + repeated, encoding="utf-8", errors="replace", newline="")
        read_all(path, SourceConfig())

    assert_linear(work)


ROW_SHAPES: list[Callable[[int], dict[str, object]]] = [
    lambda n: {"text": "The same words."},
    lambda n: {"text": f"Row number {n}."},
    lambda n: {"text": "x", "list": list(range(20)), "nested": {f"k{n % 150}": {"a": [n]}}},
    lambda n: {"text": "x", f"k{n % 300}": n},
    lambda n: {"text": "x", "v": ["A voice."] * 3},
    lambda n: {"text": "", "v": None},
]


@pytest.mark.parametrize("shape", range(len(ROW_SHAPES)))
@pytest.mark.parametrize("max_in_memory", [10, 1 << 17])
def test_planning_rows_is_linear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: int, max_in_memory: int
) -> None:
    """Guards a million rows: whatever is remembered of each must be found again at once."""
    monkeypatch.setattr(occurrences, "MAX_IN_MEMORY", max_in_memory)
    casting = Casting(VoiceConfig(speakers=[SpeakerChoice("Jon"), SpeakerChoice("Lea")]), ModelConfig("untrained"))
    for factor in (1, 10):
        rows = ({"id": f"r{n}", "n": n, **ROW_SHAPES[shape](n)} for n in range(120 * factor))
        (tmp_path / f"{factor}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def segment(document: Document) -> list[Segment]:
        return segment_document(document, TextConfig(), predict_seconds)

    def work(factor: int) -> None:
        source = SourceConfig(id_column="id", description_column="v" if "v" in ROW_SHAPES[shape](0) else None)

        def documents() -> Iterator[Document]:
            yield from read_documents(str(tmp_path / f"{factor}.jsonl"), source)

        utterances = plan_utterances(documents(), segment, casting, 0)
        assert (
            sum(len(shard.utterances) for shard in group_into_shards(utterances, PlanningConfig().shard_size))
            >= 120 * factor
        )

    assert_linear(work)


def test_many_keys_are_linear(tmp_path: Path) -> None:
    """Bug: finding which of 100,000 keys occurs twice took minutes."""

    def work(factor: int) -> None:
        keys = ",".join(f'"k{n}": 1' for n in range(2000 * factor))
        path = tmp_path / f"{factor}.jsonl"
        path.write_text(f'{{"text": "a", {keys}, "k{2000 * factor - 1}": 2}}\n', encoding="utf-8")
        read_all(path, SourceConfig())

    assert_linear(work)
