"""Texts as other programs export them: what of their markup is no word, and what must not be lost with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from epub_files import left_out, read, spoken, write_epub
from test_epub_books import book_of
from test_plain_books import PROSE, book, heard, titles

from pipeline.config import SourceConfig
from pipeline.errors import SourceError
from pipeline.text.readers.dispatch import read_documents
from pipeline.text.spoken_form import spoken_form


def reasons(document: object) -> dict[str, str]:
    return {words: str(reason) for words, reason in left_out(document)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "sound"),
    [
        ("It was {++very++} late {--indeed--} and {~~old~>new~~}.{>>Check this.<<}", "It was very late and new."),
        ("The {==marked==} word.", "The marked word."),
        ("He said so [@smith2004, p. 33] and [see @doe99, pp. 3-5; also @roe].", "He said so and."),
        ("It was so.^1^ And more^12^ came.", "It was so. And more came."),
        ("The 2^nd^ of May, 10^6^ of them.", "The second of May, ten to the power of six of them."),
        ("Words of a block. ^block-id", "Words of a block."),
        ("It was ~~not~~ late, un~~be~~told.", "It was not late, unbetold."),
        ("A {{< figure src='a' >}} and {{ name }} here.", "A and here."),
        ("Add 3⁄4 of it, and 3½ more.", "Add three quarters of it, and three and a half more."),
        ("See @fig-one and @sec-two.", "See and."),
        ("<speak>Hello <break time='1s'/> <emphasis>there</emphasis>.</speak>", "Hello there."),
        ("<summary>More</summary> words<td>cell</td>", "More wordscell"),
    ],
)
def test_marks_of_editors_and_templates_are_not_spoken(written: str, sound: str) -> None:
    """Guards against "plus plus", "at smith" and the words that an editor has deleted."""
    assert spoken_form(written, "en", normalize=True) == sound


@pytest.mark.parametrize("mark", ["[A]", "[1]", "{3}", "[*]", "[[1]](#_ftn1)", "[\\[1\\]](#_ftn1)"])
def test_a_mark_glued_to_a_sentence_belongs_to_it(tmp_path: Path, mark: str) -> None:
    """Guards against a mark that begins the next sentence, where it is read: "A"."""
    document = book(tmp_path, f"Chapter 1\n\nHe went on.{mark} She stayed.\n\nHe went.{mark}")
    assert heard(document) == "Chapter one. He went on. She stayed. He went."


@pytest.mark.parametrize("heading", ["**Chapter {n}: The Oil**", "*Chapter {n}*: The Oil", "__Chapter {n}: The Oil__"])
@pytest.mark.parametrize("ending", ["txt", "md"])
def test_emphasis_is_no_mark_of_a_note(tmp_path: Path, heading: str, ending: str) -> None:
    """Guards a heading in bold against being left out as a note, since an earlier one ends with stars."""
    text = "\n\n".join(f"{heading.format(n=n)}\n\n{PROSE}" for n in (1, 2, 3))
    document = book(tmp_path, text, f"book.{ending}")
    assert titles(document) == [f"Chapter {n}: The Oil" for n in (1, 2, 3)]
    assert not reasons(document)


def test_a_note_with_a_star_stays_a_note(tmp_path: Path) -> None:
    """Guards the note below a text with emphasis."""
    document = book(tmp_path, f"Chapter 1\n\nHe was *very* late.* {PROSE}\n\n* A note of *hers*.")
    assert reasons(document) == {"* A note of *hers*.": "note"}


def test_words_below_a_line_of_symbols_are_spoken(tmp_path: Path) -> None:
    """Guards the rest of a paragraph of Markdown whose first line has no letters: it was left out with that line."""
    document = book(tmp_path, f"# One\n\n…\nHe was late.\n\n“—”\n{PROSE}\n", "book.md")
    assert "He was late." in heard(document)
    assert not any("late" in words for words in reasons(document))


@pytest.mark.parametrize(
    ("front", "author"),
    [
        ("Title: The Fox\nAuthor: Ann Lee\nBase Header Level: 2\n\n", "Ann Lee"),
        ('+++\ntitle = "The Fox"\nauthor = "Ann Lee"\n+++\n\n', "Ann Lee"),
        ("---\ntitle: The Fox\nauthor: Ann Lee\n...\n\n", "Ann Lee"),
    ],
)
def test_front_matter_of_other_programs(tmp_path: Path, front: str, author: str) -> None:
    """Guards the fields of MultiMarkdown (Scrivener) and TOML against being spoken."""
    document = book(tmp_path, f"{front}## One\n\n{PROSE}\n\n## Two\n\n{PROSE}\n", "book.md")
    assert (document.title, document.author, titles(document)) == ("The Fox", author, ["One", "Two"])
    assert reasons(document)[front.rstrip("\n") + "\n"] == "front matter"


@pytest.mark.parametrize(
    "authors", ["[Ann Lee, Bob Ray]", "\n- Ann Lee\n- 'Bob Ray'", "\n  - name: Ann Lee\n  - name: Bob Ray"]
)
def test_several_authors(tmp_path: Path, authors: str) -> None:
    """Guards the author of a book against being "[Ann Lee, Bob Ray]", or nobody."""
    document = book(tmp_path, f"---\ntitle: The Fox\nauthor: {authors}\n---\n\n# One\n\n{PROSE}\n", "book.md")
    assert document.author == "Ann Lee, Bob Ray"


def test_notes_that_pandoc_makes_of_those_of_word(tmp_path: Path) -> None:
    """Guards against "one, hashtag ftnref one", and a heading that is lost behind the name of its place."""
    text = f"[]{{#_Toc1 .anchor}}**CHAPTER ONE**\n\n{PROSE}[[1]](#_ftn1)\n\n**CHAPTER TWO**\n\n{PROSE}\n\n"
    document = book(tmp_path, f"{text}[\\[1\\]](#_ftnref1) A note.\n", "book.md")
    assert titles(document) == ["Chapter One", "Chapter Two"]
    assert "footnote" in reasons(document).values()
    assert "ftn" not in heard(document)


def test_a_play_is_no_front_matter(tmp_path: Path) -> None:
    """Guards speeches, which look like fields."""
    document = book(tmp_path, f"Ann: Who is there?\nBob: It is I.\n\n{PROSE}\n", "play.md")
    assert "Who is there?" in heard(document)


@pytest.mark.parametrize(
    "table",
    [
        "  Right     Left\n-------  ------\n     12   12\n    123   123",
        "-------  ------\n     12   12\n    123   123\n-------  ------",
        "-----------------\n Right    Left\n-------  -------\n    12  twelve\n\n   123  many\n-----------------",
    ],
)
def test_tables_without_bars_are_left_out(tmp_path: Path, table: str) -> None:
    """Guards against the figures of a table of Pandoc in the middle of a chapter."""
    document = book(tmp_path, f"# One\n\n{PROSE}\n\n{table}\n\n{PROSE}\n", "book.md")
    assert [reason for words, reason in reasons(document).items() if "12" in words] == ["table"]
    assert heard(document).count("It was a long way") == 2
    assert "twelve" not in heard(document)


@pytest.mark.parametrize("mark", ["--- --- ---", "-- --"])
def test_a_line_of_dashes_between_scenes_is_no_table(tmp_path: Path, mark: str) -> None:
    """Guards the prose around it, which would be left out as the table's rows."""
    text = f"# One\n\n{PROSE}\n\n{mark}\n\n{PROSE}\n{mark}\n{PROSE}\n\n{mark}\n{PROSE}\n\n{mark}\n\n{PROSE}\n"
    document = book(tmp_path, text, "book.md")
    assert set(reasons(document).values()) == {"scene break mark", "markup"}
    assert heard(document).count("It was a long way") == 5


def test_more_marks_of_markdown_are_not_spoken(tmp_path: Path) -> None:
    """Guards against "note" of a call-out, "at" of an example, and a scene without its pause."""
    text = (
        f"# One\n\n> [!note] A title\n> Its words.\n\n(@) An example.\n\n#. First item.\n\n\\* \\* \\*\n\n{PROSE}\n\n"
        "* [Start](README.md)\n* [Oil](oil.md)\n    * [Wick](oil/wick.html#a)\n"
    )
    document = book(tmp_path, text, "book.md")
    assert heard(document).startswith("One. A title Its words. An example. First item. It was")
    found = reasons(document)
    assert found["\\* \\* \\*"] == "scene break mark"
    assert next(reason for words, reason in found.items() if "Start" in words) == "table of contents"
    assert next(reason for words, reason in found.items() if "Wick" in words) == "table of contents"


@pytest.mark.parametrize(("opening", "closing"), [("= ", " ="), ("== ", " =="), ("= ", "")])
def test_headings_between_signs_of_equality(tmp_path: Path, opening: str, closing: str) -> None:
    """Guards against "equals equals One": headings of wikis and of AsciiDoc."""
    text = "\n\n".join(f"{opening}{title}{closing}\n\n{PROSE}" for title in ("The Oil", "The Wick"))
    assert titles(book(tmp_path, text)) == ["The Oil", "The Wick"]


def test_what_a_transcriber_says_is_left_out(tmp_path: Path) -> None:
    """Guards against notes on the digital edition and in the margin, before and behind the book."""
    notes = 'TRANSCRIBER\'S NOTES\n\nErrors were mended.\n\nPage 2, "teh" to "the".\n'
    side = "[Sidenote: The storm\nbegins.]"
    text = f"{notes}\n\n\nCHAPTER I\n\n{PROSE}\n\n{side}\n\n{PROSE}\n\n\n\n\nCHAPTER II\n\n{PROSE}\n\n\n\n\n{notes}"
    document = book(tmp_path, text)
    assert titles(document) == ["Chapter I", "Chapter II"]
    assert [reason for _, reason in left_out(document)].count("notice of Project Gutenberg") == 6
    assert reasons(document)[side] == "note in the margin"
    assert "mended" not in heard(document)
    text = f"{notes}\n\n" + "\n\n".join([PROSE] * 9)
    assert heard(book(tmp_path, text)).count("It was a long way") == 9, "where the book begins cannot be told"


# EPUB


def test_empty_lines_end_paragraphs(tmp_path: Path) -> None:
    """Guards the pauses of a chapter whose paragraphs are only parted by two line ends."""
    body = "<h1>One</h1><div><i>First is</i> here.<br/><br/>Second<br/>\n&#160;<br/><i>Third<br/><br/>Fourth</i></div>"
    assert spoken(book_of(tmp_path, body)) == ["One", "First is here.", "Second", "Third", "Fourth"]


def test_links_for_finding_the_way_are_left_out(tmp_path: Path) -> None:
    """Guards against "Back to top" at the end of each chapter; other links are words."""
    links = (
        '<p><a href="#t">Back to top</a></p><p>[<a href="b">Next chapter</a> | <a href="c">Table of Contents</a>]</p>'
    )
    document = book_of(tmp_path, f'<h1>One</h1><p>{PROSE}</p>{links}<p><a href="d">The top of the hill</a></p>')
    assert set(reasons(document).values()) == {"navigation link"}
    assert spoken(document)[-1] == "The top of the hill"


@pytest.mark.parametrize("alt", ["T", "Dropcap T", "Ornate initial letter: T", "drop-cap T"])
def test_the_picture_of_a_letter_gives_the_letter(tmp_path: Path, alt: str) -> None:
    """Guards against "dropcap T he end"."""
    body = f'<h1>One</h1><p><img class="dropcap" src="t.png" alt="{alt}"/>he end came.</p>'
    assert spoken(book_of(tmp_path, body)) == ["One", "The end came."]


def test_a_page_of_one_note_with_two_paragraphs(tmp_path: Path) -> None:
    """Guards against the second paragraph of a note that has a page of its own, as Calibre makes them."""
    pages = {
        "a.xhtml": f'<h1>One</h1><p>Word<a id="r" href="b.xhtml#n"><sup>1</sup></a> here.</p><p>{PROSE}</p>',
        "b.xhtml": '<p><a id="n" href="a.xhtml#r"><sup>1</sup></a> The note of it.</p><p>Its second paragraph.</p>',
    }
    found = reasons(read(write_epub(tmp_path / "b.epub", pages)))
    assert (found["The note of it."], found["Its second paragraph."]) == ("note", "note")


def test_a_picture_of_a_heading_gives_its_words(tmp_path: Path) -> None:
    """Guards a book without chapters, as their headings are painted; of other pictures nothing is spoken."""
    body = "".join(
        f'<h1><img src="{alt}.png" alt="{alt}"/></h1><p>{PROSE}</p>'
        for alt in ("Chapter One", "A sprig", "Chapter Two")
    )
    assert titles(book_of(tmp_path, body)) == ["Chapter One", "Chapter Two"]


def test_raised_signs_are_marks_of_the_notes_below(tmp_path: Path) -> None:
    """Guards the words of notes whose marks are raised characters; powers stay."""
    body = f"<h1>One</h1><p>He came¹ home.² It has 10² m² and (a)².</p><p>{PROSE}</p><p>¹ First.</p><p>² Second.</p>"
    document = book_of(tmp_path, body)
    assert reasons(document) == {"¹": "note reference", "²": "note reference", "¹ First.": "note", "² Second.": "note"}
    assert "10² m² and (a)²" in spoken(document)[1]


def test_raised_parts_of_fractions_and_degrees(tmp_path: Path) -> None:
    """Guards against "four inch" where three quarters were meant."""
    body = "<h1>One</h1><p>Add <sup>3</sup>⁄<sub>4</sub> of it at 20<sup>o</sup>C.</p>"
    assert "three quarters of it at twenty degrees Celsius" in heard(book_of(tmp_path, body))


def test_notes_in_the_margin_are_left_out(tmp_path: Path) -> None:
    """Guards against a sidenote between two sentences, and the box of a transcriber."""
    body = (
        f'<h1>One</h1><div class="sidenote">The storm.</div><p>{PROSE}<span class="marginnote">1703</span></p>'
        '<div class="transnote"><p>Errors were mended.</p></div>'
    )
    assert reasons(book_of(tmp_path, body)) == {
        "The storm.": "note in the margin",
        "1703": "note in the margin",
        "Errors were mended.": "notice of Project Gutenberg",
    }


def test_more_classes_and_ornaments(tmp_path: Path) -> None:
    """Guards against numbers of lines and running heads that are spoken, and ornaments without a pause."""
    body = (
        f'<h1>One</h1><p class="running-head">The Fox</p><div class="l">and another<span class="ln">10</span></div>'
        f"<p>{PROSE}</p><p>❦</p><p>{PROSE}</p>"
    )
    assert reasons(book_of(tmp_path, body)) == {
        "The Fox": "running head",
        "10": "line number",
        "❦": "scene break mark",
    }


# Tables


def rows(path: Path, content: str) -> list[str]:
    path.write_text(content, encoding="utf-8")
    return [row.text for row in read_documents(str(path), SourceConfig())]


def test_the_line_that_excel_takes_for_the_separator_is_no_header(tmp_path: Path) -> None:
    """Guards a table with "sep=;" in its first line against having no columns."""
    assert rows(tmp_path / "a.csv", 'sep=;\nid;text\n1;Hello, there.\n2;"A; b."\n') == ["Hello, there.", "A; b."]


def test_marks_with_a_backslash_are_not_read_wrongly(tmp_path: Path) -> None:
    """Guards against texts that lose their quotation marks, or a part of their cell."""
    with pytest.raises(SourceError, match=r"line 2.*backslash"):
        rows(tmp_path / "a.csv", 'id,text\n1,"He said \\"no\\" twice."\n')
