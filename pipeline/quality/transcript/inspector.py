"""The check `transcript`: are the words in a clip those of its prompt?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pipeline.config import Config
from pipeline.errors import ConfigError
from pipeline.quality.check import Check, Finding, Inspector
from pipeline.quality.flaws import Flaw
from pipeline.quality.transcript.recognizer import RECOGNIZERS, RecognizerOptions, Recording
from pipeline.types import Clip, Column

if TYPE_CHECKING:
    from pipeline.quality.transcript.check import CheckedTranscript, Listener

__all__ = ["TRANSCRIPT", "TranscriptCheck"]

_FLAW = "words"  # code of the flaw
_PACKAGES = ("rapidfuzz", "jellyfish")  # for the comparison, in every configuration
_ALIGNER = "soundswallower"
_INSTALL = "pip install 'parler-pipeline[quality]'"
_WORDS = {"list": {"struct": {"word": "string", "start": "float64", "end": "float64", "is_measured": "bool"}}}


class TranscriptCheck:
    """The check `transcript`; `quality.transcript.enabled` switches it on."""

    columns = (
        Column("transcript", "string", "words that a speech recogniser heard"),
        Column("wer", "float64", "word error rate of the transcript: words that differ / words of the prompt"),
        Column("cer", "float64", "character error rate of the transcript, in words that differ"),
        Column("transcript_verdict", "string", "pass, unsure, or retake (the best of several takes with other words)"),
        Column("words", _WORDS, "words of the prompt with start and end in seconds; is_measured: not interpolated"),
    )

    def check(self, config: Config) -> None:
        """Refuse settings that cannot work on this machine; see `Check`."""
        name, names = config.quality.transcript.recognizer, RECOGNIZERS.names()
        if name not in names:
            raise ConfigError(
                f"quality.transcript.recognizer={name}: no such recogniser; there are {', '.join(sorted(names))}"
            )
        packages = (*_PACKAGES, *((_ALIGNER,) if config.quality.transcript.align else ()))
        missing = [package for package in packages if find_spec(package) is None]
        if missing:
            raise ConfigError(
                f"quality.transcript.enabled=true: needs {', '.join(missing)}, not installed here; {_INSTALL}"
            )
        RECOGNIZERS.get(name).check(_options(config))

    def load(self, config: Config) -> Inspector:
        """Load the recogniser and the aligner; see `Check`."""
        from pipeline.quality.transcript.check import Listener
        from pipeline.quality.transcript.phonetic_aligner import PhoneticAligner
        from pipeline.quality.transcript.thresholds import Thresholds

        self.check(config)
        settings = config.quality.transcript
        recognizer = RECOGNIZERS.get(settings.recognizer)(_options(config))
        aligner = PhoneticAligner() if settings.align else None
        return _TranscriptInspector(Listener(recognizer, Thresholds(), aligner))


TRANSCRIPT: Check = TranscriptCheck()


class _TranscriptInspector:
    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def inspect(self, clips: Sequence[Clip]) -> list[Finding]:
        """See `Inspector`."""
        by_language: dict[str, list[int]] = defaultdict(list)
        for index, clip in enumerate(clips):
            by_language[clip.utterance.language].append(index)
        findings: dict[int, Finding] = {}
        for language, indices in by_language.items():
            if self._listener.recognizer.supports(language):
                findings.update(zip(indices, self._inspect([clips[index] for index in indices], language), strict=True))
        return [findings.get(index, _UNKNOWN) for index in range(len(clips))]

    def _inspect(self, clips: Sequence[Clip], language: str) -> list[Finding]:
        from pipeline.quality.transcript.check import check_transcripts

        recordings = [Recording(clip.samples, clip.sampling_rate) for clip in clips]
        prompts = [clip.utterance.prompt for clip in clips]
        checked = check_transcripts(self._listener, recordings, prompts, language)
        return [_finding(each, recording.seconds) for each, recording in zip(checked, recordings, strict=True)]

    def close(self) -> None:
        """The models are released with this object."""


_UNKNOWN = Finding(dict.fromkeys((column.name for column in TranscriptCheck.columns), None))


def _finding(checked: CheckedTranscript, seconds: float) -> Finding:
    from pipeline.quality.transcript.verdict import Outcome
    from pipeline.quality.transcript.word_times import word_times

    verdict = checked.verdict
    measures: dict[str, Any] = {
        "transcript": checked.transcript.text,
        "wer": round(verdict.wer, 4),
        "cer": round(verdict.cer, 4),
        "transcript_verdict": verdict.outcome.value,
        "words": [
            {"word": word.text, "start": word.start, "end": word.end, "is_measured": word.is_measured}
            for word in word_times(checked, seconds)
        ],
    }
    is_wrong = verdict.outcome is Outcome.RETAKE
    flaws = (Flaw(_FLAW, ", ".join(verdict.reasons)),) if is_wrong else ()
    return Finding(measures, flaws, penalty=verdict.wer)


def _options(config: Config) -> RecognizerOptions:
    settings = config.quality.transcript
    return RecognizerOptions(
        model=settings.model,
        revision=settings.revision,
        device=settings.device,
        compute_type=settings.compute_type,
        num_threads=settings.num_threads,
        batch_size=settings.batch_size,
        beam_size=settings.beam_size,
        allow_download=settings.allow_download,
    )
