"""The check as a whole: clips and prompts in, transcripts and verdicts out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.quality.transcript.comparison import Comparison, compare
from pipeline.quality.transcript.recognizer import Recognizer, Recording, TextScorer, Transcript
from pipeline.quality.transcript.thresholds import Thresholds
from pipeline.quality.transcript.verdict import Verdict, judge, texts_to_score

__all__ = ["CheckedTranscript", "check_transcripts", "score_alternatives"]


@dataclass(frozen=True)
class CheckedTranscript:
    """What was heard in a clip, and the verdict on it."""

    transcript: Transcript
    comparison: Comparison
    verdict: Verdict


def check_transcripts(
    recognizer: Recognizer,
    recordings: Sequence[Recording],
    references: Sequence[str],
    language: str,
    thresholds: Thresholds,
) -> list[CheckedTranscript]:
    """Listen to clips and judge their words.

    Args:
        recognizer: Listens. If it is a `TextScorer`, it listens again where transcript and prompt deviate.
        recordings: The clips.
        references: The prompt of each clip, in its spoken form.
        language: Tag of all prompts.
        thresholds: Of this recogniser and language.

    Returns:
        One result for each clip, in their order. It does not depend on the other clips.
    """
    transcripts = recognizer.transcribe(recordings, language)
    checked = []
    for recording, reference, transcript in zip(recordings, references, transcripts, strict=True):
        comparison = compare(reference, transcript, recording.seconds, language)
        scores = score_alternatives(recognizer, recording, comparison, language, thresholds)
        checked.append(CheckedTranscript(transcript, comparison, judge(comparison, thresholds, scores)))
    return checked


def score_alternatives(
    recognizer: Recognizer, recording: Recording, comparison: Comparison, language: str, thresholds: Thresholds
) -> dict[str, float] | None:
    """Return the log probability of each text that helps to judge; None if the recogniser cannot score the clip."""
    if not isinstance(recognizer, TextScorer) or recording.seconds > recognizer.max_score_seconds:
        return None
    texts = list(dict.fromkeys(texts_to_score(comparison, thresholds)))
    return dict(zip(texts, recognizer.score(recording, texts, language), strict=True)) if texts else {}
