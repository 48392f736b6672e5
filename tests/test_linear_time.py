"""Hostile text: normalisation, sentences and segments take time in proportion to its length."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import TextConfig
from pipeline.planning import predict_seconds
from pipeline.text.normalization import normalize
from pipeline.text.segmentation import segment_document
from pipeline.text.sentences import split_sentences
from pipeline.text.spoken import spoken_form
from pipeline.types import Chapter, Document, Paragraph

_FLOOR_SECONDS = 0.05  # below it a clock and a garbage collector say more than the text
_MAX_GROWTH = 15  # for ten times the text


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


def seconds_of(step: Callable[[str], object], text: str) -> float:
    """CPU time of one call."""
    start = time.process_time()
    step(text)
    return time.process_time() - start


def assert_linear(step: Callable[[str], object], unit: str, length: int) -> None:
    """Growing a text tenfold costs at most fifteen times as much; a machine that is busy gets a second chance."""
    text = unit * max(1, length // len(unit))
    for _ in range(3):
        short = max(seconds_of(step, text), _FLOOR_SECONDS)
        long = seconds_of(step, text * 10)
        if long <= _MAX_GROWTH * short:
            return
    raise AssertionError(f"{unit!r} times {len(text) // len(unit)}: {short:.3f} s, ten times as long {long:.3f} s")


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
    assert_linear(STEPS[step], unit, 800)


@pytest.mark.parametrize(
    "text",
    ["Dr. " * 8000, "a" * 200_000, "1" * 100_000, "“" * 20_000 + "a" + "”" * 20_000, "<!--" * 20_000, "_" * 50_000],
    ids=lambda text: f"{text[:4]} {len(text)}",
)
def test_a_paragraph_without_end(text: str) -> None:
    """Bug: these were planned in minutes; the limit is far above what they take, and far below what they took."""
    assert seconds_of(segment, text) < 15


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from([*UNITS, " ", "Yes. ", "the lamp "]), min_size=1, max_size=4).map("".join))
def test_any_text_grown_tenfold(unit: str) -> None:
    """Guards against quadratic time where several signs meet."""
    for name in ("normalize", "sentences", "segments"):
        assert_linear(STEPS[name], unit, 200)
