"""The codec stage: chunks and streams give the samples of the whole clip."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from engine_cases import TINY, engine, random_utterances
from fakes import Checkpoints

from pipeline.synthesis import upstream
from pipeline.synthesis.engine.codec import ChunkSize, Codec, CodecStream
from pipeline.synthesis.streaming import preview
from pipeline.types import SYNTHETIC_SPEECH

HUB = dataclasses.replace(TINY, hub_codec=True, sampling_rate=44_100)
both_codecs = pytest.mark.parametrize("shape", [TINY, HUB], ids=["transformers", "descript"])


def load(folder: Path) -> upstream.Parler:
    return upstream.load(folder, attention="sdpa", dtype=torch.float32, device=torch.device("cpu"))


@both_codecs
def test_chunks_are_the_whole(shape: object, checkpoint_of: Checkpoints, small_hub_codec: None) -> None:
    """Guards the context of each stage: a chunk with too little of it clicks at its edges."""
    codec, chunked = (
        Codec(load(checkpoint_of(shape)).audio_encoder, chunk_size=size) for size in (None, ChunkSize(0, 20))
    )
    codes = torch.randint(0, 1024, (4, 90), generator=torch.Generator().manual_seed(0))
    whole = codec.decode(codes)
    np.testing.assert_allclose(chunked.decode(codes), whole, rtol=0, atol=1e-5)
    assert len(whole) == 90 * codec.samples_per_frame


@both_codecs
def test_a_stream_is_the_whole(shape: object, checkpoint_of: Checkpoints, small_hub_codec: None) -> None:
    """Guards streams against pieces that are returned before their context has come: later codes would change them."""
    codec = Codec(load(checkpoint_of(shape)).audio_encoder)
    codes = torch.randint(0, 1024, (4, 70), generator=torch.Generator().manual_seed(0))
    stream = CodecStream(codec)
    pieces = [stream.extend(codes[:, :ready], is_last=ready == 70) for ready in (5, 20, 21, 40, 70)]
    assert len(pieces[0]) == 0 < len(pieces[1]), "nothing is certain before the context has come"
    np.testing.assert_allclose(np.concatenate(pieces), codec.decode(codes), rtol=0, atol=1e-5)


def test_context_is_enough_and_not_much_more(checkpoint_of: Checkpoints) -> None:
    """Guards the context in frames: too little of it clicks, too much delays the first audio of a stream."""
    codec = Codec(load(checkpoint_of(TINY)).audio_encoder)
    codes = torch.zeros(4, 80, dtype=torch.int64)
    changed = codes.clone()
    changed[:, 40] = 7
    moved = np.flatnonzero(np.abs(codec.decode(codes) - codec.decode(changed)) > 0) / codec.samples_per_frame
    reached = max(40 - moved.min(), moved.max() - 41)
    assert reached <= codec.context_frames <= reached + 8


def test_no_frame_is_one_silent_sample(checkpoint_of: Checkpoints) -> None:
    """Guards clips without a frame: upstream returns one zero, and encoders fail for an empty array."""
    assert Codec(load(checkpoint_of(TINY)).audio_encoder).decode(torch.zeros(4, 0, dtype=torch.int64)).tolist() == [0.0]


def test_streamed_audio_is_the_clip(checkpoint_of: Checkpoints, tmp_path: Path) -> None:
    """Guards streaming end to end: the pieces are the clip, and the first comes before the last step."""
    synthesizer = engine(checkpoint_of(TINY))
    (utterance,) = random_utterances(seed=20, count=1)
    utterance = dataclasses.replace(utterance, bucket=None)
    (clip,) = synthesizer.generate([utterance])
    pieces = list(synthesizer.stream(utterance))
    assert len(pieces) > 1
    np.testing.assert_allclose(np.concatenate(pieces), clip.samples, rtol=0, atol=1e-5)

    report = preview(synthesizer, utterance, tmp_path / "preview.wav")
    with soundfile.SoundFile(tmp_path / "preview.wav") as file:
        assert file.comment == SYNTHETIC_SPEECH
    written, rate = soundfile.read(tmp_path / "preview.wav", dtype="float32")
    np.testing.assert_allclose(written, np.clip(clip.samples, -1, 1), rtol=0, atol=1e-4)
    assert report.audio_seconds == len(written) / rate
    assert 0 < report.first_audio_seconds < report.total_seconds
