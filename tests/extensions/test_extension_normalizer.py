"""A normalizer of another language, plugged in without a change of the package."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.text.normalization import NORMALIZERS
from pipeline.text.spoken_form import spoken_form

DIGITS = ("null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun")


def read_german_digits(text: str, language: str) -> str:
    return "".join(f"{DIGITS[int(each)]}" if each.isdigit() else each for each in text)


@pytest.fixture
def german() -> Iterator[None]:
    NORMALIZERS.add("de", read_german_digits)
    yield
    NORMALIZERS.remove("de")


def test_a_language_without_a_normalizer_is_spoken_as_written() -> None:
    assert spoken_form("um 3 Uhr", "de", True) == "um 3 Uhr"


@pytest.mark.usefixtures("german")
@pytest.mark.parametrize("language", ["de", "de-AT", "de_DE"])
def test_a_normalizer_is_found_by_the_code_of_the_language(language: str) -> None:
    """Guards languages that are added: each region of one is read by it, unless text.normalize=false."""
    assert spoken_form("um *3* Uhr", language, True) == "um drei Uhr"
    assert spoken_form("um 3 Uhr", language, False) == "um 3 Uhr"
    assert spoken_form("at 3", "en", True) == "at three"
