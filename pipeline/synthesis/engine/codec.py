"""Codes to samples: the codec's decoder as a stage of its own, beside the transformer.

Each clip is decoded alone, so that its samples depend on its codes only, and in windows: the last blocks make hundreds
of values for each sample, and of a whole clip these would fit neither into a cache nor, many at a time, into memory. A
window sees as much of its neighbourhood as the convolutions reach, so that nothing changes at its edges. Knows the
codec's modules, and nothing of how codes come about.
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

from pipeline.synthesis.engine.snake import fuse_snakes

Samples = npt.NDArray[np.float32]
_WINDOW_VALUES = 1 << 20  # that a window puts out, all channels; measured best with caches of some megabytes
_SHORTEST_WINDOW = 256  # in steps of the input; where channels are many, weights are what is read


@dataclass(frozen=True)
class _Stage:
    """A part of the decoder that makes `stride` values of one, and how far it looks."""

    module: nn.Module
    stride: int
    channels: int  # it puts out
    reach: int  # steps of its input, to either side

    @property
    def window(self) -> int:
        """Steps of its input that it is given at a time."""
        return max(_SHORTEST_WINDOW, _WINDOW_VALUES // (self.channels * self.stride))

    def __call__(self, x: Tensor) -> Tensor:
        """`[B, channels, L]` to `[B, channels', L * stride]`."""
        if x.is_cuda or x.shape[-1] <= self.window:
            made: Tensor = self.module(x)
            return made
        return torch.cat([self._part(x, start) for start in range(0, x.shape[-1], self.window)], dim=-1)

    def _part(self, x: Tensor, start: int) -> Tensor:
        end = min(start + self.window, x.shape[-1])
        first = max(0, start - self.reach)
        made: Tensor = self.module(x[..., first : end + self.reach])
        return made[..., (start - first) * self.stride : (end - first) * self.stride]


class Codec:
    """The decoder half of either DAC: transformers' `DacModel`, or upstream's wrapper around Descript's.

    Its decoder computes in `dtype`; the quantizer, which costs nothing, in float32.
    """

    def __init__(self, audio_encoder: Any, dtype: torch.dtype = torch.float32) -> None:
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
            fuse_snakes(dac.decoder)
            torch.backends.cudnn.deterministic = True  # else transposed convolutions may add up in any order
        self._stages = _stages(dac.decoder)
        self.samples_per_frame = prod(stage.stride for stage in self._stages)
        self.context_frames = _context(self._stages)  # frames to either side that a sample depends on, at most

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> Samples:
        """Samples of codes `[K, T]`; one sample of silence for no frame at all, like upstream."""
        if codes.shape[1] == 0:
            return np.zeros(1, dtype=np.float32)
        samples: Samples = self.decode_together(codes[None].to(self.device))[0].cpu().numpy()
        return samples

    @torch.inference_mode()
    def decode_together(self, codes: Tensor) -> Tensor:
        """Samples `[B, N]` of codes `[B, K, T]`, in float32; both on the codec's device."""
        x = self._quantizer.from_codes(codes)[0].to(self._dtype)
        for stage in self._stages:
            x = stage(x)
        samples: Tensor = x[:, 0].float()
        return samples


class CodecStream:
    """Decodes a clip while it grows. The pieces together are the clip."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._done = 0  # frames whose samples have been given out

    def extend(self, codes: Tensor, *, is_last: bool) -> Samples:
        """The samples that have become certain, given all codes so far, `[K, T]`; maybe none."""
        context, width = self._codec.context_frames, self._codec.samples_per_frame
        certain = codes.shape[1] if is_last else codes.shape[1] - context
        if certain <= self._done:
            return np.zeros(0, dtype=np.float32)
        first = max(0, self._done - context)
        samples = self._codec.decode(codes[:, first:])
        begin, self._done = self._done, certain
        return samples[(begin - first) * width : None if is_last else (certain - first) * width]


def _stages(decoder: Any) -> list[_Stage]:
    """The first convolution, the blocks that raise the rate, and the rest. Either DAC has this order."""
    if hasattr(decoder, "block"):  # transformers
        blocks = list(decoder.block)
        parts = [decoder.conv1, *blocks, nn.Sequential(decoder.snake1, decoder.conv2, decoder.tanh)]
    else:
        layers = list(decoder.model)
        blocks = [layer for layer in layers if any(isinstance(m, nn.ConvTranspose1d) for m in layer.modules())]
        last = layers.index(blocks[-1]) + 1
        parts = [layers[0], *blocks, nn.Sequential(*layers[last:])]
    return [_stage(part) for part in parts]


def _stage(module: nn.Module) -> _Stage:
    convolutions = [part for part in module.modules() if isinstance(part, nn.Conv1d)]
    raising = [part for part in module.modules() if isinstance(part, nn.ConvTranspose1d)]
    stride = prod(part.stride[0] for part in raising)
    reach = sum(part.dilation[0] * (part.kernel_size[0] // 2) for part in convolutions)  # steps of its output
    return _Stage(module, stride, convolutions[-1].out_channels, -(-reach // stride) + 2 * len(raising))


def _context(stages: Sequence[_Stage]) -> int:
    frames, rate = 0.0, 1
    for stage in stages:
        frames += stage.reach / rate
        rate *= stage.stride
    return int(-(-frames // 1))


class _Interleaved(nn.Module):
    """A dilated convolution as a plain one over interleaved sequences: a third faster with the CPU's kernels."""

    def __init__(self, convolution: nn.Conv1d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor) -> Tensor:
        """`[B, channels, L]` to the same shape."""
        weight, dilation, (batch, channels, length) = self.convolution.weight, self.convolution.dilation[0], x.shape
        sequences = functional.pad(x, (0, -length % dilation)).view(batch, channels, -1, dilation)
        rows = sequences.permute(3, 0, 1, 2).reshape(dilation * batch, channels, -1)
        made = functional.conv1d(rows, weight, self.convolution.bias, padding=weight.shape[2] // 2)
        made = made.view(dilation, batch, weight.shape[0], -1).permute(1, 2, 3, 0)
        return made.reshape(batch, weight.shape[0], -1)[..., :length]


def _interleave_dilated(module: nn.Module) -> None:
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv1d) and child.dilation[0] > 1:
                setattr(parent, name, _Interleaved(child))


def codec_dtype(device: torch.device, of_model: torch.dtype) -> torch.dtype:
    """What the codec computes in: float32 with a model in float32, else as follows.

    On a CPU bfloat16 if the processor has units for it, which halves the time, at 38 dB from float32 with the published
    codec and random weights. On others half precision is slower, and worse for nothing.

    On a GPU float16, which has three more bits than bfloat16: 56 dB. bfloat16's wider range is not needed: what the
    layers hand on leads up to a tanh and is of its order, and what would leave the range of float16 is mended in
    `snake`.
    """
    if of_model == torch.float32:
        return torch.float32
    if device.type != "cpu":
        return torch.float16
    is_good = of_model == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return torch.bfloat16 if is_good else torch.float32


def _fold_weight_norm(module: nn.Module) -> None:
    """Computes the weights once that weight norm computes at each call."""
    for part in module.modules():
        if parametrize.is_parametrized(part, "weight"):
            parametrize.remove_parametrizations(part, "weight")
