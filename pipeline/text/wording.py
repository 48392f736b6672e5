"""From a written span to one line of plain words: marks that are never spoken are taken out, wrapped lines are joined.

It is the first half of the spoken form, and the same for every source and language. It knows nothing of numbers and
abbreviations: that is `normalization`. It changes only what is spoken; the text as written stays as it is.
"""

from __future__ import annotations

import html
import re

_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL | re.MULTILINE), replacement)
    for pattern, replacement in (
        (r"<((?:https?|mailto):[^>\s]{1,2000})>", r"\1"),
        # Only tags that are markup for certain: "a <b and c> d" stays.
        (
            r"</?(?:a|b|big|br|center|div|em|font|hr|i|img|p|s|small|span|strong|sub|sup|u)(?:\s+[a-z-]+=[^<>]*)?\s*/?>",
            "",
        ),
        (r"!\[[^\[\]]*\]\([^()]*\)", " "),  # an image
        (r"\[\^[^\[\]\s]+\]", ""),  # a footnote's mark
        (r"\[(?:Pg|Page)\.? ?[\divxlc]+\]", ""),  # the number of a page, as Project Gutenberg writes it
        (r"\[([^\[\]]*)\]\([^()\s]*(?:\s+\"[^\"]*\")?\)", r"\1"),  # a link: its words, not its target
        (r"\[([^\[\]]+)\]\[[^\[\]]*\]", r"\1"),
        (r"^[ \t]*>[> \t]*", ""),  # quotation marks of Markdown, line by line
        (r"\\$", ""),  # a hard line break of Markdown
        (r"`+", ""),
        (r"(?<![\w\\*])\*+(?=[^\s*])|(?<=[^\s*\\])\*+(?!\w|\*)", ""),  # *emphasis*, but not 2*3
        (
            r"(?<![^\W_])(?<!\\)_{1,200}(?=[^\W_]|[^\s\w])|(?<=[^\s_\\])_+(?![^\W_])",
            "",
        ),  # _emphasis_, but not snake_case
        (r"\\([\\`*_{}\[\]()#+.!>-])", r"\1"),
        # A word cut at the end of a line; but the hyphens of sister-in-law stay.
        (r"(?<![\w-])([^\W\d_]{2,})-[ \t]*\n[ \t]*([^\W\d_]+)\b(?!-)", r"\1\2"),
        (r"-[ \t]*\n[ \t]*(?=\w)", "-"),
    )
)
_MARK = re.compile(r"[<>\[\]`*_\\&]|-[ \t]*\n")
_ENTITY = re.compile(r"&(?:#\d+|#x[0-9a-fA-F]+|[a-zA-Z]+\d*);")
_ENDS_A_LINE = tuple(".!?:;,…—-\"'”’)")


def plain_words(text: str) -> str:
    """Gives `text` on one line, without markup, with the words that a line end had cut put together again."""
    if not _MARK.search(text):  # nearly all sentences of a novel
        return " ".join(text.split())
    for start, end in reversed(find_comments(text, 0, len(text))):
        text = f"{text[:start]} {text[end:]}"
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return " ".join(_ENTITY.sub(lambda match: html.unescape(match[0]), text).split())


def find_comments(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Spans of the comments of HTML in a part of a text; one that is never closed is none."""
    found = []
    while (start := text.find("<!--", start, end)) >= 0:
        close = text.find("-->", start + 4, end)
        if close < 0:
            break
        found.append((start, close + 3))
        start = close + 3
    return found


def plain_heading(text: str) -> str:
    """Like `plain_words` for a heading. Its lines get full stops, or "Chapter 1 The Fox" is read in one breath."""
    lines = [line for line in map(plain_words, text.split("\n")) if line]
    return " ".join(line if line.endswith(_ENDS_A_LINE) or line.lower() == "by" else line + "." for line in lines)
