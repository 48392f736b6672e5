"""Which files an input names, how they are compressed, and everything that a hostile one can be."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import random
import re
import zipfile
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes import FakeModel
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import SourceConfig
from pipeline.errors import ConfigError, SourceError
from pipeline.text.readers import csv_rows, json_rows
from pipeline.text.readers.dispatch import read_documents

LINES = b'{"text": "One."}\n{"text": "Two."}\n'


def texts(path: Path | str, **source: object) -> list[str]:
    return [document.text for document in read_documents(str(path), SourceConfig(**source))]  # type: ignore[arg-type]


def complaint(path: Path | str, **source: object) -> str:
    with pytest.raises(SourceError) as caught:
        texts(path, **source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def is_refused(path: Path, **source: object) -> bool:
    """Whether an input is refused, in one line that names it; every other error fails the test."""
    try:
        texts(path, **source)
    except SourceError as error:
        message = str(error)
    else:
        return False
    assert "\n" not in message
    assert str(path) in message or re.match(r"row \d", message)
    return True


def compressed(ending: str, content: bytes) -> bytes:
    if ending == "zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.jsonl", content)
        return buffer.getvalue()
    if ending in ("zst", "lz4"):
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, {"zst": "zstd", "lz4": "lz4"}[ending]) as stream:
            stream.write(content)
        return sink.getvalue().to_pybytes()
    if ending == "lzma":
        return lzma.compress(content, format=lzma.FORMAT_ALONE)
    return {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[ending](content)


ENDINGS = ["gz", "bz2", "xz", "lzma", "zip", "zst", "lz4"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_compressed_tables_and_books(tmp_path, ending):
    """Guards all compressions; only .gz was read."""
    (tmp_path / f"a.jsonl.{ending}").write_bytes(compressed(ending, LINES))
    assert texts(tmp_path / f"a.jsonl.{ending}") == ["One.", "Two."]
    (tmp_path / f"b.csv.{ending.upper()}").write_bytes(compressed(ending, b"text\nOne.\n"))
    assert texts(tmp_path / f"b.csv.{ending.upper()}") == ["One."]
    (tmp_path / f"c.txt.{ending}").write_bytes(compressed(ending, "Grüße.\n".encode()))
    assert texts(tmp_path / f"c.txt.{ending}") == ["Grüße.\n"]
    assert texts(f"{tmp_path}/*.jsonl.*") == ["One.", "Two."]


@pytest.mark.parametrize("ending", ENDINGS)
def test_damaged_compression_is_one_line(tmp_path, ending):
    """Guards against tracebacks for damaged compressed files of each format."""
    rows = b"".join(b'{"text": "Row %d of many."}\n' % n for n in range(3000))
    whole, path = compressed(ending, rows), tmp_path / f"a.jsonl.{ending}"
    generator = random.Random(ending)
    refused = 0
    for attempt in range(25):
        damaged = bytearray(whole[: len(whole) // 2] if attempt == 0 else whole)
        for position in generator.sample(range(len(damaged)), 5 if attempt else 0):
            damaged[position] ^= 0xFF
        path.write_bytes(bytes(damaged))
        refused += is_refused(path)
    assert refused >= 20


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", ["txt", "jsonl", "csv"])
def test_what_inflates_without_end_is_refused(tmp_path, ending, name):
    """Guards memory and time against small files that inflate to gigabytes."""
    path = tmp_path / f"a.{name}.{ending}"
    first = b'{"text": "One."}\n' if name == "jsonl" else b"text\n"
    path.write_bytes(compressed(ending, first + b"\n" * 2_500_000))
    message = complaint(path, max_inflated_mb=1)
    assert "source.max_inflated_mb" in message
    assert str(path) in message


def test_a_large_table_that_is_compressed_as_tables_are_is_read(tmp_path):
    """Guards large tables: the limit of inflation depends on the size of the file."""
    generator = random.Random(0)
    rows = b"".join(b'{"text": "%032x"}\n' % generator.getrandbits(128) for _ in range(40_000))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(rows, 1))
    assert len(rows) > 2**20
    assert len(texts(tmp_path / "a.jsonl.gz", max_inflated_mb=1)) == 40_000


def test_an_archive_of_several_files_is_refused(tmp_path):
    """Guards files with several compressed members."""
    with zipfile.ZipFile(tmp_path / "a.jsonl.zip", "w") as archive:
        archive.writestr("a.jsonl", LINES)
        archive.writestr("b.jsonl", LINES)
    assert "2" in complaint(tmp_path / "a.jsonl.zip")


@pytest.mark.parametrize(
    "content",
    [
        '[{"text": "One."}, {"text": "Two."}]',
        '[\n {"text":\n"One."}\n,\n{"text": "Two."}\n]\n',
        '{"text": "One."}\n{"text": "Two."}\n',
        '{\n "text": "One."\n}{\n "text": "Two."\n}',
        '\ufeff  [{"text": "One."},{"text": "Two."}]  ',
    ],
)
def test_json_arrays(tmp_path, content, monkeypatch):
    """Guards JSON arrays, which were refused."""
    (tmp_path / "a.json").write_text(content, encoding="utf-8")
    assert texts(tmp_path / "a.json") == ["One.", "Two."]
    monkeypatch.setattr(json_rows, "_BLOCK", 3)
    assert texts(tmp_path / "a.json") == ["One.", "Two."]


@given(st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=9) | st.floats(), max_size=3), max_size=6))
@settings(max_examples=60, deadline=None)
def test_json_arrays_are_read_as_json_has_them(tmp_path_factory, rows):
    """Guards strings, numbers and letters at the ends of the blocks that are read."""
    path = tmp_path_factory.mktemp("json") / "a.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "_BLOCK", 5)
        table = [{"text": "A.", "row": row} for row in rows]
        for written in (json.dumps(table), json.dumps(table, indent=2, ensure_ascii=False)):
            path.write_text(written, encoding="utf-8", errors="surrogatepass")
            found = [document.columns["row"] for document in read_documents(str(path), SourceConfig())] if rows else []
            assert json.dumps(found) == json.dumps(rows)


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        ('[{"text": "a"}', "a.json"),
        ('[{"text": "a"}, ]', "line 1"),
        ('[{"text": "a"} {"text": "b"}]', "line 1"),
        ('[{"text": "a"}] {"text": "b"}', "line 1"),
        ('[\n"a"]', "line 2"),
        ('[{"text": "a"},\n{"text": }]', "line 2"),
        ('{"text": "a"} ]', "line 1"),
        ('[{"text": "a", "text": "b"}]', "'text'"),
        ("[" * 100_000, "line 1"),
        ('[{"text": ' + "9" * 5000 + "}]", "line 1"),
    ],
)
def test_broken_json_arrays(tmp_path, content, fact):
    """Guards against tracebacks and lost words for malformed JSON."""
    (tmp_path / "a.json").write_text(content, encoding="utf-8")
    message = complaint(tmp_path / "a.json")
    assert str(tmp_path / "a.json") in message
    assert fact in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"data": [{"text": "One."}, {"text": "Two."}]}, ["One.", "Two."]),
        ({"version": 1, "columns": ["text"], "rows": [{"text": "One."}]}, ["One."]),
        ({"text": "One.", "tags": [{"name": "a"}]}, ["One."]),
        ({"text": "One.", "data": [{"text": "Two."}]}, ["One."]),
    ],
)
def test_the_rows_of_an_object_with_one_list(tmp_path: Path, content: object, expected: list[str]) -> None:
    """Bug: the object around the list was the only row."""
    path = tmp_path / "t.json"
    path.write_text(json.dumps(content, indent=1))
    assert texts(path) == expected


def test_an_object_with_two_lists_is_refused(tmp_path: Path) -> None:
    """Guards rows: of two lists none is the right one."""
    path = tmp_path / "t.json"
    path.write_text(json.dumps({"a": [{"text": "x"}], "b": [{"text": "y"}]}))
    assert "(a, b)" in complaint(path)


def test_an_empty_json_array_has_no_rows(tmp_path):
    (tmp_path / "a.json").write_text("[]", encoding="utf-8")
    assert texts(tmp_path / "a.json") == []


@pytest.mark.parametrize(
    ("line", "fact"),
    [
        ('{"text": ' + "9" * 5000 + "}", "line 2"),
        ('{"text": ' + "[" * 100_000 + "]" * 100_000 + "}", "line 2"),
        ('{"a": ' * 100_000 + "1" + "}" * 100_000, "line 2"),
        ('{"text": "a", "text": "b"}', "'text'"),
        ('{"text": "a", "m": {"x": 1, "x": 2}}', "'x'"),
        ('[{"text": "a"}]', "source.format=json"),
    ],
)
def test_hostile_lines(tmp_path, line, fact):
    """Guards against tracebacks for huge integers and deep nesting, and lost values of equal keys."""
    (tmp_path / "a.jsonl").write_text(f'{{"text": "One."}}\n{line}\n', encoding="utf-8")
    assert fact in complaint(tmp_path / "a.jsonl")


def test_endless_rows_are_refused(tmp_path, monkeypatch):
    """Guards memory against open quotation marks and endless lines."""
    for module in (json_rows, csv_rows):
        monkeypatch.setattr(module, "MAX_ROW_CHARACTERS", 10_000)
    (tmp_path / "a.csv").write_text('id,text\n1,"One\n' + "2,Two\n" * 5000, encoding="utf-8")
    assert "line 2" in complaint(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("x" * 20_000, encoding="utf-8")
    assert "line 1" in complaint(tmp_path / "b.csv")
    (tmp_path / "a.jsonl").write_text('{"text": "' + "x" * 20_000 + '"}', encoding="utf-8")
    assert "line 1" in complaint(tmp_path / "a.jsonl")
    (tmp_path / "a.json").write_text('[{"text": "' + "x" * 200_000, encoding="utf-8")
    assert "line 1" in complaint(tmp_path / "a.json")


def test_lists_and_globs(tmp_path):
    """Guards lists and globs of files as one input."""
    for name, text in {"a": "A.", "b": "B.", "c[1]": "C.", "d, e": "D."}.items():
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": text}), encoding="utf-8")
    (tmp_path / "t.csv").write_text("text\nT.\n", encoding="utf-8")
    assert texts(f"[{tmp_path}/b.jsonl, {tmp_path}/a.jsonl,{tmp_path}/t.csv]") == ["B.", "A.", "T."]
    assert texts(f"{tmp_path}/[ab].jsonl") == ["A.", "B."]
    assert texts(f"{tmp_path}/c[1].jsonl") == ["C."], "a name that exists is no pattern"
    assert texts(f'["{tmp_path}/d, e.jsonl",{tmp_path}/?.csv]') == ["D.", "T."]
    assert texts(f"{tmp_path}/**/a.jsonl") == ["A."]
    assert f"{tmp_path}/x*.jsonl" in complaint(f"{tmp_path}/x*.jsonl")
    assert complaint(f"[{tmp_path}/a.jsonl,{tmp_path}/*.jsonl]").count(f"{tmp_path}/a.jsonl") == 2, (
        "as given, and found"
    )
    assert "a.jsonl,]" in complaint(f"[{tmp_path}/a.jsonl,]")
    (tmp_path / "book.txt").write_text("Words.", encoding="utf-8")
    message = complaint(f"[{tmp_path}/a.jsonl,{tmp_path}/book.txt]")
    assert f"{tmp_path}/book.txt" in message
    assert "a.jsonl" not in message


@pytest.mark.parametrize(
    ("names", "train", "validation"),
    [
        (["data/train-00000-of-00001", "data/validation-00000-of-00001"], 0, 1),
        (["train", "valid"], 0, 1),
        (["train/a", "dev/a"], 0, 1),
        (["my_train_set", "val.part"], 0, 1),
        (["a", "b"], 0, None),
        (["training/x", "eval/x"], 0, None),
        (["Train", "DEV"], 0, 1),
        (["train-00000-of-00001", "my.test-00000-of-00001"], 0, None),
        (["sub/train-part", "other/validation-part"], 0, 1),
    ],
)
def test_splits_of_folders(tmp_path, names, train, validation):
    """Guards splits: a validation split leaked into train."""
    for number, name in enumerate(names):
        path = tmp_path / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"text": f"Text {number}."}), encoding="utf-8")
    expected = ["Text 0.", "Text 1."] if names == ["a", "b"] else [f"Text {train}."]
    assert texts(tmp_path) == expected
    if validation is None:
        assert all(
            fact in complaint(tmp_path, split="validation") for fact in ("source.split", "'validation'", "train")
        )
    else:
        assert texts(tmp_path, split="validation") == [f"Text {validation}."]


def test_a_folder_without_a_train_split_says_so(tmp_path):
    """Guards against reading another split than the one that is asked for."""
    (tmp_path / "test.jsonl").write_bytes(LINES)
    message = complaint(tmp_path)
    assert "source.split" in message
    assert message.endswith("test")


def test_splits_of_a_card(tmp_path):
    """Guards the splits that a dataset card declares."""
    for name in ("x", "y", "z"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": name}), encoding="utf-8")
    card = "---\nconfigs:\n- config_name: default\n  data_files:\n  - {split: train, path: x.*}\n  - {split: test, path: [y.jsonl]}\n- config_name: other\n  data_files: z.jsonl\n---\n"  # noqa: E501
    (tmp_path / "README.md").write_text(card, encoding="utf-8")
    assert texts(tmp_path) == ["x"]
    assert texts(tmp_path, split="test") == ["y"]
    assert texts(tmp_path, subset="other") == ["z"]
    message = complaint(tmp_path, subset="othr")
    assert all(fact in message for fact in ("source.subset", "'othr'", "other"))
    for broken in ("---\nconfigs: [\n---\n", "---\na: &a [1]\nconfigs: *a\n---\n", "---\nconfigs: 7\n---\n", "no yaml"):
        (tmp_path / "README.md").write_text(broken, encoding="utf-8")
        assert texts(tmp_path) == ["x", "y", "z"]


def test_a_dataset_that_we_made_can_be_read_again(tmp_path, fake_model: FakeModel):
    """Guards the folder of a run as an input: only its clips are read."""
    (tmp_path / "a.jsonl").write_bytes(LINES)
    assert fake_model.main(["task=dataset", f"input={tmp_path / 'a.jsonl'}", f"output_dir={tmp_path}", "name=run"]) == 0
    assert texts(tmp_path / "run") == ["One.", "Two."]


def test_duplicate_columns_are_refused(tmp_path):
    """Guards against tables with two columns of one name."""
    (tmp_path / "a.csv").write_text("text,text,id\nfirst,second,1\n", encoding="utf-8")
    assert "'text'" in complaint(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("text,note,,\nfirst,n,,\n", encoding="utf-8")
    assert texts(tmp_path / "b.csv") == ["first"], "columns without a name are none"
    pq.write_table(pa.table([["a"], ["b"]], names=["text", "text"]), tmp_path / "a.parquet")
    assert "'text'" in complaint(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("content", "columns", "facts"),
    [
        ("a|One.|One\n", "id,text", ("line 1", "3 cells", "[id,text,column_3]")),
        ("a|One.\nb|Two.|Two\n", "id,text", ("line 2", "3 cells")),
        ("One.\nTwo.\n", "id,text", ("line 1", "id, text")),
        ("a,One.\n", "id,text,normalized", ("line 1", "normalized")),
    ],
)
def test_names_for_other_columns_than_there_are(
    tmp_path: Path, content: str, columns: str, facts: tuple[str, ...]
) -> None:
    """Guards tables without a header: with too many names the text was read from the wrong cell, or was empty."""
    path = tmp_path / "t.csv"
    path.write_text(content)
    message = complaint(path, columns=columns.split(","))
    assert all(fact in message for fact in facts)


def test_the_last_cells_of_a_row_may_be_missing_or_empty(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a|One.|x\nb|Two.\nc|Three.|\nd|Four.||\n")
    assert texts(path, columns=["id", "text", "more"]) == ["One.", "Two.", "Three.", "Four."]


def test_tables_without_a_header(tmp_path):
    """Guards CSV without a header: the error says what to do."""
    (tmp_path / "a.csv").write_text("L1|Yes, no, or so.|x\nL2|Two.|y\n", encoding="utf-8")
    assert "source.columns" in complaint(tmp_path / "a.csv")
    assert texts(tmp_path / "a.csv", columns=["id", "text", "n"], id_column="id") == ["Yes, no, or so.", "Two."]
    assert re.search(r"line 1\b.*','", complaint(tmp_path / "a.csv", columns=["id", "text"]))
    (tmp_path / "a.jsonl").write_bytes(LINES)
    assert "source.columns" in complaint(tmp_path / "a.jsonl", columns=["text"])


@pytest.mark.parametrize("encoding", ["rot13", "base64", "undefined", "hex", "bz2", "nonsense", "utf-8\0"])
def test_what_is_no_encoding_is_refused(tmp_path, encoding):
    """Guards against tracebacks for codecs that are not text encodings."""
    for name in ("a.txt", "a.jsonl"):
        (tmp_path / name).write_bytes(LINES)
        assert "source.encoding=" in complaint(tmp_path / name, encoding=encoding)


def test_what_is_no_file_is_refused(tmp_path):
    """Guards against endless waiting for a pipe or a device."""
    os.mkfifo(tmp_path / "a.jsonl")
    for path in (tmp_path / "a.jsonl", Path("/dev/zero")):
        assert "input=-" in complaint(path, format="jsonl")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "folder" / "a.jsonl")
    assert ".parquet" in complaint(tmp_path / "folder")
    (tmp_path / "loop.jsonl").symlink_to(tmp_path / "loop.jsonl")
    assert "loop.jsonl" in complaint(tmp_path / "loop.jsonl")
    with pytest.raises(ConfigError, match=r"\b255\b"):
        texts("x" * 300 + ".jsonl")


@pytest.mark.parametrize("damage", ["state.json", "dataset_info.json", "data-00000-of-00001.arrow"])
@pytest.mark.parametrize("how", ["gone", "cut", "noise"])
def test_damaged_saved_datasets(tmp_path, damage, how):
    """Guards against tracebacks of Arrow, json and `datasets`."""
    datasets.Dataset.from_dict({"text": ["A."] * 500}).save_to_disk(str(tmp_path / "d"))
    path = tmp_path / "d" / damage
    content = path.read_bytes()
    path.unlink()
    if how != "gone":
        path.write_bytes(content[: len(content) // 3] if how == "cut" else bytes(reversed(content)))
    if not is_refused(tmp_path / "d", format="datasets"):
        assert texts(tmp_path / "d", format="datasets") == ["A."] * 500


def test_the_code_of_a_dataset_never_runs(tmp_path):
    """Guards against running a script that comes with a dataset."""
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "d.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')", encoding="utf-8")
    message = complaint(folder, format="datasets")
    assert str(folder) in message
    (folder / "a.jsonl").write_bytes(LINES)
    assert texts(folder) == ["One.", "Two."]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("seed", range(3))
def test_damaged_parquet(tmp_path, seed):
    """Guards against tracebacks for damaged Parquet files."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["Grüße"] * 2000, "n": list(range(2000))}), path, compression="none")
    whole = path.read_bytes()
    generator = random.Random(seed)
    for _ in range(15):
        damaged = bytearray(whole)
        for position in generator.sample(range(len(damaged)), 20):
            damaged[position] = generator.randrange(256)
        path.write_bytes(bytes(damaged))
        is_refused(path)


def test_standard_input(tmp_path, fake_model: FakeModel, monkeypatch, capsys):
    """Guards input=/dev/stdin, which was read twice and found empty."""

    def pipe(content: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))

    command = ["task=dataset", "input=-", f"output_dir={tmp_path}", "model=untrained"]
    pipe(LINES)
    assert fake_model.main(command) == 2
    assert "source.format" in capsys.readouterr().err
    assert fake_model.main([*command, "source.format=jsonl", "dry_run=true", "json=true"]) == 0
    assert json.loads(capsys.readouterr().out)["utterances"] == 2
    assert list(tmp_path.iterdir()) == []
    pipe(b"")
    assert fake_model.main([*command, "source.format=jsonl"]) == 2
    pipe(LINES)
    assert fake_model.main([*command, "source.format=jsonl"]) == 0
    run_dir = tmp_path / "stdin-untrained"
    assert pq.read_table(run_dir / "data")["text"].to_pylist() == ["One.", "Two."]
    for again in (LINES, b""):
        pipe(again)
        assert fake_model.main([command[0], "input=/dev/stdin", *command[2:], "source.format=jsonl"]) == 0
    assert len(fake_model) == 1
    assert fake_model.main(["task=verify", f"run={run_dir}"]) == 0


def test_refused_standard_input_leaves_nothing(
    tmp_path: Path, fake_model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: a refused run left a folder with the texts, and a refused change of a run replaced the texts of it."""

    def give(content: bytes, *more: str) -> int:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        command = ["task=dataset", "input=-", f"output_dir={tmp_path}", "model=untrained", "source.format=jsonl"]
        return fake_model.main([*command, *more])

    assert give(LINES, "executor.devices=[cuda:99]") == 2
    assert list(tmp_path.iterdir()) == []
    assert give(LINES) == 0
    [kept] = (tmp_path / "stdin-untrained" / ".input").iterdir()
    assert give(b'{"text": "Three."}\n', "seed=5") != 0
    assert kept.read_bytes() == LINES
