"""A reader of another format, plugged in without a change of the package: by a program, and by a distribution."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from fakes import build_fake, loader_of

from pipeline.__main__ import main
from pipeline.config import SourceConfig
from pipeline.errors import ConfigError, SourceError
from pipeline.text.readers.books import Book, BookReader
from pipeline.text.readers.dispatch import read_cover_of, read_documents
from pipeline.text.readers.reader import READERS, InputFile, Reader
from pipeline.text.readers.row_columns import Row
from pipeline.text.readers.tables import TableReader
from pipeline.text.structure.blocks import Block, Role
from pipeline.types import Chapter, Document, Paragraph

SUBTITLES = "1\n00:00:01,000 --> 00:00:02,500\nThe lamp is out.\n\n2\n00:00:03,000 --> 00:00:04,000\nLight it again.\n"
JPEG = b"\xff\xd8cover"


def read_subtitles(file: InputFile) -> Book:
    text = file.read_text()
    if "-->" not in text:
        raise SourceError(f"{file}: has no times; give subtitles")
    blocks, start = [], 0
    for line in text.splitlines(keepends=True):
        words = line.strip()
        is_cue = words.isdigit() or "-->" in words
        if words:
            role, reason = (Role.SKIP, "cue") if is_cue else (Role.TEXT, "")
            blocks.append(Block(start, start + len(words), role, reason))
        start += len(line)
    return Book(text, blocks, author="Nobody")


class LetterReader(Reader):
    """The least that a reader can be: one document for each file."""

    endings = (".letter",)

    def read(self, files: Sequence[InputFile], source: SourceConfig) -> Iterator[Document]:
        for file in files:
            text = file.read_text().strip()
            yield Document(file.stem, text, (Chapter("", (Paragraph(text, 0),)),))


def read_pairs(file: InputFile, source: SourceConfig) -> Iterator[Row]:
    with file.open_text() as lines:
        for line in lines:
            yield dict(zip(("key", "text"), line.strip().split("=", 1), strict=True))


@pytest.fixture
def readers() -> Iterator[None]:
    added = {
        "srt": BookReader((".srt",), read_subtitles, lambda file: JPEG),
        "letter": LetterReader(),
        "pairs": TableReader("pairs", (".pairs",), read_pairs),
    }
    for name, reader in added.items():
        READERS.add(name, reader)
    yield
    for name in added:
        READERS.remove(name)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What an installed distribution leaves, with the reader `subs` of this module as its entry point."""
    folder = tmp_path / "site"
    info = folder / "subtitles-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: subtitles\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[parler_pipeline.readers]\nsubs = subtitles_plugin:SUBS\n")
    (folder / "subtitles_plugin.py").write_text(
        "from test_extension_reader import BookReader, read_subtitles\nSUBS = BookReader(('.sub',), read_subtitles)\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    READERS.refresh()
    yield
    READERS.refresh()
    sys.modules.pop("subtitles_plugin", None)


def write(folder: Path, name: str, text: str = SUBTITLES) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def spoken(document: Document) -> list[str]:
    return [paragraph.text for chapter in document.chapters for paragraph in chapter.paragraphs]


@pytest.mark.usefixtures("readers")
@pytest.mark.parametrize(("name", "form"), [("show.srt", "auto"), ("show.SRT", "auto"), ("show.dat", "srt")])
def test_a_format_is_chosen_by_its_ending_or_by_its_name(tmp_path: Path, name: str, form: str) -> None:
    """Guards the choice of a reader: by the ending of the file, whatever its case, or by source.format."""
    (book,) = read_documents(str(write(tmp_path, name)), SourceConfig(format=form))
    assert spoken(book) == ["The lamp is out.", "Light it again."]
    assert [skip.reason for skip in book.skips] == ["cue"] * 4
    assert (book.id, book.title, book.author) == ("show", "Show", "Nobody")


@pytest.mark.usefixtures("readers")
def test_what_dispatch_does_for_all_formats_holds_for_added_ones(tmp_path: Path) -> None:
    """Guards against formats that are read without the checks and settings of the others."""
    path = write(tmp_path, "show.srt")
    (book,) = read_documents(str(path), SourceConfig(title="T", language="de", chapters="1"))
    assert (book.title, book.language) == ("T", "de")
    for content, said in ((b"", "empty"), (b"%PDF-1.7", "PDF"), (b"\xe9t\xe9 --> caf\xe9\n", "source.encoding")):
        path.write_bytes(content)
        with pytest.raises(SourceError) as caught:
            list(read_documents(str(path), SourceConfig()))
        assert "show.srt" in str(caught.value)
        assert said in str(caught.value)


@pytest.mark.usefixtures("readers")
def test_the_cover_comes_from_the_reader(tmp_path: Path) -> None:
    """Guards the optional method: a reader without it has no covers, and nothing fails."""
    assert read_cover_of(str(write(tmp_path, "show.srt")), SourceConfig()) == JPEG
    assert read_cover_of(str(write(tmp_path, "a.letter", "Dear Ann.")), SourceConfig()) is None
    assert read_cover_of(str(write(tmp_path, "a.unknown", "Dear Ann.")), SourceConfig()) is None


@pytest.mark.usefixtures("readers")
def test_several_files_go_to_a_reader_together(tmp_path: Path) -> None:
    """Guards lists, globs and folders of an added format; a book is still one file, and formats are not mixed."""
    first, second = (write(tmp_path / "in", f"{name}.letter", f"Dear {name}.") for name in ("ann", "bob"))
    for given in (f"[{first},{second}]", f"{tmp_path}/in/*.letter"):
        assert [each.id for each in read_documents(given, SourceConfig())] == ["ann", "bob"]
    assert [each.id for each in read_documents(str(tmp_path / "in"), SourceConfig(format="letter"))] == ["ann", "bob"]
    show = write(tmp_path, "show.srt")
    for given, named in ((f"[{first},{show}]", "show.srt"), (f"[{show},{show.parent / 'in' / 'ann.letter'}]", "show")):
        with pytest.raises(SourceError) as caught:
            list(read_documents(given, SourceConfig()))
        assert named in str(caught.value)


@pytest.mark.usefixtures("readers")
def test_an_added_table_is_read_with_others(tmp_path: Path) -> None:
    """Guards the numbers of rows: they go on through tables of several formats, or two rows had one id."""
    pairs = write(tmp_path, "a.pairs", "x=First.\ny=Second.\n")
    lines = write(tmp_path, "b.jsonl", json.dumps({"text": "Third."}) + "\n")
    found = list(read_documents(f"[{pairs},{lines}]", SourceConfig()))
    assert [(each.id, each.text) for each in found] == [
        ("row-0000000", "First."), ("row-0000001", "Second."), ("row-0000002", "Third."),
    ]  # fmt: skip
    with pytest.raises(SourceError) as caught:
        list(read_documents(str(pairs), SourceConfig(columns=["a", "b"])))
    assert "source.columns" in str(caught.value)


def test_a_name_that_nobody_registered_is_refused() -> None:
    """Guards the schema: a wrong name is refused before anything is read, with the names that there are."""
    with pytest.raises(ConfigError) as caught:
        SourceConfig(format="srt")
    assert "source.format=srt" in str(caught.value)
    assert "jsonl" in str(caught.value)


@pytest.mark.usefixtures("installed")
def test_the_schema_knows_installed_readers_without_importing_them(tmp_path: Path) -> None:
    """Guards quick commands: a broken or slow distribution costs nothing until its format is read."""
    SourceConfig(format="subs")
    list(read_documents(str(write(tmp_path, "a.txt", "Some words.")), SourceConfig()))
    assert "subtitles_plugin" not in sys.modules
    (book,) = read_documents(str(write(tmp_path, "show.sub")), SourceConfig())
    assert "subtitles_plugin" in sys.modules
    assert spoken(book) == ["The lamp is out.", "Light it again."]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("form", ["auto", "subs"])
def test_a_dry_run_of_an_installed_format(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    """Guards the whole way of an added format: command line, schema, plan, and what is said of what is left out."""
    path = write(tmp_path, "show.sub")
    arguments = [f"input={path}", f"output_dir={tmp_path / 'out'}", f"source.format={form}", "dry_run=true"]
    assert main([*arguments, "json=true"], loader_of(build_fake)) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["chapters"][0]["title"] == "Show"
    assert values["words"] == 7
    assert values["left_out"] == {"cue": 4}
