"""The spoken form of a written text, for every language: the one place that says what a model is given for it.

Owns which steps are taken. How marks are taken out is known to `wording`, how English is read to `normalization`.
"""

from __future__ import annotations

from pipeline.text import normalization
from pipeline.text.strip_markup import plain_heading, plain_lines, plain_words


def spoken_form(
    text: str, language: str, normalize: bool, *, is_heading: bool = False, keeps_lines: bool = False
) -> str:
    """The words to be spoken for a sentence, or a part of one, on one line; "" where there are none.

    Args:
        text: As written. How a sentence sounds shall not depend on its neighbours, hence one at a time in a document.
        language: A tag such as "en", "en-GB" or "de_DE".
        normalize: Whether numbers, abbreviations ... become words. There are rules for English only.
        is_heading: The lines of a heading get full stops.
        keeps_lines: The lines of verse and of addresses are heard.
    """
    is_normalized = normalize and base_language(language) == "en"
    if is_heading:
        plain = plain_heading(text, numbers=is_normalized)
    else:
        plain = plain_lines(text) if keeps_lines else plain_words(text)
    return normalization.normalize(plain, language) if is_normalized else plain


def base_language(tag: str) -> str:
    """The language of a tag, without region or script: "en" of "en-GB"."""
    return tag.lower().replace("_", "-").split("-")[0]
