"""Plain texts as scans, word processors and writers leave them: notes, page numbers, headings, verse; time."""

from __future__ import annotations

from pathlib import Path

import pytest
from epub_files import left_out
from growth import assert_linear

from pipeline.config import SourceConfig, TextConfig
from pipeline.text.readers.dispatch import read_documents
from pipeline.text.segmentation import segment_document
from pipeline.text.spoken_form import spoken_form
from pipeline.text.strip_markup import plain_lines
from pipeline.types import Document

PROSE = (
    "It was a long way to the harbour, and nobody in the town had ever walked\n"
    "it in winter without a lantern and a good reason to be out of doors."
)


def book(path: Path, text: str, name: str = "book.txt") -> Document:
    (path / name).write_text(text, encoding="utf-8")
    (document,) = read_documents(str(path / name), SourceConfig())
    return document


def titles(document: Document) -> list[str]:
    return [chapter.title for chapter in document.chapters]


def heard(document: Document) -> str:
    return " ".join(segment.spoken for segment in segment_document(document, TextConfig(), lambda text: len(text) / 15))


@pytest.mark.parametrize(
    ("mark", "note"),
    [
        ("[1]", "[1] A note at the foot."), ("[1]", "    [1] A note at the foot."), ("{1}", "{1} A note at the foot."),
        ("[A]", "[A] A note at the foot."), ("*", "* A note at the foot."), ("[1]", "1. A note at the foot."),
        ("[*]", "[*] A note at the foot."), ("†", "† A note at the foot."), ("¹", "¹ A note at the foot."),
        ("[1]", "FOOTNOTES:\n\n[1] A note at the foot.\n\n[2] Another one."), ("[1]", "[Footnote 1: A note.]"),
        ("[1]", "Footnotes\n\n1. A note at the foot.\n\n2. Another one."), ("(1)", "(1) A note at the foot."),
    ],
)  # fmt: skip
def test_notes_are_left_out(tmp_path: Path, mark: str, note: str) -> None:
    """Guards against notes that are spoken, in all their forms."""
    document = book(tmp_path, f"Chapter 1\n\n{PROSE}{mark} And more.\n\n{note}\n\n{PROSE}\n\nChapter 2\n\n{PROSE}")
    assert titles(document) == ["Chapter 1", "Chapter 2"]
    assert {reason for _, reason in left_out(document)} == {"note"}
    assert "note" not in heard(document)
    assert "one And more" not in heard(document)


@pytest.mark.parametrize(
    "items", ["1. Wash.\n\n2. Dry.", "* Bread.\n\n* Butter.", "[She] left [it].", "A. First.\n\nB. Next."]
)
def test_lists_are_no_notes(tmp_path: Path, items: str) -> None:
    """Guards items of lists, which look like notes."""
    document = book(tmp_path, f"Chapter 1\n\n{PROSE}\n\n{items}\n\n{PROSE}\n\nChapter 2\n\n{PROSE}")
    assert not left_out(document)


def test_page_numbers_and_running_heads_are_left_out(tmp_path: Path) -> None:
    """Guards against page numbers and running heads of scans that are spoken."""
    numbers = ["12", "13", "Page 14", "- 15 -", "THE LAMP 16", "17 ANN MADE"]
    document = book(tmp_path, "Chapter 1\n\n" + "".join(f"{PROSE}\n\n{number}\n\n" for number in numbers) + PROSE)
    assert [words for words, _ in left_out(document)] == numbers
    assert {reason for _, reason in left_out(document)} == {"page number", "running head"}


@pytest.mark.parametrize("lines", [["42"], ["MAY 5", "MAY 6", "MAY 7"], ["KAPITEL 1", "KAPITEL 2", "KAPITEL 3"]])
def test_a_number_alone_and_a_diary_are_no_page_numbers(tmp_path: Path, lines: list[str]) -> None:
    """Guards numbers that are answers or days, and not page numbers."""
    assert not left_out(book(tmp_path, "\n\n".join(f"{line}\n\n{PROSE}" for line in lines)))


def test_sections_are_no_page_numbers(tmp_path: Path) -> None:
    """Guards numbers of sections, which begin again in each chapter."""
    sections = "\n\n".join(f"Chapter {c}\n\n" + "\n\n".join(f"{n}\n\n{PROSE}" for n in (1, 2, 3)) for c in (1, 2))
    assert not left_out(book(tmp_path, sections))
    pages = f"Chapter 1\n\n{PROSE}\n\n1\n\n{PROSE}\n\n2\n\nChapter 2\n\n{PROSE}\n\n3\n\n{PROSE}\n\n4"
    assert [reason for _, reason in left_out(book(tmp_path, pages))] == ["page number"] * 4


@pytest.mark.parametrize(
    ("headings", "expected"),
    [
        (["Chapter 1000", "Chapter 1001"], ["Chapter 1000", "Chapter 1001"]),
        (["First Chapter", "Second Chapter"], ["First Chapter", "Second Chapter"]),
        (["The First Chapter", "The Second Chapter"], ["The First Chapter", "The Second Chapter"]),
        (["Day 1", "Day 2", "Day 3"], ["Day 1", "Day 2", "Day 3"]),
        (["- 1 -", "- 2 -", "- 3 -"], ["- 1 -", "- 2 -", "- 3 -"]),
        (["chapter 1", "chapter 2"], ["chapter 1", "chapter 2"]),
        (["# The Sill", "# The Wick"], ["The Sill", "The Wick"]),
        (["The Sill\n========", "The Wick\n--------"], ["The Sill", "The Wick"]),
        (["#1", "#2"], ["#1", "#2"]),
    ],
)
def test_more_kinds_of_headings_are_found(tmp_path: Path, headings: list[str], expected: list[str]) -> None:
    """Guards the forms of headings, each of which made a book one chapter."""
    assert titles(book(tmp_path, "\n\n\n".join(f"{heading}\n\n{PROSE}" for heading in headings))) == expected


def test_titles_that_a_list_of_contents_names_are_headings(tmp_path: Path) -> None:
    """Guards titles that only the table of contents shows to be headings."""
    contents = "CONTENTS\n\n  The Sill ..... 1\n  The Wick ..... 9\n  The Oil ..... 20\n\n\n"
    text = contents + "\n\n\n".join(f"{title}\n\n{PROSE}" for title in ("The Sill", "The Wick", "The Oil"))
    assert titles(book(tmp_path, text)) == ["The Sill", "The Wick", "The Oil"]


def test_lines_of_verse_and_of_addresses_are_heard(tmp_path: Path) -> None:
    """Guards line ends of verse, and not those of wrapped prose."""
    verse = "The wind went over the wall\nand nobody heard it at all\nbut the cat on the stair"
    text = f"{verse}\n\n{PROSE}\n\nAnn Lee\n4 Hill Road"
    words = heard(book(tmp_path, text))
    assert "over the wall, and nobody heard it at all, but the cat" in words
    assert "Ann Lee, four Hill Road" in words
    assert "had ever walked it in winter" in words
    assert plain_lines("One,\ntwo\nthree.") == "One, two, three."


@pytest.mark.parametrize(
    ("heading", "sound"),
    [
        ("I", "one."), ("V", "five."), ("01", "one."), ("01: The Fox", "one. The Fox."),
        ("V. The Visit", "five. The Visit."),
        ("- 3 -", "three."), ("C. S. Lewis", "C S Lewis."), ("1984", "nineteen eighty-four."),
    ],
)  # fmt: skip
def test_numerals_of_headings_are_numbers(heading: str, sound: str) -> None:
    """Guards the numerals of headings: "I" was a pronoun, and "01" zero one."""
    assert spoken_form(heading, "en", True, is_heading=True).lower() == sound.lower()


MARKDOWN = """# The Lamp

## Chapter 1 {#ch1 .first}

==Marked== words, a [[Page|link]], %%no%% and [this]{.small} here^[never]. $E = mc^2$ at $5 and $6. :smile:

%%
not this
%%

Name | Age
--- | ---
Bob | 8

Words.[^1]

[^1]: Never said
    nor this.

    code(here)

::: note
Inside.
:::

![[picture.png]]

Term
: Meaning.
"""


def test_no_markup_of_markdown_is_spoken(tmp_path: Path) -> None:
    """Guards against marks of wikis, TeX and Markdown that are spoken."""
    words = heard(book(tmp_path, MARKDOWN, "book.md"))
    assert words == (
        "The Lamp. Chapter one. Marked words, a link, and this here. E equals mc squared at five dollars and six "
        "dollars. Words. Inside. Term Meaning."
    )


@pytest.mark.parametrize(
    "repeated",
    [
        "Chapter {n}\n\nSome words.\n\n", "CONTENTS\n\nThe Fox {n} ..... {n}\n\n", "CONTENTS\n\nA\n\n",
        "[Footnote {n}: x\n\n", "*** START OF THE PROJECT GUTENBERG \n", "{n}\n\nSome words.\n\n", "_________",
        "[1] a\n\n", "THE FOX\n\n", ". . .",
    ],
)  # fmt: skip
@pytest.mark.parametrize("ending", ["txt", "md"])
def test_time_grows_with_the_text_and_not_faster(tmp_path: Path, repeated: str, ending: str) -> None:
    """Guards linear time for tables of contents, open brackets and long rows of marks."""
    for factor in (1, 10):
        text = "".join(repeated.format(n=n) for n in range(200 * factor)) + f"\n\n{PROSE}"
        (tmp_path / f"{factor}.{ending}").write_text(text, encoding="utf-8")
    assert_linear(lambda factor: list(read_documents(str(tmp_path / f"{factor}.{ending}"), SourceConfig())))
