"""Third part of the codec: what hisses. Above 5 kHz speech is noise in all but name, and a DacDecoder has no noise.

Where codes stay alike its convolutions repeat themselves frame by frame, and what should hiss buzzes. So a second,
small DacDecoder makes all above `CROSSOVER`, and the first one learns to leave that out. In the checkpoint both are one
DacDecoder, side by side (`whole`).

A Snake is x + sin²(ax)/a. Two things are made of it here, by weights that are set and stay:

- **Noise.** Of x and -x together only the sine is left, which for large x says nothing of x any more. Random kernels
  and Snakes, block after block, turn frames, no two of which are quite the same, into values that are independent of
  each other. The same frames give the same noise.
- **Products.** sin²(a(e + n)) - sin²(a(e - n)) = sin(2ae) sin(2an): an envelope times a noise. There is one for each of
  the uppermost bands of an MDCT whose hop is the last ratio; the last block is its inverse, and nothing but that.

Only the envelopes are trained, which frames say. That takes minutes: what noise is to sound like need not be learnt.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.signal import firwin
from torch import Tensor, nn
from torch.nn import functional

from scripts.voice.codec import Crops, make_codec
from scripts.voice.loop import Training
from scripts.voice.recipe import CodecRecipe
from scripts.voice.spectra import magnitudes

NOISE_HIDDEN = 128  # width of the noise decoder at the rate of frames, halved by each block
CROSSOVER = 5_000.0  # Hz, above which all is noise
_TRAINED_FROM = 3_000.0  # Hz: bands below those that are heard are trained too, lest others make up for them

# Channels of each block's input in which x and -x become noise. The last one's are noise, envelopes, products.
NOISE_CHANNELS = (32, 16, 16, 4)
_BANDS = 6  # of 800 Hz, up to 8 kHz: as many products, half of them in each of two residual units
MUTE_BANDS = 2  # the lowest of them, in the checkpoint
FIRST_PRODUCT = NOISE_HIDDEN // 8 - _BANDS
_SWING = 2.5  # radians, standard deviation of what becomes noise in a Snake: more is no more random
_PRODUCT_SWING = 4.5
_SINE = 0.7  # standard deviation of the sum of two Snakes, of such an x and of -x
_ALPHA = 0.3  # of Snakes that multiply
_STRAIGHT = 1e-3  # alpha of Snakes that change nothing
_GAIN = 0.15
_FFT_SIZES = (256, 512, 1024, 2048)
_PATCH_HERTZ, _PATCH_SAMPLES = 250, 1024  # in which the power of noise is compared
_FLOOR = 1e-9  # of power; that of a full-scale sine is near 1


def make_noise_decoder(recipe: CodecRecipe, scale: Tensor, seed: int) -> Any:
    """A DacDecoder with noise, products and the inverse MDCT set; hooks keep them so in training.

    Args:
        recipe: Of four ratios, as the other decoder's.
        scale: Standard deviation of latents, `[(K - 1) * hidden]`.
        seed: Of the noise.
    """
    decoder = make_codec(replace(recipe, decoder_hidden=NOISE_HIDDEN)).decoder
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        near = torch.tensor([0.1, 0.2, 0.4, 1.0, 0.4, 0.2, 0.1])  # the frames around matter less
        kernels = torch.randn(NOISE_CHANNELS[0] // 2, len(scale), 7, generator=generator) * near / scale[:, None]
        _keep(decoder.conv1.weight, np.s_[: NOISE_CHANNELS[0]], _paired(_SWING * kernels / len(scale) ** 0.5, dim=0))
        _keep(decoder.conv1.bias, np.s_[: NOISE_CHANNELS[0]])
        for block, inner, outer in zip(decoder.block, NOISE_CHANNELS, NOISE_CHANNELS[1:], strict=False):
            _set_noise(block, inner, outer, generator)
        _set_products(decoder.block[2], generator)
        _set_inverse_mdct(decoder)
    return decoder


def _set_noise(block: Any, inner: int, outer: int, generator: torch.Generator) -> None:
    """Noise goes in by the first `inner` channels and comes out by the first `outer`; no other one hears it."""
    upward = block.conv_t1.weight  # [channels in, channels out, 2 * stride]
    kernels = torch.randn(inner // 2, outer // 2, 2, upward.shape[2] // 2, generator=generator)
    kernels -= kernels.mean(dim=(0, 2), keepdim=True)  # squares are above 0: their mean would be heard at each frame
    kernels *= _SWING / _SINE / kernels.square().sum(dim=(0, 2), keepdim=True).sqrt()
    alike = kernels.flatten(2).repeat_interleave(2, dim=0)  # of x and -x, so that only their sines are left
    _keep(upward, np.s_[:, :outer])
    _keep(upward, np.s_[:inner])
    _keep(upward, np.s_[:inner, :outer], _paired(alike, dim=1))
    _keep(block.conv_t1.bias, np.s_[:outer])
    _keep(block.snake1.alpha, np.s_[:, :inner], torch.tensor(1.0))
    for unit in (block.res_unit1, block.res_unit2, block.res_unit3):
        _keep(unit.snake1.alpha, np.s_[:, :outer], torch.tensor(1.0))
        _keep(unit.conv1.weight, np.s_[:, :outer])
        _keep(unit.conv2.weight, np.s_[:outer])
        _keep(unit.conv2.bias, np.s_[:outer])


def _set_products(block: Any, generator: torch.Generator) -> None:
    """Products come out by the last channels, half of them from each of the last two units."""
    for layer in (block.conv_t1, block.res_unit1.conv2):
        _keep(layer.bias, np.s_[FIRST_PRODUCT:])
    _keep(block.conv_t1.weight, np.s_[:, FIRST_PRODUCT:])
    _keep(block.res_unit1.conv2.weight, np.s_[FIRST_PRODUCT:])
    noise, half = NOISE_CHANNELS[3], _BANDS // 2
    for number, unit in enumerate((block.res_unit2, block.res_unit3)):
        kernels = torch.randn(half, noise // 2, 7, generator=generator)
        kernels -= kernels.mean(dim=(1, 2), keepdim=True)
        kernels *= _PRODUCT_SWING / _SINE / kernels.square().sum(dim=(1, 2), keepdim=True).sqrt()
        envelopes = 0.2 * torch.randn(half, FIRST_PRODUCT - noise, generator=generator)
        weight = unit.conv1.weight
        changing = torch.zeros_like(weight)
        weight.zero_()
        for product in range(half):  # hidden channels are e + n, e - n, n, -n
            row = 4 * product
            weight[row : row + 4, :noise] = _paired(torch.stack([kernels[product]] * 2), 0).repeat_interleave(2, dim=1)
            weight[row : row + 2, noise:FIRST_PRODUCT, 3] = envelopes[product] / envelopes.shape[1] ** 0.5
            changing[row : row + 2, noise:FIRST_PRODUCT] = 1.0
        joined = torch.zeros_like(unit.conv2.weight)
        for product in range(half):
            signs = torch.tensor([1.0, -1.0, -1.0, 1.0])
            joined[FIRST_PRODUCT + number * half + product, 4 * product : 4 * product + 4, 0] = signs
        _change_gradient(weight, partial(_tied, changing))
        _keep(unit.conv1.bias, np.s_[:])
        _keep(unit.conv2.weight, np.s_[:], joined)
        _keep(unit.conv2.bias, np.s_[:])
        _keep(unit.snake2.alpha, np.s_[:], torch.tensor(_ALPHA))


def _tied(changing: Tensor, gradient: Tensor) -> Tensor:
    """A gradient where something is changing: envelopes, each shared by two hidden channels, the mean for both."""
    pairs = (gradient * changing.to(gradient.device)).view(-1, 2, *gradient.shape[1:])
    return pairs.mean(dim=1, keepdim=True).expand_as(pairs).flatten(0, 1)


def _set_inverse_mdct(decoder: Any) -> None:
    """The last block, and all after it: the products are coefficients of an MDCT's uppermost bands."""
    last = decoder.block[3]
    for parameter in [*last.parameters(), *decoder.conv2.parameters()]:
        parameter.zero_()
    for layer in [*last.modules(), decoder.snake1]:
        if hasattr(layer, "alpha"):
            layer.alpha.fill_(_STRAIGHT)
    hop = last.conv_t1.weight.shape[2] // 2
    time, band = torch.arange(2 * hop) + 0.5, torch.arange(hop - _BANDS, hop)[:, None] + 0.5
    window = torch.sin(math.pi / (2 * hop) * time)
    bases = window * torch.cos(math.pi / hop * (time + hop / 2) * band) * (2 / hop) ** 0.5
    last.conv_t1.weight[FIRST_PRODUCT:, 0] = _GAIN * bases
    decoder.conv2.weight[0, 0, 3] = 1.0
    for parameter in [*last.parameters(), *decoder.snake1.parameters(), *decoder.conv2.parameters()]:
        parameter.requires_grad_(False)


def _paired(values: Tensor, dim: int) -> Tensor:
    """Each of `values` along `dim`, followed by its negative."""
    return torch.stack([values, -values], dim=dim + 1).flatten(dim, dim + 1)


def _keep(parameter: nn.Parameter, part: Any, value: Tensor | None = None) -> None:
    """Sets this part of a parameter, to 0 if nothing is said, and keeps it: it never has a gradient.

    A training must have no weight decay, which would change it all the same.
    """
    parameter[part] = 0.0 if value is None else value
    changing = torch.ones_like(parameter)
    changing[part] = 0.0
    _change_gradient(parameter, lambda gradient: gradient * changing.to(gradient.device))


def _change_gradient(parameter: nn.Parameter, change: Callable[[Tensor], Tensor]) -> None:
    parameter.register_hook(change)  # type: ignore[no-untyped-call]


def train_noise(
    training: Training, codec: Any, crops: Crops, sampling_rate: int, seed: int, device: torch.device
) -> None:
    """Trains `training.model`, a noise decoder, to make what is above `_TRAINED_FROM` of each crop."""
    drawn = _drawn(codec, crops, range(training.step, training.steps), seed, device)

    def losses(step: int) -> dict[str, Tensor]:
        frames, samples = next(drawn)
        differences, leak = noise_loss(training.model(frames)[:, 0], samples, sampling_rate)
        return {"loss": differences + leak, "differences": differences, "leak": leak}

    training.run(losses)


def noise_loss(made: Tensor, real: Tensor, sampling_rate: int) -> tuple[Tensor, Tensor]:
    """Distance of noise `[B, N]` from what is above `_TRAINED_FROM` in speech, and how much of it is below.

    Noise is as loud as other noise and as rough, but not the same: what is compared are, in patches of time and
    frequency, the logarithm of the mean power and the mean of its logarithm.
    """
    difference, leak = made.new_zeros(()), made.new_zeros(())
    for size in _FFT_SIZES:
        high, low = (int(hertz / sampling_rate * size) for hertz in (_TRAINED_FROM, _TRAINED_FROM - 150))
        patch = (size * _PATCH_HERTZ // sampling_rate, max(1, _PATCH_SAMPLES // size))
        count = (size // 2 + 1 - high) // patch[0] * patch[0]
        powers = [magnitudes(samples, size, size // 4) ** 2 for samples in (made, real)]
        means = [
            torch.stack(
                [functional.avg_pool2d(p, patch).add(_FLOOR).log(), functional.avg_pool2d(p.add(_FLOOR).log(), patch)]
            )
            for p in (power[:, None, high : high + count] for power in powers)
        ]
        difference = difference + (means[0] - means[1]).abs().mean()
        below = [power[:, :low].add(1e-12).sqrt().mean() for power in powers]
        leak = leak + below[0] / below[1].clamp(min=1e-3)
    return difference / len(_FFT_SIZES), leak


def only_late_layers(decoder: Any) -> Any:
    """Freezes all of a decoder but its last two blocks and what follows: what is above `CROSSOVER` is made there."""
    decoder.requires_grad_(False)
    for layer in (decoder.block[-2], decoder.block[-1], decoder.snake1, decoder.conv2):
        layer.requires_grad_(True)
    return decoder


def train_without_top(
    training: Training, codec: Any, crops: Crops, sampling_rate: int, seed: int, device: torch.device
) -> None:
    """Trains `training.model`, a copy of the codec's decoder, to make what that makes, less all above `CROSSOVER`."""
    window = firwin(255, CROSSOVER, fs=sampling_rate, window=("kaiser", 6))
    low_pass = torch.tensor(window, dtype=torch.float32, device=device)[None, None]
    whole = copy.deepcopy(codec.decoder).eval().requires_grad_(False)
    drawn = _drawn(codec, crops, range(training.step, training.steps), seed, device)

    def losses(step: int) -> dict[str, Tensor]:
        frames, _ = next(drawn)
        wanted = functional.conv1d(whole(frames), low_pass, padding="same")[:, 0]
        made = training.model(frames)[:, 0]
        distance, top = made.new_zeros(()), made.new_zeros(())
        for size in (256, 1024):
            hann = torch.hann_window(size, device=device)
            both = torch.stft(torch.cat([made, wanted]), size, size // 4, window=hann, return_complex=True)
            ours, theirs = both.chunk(2)
            above = int((CROSSOVER + 500) / sampling_rate * size)
            loudness = theirs.abs().mean().clamp(min=1e-4)
            distance = distance + (ours - theirs).abs().mean() / loudness
            top = top + ours[:, above:].abs().mean() / loudness
        return {"loss": distance + 2 * top, "distance": distance, "top": top}

    training.run(losses)


def _drawn(codec: Any, crops: Crops, steps: range, seed: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Frames `[B, hidden, T]` and samples `[B, N]` of random crops."""
    for step in steps:
        samples, codes = crops.draw(np.random.default_rng((seed, step)))
        with torch.no_grad():
            frames = codec.quantizer.from_codes(codes.to(device))[0]
        yield frames, samples.to(device)
