"""Recognisers: where their models come from, and what they hear."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ConfigError
from pipeline.quality.transcript.models import resolve_model
from pipeline.quality.transcript.recognizer import (
    RECOGNIZERS,
    HeardWord,
    RecognizerOptions,
    Recording,
    TextScorer,
    Transcript,
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_a_transcript_survives_json() -> None:
    transcript = Transcript("Good day.", (HeardWord(" Good", 0.1, 0.4, 0.9), HeardWord(" day.", 0.4, 0.8)), 0.25)
    assert Transcript.from_json(json.loads(json.dumps(transcript.as_json()))) == transcript


def test_a_folder_is_used_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "model.bin").touch()
    assert resolve_model(RecognizerOptions(str(tmp_path)), ["model.bin"]) == (tmp_path, str(tmp_path))


def test_a_folder_without_a_file_is_refused(tmp_path: Path) -> None:
    """Guards against a download: faster-whisper would fetch a tokenizer that is missing."""
    (tmp_path / "model.bin").touch()
    with pytest.raises(ConfigError, match=r"tokenizer\.json"):
        resolve_model(RecognizerOptions(str(tmp_path)), ["model.bin", "tokenizer.json"])


@pytest.mark.parametrize(
    ("options", "fact"),
    [
        (RecognizerOptions("small.en"), "small.en"),
        (RecognizerOptions("Systran/faster-whisper-small.en"), "revision"),
        (RecognizerOptions("Systran/faster-whisper-small.en", "main"), "main"),
        (RecognizerOptions("Systran/faster-whisper-small.en", COMMIT), COMMIT),
    ],
)
def test_a_model_that_is_not_here_is_refused(
    options: RecognizerOptions, fact: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards against downloads that nobody asked for, and against branches, whose files change."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match=fact):
        resolve_model(options, ["model.bin"])


def test_a_recogniser_hears_what_a_voice_says() -> None:
    """Guards the whole check with a real voice and a real recogniser: batches, ends of clips, silence, long clips."""
    from bundled_speech import SENTENCES, speak

    from pipeline.config import SamplingConfig
    from pipeline.quality.transcript.check import Listener, check_transcripts
    from pipeline.quality.transcript.phonetic_aligner import PhoneticAligner
    from pipeline.quality.transcript.thresholds import Thresholds
    from pipeline.quality.transcript.verdict import Outcome

    clips = speak("bundled", SamplingConfig())
    rate = clips[0].sampling_rate
    said = [clip.samples for clip in clips]
    pause = np.zeros(round(0.3 * rate), np.float32)
    cases = [
        *zip(said, SENTENCES, [Outcome.PASS] * 3, strict=True),
        (np.concatenate([said[0], pause, said[2]]), SENTENCES[0], Outcome.RETAKE),  # babble
        (said[2][: len(said[2]) // 2], SENTENCES[2], Outcome.RETAKE),  # cut
        (np.zeros(2 * rate, np.float32), SENTENCES[1], Outcome.RETAKE),  # silent
        (np.zeros(0, np.float32), SENTENCES[1], Outcome.RETAKE),  # empty
        (np.concatenate([said[1], pause] * 14), SENTENCES[1], Outcome.RETAKE),  # longer than Whisper's window
    ]
    recognizer = RECOGNIZERS.get("faster-whisper")(RecognizerOptions(batch_size=4, num_threads=2))
    assert isinstance(recognizer, TextScorer)
    recordings = [Recording(samples, rate) for samples, _, _ in cases]
    listener = Listener(recognizer, Thresholds(), PhoneticAligner())
    found = check_transcripts(listener, recordings, [text for _, text, _ in cases], "en")
    assert [each.verdict.outcome for each in found] == [outcome for _, _, outcome in cases]
    assert recognizer.transcribe(recordings[:1], "en")[0].text == found[0].transcript.text  # alone as in a batch
    for recording, each in zip(recordings, found, strict=True):
        times = [time for word in each.transcript.words for time in (word.start, word.end)]
        assert all(0 <= time <= recording.seconds + 0.5 for time in times)
