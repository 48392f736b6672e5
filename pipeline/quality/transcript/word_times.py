"""When each word of a prompt is spoken."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.quality.transcript.align import Difference
from pipeline.quality.transcript.phonetic_aligner import spoken_words
from pipeline.quality.transcript.words import stretches

if TYPE_CHECKING:
    from pipeline.quality.transcript.check import CheckedTranscript

__all__ = ["WordTime", "word_times"]

_WORD = re.compile(r"\S+")
_EDGES = re.compile(r"^[^\w]+|[^\w]+$")


@dataclass(frozen=True)
class WordTime:
    """A word of the prompt, as it is written there without punctuation around it, and its time in the clip."""

    text: str
    start: float  # seconds
    end: float
    is_measured: bool  # False: interpolated between the neighbours


def word_times(checked: CheckedTranscript, seconds: float) -> list[WordTime]:
    """Return the times of all words of the prompt.

    The times are those of the phonetic alignment, else those of the recogniser; where neither has a word, its time is
    interpolated by the number of letters.

    Args:
        checked: The clip.
        seconds: Length of the clip.
    """
    written = [
        (text, match.start(), match.end())
        for match in _WORD.finditer(checked.comparison.reference)
        if (text := _EDGES.sub("", match.group()))
    ]
    measured = _from_alignment(checked, [text for text, _, _ in written]) or _from_transcript(checked, written)
    return _interpolate([text for text, _, _ in written], measured, seconds)


def _from_alignment(checked: CheckedTranscript, texts: Sequence[str]) -> dict[int, tuple[float, float]]:
    """Return the times by index of the word; empty if there is no alignment."""
    if checked.alignment is None:
        return {}
    spoken = checked.alignment.words
    # A written word may be several words of the alignment ("ill-used"), so that both are compared by their parts.
    parts = [(index, part) for index, text in enumerate(texts) for part in spoken_words(text)]
    forms = [part for _, part in parts]
    times: dict[int, tuple[float, float]] = {}
    for is_equal, first, last, spoken_first, _ in stretches(forms, [word.text for word in spoken]):
        if is_equal:
            for offset in range(last - first):
                index, word = parts[first + offset][0], spoken[spoken_first + offset]
                times[index] = (times.get(index, (word.start, 0.0))[0], word.end)
    return times


def _from_transcript(
    checked: CheckedTranscript, written: Sequence[tuple[str, int, int]]
) -> dict[int, tuple[float, float]]:
    """Return the times by index of the word, of the words that the recogniser heard as they are written."""
    comparison = checked.comparison
    times: dict[int, tuple[float, float]] = {}
    for step in comparison.steps:
        if step.kind is not Difference.EQUAL:
            continue
        for offset in range(step.last - step.first):
            word, heard = comparison.words[step.first + offset], comparison.heard_words[step.heard_first + offset]
            index = next((i for i, (_, start, end) in enumerate(written) if start <= word.start < end), None)
            if index is not None and heard.seconds is not None:
                times[index] = (times.get(index, heard.seconds)[0], heard.seconds[1])
    return times


def _interpolate(texts: Sequence[str], measured: dict[int, tuple[float, float]], seconds: float) -> list[WordTime]:
    result: list[WordTime] = []
    index = 0
    while index < len(texts):
        if index in measured:
            result.append(WordTime(texts[index], *_rounded(*measured[index]), is_measured=True))
            index += 1
            continue
        last = index
        while last < len(texts) and last not in measured:
            last += 1
        start = result[-1].end if result else 0.0
        end = max(start, measured[last][0] if last < len(texts) else seconds)
        total = sum(map(len, texts[index:last]))
        done = 0
        for text in texts[index:last]:
            bounds = [start + (end - start) * share / total for share in (done, done + len(text))]
            result.append(WordTime(text, *_rounded(*bounds), is_measured=False))
            done += len(text)
        index = last
    return result


def _rounded(start: float, end: float) -> tuple[float, float]:
    return round(start, 3), round(end, 3)
