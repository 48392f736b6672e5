"""The codec as it is exported: one standard DacModel, put together from its parts.

In training a frame is one latent, the sum of what its codes stand for. Here each codebook has channels of its own, so
that the first layer of the decoder can trust each as far as it deserves, and hear the frames around it: it takes in
what `rehearsal.fit_smoother` has found. Beside the decoder lies that of noise, and neither hears of the other.

What is lost by that, the first layers as they were trained, is kept beside the checkpoint, to train it further.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from scripts.voice.codec import make_codec, set_codebooks
from scripts.voice.noise import FIRST_PRODUCT, MUTE_BANDS, NOISE_CHANNELS, NOISE_HIDDEN
from scripts.voice.quantizer import Quantizer
from scripts.voice.recipe import CodecRecipe


def whole_codec(recipe: CodecRecipe) -> Any:
    """An untrained codec of the shape that is exported: wide enough for the noise too, if the recipe has any."""
    hidden = recipe.decoder_hidden + (NOISE_HIDDEN if recipe.noise_steps else 0)
    return make_codec(replace(recipe, decoder_hidden=hidden), apart=True)


@torch.no_grad()
def assembled(recipe: CodecRecipe, quantizer: Quantizer, own: Any, noise: Any | None, smoother: Tensor | None) -> Any:
    """The codec that makes the sum of what its `own` decoder and that of `noise` make.

    Args:
        recipe: Of the codec.
        quantizer: Whose codebooks it has.
        own: The codec's own decoder.
        noise: That of noise, or None.
        smoother: See `rehearsal.fit_smoother`; None: each frame is the sum of what its codes stand for.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the encoder, which nothing trains, is the same in each export
        whole = whole_codec(recipe)
    set_codebooks(whole, quantizer)
    for name, parameter in whole.decoder.named_parameters():
        parameter.zero_()
        for decoder, last in ((noise, True), (own, False)):
            if decoder is None:
                continue
            part = decoder.get_parameter(name)
            if name == "conv1.weight":
                part = part.repeat(1, len(quantizer.codebooks), 1)
            parameter[_place(part, parameter, last)] = part.to(parameter.device)  # of the last bias, the own one
    if smoother is not None:
        _smooth(whole.decoder.conv1, first_layers(own, noise), smoother, keep=noise is not None)
    if noise is not None:
        first = recipe.decoder_hidden // 8 + FIRST_PRODUCT
        whole.decoder.block[3].conv_t1.weight[first : first + MUTE_BANDS] = 0.0
    return whole


def _smooth(layer: Any, trained: Mapping[str, Tensor], smoother: Tensor, keep: bool) -> None:
    """Sets the first layer to what it was trained to be, after the smoother; with `keep`, noise is left as it is."""
    weight, bias = trained["weight"].to(smoother), trained["bias"].to(smoother)
    rows = weight.transpose(1, 2).flatten(1) @ smoother.T  # [channels, taps * latents + 1]
    smooth_weight = rows[:, :-1].view(len(rows), weight.shape[2], -1).transpose(1, 2)
    smooth_bias = bias + rows[:, -1]
    if keep:
        noise = slice(len(weight) - NOISE_HIDDEN, len(weight) - NOISE_HIDDEN + NOISE_CHANNELS[0])
        smooth_weight[noise], smooth_bias[noise] = layer.weight[noise].to(smoother), layer.bias[noise].to(smoother)
    layer.weight.copy_(smooth_weight)
    layer.bias.copy_(smooth_bias)


def first_layers(own: Any, noise: Any | None) -> dict[str, Tensor]:
    """Weight `[channels, hidden, taps]` and bias of both decoders' first layers, one after the other."""
    layers = [decoder.conv1 for decoder in (own, noise) if decoder is not None]
    return {name: torch.cat([layer.get_parameter(name).detach() for layer in layers]) for name in ("weight", "bias")}


@torch.no_grad()
def take_part(decoder: Any, whole: Any, first: Mapping[str, Tensor], last: bool) -> None:
    """Gives a decoder its weights out of one that `assembled` made: of the first channels, or of the last ones.

    Args:
        decoder: Whose weights are set.
        whole: The decoder that was exported.
        first: Its `first_layers`.
        last: Whether it is that of noise.
    """
    for name, parameter in decoder.named_parameters():
        layer, _, kind = name.partition(".")
        theirs = first[kind] if layer == "conv1" else whole.get_parameter(name)
        if not last or parameter.requires_grad:  # what is set is not taken: of noise all after its third block
            parameter.copy_(theirs[_place(parameter, theirs, last)])


def _place(part: Tensor, whole: Tensor, last: bool) -> tuple[slice, ...]:
    """Where a part's channels are among those of the whole; frames, taps and samples are of the same number in both."""
    pairs = zip(part.shape, whole.shape, strict=True)
    return tuple(slice(outer - inner, outer) if last else slice(0, inner) for inner, outer in pairs)
