"""The header and the licence of Project Gutenberg around a book, in every format of books."""

from __future__ import annotations

from pathlib import Path

import pytest
from epub_files import entry, left_out, read, spoken, write_epub

START = "*** START OF THE PROJECT GUTENBERG EBOOK EMMA ***"
END = "*** END OF THE PROJECT GUTENBERG EBOOK EMMA ***"
HEADER = ["The Project Gutenberg eBook of Emma", "This eBook is for the use of anyone anywhere.", "Title: Emma", START]
FOOTER = [END, "Please read this before you distribute or use this work.", "Section 1. General Terms of Use"]
SENTENCE = "It was dark, and nobody spoke on the quay for a long while."
METADATA = "<dc:title>Emma</dc:title>"


def paragraphs(words: list[str]) -> str:
    return "".join(f"<p>{each}</p>" for each in words)


CHAPTER = f"<h2>Chapter 1</h2><p>{SENTENCE}</p>"
EPUBS = {
    "paragraphs of the first and the last page": {
        "a": f"{paragraphs([*HEADER, 'Produced by An Anonymous Volunteer'])}{CHAPTER}{paragraphs(FOOTER)}"
    },
    "pages of their own, and more of the licence behind": {
        "h": f"<h1>The Project Gutenberg eBook of Emma</h1>{paragraphs(HEADER)}",
        "a": CHAPTER,
        "f": paragraphs(FOOTER),
        "g": "<h2>Section 2</h2><p>Information about the mission.</p>",
    },
    "preformatted": {
        "a": "<pre>The Project Gutenberg EBook of Emma\n\n*** START OF THIS PROJECT GUTENBERG EBOOK EMMA ***\n\n"
        f"E-text prepared by Them\nand others\n</pre>{CHAPTER}<pre>End of Project Gutenberg's Emma\n\nLicence</pre>"
    },
    "one block for each, with line ends": {
        "a": f"<div>Emma<br/>***START OF THE PROJECT GUTENBERG EBOOK<br/>EMMA***<br/>Produced by Me</div>{CHAPTER}"
        f"<div>{END}<br/>Licence</div>"
    },
    "credits of several paragraphs": {
        "a": f"{paragraphs([START, 'Produced by Me', 'This file was produced from scans of a library.'])}{CHAPTER}"
        "<p>End of the Project Gutenberg EBook of Emma, by Jane Austen</p><p>Licence</p>"
    },
}


@pytest.mark.parametrize("name", EPUBS)
@pytest.mark.parametrize("has_contents", [False, True])
def test_the_frame_of_an_epub_without_classes_is_left_out(tmp_path: Path, name: str, has_contents: bool) -> None:
    """Guards old EPUBs of Project Gutenberg, whose header and licence were spoken, and were chapters."""
    pages = EPUBS[name]
    nav = "".join(entry(page, "Chapter 1" if "Chapter 1" in pages[page] else f"Page {page}") for page in pages)
    path = write_epub(tmp_path / "b.epub", pages, nav=nav if has_contents else "", metadata=METADATA)
    document = read(path)
    assert spoken(document) == ["Chapter 1", SENTENCE]
    assert [chapter.title for chapter in document.chapters] == ["Chapter 1"]
    reasons = {reason for _, reason in left_out(document)}
    assert reasons <= {f"{part} of Project Gutenberg" for part in ("header", "footer", "notice")}


def test_words_beside_the_lines_of_the_frame_are_spoken(tmp_path: Path) -> None:
    """Guards the last words of a book in the block where its footer begins."""
    body = f"<h2>Chapter 1</h2><p>{SENTENCE}</p><div>The end came.<br/>{END}<br/>Licence</div>"
    document = read(write_epub(tmp_path / "b.epub", {"a": body}))
    assert spoken(document) == ["Chapter 1", SENTENCE, "The end came."]
    assert left_out(document) == [(f"{END}\nLicence", "footer of Project Gutenberg")]


def test_a_book_about_project_gutenberg_is_spoken(tmp_path: Path) -> None:
    """Guards books that only mention it, and those that somebody produced."""
    words = ["Produced by hand, the lamps were dear.", "The Project Gutenberg eBook of Emma lay open.", SENTENCE]
    assert spoken(read(write_epub(tmp_path / "b.epub", {"a": paragraphs(words)}))) == words


@pytest.mark.parametrize("star", ["*", "\\*"])
def test_the_frame_in_markdown_is_left_out(tmp_path: Path, star: str) -> None:
    """Guards books that were converted to Markdown, where a backslash may stand before each star."""
    lines = [*HEADER, "Produced by Me", f"# Chapter 1\n\n{SENTENCE}", *FOOTER]
    path = tmp_path / "b.md"
    path.write_text("\n\n".join(lines).replace("***", star * 3), encoding="utf-8")
    document = read(path)
    assert spoken(document) == ["Chapter 1", SENTENCE]
    assert {reason for _, reason in left_out(document)} >= {
        "header of Project Gutenberg",
        "footer of Project Gutenberg",
    }
