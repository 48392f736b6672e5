"""Files, folders and tables in; one-line errors for what cannot be read."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import SourceConfig
from pipeline.errors import SourceError
from pipeline.text.readers import json_rows
from pipeline.text.readers.dispatch import check_source, read_documents
from pipeline.text.readers.files import InputFile
from pipeline.text.readers.parquet_rows import parquet_rows
from pipeline.types import Document

ROWS = [
    {"text": "First.", "key": "a"},
    {"text": "", "key": "b"},
    {"text": None, "key": "c"},
    {"text": "***", "key": ""},
]


def read(path: Path | str, **source: object) -> list[Document]:
    return list(read_documents(str(path), SourceConfig(**source)))  # type: ignore[arg-type]


def complaint(path: Path | str, **source: object) -> str:
    """What `check_source` says: one line that names the input."""
    with pytest.raises(SourceError) as caught:
        check_source(str(path), SourceConfig(**source))  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    return message


def write_jsonl(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(params=["jsonl", "csv", "parquet"])
def table(request, tmp_path):
    path = tmp_path / f"texts.{request.param}"
    if request.param == "jsonl":
        write_jsonl(path, ROWS)
    elif request.param == "csv":
        path.write_text("text,key\nFirst.,a\n,b\n,c\n***,\n", encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    return path


def test_every_row_is_a_document(table):
    """Guards rows without text, which were dropped silently and must be rejects."""
    documents = read(table)
    assert [document.id for document in documents] == [f"row-{n:07d}" for n in range(4)]
    assert [document.text for document in documents] == ["First.", "", "", "***"]
    assert all(len(document.chapters[0].paragraphs) == 1 for document in documents)
    check_source(str(table), SourceConfig())


def test_ids_from_a_column(table):
    """Guards rows with an empty id, of which two would be the same."""
    assert [document.id for document in read(table, id_column="key")] == ["a", "b", "c", "row-0000003"]


def test_limit(table):
    assert len(read(table, limit=2)) == 2


def test_a_missing_column_names_those_there_are(table):
    message = complaint(table, text_column="txet")
    assert "'txet'" in message
    assert "source.text_column" in message
    assert message.endswith(": text, key")
    assert "source.speaker_column" in complaint(table, speaker_column="who")


def test_lists_of_descriptions_and_speakers(tmp_path):
    """Guards the ids of several clips of one row."""
    rows = [
        {"text": "A.", "how": ["calm", "loud"], "who": "Jon"},
        {"text": "B.", "how": "calm", "who": ["Jon", "Lea"]},
        {"text": "C.", "how": ["calm", "loud"], "who": ["Jon", "Lea"]},
        {"text": "D.", "how": [], "who": None},
    ]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    found = [
        (d.id.removeprefix("row-000000"), d.copy, d.description, d.speaker)
        for d in read(path, description_column="how", speaker_column="who")
    ]
    assert found == [
        ("0", 0, "calm", "Jon"), ("0", 1, "loud", "Jon"),
        ("1", 0, "calm", "Jon"), ("1", 1, "calm", "Lea"),
        ("2", 0, "calm", "Jon"), ("2", 1, "calm", "Lea"), ("2", 2, "loud", "Jon"), ("2", 3, "loud", "Lea"),
        ("3", None, None, None),
    ]  # fmt: skip


def test_tables_are_read_row_by_row(tmp_path, monkeypatch):
    """Guards memory: after a few documents, only a few lines have been read."""
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "x"}] * 5000)
    parsed = itertools.count()

    class Counted(json.JSONDecoder):
        def decode(self, line: str) -> object:  # type: ignore[override]
            next(parsed)
            return super().decode(line)

    monkeypatch.setattr(json_rows, "_DECODER", Counted())
    documents = read_documents(str(path), SourceConfig())
    assert [next(documents).id for _ in range(3)][-1] == "row-0000002"
    assert next(parsed) <= 200


def test_parquet_reads_only_the_columns_it_needs(tmp_path):
    """Guards against reading columns that are not used, such as audio."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["A."], "audio": [b"x" * 1000]}), path)
    (row,) = parquet_rows(InputFile(path, SourceConfig()), SourceConfig())
    assert row == {"text": "A."}


def test_csv_with_other_separators_and_long_fields(tmp_path):
    """Guards CSV with semicolons, and fields of more than 128 kB."""
    long = "word " * 40_000
    path = tmp_path / "a.csv"
    path.write_text(f'\ufefftext;who\n"One; two.";Jon\n"{long}";Lea\n', encoding="utf-8")
    documents = read(path, speaker_column="who")
    assert [(len(d.text), d.speaker) for d in documents] == [(9, "Jon"), (len(long), "Lea")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("text\nPlain.\nHello, world. This is lost.\n", r"\bline 3\b"),
        ("key,text\n1,Well, he said, no.\n", r"\bline 2\b"),
        ('text,key\nPlain.,0\n"Unclosed row,1\nSecond,2\n', r"\bline 3\b"),
        ('key,text\n1,"He said \\"no\\", twice"\n', r"\bline 2\b"),
        ('key\ttext\n1\t"One\n\nparagraph."\n2\t"Come in.\n3\tHe left."\n', r"\bline \d"),
        ('key,text\n1,"Come in.\n2,He left.\n3,"No," she said.\n', r"\bline 2\b"),
        ("key,text,note\n1,Well, he said,no\n", r"\bline 2\b"),
        ("key,text,note\n\n1,Well,he said,no\n", r"\bline 3\b"),
    ],
)
def test_a_table_that_would_lose_words_is_refused(tmp_path, content, said):
    """Guards against text that is cut at a comma, and rows that become one."""
    path = tmp_path / "a.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SourceError, match=said) as caught:
        read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ('key,text\n1,"Hello there" \n2,"One,\ntwo," \n', ["Hello there ", "One,\ntwo, "]),
        ('key,text\n1,"Yes," he said.\n2,"No" she said\n', ["Yes, he said.", "No she said"]),
        ('key;text\n1;"Yes," he said.\n2;"One\ntwo" she said\n', ["Yes, he said.", "One\ntwo she said"]),
        ("key,text,note\n1,Hello,see me, later\n", ["Hello"]),
        ('key\ttext\n1\t"Line one\nline two"\n2\t"No," she said.\n', ["Line one\nline two", "No, she said."]),
        ('key\ttext\n1\t"One\ttwo"\n2\t"No," she said.\n', ["One\ttwo", "No, she said."]),
        ('key\ttext\tnote\n1\t"No," she said.\n2\tbye\n', ['"No," she said.', "bye"]),
        ('key\ttext\n1\t"Line one\n\tline two"\n2\tbye\n', ["Line one\n\tline two", "bye"]),
    ],
)
def test_a_table_that_loses_no_words_is_read(tmp_path, content, texts):
    """Guards CSV with unusual quotation marks, which was refused or split."""
    path = tmp_path / "a.csv"
    path.write_text(content, encoding="utf-8")
    assert [document.text for document in read(path)] == texts


def test_cells_beyond_the_header_may_be_empty(tmp_path):
    """Guards harmless forms of CSV: empty cells at the end, rows with fewer cells."""
    path = tmp_path / "a.csv"
    path.write_text("key,text,note\n1,One.,,\n2,Two.\n", encoding="utf-8")
    assert [document.text for document in read(path)] == ["One.", "Two."]


@pytest.mark.parametrize("separator", ["\t", "|"])
@pytest.mark.parametrize(
    ("written", "texts"),
    [
        (['"Yes," he said.', '"Come in.', 'He left."'], ['"Yes," he said.', '"Come in.', 'He left."']),
        (['"Come in.', 'He left."'], ['"Come in.', 'He left."']),
        (['"A ""fox"" came.\n\nIt left."', "Plain."], ['A "fox" came.\n\nIt left.', "Plain."]),
        (['"One@two."', '"Three."'], ["One@two.", "Three."]),
    ],
)
def test_quotation_marks_in_tables_with_tabs(tmp_path, separator, written, texts):
    """Guards quotation marks of dialogue in tables without quoting."""
    lines = ["key@text", *(f"{n}@{text}" for n, text in enumerate(written))]
    path = tmp_path / "a.tsv"
    path.write_text("".join(f"{line}\n" for line in lines).replace("@", separator), encoding="utf-8")
    documents = read(path, id_column="key")
    assert [document.text for document in documents] == [text.replace("@", separator) for text in texts]
    assert [document.id for document in documents] == [str(n) for n in range(len(texts))]


def test_a_row_keeps_its_paragraphs(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": " One\ntwo. \n\n\n Three. \n"}])
    (document,) = read(path)
    found = document.chapters[0].paragraphs
    assert [paragraph.text for paragraph in found] == ["One\ntwo.", "Three."]
    assert all(document.text[p.start :].startswith(p.text) for p in found)


def test_broken_rows_name_their_line(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n\n{"text": \n', encoding="utf-8")
    assert "line 3" in complaint(path)
    path.write_text('["a"]\n', encoding="utf-8")
    assert "line 1" in complaint(path)
    write_jsonl(path, [{"text": {"a": 1}}])
    assert re.search(r"\brow 0\b.*'text'.*dict", complaint(path))


@pytest.mark.parametrize("column", ["text", "key", "who"])
def test_half_a_character_names_its_row(tmp_path, column):
    """Guards against a traceback for text that no encoding can write."""
    row = {"text": "Hi.", "key": "a \U0001f600", "who": None}
    path = write_jsonl(tmp_path / "a.jsonl", [row, row | {column: "Hi \ud83d there"}])
    documents = read_documents(str(path), SourceConfig(id_column="key", speaker_column="who"))
    assert next(documents).id == "a \U0001f600"
    with pytest.raises(SourceError, match=rf"row 1\b.*'{column}'.*\\ud83d"):
        next(documents)


def test_numbers_are_text_too(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": 5}, {"text": float("nan")}])
    assert [document.text for document in read(path)] == ["5", ""]


def test_folders_of_tables(tmp_path):
    """Guards folders: shards are read in the order of their names, as one table."""
    (tmp_path / "sub").mkdir()
    write_jsonl(tmp_path / "sub" / "b.jsonl", [{"text": "B."}])
    write_jsonl(tmp_path / "a.jsonl", [{"text": "A."}])
    write_jsonl(tmp_path / ".hidden.jsonl", [{"text": "C."}])
    assert [(d.id, d.text) for d in read(tmp_path)] == [("row-0000000", "A."), ("row-0000001", "B.")]
    (tmp_path / "c.csv").write_text("text\nC.\n", encoding="utf-8")
    assert re.search(r"source\.format.*csv.*jsonl", complaint(tmp_path))
    assert len(read(tmp_path, format="csv")) == 1
    (tmp_path / "empty").mkdir()
    assert ".parquet" in complaint(tmp_path / "empty")


def test_a_dataset_saved_to_disk(tmp_path):
    split = datasets.Dataset.from_dict({"text": ["A.", "B."], "other": [1, 2]})
    datasets.DatasetDict({"train": split}).save_to_disk(str(tmp_path / "d"))
    assert [document.text for document in read(tmp_path / "d")] == ["A.", "B."]
    assert re.search(r"'trian'.*source\.split.*: train$", complaint(tmp_path / "d", split="trian"))
    assert "text, other" in complaint(tmp_path / "d", text_column="txt")


def test_a_local_folder_as_a_dataset(tmp_path):
    """Guards source.format=datasets for a local folder."""
    folder = tmp_path / "d"
    folder.mkdir()
    pq.write_table(pa.table({"text": ["A.", "B."]}), folder / "train.parquet")
    assert [document.text for document in read(folder, format="datasets")] == ["A.", "B."]


def test_line_ends_and_marks_of_windows(tmp_path):
    """Guards offsets and words against byte order marks and carriage returns."""
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffChapter 1\r\n\r\nIt rained.\r\nIt poured.\r\n".encode())
    (book,) = read(path)
    assert book.chapters[0].title == "Chapter 1"
    assert book.text == "Chapter 1\n\nIt rained.\nIt poured.\n"


def test_the_title_comes_from_the_config_before_the_text_before_the_name(tmp_path):
    path = tmp_path / "a_long-walk.txt"
    path.write_text("It rained.", encoding="utf-8")
    assert (read(path)[0].title, read(path)[0].id) == ("A Long Walk", "a_long-walk")
    path.write_text("The Walk\n\nby A. Person\n\nIt rained.", encoding="utf-8")
    assert (read(path)[0].title, read(path)[0].author) == ("The Walk", "A. Person")
    assert read(path, title="X", author="Y")[0].title == "X"


def test_no_such_file_proposes_the_nearest(tmp_path):
    (tmp_path / "pride.txt").write_text("x", encoding="utf-8")
    message = complaint(tmp_path / "prode.txt")
    assert str(tmp_path / "prode.txt") in message
    assert "pride.txt" in message
    assert "source.format=datasets" in complaint("someone/prose")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"", ""),
        ("a.txt", b" \n\n", ""),
        ("a.jsonl", b"", ""),
        ("a.jsonl", b"\n\n", ""),
        ("a.csv", b"text\n", ""),
        ("a.txt", b"%PDF-1.7 ...", "PDF"),
        ("a.epub", b"PK\x03\x04", "EPUB"),
        ("a.docx.txt", b"PK\x03\x04", "ZIP"),
        ("a.txt", b"ab\x00\x01\x02" * 20, ""),
        ("a.csv", b"ab\x00\x01\x02" * 20, ""),
        ("a.parquet", b"not parquet at all", "Parquet"),
        ("a.doc", b"words", "source.format"),
        ("README", b"words", "source.format"),
        ("a.txt", b"***\n\n---\n", ""),
        ("a.txt", "He said “no” at the café — twice.".encode("cp1252"), "source.encoding=cp1252"),
        ("a.csv", "text\nHe said “no” at the café — twice.\n".encode("cp1252"), "source.encoding=cp1252"),
        ("a.txt", "It was a long way to the harbour.\n".encode("utf-16"), "source.encoding=utf_16"),
        ("a.txt", "Это была тёмная ночь, и шёл дождь.\n".encode("cp1251") * 5, "source.encoding=cp1251"),
    ],
)
def test_what_cannot_be_read_says_what_to_do(tmp_path, name, content, said):
    """Guards against tracebacks and noise for inputs that cannot be read."""
    path = tmp_path / name
    path.write_bytes(content)
    message = complaint(path)
    assert said in message
    assert path.name in message or path.stem in message


@pytest.mark.parametrize(
    ("text", "written", "proposed"),
    [
        ("Le garçon était très heureux. L’hôtel à côté.\n" * 20, "cp1252", "cp1252"),
        ("Die Tür war schön grün, und Größe über alles – „Ja“, sagte er.\n" * 20, "cp1252", "cp1252"),
        ("The café was “naïve” of him.\n" * 20, "cp1252", "cp1252"),
        ("“naïve”", "cp1252", "cp1252"),
        ("Это была тёмная ночь, и шёл дождь.\n" * 20, "cp1251", "cp1251"),
        ("それは暗い夜で、雨が降っていた。\n" * 20, "shift_jis", "cp932"),
        ("那是一个漆黑的夜晚，下着雨。\n" * 20, "gb18030", "gb18030"),
        ("Le garçon était très heureux.\n" * 20, "utf-16", "utf_16"),
        ("Příliš žluťoučký kůň úpěl ďábelské ódy.\n" * 20, "cp1250", "cp1250"),
    ],
)
def test_the_proposed_encoding_gives_the_text_back(tmp_path, text, written, proposed):
    """Guards the proposed encoding, which gave other letters."""
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode(written))
    assert re.search(rf"\bsource\.encoding={proposed}\b", complaint(path))
    assert read(path, encoding=proposed)[0].text == text


def test_an_encoding_that_only_a_reader_can_tell_is_named_as_well(tmp_path):
    """Guards texts whose bytes are valid in two encodings: both are named."""
    path = tmp_path / "a.txt"
    path.write_bytes(("Zażółć gęślą jaźń, powiedział mężczyzna w kapeluszu.\n" * 20).encode("cp1250"))
    assert re.search(r"source\.encoding=cp1252\b.*\bcp1250\b", complaint(path))


def test_the_proposed_encoding_works(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("He said “no”.".encode("cp1252"))
    assert read(path, encoding="cp1252")[0].text == "He said “no”."
    path.write_bytes("He said “no”.".encode("utf-16"))
    assert read(path, encoding="utf_16")[0].text == "He said “no”."
    assert "source.encoding=utf-x" in complaint(path, encoding="utf-x")


def test_the_shipped_story_has_a_title_and_an_author():
    (story,) = read("story")
    assert story.title
    assert story.author
    assert [chapter.title.split(":")[0] for chapter in story.chapters] == ["One", "Two", "Three"]


@pytest.mark.parametrize("header", ["text\tid", "text\tid\tvoice"])
def test_a_first_cell_may_have_several_lines_between_tabs(header: str, tmp_path: Path) -> None:
    """Guards cells with line ends, whose last line was taken for a row."""
    path, rest = tmp_path / "a.tsv", "\tJon" * header.count("voice")
    path.write_text(f'{header}\n"Line one.\n\nLine two."\t1{rest}\nBye\t2{rest}\n', encoding="utf-8")
    assert [document.text for document in read(path, id_column="id")] == ["Line one.\n\nLine two.", "Bye"]


@pytest.mark.parametrize(
    "content",
    [
        '{"data": [{"text": "A."}, {"text": "B."}]}',
        '{"version": 2, "meta": {"by": "Ann"}, "rows": [{"text": "A."}, {"text": "B."}]}\n',
        '{"examples": [{"text": "A."}, {"text": "B."}], "tags": ["x"]}',
        '{"response": {"docs": [\n{"text": "A."},\n{"text": "B."}]}}',
    ],
)
def test_a_json_object_around_one_list_of_objects_is_that_list(tmp_path, content):
    """Guards files such as {"data": [...]}, which counted as one row without text."""
    path = tmp_path / "a.json"
    path.write_text(content, encoding="utf-8")
    assert [(d.id, d.text) for d in read(path)] == [("row-0000000", "A."), ("row-0000001", "B.")]


def test_a_json_object_with_the_text_column_is_a_row(tmp_path):
    """Guards rows that hold a list of objects themselves."""
    path = tmp_path / "a.json"
    path.write_text('{"text": "A.", "messages": [{"role": "user"}]}', encoding="utf-8")
    assert [d.text for d in read(path)] == ["A."]
    path.write_text('{"messages": [{"content": "B."}]}', encoding="utf-8")
    assert [d.text for d in read(path, text_column="messages.0.content")] == ["B."]
    path.write_text('{"id": 1, "tags": [{"x": 1}]}\n{"id": 2, "text": "C."}', encoding="utf-8")
    assert [d.text for d in read(path)] == ["", "C."]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"train": [{"text": "A."}], "test": [{"text": "B."}]}', ("train", "test", "line 1")),
        ('{"data": [{"text": "A."}, "B."]}', ("'data'", "entry 1")),
        ('{"data": [{"body": "A."}]}', ("'text'", "body")),
        ('{"data": ["A."]}', ("'text'", "data")),
        ('{"data": []}', ("no rows",)),
    ],
)
def test_json_objects_whose_rows_are_not_clear_are_refused(tmp_path, content, said):
    """Guards against a guess which of several lists is meant, and against one empty text in the place of all rows."""
    path = tmp_path / "a.json"
    path.write_text(content, encoding="utf-8")
    message = complaint(path)
    assert "a.json" in message
    assert all(each in message for each in said)


@pytest.mark.parametrize(
    ("content", "line", "num_cells"),
    [("Hello there.\nAnd more.\n", 1, 1), ("\nHello there.\n", 2, 1), ("a\tb\nc\td\n", 1, 2)],
)
def test_csv_with_fewer_columns_than_named_is_refused(tmp_path, content, line, num_cells):
    """Guards texts that went to the column `id` while every row was rejected as empty."""
    path = tmp_path / "a.csv"
    path.write_text(content, encoding="utf-8")
    message = complaint(path, columns=["id", "text", "who"][: num_cells + 1])
    assert "a.csv" in message
    assert f"line {line}" in message
    assert f"{num_cells} of the {num_cells + 1}" in message
    assert "source.columns" in message


@pytest.mark.parametrize("has_header", [True, False])
def test_a_short_row_of_csv_has_empty_cells(tmp_path, has_header):
    """Guards tables whose last cells are left out: with a header line and without, they are empty."""
    path = tmp_path / "a.csv"
    path.write_text(f"{'id,text' if has_header else '0,Zero.'}\n1\n2,Two.\n", encoding="utf-8")
    columns = {} if has_header else {"columns": ["id", "text"]}
    assert [d.text for d in read(path, **columns)][-2:] == ["", "Two."]


def test_a_book_has_no_rows_to_limit(tmp_path: Path) -> None:
    """Bug: source.limit was ignored for a book, and the whole book was rendered."""
    (tmp_path / "book.txt").write_text("It was late. Nobody spoke.")
    with pytest.raises(SourceError) as caught:
        list(read_documents(str(tmp_path / "book.txt"), SourceConfig(limit=1)))
    assert all(fact in str(caught.value) for fact in ("source.limit=1", "source.chapters"))
