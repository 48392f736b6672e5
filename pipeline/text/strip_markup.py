"""Remove markup from a text and join its lines: the first step of the spoken form, the same for all languages.

Only the spoken form is changed; the text as written stays as it is. Numbers and abbreviations are for `normalization`.
"""

from __future__ import annotations

import html
import re

from pipeline.text.structure.blocks import roman_value

_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL | re.MULTILINE), replacement)
    for pattern, replacement in (
        (r"<((?:https?|mailto):[^>\s]{1,2000})>", r"\1"),
        # Only known tags, so that "a <b and c> d" stays.
        (
            r"</?(?:a|abbr|b|big|br|center|cite|code|del|dfn|div|em|font|hr|i|img|ins|kbd|mark|p|q|s|samp|small|span|"
            r"strike|strong|sub|sup|tt|u|var|h[1-6]|table|thead|tbody|tfoot|tr|td|th|caption|ul|ol|li|dl|dt|dd|details|"
            r"summary|blockquote|section|article|aside|header|footer|main|nav|figure|figcaption|picture|ruby|rb|rp|wbr|"
            r"time|pre|button|label|speak|break|emphasis|prosody|say-as|phoneme|voice)(?:\s+[a-z-]+=[^<>]*)?\s*/?>",
            "",
        ),
        (r"\[\\?\[\w{1,4}\\?\]\]\(#[^()\s]*\)", ""),  # a footnote mark of Word, converted by Pandoc
        (r"~~(?=[^\s~])([^~]{1,1000})(?<=[^\s~])~~", r"\1"),  # struck out
        (r"\{\{[^{}]{0,300}\}\}|\{%[^{}%]{0,300}%\}", ""),  # a template
        (r"!\[\[[^\[\]]*\]\]|%%.*?%%|\^\[[^\[\]]*\]", ""),  # an image, a comment, a note of wikis and of Pandoc
        (r"\[\[(?:[^\[\]|]*\|)?([^\[\]|]*)\]\]", r"\1"),  # a link of wikis: its text
        (r"!\[[^\[\]]*\]\([^()]*\)", " "),  # an image
        (r"\[\^[^\[\]\s]+\]", ""),  # a footnote's mark
        (r"(?<!\w)@(?:fig|sec|tbl|eq|lst|thm)-[\w-]+", ""),  # a cross-reference of Quarto
        # CriticMarkup: additions stay, deletions and comments are removed.
        (r"\{(?:>>|--)(?:(?!<<\}|--\})[^{}]){0,1000}(?:<<|--)\}", ""),
        (r"\{(?:\+\+([^{}]{0,1000})\+\+|==([^{}]{0,1000})==|~~[^{}~]{0,1000}~>([^{}]{0,1000})~~)\}", r"\1\2\3"),
        (r"\s?\[(?:[^\[\]@]{0,60}[\s;])?-?@\w[^\[\]]{0,300}\]", ""),  # a citation of Pandoc
        (r"(?:(?<=[.,;:!?\"'”’)])|(?<=[a-z]{3}))\^\d{1,3}(?:,\d{1,3}){0,9}\^", ""),  # a superscript footnote mark
        (r"(?<=[\dMDSJ])\^(st|nd|rd|th|er?|re|rs?|t)\^", r"\1"),  # 2^nd^, M^r^
        (r"(?<=[\w)])\^(?:\{([-−+\w./]{1,12})\}|\(([-−+\w./]{1,12})\))", r"^\1\2"),  # exponents: 2^{32}, 2^(1/2)
        (r"(?<=[\w)])\^([-−+\w.]{1,12})\^", r"^\1"),  # 2^32^, as Pandoc writes it
        (r"(?:^|\s)\^(?=[\w-]*[^\W\d])[\w-]{2,40}\s*\Z", ""),  # a block id of Obsidian
        (r"\[(?:Pg|Page)\.? ?[\divxlc]+\]", ""),  # a page number in the style of Project Gutenberg
        (r"\[([^\[\]]*)\]\([^()\s]*(?:\s+\"[^\"]*\")?\)", r"\1"),  # a link: its text
        (r"\[([^\[\]]+)\]\[[^\[\]]*\]", r"\1"),
        (r"^[ \t]*>[> \t]*", ""),  # block quotes of Markdown
        (r"\\$", ""),  # a hard line break of Markdown
        (r"\[([^\[\]]*)\]\{[:#.][^{}]*\}", r"\1"),  # a span with attributes
        (r"(?:(?<=[.,;:!?\"'”’)])|^)[¹²³⁰⁴-⁹]{1,3}(?=\s|$)", ""),  # superscript footnote marks
        (r"(?<=[\])\w])\{[:#.][^{}]*\}|(?<!\S)\{[:#.][^{}]*\}|\{\d{1,3}\}", ""),  # attributes; footnote marks
        (
            r"(?<![\w$\\])\$\$?(?=[^\s$])[^$]*\\[^$]*(?<=[^\s$\\])\$\$?(?![\w$])",
            "",
        ),  # a formula in TeX
        (r"(?<![\w$\\])(\$\$?)(?=[^\s$])([^$\n]*[=+^_<>][^$\n]*|[A-Za-z])(?<=[^\s$\\])\1(?![\w$])", r"\2"),
        (r"(?<![\w=])==(?=[^\s=])([^=]+)(?<=\S)==(?![\w=])", r"\1"),  # highlighted
        (r"(?<![\w:]):[a-z][a-z0-9_+-]+:(?![\w:])", ""),  # :smile:
        (r"`+", ""),
        (r"(?<![\w\\*])\*+(?=[^\s*])|(?<=[^\s*\\])\*+(?!\w|\*)", ""),  # *emphasis*, but not 2*3
        (
            r"(?<![^\W_])(?<!\\)_{1,200}(?=[^\W_]|[^\s\w])|(?<=[^\s_\\])_+(?![^\W_])",
            "",
        ),  # _emphasis_, but not snake_case
        (r"\\([\\`*_{}\[\]()#+.!>-])", r"\1"),
        # A word hyphenated at the end of a line. The hyphens of sister-in-law stay.
        (r"(?<![\w-])([^\W\d_]{2,})-[ \t]*\n[ \t]*([^\W\d_]+)\b(?!-)", r"\1\2"),
        (r"-[ \t]*\n[ \t]*(?=\w)", "-"),
    )
)
_MARK = re.compile(r"[<>~\[\]`*_\\&{$^¹²³⁰⁴-⁹]|-[ \t]*\n|==|%%|:[a-z]|@[a-z]")
_ENTITY = re.compile(r"&(?:#\d+|#x[0-9a-fA-F]+|[a-zA-Z]+\d*);")
_LINE_END = "\ue000"  # a private character that no text has
_LINE_ENDS = re.compile(rf"\s*(?:{_LINE_END}\s*)+")
# A numeral that is a whole line of a heading, or is followed by a stop or colon and a title: not an initial of a name.
_NUMERAL = re.compile(
    r"\A(?:0+(?P<digits>\d{1,3})\b|(?P<roman>[IVXLC]+)(?=[.:]?\Z|[.:]\s+(?![A-Z]\.)[\"'“‘]?[A-Z0-9]))"
)
_FRAME = re.compile(r"\A[-–—~•*\[(]\s*(\d{1,3}|[IVXLC]+)\s*[-–—~•*\])]\Z")  # - 1 -
_COLON = re.compile(r"\A(\d{1,4}):(?=\s)")  # after a chapter number; it becomes a full stop, for a longer pause
_ENDS_A_LINE = tuple(".!?:;,…—-\"'”’)")


def plain_words(text: str) -> str:
    """Return `text` on one line and without markup; words hyphenated at line ends are joined."""
    if not _MARK.search(text):  # nearly all sentences of a novel
        return " ".join(text.split())
    for start, end in reversed(find_comments(text, 0, len(text))):
        text = f"{text[:start]} {text[end:]}"
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return " ".join(_ENTITY.sub(lambda match: html.unescape(match[0]), text).split())


def find_comments(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Return the spans of the HTML comments in `text[start:end]`. One that is not closed is ordinary text."""
    found = []
    while (start := text.find("<!--", start, end)) >= 0:
        close = text.find("-->", start + 4, end)
        if close < 0:
            break
        found.append((start, close + 3))
        start = close + 3
    return found


def plain_lines(text: str) -> str:
    """Return `plain_words` of verse or an address. A line without punctuation at its end gets a comma, for a pause."""
    words = plain_words(text.replace("\n", f" {_LINE_END} "))
    return _LINE_ENDS.sub(_pause, words).strip()


def _pause(match: re.Match[str]) -> str:
    return " " if not match.start() or match.string[match.start() - 1] in _ENDS_A_LINE else ", "


def plain_heading(text: str, *, numbers: bool = False) -> str:
    """Return `plain_words` of a heading. Its lines get full stops, for a pause after "Chapter 1".

    Args:
        text: As written.
        numbers: Whether Roman numerals at its beginning become digits, and "01" becomes "1".
    """
    lines = [line for line in map(plain_words, text.split("\n")) if line]
    if numbers:
        lines = [_COLON.sub(r"\1.", _NUMERAL.sub(_digits, _FRAME.sub(r"\1", line))) for line in lines]
    return " ".join(line if line.endswith(_ENDS_A_LINE) or line.lower() == "by" else line + "." for line in lines)


def _digits(match: re.Match[str]) -> str:
    if match["digits"]:
        return match["digits"]
    value = roman_value(match["roman"])
    is_initial = match["roman"] in "CDLM" and bool(match.string[match.end() :].strip(" .:"))
    return match[0] if value is None or is_initial else str(value)
