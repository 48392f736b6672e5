"""Real books in EPUB: what publishers, word processors and converters write, and what is heard of it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from epub_files import entry, left_out, page, point, read, spoken, write_epub
from growth import assert_linear

from pipeline.config import SourceConfig, TextConfig
from pipeline.errors import SourceError
from pipeline.planning import PlanSummary, left_out_of
from pipeline.text.readers.dispatch import check_source, read_cover_of, read_documents
from pipeline.text.readers.epub import archive
from pipeline.text.readers.epub.styles import StyleSheets
from pipeline.text.readers.epub.superscripts import classify_superscript
from pipeline.text.segmentation import segment_document
from pipeline.types import Document

PROSE = "The morning was grey and the harbour lay still, and nobody spoke on the quay for a long while. " * 6


def titles(document: Document) -> list[str]:
    return [chapter.title for chapter in document.chapters]


def heard(document: Document) -> str:
    return " ".join(segment.spoken for segment in segment_document(document, TextConfig(), lambda text: len(text) / 15))


def reasons(document: Document) -> dict[str, str]:
    return {words: str(reason) for words, reason in left_out(document)}


def book_of(path: Path, body: str, **more: object) -> Document:
    return read(write_epub(path / "b.epub", {"a.xhtml": body}, **more))  # type: ignore[arg-type]


# Tables


@pytest.mark.parametrize(
    ("table", "is_text"),
    [
        (f'<tr><td epub:type="z3998:persona">Anna</td><td>{PROSE}</td></tr>', True),
        (f"<tr><td>Anna</td><td>{PROSE}</td></tr><tr><td>Brent</td><td>No.</td></tr>", True),
        (
            "<tr><td>The wind went over the wall</td><td>5</td></tr><tr><td>and nobody heard it</td><td>6</td></tr>",
            True,
        ),
        ("<tr><td>A letter.</td></tr>", True),
        ("<tr><th>Name</th><th>Age</th></tr><tr><td>Ann</td><td>9</td></tr>", False),
        ("<tr><td>1901</td><td>12.5</td><td>300</td></tr><tr><td>1902</td><td>13.5</td><td>310</td></tr>", False),
    ],
)
def test_tables_of_prose_are_text_and_tables_of_figures_are_not(tmp_path: Path, table: str, is_text: bool) -> None:
    """Guards text in tables: a play lost 96 % of its words."""
    document = book_of(tmp_path, f"<h1>One</h1><p>Words.</p><table>{table}</table>")
    assert ("table" in reasons(document).values()) is not is_text


def test_a_row_of_a_play_has_its_speaker_first(tmp_path: Path) -> None:
    """Guards names of speakers, which are too short to be spoken alone."""
    table = "<table><tr><td>Anna</td><td><p>Who is there, at this hour?</p><p>Speak up.</p></td></tr></table>"
    assert spoken(book_of(tmp_path, f"<h1>One</h1>{table}")) == [
        "One",
        "Anna\nWho is there, at this hour?",
        "Speak up.",
    ]


# Chapters


@pytest.mark.parametrize("nav", ["", entry("a.xhtml#c", "One")])
@pytest.mark.parametrize("title", ["<h1>The Fox</h1>", ""])
def test_an_opening_of_prose_is_not_spoken_in_the_first_chapter(tmp_path: Path, title: str, nav: str) -> None:
    """Guards prose above the first heading, which was spoken in the chapter below it."""
    opening = "<p>The town had been asleep for years when the first boat came in from the sea.</p>"
    body = f"{title}{opening}<h2 id='c'>One</h2><p>{PROSE}</p>"
    document = book_of(tmp_path, body, nav=nav)
    assert titles(document) == ["The Fox", "One"]
    assert document.chapters[1].paragraphs[0].text == "One"


def test_a_half_title_with_a_subtitle_does_not_swallow_its_chapters(tmp_path: Path) -> None:
    """Guards a half title with text below it: Moby Dick had 5 chapters of 145."""
    pages = {"ded": "<h2>Dedication</h2><p>To all who wait.</p>", "half": "<h2>The Light</h2><p>or, The Keeper</p>"}
    pages |= {name: f"<h2>{name}</h2><p>The Boat</p><p>{PROSE}</p>" for name in ("I", "II", "III")}
    inner = "".join(entry(name, f"{name}: The Boat") for name in ("I", "II", "III"))
    nav = entry("ded", "Dedication") + entry("half", "The Light", inner)
    document = read(write_epub(tmp_path / "b.epub", pages, nav=nav))
    assert titles(document) == ["Dedication", "The Light", *(f"The Light, {n}: The Boat" for n in ("I", "II", "III"))]
    assert "one. The Boat." in heard(document), "a numeral alone is a number, and no pronoun"


def test_headings_below_the_entries_are_no_chapters(tmp_path: Path) -> None:
    """Guards against sections that become chapters because most text is below them."""
    body = f"<h1>{{}}</h1><h2>First</h2><p>{PROSE}</p><h2>Second</h2><p>{PROSE}</p>"
    pages = {name: body.format(name) for name in ("Boat", "Lamp")}
    nav = "".join(entry(name, name) for name in pages)
    assert titles(read(write_epub(tmp_path / "b.epub", pages, nav=nav))) == ["Boat", "Lamp"]


def test_stories_in_numbered_parts_stay_whole_and_parts_do_not(tmp_path: Path) -> None:
    """Guards a story in I, II, III among others, which became three chapters, and parts, which became one."""
    pages = {"s": f"<h2>The Fox</h2><h3 id='a'>I</h3><p>{PROSE}</p><h3 id='b'>II</h3><p>{PROSE}</p>"}
    pages |= {"t": f"<h2>The Hen</h2><p>{PROSE * 2}</p>", "u": f"<h2>The Crow</h2><p>{PROSE * 2}</p>"}
    nav = entry("s", "The Fox", entry("s#a", "I") + entry("s#b", "II")) + entry("t", "The Hen") + entry("u", "The Crow")
    assert titles(read(write_epub(tmp_path / "a.epub", pages, nav=nav))) == ["The Fox", "The Hen", "The Crow"]
    pages = {"p": "<h1>The Sea</h1>", "c": f"<h2>Salt</h2><p>{PROSE}</p>", "d": f"<h2>Foam</h2><p>{PROSE}</p>"}
    pages["e"] = f"<h1>After</h1><p>{PROSE * 3}</p>"
    nav = entry("p", "The Sea", entry("c", "Salt") + entry("d", "Foam")) + entry("e", "After")
    document = read(write_epub(tmp_path / "b.epub", pages, nav=nav))
    assert titles(document) == ["The Sea, Salt", "The Sea, Foam", "After"]


@pytest.mark.parametrize("fragment", ["#nothere", "#top", ""])
def test_an_entry_with_a_missing_fragment_points_to_the_top_of_its_page(tmp_path: Path, fragment: str) -> None:
    """Guards entries whose ids are not in the pages: their chapters were merged into one."""
    pages = dict.fromkeys(("a", "b", "c"), f"<p>{PROSE}</p>")
    nav = "".join(entry(name + fragment, f"The {name}") for name in pages)
    assert titles(read(write_epub(tmp_path / "b.epub", pages, nav=nav))) == ["The a", "The b", "The c"]


@pytest.mark.parametrize("markup", ["<p>{}</p>", "<p><b>{}</b></p>", '<p class="c">{}</p>', "<center>{}</center>"])
@pytest.mark.parametrize("nav", ["", " "])
def test_without_contents_lines_that_read_like_headings_are_headings(tmp_path: Path, markup: str, nav: str) -> None:
    """Guards books with an empty table of contents or none, which were one chapter."""
    pages = {str(n): f"{markup.format(f'Chapter {n}')}<p>{PROSE}</p>" for n in (1, 2, 3)}
    assert titles(read(write_epub(tmp_path / "b.epub", pages, nav=nav))) == ["Chapter 1", "Chapter 2", "Chapter 3"]


def test_chapters_go_on_where_the_contents_stop(tmp_path: Path) -> None:
    """Guards a table of contents with one entry: the book was one chapter, or its first had no title."""
    pages = {str(n): f"<h2>Chapter {n}</h2><p>{PROSE}</p><h3>Later</h3><p>{PROSE}</p>" for n in (1, 2, 3)}
    document = read(write_epub(tmp_path / "b.epub", pages, ncx=point("1", "The Whole Book")))
    assert titles(document) == ["The Whole Book", "Chapter 2", "Chapter 3"]
    assert spoken(document)[0] == "Chapter 1", "what is printed is spoken"


@pytest.mark.parametrize("title", ["Starting Over", "Copyright Wars", "Title", "Cover", "Start"])
def test_titles_of_chapters_may_be_those_of_front_matter(tmp_path: Path, title: str) -> None:
    """Guards a chapter with the title "Cover", which was added to the one before."""
    pages = {"a": f"<p>{PROSE}</p>", "b": f"<p>{PROSE}</p>"}
    document = read(write_epub(tmp_path / "b.epub", pages, ncx=point("a", "Home") + point("b", title)))
    assert titles(document) == ["Home", title]


@pytest.mark.parametrize(
    ("markup", "entry_title", "title", "sound"),
    [
        ("<h1>01</h1><h2>A Letter Arrives</h2>", "01", "01: A Letter Arrives", "one. A Letter Arrives."),
        ("<h1>02<br/>The Reply</h1>", "02 The Reply", "02: The Reply", "two. The Reply."),
        ('<p class="num">03</p><p class="title">The Silence</p>', "03", "03: The Silence", "three. The Silence."),
        ("<h1><span>04</span> <span>The Visit</span></h1>", "04 The Visit", "04: The Visit", "four. The Visit."),
        ("<h1><span>V</span><span>The Visit</span></h1>", "V The Visit", "V: The Visit", "five. The Visit."),
        ("<h1>Chapter 1<span>The Sill</span></h1>", "Chapter 1", "Chapter 1: The Sill", "Chapter one. The Sill."),
        ("<h1><small>I</small><b>THE FOX</b></h1>", "I", None, "one."),
        ("<h1>C<small>HAPTER</small> O<small>NE</small></h1>", "Chapter One", "Chapter One", "Chapter one."),
        ("<h1>I</h1>", "I: The Boat", "I: The Boat", "one."),
        ("<h1>- 7 -</h1>", "7", "- 7 -", "seven."),
        ("<hgroup><h2>I</h2><p>The Sill</p></hgroup>", "I: The Sill", "I: The Sill", "one. The Sill."),
    ],
)
def test_number_and_title_are_two_lines(
    tmp_path: Path, markup: str, entry_title: str, title: str | None, sound: str
) -> None:
    """Guards numbers of headings: "Chapter 1The Sill", "zero one", and "I" as the pronoun."""
    pages = {"a": f"{markup}<p>The letter was blue, and it had no stamp.</p>", "b": "<h1>Next</h1><p>More words.</p>"}
    document = read(write_epub(tmp_path / "b.epub", pages, nav=entry("a", entry_title) + entry("b", "Next")))
    assert title is None or document.chapters[0].title == title
    assert heard(document).lower().startswith(sound.lower())


def test_a_guide_is_believed_only_where_the_page_looks_like_it(tmp_path: Path) -> None:
    """Guards a first chapter that a guide calls a table of contents, which was left out."""
    pages = {"a": f"<h1>The Boat</h1><p>{PROSE}</p>", "b": f"<h1>The Lamp</h1><p>{PROSE}</p>"}
    guide = '<reference type="toc" href="a"/><reference type="copyright-page" href="b"/>'
    assert titles(read(write_epub(tmp_path / "b.epub", pages, guide=guide))) == ["The Boat", "The Lamp"]


# Notes


@pytest.mark.parametrize(
    "mark",
    [
        "<sup>1</sup>", '<a href="#n1">1</a>', '<a href="#n1">[1]</a>', '<a class="noteref" href="#n1">1</a>',
        '<a href="n.xhtml"><sup>1</sup></a>', '<span class="super">1</span>',
        '<a href="#n"><span class="sup">12</span></a>',
        "<sup>a</sup>", "<sup>†</sup>", "<sup>1,2</sup>", "*", "[1]", "<sup>[3]</sup>", "<sup>12–14</sup>",
        '<span class="CharOverride-1"><a class="_idFootnoteLink" href="a.xhtml#fn-1">1</a></span>',
        '<a href="#_ftn1"><span class="MsoFootnoteReference">[1]</span></a>', '<sup><a href="#fn:1">1</a></sup>',
        '<a role="doc-noteref" href="#n1">1</a>', '<span style="vertical-align:super;font-size:70%">1</span>',
        '<small class="calibre-superscript">2</small>', '<a epub:type="noteref" href="#n">*</a>',
    ],
)  # fmt: skip
def test_no_mark_of_a_note_is_spoken(tmp_path: Path, mark: str) -> None:
    """Guards against note marks that are spoken: "hand.one It", or 1914 with a mark as nineteen thousand."""
    body = f"<h1>One</h1><p>It was built by hand.{mark} It held in 1914{mark} and then it broke.</p>"
    assert spoken(book_of(tmp_path, body)) == ["One", "It was built by hand. It held in 1914 and then it broke."]


@pytest.mark.parametrize(
    "notes",
    [
        '<hr/><p id="n1">1. A note on the dam.</p><p id="n2"><a href="#r2">2</a> On years.</p>',
        '<div><hr/><div id="x"><p><a href="#r2" name="n2">[2]</a> On years.</p></div></div>',
        '<ol><li id="n2"><p>On years. <a href="#r2">↩︎</a></p></li></ol>',
        "<h2>Footnotes</h2><p>1. A note on the dam.</p><p>2. On years.</p>",
        '<aside epub:type="footnote" id="n2"><p>2 On years.</p></aside>',
        "<p>1. A note on the dam.</p><p>2. On years.</p>",
        "<h3>Notes</h3><ol><li>A note on the dam.</li><li>On years.</li></ol>",
    ],
)
def test_no_note_is_spoken(tmp_path: Path, notes: str) -> None:
    """Guards against notes that are spoken at the end of each chapter."""
    body = '<h1>One</h1><p>The dam was old.<sup>1</sup> It held.<a href="#n2" id="r2"><sup>2</sup></a></p>'
    document = book_of(tmp_path, body + notes)
    assert spoken(document) == ["One", "The dam was old. It held."]
    assert all(reason in ("note", "note reference") for reason in reasons(document).values())


def test_a_list_and_a_chapter_are_no_notes(tmp_path: Path) -> None:
    """Guards against lists and chapters that are left out as notes."""
    pages = {
        "a": '<h1>One</h1><p>He did three things, see <a href="b">2</a>.</p><ol><li>Wash.</li><li>Dry.</li></ol>',
        "b": f'<h1 id="x">Notes</h1><p>{PROSE}</p><p>1914 was dry.</p>',
    }
    document = read(write_epub(tmp_path / "b.epub", pages))
    assert {"Wash.", "Dry.", "Notes", "1914 was dry."} <= set(spoken(document))


@pytest.mark.parametrize(
    ("before", "text", "after", "expected"),
    [
        ("It took 10", "6", " years", "POWER"), ("E=mc", "2", ".", "POWER"), ("5 m", "3", "", "POWER"),
        ("an area of 20 km", "2", " of", "POWER"), ("x", "n", "", "POWER"), ("the 2", "nd", " man", "PART"),
        ("M", "r", ". Hill", "PART"), ("le 1", "er", " mai", "PART"), ("See page 12", "3", ". In", "NOTE_MARK"),
        ("In 1914", "5", " war", "NOTE_MARK"), ("The end.", "12", "", "NOTE_MARK"), ("so did I", "2", ",", "NOTE_MARK"),
        ("years", "a", " and", "NOTE_MARK"), ("", "16", "For the", "VERSE_NUMBER"),
        ("lit, ", "17", "and", "VERSE_NUMBER"),
        ("on page 10", "2", ".", "NOTE_MARK"), ("Brand", "new words", "", "WORDS"),
    ],
)  # fmt: skip
def test_what_raised_text_is(before: str, text: str, after: str, expected: str) -> None:
    """Guards exponents and note marks: 10 to the sixth was 106, and page 12 with a note was page 123."""
    assert classify_superscript(before, text, after).name == expected


def test_lowered_text_is_read_and_never_glued(tmp_path: Path) -> None:
    """Guards subscripts: x with the index i was "xi"."""
    body = "<p>H<sub>2</sub>O, SO<sub>4</sub><sup>2-</sup>, x<sub>i</sub>, log<sub>10</sub>5, 10<sup>6</sup> y.</p>"
    words = spoken(book_of(tmp_path, body))[0]
    assert words.startswith("H2O, SO4")
    assert "42" not in words
    assert words.endswith("x i, log10 5, 10⁶ y.")


# What stands around the chapters


def test_front_matter_is_left_out_and_the_dedication_is_spoken(tmp_path: Path) -> None:
    """Guards against title pages, imprints, contents and advertisements that are spoken."""
    pages = {
        "title": "<h1>The Fox</h1><p>by Ann Lee</p><p>Small House Press</p>",
        "copy": "<p>Copyright © 2021 Ann Lee</p><p>All rights reserved.</p><p>ISBN 978-3-16-148410-0</p>",
        "toc": '<h1>Contents</h1><p><a href="c1">Chapter 1</a> 1</p><p>Chapter 2 ..... 9</p>',
        "ded": "<p>For the lighthouse.</p>",
        "c1": f"<h1>Chapter 1</h1><p>{PROSE}</p>",
        "c2": f"<h1>Chapter 2</h1><p>{PROSE}</p>",
        "bib": "<h1>Bibliography</h1><p>Hill, A. (1999). Lamps. Town: Press.</p>",
        "index": "<h1>Index</h1><p>lamp, 4, 5, 12-15</p><p>oil, 3</p>",
        "also": "<h1>Also by Ann Lee</h1><p>The Other Book</p>",
        "last": "<p>Copyright © 2020 Ann Lee. All rights reserved.</p>",
    }
    names = {"title": "Title Page", "copy": "Copyright", "toc": "Contents", "ded": "Dedication"}
    ncx = "".join(
        point(name, names.get(name, f"Chapter {name[1:]}")) for name in ("title", "copy", "toc", "ded", "c1", "c2")
    )
    document = read(write_epub(tmp_path / "b.epub", pages, ncx=ncx))
    assert titles(document) == ["Dedication", "Chapter 1", "Chapter 2"]
    found = set(reasons(document).values())
    assert found == {"title page", "imprint", "table of contents", "bibliography", "index", "list of other books"}
    assert not PlanSummary("flac", 44100, 86.0).left_out.warnings


@pytest.mark.parametrize("title", ["Index", "Notes", "Contents", "Sources", "Also by the Sea", "Copyright"])
def test_a_chapter_is_not_left_out_for_its_title(tmp_path: Path, title: str) -> None:
    """Guards chapters of prose with titles such as "Index", which were left out."""
    pages = {"a": f"<h1>{title}</h1><p>{PROSE}</p><p>{PROSE}</p>", "b": f"<h1>Last</h1><p>{PROSE}</p>"}
    nav = entry("a", title) + entry("b", "Last")
    assert len(spoken(read(write_epub(tmp_path / "b.epub", pages, nav=nav)))) == 5


# Elements


@pytest.mark.parametrize(
    ("markup", "heard_words", "left_out_words"),
    [
        ('<p>She <span epub:type="pagebreak">6</span>went <span class="page">10</span>on.</p>', "She went on.", "6 10"),
        ('<p><span epub:type="pagebreak">‘But</span> why?’</p>', "‘But why?’", ""),
        ('<div>It was grey,<span class="lnum">10</span></div>', "It was grey,", "10"),
        ('<p class="gone">Hidden.</p><p>Seen.</p>', "Seen.", "Hidden."),
        ('<p aria-hidden="true">Hidden.</p><p hidden="until-found">Too.</p><p>Seen.</p>', "Seen.", "Hidden. Too."),
        ('<p class="kindle">Seen.</p>', "Seen.", ""),
        ("<p>Press <button>the button</button> now.</p>", "Press the button now.", ""),
        ("<object><p>Inside.</p></object><audio>Sound.</audio><p>After.</p>", "Inside. After.", "Sound."),
        ("<pre><code>for i in x:</code></pre><pre>A verse\nof two</pre>", "A verse\nof two", "for i in x:"),
        ("<select><option>One</option></select><textarea>Typed</textarea><p>A.</p>", "A.", "One Typed"),
        ('<svg xmlns="http://www.w3.org/2000/svg"><style>x</style><text>Drawn.</text></svg><p>A.</p>', "A.", "Drawn."),
        ('<p>A <img src="a.png" alt="A cat"/> here.</p>', "A here.", "A cat"),
        ('<p><img class="drop" src="o.png" alt="O"/>nce more.</p>', "Once more.", ""),
        ('<div class="dc">I</div><p>t was late.</p>', "It was late.", ""),
        ('<p><span style="float:left">T</span>\n<span>he river ran.</span></p>', "The river ran.", ""),
        ('<p><span class="dropcap">A</span> <span>man came.</span></p>', "A man came.", ""),
        ("<p><ruby>base<rp>(</rp><rt>reading</rt><rp>)</rp></ruby> word.</p>", "base word.", "reading"),
        ('<p>Is <math alttext="x plus seven"><mi>x</mi></math> it.</p>', "Is x plus seven it.", ""),
        (
            "<p>Is <math><msup><mi>x</mi><mn>2</mn></msup><mo>+</mo><mn>7</mn></math> it.</p>",
            "Is x squared plus 7 it.",
            "",
        ),
        ('<p>Is <math alttext="\\frac{a}{b}"><mtable><mtr><mtd>z</mtd></mtr></mtable></math> it.</p>', "Is it.", "z"),
        (
            '<switch xmlns="http://www.idpf.org/2007/ops"><case><p>No.</p></case><default><p>Yes.</p></default></switch>',
            "Yes.",
            "No.",
        ),
    ],
)
def test_what_is_heard_of_an_element(tmp_path: Path, markup: str, heard_words: str, left_out_words: str) -> None:
    """Guards against words without a record, code and numbers that are spoken, and torn words."""
    other = "@media print{p{color:red} .kindle{display:none}} @media amzn-mobi{.kindle{display:none}}"
    sheet = f"<style>.gone{{display:none}} {other}</style>"
    content = page(f"<h1>T</h1>{markup}").replace("<head>", f"<head>{sheet}")
    path = write_epub(tmp_path / "b.epub", {"a.xhtml": ""}, more={"OEBPS/b.xhtml": content})
    files = {}
    with zipfile.ZipFile(path) as old:
        files = {name: old.read(name) for name in old.namelist()}
    files["OEBPS/a.xhtml"] = content.encode()
    with zipfile.ZipFile(path, "w") as new:
        for name, data in files.items():
            new.writestr(name, data)
    document = read(path)
    assert " ".join(spoken(document)[1:]) == heard_words
    assert " ".join(words for words, _ in left_out(document)) == left_out_words


def test_lines_of_verse_are_heard(tmp_path: Path) -> None:
    """Guards line ends of verse, which were not heard."""
    body = "<h1>Song</h1><p>The wind went over<br/>and nobody heard,<br/>but the cat on the stair</p>"
    assert "went over, and nobody heard, but the cat" in heard(book_of(tmp_path, body))


def test_style_sheets_say_what_is_hidden() -> None:
    """Guards words that a rule for print, or an overruled one, hid."""
    styles = StyleSheets()
    styles.add(".a{display:none} p.b, .c{visibility:hidden} .a.x{display:block} @media print{.d{display:none}} .e{")
    assert [styles.style_of("p", name, "", "").is_hidden for name in ("a", "a x", "b", "c", "d", "e")] == [
        True, False, True, True, None, None,
    ]  # fmt: skip


# Files


def test_names_of_files_are_found_however_they_are_written(tmp_path: Path) -> None:
    """Guards archives with unusual names, for which the book was refused."""
    for number, stored in enumerate(("OEBPS\\caf\u00e9.xhtml", "OEBPS/cafe\u0301.xhtml", "OEBPS/CAF\u00c9.xhtml")):
        path = write_epub(tmp_path / f"{number}.epub", {"caf\u00e9.xhtml": "<p>Words.</p>"})
        with zipfile.ZipFile(path) as old:
            files = {name: old.read(name) for name in old.namelist()}
        with zipfile.ZipFile(path, "w") as new:
            for name, data in files.items():
                new.writestr(stored if "caf" in name else name, data)
        assert spoken(read(path)) == ["Words."]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (page("<p>caf\u00e9&nbsp;x</p>").encode("utf-16"), "caf\u00e9 x"),
        (b'<?xml version="1.0" encoding="utf-16"?>' + page("<p>Plain.</p>").encode(), "Plain."),
        (('<!DOCTYPE html [<!ENTITY w "Mister <i>Gray</i>"><!ENTITY D "&#8212;">]>' + page("<p>&w;&D;no</p>")).encode(),
         "Mister Gray\u2014no"),
        (('<!DOCTYPE html [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + page("<p>A&x;b.</p>")).encode(), "Ab."),
    ],
)  # fmt: skip
def test_a_page_is_shown_as_a_browser_shows_it(tmp_path: Path, content: bytes, expected: str) -> None:
    """Guards pages in UTF-16 and with entities of their own."""
    path = write_epub(tmp_path / "b.epub", {"a.xhtml": ""})
    _put(path, "OEBPS/a.xhtml", content)
    assert spoken(read(path)) == [expected]


def _put(path: Path, name: str, content: bytes) -> None:
    with zipfile.ZipFile(path) as old:
        files = {each: old.read(each) for each in old.namelist()}
    files[name] = content
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for each, data in files.items():
            new.writestr(each, data)


_LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 9))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (('<!DOCTYPE html [<!ENTITY a0 "lol ">' + _LAUGHS + "]><html><body>&a8;</body></html>").encode(), "&a"),
        (b'<!DOCTYPE html [<!ENTITY a "&b;"><!ENTITY b "&a;">]><html><body>&a;</body></html>', "&a;"),
        (bytes(range(256)) * 40, "DRM"),
        (b"<div>" * 3000 + b"x" + b"</div>" * 3000, "a.xhtml"),
    ],
)
def test_a_page_that_cannot_be_read_is_a_record_and_the_rest_is_read(tmp_path: Path, content: bytes, why: str) -> None:
    """Guards against encrypted pages and growing entities that are planned as speech."""
    path = write_epub(tmp_path / "b.epub", {"a.xhtml": "", "b.xhtml": "<p>Words.</p>"})
    _put(path, "OEBPS/a.xhtml", content)
    document = read(path)
    (record,) = left_out_of(document)
    assert (spoken(document), record.reason, record.expected) == (["Words."], "unreadable page", False)
    assert why in record.detail
    alone = write_epub(tmp_path / "c.epub", {"a.xhtml": ""})
    _put(alone, "OEBPS/a.xhtml", content)
    with pytest.raises(SourceError, match=why):
        check_source(str(alone), SourceConfig())


def test_missing_pages_and_broken_entries_are_records(tmp_path: Path) -> None:
    """Guards books with a missing page or a broken link, which were refused."""
    pages = {"a.xhtml": f"<h1>One</h1><p>{PROSE}</p>", "gone.xhtml": "", "b.xhtml": f"<h1>Two</h1><p>{PROSE}</p>"}
    nav = entry("http://[bad/x", "Bad") + entry("a.xhtml", "One") + entry("b.xhtml", "Two")
    path = write_epub(tmp_path / "b.epub", pages, nav=nav)
    with zipfile.ZipFile(path) as old:
        files = {name: old.read(name) for name in old.namelist() if "gone" not in name}
    with zipfile.ZipFile(path, "w") as new:
        for name, data in files.items():
            new.writestr(name, data)
    document = read(path)
    assert titles(document) == ["One", "Two"]
    records = {record.reason: record for record in left_out_of(document)}
    assert "gone.xhtml" in records["missing page"].detail
    assert "Bad" in records["broken entry of the table of contents"].detail
    summary = PlanSummary("flac", 44100, 86.0)
    summary.add_document(document)
    assert any("gone.xhtml" in warning for warning in summary.left_out.warnings)


def test_a_file_is_read_only_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against an archive of a few kilobytes that fills the memory."""
    path = write_epub(tmp_path / "b.epub", {"a.xhtml": "<p>Words.</p>"})
    _put(path, "OEBPS/a.xhtml", b"<p>" + b" " * (archive.MAX_FILE_BYTES + 1) + b"</p>")
    assert path.stat().st_size < 1 << 20
    with pytest.raises(SourceError, match=r"OEBPS/a\.xhtml.*\b32 MiB"):
        read(path)
    monkeypatch.setattr(archive, "MAX_BOOK_BYTES", 1000)
    pages = {f"{n}.xhtml": "<p>Words.</p>" for n in range(20)}
    with pytest.raises(SourceError, match=r"c\.epub"):
        read(write_epub(tmp_path / "c.epub", pages))


def test_the_cover_is_found(tmp_path: Path) -> None:
    """Guards the cover: the audiobook has the picture of the EPUB."""
    path = write_epub(tmp_path / "b.epub", {"a.xhtml": "<p>Words.</p>"})
    with zipfile.ZipFile(path) as old:
        package = old.read("OEBPS/book.opf").decode()
    item = '<item id="c" href="c.png" properties="cover-image" media-type="image/png"/></manifest>'
    _put(path, "OEBPS/book.opf", package.replace("</manifest>", item).encode())
    assert read_cover_of(str(path), SourceConfig()) is None, "it is named, but not there"
    _put(path, "OEBPS/c.png", b"picture")
    assert read_cover_of(str(path), SourceConfig()) == b"picture"


# Time


@pytest.mark.parametrize("kind", ["entries of one page", "pages", "notes", "classes", "words in elements"])
def test_time_grows_with_the_book_and_not_faster(tmp_path: Path, kind: str) -> None:
    """Guards linear time: a table of contents with ten thousand entries took hours."""
    for number in (200, 2000):
        pages, nav = {"a.xhtml": "<p>Words.</p>"}, ""
        if kind == "entries of one page":
            pages["a.xhtml"] = "".join(f'<h2 id="c{n}">Name {n}</h2><p>Some words.</p>' for n in range(number))
            nav = "".join(entry(f"a.xhtml#c{n}", f"Name {n}") for n in range(number))
        elif kind == "pages":
            pages = {f"{n}.xhtml": f"<h2>Name {n}</h2><p>Some words.</p>" for n in range(number)}
            nav = "".join(entry(name, f"Name {n}") for n, name in enumerate(pages))
        elif kind == "notes":
            marks = "".join(f'<p>Word.<a href="#n{n}"><sup>{n}</sup></a></p>' for n in range(number))
            pages["a.xhtml"] = marks + "".join(f'<p id="n{n}">{n}. A note.</p>' for n in range(number))
        elif kind == "classes":
            pages["a.xhtml"] = '<p class="a">Words.</p>' * number
        else:
            pages["a.xhtml"] = "<p>" + "<i>a</i><b>B</b>" * number + "w" * number * 10 + "</p>"
        path = write_epub(tmp_path / f"{number}.epub", pages, nav=nav)
        if kind == "classes":
            _put(
                path,
                "OEBPS/a.xhtml",
                page(pages["a.xhtml"])
                .replace("<head>", f"<head><style>{'.a{display:block}' * number}/*{'/*' * number}</style>")
                .encode(),
            )
    assert_linear(lambda factor: list(read_documents(str(tmp_path / f"{200 * factor}.epub"), SourceConfig())))


# Project Gutenberg

_HEADER = "<p>The Project Gutenberg eBook of Emma</p><p>This ebook is for the use of anyone anywhere.</p>"
_START = "<p>*** START OF THE PROJECT GUTENBERG EBOOK EMMA ***</p>"
_END = "<p>*** END OF THE PROJECT GUTENBERG EBOOK EMMA ***</p><p>Updated editions will replace the previous one.</p>"
_CHAPTER = f"<h2>Chapter 1</h2><p>{PROSE}</p>"


@pytest.mark.parametrize(
    "body",
    [
        _HEADER + _START + _CHAPTER + _END,
        _HEADER + _START + "<p>Produced by A. Person</p>" + _CHAPTER + _END,
        _HEADER + _CHAPTER + "<p>End of the Project Gutenberg EBook of Emma</p><p>Updated editions.</p>",
        f"<div>{_HEADER}<pre>{_START[3:-4]}</pre></div>" + _CHAPTER + _END,
        _START + _CHAPTER + _END.replace("THE PROJECT", "THIS PROJECT"),
        _CHAPTER + _END,
    ],
)
def test_the_notices_of_project_gutenberg_are_left_out_without_classes(tmp_path: Path, body: str) -> None:
    """Guards listeners against minutes of licence: only the EPUBs of recent years have classes for it."""
    document = book_of(tmp_path, body)
    assert titles(document) == ["Chapter 1"]
    assert heard(document).split()[:4] == ["Chapter", "one.", "The", "morning"]
    assert "Gutenberg" not in heard(document)
    assert "editions" not in heard(document)


def test_the_licence_of_project_gutenberg_goes_on_over_pages(tmp_path: Path) -> None:
    pages = {"a.xhtml": _HEADER + _START, "b.xhtml": _CHAPTER, "c.xhtml": _END, "d.xhtml": f"<p>{PROSE}</p>"}
    document = read(write_epub(tmp_path / "b.epub", pages))
    assert titles(document) == ["Chapter 1"]
    assert heard(document).count("morning") == 6


def test_a_book_about_project_gutenberg_is_no_notice(tmp_path: Path) -> None:
    """Guards prose that mentions it."""
    words = "Project Gutenberg began in 1971. The end of Project Gutenberg was foretold more than once."
    assert "nineteen seventy" in heard(book_of(tmp_path, f"<h1>One</h1><p>{words}</p><p>{PROSE}</p>"))


# Controls, exponents, inert content


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<p><button>Save</button><button>Close</button></p>", "Save Close"),
        ("<p><label>Name</label><output>Anna</output></p>", "Name Anna"),
        ("<p>Press <button>OK</button>, then <button>Go</button>.</p>", "Press OK, then Go."),
        ("<p>There are 2<sup>32</sup> addresses.</p>", "There are two to the power of thirty-two addresses."),
        ("<p>a key of 2<sup>128</sup> values</p>", "a key of two to the power of one hundred and twenty-eight values"),
        ("<p>It was rule 2<sup>5</sup> that he broke.</p>", "It was rule two that he broke."),
        ("<p>See page 2<sup>16</sup> for more.</p>", "See page two for more."),
        ("<p>Here.</p><template><p>Inert words.</p></template>", "Here."),
        ("<div><template>Inert words.</template>Here.</div>", "Here."),
    ],
)
def test_controls_exponents_and_templates(tmp_path: Path, body: str, expected: str) -> None:
    """Bug: adjacent buttons became one word, exponents of two were left out, and templates were spoken."""
    document = book_of(tmp_path, f"<h1>One</h1>{body}")
    assert heard(document).removeprefix("One.").strip() == expected
    if "Inert" in body:
        assert reasons(document)["Inert words."] == "hidden"


def test_a_part_that_has_a_page_of_its_own_is_said_once(tmp_path: Path) -> None:
    """Bug: the page of the part and the first page of its chapters both said "Part one"."""
    chapters = [f"<h2>Chapter {number}</h2><p>{PROSE}</p>" for number in (1, 2)]
    pages = {"a.xhtml": "<h1>Part I</h1>", "b.xhtml": f"<h1>PART I</h1>{chapters[0]}", "c.xhtml": chapters[1]}
    document = read(write_epub(tmp_path / "b.epub", pages))
    assert heard(document).lower().count("part one") == 1
    assert titles(document) == ["Part I, Chapter 1", "Part I, Chapter 2"]
    assert "repeated heading" in reasons(document).values()


@pytest.mark.parametrize("named", ["", "pa", "ab", "pab"])
def test_a_part_page_and_the_heading_of_its_chapter_are_one(tmp_path: Path, named: str) -> None:
    """Guards EPUBs with "Part I" on a page of its own and again above its text, with any table of contents."""
    pages = {
        "p": "<h1>Part I</h1>",
        "a": f"<h1>Part I</h1><p>{PROSE}</p>",
        "b": f"<h1>Part II</h1><p>{PROSE}</p>",
    }
    nav = "".join(entry(each, "Part II" if each == "b" else "Part I") for each in named)
    document = read(write_epub(tmp_path / "b.epub", pages, nav=nav))
    assert spoken(document).count("Part I") == 1
    assert titles(document)[0] == "Part I"
    assert ("Part I", "repeated heading") in left_out(document)
