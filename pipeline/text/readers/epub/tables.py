"""Tell tables of text (prose, drama, verse, layout) from tables of figures."""

from __future__ import annotations

import re

from lxml import etree

from pipeline.text.readers.epub.parsing import tag_of, types_of

_SPEECH_TYPES = ("persona", "drama", "poem", "verse", "dialogue", "letter")
_WORD = re.compile(r"[^\W\d_]{2,}|\b[AIO]\b")
_SENTENCE_END = re.compile(r"[.!?…:;—][\"'”’)]*\Z")
_MIN_PROSE_WORDS = 4
_MAX_LABEL = 40  # characters of a speaker's name


def is_text_table(table: etree._Element) -> bool:
    """Return whether a table is spoken, row by row.

    It is if it has one column, is declared as layout, holds another table, or if at least half of its words are in
    cells of prose: with several words, or a sentence.
    """
    if table.get("role") in ("presentation", "none"):
        return True
    rows: list[list[str]] = []
    for element in table.iterdescendants():
        tag = tag_of(element)
        if tag == "table" or any(kind.rpartition(":")[2] in _SPEECH_TYPES for kind in types_of(element)):
            return True
        if tag == "tr":
            rows.append([])
        elif tag in ("td", "th") and (words := " ".join("".join(map(str, element.itertext())).split())):
            rows = rows or [[]]
            rows[-1].append(words)
    if all(len(row) < 2 for row in rows):
        return True
    prose = others = 0
    for cell in (cell for row in rows for cell in row):
        count = len(cell.split())
        if _is_prose(cell):
            prose += count
        else:
            others += count
    return prose >= others


def is_label(cell: etree._Element) -> bool:
    """Return whether a cell is the first of its row and short, as the name of a speaker is."""
    row = cell.getparent()
    words = "".join(map(str, cell.itertext())).strip()
    is_first = row is not None and next((each for each in row if tag_of(each) in ("td", "th")), None) is cell
    return is_first and row is not None and tag_of(row) == "tr" and len(row) > 1 and 0 < len(words) <= _MAX_LABEL


def _is_prose(cell: str) -> bool:
    tokens = cell.split()
    words = _WORD.findall(cell)
    if len(words) * 2 <= len(tokens):
        return False
    return len(words) >= _MIN_PROSE_WORDS or bool(_SENTENCE_END.search(cell))
