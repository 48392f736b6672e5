"""Chapters, paragraphs and skips of plain text and Markdown."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import SourceConfig
from pipeline.errors import SourceError
from pipeline.text.readers.dispatch import read_documents
from pipeline.text.spoken_form import spoken_form
from pipeline.text.strip_markup import plain_heading, plain_words
from pipeline.types import Boundary, Document, Paragraph

PROSE = (
    "It was a long way to the harbour, and nobody in the town had ever walked\n"
    "it in winter without a lantern and a good reason to be out of doors."
)


@pytest.fixture
def book(tmp_path):
    def read(text: str, name: str = "book.txt", **source: object) -> Document:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        (document,) = read_documents(str(path), SourceConfig(**source))  # type: ignore[arg-type]
        assert_nothing_lost(document)
        return document

    return read


def assert_nothing_lost(document: Document) -> None:
    """Each character that is not white space lies in one paragraph or one skip, and paragraphs are verbatim."""
    owners = [0] * len(document.text)
    for paragraph in paragraphs(document):
        assert document.text[paragraph.start :].startswith(paragraph.text)
        for i in range(paragraph.start, paragraph.start + len(paragraph.text)):
            owners[i] += 1
    for skip in document.skips:
        for i in range(skip.start, skip.end):
            owners[i] += 1
    wrong = [i for i, c in enumerate(document.text) if owners[i] > 1 or (not c.isspace() and owners[i] != 1)]
    assert not wrong, repr(document.text[wrong[0] - 20 : wrong[0] + 20])


def paragraphs(document: Document) -> list[Paragraph]:
    return [paragraph for chapter in document.chapters for paragraph in chapter.paragraphs]


def titles(document: Document) -> list[str]:
    return [chapter.title for chapter in document.chapters]


def reasons(document: Document) -> list[str]:
    return [skip.reason for skip in document.skips]


@pytest.mark.parametrize(
    ("headings", "expected"),
    [
        (["CHAPTER I", "CHAPTER II", "CHAPTER III"], ["Chapter I", "Chapter II", "Chapter III"]),
        (["Chapter 1: The Fox", "Chapter 2: The Crow"], ["Chapter 1: The Fox", "Chapter 2: The Crow"]),
        (["Chapter 1 The Fox", "Chapter 2 The Crow"], ["Chapter 1 The Fox", "Chapter 2 The Crow"]),
        (["Prologue – 1850", "Chapter 1 - The Fox"], ["Prologue – 1850", "Chapter 1 - The Fox"]),
        (["Part One - York", "Chapter One : The Fox"], ["Part One - York", "Part One - York, Chapter One : The Fox"]),
        (["Chapter 1 - The Fox.", "Chapter 2 - Who is it?"], ["Chapter 1 - The Fox", "Chapter 2 - Who is it?"]),
        (["CHAPTER THE FIRST", "CHAPTER THE SECOND"], ["Chapter the First", "Chapter the Second"]),
        (["CHAPTER TWENTY-ONE", "CHAPTER TWENTY-TWO"], ["Chapter Twenty-one", "Chapter Twenty-two"]),
        (["LETTER 1", "PREFACE", "CHAPTER 1"], ["Letter 1", "Preface", "Chapter 1"]),
        (["I", "II", "III"], ["I", "II", "III"]),
        (["1.", "2.", "3."], ["1", "2", "3"]),
        (["I. A SCANDAL", "II. THE LEAGUE"], ["I. a Scandal", "II. the League"]),
        (["THE FOX", "THE CROW AND THE CHEESE"], ["The Fox", "The Crow and the Cheese"]),
        (["PART ONE", "PART TWO"], ["Part One", "Part Two"]),
    ],
)
def test_a_kind_of_heading_is_found(book, headings, expected):
    """Guards the forms of headings, each of which was read as prose or gave a bad title."""
    document = book("\n\n".join(f"{heading}\n\n{PROSE}" for heading in headings))
    assert [title.lower() for title in titles(document)] == [title.lower() for title in expected]
    assert all(chapter.paragraphs[0].is_heading for chapter in document.chapters)
    assert all(chapter.paragraphs[0].boundary is Boundary.HEADING for chapter in document.chapters)


def test_all_caps_titles_become_ordinary_letters(book):
    """Guards titles in ALL CAPS, and Roman numerals in them."""
    document = book(f"VOLUME II\n\nCHAPTER IV\n\n{PROSE}\n\nCHAPTER V. THE END OF IT\n\n{PROSE}")
    assert titles(document) == ["Volume II, Chapter IV", "Volume II, Chapter V. The End of It"]


def test_parts_nest_above_chapters_and_are_spoken_once(book):
    """Guards titles in parts: without the name of the part, two chapters had the same title."""
    text = "\n\n".join(f"BOOK {b}\n\nCHAPTER I\n\n{PROSE}\n\nCHAPTER II\n\n{PROSE}" for b in ("ONE", "TWO"))
    document = book(text)
    assert titles(document) == [
        "Book One, Chapter I",
        "Book One, Chapter II",
        "Book Two, Chapter I",
        "Book Two, Chapter II",
    ]
    assert document.chapters[2].paragraphs[0].text == "BOOK TWO\n\nCHAPTER I"
    assert document.chapters[3].paragraphs[0].text == "CHAPTER II"


def test_a_subtitle_belongs_to_the_heading(book):
    """Guards titles below "Chapter 1", which were read as the first sentence."""
    document = book(f"CHAPTER I.\nDown the Rabbit-Hole\n\n{PROSE}\n\nCHAPTER II.\n\nThe Pool of Tears\n\n{PROSE}")
    assert titles(document) == ["Chapter I: Down the Rabbit-Hole", "Chapter II: The Pool of Tears"]
    assert [len(chapter.paragraphs) for chapter in document.chapters] == [2, 2]


def test_a_short_first_sentence_is_not_a_subtitle(book):
    """Guards a short first sentence, which was taken for the title."""
    document = book(f"Chapter 1\n\nIt rained.\n\n{PROSE}\n\nChapter 2\n\n“Hello,” he said\n\n{PROSE}")
    assert titles(document) == ["Chapter 1", "Chapter 2"]


def test_an_empty_heading_does_not_shift_titles(book):
    """Guards a heading without text, whose title went to the next chapter."""
    document = book(f"Chapter 1\n\n{PROSE}\n\nChapter 2\n\nChapter 3\n\n{PROSE} Third.")
    assert titles(document) == ["Chapter 1", "Chapter 2", "Chapter 3"]
    assert document.chapters[2].paragraphs[1].text.endswith("Third.")


@pytest.mark.parametrize(
    "contents",
    [
        "CONTENTS\n\nCHAPTER I\n\nCHAPTER II\n\nCHAPTER III",
        "Contents\n\n Chapter I. 3\n Chapter II. 17\n Chapter III. 44",
        "CHAPTER I\n\nCHAPTER II\n\nCHAPTER III",
        "CHAPTER I ..... 3\nCHAPTER II ..... 17\nCHAPTER III ..... 44",
    ],
)
def test_a_table_of_contents_does_not_become_chapters(book, contents):
    """Guards against tables of contents that are spoken and double the chapters."""
    body = "\n\n\n".join(f"CHAPTER {n}\n\n{PROSE}" for n in ("I", "II", "III"))
    document = book(f"{contents}\n\n\n{body}")
    assert titles(document) == ["Chapter I", "Chapter II", "Chapter III"]
    assert set(reasons(document)) == {"table of contents"}


def test_contents_with_titles_or_with_parts(book):
    """Guards entries that differ from their headings, or occur again in each part."""
    body = f"CHAPTER I.\nThe Fox\n\n{PROSE}\n\nCHAPTER II.\nThe Crow\n\n{PROSE}"
    document = book(f"Contents\n\n CHAPTER I.    The Fox\n CHAPTER II.   The Crow\n\n\n{body}")
    assert titles(document) == ["Chapter I: The Fox", "Chapter II: The Crow"]

    contents = "\n\n".join(f"BOOK {b}: 1805\n\nCHAPTER I\n\nCHAPTER II" for b in ("ONE", "TWO"))
    body = contents.replace("CHAPTER I\n", f"CHAPTER I\n\n{PROSE}\n").replace("CHAPTER II", f"CHAPTER II\n\n{PROSE}")
    document = book(f"CONTENTS\n\n{contents}\n\n\n{body}")
    assert titles(document) == [f"Book {b}: 1805, Chapter {c}" for b in ("One", "Two") for c in ("I", "II")]


@pytest.mark.parametrize("between", ["\n", "\n\n"])
@pytest.mark.parametrize("column", [2, 45])
@pytest.mark.parametrize("preface", ["", f"PREFACE\n\n{PROSE}\n\n\n\n"])
def test_contents_with_page_numbers(book, preface, column, between):
    """Guards against entries of a table of contents that become the chapters."""
    names = {"I": "THE FOX", "II": "THE CROW\n    AND THE CHEESE", "III": "THE HEN"}
    pages = ["CHAP.       PAGE", *(f"{n + '. ' + name:{column}}  1{n.count('I')}" for n, name in names.items())]
    if preface:
        pages.insert(1, f"{'PREFACE':{column}}  vii")
    plates = "LIST OF ILLUSTRATIONS\n\nThe crow, by night     _Frontispiece_\n\nA fox     11"
    body = "\n\n\n".join(f"{n}\n\n{name.split(chr(10))[0]}\n\n\n{PROSE}" for n, name in names.items())
    document = book(
        f"THE BOOK\n\nby A. Person\n\n\nCONTENTS\n\n{between.join(pages)}\n\n\n{plates}\n\n\n{preface}{body}"
    )
    assert titles(document) == ["Preface"] * bool(preface) + ["I: The Fox", "II: The Crow", "III: The Hen"]
    assert set(reasons(document)) == {"table of contents"}
    assert len(paragraphs(document)) == (9 if preface else 7)


def test_a_heading_below_contents_is_no_entry_with_a_page(book):
    """Guards the first heading, whose number looks like that of a page."""
    document = book(f"CONTENTS\n\nThe Fox  5\n\nThe Crow  9\n\n\nCHAPTER  1\n\n{PROSE}\n\nCHAPTER  2\n\n{PROSE}")
    assert titles(document) == ["Chapter 1", "Chapter 2"]
    assert len(reasons(document)) == 3


VERSE = "Of Man's first disobedience, and the fruit\nOf that forbidden tree, whose mortal taste\nwe sing,      5"


@pytest.mark.parametrize(
    ("contents", "first", "second", "expected"),
    [
        ("Book I     3\nBook II    9", f"BOOK I\n\n{VERSE}", "BOOK II", ["Book I", "Book II"]),
        (
            "I. The Fox     3\nII. The Hen    9",
            "CHAPTER I\nTHE FOX\n\nLondon, May,  1850",
            "CHAPTER II\nTHE HEN",
            ["Chapter I: The Fox", "Chapter II: The Hen"],
        ),
        ("I. The Fox  3\n\nII. The Hen  9", "THE FOX\n\nMay,  1850", "THE HEN", ["The Fox", "The Hen"]),
        ("Soups     3\nEggs    9", "SOUPS\n\nTomato Soup\n\nServes 4\n\nEggs   3", "EGGS", ["Soups", "Eggs"]),
        ("Part I  3\n\nPart II  9", "One hat\n\nEggs      3\nOnions    2\nTomatoes     12", "2", ["The Book"]),
    ],
)
def test_contents_end_where_the_book_begins(book, contents, first, second, expected):
    """Guards verse, letterheads and recipes with columns of numbers, which were taken for entries."""
    document = book(f"CONTENTS\n\n{contents}\n\n\n{first}\n\n{PROSE}\n\n{second}\n\n{PROSE}", title="The Book")
    assert titles(document) == expected
    skipped = "\n".join(document.text[skip.start : skip.end] for skip in document.skips)
    assert skipped == f"CONTENTS\n{contents}".replace("\n\n", "\n")


def test_contents_of_volumes_with_pages_of_their_own(book):
    """Guards the end of a table of contents: page numbers begin again only in another volume."""
    volumes = {"VOL. I": ("THE FOX     3", "THE HEN     9"), "VOL. II": ("THE CROW     1", "THE COW     7")}
    contents = "\n\n".join(line for name, entries in volumes.items() for line in (name, *entries))
    body = "\n\n".join(f"{name}\n\n" + "\n\n".join(f"{n}\n\n{PROSE}" for n in ("I", "II")) for name in volumes)
    document = book(f"CONTENTS\n\nPREFACE     v\n\n{contents}\n\n\nPREFACE\n\n{PROSE}\n\n{body}")
    assert titles(document) == ["Preface", "Vol. I, I", "Vol. I, II", "Vol. II, I", "Vol. II, II"]
    assert len(reasons(document)) == 8


def test_the_first_chapter_of_several_stories_is_no_entry(book):
    """Guards stories in parts: with a number in a column below it, a heading "I" was lost."""
    stories = [f"{name}\n\nI\n\nParis,  1850\n\n{PROSE}\n\nII\n\n{PROSE}" for name in ("The Vixen", "The Wood")]
    document = book("CONTENTS\n\nFox and Hen    1\nThe Trees    20\n\n\n" + "\n\n".join(stories))
    assert [title.split(":")[0] for title in titles(document)] == ["I", "II", "I", "II"]
    document = book(
        f"CONTENTS\n\nI. The Fox    1\nII. The Hen    9\n\n\nPROLOGUE\n\nParis,   1850\n\n{PROSE}\n\n"
        f"I. THE FOX\n\n{PROSE}\n\nII. THE HEN\n\n{PROSE}"
    )
    assert titles(document)[0] == "Prologue"


def test_chapters_without_text_below_a_part_are_chapters(book):
    """Guards two numbered headings in a row, which were taken for a list."""
    document = book(
        f"PART ONE\n\n\n1. The Fox\n\n2. The Hen\n\n{PROSE}\n\nPART TWO\n\n\n1. The Wood\n\n{PROSE}\n\n"
        f"2. The End\n\n{PROSE}"
    )
    assert len(titles(document)) == 4


def test_one_line_with_a_number_is_no_list(book):
    """Guards the word "contents" in a story, below which text was left out."""
    document = book(f"Chapter 1\n\n{PROSE}\n\nContents:\n\nOne hat\n\nShoes    2\n\n{PROSE}")
    assert [paragraph.text for paragraph in paragraphs(document)][2:4] == ["One hat", "Shoes    2"]


def test_markdown_without_headings_is_read_like_plain_text(book):
    assert titles(book(f"CHAPTER I\n\n{PROSE}\n\nCHAPTER II\n\n{PROSE}", name="book.md")) == ["Chapter I", "Chapter II"]


def test_sentences_that_begin_like_headings_stay_prose(book):
    """Guards prose: "Part one of the plan" or a page number cut a chapter in two."""
    document = book(
        f"Chapter 1\n\n{PROSE}\n\nPart one of the plan was simple.\n\nChapter two was the hardest to write.\n\n"
        f"Part 2 - The sequel was worse, he thought.\n\nBook I had wanted to read\n\n214\n\nNO ENTRY\n\n{PROSE}"
    )
    assert titles(document) == ["Chapter 1"]


def test_a_list_makes_no_chapters(book):
    """Guards chapters in ALL CAPS against a list with numerals, which became the chapters."""
    items = "1. Buy milk.\n\n2. Buy bread."
    document = book(f"THE FOX\n\n{PROSE}\n\n{items}\n\n{PROSE}\n\nTHE CROW\n\n{PROSE}\n\nTHE HEN\n\n{PROSE}")
    assert titles(document) == ["The Fox", "The Crow", "The Hen"]
    assert [paragraph.is_heading for paragraph in paragraphs(document)][:5] == [True, False, False, False, False]


def test_chapters_without_text_are_no_list(book):
    """Guards the first chapters, which were taken for a list."""
    document = book(f"1. The Beginning\n\n2. The Fox\n\n{PROSE}\n\n3. The Hen\n\n{PROSE}")
    assert titles(document) == ["1. The Beginning", "2. The Fox", "3. The Hen"]


def test_a_title_page_is_spoken_before_the_first_chapter(book):
    """Guards the title of the book, which must not be a chapter."""
    document = book(f"PRIDE AND PREJUDICE\n\nby\n\nJane Austen (1813)\n\n\n\nChapter 1\n\n\n{PROSE}\n")
    assert (document.title, document.author) == ("Pride and Prejudice", "Jane Austen")
    assert titles(document) == ["Chapter 1"]
    assert document.chapters[0].paragraphs[0].text.startswith("PRIDE AND PREJUDICE")
    assert document.chapters[0].paragraphs[0].is_heading


@pytest.mark.parametrize(
    ("opening", "author"),
    [
        ("The road was under water that winter, and the only way was\nby the river, where nobody went alone.", ""),
        ("The road was under water that winter, and the only way was\nby Hull, where nobody went alone.", ""),
        ("Chapter 1\n\nBy noon he had gone.", ""),
        ("The Fox\nby Ann Lee, author of The Crow", "Ann Lee, author of The Crow"),
        ("The Fox\n\nBY THE AUTHOR OF THE CROW", "The Author of the Crow"),
        ("The Fox\n\nby a Lady", "a Lady"),
        ("The Fox\n\nby Hugo von und zu Hof", "Hugo von und zu Hof"),
        ("Kafka\n\nby 村上春樹", "村上春樹"),
        ("The Fox\n\nby bell hooks", "bell hooks"),
        ("The Fox\n\nby various authors", "various authors"),
        ("The way was long\n\nby noon he had gone\nby the river", ""),
    ],
)
@pytest.mark.parametrize("name", ["file.txt", "file.md"])
def test_a_sentence_that_goes_on_with_by_names_no_author(book, opening, author, name):
    """Guards against a line "by the river" that is taken for the author."""
    if name.endswith(".md"):
        opening = f"# {opening}".replace("\n", "\n\n", 1)
    document = book(f"{opening}\n\n{PROSE}", name=name)
    assert document.author.casefold() == author.casefold()
    assert author or document.title == "File"


def test_a_long_opening_is_a_chapter_of_its_own(book):
    """Guards a preface without a heading, which was joined with the first chapter."""
    document = book(f"{PROSE}\n\n{PROSE}\n\n{PROSE}\n\n{PROSE}\n\nChapter 1\n\n{PROSE}", name="the_way.txt")
    assert titles(document) == ["The Way", "Chapter 1"]


_OPENING = "An opening paragraph of the book, which says a few things about the world."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"# The Fox\n\n{_OPENING}\n\n## One\n\ntext", ["The Fox", "One"]),
        (f"# The Fox\n\n{_OPENING}\n\n## One\n\ntext\n\n## Two\n\ntext", ["The Fox", "One", "Two"]),
        (f"# The Fox\n\n*by Ann Lee*\n\n{_OPENING}\n\n### One\n\ntext", ["The Fox", "One"]),
        (f"The Fox\n=======\n\n{_OPENING}\n\nOne\n---\n\ntext", ["The Fox", "One"]),
        (f"{_OPENING}\n\n## One\n\ntext\n\n## Two\n\ntext", ["File", "One", "Two"]),
        (f"# Chapter 1\n\n{_OPENING}\n\n## One\n\ntext", ["Chapter 1"]),
        ("# The Fox\n\n## One\n\ntext", ["One"]),
        ("# The Fox\n\nFor all who have waited here with me through the long winters.\n\n## One\n\ntext", ["One"]),
        (f"# The Fox\n\n{_OPENING}\n\n— Ann Lee\n\n## One\n\ntext", ["One"]),
        ("# The Fox\n\nFirst published in 2020 by the Harbour Press in the town of Hull.\n\n## One\n\ntext", ["One"]),
    ],
)
def test_an_opening_of_prose_is_no_title_page(book, text, expected):
    """Guards prose between the book's title and its first heading."""
    document = book(text, name="file.md")
    assert titles(document) == expected
    assert document.chapters[-1].paragraphs[-1].text == "text"
    assert not any(paragraph.is_heading for paragraph in paragraphs(document) if paragraph.text == _OPENING)


def test_a_text_without_headings_is_one_chapter(book):
    document = book(f"{PROSE}\n\n{PROSE}", name="two-walks.txt")
    assert titles(document) == ["Two Walks"] == [document.title]
    assert [paragraph.text for paragraph in paragraphs(document)] == [PROSE, PROSE]


@pytest.mark.parametrize("mark", ["* * *", "***", "---", "#", "~~~", "\n\n"])
def test_scene_breaks_become_pauses(book, mark):
    """Guards scene breaks: the marks are not spoken, and leave a pause."""
    document = book(f"{PROSE}\n\n{PROSE}\n\n{PROSE}\n\n{mark}\n\n{PROSE}")
    boundaries = [paragraph.boundary for paragraph in paragraphs(document)]
    assert boundaries == [Boundary.PARAGRAPH, Boundary.PARAGRAPH, Boundary.SCENE, Boundary.PARAGRAPH]
    assert reasons(document) == (["scene break mark"] if mark.strip() else [])


def test_indented_paragraphs_without_blank_lines(book):
    """Guards paragraphs that only have an indent, which became one."""
    indented = "\n".join(f"   {PROSE}" for _ in range(3))
    assert len(paragraphs(book(indented))) == 3


def test_verse_stays_together(book):
    """Guards verse: its indents do not begin paragraphs."""
    verse = (
        "How doth the little crocodile\n  Improve his shining tail,\nAnd pour the waters of the Nile\n  On every scale!"
    )
    assert [paragraph.text for paragraph in paragraphs(book(verse))] == [verse]


def test_a_text_with_one_paragraph_on_each_line(book):
    """Guards texts without blank lines and wrapping, with a paragraph on each line."""
    line = PROSE.replace("\n", " ")
    assert len(paragraphs(book(f"{line}\n“Yes,” she said.\n{line}\n"))) == 3


def test_the_frame_of_project_gutenberg_is_skipped(book):
    """Guards against the licence of Project Gutenberg that is spoken."""
    document = book(
        "The Project Gutenberg eBook of Emma\n\nTitle: Emma\n\nAuthor: Jane Austen\n\n"
        "*** START OF THE PROJECT GUTENBERG EBOOK EMMA ***\n\nProduced by A. Person\n\n\n"
        f"Chapter 1\n\n{PROSE}\n\n[Illustration: A house]\n\n{PROSE}\n\n"
        "*** END OF THE PROJECT GUTENBERG EBOOK EMMA ***\n\nLicence, at length.\n"
    )
    assert (document.title, document.author) == ("Emma", "Jane Austen")
    assert titles(document) == ["Chapter 1"]
    assert reasons(document) == ["header of Project Gutenberg", "illustration", "footer of Project Gutenberg"]
    assert len(paragraphs(document)) == 3


def test_notes_and_page_numbers_in_brackets_are_skipped(book):
    """Guards against notes and page numbers in brackets that are spoken."""
    note = "[Footnote 1: See _The Fox_ [1813],\nvol. 2.\n\nOr not.]"
    more = "[Pg 12]\n\n[Footnote 2: So.]\n[Footnote 3: No.]\n\n[She] left [it].\n\n[Footnote 4: Open.\n\nWords."
    document = book(f"Chapter 1\n\n{PROSE}\n\n{note}\n\n{more}")
    assert [paragraph.text for paragraph in paragraphs(document)] == [
        "Chapter 1", PROSE, "[She] left [it].", "[Footnote 4: Open.", "Words.",
    ]  # fmt: skip
    assert reasons(document) == ["note", "note", "page number", "note"]


MARKDOWN = f"""---
title: "The Fox"
author: A. Person
---

## Contents

- [One](#one)
- [Two](#two)

# Part One

## One

{PROSE}

> Quoted *words*
> on two lines.

- first
- second

***

1. Counted

## Two ##

<!-- a note
to myself -->
![A picture](fox.png)

```python
print("never read")
```

| a | b |
|---|---|

[^1]: A footnote.
[link]: https://example.org

Last words
----------

{PROSE}
"""


def test_markdown(book):
    """Guards against Markdown that is spoken: hashes, bullets, code, tables, comments, link targets."""
    document = book(MARKDOWN, name="fox.md")
    assert (document.title, document.author) == ("The Fox", "A. Person")
    assert titles(document) == ["Part One, One", "Part One, Two", "Part One, Last words"]
    spoken = [plain_words(paragraph.text) for paragraph in paragraphs(document)]
    prose = " ".join(PROSE.split())
    assert spoken == [
        "Part One", "One", prose, "Quoted words on two lines.", "first", "second", "1. Counted",
        "Two", "Last words", prose,
    ]  # fmt: skip
    assert paragraphs(document)[5].boundary is Boundary.SCENE
    assert {"front matter", "table of contents", "comment", "image", "code", "table", "footnote", "link target"} <= set(
        reasons(document)
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# A Book\n\nby A. Person\n\n## One\n\ntext\n\n## Two\n\ntext", ["One", "Two"]),
        ("# One\n\ntext\n\n## Detail\n\ntext\n\n# Two\n\ntext", ["One", "Two"]),
        ("# Part I\n\n## One\n\ntext\n\n# Part II\n\n## Two\n\ntext", ["Part I, One", "Part II, Two"]),
        ("# Chapter 1\n\n## Dawn\n\ntext\n\n# Chapter 2\n\n## Dusk\n\ntext", ["Chapter 1", "Chapter 2"]),
        ("One\n===\n\ntext\n\nTwo\n===\n\ntext", ["One", "Two"]),
        ("# Only\n\ntext", ["Only"]),
        (
            f"# Preface\n\ntext\n\n# The Fox\n\n## One\n\n{PROSE}\n\n## Two\n\n{PROSE}\n\n# Afterword\n\ntext",
            ["Preface", "The Fox, One", "The Fox, Two", "Afterword"],
        ),
        (
            f"# Fox\n\ntext\n\n## Den\n\ntext\n\n# Crow\n\ntext\n\n## Tree\n\ntext\n\n# Hen\n\n## Egg\n\n{PROSE}",
            ["Fox", "Crow", "Hen"],
        ),
    ],
)
def test_the_level_of_chapters_is_found(book, text, expected):
    """Guards chapters at any level of headings."""
    assert titles(book(text, name="book.md")) == expected


def test_title_and_author_from_a_markdown_opening(book):
    document = book("# A Book\n\n*by A. Person*\n\n## One\n\ntext\n\n## Two\n\ntext", name="x.md")
    assert (document.title, document.author) == ("A Book", "A. Person")


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# Emma\n\n## One\n\ntext\n\n## Two\n\ntext", "Emma"),
        ("Emma\n====\n\nOne\n---\n\ntext", "Emma"),
        ("# EMMA\n\n## Part I\n\n### One\n\ntext", "Emma"),
        ("---\ntitle: The Fox\n---\n# Emma\n\n## One\n\ntext", "The Fox"),
        ("# Chapter 1\n\ntext\n\n## Dawn\n\ntext", "File"),
        ("# One\n\ntext\n\n## Dawn\n\ntext\n\n# Two\n\ntext", "File"),
        ("words before\n\n# Emma\n\n## One\n\ntext", "File"),
        ("```\n# a comment\n```\n\n## One\n\ntext\n\n## Two\n\ntext", "File"),
        ("# Only\n\ntext", "File"),
    ],
)
def test_the_title_of_a_markdown_book(book, text, title):
    """Guards the title of a book without a line "by ..."."""
    assert book(text, name="file.md").title == title


def test_chapters_can_be_selected(book):
    text = "\n\n".join(f"Chapter {n}\n\n{PROSE}" for n in range(1, 6))
    assert titles(book(text, chapters="1-2, 4")) == ["Chapter 1", "Chapter 2", "Chapter 4"]
    with pytest.raises(SourceError, match=r"source\.chapters=6\b.*\b5\b"):
        book(text, chapters="6")
    with pytest.raises(SourceError, match=r"source\.chapters=first.*1-3"):
        book(text, chapters="first")


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("a *very* **bold** _word_, __so__ `it` is", "a very bold word, so it is"),
        ("2 * 3, 2*3, snake_case, d**n", "2 * 3, 2*3, snake_case, d**n"),
        ('see [the fox](http://a.org/b_c "t") and [that][ref][^2]', "see the fox and that"),
        ("an exam-\nple of the sister-\nin-law", "an example of the sister-in-law"),
        ("the [Pg 12]fox[Page xii] came", "the fox came"),
        ("a \\*star\\* &amp; b<br>c <i>d</i>", "a *star* & bc d"),
        ("wrapped\n> quoted <!-- no --> line", "wrapped quoted line"),
        ("x < y and y > z, a <b and c> d", "x < y and y > z, a <b and c> d"),
    ],
)
def test_marks_that_are_not_spoken(written, spoken):
    """Guards against stars and link targets that are spoken, and sums and identifiers that lose theirs."""
    assert plain_words(written) == spoken


def test_headings_get_full_stops():
    """Guards the pause between the number and the title of a heading."""
    assert plain_heading("CHAPTER I\n\nDown the Rabbit-Hole") == "CHAPTER I. Down the Rabbit-Hole."
    assert plain_heading("Persuasion\n\nby\n\nJane Austen") == "Persuasion. by Jane Austen."


@pytest.mark.parametrize("ending", ["txt", "md"])
def test_no_character_is_lost(book, ending):
    """Guards all characters: each is in one paragraph or one skip."""
    line = st.sampled_from(
        ["", "", PROSE, "Chapter 1", "CHAPTER II", "PART I", "CONTENTS", "IV", "THE FOX", "***", "---", "===", "# One",
         "## Two", "- point", "> quote", "```", "<!-- a", "b -->", "| t |", "   indented", "[^1]: x", "?!", "By A. B.",
         "---\ntitle: x", "*** START OF THE PROJECT GUTENBERG EBOOK ***", "End of Project Gutenberg", "\u00a0", "\f"]
    )  # fmt: skip

    words = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12)

    @settings(max_examples=150, deadline=None)
    @given(st.lists(line | words, min_size=1, max_size=14))
    def check(lines: list[str]) -> None:
        try:
            book("\n".join(["words", *lines, "words"]), name=f"a.{ending}")
        except SourceError as error:
            assert f"a.{ending}" in str(error)  # noqa: PT017

    check()


def test_books_of_project_gutenberg_that_were_joined_are_all_read(book):
    """Guards the second book: from the end of the first on, everything was taken for its licence."""
    one = (
        "*** START OF THE PROJECT GUTENBERG EBOOK {0} ***\n\nChapter 1\n\n{1}\n\n*** END OF THE PROJECT GUTENBERG EBOOK"
    )
    document = book("\n\nLicence, at length.\n\n".join(one.format(name, PROSE) for name in ("EMMA", "SANDITON")))
    assert len([each for each in paragraphs(document) if each.text == PROSE]) == 2
    assert reasons(document) == [
        "header of Project Gutenberg", "footer of Project Gutenberg", "footer of Project Gutenberg",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("heading", "title"),
    [
        ("C H A P T E R   {}", "Chapter {}"),
        ("C H A P T E R  {}.", "Chapter {}"),
        ("B O O K   {}", "Book {}"),
        ("P A R T   {}", "Part {}"),
    ],
)
def test_letter_spaced_headings(book, heading, title):
    """Bug: a voice spelled them, and the list of chapters said "C H a P T E R"."""
    numbers = ("I", "I I", "I I I")
    document = book("".join(f"{heading.format(number)}\n\n{PROSE}\n\n" for number in numbers))
    assert titles(document) == [title.format(number) for number in ("I", "II", "III")]
    assert spoken_form(heading.format("I I"), "en", True, is_heading=True).endswith("two.")


@pytest.mark.parametrize("line", ["A B C D", "A B C D E F G", "I A M", "x = a b c d e"])
def test_letters_that_are_letters_stay_apart(line):
    assert spoken_form(line, "en", True).replace("equals", "=") == line


def test_the_last_chapter_has_no_number(book):
    document = book("".join(f"CHAPTER THE {each}\n\n{PROSE}\n\n" for each in ("FIRST", "SECOND", "LAST")))
    assert titles(document) == ["Chapter the First", "Chapter the Second", "Chapter the Last"]


def test_markdown_says_its_language(book):
    """Guards dates of British books: 03/04 is in April there."""
    document = book("---\ntitle: A\nlang: en-GB\n---\n\n# One\n\nWords.\n", "a.md")
    assert document.language == "en-GB"
    assert book("---\nlanguage: English\n---\n\n# One\n\nWords.\n", "b.md").language == "en"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Part I\n\n# Part I\n\n{0}\n\n# Part II\n\n{0}", ["Part I", "Part II"]),
        (
            "# Part I\n\n# Part I\n\n## Chapter 1\n\n{0}\n\n## Chapter 2\n\n{0}",
            ["Part I, Chapter 1", "Part I, Chapter 2"],
        ),
        ("# PART I: THE SEA\n\n***\n\n# Part I. The Sea\n\n{0}\n\n# Part II\n\n{0}", ["Part I. The Sea", "Part II"]),
        ("# One\n\n# One\n\n# One\n\n{0}\n\n# Two\n\n{0}", ["One", "Two"]),
        ("# One\n\n{0}\n\n## Notes\n\n## Notes\n\n{0}\n\n# Two\n\n{0}", ["One", "Two"]),
    ],
)
def test_a_heading_that_occurs_twice_in_a_row_is_one(book, text, expected):
    """Guards the page of a part, whose words the first chapter repeats: it was an empty chapter of the same name."""
    document = book(text.format(PROSE), "book.md")
    assert titles(document) == expected
    assert "repeated heading" in reasons(document)
    assert_nothing_lost(document)


def test_repeated_headings_of_plain_text_and_with_words_between(book):
    """Guards plain text likewise, and headings with words of their own, which are two."""
    document = book(f"Chapter 1\n\n\nChapter 1\n\n{PROSE}\n\nChapter 2\n\n{PROSE}")
    assert titles(document) == ["Chapter 1", "Chapter 2"]
    document = book(f"# Part I\n\nBy the sea.\n\n# Part I\n\n{PROSE}\n\n# Part II\n\n{PROSE}", "book.md")
    assert titles(document) == ["Part I", "Part I", "Part II"]
