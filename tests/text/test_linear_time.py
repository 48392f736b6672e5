"""Hostile text: normalisation, sentences and segments take time in proportion to its length."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from growth import assert_linear, cpu_seconds
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import TextConfig
from pipeline.planning import predict_seconds
from pipeline.text.normalization.english import normalize
from pipeline.text.segmentation import segment_document
from pipeline.text.sentences import split_sentences
from pipeline.text.spoken_form import spoken_form
from pipeline.types import Chapter, Document, Paragraph


def segment(text: str) -> None:
    """Cuts a text that is one paragraph."""
    segment_document(Document("d", text, (Chapter("", (Paragraph(text, 0),)),)), TextConfig(), predict_seconds)


STEPS: dict[str, Callable[[str], object]] = {
    "normalize": normalize,
    "spoken form": lambda text: spoken_form(text, "de", normalize=True),
    "heading": lambda text: spoken_form(text, "en", normalize=True, is_heading=True),
    "sentences": lambda text: split_sentences(text, "en"),
    "segments": segment,
}


def grow(step: Callable[[str], object], unit: str, length: int) -> None:
    """Fails where a text of ten times the length takes more than fifteen times as long."""
    text = unit * max(1, length // len(unit))
    assert_linear(lambda factor: step(text * factor), f"{unit!r} times {len(text) // len(unit)}")


UNITS = [
    *(
        "Dr. ",
        "Mr. Hale ",
        "A. ",
        "e.g. ",
        "etc. ",
        "No. 5 ",
        "word. ",
        "a, ",
        "and ",
        "x and ",
        "a",
        "1",
        "1 ",
        "1,",
        "1.",
        "1–",
    ),
    *(
        "“",
        "“a. ",
        '"',
        "'",
        "('",
        "«",
        "‹",
        "(",
        "(a. ",
        "[",
        "[a](",
        "<",
        "<!--",
        "<http:",
        "<a ",
        "*",
        "*a ",
        "_",
        "__a",
        "`",
        "~",
    ),
    *(
        "-",
        "--",
        "—",
        "– ",
        "a-",
        "a-\n",
        "\n",
        "> ",
        "\t",
        "...",
        ". . ",
        "!",
        "&amp;",
        "\\",
        "\u200b",
        "\u00ad",
        "é",
        "漢",
    ),
    *(
        "$5 ",
        "1/2 ",
        "1h ",
        "5 km ",
        "40° ",
        "1,5-",
        "1 000 ",
        "10s. ",
        "5'6\" ",
        "§ ",
        "^1",
        "⁻³",
        "0x",
        "1e5 ",
        "3/4/21 ",
    ),
    *("a@b.com ", "http://a.b ", "www.", "[laughs] ", "[1]", "X ", "XIV ", "Chapter I ", "King James I ", "Gen. 1:1, "),
]


@pytest.mark.parametrize("step", ["normalize", "spoken form", "sentences"])
@pytest.mark.parametrize("unit", UNITS)
def test_one_sign_repeated(step: str, unit: str) -> None:
    """Bug: "Dr. " 8,000 times, or a comment that is opened 2,000 times, took minutes."""
    grow(STEPS[step], unit, 800)


@pytest.mark.parametrize(
    "text",
    ["Dr. " * 8000, "a" * 200_000, "1" * 100_000, "“" * 20_000 + "a" + "”" * 20_000, "<!--" * 20_000, "_" * 50_000],
    ids=lambda text: f"{text[:4]} {len(text)}",
)
def test_a_paragraph_without_end(text: str) -> None:
    """Bug: these were planned in minutes; the limit is far above what they take, and far below what they took."""
    assert cpu_seconds(lambda: segment(text)) < 15


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from([*UNITS, " ", "Yes. ", "the lamp "]), min_size=1, max_size=4).map("".join))
def test_any_text_grown_tenfold(unit: str) -> None:
    """Guards against quadratic time where several signs meet."""
    for name in ("normalize", "sentences", "segments"):
        grow(STEPS[name], unit, 200)
