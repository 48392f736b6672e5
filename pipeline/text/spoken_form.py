"""The spoken form of a text in any language: the words that a model is given.

`strip_markup` removes markup. The normalizer of the language, if there is one, then writes numbers and the like in
words.
"""

from __future__ import annotations

from pipeline.text.letter_spacing import join_spaced_letters
from pipeline.text.normalization import find_normalizer
from pipeline.text.normalization.invisible import drop_invisible
from pipeline.text.strip_markup import plain_heading, plain_lines, plain_words


def spoken_form(
    text: str, language: str, normalize: bool, *, is_heading: bool = False, keeps_lines: bool = False
) -> str:
    """Return the words that are spoken for a sentence or a part of one, on one line; "": there are none.

    Args:
        text: As written: one sentence at a time, since its spoken form must not depend on its neighbours.
        language: A tag such as "en", "en-GB" or "de_DE".
        normalize: Whether numbers, abbreviations and the like become words.
        is_heading: Whether it is a heading, whose lines get full stops.
        keeps_lines: Whether its line ends are pauses: verse, an address.
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
    """Return the language of a tag without region or script: "en" of "en-GB"."""
    return tag.lower().replace("_", "-").split("-")[0]
