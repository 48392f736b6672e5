"""Inline elements of EPUB pages: powers and marks of notes, controls side by side, what is inert."""

from __future__ import annotations

from pathlib import Path

import pytest
from epub_files import left_out, read, spoken, write_epub

from pipeline.config import SourceConfig
from pipeline.text.readers.dispatch import read_documents
from pipeline.text.readers.epub.superscripts import classify_superscript
from pipeline.text.spoken_form import spoken_form


def said(folder: Path, body: str) -> str:
    """The spoken form of all paragraphs of one page."""
    document = read(write_epub(folder / "b.epub", {"a": body}))
    return " ".join(spoken_form(each, "en", True) for each in spoken(document))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("It holds 2<sup>32</sup> values.", "It holds two to the power of thirty-two values."),
        ('3<span class="superscript">4</span> = 81.', "three to the power of four equals eighty-one."),
        ("Up to 2<sup><i>n</i></sup>.", "Up to two to the power of n."),
        ("It is 2<sup>n+1</sup> here.", "It is two to the power of n plus one here."),
        ("So (a+b)<sup>2</sup> grows.", "So, a plus b, squared grows."),
        ("So (1+x)<sup>5</sup> grows.", "So, one plus x, to the power of five grows."),
        ("So 4<sup>1/2</sup> = 2.", "So four to the power of one half equals two."),
        ("It is 3<sup>1/2</sup> miles.", "It is three and a half miles."),
        ("A factor of 10<sup>6</sup>.", "A factor of ten to the power of six."),
        ("It was 10<sup>-6</sup> wide.", "It was ten to the power of minus six wide."),
        ("On the 1<sup>st</sup> of May.", "On the first of May."),
        ("An area of 5 m<sup>2</sup>.", "An area of five square meters."),
        ("They drank H<sub>2</sub>O.", "They drank H two O."),
    ],
)  # fmt: skip
def test_exponents_and_indices_are_spoken(tmp_path: Path, body: str, expected: str) -> None:
    """Guards digits that are lost: an exponent behind a number was taken for the mark of a note."""
    assert said(tmp_path, f"<p>{body}</p>") == expected


@pytest.mark.parametrize(
    ("before", "text", "after"),
    [
        ("the word", "3", " it"), ("In 1984", "12", ","), ("costs 25", "1", " dollars"), ("On page 2", "32", "."),
        ("He was aged 12", "2", "."), ("On July 4", "2", ", he"), ("With Apollo 11", "2", " they"),
        ("for $25", "3", "."),
        ("for 1,000", "3", "."), ("at 5:30", "2", "."), ("some 12", "3–5", "."),
        ("at 7", "45", " am"), ("it cost 3", "99", "."),
        ("some 5000", "3", " people"), ("(and so)", "5", " it"), ("(1914-18)", "5", " it"),
    ],
)  # fmt: skip
def test_marks_of_notes_behind_numbers_are_no_exponents(before: str, text: str, after: str) -> None:
    """Guards against years, ages, prices and pages that are raised to the power of a note's number."""
    assert classify_superscript(before, text, after).name == "NOTE_MARK"


def test_numbers_on_a_page_with_notes_have_marks(tmp_path: Path) -> None:
    """Guards note marks after numbers: on a page with notes, only 2, 10 and formulas have exponents."""
    body = "Some 40<sup>5</sup> men and 2<sup>8</sup> lamps were there.<sup>6</sup> 3<sup>4</sup> = 81, 2<sup>7</sup>"
    document = read(write_epub(tmp_path / "b.epub", {"a": f"<p>{body}</p>"}))
    assert spoken(document) == ["Some 40 men and 2⁸ lamps were there. 3⁴ = 81, 2"]
    assert left_out(document) == [("5", "note reference"), ("6", "note reference"), ("7", "note reference")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It holds 2^{32} values.", "It holds two to the power of thirty-two values."),
        ("It holds 2^32^ values.", "It holds two to the power of thirty-two values."),
        ("It is x^{n+1} here.", "It is x to the power of n plus one here."),
        ("Take 2^(1/2) of it.", "Take two to the power of one half of it."),
        ("By hand.^3^ It was {3} so.", "By hand. It was so."),
    ],
)
def test_exponents_of_plain_text_are_spoken(tmp_path: Path, text: str, expected: str) -> None:
    """Guards exponents in braces, brackets and between carets, which were left out as notes or read as factors."""
    path = tmp_path / "a.md"
    path.write_text(text, encoding="utf-8")
    (document,) = read_documents(str(path), SourceConfig())
    assert [spoken_form(each, "en", True) for each in spoken(document)] == [expected]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<button>Yes</button><button>No</button>", ["Yes No"]),
        ("<label>Name</label><input/><label>Age</label>", ["Name Age"]),
        ("<kbd>Ctrl</kbd>+<kbd>C</kbd> or <kbd>F</kbd><kbd>G</kbd>", ["Ctrl+C or F G"]),
        ("<output>5</output><output>6</output> <meter>3</meter><progress>70%</progress>", ["5 6 3 70%"]),
        ('See <a href="#x">Anna</a><a href="#y">Brent</a>.', ["See Anna Brent."]),
        ("Press <button>Go</button>, then (<label>Stop</label>).", ["Press Go, then (Stop)."]),
        ("<span>foot</span><span>path</span>, un<b>done</b>", ["footpath, undone"]),
        ('<span class="cell">Left</span><span class="cell">Right</span>', ["Left", "Right"]),
    ],
)
def test_words_of_neighbouring_controls_stay_apart(tmp_path: Path, body: str, expected: list[str]) -> None:
    """Guards words that a page shows apart and that became one: "YesNo". Parts of a word stay together."""
    style = "<style>.cell { display: table-cell }</style>"
    content = f'<html xmlns="http://www.w3.org/1999/xhtml"><head>{style}</head><body><p>{body}</p></body></html>'
    path = write_epub(tmp_path / "b.epub", {"a": ""}, more={"OEBPS/a": content})
    assert spoken(read(path)) == expected


def test_the_choices_of_a_form_are_left_out_word_by_word(tmp_path: Path) -> None:
    """Guards the record of a form, whose options were one word."""
    form = "<select><option>red</option><option>blue</option></select>"
    body = f"<p>Pick {form} now.</p><datalist><option>a</option></datalist>"
    document = read(write_epub(tmp_path / "b.epub", {"a": body}))
    assert " ".join(spoken(document)) == "Pick now."
    assert left_out(document) == [("red blue", "form"), ("a", "form")]


@pytest.mark.parametrize(
    ("markup", "words"),
    [
        ("<template>not <b>shown</b></template>", "not shown"),
        ("<template><p>not</p><p>shown</p></template>", "not shown"),
        ("<dialog><p>not shown</p></dialog>", "not shown"),
        ("<div hidden=''>not shown</div>", "not shown"),
        ("<span style='display:none'>not shown</span>", "not shown"),
    ],
)
def test_what_is_inert_is_left_out_with_a_record(tmp_path: Path, markup: str, words: str) -> None:
    """Guards the records: the words of a template were dropped without one, and a closed dialog was spoken."""
    document = read(write_epub(tmp_path / "b.epub", {"a": f"<h1>One</h1><p>Before.</p>{markup}<p>After.</p>"}))
    assert spoken(document) == ["One", "Before.", "After."]
    assert left_out(document) == [(words, "hidden")]
