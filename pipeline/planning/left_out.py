"""List and count the source text that is not spoken, with reasons and chapters, and warn if there is much."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.text.skip_reasons import Reason
from pipeline.types import Document

_MAX_SHARE = 0.05  # share of the words that may be left out for unexpected reasons without a warning
_MIN_LOST = 20  # words; fewer cause no warning in short texts
_MAX_CHAPTERS = 300  # counted individually; limits memory for tables with a title in every row
_MAX_WARNINGS = 20
_BEFORE = "(before the first chapter)"
_TITLE_WIDTH = 32
_WIDTH = 100


@dataclass(frozen=True)
class LeftOut:
    """Source text that is in no segment, or a part of the source that could not be read."""

    source_id: str
    reason: str
    start: int  # offsets into the source text, in characters
    end: int
    text: str
    chapter: str = ""  # title of its chapter; "": before the first chapter
    chapter_number: int = 0  # from 1; 0: before the first chapter
    detail: str = ""  # name of an unreadable page, and the error
    expected: bool = True  # narrators omit it too: notes, table of contents, imprint ...


def left_out_of(document: Document) -> Iterator[LeftOut]:
    """Yield the parts of a document that contain words and are not spoken."""
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
    """Counts of text that is not spoken, for all documents."""

    stretches: Counter[str] = field(default_factory=Counter)  # reason -> number of parts
    chapters: dict[tuple[str, int], tuple[str, Counter[str]]] = field(
        default_factory=dict
    )  # (source id, chapter) -> title, words by reason
    warnings: list[str] = field(default_factory=list)

    def add(self, document: Document) -> list[LeftOut]:
        """Count a document and return its text that is not spoken."""
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
        """Format the counts by chapter for the terminal."""
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
        """Warn if much of a text is left out for unexpected reasons, or if a book has only one chapter."""
        spoken = sum(len(paragraph.text.split()) for chapter in document.chapters for paragraph in chapter.paragraphs)
        words, lost = spoken + left_out, unexpected.total()
        if lost >= _MIN_LOST and lost > _MAX_SHARE * words:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in unexpected.most_common(5))
            self._warn(document, f"{lost:,} of {words:,} words ({lost / words:.0%}) are left out: {reasons}")
        is_selected = any(skip.reason == Reason.NOT_SELECTED for skip in document.skips)
        if document.num_pages > 1 and len(document.chapters) == 1 and not is_selected:
            self._warn(
                document,
                f"{document.num_pages} pages became a single chapter; check the table of contents",
            )

    def _warn(self, document: Document, message: str) -> None:
        if len(self.warnings) < _MAX_WARNINGS:
            self.warnings.append(f"{document.id}: {message}")


def _is_expected(reason: str) -> bool:
    try:
        return Reason(reason).is_expected
    except ValueError:
        return False
