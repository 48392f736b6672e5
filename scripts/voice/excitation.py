"""What sounds in a throat before a mouth shapes it: pulses and noise, set into the codec's decoder, not learnt.

A DacDecoder is convolutions and Snakes, x + sin²(ax)/a, which know no time and have no noise. Codes say where the voice
is in its cycle at the beginning of each frame, and how far it goes in each half (`quantizer`). Of that a few channels
of each layer make sources, and all other channels learn to make speech of these:

- **A ramp.** Transposed convolutions turn beginnings and slopes into a straight line of cycles, block after block,
  until there are 8,000 values a second. It has a channel for x and one for -x, which leave a Snake with their
  difference as it was.
- **A wave.** x and x + sin²(pi x)/pi together make cos(2 pi x), whatever whole number of cycles x is off.
- **Harmonics.** Snakes of a wave are waves with many harmonics, as in frequency modulation. Sums of some, by least
  squares, are the harmonics that they should be.
- **Noise.** Of x and -x together a Snake leaves the sine alone, which for large x says nothing of x any more. Random
  kernels and Snakes, block after block, turn frames, no two of which are quite the same, into values that are
  independent of each other. The same frames give the same noise.

Source: X. Wang and others (2019), "Neural source-filter-based waveform model", for a network that is given sources.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scripts.voice.quantizer import CYCLES, HEIGHT, PHASE, PHASE_LEAD
from scripts.voice.teachers import HALVES

NOISE = (32, 16, 16, 8, 8)  # channels of noise, x and -x side by side: after the first layer and after each block
_RAMPS = (
    2 * (1 + CYCLES),
    4,
    4,
    2,
)  # channels that follow: phase and cycles, beginnings and slopes, the ramp
HARMONICS = ((1,), (2,), (3, 4), (5, 6, 7), (8, 9, 10, 11), tuple(range(12, 17)), tuple(range(17, 25)))
_WITH_SINE = 3  # of these, those that have a sine too: of higher ones a convolution makes it
_SOURCES = len(HARMONICS) + _WITH_SINE
_PULSES = 2  # block whose units make harmonics
_WAVE = NOISE[_PULSES + 1] + _RAMPS[-1]  # first channel of the wave; harmonics follow it
_BANK = 48  # Snakes that do so, at most
_DEPTH = 12.0  # radians, of the deepest modulation

_SWING = 2.5  # radians, standard deviation of what becomes noise in a Snake: more is no more random
_SINE = 0.7  # standard deviation of the sum of two Snakes, of such an x and of -x
_FAINT = 0.1  # of what others hear of noise at first, and of all samples: what is set is loud
_STRAIGHT = 1e-3  # alpha of Snakes that change little


def set_excitation(decoder: Any, spread: Tensor, seed: int) -> None:
    """Set pulses and noise into a DacDecoder of four blocks; hooks keep them so in training, without weight decay.

    Args:
        decoder: Its latents are the vectors of height, loudness and phase after others, each of a quarter of them.
        spread: Standard deviation of the latents `[hidden]`.
        seed: Of the noise.

    Raises:
        ValueError: It has another number of blocks, too few channels, or does not begin with halves of frames.
    """
    first, channels = decoder.block[0].conv_t1.stride[0], decoder.block[_PULSES].conv_t1.weight.shape[1]
    needed = _WAVE + 2 + _SOURCES
    if len(decoder.block) != len(NOISE) - 1 or first != HALVES or channels < needed:
        raise ValueError(
            f"a decoder of {len(decoder.block)} blocks that begins with a stride of {first} and has {channels} "
            f"channels for its pulses; it takes {len(NOISE) - 1} blocks, {HALVES} and {needed}"
        )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        _set_first_layer(decoder.conv1, spread, generator)
        for number, block in enumerate(decoder.block):
            _carry_noise(block, NOISE[number], NOISE[number + 1], number >= _PULSES, generator)
            if number <= _PULSES:
                _carry_ramp(block, number)
        _set_wave(decoder.block[_PULSES])
        _set_harmonics(decoder.block[_PULSES])
        decoder.conv2.weight *= _FAINT


def _set_first_layer(layer: Any, spread: Tensor, generator: torch.Generator) -> None:
    """Noise of all latents; and each with its -x, the phase, and what a height says of cycles."""
    noise, ramp = NOISE[0], _RAMPS[0]
    near = torch.tensor([0.1, 0.2, 0.4, 1.0, 0.4, 0.2, 0.1])  # the frames around matter less
    known = spread > 0
    kernels = torch.randn(noise // 2, len(spread), 7, generator=generator) * near / spread.clamp(min=1e-3)[:, None]
    kernels = torch.where(known[:, None], kernels, 0.0) * _SWING / float(known.sum()) ** 0.5
    quarter = len(spread) // 4
    height, phase, now = HEIGHT * quarter, PHASE * quarter, 3
    ramps = torch.zeros(ramp // 2, len(spread), 7)
    ramps[0, phase, now - PHASE_LEAD] = 1.0
    for number in range(CYCLES):
        ramps[1 + number, height + number, now] = 1.0
    set_and_keep(layer.weight, slice(noise + ramp), torch.cat([_paired(kernels, 0), _paired(ramps, 0)]))
    set_and_keep(layer.bias, slice(noise + ramp))


def _carry_noise(block: Any, inner: int, outer: int, heard: bool, generator: torch.Generator) -> None:
    """Noise goes in by the first `inner` channels and comes out by the first `outer`, for others to hear or not."""
    upward = block.conv_t1.weight  # [channels in, channels out, 2 * stride]
    kernels = torch.randn(inner // 2, outer // 2, 2, upward.shape[2] // 2, generator=generator)
    kernels -= kernels.mean(dim=(0, 2), keepdim=True)  # squares are above 0: their mean would be heard at each frame
    kernels *= _SWING / _SINE / kernels.square().sum(dim=(0, 2), keepdim=True).sqrt()
    alike = kernels.flatten(2).repeat_interleave(2, dim=0)  # of x and -x, so that only their sines are left
    set_and_keep(upward, (slice(None), slice(outer)))
    if heard:
        upward[:inner] *= _FAINT
    else:
        set_and_keep(upward, slice(inner))
    upward[:inner, :outer] = _paired(alike, dim=1)
    set_and_keep(block.conv_t1.bias, slice(outer))
    set_and_keep(block.snake1.alpha, (slice(None), slice(inner)), torch.tensor(1.0))
    _pass(block, slice(outer), alpha=1.0, heard=heard)


def _carry_ramp(block: Any, number: int) -> None:
    """Beginnings and slopes of the steps that a block makes of each one that it is given; at last, the ramp itself."""
    upward = block.conv_t1.weight
    stride = upward.shape[2] // 2
    inner = slice(NOISE[number], NOISE[number] + _RAMPS[number])
    outer = slice(NOISE[number + 1], NOISE[number + 1] + _RAMPS[number + 1])
    step, taps = torch.arange(stride), slice(-(-stride // 2), -(-stride // 2) + stride)
    kernels = torch.zeros(_RAMPS[number] // 2, _RAMPS[number + 1] // 2, 2 * stride)
    if number == 0:  # phase, cycles in the first half, in the second half, and what of the first is no whole number
        kernels[0, 0, taps] = 1.0
        kernels[1, 1, taps][0] = 1.0
        kernels[2, 1, taps][1] = 1.0
        kernels[3, 0, taps][1] = 1.0
    else:
        kernels[0, 0, taps] = 1.0
        kernels[1, 0, taps] = step / stride
        if number < _PULSES:
            kernels[1, 1, taps] = 1.0 / stride
    set_and_keep(upward, (slice(None), outer))
    set_and_keep(upward, inner)
    upward[inner, outer] = _paired(_paired(kernels / 2, 0), 1)
    set_and_keep(block.conv_t1.bias, outer)
    set_and_keep(block.snake1.alpha, (slice(None), inner), torch.tensor(_STRAIGHT))
    _pass(block, outer, alpha=_STRAIGHT, heard=False)


def _pass(block: Any, channels: slice, alpha: float, heard: bool) -> None:
    """Channels that go through a block's units as they are; if they are not `heard`, nothing is made of them either."""
    for unit in (block.res_unit1, block.res_unit2, block.res_unit3):
        set_and_keep(unit.snake1.alpha, (slice(None), channels), torch.tensor(alpha))
        set_and_keep(unit.conv2.weight, channels)
        set_and_keep(unit.conv2.bias, channels)
        if heard:
            unit.conv1.weight[:, channels] *= _FAINT
        else:
            set_and_keep(unit.conv1.weight, (slice(None), channels))


def _set_wave(block: Any) -> None:
    """The first unit makes of the ramp its cosine and its sine, in the two channels that follow it."""
    unit, ramp = block.res_unit1, NOISE[_PULSES + 1]
    wave = slice(_WAVE, _WAVE + 2)
    new = slice(wave.start, wave.stop + _SOURCES)  # channels to which nothing comes from before
    set_and_keep(block.conv_t1.weight, (slice(None), new))
    set_and_keep(block.conv_t1.bias, new)
    set_and_keep(unit.conv2.weight, new)
    set_and_keep(unit.conv2.bias, new)
    hidden = torch.zeros(4, unit.conv1.weight.shape[1], 7)
    hidden[:, ramp, 3], hidden[:, ramp + 1, 3] = 0.5, -0.5
    hidden[3] *= -1  # x and -x, to take what is straight in Snakes out of them again
    joined = torch.zeros(2, unit.conv2.weight.shape[1], 1)
    joined[0, :4, 0] = math.pi * torch.tensor([-2.0, 0.0, 1.0, -1.0])
    joined[1, :4, 0] = math.pi * torch.tensor([0.0, -2.0, 1.0, -1.0])
    set_and_keep(unit.conv1.weight, slice(4), hidden)
    set_and_keep(unit.conv1.bias, slice(4), torch.tensor([0.0, -0.25, 0.0, 0.0]))
    alpha = torch.tensor([math.pi, math.pi, _STRAIGHT, _STRAIGHT])[:, None]
    set_and_keep(unit.snake2.alpha, (slice(None), slice(4)), alpha)
    set_and_keep(unit.conv2.weight, (slice(None), slice(4)))  # else the ramp would be heard
    set_and_keep(unit.conv2.weight, wave, joined)
    set_and_keep(unit.conv2.bias, wave, torch.tensor([1.0, 1.0 - math.pi / 2]))


def _set_harmonics(block: Any) -> None:
    """The second unit makes of the wave harmonics, in the channels that follow it."""
    unit, wave = block.res_unit2, _WAVE
    sources = slice(wave + 2, wave + 2 + _SOURCES)
    size = min(_BANK, unit.conv1.weight.shape[0])
    count = torch.arange(size)
    turns = 2 * math.pi * count / size * (size * 0.618 // 1)  # neighbours in depth are far from each other in phase
    depths = 1 + (_DEPTH - 1) * count / (size - 1)
    hidden = torch.zeros(size, unit.conv1.weight.shape[1], 7)
    hidden[:, wave, 3], hidden[:, wave + 1, 3] = turns.cos(), turns.sin()
    offsets = torch.where(count % 2 == 0, 0.0, math.pi / 4) / depths
    angles = torch.arange(512, dtype=torch.float64) * 2 * math.pi / 512
    waves = torch.stack([angles.cos(), angles.sin()], dim=1)
    inputs = _snake(waves, _STRAIGHT) @ hidden[:, wave : wave + 2, 3].double().T + offsets
    bank = torch.cat([_snake(inputs, depths), torch.ones(512, 1)], dim=1)
    weights = _least_squares(bank, torch.stack(_harmonics(angles), dim=1)).float()
    joined = torch.zeros(_SOURCES, unit.conv2.weight.shape[1], 1)
    joined[:, :size, 0] = weights[:-1].T
    for channels in (slice(wave, wave + 2), sources):
        set_and_keep(unit.snake1.alpha, (slice(None), channels), torch.tensor(_STRAIGHT))
        set_and_keep(unit.conv2.weight, channels)
        set_and_keep(unit.conv2.bias, channels)
    set_and_keep(unit.conv1.weight, slice(size), hidden)
    set_and_keep(unit.conv1.bias, slice(size), offsets)
    set_and_keep(unit.snake2.alpha, (slice(None), slice(size)), depths[:, None])
    unit.conv2.weight[:, :size] = 0.0  # others may learn to hear them
    set_and_keep(unit.conv2.weight, sources, joined)
    set_and_keep(unit.conv2.bias, sources, weights[-1])


def _harmonics(angles: Tensor) -> list[Tensor]:
    """The sources, all of the same power, at these angles of the wave."""
    return [
        sum((turn(number * angles) for number in numbers), torch.zeros_like(angles)) / len(numbers) ** 0.5
        for turn, groups in ((torch.cos, HARMONICS), (torch.sin, HARMONICS[:_WITH_SINE]))
        for numbers in groups
    ]


def _least_squares(bank: Tensor, wanted: Tensor, damping: float = 1e-5) -> Tensor:
    """Weights `[bank, wanted]`, damped so that half precision does not matter."""
    own = bank.T @ bank + damping * len(bank) * torch.eye(bank.shape[1])
    weights: Tensor = torch.linalg.solve(own, bank.T @ wanted)
    return weights


def _snake(values: Tensor, alpha: Tensor | float) -> Tensor:
    return values + (alpha * values).sin() ** 2 / alpha


def _paired(values: Tensor, dim: int) -> Tensor:
    """Each of `values` along `dim`, followed by its negative."""
    return torch.stack([values, -values], dim=dim + 1).flatten(dim, dim + 1)


def set_and_keep(parameter: nn.Parameter, part: slice | Sequence[slice], value: Tensor | None = None) -> None:
    """Set this part of a parameter, to 0 if nothing is said, and keep it: it never has a gradient.

    To be called while no gradients are recorded, of a parameter that has one. A training must have no weight decay,
    which would change it all the same.
    """
    place = part if isinstance(part, slice) else tuple(part)
    parameter[place] = 0.0 if value is None else value
    changing = torch.ones_like(parameter)
    changing[place] = 0.0
    there: dict[torch.device, Tensor] = {}  # where it is trained: a CUDA graph must not wait for it

    def keep(gradient: Tensor) -> Tensor:
        if gradient.device not in there:
            there[gradient.device] = changing.to(gradient.device)
        return gradient * there[gradient.device]

    parameter.register_hook(keep)  # type: ignore[no-untyped-call]
