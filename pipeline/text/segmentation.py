"""From a `Document` to `Segment`s: spans of text that are spoken in one generation.

Inside a paragraph the whole sentences are packed so that the segments are long, even, and never over the limit: that is
where Parler-TTS speaks best. A paragraph is one small optimisation. Every way to join neighbouring *units* (sentences,
or pieces of those that are too long) has a price: the squared distance of each segment from the limit, plus something
for a cut inside a sentence, and a lot for a very short segment. The cheapest way wins (dynamic programming).

It knows nothing of audio or tokens: how long a spoken text lasts is what `predict_seconds` says.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipeline.config import TextConfig
from pipeline.text.normalization import is_speakable
from pipeline.text.sentences import CLAUSE_MARKS, Span, split_at, split_sentences, split_words
from pipeline.text.spoken_form import base_language, spoken_form
from pipeline.types import Boundary, Document, Paragraph, Segment

# Prices, where 1 is a segment that is nearly empty: what it costs to have one more segment.
_PRICE_OF_A_CUT = {Boundary.SENTENCE: 0.0, Boundary.CLAUSE: 0.5, Boundary.NONE: 1.0}
_PRICE_OF_SHORT = 4.0
_PRICE_OF_MUTE = 100.0

_MANY_UNITS = 100
_CRUMBS = 8  # units that a segment may be put together from, on average

# CLAUSE_MARKS[:_AUDIBLE] are punctuation, where a voice pauses; after them come conjunctions.
_AUDIBLE = 3


@dataclass(frozen=True)
class _Unit:
    """What is never cut again: a sentence, or a piece of one that is too long."""

    span: Span
    after: Boundary


class _Ruler:
    """The spoken form of spans of one paragraph and how long they last.

    A sentence is the context of normalisation: how it sounds does not depend on its neighbours, and it is normalised
    once, however many ways to join it are tried.
    """

    def __init__(
        self, paragraph: Paragraph, language: str, config: TextConfig, predict_seconds: Callable[[str], float]
    ) -> None:
        self.text = paragraph.text
        self.sentences = split_sentences(paragraph.text, base_language(language))
        self._starts = [start for start, _ in self.sentences]
        self.max_seconds = config.max_seconds
        self.min_seconds = config.min_seconds
        self._language = language
        self._normalize = config.normalize
        self._is_heading = paragraph.is_heading
        self._keeps_lines = paragraph.keeps_lines
        self._predict_seconds = predict_seconds
        self._phrases: dict[Span, str] = {}
        self._measured: dict[Span, tuple[float, bool]] = {}  # seconds, and whether there is anything to say

    def spoken(self, span: Span) -> str:
        first, last = bisect_right(self._starts, span[0]) - 1, bisect_left(self._starts, span[1])
        inside = ((max(start, span[0]), min(end, span[1])) for start, end in self.sentences[first:last])
        return " ".join(filter(None, map(self._phrase, inside)))

    def _phrase(self, span: Span) -> str:
        if span not in self._phrases:
            self._phrases[span] = spoken_form(
                self.text[slice(*span)],
                self._language,
                self._normalize,
                is_heading=self._is_heading,
                keeps_lines=self._keeps_lines,
            )
        return self._phrases[span]

    def _measure(self, span: Span) -> tuple[float, bool]:
        measured = self._measured.get(span)
        if measured is None:
            spoken = self.spoken(span)
            measured = self._measured[span] = (self._predict_seconds(spoken), is_speakable(spoken))
        return measured

    def seconds(self, span: Span) -> float:
        return self._measure(span)[0]

    def is_speakable(self, span: Span) -> bool:
        return self._measure(span)[1]

    def fits(self, span: Span) -> bool:
        return self.seconds(span) <= self.max_seconds

    def price(self, span: Span, after: Boundary) -> float:
        """Cost of one segment. One that is too long cannot be cut, so that its length is nobody's choice."""
        seconds, speakable = self._measure(span)
        slack = max(0.0, 1 - seconds / self.max_seconds)
        short = _PRICE_OF_SHORT if seconds < self.min_seconds else 0.0
        mute = 0.0 if speakable else _PRICE_OF_MUTE
        return slack**2 + short + mute + _PRICE_OF_A_CUT[after]


def segment_document(
    document: Document,
    text: TextConfig,
    predict_seconds: Callable[[str], float],
    on_paragraph: Callable[[int], object] = lambda _: None,
) -> list[Segment]:
    """Cuts a document into segments, in reading order.

    Args:
        document: What is cut. Its skips are left out; everything else is in exactly one segment.
        text: The limits, and whether English is normalised. Other languages only get their white space folded.
        predict_seconds: How long a spoken text will last.
        on_paragraph: Called with the number of characters of each paragraph that is done.

    Returns:
        The segments. One that cannot be spoken says so in `problem`.
    """
    if not text.split:
        return [_one_segment(document, text, predict_seconds)]
    segments: list[Segment] = []
    for number, chapter in enumerate(document.chapters):
        for position, paragraph in enumerate(chapter.paragraphs):
            ruler = _Ruler(paragraph, document.language, text, predict_seconds)
            is_last = position == len(chapter.paragraphs) - 1
            units = _arrange(ruler)
            for unit in units:
                start, end = unit.span
                if unit is units[-1]:
                    boundary = Boundary.CHAPTER if is_last else paragraph.boundary
                else:
                    boundary = unit.after
                segments.append(
                    Segment(
                        source_id=document.id,
                        chapter=number,
                        index=len(segments),
                        start=paragraph.start + start,
                        end=paragraph.start + end,
                        text=paragraph.text[start:end],
                        spoken=ruler.spoken(unit.span),
                        boundary=boundary,
                        problem=_problem(ruler, unit.span),
                    )
                )
            on_paragraph(len(paragraph.text))
    return segments


def _one_segment(document: Document, text: TextConfig, predict_seconds: Callable[[str], float]) -> Segment:
    """The whole document as one segment, for `text.split=false`; its paragraphs follow each other without a pause."""
    paragraphs = [paragraph for chapter in document.chapters for paragraph in chapter.paragraphs]
    rulers = [_Ruler(paragraph, document.language, text, predict_seconds) for paragraph in paragraphs]
    spoken = " ".join(filter(None, (ruler.spoken((0, len(ruler.text))) for ruler in rulers)))
    problem, seconds = None, predict_seconds(spoken)
    if not document.text.strip():
        problem = "empty: the text is empty"
    elif not is_speakable(spoken):
        problem = "symbols: only symbols, no words to speak"
    elif seconds > text.max_seconds:
        problem = (
            f"too-long: about {seconds:.0f} s of speech, more than text.max_seconds={text.max_seconds:g}, and "
            "text.split=false keeps it in one"
        )
    start, end = paragraphs[0].start, paragraphs[-1].start + len(paragraphs[-1].text)
    return Segment(
        source_id=document.id,
        chapter=0,
        index=0,
        start=start,
        end=end,
        text=document.text[start:end],
        spoken=spoken,
        boundary=Boundary.CHAPTER,
        problem=problem,
    )


def _problem(ruler: _Ruler, span: Span) -> str | None:
    """Why a span cannot be spoken. It opens with a code that stays the same, so that rejects can be counted by it."""
    text = ruler.text[slice(*span)]
    if not text.strip():
        return "empty: the text is empty"
    if not ruler.is_speakable(span):
        return "symbols: only symbols, no words to speak"
    if not ruler.fits(span):
        return (
            f"too-long: a word of {len(text.strip())} characters would last {ruler.seconds(span):.0f} s and cannot be "
            f"cut below text.max_seconds={ruler.max_seconds:g}"
        )
    return None


def _arrange(ruler: _Ruler) -> list[_Unit]:
    """Cuts a paragraph into units and packs them; if a very short segment is left over, clauses may move to it."""
    whole = (0, len(ruler.text))
    if ruler.seconds(whole) < ruler.min_seconds or not ruler.is_speakable(whole):
        return [_Unit(whole, Boundary.SENTENCE)]
    packed = _pack(_join_crumbs([unit for sentence in ruler.sentences for unit in _cut(ruler, sentence)], ruler), ruler)
    if not _count_short(packed, ruler):
        return packed
    clauses = [unit for sentence in ruler.sentences for unit in _cut(ruler, sentence, every_clause=True)]
    moved = _pack(_join_crumbs(clauses, ruler), ruler)
    return moved if _count_short(moved, ruler) < _count_short(packed, ruler) else packed


def _join_crumbs(units: list[_Unit], ruler: _Ruler) -> list[_Unit]:
    """Joins neighbours where a long paragraph falls into far more units than segments, as "a, a, a, a" does.

    Every way to join units is tried. No paragraph of a book has so many that this takes long.
    """
    crumb = ruler.max_seconds / (_CRUMBS if len(units) < 10 * _MANY_UNITS else _CRUMBS / 2)
    if len(units) < _MANY_UNITS or sum(ruler.seconds(unit.span) for unit in units) > len(units) * crumb:
        return units
    joined: list[_Unit] = []
    total = math.inf
    for unit in units:
        seconds = ruler.seconds(unit.span)
        if total + seconds <= crumb:
            joined[-1] = _Unit((joined[-1].span[0], unit.span[1]), unit.after)
            total += seconds
        else:
            joined.append(unit)
            total = seconds
    return joined


def _count_short(units: list[_Unit], ruler: _Ruler) -> int:
    return sum(ruler.seconds(unit.span) < ruler.min_seconds for unit in units)


def _cut(ruler: _Ruler, sentence: Span, *, every_clause: bool = False) -> list[_Unit]:
    """Cuts a sentence as little as its length asks for, or at every audible clause mark."""

    def pieces(span: Span, rank: int) -> list[_Unit]:
        if ruler.fits(span) and not (every_clause and rank < _AUDIBLE):
            return [_Unit(span, Boundary.SENTENCE)]
        if rank == len(CLAUSE_MARKS):
            return _cut_words(ruler, span)
        after = Boundary.CLAUSE if rank < _AUDIBLE else Boundary.NONE
        found: list[_Unit] = []
        for part in split_at(ruler.text, span, CLAUSE_MARKS[rank]):
            inner = pieces(part, rank + 1)
            found += [*inner[:-1], _Unit(inner[-1].span, after)]
        return found

    units = pieces(sentence, 0)
    return [*units[:-1], _Unit(units[-1].span, Boundary.SENTENCE)]


def _cut_words(ruler: _Ruler, span: Span) -> list[_Unit]:
    """Cuts a span between words into even pieces that fit; a word that does not fit stands alone."""
    units: list[_Unit] = []
    run: list[Span] = []
    for word in split_words(ruler.text, span):
        if ruler.fits(word):
            run.append(word)
            continue
        units += [*_even_pieces(ruler, run), _Unit(word, Boundary.NONE)]
        run = []
    return units + _even_pieces(ruler, run)


def _even_pieces(ruler: _Ruler, words: list[Span]) -> list[_Unit]:
    """Joins words to the fewest pieces of about the same number of characters that all fit."""
    if not words:
        return []
    start, end = words[0][0], words[-1][1]
    word_ends = [word_end for _, word_end in words]
    fewest = count = max(1, math.ceil(ruler.seconds((start, end)) / ruler.max_seconds))
    while count < len(words):
        cuts = {start, end}
        for number in range(1, count):
            cuts.add(_nearest(word_ends, start + (end - start) * number / count))
        spans = list(pairwise(sorted(cuts)))
        if all(map(ruler.fits, spans)):
            return [_Unit(piece, Boundary.NONE) for piece in spans]
        # One more is nearly always enough; in larger steps words of very uneven length take no quadratic time.
        count += 1 + (count - fewest) // 8
    return [_Unit(word, Boundary.NONE) for word in words]


def _nearest(ordered: Sequence[int], ideal: float) -> int:
    """The number nearest to an ideal one, of two as near the smaller."""
    after = bisect_left(ordered, ideal)
    return min(ordered[max(0, after - 1) : after + 1], key=lambda number: abs(number - ideal))


def _pack(units: list[_Unit], ruler: _Ruler) -> list[_Unit]:
    """Joins neighbouring units to segments at the lowest total price."""
    best: list[tuple[float, int]] = [(0.0, 0)]  # for the first n units: price, and where the last segment starts
    for n in range(1, len(units) + 1):
        choices = []
        for first in range(n - 1, -1, -1):
            span = (units[first].span[0], units[n - 1].span[1])
            if first < n - 1 and not ruler.fits(span):
                break
            after = units[n - 1].after if n < len(units) else Boundary.SENTENCE
            choices.append((best[first][0] + ruler.price(span, after), first))
        best.append(min(choices))
    packed: list[_Unit] = []
    n = len(units)
    while n:
        first = best[n][1]
        packed.append(_Unit((units[first].span[0], units[n - 1].span[1]), units[n - 1].after))
        n = first
    return packed[::-1]
