"""Verdict on a clip by its words: pass, retake or unsure.

A recogniser makes mistakes, so not every deviation is a fault of the voice. The decision depends on how similar the
words sound, how many there are, and when they were heard. If the recogniser can score texts, it also depends on how
much better the transcript fits the audio than the transcript with the words of the prompt in that place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from pipeline.quality.transcript.align import Difference
from pipeline.quality.transcript.comparison import Comparison, Deviation, Fault, repaired
from pipeline.quality.transcript.phonetic_aligner import PhoneticAlignment
from pipeline.quality.transcript.thresholds import Thresholds

__all__ = ["DiffPart", "Outcome", "Verdict", "judge", "texts_to_score"]


_TAIL_SECONDS = 0.25  # of silence after the last word of a clip


class Outcome(str, Enum):
    """Result of the check for a clip."""

    PASS = "pass"
    RETAKE = "retake"  # the voice did not say the prompt
    UNSURE = "unsure"  # neither; a person may listen


@dataclass(frozen=True)
class DiffPart:
    """A stretch of prompt and transcript, for people to read. The parts cover all words of both, in order."""

    kind: Difference
    reference: str
    heard: str
    start: int  # offsets of `reference` into the prompt
    end: int
    seconds: tuple[float, float] | None = None  # when it was heard, if the recogniser says


@dataclass(frozen=True)
class Verdict:
    """Outcome for a clip, with reasons, error rates and differences."""

    outcome: Outcome
    reasons: tuple[str, ...]  # "left out: was Catherine's answer"; empty when it passes
    wer: float  # not clipped: more than 1 where more words are heard than there are
    cer: float
    diff: tuple[DiffPart, ...]


class _Belief(Enum):
    MISHEARD = 0
    DOUBT = 1
    FAULT = 2


def texts_to_score(comparison: Comparison, thresholds: Thresholds) -> list[str]:
    """Return the texts whose scores help to judge a comparison; none where it is clear without.

    They are the transcript itself, then the transcript with each deviation repaired, the largest ones first if there
    are more than `thresholds.max_scored`.
    """
    scored = [deviation for deviation in comparison.deviations if not _is_clear(comparison, deviation, thresholds)]
    scored = sorted(scored, key=lambda deviation: -deviation.num_words)[: thresholds.max_scored]
    if not scored or not comparison.heard_words:
        return []
    return [comparison.heard.strip(), *(repaired(comparison, deviation) for deviation in scored)]


def judge(
    comparison: Comparison,
    thresholds: Thresholds,
    scores: Mapping[str, float] | None = None,
    alignment: PhoneticAlignment | None = None,
) -> Verdict:
    """Judge a clip by its words.

    Args:
        comparison: Of the prompt with the transcript.
        thresholds: Of the recogniser and the language.
        scores: Log probability of each of `texts_to_score`; None where the recogniser gives none.
        alignment: Of the clip with the prompt; None if there is none.
    """
    outcome, reasons = _outcome(comparison, thresholds, scores or {})
    if alignment is not None and len(comparison.words) > thresholds.short_words:
        outcome, reasons = _with_alignment(outcome, reasons, alignment, thresholds)
    return Verdict(outcome, tuple(reasons), comparison.wer, comparison.cer, _diff(comparison))


def _outcome(
    comparison: Comparison, thresholds: Thresholds, scores: Mapping[str, float]
) -> tuple[Outcome, Sequence[str]]:
    num_words = len(comparison.words)
    if not num_words:
        return Outcome.UNSURE, ["no words: the prompt has none to compare"]
    if not comparison.heard_words:
        return Outcome.RETAKE, ["silent: nothing was heard"]
    if comparison.no_speech_probability >= thresholds.no_speech and comparison.wer > 0.5:
        return Outcome.RETAKE, [f"silent: no speech with a probability of {comparison.no_speech_probability:.2f}"]
    limit = thresholds.endless_seconds + num_words * thresholds.slowest_word_seconds
    if comparison.seconds > limit and comparison.deviations:
        return Outcome.RETAKE, [f"endless: {comparison.seconds:.1f} s for {num_words} words, limit {limit:.1f} s"]
    beliefs = [(_belief(comparison, deviation, thresholds, scores), deviation) for deviation in comparison.deviations]
    faults = [_reason(comparison, deviation) for belief, deviation in beliefs if belief is _Belief.FAULT]
    doubts = [_reason(comparison, deviation) for belief, deviation in beliefs if belief is _Belief.DOUBT]
    doubts += _drawn_out(comparison, thresholds)
    if num_words <= thresholds.short_words and not _is_runaway(comparison, thresholds):
        return (Outcome.UNSURE, faults + doubts) if faults or doubts else (Outcome.PASS, ())
    if faults:
        return Outcome.RETAKE, faults
    return (Outcome.UNSURE, doubts) if doubts else (Outcome.PASS, ())


def _with_alignment(
    outcome: Outcome, reasons: Sequence[str], alignment: PhoneticAlignment, thresholds: Thresholds
) -> tuple[Outcome, Sequence[str]]:
    """Combine the judgement of a transcript with that of an alignment: either is enough for another take."""
    limits = {Outcome.PASS: thresholds.aligned_fault, Outcome.UNSURE: thresholds.aligned_confirmation}
    if outcome is Outcome.RETAKE or alignment.evidence < min(limits[outcome], thresholds.aligned_doubt):
        return outcome, reasons
    found = [*reasons, *_alignment_reasons(alignment)]
    return (Outcome.RETAKE if alignment.evidence >= limits[outcome] else Outcome.UNSURE), found


def _alignment_reasons(alignment: PhoneticAlignment) -> Iterator[str]:
    if not alignment.words:
        yield "not aligned: the audio does not contain the prompt"
    for expected, spoken in alignment.differences():
        if expected and spoken:
            yield f"spoken: {spoken} for {expected}"
        else:
            yield f"not spoken: {expected}" if expected else f"spoken twice: {spoken}"


def _belief(
    comparison: Comparison, deviation: Deviation, thresholds: Thresholds, scores: Mapping[str, float]
) -> _Belief:
    if clear := _is_clear(comparison, deviation, thresholds):
        return clear
    evidence = _evidence(comparison, deviation, scores)
    if evidence is None:
        return _belief_without_scores(deviation, thresholds)
    limit = _evidence_limit(comparison, deviation, thresholds)
    if evidence >= limit:
        return _Belief.FAULT
    is_doubtful = evidence >= limit * thresholds.doubt_share or deviation.fault is Fault.ADDED
    return _Belief.DOUBT if is_doubtful else _Belief.MISHEARD


def _is_clear(comparison: Comparison, deviation: Deviation, thresholds: Thresholds) -> _Belief | None:
    """Return the decision on a deviation if it does not depend on scores; None: it does.

    Scores are not used for added words, because a recogniser gives the words that it adds a low probability.
    """
    if deviation.fault is Fault.BABBLE:
        return _babble(comparison, deviation, thresholds)
    surplus = (deviation.heard_last - deviation.heard_first) - (deviation.last - deviation.first)
    if deviation.fault is Fault.DOUBLED:
        return _Belief.FAULT
    if surplus >= thresholds.surplus_words and _letters_heard(comparison, deviation) >= thresholds.longer:
        return _Belief.FAULT if _has_time(comparison, deviation, thresholds) else _Belief.DOUBT
    if deviation.num_words >= thresholds.divergent_words:
        return _Belief.FAULT
    alike = thresholds.alike_name if deviation.is_name else thresholds.alike
    is_alike = deviation.similarity >= alike
    if is_alike and (
        deviation.is_name or (_is_one_word(deviation) and not _is_shorter(comparison, deviation, thresholds))
    ):
        return _Belief.MISHEARD
    return None


def _evidence_limit(comparison: Comparison, deviation: Deviation, thresholds: Thresholds) -> float:
    """Log probability ratio from which a deviation is a fault."""
    if deviation.fault is Fault.SWAPPED:
        return thresholds.evidence_swapped
    if deviation.fault is Fault.ADDED:
        return thresholds.evidence_added
    if deviation.fault is Fault.WRONG:
        if _is_shorter(comparison, deviation, thresholds):
            return thresholds.evidence_shorter
        return thresholds.evidence_one_word if _is_one_word(deviation) else thresholds.evidence_wrong
    if _unexplained_seconds(comparison, deviation) >= thresholds.least_word_seconds * deviation.num_words:
        return thresholds.evidence * thresholds.gap_factor
    return thresholds.evidence_end if deviation.fault is Fault.END_CUT else thresholds.evidence


def _is_one_word(deviation: Deviation) -> bool:
    """Return whether one word was heard as another one."""
    return deviation.last - deviation.first == deviation.heard_last - deviation.heard_first == 1


def _is_shorter(comparison: Comparison, deviation: Deviation, thresholds: Thresholds) -> bool:
    """Return whether so much less was heard in a place that something was not spoken. Short words do not count."""
    letters = sum(len(word.form) for word in comparison.words[deviation.first : deviation.last])
    return letters >= thresholds.shorter_letters and _letters_heard(comparison, deviation) < thresholds.shorter


def _letters_heard(comparison: Comparison, deviation: Deviation) -> float:
    """Letters heard in a place, relative to those of the prompt: few where something was not spoken."""
    words = sum(len(word.form) for word in comparison.words[deviation.first : deviation.last])
    heard = comparison.heard_words[deviation.heard_first : deviation.heard_last]
    return sum(len(word.form) for word in heard) / max(1, words)


def _has_time(comparison: Comparison, deviation: Deviation, thresholds: Thresholds) -> bool:
    """Return whether the words heard in a place can have been spoken in the time that they are said to have taken."""
    words = comparison.heard_words[deviation.heard_first : deviation.heard_last]
    first, last = words[0].seconds, words[-1].seconds
    if first is None or last is None:
        return True
    return len(words) <= (min(last[1], comparison.seconds) - first[0]) * thresholds.fastest_words


def _unexplained_seconds(comparison: Comparison, deviation: Deviation) -> float:
    """Time between the heard words around a deviation: enough for words that the recogniser did not write."""
    heard = comparison.heard_words
    before = heard[deviation.heard_first - 1].seconds if deviation.heard_first else (0.0, 0.0)
    end = comparison.seconds - _TAIL_SECONDS
    after = heard[deviation.heard_last].seconds if deviation.heard_last < len(heard) else (end, end)
    return after[0] - before[1] if before and after else 0.0


def _babble(comparison: Comparison, deviation: Deviation, thresholds: Thresholds) -> _Belief:
    """Words after the end of the prompt: spoken, or made up by the recogniser where there is no time for them."""
    added = comparison.heard_words[deviation.heard_first :]
    if (span := added[0].seconds) is not None:
        left = comparison.seconds - span[0]
        is_probable = sum(word.probability for word in added) / len(added) >= thresholds.babble_probability
    else:
        left = comparison.seconds - len(comparison.words) * thresholds.word_seconds
        is_probable = True
    if left < thresholds.babble_seconds or len(added) > left * thresholds.fastest_words:
        return _Belief.MISHEARD if left < thresholds.babble_seconds else _Belief.DOUBT
    if len(added) >= thresholds.divergent_words or (len(added) >= 2 and is_probable):
        return _Belief.FAULT
    return _Belief.DOUBT


def _belief_without_scores(deviation: Deviation, thresholds: Thresholds) -> _Belief:
    num_wrong = sum(step.num_errors for step in deviation.steps if step.similarity < thresholds.alike)
    if deviation.fault in (Fault.DOUBLED, Fault.SWAPPED) or num_wrong >= 2:
        return _Belief.FAULT
    return _Belief.DOUBT


def _evidence(comparison: Comparison, deviation: Deviation, scores: Mapping[str, float]) -> float | None:
    """How much more probable the transcript is than the prompt's words in this place, in units of e."""
    heard, other = scores.get(comparison.heard.strip()), scores.get(repaired(comparison, deviation))
    return None if heard is None or other is None else heard - other


def _is_runaway(comparison: Comparison, thresholds: Thresholds) -> bool:
    return len(comparison.heard_words) - len(comparison.words) >= thresholds.runaway_words


def _drawn_out(comparison: Comparison, thresholds: Thresholds) -> Iterator[str]:
    """Words that take too long: the recogniser may have left something out that was spoken twice."""
    for word in comparison.heard_words:
        longest = thresholds.longest_word_seconds + thresholds.longest_letter_seconds * len(word.form)
        if word.seconds and word.seconds[1] - word.seconds[0] > longest:
            yield f"drawn out: {word.form} takes {word.seconds[1] - word.seconds[0]:.1f} s, limit {longest:.1f} s"


def _reason(comparison: Comparison, deviation: Deviation) -> str:
    reference = comparison.reference_text(deviation.first, deviation.last)
    heard = comparison.heard_text(deviation.heard_first, deviation.heard_last)
    if reference and heard:
        return f"{deviation.fault.value}: {heard} for {reference}"
    return f"{deviation.fault.value}: {reference or heard}"


def _diff(comparison: Comparison) -> tuple[DiffPart, ...]:
    return tuple(
        DiffPart(
            step.kind,
            comparison.reference_text(step.first, step.last),
            comparison.heard_text(step.heard_first, step.heard_last),
            *_offsets(comparison, step.first, step.last),
            _seconds(comparison, step.heard_first, step.heard_last),
        )
        for step in comparison.steps
    )


def _offsets(comparison: Comparison, first: int, last: int) -> tuple[int, int]:
    words = comparison.words
    if last > first:
        return words[first].start, words[last - 1].end
    place = words[first].start if first < len(words) else len(comparison.reference)
    return place, place


def _seconds(comparison: Comparison, first: int, last: int) -> tuple[float, float] | None:
    if last == first:
        return None
    start, end = comparison.heard_words[first].seconds, comparison.heard_words[last - 1].seconds
    return (start[0], end[1]) if start and end else None
