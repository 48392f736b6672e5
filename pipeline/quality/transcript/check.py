"""Judge clips by their words: clips and prompts in, transcripts and verdicts out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.quality.transcript.comparison import Comparison, compare
from pipeline.quality.transcript.phonetic_aligner import PhoneticAligner, PhoneticAlignment
from pipeline.quality.transcript.recognizer import Recognizer, Recording, TextScorer, Transcript
from pipeline.quality.transcript.thresholds import Thresholds
from pipeline.quality.transcript.verdict import Verdict, judge, texts_to_score

__all__ = ["CheckedTranscript", "Listener", "check_transcripts", "score_alternatives"]


@dataclass(frozen=True)
class Listener:
    """The models that listen, and the limits of the verdict.

    Attributes:
        recognizer: Writes what it hears. A `TextScorer` also scores the prompt where its transcript deviates.
        thresholds: Limits for this recogniser and language.
        aligner: Finds words left out, repeated or swapped; None: the transcript alone decides.
    """

    recognizer: Recognizer
    thresholds: Thresholds
    aligner: PhoneticAligner | None = None


@dataclass(frozen=True)
class CheckedTranscript:
    """What was heard in a clip, and the verdict on it."""

    transcript: Transcript
    comparison: Comparison
    alignment: PhoneticAlignment | None
    verdict: Verdict


def check_transcripts(
    listener: Listener, recordings: Sequence[Recording], references: Sequence[str], language: str
) -> list[CheckedTranscript]:
    """Listen to clips and judge their words.

    Args:
        listener: Models and limits.
        recordings: The clips.
        references: The prompt of each clip, in its spoken form.
        language: Tag of all prompts.

    Returns:
        One result for each clip, in their order. It does not depend on the other clips.
    """
    transcripts = listener.recognizer.transcribe(recordings, language)
    checked = []
    for recording, reference, transcript in zip(recordings, references, transcripts, strict=True):
        comparison = compare(reference, transcript, recording.seconds, language)
        scores = score_alternatives(listener, recording, comparison, language)
        alignment = listener.aligner.align(recording, reference, language) if listener.aligner else None
        verdict = judge(comparison, listener.thresholds, scores, alignment)
        checked.append(CheckedTranscript(transcript, comparison, alignment, verdict))
    return checked


def score_alternatives(
    listener: Listener, recording: Recording, comparison: Comparison, language: str
) -> dict[str, float] | None:
    """Return the log probability of each text that helps to judge; None if the recogniser cannot score the clip."""
    recognizer = listener.recognizer
    if not isinstance(recognizer, TextScorer) or recording.seconds > recognizer.max_score_seconds:
        return None
    texts = list(dict.fromkeys(texts_to_score(comparison, listener.thresholds)))
    return dict(zip(texts, recognizer.score(recording, texts, language), strict=True)) if texts else {}
