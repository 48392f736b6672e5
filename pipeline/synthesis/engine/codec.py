"""The codec's decoder: codes to samples.

Each clip is decoded alone, so that its samples depend on its codes only. On a CPU each stage is computed in chunks: the
last blocks compute hundreds of values for each sample, which for a whole clip fit neither into a cache nor, for several
clips, into memory. A chunk includes as much context as the convolutions reach, so that chunks do not change the result.
This is the only module of the engine that knows the codec's modules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from pipeline.synthesis.engine.snake import replace_snakes

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ChunkSize:
    """How much of a clip a stage computes at a time on a CPU.

    Attributes:
        max_values: Output values of a chunk, all channels. Measured best with processor caches of some megabytes.
        min_length: Input length of a chunk, at least. Stages with many channels spend their time reading weights.
    """

    max_values: int = 1 << 20
    min_length: int = 256


@dataclass(frozen=True)
class Stage:
    """A part of the decoder: a convolution, or a block that raises the rate by `stride`."""

    module: nn.Module
    stride: int
    channels: int  # of its output
    context: int  # input values to either side that an output value depends on
    chunk_size: ChunkSize

    def __call__(self, x: Tensor) -> Tensor:
        """Compute `[B, channels, L * stride]` from `[B, input channels, L]`."""
        chunk = max(self.chunk_size.min_length, self.chunk_size.max_values // (self.channels * self.stride))
        if x.is_cuda or x.shape[-1] <= chunk:
            y: Tensor = self.module(x)
            return y
        starts = range(0, x.shape[-1], chunk)
        return torch.cat([self._chunk(x, start, min(start + chunk, x.shape[-1])) for start in starts], dim=-1)

    def _chunk(self, x: Tensor, start: int, end: int) -> Tensor:
        first = max(0, start - self.context)
        y: Tensor = self.module(x[..., first : end + self.context])
        return y[..., (start - first) * self.stride : (end - first) * self.stride]


class Codec:
    """The decoder of a DAC model.

    Args:
        audio_encoder: transformers' `DacModel`, or upstream's wrapper around Descript's. Its decoder is changed in
            place: it belongs to this object afterwards.
        dtype: In which the decoder computes. The quantizer, which takes hardly any time, computes in float32.
        chunk_size: How much of a clip is computed at a time on a CPU.

    Attributes:
        stages: The parts of the decoder, in order.
        samples_per_frame: Product of the strides.
        context_frames: Frames to either side that a sample depends on, at most.
    """

    def __init__(
        self, audio_encoder: Any, dtype: torch.dtype = torch.float32, chunk_size: ChunkSize | None = None
    ) -> None:
        dac = getattr(audio_encoder, "model", audio_encoder)
        self._quantizer = dac.quantizer
        for part in (dac.quantizer, dac.decoder):
            _fold_weight_norm(part)
        self.device = next(dac.decoder.parameters()).device
        self._dtype = dtype
        dac.quantizer.float()
        dac.decoder.to(dtype)
        if self.device.type == "cpu":
            _interleave_dilated(dac.decoder)
        else:
            replace_snakes(dac.decoder)
            torch.backends.cudnn.deterministic = True  # transposed convolutions may otherwise sum in any order
        self.stages = [_stage(part, chunk_size or ChunkSize()) for part in _parts(dac.decoder)]
        self.samples_per_frame = prod(stage.stride for stage in self.stages)
        self.context_frames = _context_frames(self.stages)

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> Samples:
        """Return the samples `[N]` of codes `[K, T]`; for T = 0 one sample of silence, as in upstream."""
        if codes.shape[1] == 0:
            return np.zeros(1, dtype=np.float32)
        samples: Samples = self.decode_batch(codes[None].to(self.device))[0].cpu().numpy()
        return samples

    @torch.inference_mode()
    def decode_batch(self, codes: Tensor) -> Tensor:
        """Return the samples `[B, N]` in float32 of codes `[B, K, T]`, both on the codec's device."""
        x = self._quantizer.from_codes(codes)[0].to(self._dtype)
        for stage in self.stages:
            x = stage(x)
        samples: Tensor = x[:, 0].float()
        return samples


class CodecStream:
    """Decodes a clip while it grows. The pieces together are the clip."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._num_returned = 0  # frames whose samples were returned

    def extend(self, codes: Tensor, *, is_last: bool) -> Samples:
        """Return the samples `[N]` that later codes cannot change and that were not returned yet; N may be 0.

        Args:
            codes: All codes so far, `[K, T]`.
            is_last: No more codes will come.
        """
        context, width = self._codec.context_frames, self._codec.samples_per_frame
        certain = codes.shape[1] if is_last else codes.shape[1] - context
        if certain <= self._num_returned:
            return np.zeros(0, dtype=np.float32)
        first = max(0, self._num_returned - context)
        samples = self._codec.decode(codes[:, first:])
        begin, self._num_returned = self._num_returned, certain
        return samples[(begin - first) * width : None if is_last else (certain - first) * width]


def _parts(decoder: Any) -> list[nn.Module]:
    """Return the first convolution, the blocks that raise the rate, and the rest, of either kind of DAC."""
    if hasattr(decoder, "block"):  # transformers
        blocks = list(decoder.block)
        return [decoder.conv1, *blocks, nn.Sequential(decoder.snake1, decoder.conv2, decoder.tanh)]
    layers = list(decoder.model)
    blocks = [layer for layer in layers if any(isinstance(m, nn.ConvTranspose1d) for m in layer.modules())]
    last = layers.index(blocks[-1]) + 1
    return [layers[0], *blocks, nn.Sequential(*layers[last:])]


def _stage(module: nn.Module, chunk_size: ChunkSize) -> Stage:
    convolutions = [part for part in module.modules() if isinstance(part, nn.Conv1d)]
    transposed = [part for part in module.modules() if isinstance(part, nn.ConvTranspose1d)]
    stride = prod(part.stride[0] for part in transposed)
    of_output = sum(part.dilation[0] * (part.kernel_size[0] // 2) for part in convolutions)
    context = -(-of_output // stride) + 2 * len(transposed)
    return Stage(module, stride, convolutions[-1].out_channels, context, chunk_size)


def _context_frames(stages: Sequence[Stage]) -> int:
    frames, rate = 0.0, 1
    for stage in stages:
        frames += stage.context / rate
        rate *= stage.stride
    return int(-(-frames // 1))


class _Interleaved(nn.Module):
    """A dilated convolution as a plain one over interleaved sequences, which is a third faster on a CPU."""

    def __init__(self, convolution: nn.Conv1d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor) -> Tensor:
        """Compute the convolution of x `[B, channels, L]`; the shape stays."""
        weight, dilation, (batch, channels, length) = self.convolution.weight, self.convolution.dilation[0], x.shape
        sequences = functional.pad(x, (0, -length % dilation)).view(batch, channels, -1, dilation)
        rows = sequences.permute(3, 0, 1, 2).reshape(dilation * batch, channels, -1)
        y = functional.conv1d(rows, weight, self.convolution.bias, padding=weight.shape[2] // 2)
        y = y.view(dilation, batch, weight.shape[0], -1).permute(1, 2, 3, 0)
        return y.reshape(batch, weight.shape[0], -1)[..., :length]


def _interleave_dilated(module: nn.Module) -> None:
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv1d) and child.dilation[0] > 1:
                setattr(parent, name, _Interleaved(child))


def codec_dtype(device: torch.device, of_model: torch.dtype) -> torch.dtype:
    """Return the precision in which the codec computes: float32 with a model in float32, otherwise as follows.

    On a CPU: bfloat16 if the processor has instructions for it, which halves the time at 38 dB of signal-to-noise ratio
    against float32 (published codec, random weights); float32 on others, where half precision is slower.

    On a GPU: float16, which has three more bits than bfloat16: 56 dB. The wider range of bfloat16 is not needed: the
    layers' values end in a tanh and are of its magnitude, and `snake` computes in float32 what would overflow.
    """
    if of_model == torch.float32:
        return torch.float32
    if device.type != "cpu":
        return torch.float16
    has_bfloat16 = of_model == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return torch.bfloat16 if has_bfloat16 else torch.float32


def _fold_weight_norm(module: nn.Module) -> None:
    """Replace weight norm, which computes the weights at each call, by the weights themselves."""
    for part in module.modules():
        if parametrize.is_parametrized(part, "weight"):
            parametrize.remove_parametrizations(part, "weight")
