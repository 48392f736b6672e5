"""Gumbel noise from a counter-based random number generator, keyed by (seed, step, codebook, id).

The largest of log-probabilities plus Gumbel noise is an exact draw from their distribution (the Gumbel-max trick). Each
number is a pure function of its key, so that a clip does not depend on its batch or on the order of work. The random
bits are equal on every device, since they are made with integer arithmetic; the logarithms may differ in the last bit.

The mixing function is splitmix64's finaliser (Steele, Lea, Flood 2014: "Fast splittable pseudorandom number
generators").
"""

from __future__ import annotations

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed 64-bit integer
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB
_UNIFORM_BITS = 23  # one less than a float32 holds: the last bit is for the half that excludes 0 and 1


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Shift logically: torch's `>>` on int64 copies the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift_right(x, 30)) * _MIX_1
    x = (x ^ _shift_right(x, 27)) * _MIX_2
    return x ^ _shift_right(x, 31)


def gumbel(seeds: Tensor, steps: Tensor, num_codebooks: int, vocabulary: int) -> Tensor:
    """Return standard Gumbel noise for all ids.

    Args:
        seeds: `[B]` int64, of each row's utterance.
        steps: `[B]` int64, steps done by each row.
        num_codebooks: K.
        vocabulary: V.

    Returns:
        `[B, K, V]` float32.
    """
    ids = torch.arange(num_codebooks * vocabulary, device=seeds.device).view(num_codebooks, vocabulary)
    return gumbel_at(seeds, steps, ids[None])


def gumbel_at(seeds: Tensor, steps: Tensor, ids: Tensor) -> Tensor:
    """Return the noise of `gumbel` for some ids only.

    Args:
        seeds: `[B]` int64.
        steps: `[B]` int64.
        ids: `[B or 1, K, n]` int64, codebook * V + id.

    Returns:
        `[B, K, n]` float32.
    """
    row_keys = _mix(_mix(seeds + _GOLDEN) + steps * _GOLDEN)  # [B]
    bits = _mix(row_keys[:, None, None] + (ids + 1) * _GOLDEN)  # [B, K, n]
    return -torch.log(-torch.log(uniform(bits)))


def uniform(bits: Tensor) -> Tensor:
    """Convert random 64-bit integers to float32 numbers between 0 and 1, both excluded, where noise is infinite."""
    return (_shift_right(bits, 64 - _UNIFORM_BITS).float() + 0.5) * 2.0**-_UNIFORM_BITS
