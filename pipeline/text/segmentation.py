"""Cut `Document`s into `Segment`s: spans of text that are spoken in one generation.

Parler-TTS speaks best if segments are long, of even length, and within the limit. So the sentences of a paragraph are
packed by an optimisation. Its *units* are sentences, and parts of sentences that are too long. Each way to join
neighbouring units has a cost: the squared distance of each segment from the limit, a penalty for a cut inside a
sentence, and a large one for a very short segment. Dynamic programming finds the way with the lowest cost.

How long a text lasts is predicted by the function `predict_seconds` of the caller.
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

# Costs. 1 is that of an almost empty segment, and so of one more segment.
_COST_OF_CUT = {Boundary.SENTENCE: 0.0, Boundary.CLAUSE: 0.5, Boundary.NONE: 1.0}
_COST_OF_SHORT = 4.0
_COST_OF_UNSPEAKABLE = 100.0

_MANY_UNITS = 100
_UNITS_PER_SEGMENT = 8  # of a paragraph with many units, on average at most

# CLAUSE_MARKS[:_NUM_PUNCTUATION] are punctuation, where a voice pauses; the others are conjunctions.
_NUM_PUNCTUATION = 3


@dataclass(frozen=True)
class _Unit:
    """A sentence, or a part of one that is too long. It is not cut again."""

    span: Span
    after: Boundary


class _ParagraphMeasurer:
    """Measures spans of one paragraph: their spoken form and predicted duration.

    Sentences are normalised one by one, so that a spoken form does not depend on the neighbours, and each only once,
    however many ways to join it are tried.
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
        """Return the spoken form of a span."""
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

    def cost(self, span: Span, after: Boundary) -> float:
        """Return the cost of one segment. Above the limit, its length costs nothing: it cannot be cut."""
        seconds, speakable = self._measure(span)
        slack = max(0.0, 1 - seconds / self.max_seconds)
        short = _COST_OF_SHORT if seconds < self.min_seconds else 0.0
        unspeakable = 0.0 if speakable else _COST_OF_UNSPEAKABLE
        return slack**2 + short + unspeakable + _COST_OF_CUT[after]


def segment_document(
    document: Document,
    text: TextConfig,
    predict_seconds: Callable[[str], float],
    on_paragraph: Callable[[int], object] = lambda _: None,
) -> list[Segment]:
    """Cut a document into segments, in reading order.

    Args:
        document: The text. Its skips are left out; all other text is in exactly one segment.
        text: Limits, and whether text is normalised.
        predict_seconds: Predicts the duration of a spoken text.
        on_paragraph: Called with the number of characters of each finished paragraph.

    Returns:
        The segments. One that cannot be spoken has a `problem`.
    """
    if not text.split:
        return [_one_segment(document, text, predict_seconds)]
    segments: list[Segment] = []
    for number, chapter in enumerate(document.chapters):
        for position, paragraph in enumerate(chapter.paragraphs):
            measurer = _ParagraphMeasurer(paragraph, document.language, text, predict_seconds)
            is_last = position == len(chapter.paragraphs) - 1
            units = _segment_paragraph(measurer)
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
                        spoken=measurer.spoken(unit.span),
                        boundary=boundary,
                        problem=_problem(measurer, unit.span),
                    )
                )
            on_paragraph(len(paragraph.text))
    return segments


def _one_segment(document: Document, text: TextConfig, predict_seconds: Callable[[str], float]) -> Segment:
    """Return the whole document as one segment, for `text.split=false`, with no pauses between paragraphs."""
    paragraphs = [paragraph for chapter in document.chapters for paragraph in chapter.paragraphs]
    measurers = [_ParagraphMeasurer(paragraph, document.language, text, predict_seconds) for paragraph in paragraphs]
    spoken = " ".join(filter(None, (measurer.spoken((0, len(measurer.text))) for measurer in measurers)))
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


def _problem(measurer: _ParagraphMeasurer, span: Span) -> str | None:
    """Return why a span cannot be spoken; None: it can. Rejects are counted by the code before the colon."""
    text = measurer.text[slice(*span)]
    if not text.strip():
        return "empty: the text is empty"
    if not measurer.is_speakable(span):
        return "symbols: only symbols, no words to speak"
    if not measurer.fits(span):
        return (
            f"too-long: a word of {len(text.strip())} characters would last {measurer.seconds(span):.0f} s and cannot "
            f"be cut below text.max_seconds={measurer.max_seconds:g}"
        )
    return None


def _segment_paragraph(measurer: _ParagraphMeasurer) -> list[_Unit]:
    """Cut a paragraph into units and pack them; if a segment is very short, try again with clauses as units."""
    whole = (0, len(measurer.text))
    if measurer.seconds(whole) < measurer.min_seconds or not measurer.is_speakable(whole):
        return [_Unit(whole, Boundary.SENTENCE)]
    packed = _pack(
        _limit_units(
            [unit for sentence in measurer.sentences for unit in _split_sentence(measurer, sentence)], measurer
        ),
        measurer,
    )
    if not _count_short(packed, measurer):
        return packed
    clauses = [
        unit for sentence in measurer.sentences for unit in _split_sentence(measurer, sentence, every_clause=True)
    ]
    moved = _pack(_limit_units(clauses, measurer), measurer)
    return moved if _count_short(moved, measurer) < _count_short(packed, measurer) else packed


def _limit_units(units: list[_Unit], measurer: _ParagraphMeasurer) -> list[_Unit]:
    """Join small neighbours in a long paragraph with far more units than segments, such as "a, a, a, a".

    Packing tries every way to join units, so many small ones would take long. Paragraphs of books have fewer.
    """
    max_unit_seconds = measurer.max_seconds / (
        _UNITS_PER_SEGMENT if len(units) < 10 * _MANY_UNITS else _UNITS_PER_SEGMENT / 2
    )
    if len(units) < _MANY_UNITS or sum(measurer.seconds(unit.span) for unit in units) > len(units) * max_unit_seconds:
        return units
    joined: list[_Unit] = []
    total = math.inf
    for unit in units:
        seconds = measurer.seconds(unit.span)
        if total + seconds <= max_unit_seconds:
            joined[-1] = _Unit((joined[-1].span[0], unit.span[1]), unit.after)
            total += seconds
        else:
            joined.append(unit)
            total = seconds
    return joined


def _count_short(units: list[_Unit], measurer: _ParagraphMeasurer) -> int:
    return sum(measurer.seconds(unit.span) < measurer.min_seconds for unit in units)


def _split_sentence(measurer: _ParagraphMeasurer, sentence: Span, *, every_clause: bool = False) -> list[_Unit]:
    """Split a sentence into as few parts as its length needs, or at every punctuation mark."""

    def parts_of(span: Span, rank: int) -> list[_Unit]:
        if measurer.fits(span) and not (every_clause and rank < _NUM_PUNCTUATION):
            return [_Unit(span, Boundary.SENTENCE)]
        if rank == len(CLAUSE_MARKS):
            return _split_at_words(measurer, span)
        after = Boundary.CLAUSE if rank < _NUM_PUNCTUATION else Boundary.NONE
        found: list[_Unit] = []
        for part in split_at(measurer.text, span, CLAUSE_MARKS[rank]):
            inner = parts_of(part, rank + 1)
            found += [*inner[:-1], _Unit(inner[-1].span, after)]
        return found

    units = parts_of(sentence, 0)
    return [*units[:-1], _Unit(units[-1].span, Boundary.SENTENCE)]


def _split_at_words(measurer: _ParagraphMeasurer, span: Span) -> list[_Unit]:
    """Split a span between words into parts of even length that fit; a word that does not fit is a part."""
    units: list[_Unit] = []
    run: list[Span] = []
    for word in split_words(measurer.text, span):
        if measurer.fits(word):
            run.append(word)
            continue
        units += [*_even_parts(measurer, run), _Unit(word, Boundary.NONE)]
        run = []
    return units + _even_parts(measurer, run)


def _even_parts(measurer: _ParagraphMeasurer, words: list[Span]) -> list[_Unit]:
    """Join words to the fewest parts of about the same number of characters that all fit."""
    if not words:
        return []
    start, end = words[0][0], words[-1][1]
    word_ends = [word_end for _, word_end in words]
    fewest = count = max(1, math.ceil(measurer.seconds((start, end)) / measurer.max_seconds))
    while count < len(words):
        cuts = {start, end}
        for number in range(1, count):
            cuts.add(_nearest(word_ends, start + (end - start) * number / count))
        spans = list(pairwise(sorted(cuts)))
        if all(map(measurer.fits, spans)):
            return [_Unit(part, Boundary.NONE) for part in spans]
        # One more is nearly always enough. Larger steps avoid quadratic time for words of very uneven length.
        count += 1 + (count - fewest) // 8
    return [_Unit(word, Boundary.NONE) for word in words]


def _nearest(ordered: Sequence[int], ideal: float) -> int:
    """Return the number nearest to `ideal`, of two equally near ones the smaller."""
    after = bisect_left(ordered, ideal)
    return min(ordered[max(0, after - 1) : after + 1], key=lambda number: abs(number - ideal))


def _pack(units: list[_Unit], measurer: _ParagraphMeasurer) -> list[_Unit]:
    """Join neighbouring units to segments with the lowest total cost."""
    best: list[tuple[float, int]] = [(0.0, 0)]  # for the first n units: cost, and the first unit of the last segment
    for n in range(1, len(units) + 1):
        choices = []
        for first in range(n - 1, -1, -1):
            span = (units[first].span[0], units[n - 1].span[1])
            if first < n - 1 and not measurer.fits(span):
                break
            after = units[n - 1].after if n < len(units) else Boundary.SENTENCE
            choices.append((best[first][0] + measurer.cost(span, after), first))
        best.append(min(choices))
    packed: list[_Unit] = []
    n = len(units)
    while n:
        first = best[n][1]
        packed.append(_Unit((units[first].span[0], units[n - 1].span[1]), units[n - 1].after))
        n = first
    return packed[::-1]
