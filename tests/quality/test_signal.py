"""Signal check: each flaw is found, and normal speech has none."""

import dataclasses
import re

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.config import ChecksConfig
from pipeline.quality.flaws import Flaw, is_writable
from pipeline.quality.signal import FLOOR_DBFS, find_flaws, measure
from pipeline.types import Clip, Finish, Utterance

RATE = 16000


def make_clip(
    samples: npt.ArrayLike, predicted_seconds: float = 0.0, finish: Finish = Finish.EOS, sampling_rate: int = RATE
) -> Clip:
    return Clip(
        utterance=Utterance(prompt="Hello.", description="A voice.", predicted_seconds=predicted_seconds),
        samples=np.asarray(samples, dtype=np.float32),
        sampling_rate=sampling_rate,
        num_frames=86,
        finish=finish,
    )


def speech(seconds: float = 1.0, level: float = 0.1) -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).normal(0, level, round(seconds * RATE)).astype(np.float32)


def codes(clip: Clip, checks: ChecksConfig | None = None) -> list[str]:
    return [flaw.code for flaw in find_flaws(clip, checks or ChecksConfig())]


def test_sound_speech_has_no_flaw() -> None:
    """Guards against checks that reject normal speech."""
    assert find_flaws(make_clip(speech(), predicted_seconds=1.2), ChecksConfig()) == ()


@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        (make_clip([]), ["empty"]),
        (make_clip(np.zeros(RATE)), ["silent"]),
        (make_clip(speech(level=1e-5)), ["silent"]),
        (make_clip(np.sign(speech())), ["clipped"]),
        (make_clip(5 * np.sign(speech())), ["clipped"]),
        (make_clip([*speech(), np.nan]), ["non-finite"]),
        (make_clip([*speech(), np.inf]), ["non-finite"]),
        (make_clip(speech(), finish=Finish.MAX_FRAMES), ["limit"]),
        (make_clip(speech(1.0), predicted_seconds=2.6), ["length"]),
        (make_clip(speech(1.0), predicted_seconds=0.39), ["length"]),
        (make_clip(speech(1.0), predicted_seconds=2.4), []),
        (make_clip(speech(1.0), predicted_seconds=0.0), []),
        (make_clip(np.zeros(RATE), predicted_seconds=9, finish=Finish.MAX_FRAMES), ["limit", "silent", "length"]),
    ],
)
def test_each_flaw_is_found_under_its_code(clip: Clip, expected: list[str]) -> None:
    """Guards against silent, damaged or truncated clips in a dataset."""
    assert codes(clip) == expected


def test_a_flaw_tells_what_was_measured_and_what_is_allowed() -> None:
    """Guards against a reject reason that does not name the value and the threshold."""
    (flaw,) = find_flaws(make_clip(np.zeros(RATE)), ChecksConfig())
    assert flaw.code == "silent"
    assert re.findall(r"-\d+", str(flaw)) == ["-120", "-60"]


def test_a_short_word_in_long_silence_is_not_silent() -> None:
    """Guards short words between long pauses, whose mean level is low, against the flaw `silent`."""
    samples = np.zeros(10 * RATE)
    samples[5 * RATE : 5 * RATE + RATE // 20] = 0.01
    assert codes(make_clip(samples)) == []


def test_length_check_can_be_turned_off() -> None:
    """Guards `length_ratio=0`, which disables the check of the length, against a division by zero."""
    assert codes(make_clip(speech(), predicted_seconds=100.0), ChecksConfig(length_ratio=0)) == []


def test_measures_of_the_clip_are_used_when_it_has_them() -> None:
    """Guards against a column and a check that measure the same level differently."""
    clip = make_clip(speech())
    assert "silent" in codes(
        dataclasses.replace(clip, measures=measure(clip.samples, RATE) | {"loudest_50ms_dbfs": -80.0})
    )


def test_known_signal_has_known_measures() -> None:
    """Guards measures against confusion of amplitude and power, seconds and samples, start and end."""
    samples = np.zeros(2 * RATE, dtype=np.float32)
    samples[RATE // 2 : RATE] = 0.5
    measures = measure(samples, RATE)
    assert measures["peak_dbfs"] == pytest.approx(-6.02, abs=0.01)
    assert measures["loudest_50ms_dbfs"] == pytest.approx(-6.02, abs=0.01)
    assert measures["rms_dbfs"] == pytest.approx(-12.04, abs=0.01)  # a quarter of the time
    assert measures["leading_silence_seconds"] == pytest.approx(0.5)
    assert measures["trailing_silence_seconds"] == pytest.approx(1.0)
    assert measures["clipped_fraction"] == 0.0


def test_only_silence_is_silence_at_both_ends() -> None:
    """Guards against minus infinity, which JSON does not support, and against an exception for silence."""
    measures = measure(np.zeros(RATE, dtype=np.float32), RATE)
    assert measures["peak_dbfs"] == measures["rms_dbfs"] == measures["loudest_50ms_dbfs"] == FLOOR_DBFS
    assert measures["leading_silence_seconds"] == measures["trailing_silence_seconds"] == 1.0


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, st.integers(0, 400), elements=st.floats(-4, 4, width=32)), st.sampled_from([50, 8000]))
def test_measures_agree_with_each_other(samples: npt.NDArray[np.float32], sampling_rate: int) -> None:
    """Guards columns against NaN, and against a mean level above the loudest 50 ms."""
    measures = measure(samples, sampling_rate)
    assert all(np.isfinite(value) for value in measures.values())
    margin = 0.01
    assert measures["rms_dbfs"] <= measures["peak_dbfs"] + margin
    assert measures["loudest_50ms_dbfs"] <= measures["peak_dbfs"] + margin
    seconds = len(samples) / sampling_rate
    assert 0 <= measures["leading_silence_seconds"] <= seconds + 1e-9
    assert 0 <= measures["trailing_silence_seconds"] <= seconds + 1e-9


def test_only_what_holds_no_audio_is_unwritable() -> None:
    """Guards the encoder against an empty clip when `accept_last_take=true`."""
    assert is_writable(())
    assert is_writable((Flaw("silent", "x"), Flaw("limit", "y")))
    assert not is_writable((Flaw("limit", "x"), Flaw("non-finite", "y")))
    assert not is_writable((Flaw("empty", "no samples"),))
