"""Columns of the input: nested names, what goes through to the dataset, and what else a column can say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from fakes import FakeModel
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import SourceConfig
from pipeline.errors import SourceError
from pipeline.outputs.dataset.shards import finished_shards
from pipeline.planning.dataset_schema import COLUMN_NAMES
from pipeline.planning.kept_columns import TypeFinder, arrow_type, card_entry, dataset_name, feature, fit, leaf_paths
from pipeline.text.readers.dispatch import read_documents
from pipeline.types import Document

ROWS: list[dict[str, Any]] = [
    {
        "uid": "e1", "sentence": "I am so glad.", "emotion": "happy", "lang": "en", "part": "train", "n": 1,
        "style": {"pitch": "high"}, "tags": ["a", "b"], "wer": 0.5, "own": 7, "duration": "long", "mixed": 1,
    },
    {
        "uid": "e2", "sentence": "Guten Morgen.", "emotion": None, "lang": "de", "part": "validation", "n": None,
        "style": None, "tags": [], "wer": 1, "own": None, "duration": "short", "mixed": "one",
    },
    {"uid": "e3", "sentence": "Leave me.", "lang": "", "part": "train", "style": {"pitch": "low", "x": True}, "own": 7},
]  # fmt: skip
COLUMNS = [
    "source.text_column=sentence", "source.id_column=uid", "source.language_column=lang", "source.split_column=part",
    "source.seed_column=own",
]  # fmt: skip


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path | str, **source: object) -> list[Document]:
    return list(read_documents(str(path), SourceConfig(**source)))  # type: ignore[arg-type]


def complaint(path: Path | str, **source: object) -> str:
    with pytest.raises(SourceError) as caught:
        read(path, **source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def run(fake_model: FakeModel, tmp_path: Path, *arguments: str, rows: list[dict[str, Any]] = ROWS) -> Path:
    path = jsonl(tmp_path / "rows.jsonl", rows)
    command = ["task=dataset", f"input={path}", f"output_dir={tmp_path}", "name=run", *arguments]
    assert fake_model.main(command) == 0
    return tmp_path / "run"


def rows_of(run_dir: Path) -> dict[str, dict[str, Any]]:
    files = sorted((run_dir / "data").glob("*.parquet"))
    return {row["id"]: row for file in files for row in pq.read_table(file, partitioning=None).to_pylist()}


def test_columns_go_through_with_their_types(tmp_path: Path, fake_model: FakeModel) -> None:
    """Guards other columns of the input, which were lost."""
    run_dir = run(fake_model, tmp_path, *COLUMNS)
    rows = rows_of(run_dir)
    assert [rows[f"e{n}"]["emotion"] for n in (1, 2, 3)] == ["happy", None, None]
    assert [rows[f"e{n}"]["wer"] for n in (1, 2, 3)] == [0.5, 1.0, None]
    assert [rows[f"e{n}"]["tags"] for n in (1, 2, 3)] == [["a", "b"], [], None]
    assert rows["e1"]["style"] == {"pitch": "high", "x": None}
    assert [rows[f"e{n}"]["mixed"] for n in (1, 2, 3)] == ["1", "one", None]
    assert rows["e1"]["source_duration"] == "long"
    assert isinstance(rows["e1"]["duration"], float)
    assert {"uid", "sentence", "lang", "part", "own"}.isdisjoint(rows["e1"])
    loaded = datasets.load_dataset(str(run_dir), cache_dir=str(tmp_path / "cache"))
    assert {split: len(part) for split, part in loaded.items()} == {"train": 2, "validation": 1}
    assert loaded["train"].features["n"].dtype == "int64"
    card = yaml.safe_load((run_dir / "README.md").read_text().split("---")[1])
    assert [entry["split"] for entry in card["configs"][0]["data_files"]] == ["train", "validation"]
    assert fake_model.main(["task=verify", f"run={run_dir}"]) == 0


def test_languages_seeds_and_splits_come_from_columns(tmp_path: Path, fake_model: FakeModel) -> None:
    """Guards languages, seeds and splits of single rows."""
    run_dir = run(fake_model, tmp_path, *COLUMNS)
    rows = rows_of(run_dir)
    assert [rows[f"e{n}"]["language"] for n in (1, 2, 3)] == ["en", "de", "en"]
    assert rows["e1"]["seed"] == rows["e3"]["seed"] == 7
    assert rows["e2"]["seed"] > 7
    assert sorted(path.name for path in (run_dir / "data").iterdir()) == [
        "train-00000-of-00002.parquet",
        "validation-00001-of-00002.parquet",
    ]
    assert fake_model.main(["task=status", f"run={run_dir}"]) == 0


def test_an_edited_column_costs_no_clip(tmp_path: Path, fake_model: FakeModel) -> None:
    """Guards labels that are corrected later: they are updated without new speech."""
    before = rows_of(run(fake_model, tmp_path, *COLUMNS))
    edited = [{**row, "emotion": "calm", "new": 1} for row in ROWS]
    after = rows_of(run(fake_model, tmp_path, *COLUMNS, rows=edited))
    assert {row["emotion"] for row in after.values()} == {"calm"}
    assert after["e1"]["new"] == 1
    assert [row["audio"]["bytes"] for row in after.values()] == [row["audio"]["bytes"] for row in before.values()]
    assert sum(each.computed_frames > 0 for each in fake_model) == 1


@pytest.mark.parametrize(
    ("setting", "kept"),
    [
        ("source.keep_columns=[emotion,n]", {"emotion", "n"}),
        ("source.keep_columns=[]", set()),
        ("source.keep_columns=[style.pitch]", {"style.pitch"}),
        ("source.keep_columns=[uid]", {"uid"}),
    ],
)
def test_columns_can_be_chosen(tmp_path: Path, fake_model: FakeModel, setting: str, kept: set[str]) -> None:
    """Guards a dataset against columns that its maker does not want to publish."""
    rows = rows_of(run(fake_model, tmp_path, *COLUMNS, setting))
    assert rows["e1"].keys() - COLUMN_NAMES == kept


def test_repeated_audio_is_a_defect(tmp_path: Path, fake_model: FakeModel, capsys) -> None:
    """Guards verification against datasets that hold a clip several times."""
    rows = [{"id": f"r{n}", "text": "Say it again.", "own": n // 2} for n in range(4)]
    run_dir = run(fake_model, tmp_path, "source.id_column=id", rows=rows)
    assert len({clip.audio_sha256 for shard in finished_shards(run_dir) for clip in shard.clips}) == 4
    assert fake_model.main(["task=verify", f"run={run_dir}"]) == 0
    given = run(fake_model, tmp_path, "source.id_column=id", "source.seed_column=own", "name=given", rows=rows)
    given = tmp_path / "given"
    assert fake_model.main(["task=verify", f"run={given}"]) == 0, "seeds that were given may be equal"
    config = given / "config.yaml"
    config.write_text(config.read_text().replace("seed_column: own", "seed_column: null"))
    capsys.readouterr()
    assert fake_model.main(["task=verify", f"run={given}"]) == 4
    out = capsys.readouterr().out
    assert re.search(r"\br1\b.*\br0\b", out)
    assert re.search(r"\br3\b.*\br2\b", out)


def test_nested_names(tmp_path: Path) -> None:
    """Guards names of nested columns."""
    rows = [
        {"meta": {"text": "One.", "a.b": {"c": "x"}}, "messages": [{"content": "Hi."}, {"content": "Bye."}]},
        {"meta": None, "messages": [], "d.e": "D."},
    ]
    path = jsonl(tmp_path / "a.jsonl", rows)
    for name, expected in {
        "meta.text": "One.",
        "meta.a.b.c": "x",
        "messages.0.content": "Hi.",
        "messages.-1.content": "Bye.",
    }.items():
        assert [document.text for document in read(path, text_column=name)] == [expected, ""]
    assert [document.text for document in read(path, text_column="d.e")] == ["", "D."]
    assert "meta.text" in complaint(path, text_column="meta.txet")
    assert "messages.0.content" in complaint(path, text_column="message")
    assert "messages.0" in complaint(path, text_column="messages")
    pq.write_table(pa.Table.from_pylist(rows[:1]), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet", text_column="meta.text")[0].text == "One."
    assert "source.id_column" in complaint(tmp_path / "a.parquet", text_column="meta.text", id_column="meta.id")


@pytest.mark.parametrize(
    ("row", "key"),
    [
        ({"id": {"a": 1}}, "id"),
        ({"id": ["a"]}, "id"),
        ({"lang": "klingonisch"}, "lang"),
        ({"lang": ["en"]}, "lang"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"seed": "x"}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"seed": True}, "seed"),
        ({"seed": [1]}, "seed"),
        ({"split": "a/b"}, "split"),
        ({"split": "all"}, "split"),
        ({"split": "ü"}, "split"),
        ({"other": "half \ud83d"}, "other"),
        ({"other": "x" * 2_000_000}, "source.keep_columns"),
    ],
)
def test_cells_that_cannot_work_name_row_and_column(tmp_path: Path, row: dict[str, Any], key: str) -> None:
    """Guards against tracebacks for columns that do not fit."""
    whole = {"id": "a", "text": "One.", "lang": "en", "seed": 1, "split": "train"}
    path = jsonl(tmp_path / "a.jsonl", [whole, whole | {"id": "b"} | row])
    named = {f"{name}_column": name for name in ("id", "seed", "split")} | {"language_column": "lang"}
    message = complaint(path, **named)
    assert re.search(r"\brow 1\b", message)
    assert key in message


def test_seeds_may_be_written_as_text(tmp_path: Path) -> None:
    """Guards numbers in CSV, where all cells are text."""
    (tmp_path / "a.csv").write_text("text,seed\nOne.,12\nTwo.,\n", encoding="utf-8")
    assert [document.seed for document in read(tmp_path / "a.csv", seed_column="seed")] == [12, None]
    path = jsonl(tmp_path / "a.jsonl", [{"text": "x", "seed": 3.0}, {"text": "x", "seed": float("nan")}])
    assert [document.seed for document in read(path, seed_column="seed")] == [3, None]


def test_bytes_are_not_kept(tmp_path: Path) -> None:
    """Guards against copying audio of the input into the plan."""
    table = pa.table({"text": ["A."], "audio": [{"bytes": b"x", "path": "p"}], "raw": [b"x"], "n": [1]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet")[0].columns == {"n": 1}
    assert "audio" in complaint(tmp_path / "a.parquet", keep_columns=["audio"])


def test_too_many_columns_are_refused() -> None:
    """Guards against rows whose keys are values, which would make a million columns."""
    finder = TypeFinder()
    with pytest.raises(SourceError, match=r"source\.keep_columns"):
        list(map(finder.add, ({f"key{n}": 1} for n in range(2000))))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(VALUES, min_size=1, max_size=5))
@settings(max_examples=150, deadline=None)
def test_one_type_holds_all_values_of_a_column(values: list[Any]) -> None:
    """Guards column types: a value that does not fit stopped the writing of a shard."""
    finder = TypeFinder()
    for value in values:
        finder.add({"c": value})
    (column,) = finder.types().values()
    fitted = [fit(value, column) for value in values]
    assert [value is None for value in fitted] == [value is None for value in values]
    table = pa.table({"c": pa.array(fitted, arrow_type(column))})
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression=dict.fromkeys(leaf_paths("c", column), "zstd"))
    stored = pq.read_table(pa.BufferReader(buffer.getvalue()))["c"].to_pylist()
    if column == "string":
        assert stored == [v if v is None or isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in values]


@pytest.mark.parametrize(
    "column",
    [
        "int64", "bool", {"list": "string"}, {"list": {"list": "float64"}}, {"struct": {"a": "string", "b c": "bool"}},
        {"list": {"struct": {"a": "int64", "b": {"list": "string"}}}}, {"struct": {"a": {"struct": {"b": "string"}}}},
        {"list": {"list": {"struct": {"a": "string"}}}},
    ],
)  # fmt: skip
def test_card_and_files_say_the_same_of_a_column(column: Any) -> None:
    """Guards the features in the card: they are those of the files."""
    of_file = datasets.Features.from_dict({"c": feature(column)})
    of_card = datasets.Features._from_yaml_list(yaml.safe_load(yaml.safe_dump([{"name": "c", **card_entry(column)}])))
    assert of_file == of_card
    assert of_file.arrow_schema.field("c").type == arrow_type(column)


@given(st.lists(st.text("source_idxur", max_size=12) | st.sampled_from(sorted(COLUMN_NAMES)), unique=True, max_size=9))
def test_names_of_kept_columns_never_clash(names: list[str]) -> None:
    """Guards against columns of the input with the names of our own."""
    prefixed = [*names, *(f"source_{name}" for name in names), *(f"source_source_{name}" for name in names)]
    unique = list(dict.fromkeys(prefixed))
    written = [dataset_name(name, COLUMN_NAMES) for name in unique]
    assert len(set(written)) == len(unique)
    assert not COLUMN_NAMES & set(written)
    assert dataset_name("duration", COLUMN_NAMES) == "source_duration"
    assert dataset_name("emotion", COLUMN_NAMES) == "emotion"
