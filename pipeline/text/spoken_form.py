"""The spoken form of a written text, for every language: the one place that says what a model is given for it.

Owns which steps are taken. How marks are taken out is known to `wording`, how English is read to `normalization`.
"""

from __future__ import annotations

from pipeline.text.letter_spacing import join_spaced_letters
from pipeline.text.normalization import find_normalizer
from pipeline.text.normalization.invisible import drop_invisible
from pipeline.text.strip_markup import plain_heading, plain_lines, plain_words


def spoken_form(
    text: str, language: str, normalize: bool, *, is_heading: bool = False, keeps_lines: bool = False
) -> str:
    """The words to be spoken for a sentence, or a part of one, on one line; "" where there are none.

    Args:
        text: As written. How a sentence sounds shall not depend on its neighbours, hence one at a time in a document.
        language: A tag such as "en", "en-GB" or "de_DE".
        normalize: Whether numbers, abbreviations ... become words. See `normalization.NORMALIZERS`.
        is_heading: The lines of a heading get full stops.
        keeps_lines: The lines of verse and of addresses are heard.
    """
    text = drop_invisible(text)
    normalizer = find_normalizer(base_language(language)) if normalize else None
    text = join_spaced_letters(text)
    if is_heading:
        plain = plain_heading(text, numbers=normalizer is not None)
    else:
        plain = plain_lines(text) if keeps_lines else plain_words(text)
    return normalizer(plain, language) if normalizer else plain


def base_language(tag: str) -> str:
    """The language of a tag, without region or script: "en" of "en-GB"."""
    return tag.lower().replace("_", "-").split("-")[0]
