"""The codec as it is exported: one standard DacModel in which the decoder of noise lies beside the codec's own.

Neither hears of the other: between them all weights are zero.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from scripts.voice.codec import make_codec, set_codebooks
from scripts.voice.noise import FIRST_PRODUCT, MUTE_BANDS, NOISE_HIDDEN
from scripts.voice.recipe import CodecRecipe


def whole_codec(recipe: CodecRecipe) -> Any:
    """An untrained codec of the shape that is exported: wide enough for the noise too, if the recipe has any."""
    hidden = recipe.decoder_hidden + (NOISE_HIDDEN if recipe.noise_steps else 0)
    return make_codec(replace(recipe, decoder_hidden=hidden))


@torch.no_grad()
def assembled(recipe: CodecRecipe, vectors: Tensor, own: Any, noise: Any | None) -> Any:
    """The codec that makes the sum of what its `own` decoder and that of `noise` make of these `vectors` of codes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the encoder, which nothing trains, is the same in each export
        whole = whole_codec(recipe)
    set_codebooks(whole, vectors)
    for name, parameter in whole.decoder.named_parameters():
        parameter.zero_()
        for decoder, last in ((noise, True), (own, False)):
            if decoder is not None:
                part = decoder.get_parameter(name)
                parameter[_place(part, parameter, last)] = part.to(parameter.device)  # of the last bias, the own one
    if noise is not None:
        first = recipe.decoder_hidden // 8 + FIRST_PRODUCT
        whole.decoder.block[3].conv_t1.weight[first : first + MUTE_BANDS] = 0.0
    return whole


@torch.no_grad()
def take_part(decoder: Any, whole: Any, last: bool) -> None:
    """Gives a decoder its weights out of one that `assembled` made: of the first channels, or of the last ones.

    Args:
        decoder: Whose weights are set.
        whole: The decoder that was exported.
        last: Whether it is that of noise.
    """
    for name, parameter in decoder.named_parameters():
        theirs = whole.get_parameter(name)
        if not last or parameter.requires_grad:  # what is set is not taken: of noise all after its third block
            parameter.copy_(theirs[_place(parameter, theirs, last)])


def _place(part: Tensor, whole: Tensor, last: bool) -> tuple[slice, ...]:
    """Where a part's channels are among those of the whole; latents, taps and samples are as many in both."""
    pairs = zip(part.shape, whole.shape, strict=True)
    return tuple(slice(outer - inner, outer) if last else slice(0, inner) for inner, outer in pairs)
