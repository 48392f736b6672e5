"""Title, author, and the text around a book that does not belong to it.

Three forms are read: the header and footer of Project Gutenberg, the front matter of Markdown (`---`), and a title page
(a line with the title, then "by" and a name).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice

from pipeline.config.schema_text import LANGUAGE_CODE
from pipeline.text.skip_reasons import Reason
from pipeline.text.structure.blocks import display_title
from pipeline.text.structure.gutenberg import find_notices
from pipeline.types import Skip


@dataclass(frozen=True)
class FrontMatter:
    """What is known from the beginning and end of a text. The book itself is `text[start:end]`."""

    start: int
    end: int
    title: str = ""
    author: str = ""
    language: str = ""  # a tag such as "en-GB"
    title_page_end: int = 0  # offset before which there are no headings
    skips: tuple[Skip, ...] = ()  # before `start`, behind `end`, or between two books of one file


_FIELD = re.compile(r"^(title|author|lang(?:uage)?)[ \t]*[:=][ \t]*[\"']?(.+?)[\"']?[ \t]*$", re.I | re.M)
_FRONT_MATTER = re.compile(
    r"---[ \t]*\n(?P<yaml>(?:.*\n)*?)(?:---|\.\.\.)[ \t]*(?:\n|\Z)|"
    r"\+\+\+[ \t]*\n(?P<toml>(?:.*\n)*?)\+\+\+[ \t]*(?:\n|\Z)"
)
# Front matter without `---`, as MultiMarkdown and Scrivener write it: lines "Key: value" up to an empty line.
_AUTHORS = re.compile(
    r"^author[ \t]*[:=][ \t]*(\[[^\[\]\n]{1,500}\]|(?:\n[ \t]*-[ \t]+\S.*){1,20})[ \t]*$", re.I | re.M
)
_METADATA = re.compile(
    r"(?:title|author)[ \t]*:[ \t]*\S.*\n(?:[A-Za-z][\w ]{0,30}:[ \t]*\S.*\n|[ \t]+\S.*\n)+(?=[ \t]*\n)", re.I
)
_BY_LINE = re.compile(r"[*_]*(?:written\s+)?by[*_]*(?:\s+(?P<author>\S.{1,70}))?", re.I)
_WORD = re.compile(r"[^\W\d_][\w.'’-]*")
_SMALL_WORD = re.compile(r"the|an?|of|and|de[lr]?|di|du|la|le|v[ao]n|zu")  # in or before a name; these prove nothing
_LONGEST_NAME = 4  # words of a name without capital letters
_YEAR = re.compile(r"\s*[(\[]\d{4}[)\]]\s*$")


def read_plain_front_matter(text: str) -> FrontMatter:
    """Return what the edges of a plain text say."""
    start, end = 0, len(text)
    fields: dict[str, str] = {}
    notices = find_notices(text)
    for notice in notices:
        if notice.start == 0:
            fields = _fields(text[: notice.end])
            start = notice.end
        elif notice.end == len(text):
            end = notice.start
    title, author, title_page_end = _title_page(text, start, end)
    return FrontMatter(
        start,
        end,
        fields.get("title") or title,
        fields.get("author") or author,
        title_page_end=title_page_end,
        skips=tuple(Skip(notice.start, notice.end, notice.reason.value) for notice in notices),
    )


def read_markdown_front_matter(text: str) -> FrontMatter:
    """Return the front matter of a Markdown text, also the title and the paragraph "by ..." below it."""
    start = 0
    fields: dict[str, str] = {}
    skips: list[Skip] = []
    framed = _FRONT_MATTER.match(text)
    if found := framed or _METADATA.match(text):
        fields = _fields(found[0])
        start = len(found[0])
        skips.append(Skip(0, start, Reason.FRONT_MATTER.value))
    page = "\n".join(text[start:].split("\n", 20)[:20])
    lines = [line for line in page.split("\n") if line.strip()]
    title = author = ""
    if lines and re.match(r"#[ \t]+\S", lines[0]):
        for line in lines[1:3]:
            if (by := _by_line(line.strip("# \t"), page)) and by["author"]:
                title, author = display_title(lines[0].strip("# \t")), by["author"].strip("*_. ")
    language = fields.get("lang") or fields.get("language") or ""
    return FrontMatter(
        start,
        len(text),
        fields.get("title") or title,
        fields.get("author") or author,
        language if LANGUAGE_CODE.fullmatch(language) else "",
        skips=tuple(skips),
    )


def _fields(text: str) -> dict[str, str]:
    fields = {found[1].lower(): found[2] for found in reversed(list(_FIELD.finditer(text)))}
    if found := _AUTHORS.search(text):
        names = re.findall(r"[^\s\[\],\"'-][^\[\],\"'\n]*", found[1])
        fields["author"] = ", ".join(name.removeprefix("name:").strip() for name in names)
    return fields


def _by_line(line: str, page: str) -> re.Match[str] | None:
    """Match a line of `page` that begins with "by" and a name, and not with the rest of a sentence ("by noon").

    Some scripts and names have no capital letters, so a few words without a stop between blank lines are a name too.
    """
    found = _BY_LINE.fullmatch(line)
    if found is None or not found["author"]:
        return found
    words = [word for word in _WORD.findall(found["author"]) if not _SMALL_WORD.fullmatch(word)]
    if sum(not word[0].islower() for word in words) * 2 >= len(words):
        return found
    lines = "\n".join(each.strip("# \t") for each in page.split("\n"))
    is_alone = f"\n\n{line}\n\n" in f"{lines}\n\n"
    return found if is_alone and len(words) <= _LONGEST_NAME and line[-1] not in '.,;:!?…"”' else None


def _title_page(text: str, start: int, end: int) -> tuple[str, str, int]:
    """Return title and author, if one of the first lines begins with "by", and where that line ends; else "", "", 0."""
    page = text[start : min(end, start + 2000)]
    opening = list(islice(re.finditer(r"[^\n]*\S[^\n]*", page), 8))
    words = [line[0].strip() for line in opening]
    for i, line in enumerate(words):
        by = _by_line(line, page)
        if by is None or i == 0 or any(len(above) > 90 for above in words[:i]):
            continue
        author_line = i if by["author"] else i + 1
        if author_line == len(words):
            break
        author = _YEAR.sub("", by["author"] or words[author_line]).strip("*_. ")
        title = display_title("\n".join(above for above in words[:i] if not _YEAR.fullmatch(above)))
        return title, display_title(author), start + opening[author_line].end()
    return "", "", 0
