"""The first minutes of a book, that can be heard while the rest is rendered."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.config import BookConfig
from pipeline.outputs.audiobook.live_preview import LivePreview, delete_live_preview
from pipeline.types import SYNTHETIC_SPEECH, Boundary, Clip, Finish, Segment, Utterance

RATE = 16_000


def clip(number: int, problem: str | None = None, boundary: Boundary = Boundary.SENTENCE) -> Clip:
    """A tone of half a second."""
    segment = Segment("book", 0, number, 0, 7, f"Text {number}.", f"Text {number}.", boundary)
    utterance = Utterance(f"Text {number}.", "A voice.", id=f"u{number}", segment=segment, problem=problem)
    tone = np.sin(np.arange(RATE // 2) * (0.1 + 0.05 * number)).astype(np.float32) / 2
    return Clip(utterance, tone, RATE, 20, Finish.EOS)


def add(beginning: LivePreview, clip: Clip) -> bool:
    return beginning.add(clip.utterance.id, clip.samples, clip.sampling_rate)


def seconds(path: Path) -> float:
    return float(soundfile.info(path).duration) if path.exists() else 0.0


def length(clips: int) -> float:
    """Head, clips, and pauses between them."""
    return 0.5 + clips * 0.5 + (clips - 1) * BookConfig().sentence_pause


@pytest.mark.parametrize("seed", range(5))
def test_it_grows_in_reading_order_whatever_order_clips_come_in(tmp_path: Path, seed: int) -> None:
    """Guards a listener against gaps: what follows a missing clip waits for it."""
    clips = [clip(number) for number in range(6)]
    beginning = LivePreview(tmp_path, [one.utterance for one in clips], BookConfig())
    came: set[int] = set()
    for number in random.Random(seed).sample(range(6), 6):
        came.add(number)
        whole = next(n for n in range(7) if n not in came)
        assert add(beginning, clips[number]) == (number == 0), "told of once, when the first can be heard"
        assert seconds(beginning.path) == pytest.approx(length(whole) if whole else 0.0, abs=0.02)
    beginning.close()
    with soundfile.SoundFile(beginning.path) as file:
        assert file.comment == SYNTHETIC_SPEECH
        samples = file.read()
    at = round((0.5 + 2 * (0.5 + BookConfig().sentence_pause)) * RATE)
    heard, spoken = samples[at + 800 : at + 4000], clips[2].samples[800:4000]
    assert np.abs(heard - spoken).max() < 1e-3, "the third is at its place, at its own level"


def test_it_goes_over_what_will_not_come(tmp_path: Path) -> None:
    """Guards against a beginning that ends at the first reject, and a memory full of clips that wait for one."""
    clips = [clip(0, problem="only symbols"), *(clip(number) for number in range(1, 5))]
    beginning = LivePreview(tmp_path, [one.utterance for one in clips[:4]], BookConfig())
    assert add(beginning, clips[1])
    assert not add(beginning, clips[3])
    assert not add(beginning, clips[4]), "beyond the beginning"
    assert seconds(beginning.path) == pytest.approx(length(1), abs=0.02)
    beginning.close()
    assert seconds(beginning.path) == pytest.approx(length(2), abs=0.02)
    delete_live_preview(tmp_path)
    assert not beginning.path.exists()


@pytest.mark.parametrize("problem", [None, "only symbols"])
def test_the_pause_after_what_will_not_come_is_kept(tmp_path: Path, problem: str | None) -> None:
    """Bug: a rejected end of a scene takes its pause with it, and the scenes run together."""
    clips = [clip(0), clip(1, problem, Boundary.SCENE), clip(2)]
    beginning = LivePreview(tmp_path, [one.utterance for one in clips], BookConfig())
    add(beginning, clips[0])
    add(beginning, clips[2])
    beginning.close()
    assert seconds(beginning.path) == pytest.approx(0.5 + 2 * 0.5 + BookConfig().scene_pause, abs=0.02)


def test_a_run_goes_on_without_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Guards a run against a file that is only for ears."""
    clips = [clip(0), clip(1)]
    beginning = LivePreview(tmp_path / "missing", [one.utterance for one in clips], BookConfig())
    assert not add(beginning, clips[0])
    assert not add(beginning, clips[1])
    beginning.close()
    (record,) = caplog.records
    assert "beginning.wav" in record.message
