"""What of a source text is not spoken: the list with reasons and chapters, its counts, and when to warn."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.text.skip_reasons import Reason
from pipeline.types import Document

_MAX_SHARE = 0.05  # of a text's words that may be left out for unexpected reasons without a warning
_MIN_LOST = 20  # words: fewer are no warning, however short the text is
_MAX_CHAPTERS = 300  # that are counted one by one; a table whose every row has a title must not fill the memory
_MAX_WARNINGS = 20
_BEFORE = "(before the first chapter)"
_TITLE_WIDTH = 32
_WIDTH = 100


@dataclass(frozen=True)
class LeftOut:
    """Words of a source text that are in no segment, or a part of it that could not be read."""

    source_id: str
    reason: str
    start: int  # offsets into the source text, in characters
    end: int
    text: str
    chapter: str = ""  # title of the chapter that it lies in; "": before the first
    chapter_number: int = 0  # counted from 1; 0: before the first
    detail: str = ""  # the name of a page that could not be read, and why
    expected: bool = True  # a narrator leaves it out as well: notes, contents, imprint ...


def left_out_of(document: Document) -> Iterator[LeftOut]:
    """Yield what of `document` is not spoken, as far as there are words in it."""
    starts = [chapter.paragraphs[0].start for chapter in document.chapters if chapter.paragraphs]
    is_sorted = len(starts) == len(document.chapters)
    for skip in document.skips:
        text = document.text[skip.start : skip.end]
        if not skip.detail and not any(map(str.isalnum, text)):
            continue
        number = bisect_right(starts, skip.start) if is_sorted else 0
        title = document.chapters[number - 1].title if number else ""
        expected = _is_expected(skip.reason)
        yield LeftOut(document.id, str(skip.reason), skip.start, skip.end, text, title, number, skip.detail, expected)


@dataclass
class LeftOutCounts:
    """Adds up what is left out of all source texts."""

    stretches: Counter[str] = field(default_factory=Counter)  # by reason
    chapters: dict[tuple[str, int], tuple[str, Counter[str]]] = field(default_factory=dict)  # title, words by reason
    warnings: list[str] = field(default_factory=list)

    def add(self, document: Document) -> list[LeftOut]:
        """Count a source text; return what of it is left out."""
        found = list(left_out_of(document))
        unexpected: Counter[str] = Counter()
        left_out = 0
        for each in found:
            self.stretches[each.reason] += 1
            words = len(each.text.split())
            left_out += words
            if not each.expected:
                unexpected[each.reason] += words or 1
            key = (each.source_id, each.chapter_number)
            if key in self.chapters or len(self.chapters) < _MAX_CHAPTERS:
                self.chapters.setdefault(key, (each.chapter, Counter()))[1][each.reason] += words or 1
            if each.detail:
                self._warn(document, f"{each.reason}: {each.detail}")
        self._judge(document, unexpected, left_out)
        return found

    def lines(self) -> list[str]:
        """Lay the counts out by chapter, for a terminal."""
        if not self.chapters:
            return []
        result = [f"\n{'words left out':16}"]
        for (_, number), (title, counts) in self.chapters.items():
            name = " ".join(title.split()) if number else _BEFORE
            name = name if len(name) <= _TITLE_WIDTH else name[: _TITLE_WIDTH - 1] + "\u2026"
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common())
            line = f"{'':16}{name:{_TITLE_WIDTH}}  {reasons}"
            result.append(line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "\u2026")
        return result

    def _judge(self, document: Document, unexpected: Counter[str], left_out: int) -> None:
        """Warn where much of a text is left out for other reasons than a narrator would have."""
        spoken = sum(len(paragraph.text.split()) for chapter in document.chapters for paragraph in chapter.paragraphs)
        words, lost = spoken + left_out, unexpected.total()
        if lost >= _MIN_LOST and lost > _MAX_SHARE * words:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in unexpected.most_common(5))
            self._warn(document, f"{lost:,} of {words:,} words ({lost / words:.0%}) are left out: {reasons}")
        is_selected = any(skip.reason == Reason.NOT_SELECTED for skip in document.skips)
        if document.num_pages > 1 and len(document.chapters) == 1 and not is_selected:
            self._warn(document, f"{document.num_pages} pages with words became one chapter; is that right?")

    def _warn(self, document: Document, message: str) -> None:
        if len(self.warnings) < _MAX_WARNINGS:
            self.warnings.append(f"{document.id}: {message}")


def _is_expected(reason: str) -> bool:
    try:
        return Reason(reason).is_expected
    except ValueError:
        return False
