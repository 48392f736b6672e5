"""Alignment of what was heard with what should be spoken, word by word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from rapidfuzz.distance import Levenshtein

from pipeline.quality.transcript.sounds import same_sound, similarity
from pipeline.quality.transcript.words import Word, stretches

__all__ = ["Difference", "Step", "align", "character_errors", "word_errors"]

MAX_WORDS = 2_000  # of each side that are aligned: half an hour of speech. What follows counts as left out or added.
_MAX_CELLS = 10_000  # of a table inside a divergent stretch; a larger stretch is not looked at more closely
_SPANS = ((1, 1), (1, 2), (2, 1), (2, 2), (1, 3), (3, 1), (2, 3), (3, 2))  # words that may stand for one another
_GAP = 1.0  # cost of a word left out or added
_UNLIKE = 1.7  # cost of a pair of words that have nothing in common: less than one left out and one added
_SPAN = 0.05  # cost of joining words, so that pairs are preferred


class Difference(str, Enum):
    """What became of a stretch of words."""

    EQUAL = "equal"
    SAME_SOUND = "same sound"  # spelled, joined or separated otherwise
    SUBSTITUTED = "substituted"
    LEFT_OUT = "left out"
    ADDED = "added"


@dataclass(frozen=True)
class Step:
    """A stretch of the alignment: reference words [first, last), heard words [heard_first, heard_last)."""

    kind: Difference
    first: int
    last: int
    heard_first: int
    heard_last: int
    similarity: float = 0.0  # of a substitution, 0 to 1

    @property
    def is_error(self) -> bool:
        """Return whether the words differ."""
        return self.kind not in (Difference.EQUAL, Difference.SAME_SOUND)

    @property
    def num_errors(self) -> int:
        """Words that have to be changed, removed or added."""
        return max(self.last - self.first, self.heard_last - self.heard_first) if self.is_error else 0


def align(reference: Sequence[Word], heard: Sequence[Word]) -> tuple[Step, ...]:
    """Align two texts. The steps cover all words of both, in order.

    Equal words are found first, in time that is linear in the lengths for each word of difference. Stretches between
    them are looked at by sound, each in a table of bounded size.
    """
    forms, heard_forms = [word.form for word in reference], [word.form for word in heard]
    steps: list[Step] = []
    for is_equal, first, last, heard_first, heard_last in stretches(forms[:MAX_WORDS], heard_forms[:MAX_WORDS]):
        if is_equal:
            steps.append(Step(Difference.EQUAL, first, last, heard_first, heard_last))
        else:
            found = _look_closer(forms[first:last], heard_forms[heard_first:heard_last])
            steps += [_moved(step, first, heard_first) for step in found]
    if len(forms) > MAX_WORDS:
        end = min(len(heard), MAX_WORDS)
        steps.append(Step(Difference.LEFT_OUT, MAX_WORDS, len(forms), end, end))
    if len(heard_forms) > MAX_WORDS:
        steps.append(Step(Difference.ADDED, len(forms), len(forms), MAX_WORDS, len(heard_forms)))
    return tuple(_joined(steps))


def word_errors(steps: Sequence[Step]) -> int:
    """Return the number of words left out, added and substituted."""
    return sum(step.num_errors for step in steps)


def character_errors(steps: Sequence[Step], reference: Sequence[Word], heard: Sequence[Word]) -> int:
    """Return the number of letters to change, in words that differ; white space does not count."""
    return sum(
        Levenshtein.distance(
            "".join(word.form for word in reference[step.first : step.last]),
            "".join(word.form for word in heard[step.heard_first : step.heard_last]),
        )
        for step in steps
        if step.is_error
    )


def _look_closer(forms: Sequence[str], heard: Sequence[str]) -> list[Step]:
    """The cheapest way from one stretch to the other, by sound."""
    if not forms:
        return [Step(Difference.ADDED, 0, 0, 0, len(heard))]
    if not heard:
        return [Step(Difference.LEFT_OUT, 0, len(forms), 0, 0)]
    if (len(forms) + 1) * (len(heard) + 1) > _MAX_CELLS:
        return [Step(Difference.SUBSTITUTED, 0, len(forms), 0, len(heard))]
    best: dict[tuple[int, int], tuple[float, Step | None]] = {(0, 0): (0.0, None)}
    for row in range(len(forms) + 1):
        for column in range(len(heard) + 1):
            if row or column:
                best[row, column] = min(
                    (
                        (best[step.first, step.heard_first][0] + cost, step)
                        for cost, step in _ways(forms, heard, row, column)
                    ),
                    key=lambda way: way[0],
                )
    steps, place = [], (len(forms), len(heard))
    while (step := best[place][1]) is not None:
        steps.append(step)
        place = (step.first, step.heard_first)
    return steps[::-1]


def _ways(forms: Sequence[str], heard: Sequence[str], row: int, column: int) -> Iterator[tuple[float, Step]]:
    """Steps that end at a place of the table, each with its cost."""
    for height, width in _SPANS:
        if height > row or width > column:
            continue
        first, heard_first = row - height, column - width
        words, others = forms[first:row], heard[heard_first:column]
        if same_sound(words, others):
            yield _SPAN * (height + width - 2), Step(Difference.SAME_SOUND, first, row, heard_first, column, 1.0)
            continue
        alike = similarity(words, others)
        cost = _UNLIKE * (1 - alike) * max(height, width) + _SPAN * (height + width - 2)
        yield cost, Step(Difference.SUBSTITUTED, first, row, heard_first, column, alike)
    if row:
        yield _GAP, Step(Difference.LEFT_OUT, row - 1, row, column, column)
    if column:
        yield _GAP, Step(Difference.ADDED, row, row, column - 1, column)


def _moved(step: Step, rows: int, columns: int) -> Step:
    return Step(
        step.kind,
        step.first + rows,
        step.last + rows,
        step.heard_first + columns,
        step.heard_last + columns,
        step.similarity,
    )


def _joined(steps: Sequence[Step]) -> Iterator[Step]:
    """Join neighbours that are both equal, left out, or added."""
    open_step: Step | None = None
    for step in steps:
        joins = open_step and step.kind is open_step.kind and step.kind is not Difference.SUBSTITUTED
        if open_step and joins and step.kind is not Difference.SAME_SOUND:
            open_step = Step(step.kind, open_step.first, step.last, open_step.heard_first, step.heard_last)
            continue
        if open_step:
            yield open_step
        open_step = step
    if open_step:
        yield open_step
