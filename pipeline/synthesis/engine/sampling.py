"""Logits to codes: which ids are allowed, and the draw, with noise that belongs to the utterance.

Equal, code for code, to what the reference backend gets from transformers' warpers and the full noise; but the noise is
made for the candidates alone, since each of its numbers has a key of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.synthesis import noise
from pipeline.types import Sampling


@dataclass(frozen=True)
class Rules:
    """What a checkpoint's generation config says about ids."""

    bos: int
    eos: int
    pad: int
    min_steps: int  # no end of sequence before
    bias: Tensor  # [V] float32: -inf for ids that must never be drawn, else 0


def forbid(logits: Tensor, rules: Rules, steps: Tensor, open_codebook: Tensor) -> Tensor:
    """Logits `[B, K, V]` with -inf for all that must not be drawn.

    Args:
        logits: In float32.
        rules: Of the checkpoint.
        steps: `[B]` steps done.
        open_codebook: `[B]` the first codebook that has not ended. Those behind it may not end yet.
    """
    codebooks = torch.arange(logits.shape[1], device=logits.device)
    too_early = (codebooks > open_codebook[:, None]) | (steps < rules.min_steps)[:, None]
    logits = logits + rules.bias
    logits[:, :, rules.eos] = logits[:, :, rules.eos].masked_fill(too_early, -torch.inf)
    return logits


def draw(logits: Tensor, sampling: Sampling, seeds: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """Draws a code for each row and codebook.

    Args:
        logits: `[B, K, V]` float32, with -inf for ids that cannot be drawn.
        sampling: Temperature, top-k and top-p, applied in this order, as transformers does.
        seeds: `[B]` of the rows' utterances.
        steps: `[B]` of the rows.

    Returns:
        Codes `[B, K]`, and `[B, K]` the score that won: not finite if the logits were not, or allowed nothing.
    """
    if not sampling.do_sample:
        best = logits.max(dim=-1)
        return best.indices, best.values
    scores = logits / sampling.temperature if sampling.temperature != 1.0 else logits
    codebooks, vocabulary = scores.shape[1:]
    count = min(sampling.top_k or vocabulary, vocabulary)
    if count < vocabulary or sampling.top_p < 1.0:
        scores, ids = scores.topk(count, dim=-1)  # falling
    else:
        ids = torch.arange(vocabulary, device=scores.device).expand_as(scores)
    if sampling.top_p < 1.0:
        scores = _keep_nucleus(scores, sampling.top_p)
    first_ids = torch.arange(codebooks, device=ids.device)[:, None] * vocabulary
    best = (scores + noise.gumbel_at(seeds, steps, ids + first_ids)).max(dim=-1)
    return ids.gather(-1, best.indices[..., None])[..., 0], best.values


def _keep_nucleus(falling: Tensor, top_p: float) -> Tensor:
    """Removes the least likely ids that together have at most 1 - top_p; never the best."""
    rising = falling.flip(-1)
    removed = rising.softmax(dim=-1).cumsum(dim=-1) <= 1 - top_p
    removed[..., -1] = False
    return rising.masked_fill(removed, -torch.inf).flip(-1)
