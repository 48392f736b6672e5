"""Audio files: they decode to the samples that were encoded, and the same samples give the same bytes."""

import io
import signal

import av
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.audio.encoding import audio_format, decode, encode, stored_rate
from pipeline.config import AUDIO_FORMATS
from pipeline.errors import ConfigError
from pipeline.types import SYNTHETIC_SPEECH


def tone(seconds: float = 0.5, sampling_rate: int = 44100) -> npt.NDArray[np.float32]:
    time = np.arange(round(seconds * sampling_rate)) / sampling_rate
    return (0.3 * np.sin(2 * np.pi * 220 * time)).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(
    samples=arrays(np.float32, st.integers(1, 300), elements=st.floats(-3, 3, width=32)),
    name=st.sampled_from(["flac", "wav"]),
)
def test_lossless_formats_round_once_and_clip(samples: npt.NDArray[np.float32], name: str) -> None:
    """Bug: a sample of 1.1 overflowed to the opposite sign, which is a loud click."""
    decoded, sampling_rate = decode(encode(samples, 44100, name))
    assert sampling_rate == 44100
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, np.clip(samples, -1, 32767 / 32768), atol=0.5 / 32768)


@pytest.mark.parametrize("name", AUDIO_FORMATS)
def test_every_file_says_that_it_is_synthetic(name: str) -> None:
    """Guards clips outside of their dataset against being taken for recordings of a person."""
    encoded = encode(tone(), 44100, name)
    with soundfile.SoundFile(io.BytesIO(encoded)) as file:
        assert file.comment == SYNTHETIC_SPEECH
    with av.open(io.BytesIO(encoded)) as container:
        tags = {**container.metadata, **container.streams.audio[0].metadata}
    assert "digitalsourcetype/trainedAlgorithmicMedia" in {key.lower(): tags[key] for key in tags}["comment"]


@pytest.mark.parametrize("name", AUDIO_FORMATS)
def test_same_samples_same_bytes(name: str) -> None:
    """Bug: the random serial number of an Ogg stream changed bytes and hashes in each run."""
    assert encode(tone(), 44100, name) == encode(tone(), 44100, name)


@pytest.mark.parametrize("name", AUDIO_FORMATS)
@pytest.mark.parametrize("sampling_rate", [16000, 44100])
def test_every_format_holds_every_rate(name: str, sampling_rate: int) -> None:
    """Bug: Opus does not support 44.1 kHz; a file with a wrong rate plays at another pitch."""
    samples = tone(sampling_rate=sampling_rate)
    decoded, rate = decode(encode(samples, sampling_rate, name))
    assert rate == stored_rate(sampling_rate, name)
    assert len(decoded) / rate == pytest.approx(0.5, abs=0.001)
    spectrum = np.abs(np.fft.rfft(decoded))
    assert np.argmax(spectrum) * rate / len(decoded) == pytest.approx(220, abs=3)


def test_opus_pages_keep_valid_checksums() -> None:
    """Bug: strict players drop a page with a wrong checksum, and audio is missing."""
    encoded = encode(tone(3.0), 44100, "opus")
    with soundfile.SoundFile(io.BytesIO(encoded)) as file:
        assert file.frames == pytest.approx(3 * 48000, abs=2)
    damaged = bytearray(encoded)
    damaged[22] ^= 1  # the checksum of the first page
    with pytest.raises(soundfile.LibsndfileError):
        decode(bytes(damaged))


@pytest.mark.parametrize("samples", [[], [0.0, np.nan], [np.inf]])
def test_what_is_no_audio_is_refused(samples: list[float]) -> None:
    """Bug: NaN was converted to an arbitrary sample, and libsndfile's error for no samples did not say why."""
    with pytest.raises(ValueError):  # noqa: PT011, there is no value to name
        encode(np.array(samples, dtype=np.float32), 44100)


def test_an_unknown_format_is_named_with_its_likes() -> None:
    """Bug: a misspelt format ended in a KeyError."""
    with pytest.raises(ConfigError, match=r"dataset\.format=ogg.*opus"):
        audio_format("ogg")


@pytest.mark.parametrize("method", ["readinto", "write", "seek", "tell"])
def test_ctrl_c_is_not_forgotten_in_a_callback(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against a run that continues after Ctrl-C with a damaged clip."""
    samples = np.linspace(-0.5, 0.5, 4_000, dtype=np.float32)
    encoded = encode(samples, 16_000)
    plain = getattr(io.BytesIO, method)
    calls = 0

    def interrupted(memory: io.BytesIO, *arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 1:
            signal.raise_signal(signal.SIGINT)
        return plain(memory, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(io, "BytesIO", type("Memory", (io.BytesIO,), {method: interrupted}))
        with pytest.raises(KeyboardInterrupt):
            decode(encode(samples, 16_000))
    assert calls
    assert encode(samples, 16_000) == encoded
