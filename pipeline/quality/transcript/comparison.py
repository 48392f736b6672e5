"""Comparison of a prompt with a transcript: the alignment, and the places where they deviate.

Neighbouring differences form one `Deviation`: "had him" for "hadn't he" is a word left out and another one wrong, and
one place to doubt.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from pipeline.quality.transcript.align import Difference, Step, align, character_errors, word_errors
from pipeline.quality.transcript.recognizer import Transcript
from pipeline.quality.transcript.sounds import same_sound, similarity
from pipeline.quality.transcript.words import Word, heard_words, split_words

__all__ = ["Comparison", "Deviation", "Fault", "compare", "repaired"]

_MAX_BETWEEN = 1  # equal words between two differences of one deviation

_MAX_SWAP_WORDS = 8  # in a place where it is tried whether two are swapped
_SWAP_GAIN = 0.13  # in similarity; 0.12 was the most of 140 places where clean clips were misheard
_MAX_PARTICLE = 3  # letters of a word that belongs to a name: de Bourgh


class Fault(str, Enum):
    """What a deviation is, if the voice and not the recogniser is at fault."""

    LEFT_OUT = "left out"
    END_CUT = "end cut"  # left out, and nothing follows
    ADDED = "added"
    DOUBLED = "doubled"
    BABBLE = "babble"  # added after the last word of the prompt
    SWAPPED = "swapped"
    WRONG = "wrong"


@dataclass(frozen=True)
class Deviation:
    """A place where prompt and transcript differ: reference words [first, last), and heard words."""

    fault: Fault
    steps: tuple[Step, ...]
    similarity: float  # how alike the two sides sound, at the worst step of them; 0 where words are left out or added
    is_name: bool  # the words concerned are names, which a recogniser spells its own way

    @property
    def first(self) -> int:
        """First reference word."""
        return self.steps[0].first

    @property
    def last(self) -> int:
        """End of the reference words."""
        return self.steps[-1].last

    @property
    def heard_first(self) -> int:
        """First heard word."""
        return self.steps[0].heard_first

    @property
    def heard_last(self) -> int:
        """End of the heard words."""
        return self.steps[-1].heard_last

    @property
    def num_words(self) -> int:
        """Words left out, added or wrong."""
        return sum(step.num_errors for step in self.steps)


@dataclass(frozen=True)
class Comparison:
    """A prompt and what was heard of it."""

    reference: str
    heard: str
    words: tuple[Word, ...]  # of the reference
    heard_words: tuple[Word, ...]
    steps: tuple[Step, ...]
    deviations: tuple[Deviation, ...]
    seconds: float  # length of the clip
    no_speech_probability: float

    @property
    def wer(self) -> float:
        """Word error rate, relative to the reference."""
        return word_errors(self.steps) / max(1, len(self.words))

    @property
    def cer(self) -> float:
        """Character error rate, relative to the letters of the reference."""
        letters = sum(len(word.form) for word in self.words)
        return character_errors(self.steps, self.words, self.heard_words) / max(1, letters)

    def reference_text(self, first: int, last: int) -> str:
        """Return the words [first, last) as the prompt has them."""
        return self.reference[self.words[first].start : self.words[last - 1].end] if last > first else ""

    def heard_text(self, first: int, last: int) -> str:
        """Return the heard words [first, last) as the recogniser wrote them."""
        return self.heard[self.heard_words[first].start : self.heard_words[last - 1].end] if last > first else ""


def compare(reference: str, transcript: Transcript, seconds: float, language: str) -> Comparison:
    """Compare a prompt with a transcript of the clip.

    Args:
        reference: The prompt, which is the spoken form of the text.
        transcript: What was heard.
        seconds: Length of the clip.
        language: Tag of both.
    """
    words = split_words(reference, language)
    heard, others = heard_words(transcript, language)
    steps = align(words, others)
    names = _names(reference, words)
    deviations = tuple(_deviation(group, words, others, names) for group in _groups(steps))
    return Comparison(reference, heard, words, others, steps, deviations, seconds, transcript.no_speech_probability)


def repaired(comparison: Comparison, deviation: Deviation) -> str:
    """Return the transcript with the prompt's words, and the marks around them, at the place of a deviation."""
    first, last, heard_first, heard_last = _whole_tokens(comparison, deviation)
    words, others = comparison.words, comparison.heard_words
    start = words[first - 1].end if first else 0
    end = words[last].start if last < len(words) else len(comparison.reference)
    heard_start = others[heard_first - 1].end if heard_first else 0
    heard_end = others[heard_last].start if heard_last < len(others) else len(comparison.heard)
    middle = comparison.reference[start:end]
    return (comparison.heard[:heard_start] + (middle or " ") + comparison.heard[heard_end:]).strip()


def _whole_tokens(comparison: Comparison, deviation: Deviation) -> tuple[int, int, int, int]:
    """The words of a deviation, and those around it that share a token with one of them ("21st" is two words)."""
    words, others = comparison.words, comparison.heard_words
    first, last = deviation.first, deviation.last
    heard_first, heard_last = deviation.heard_first, deviation.heard_last
    while first and heard_first and (_shares(words, first) or _shares(others, heard_first)):
        first, heard_first = first - 1, heard_first - 1
    while last < len(words) and heard_last < len(others) and (_shares(words, last) or _shares(others, heard_last)):
        last, heard_last = last + 1, heard_last + 1
    return first, last, heard_first, heard_last


def _shares(words: Sequence[Word], index: int) -> bool:
    """Return whether the words before and at an index have one place in the text."""
    return 0 < index < len(words) and words[index].start < words[index - 1].end


def _groups(steps: Sequence[Step]) -> list[tuple[Step, ...]]:
    """Runs of steps that begin and end with an error, with few equal words between errors."""
    groups: list[list[Step]] = []
    between: list[Step] = []
    for step in steps:
        if not step.is_error:
            between.append(step)
            continue
        if groups and sum(equal.last - equal.first for equal in between) <= _MAX_BETWEEN:
            groups[-1] += [*between, step]
        else:
            groups.append([step])
        between = []
    return [tuple(group) for group in groups]


def _deviation(
    steps: tuple[Step, ...], words: Sequence[Word], heard: Sequence[Word], names: Sequence[bool]
) -> Deviation:
    errors = [step for step in steps if step.is_error]
    worst = min(step.similarity for step in errors)
    concerned = [index for step in errors for index in range(step.first, step.last)]
    is_name = any(names[index] for index in concerned) and all(
        names[index] or len(words[index].form) <= _MAX_PARTICLE for index in concerned
    )
    return Deviation(_fault(steps, words, heard), steps, worst, is_name)


def _fault(steps: tuple[Step, ...], words: Sequence[Word], heard: Sequence[Word]) -> Fault:
    kinds = {step.kind for step in steps if step.is_error}
    first, last = steps[0], steps[-1]
    forms = [word.form for word in words[first.first : last.last]]
    others = [word.form for word in heard[first.heard_first : last.heard_last]]
    if forms and len(kinds) > 1 and sorted(forms) == sorted(others):
        return Fault.SWAPPED
    if last.last == len(words) and last.kind is Difference.LEFT_OUT and 2 * len(others) < len(forms):
        return Fault.END_CUT
    if kinds == {Difference.LEFT_OUT}:
        return Fault.LEFT_OUT
    if kinds == {Difference.ADDED}:
        if all(_is_doubled(step, heard) for step in steps if step.is_error):
            return Fault.DOUBLED
        return Fault.BABBLE if first.first == len(words) else Fault.ADDED
    return Fault.SWAPPED if _sounds_swapped(steps, words, heard) else Fault.WRONG


def _sounds_swapped(steps: tuple[Step, ...], words: Sequence[Word], heard: Sequence[Word]) -> bool:
    """Return whether it sounds much more like the prompt with two neighbours swapped; one may be outside the steps."""
    for before, after in ((0, 0), (1, 0), (0, 1)):
        first, heard_first = steps[0].first - before, steps[0].heard_first - before
        last, heard_last = steps[-1].last + after, steps[-1].heard_last + after
        if min(first, heard_first) < 0 or last > len(words) or heard_last > len(heard):
            continue
        forms = [word.form for word in words[first:last]]
        others = [word.form for word in heard[heard_first:heard_last]]
        if not 2 <= len(forms) <= _MAX_SWAP_WORDS:
            continue
        least = similarity(forms, others) + _SWAP_GAIN
        for index in range(len(forms) - 1):
            swapped = [*forms[:index], forms[index + 1], forms[index], *forms[index + 2 :]]
            if similarity(swapped, others) >= least:
                return True
    return False


def _is_doubled(step: Step, heard: Sequence[Word]) -> bool:
    """Return whether added words repeat those before or after them, or part of them."""
    added = [word.form for word in heard[step.heard_first : step.heard_last]]
    length = len(added)
    before = [word.form for word in heard[max(0, step.heard_first - length) : step.heard_first]]
    after = [word.form for word in heard[step.heard_last : step.heard_last + length]]
    return any(len(side) == length and same_sound(added, side) for side in (before, after))


def _names(reference: str, words: Sequence[Word]) -> list[bool]:
    """For each word whether it is written with a capital inside a sentence."""
    found = []
    for word in words:
        written = reference[word.start : word.end]
        opens = re.search(r"(?:^|[.!?:\"“‘(\n]|[-–—])\s*[\"“‘'(]*$", reference[max(0, word.start - 8) : word.start])
        found.append(written[:1].isupper() and len(written) > 1 and not opens)
    return found
