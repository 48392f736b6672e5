"""EPUB in: what is spoken, what is not and why, and where chapters begin."""

from __future__ import annotations

import unicodedata
import zipfile
from pathlib import Path

import pytest
from epub_files import entry, left_out, page, point, read, spoken, write_epub
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.config import SourceConfig
from pipeline.errors import SourceError
from pipeline.text.readers.dispatch import check_source
from pipeline.text.readers.epub.page import read_page
from pipeline.text.readers.epub.parsing import parse
from pipeline.types import Boundary


def test_its_own_contents_say_where_chapters_begin(tmp_path: Path) -> None:
    """Guards chapters: they follow the table of contents, and a title in a picture is kept."""
    document = read(
        write_epub(
            tmp_path / "fox.epub",
            {
                "one.xhtml": '<h2 id="a">Chapter 1</h2><h3>The Den</h3><p>It was dark.</p><h4>A sign</h4><p>Snow.</p>'
                '<p id="b" class="title">The Road</p><p>It was long.</p>',
                "two.xhtml": '<div><img src="iii.png" alt="III"/></div><p>It was late.</p>',
            },
            nav=entry("one.xhtml#a", "Chapter 1: The Den")
            + entry("one.xhtml#b", "The Road")
            + entry("two.xhtml", "The End"),
        )
    )
    assert [chapter.title for chapter in document.chapters] == ["Chapter 1: The Den", "The Road", "The End"]
    assert [[p.text for p in chapter.paragraphs] for chapter in document.chapters] == [
        ["Chapter 1\nThe Den", "It was dark.", "A sign", "Snow."],
        ["The Road", "It was long."],
        ["The End", "It was late."],
    ]
    assert (document.title, document.author, document.language) == ("The Fox", "Ann Lee", "en")


def test_a_short_paragraph_is_no_heading_because_its_letters_are_in_one(tmp_path: Path) -> None:
    """Guards the first line of a chapter, which was joined with the title "Chapter 1: Nobody"."""
    body = '<h1 id="a">Chapter 1</h1><p>No.</p><p>Nobody came.</p>'
    path = write_epub(tmp_path / "b.epub", {"a.xhtml": body}, nav=entry("a.xhtml#a", "Chapter 1: Nobody"))
    assert spoken(read(path)) == ["Chapter 1", "No.", "Nobody came."]


def test_a_line_above_notes_ends_no_scene(tmp_path: Path) -> None:
    """Guards pauses: a line above notes is not a scene break."""
    body = '<p>It was late.</p><div class="footnotes"><hr/><p>1. Very.</p></div><p>Snow fell.</p>'
    document = read(write_epub(tmp_path / "b.epub", {"a.xhtml": body}))
    assert document.chapters[0].paragraphs[0].boundary is Boundary.PARAGRAPH


@pytest.mark.parametrize("version", [2, 3])
def test_parts_stand_before_their_chapters(tmp_path: Path, version: int) -> None:
    """Guards tables of contents of EPUB 2 and 3, and chapter numbers that begin again in each part."""
    pages = {
        f"{part}.xhtml": f'<h1 id="p">Part {part}</h1><h2 id="a">Chapter 1</h2><p>{part} a.</p>'
        f'<h2 id="b">Chapter 2</h2><p>{part} b.</p>'
        for part in ("One", "Two")
    }
    make = entry if version == 3 else point
    contents = "".join(
        make(f"{n}#p", f"Part {n[:3]}", make(f"{n}#a", "Chapter 1") + make(f"{n}#b", "Chapter 2")) for n in pages
    )
    path = write_epub(tmp_path / "b.epub", pages, **{"nav" if version == 3 else "ncx": contents})
    assert [chapter.title for chapter in read(path).chapters] == [
        *("Part One, Chapter 1", "Part One, Chapter 2", "Part Two, Chapter 1", "Part Two, Chapter 2")
    ]


def test_without_contents_its_headings_do(tmp_path: Path) -> None:
    """Guards books without a table of contents, which became one chapter."""
    body = "<h1>The Fox</h1><h2>The Den</h2><p>It was dark.</p><h2>The Road</h2><p>It was long.</p>"
    document = read(write_epub(tmp_path / "b.epub", {"a.xhtml": body}))
    assert [chapter.title for chapter in document.chapters] == ["The Den", "The Road"]
    assert spoken(document)[:3] == ["The Fox", "The Den", "It was dark."]


def test_notes_and_lists_are_left_out_with_their_reason(tmp_path: Path) -> None:
    """Guards against notes, page numbers and contents that are spoken, or left out without a record."""
    document = read(
        write_epub(
            tmp_path / "b.epub",
            {
                "toc.xhtml": '<h1>Contents</h1><p><a href="a.xhtml">The Den</a></p>',
                "a.xhtml": "<h1>The Den</h1>"
                '<p>It was<sup><a href="#n">1</a></sup> dark<span epub:type="pagebreak" title="7">7</span>, '
                'H<sub>2</sub>O<a epub:type="noteref" href="#m">*</a>.</p>'
                '<aside epub:type="footnote" id="n"><p>1. Very.</p></aside>'
                "<table><tr><td>a</td><td>b</td></tr></table><table><tr><td>A letter.</td></tr></table>",
                "b.xhtml": '<p>Late<a class="footnote-ref" href="#f">2</a>.</p><div class="footnotes">2. So.</div>',
                "notes.xhtml": '<section role="doc-endnotes"><h2>Notes</h2><p>It was not.</p></section>',
                "colophon.xhtml": "<p>Printed in York.</p>",
                "map.xhtml": "<p>A map.</p>",
            },
            guide='<reference type="copyright-page" href="colophon.xhtml"/>',
            not_linear="map.xhtml",
        )
    )
    assert spoken(document) == ["The Den", "It was dark, H2O.", "A letter.", "Late."]
    assert left_out(document) == [
        ("Contents", "table of contents"),
        ("The Den", "table of contents"),
        ("1", "note reference"),
        ("7", "page number"),
        ("*", "note reference"),
        ("1. Very.", "note"),
        ("a", "table"),
        ("b", "table"),
        ("2", "note reference"),
        ("2. So.", "note"),
        ("Notes", "note"),
        ("It was not.", "note"),
        ("Printed in York.", "imprint"),
        ("A map.", "outside the reading order"),
    ]


def test_notes_and_numbers_of_project_gutenberg_are_left_out(tmp_path: Path) -> None:
    """Guards against notes, page numbers and imprints that are spoken, in books of two libraries."""
    body = (
        '<h2>The Den</h2><p><span class="pagenum"><a id="p1">[Pg 1]</a></span>It was<span class="pageno">2</span> dark.'
        '<a href="#n1" class="fnanchor pginternal">[1]</a><span class="linenum">5</span></p>'
        '<div class="footnote"><p><a href="#a1"><span class="label">[1]</span></a> Very.</p></div>'
    )
    pages = {
        "imprint.xhtml": '<section epub:type="imprint"><h2>Imprint</h2><p>Made in York.</p></section>',
        "a.xhtml": body,
        "colophon.xhtml": '<section epub:type="colophon"><p>Set in Ibis.</p></section>',
    }
    nav = entry("imprint.xhtml", "Imprint") + entry("a.xhtml", "The Den") + entry("colophon.xhtml", "Colophon")
    document = read(write_epub(tmp_path / "b.epub", pages, nav=nav))
    assert [chapter.title for chapter in document.chapters] == ["The Den"]
    assert spoken(document) == ["The Den", "It was dark."]
    assert left_out(document) == [
        ("Imprint", "imprint"),
        ("Made in York.", "imprint"),
        ("[Pg 1]", "page number"),
        ("2", "page number"),
        ("[1]", "note reference"),
        ("5", "line number"),
        ("[1] Very.", "note"),
        ("Set in Ibis.", "colophon"),
    ]


def test_white_space_is_that_of_a_page(tmp_path: Path) -> None:
    """Guards white space: words were joined at line ends and entities, and verse became one line."""
    body = (
        '<h1>Day<br/>One</h1><p>\n It was&nbsp;late,\n<i>very</i> late&mdash;<a id="x"/>so late.<!-- no -->\n</p><hr/>'
        "<blockquote><p>One line<br/>\nand another</p></blockquote><pre>a\n b</pre><p>&#160;</p><p>* * *</p>"
        "<p>…</p><p>End.</p>"
    )
    document = read(write_epub(tmp_path / "b.epub", {"a.xhtml": body}))
    assert spoken(document) == ["Day\nOne", "It was late, very late—so late.", "One line\nand another", "a\nb", "End."]
    paragraphs = document.chapters[0].paragraphs
    assert [paragraph.boundary for paragraph in paragraphs[1:4]] == [
        Boundary.SCENE, Boundary.PARAGRAPH, Boundary.SCENE,
    ]  # fmt: skip
    assert left_out(document) == [("* * *", "scene break mark"), ("…", "only symbols")]


def test_a_page_that_is_not_well_formed_is_read_all_the_same(tmp_path: Path) -> None:
    """Guards broken pages: words after an unclosed tag were lost, and an empty page stopped the reading."""
    body = "<h1>One</h1><p>It was <b>dark.<p><img alt='T' src='t.png'/>he café was late & cold.</p>"
    path = write_epub(tmp_path / "b.epub", {"a.xhtml": body, "b.xhtml": ""})
    assert spoken(read(path)) == ["One", "It was dark.", "The café was late & cold."]
    assert [len(parse(content)) for content in (b"", b"  ")] == [0, 0]


@pytest.mark.parametrize(
    "media_type",
    ["text/x-oeb1-document", "application/xml", "text/xml", "Application/XHTML+XML; charset=utf-8", "text/html", ""],
)
def test_a_page_is_read_whatever_its_type_is_called(tmp_path: Path, media_type: str) -> None:
    """Guards pages with unusual media types, which were neither spoken nor recorded."""
    path = write_epub(tmp_path / "b.epub", {"a.xhtml": "<p>Words.</p>"}, media_type=media_type)
    assert spoken(read(path)) == ["Words."]


def test_a_page_without_text_is_left_out_and_one_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Guards chapters in formats without text, which were left out without a record."""
    for media_type, named in (("image/svg+xml", r"b\.epub"), ("application/pdf", r"b\.epub.*OEBPS/a\.xhtml.*pdf")):
        path = write_epub(tmp_path / "b.epub", {"a.xhtml": "<p>Words.</p>"}, media_type=media_type)
        with pytest.raises(SourceError, match=named):
            read(path)


@pytest.mark.parametrize(
    ("media_type", "not_linear"), [("application/pdf", "b.xhtml"), ("application/x-dtbncx+xml", "")]
)
def test_what_is_no_page_of_the_book_is_not_read(tmp_path: Path, media_type: str, not_linear: str) -> None:
    """Guards books with a PDF outside the reading order, which were refused."""
    pages = {"a.xhtml": "<p>Words.</p>", "b.xhtml": "<p>None.</p>"}
    path = write_epub(tmp_path / "b.epub", pages, not_linear=not_linear, types={"b.xhtml": media_type})
    assert spoken(read(path)) == ["Words."]


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ("<html>", "cp1252"),
        ('<?xml version="1.0" encoding="utf-8"?><html>', "cp1252"),
        ('<html><meta http-equiv="Content-Type" content="text/html; charset=windows-1250"/>', "cp1250"),
        ('<html><meta charset="windows-1250"/>', "utf-8"),
        ('<?xml version="1.0" encoding="windows-1252"?><html>', "cp1252"),
    ],
)
def test_a_page_has_its_letters_whatever_it_says_of_its_encoding(head: str, encoding: str) -> None:
    """Guards letters of pages that declare no encoding or a wrong one."""
    content = f"{head}<p>“Épopée” – café & co.</p></html>".encode(encoding)
    assert [piece.words for piece in read_page(parse(content)).runs] == ["“Épopée” – café & co."]
    damaged = "<p>“Épopée” – café & co.</p>".encode() + b"<p>\xe9t</p>"
    assert [piece.words for piece in read_page(parse(damaged)).runs] == ["“Épopée” – café & co.", "\ufffdt"]


@pytest.mark.parametrize(
    ("code", "language"), [("und", "en"), ("eng", "en"), ("ENG", "en"), ("ger", "de"), ("ang", "ang")]
)
def test_languages_have_more_than_one_code(tmp_path: Path, code: str, language: str) -> None:
    """Guards language codes of three letters: with "eng", an English book was not normalised."""
    metadata = f"<dc:language>{code}</dc:language>"
    assert read(write_epub(tmp_path / "b.epub", {"a.xhtml": "<p>Words.</p>"}, metadata=metadata)).language == language


def test_what_is_no_language_is_none(tmp_path: Path) -> None:
    """Guards languages: a locale or a name in that field decided how a book is read."""
    path = write_epub(tmp_path / "b.epub", {"a.xhtml": "<p>Words.</p>"}, metadata="<dc:language>C</dc:language>")
    assert read(path).language == "en"


def test_authors_are_named_and_translators_are_not(tmp_path: Path) -> None:
    """Guards authors: a translator was named as one, and an author with a second role was not."""
    creators = (
        '<dc:creator id="a">Ann Lee</dc:creator><meta refines="#a" property="role">aut</meta>'
        '<meta refines="#a" property="role">dto</meta>'
        '<dc:creator opf:role="trl">Tom Ray</dc:creator><dc:creator>Ben Orr</dc:creator>'
    )
    path = write_epub(tmp_path / "b.epub", {"a.xhtml": "<p>Words.</p>"}, metadata=creators)
    assert read(path).author == "Ann Lee and Ben Orr"
    assert read(path, author="A", title="T", language="de").language == "de"


@pytest.mark.parametrize(
    ("pages", "more", "complaint"),
    [
        ({}, {}, r"b\.epub"),
        ({"a.xhtml": "<img src='a.png'/>"}, {}, r"b\.epub"),
        (
            {"a.xhtml": "<p>x</p>"},
            {
                "META-INF/encryption.xml": '<e><EncryptedData xmlns="http://www.w3.org/2001/04/xmlenc#"><CipherData>'
                '<CipherReference URI="OEBPS/a.xhtml"/></CipherData></EncryptedData></e>'
            },
            "DRM",
        ),
    ],
)
def test_a_book_that_cannot_be_read_says_why(
    tmp_path: Path, pages: dict[str, str], more: dict[str, str], complaint: str
) -> None:
    """Guards against a silent book, and noise of encrypted words."""
    path = write_epub(tmp_path / "b.epub", pages, more=more)
    with pytest.raises(SourceError, match=complaint):
        check_source(str(path), SourceConfig())


def test_a_damaged_archive_says_so(tmp_path: Path) -> None:
    """Guards against tracebacks, and against reading half of a damaged book."""
    whole = write_epub(tmp_path / "b.epub", {"a.xhtml": "<p>Words.</p>", "b.xhtml": "<p>More.</p>"})
    cut = tmp_path / "cut.epub"
    cut.write_bytes(whole.read_bytes()[:-200])
    other = tmp_path / "other.epub"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("word/document.xml", "<p/>")
    altered = tmp_path / "altered.epub"
    altered.write_bytes(whole.read_bytes().replace(b"<p>More.</p>", b"<p>Mere.</p>"))  # not what its checksum says
    deep = write_epub(tmp_path / "deep.epub", {"a.xhtml": "<div>" * 3000 + "Words." + "</div>" * 3000})
    for path in (cut, altered, other, deep):
        with pytest.raises(SourceError) as caught:
            check_source(str(path), SourceConfig())
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


_inline = st.recursive(
    st.text(alphabet="ab c1\n.", max_size=8),
    lambda inner: st.builds(
        lambda tag, parts: f"<{tag}>{''.join(parts)}</{tag}>",
        st.sampled_from(["i", "b", "span", "sup"]),
        st.lists(inner),
    ),
    max_leaves=6,
)
_body = st.recursive(
    _inline,
    lambda inner: st.builds(
        lambda tag, parts: f"<{tag}>{''.join(parts)}</{tag}>",
        st.sampled_from(["p", "div", "h2", "section", "li", "table", "tr", "td", "aside"]),
        st.lists(inner),
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(body=_body)
@example(body="<sup>1111111111111111111  <i>1111</i>1</sup>")  # longer than a mark, but for its white space
def test_no_letter_of_a_page_is_lost(body: str) -> None:
    """Guards text between blocks and after inline elements, which was dropped."""
    root = parse(page(body).encode())
    whole = "".join("".join(str(text) for text in root[1].itertext()).split())
    found = unicodedata.normalize("NFKC", "".join("".join(piece.words.split()) for piece in read_page(root).runs))
    assert sorted(found.replace("^", "")) == sorted(whole)  # what is left out of a paragraph stands behind it
