"""Randomness that belongs to the utterance: a counter-based generator, keyed by (seed, step, codebook, id).

Adding Gumbel noise to log-probabilities and taking the largest draws from the distribution exactly (the Gumbel-max
trick). Because each number is a pure function of its key, a clip is the same alone, in any batch and in any order. The
bits are equal on every device, since only integer arithmetic makes them; the logarithms may differ in the last place.

The mixing function is splitmix64's finaliser (Steele, Lea, Flood 2014: "Fast splittable pseudorandom number
generators").
"""

from __future__ import annotations

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed 64-bit integer
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB
_UNIFORM_BITS = 23  # one less than a float32 holds, for the half that keeps the ends out: at 1 the noise is infinite


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Logical shift: torch's `>>` on int64 copies the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift_right(x, 30)) * _MIX_1
    x = (x ^ _shift_right(x, 27)) * _MIX_2
    return x ^ _shift_right(x, 31)


def gumbel(seeds: Tensor, steps: Tensor, num_codebooks: int, vocabulary: int) -> Tensor:
    """Standard Gumbel noise `[B, K, V]` in float32.

    Args:
        seeds: `[B]` int64, of each row's utterance.
        steps: `[B]` int64, the step of each row, counted from its own first.
        num_codebooks: K.
        vocabulary: V.
    """
    ids = torch.arange(num_codebooks * vocabulary, device=seeds.device).view(num_codebooks, vocabulary)
    return gumbel_at(seeds, steps, ids[None])


def gumbel_at(seeds: Tensor, steps: Tensor, ids: Tensor) -> Tensor:
    """The numbers of `gumbel` for some ids only.

    Args:
        seeds: `[B]`.
        steps: `[B]`.
        ids: `[B or 1, K, n]`: codebook * V + id.
    """
    row_keys = _mix(_mix(seeds + _GOLDEN) + steps * _GOLDEN)  # [B]
    bits = _mix(row_keys[:, None, None] + (ids + 1) * _GOLDEN)  # [B, K, n]
    return -torch.log(-torch.log(uniform(bits)))


def uniform(bits: Tensor) -> Tensor:
    """Random 64-bit integers as float32 numbers between 0 and 1, both excluded."""
    return (_shift_right(bits, 64 - _UNIFORM_BITS).float() + 0.5) * 2.0**-_UNIFORM_BITS
