"""Windows and batches of the codec, computed on a CPU."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_cases import TINY
from fakes import Checkpoints
from torch import nn
from transformers.models.dac.modeling_dac import Snake1d

from pipeline.synthesis import upstream  # first: it lets `dac` be imported
from pipeline.synthesis.engine.batched_codec import BatchedCodec, PendingCodes
from pipeline.synthesis.engine.codec import Codec
from pipeline.synthesis.engine.snake import Snake, kernel, replace_snakes
from pipeline.synthesis.engine.windows import Windows

from dac.nn.layers import Snake1d as DescriptSnake1d  # isort: skip

HUB = dataclasses.replace(TINY, hub_codec=True, sampling_rate=44_100)
ODD = dataclasses.replace(TINY, codec_ratios=(3, 4, 5))  # each odd stride makes a sample less than its product
each_codec = pytest.mark.parametrize("shape", [TINY, HUB, ODD], ids=["transformers", "descript", "odd strides"])


def load(folder: Path) -> Codec:
    device = torch.device("cpu")
    return Codec(upstream.load(folder, attention="sdpa", dtype=torch.float32, device=device).audio_encoder)


@pytest.mark.parametrize("context", [1, 3, 8, 12, 13, 30])
def test_windows_cover_a_clip_with_enough_context(context: int) -> None:
    """Guards the edges of windows: no frame is kept twice or lost, and each has its full context."""
    windows = Windows(context)
    for num_frames in [*range(8 * windows.lengths[-1]), 12_345]:
        cut = windows.split(num_frames)
        kept = [frame for window in cut for frame in range(window.keep_start, window.keep_end)]
        assert kept == list(range(num_frames))
        for window in cut:
            end = window.start + window.length
            assert window.start == 0 or window.start + context <= window.keep_start
            assert end == num_frames or window.keep_end + context <= end
            assert 0 <= window.start < end <= num_frames
            assert window.length in windows.lengths or len(cut) == 1


def test_few_shapes_and_little_in_vain() -> None:
    """Guards the codec's speed against many shapes, and windows that are mostly context."""
    windows = Windows(12)
    assert [windows.batch_size(length) * length for length in windows.lengths] == [1536] * 3
    for num_frames in range(windows.lengths[0], 2600):
        cut = windows.split(num_frames)
        assert len({window.length for window in cut}) == 1
        computed = sum(window.length for window in cut)
        assert computed <= 2 * num_frames
        assert computed <= 1.5 * num_frames or num_frames < 300  # 3.5 seconds


@each_codec
def test_batches_of_windows_are_the_whole_clips(
    shape: object, checkpoint_of: Checkpoints, small_hub_codec: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the assembly of clips from windows of several batches, and the number of shapes."""
    codec = load(checkpoint_of(shape))
    batched, shapes = BatchedCodec(codec, Windows(codec.context_frames, batch_contexts=32)), set()
    decode_batch = codec.decode_batch

    def recorded(codes: torch.Tensor) -> torch.Tensor:
        shapes.add((codes.shape[0], codes.shape[2]))
        return decode_batch(codes)

    monkeypatch.setattr(codec, "decode_batch", recorded)
    batched.warm_up(4)
    expected_shapes = {(batched.windows.batch_size(length), length) for length in batched.windows.lengths}
    assert shapes == expected_shapes
    shortest = batched.windows.lengths[0]
    lengths = [0, 1, 7, shortest - 1, shortest, 2 * shortest + 3, batched.windows.lengths[-1] + 30, 0, 5 * shortest]
    generator = torch.Generator().manual_seed(0)
    clips = [torch.randint(0, 1024, (4, length), generator=generator) for length in lengths]
    together = batched.decode([PendingCodes(clip, None) for clip in clips])
    assert shapes - expected_shapes == {(1, 1), (1, 7), (1, shortest - 1)}, "only very short clips have their own shape"
    for clip, samples in zip(clips, together, strict=True):
        np.testing.assert_allclose(samples, codec.decode(clip), rtol=0, atol=1e-5)

    order = random.Random(1).sample(range(len(clips)), len(clips))
    for some in (order[:4], order[4:]):
        for index, samples in zip(some, batched.decode([PendingCodes(clips[i], None) for i in some]), strict=True):
            assert np.array_equal(samples, together[index]), "the same bits in any company"


def test_a_batch_of_nothing(checkpoint_of: Checkpoints) -> None:
    """Guards clips without a frame: upstream returns one zero, and there is no window to decode."""
    batched = BatchedCodec(load(checkpoint_of(TINY)))
    assert [
        samples.tolist() for samples in batched.decode([PendingCodes(torch.zeros(4, 0, dtype=torch.int64), None)])
    ] == [[0.0]]


@pytest.mark.parametrize("kind", [Snake1d, DescriptSnake1d], ids=["transformers", "descript"])
def test_the_activation_is_both_codecs(kind: type[nn.Module]) -> None:
    """Guards the activation that replaces both codecs' own: its values, its place, its range in half precision."""
    theirs = kind(6)
    theirs.alpha.data = torch.tensor([1.0, 0.3, 20.0, 1e-3, -0.5, 1e-12]).view(1, 6, 1)
    x = torch.randn(2, 6, 50, generator=torch.Generator().manual_seed(0))
    holder = nn.Sequential(nn.Sequential(theirs), nn.Identity())
    expected = holder(x)
    replace_snakes(holder)
    assert isinstance(holder[0][0], Snake)
    torch.testing.assert_close(holder(x), expected)
    half = holder.half()(x.half())
    assert half.isfinite().all(), "1 / alpha and the 1e-9 leave the range of float16"
    torch.testing.assert_close(half.float(), expected, rtol=2e-3, atol=2e-3)


def test_the_kernels_source_is_one_that_torch_takes() -> None:
    """Guards the kernel's source, which torch parses before it is compiled on a GPU."""
    assert kernel().kernel_name == "snake"
