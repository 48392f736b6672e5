"""Sampling of codes from logits, with noise that is keyed by the utterance's seed.

The result equals, code for code, that of the reference backend with transformers' logits warpers and the full noise.
Noise is computed for the candidates that remain after top-k only: each number of it has its own key (see `noise`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.synthesis import noise
from pipeline.types import Sampling


@dataclass(frozen=True)
class TokenRules:
    """Special ids and restrictions, from the checkpoint's generation config."""

    bos: int
    eos: int
    pad: int
    min_steps: int  # steps before the first end of sequence may be drawn
    bias: Tensor  # [V] float32: -inf for ids that are never drawn, else 0


def mask_logits(logits: Tensor, rules: TokenRules, steps: Tensor, open_codebook: Tensor) -> Tensor:
    """Set the logits of ids that must not be drawn to -inf.

    Args:
        logits: `[B, K, V]` float32.
        rules: Of the checkpoint.
        steps: `[B]` steps done by each row.
        open_codebook: `[B]` the first codebook of each row that has not ended; later codebooks may not end yet.

    Returns:
        Masked logits `[B, K, V]`.
    """
    codebooks = torch.arange(logits.shape[1], device=logits.device)
    too_early = (codebooks > open_codebook[:, None]) | (steps < rules.min_steps)[:, None]
    logits = logits + rules.bias
    logits[:, :, rules.eos] = logits[:, :, rules.eos].masked_fill(too_early, -torch.inf)
    return logits


def sample_codes(logits: Tensor, sampling: Sampling, seeds: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """Draw one code for each row and codebook.

    Args:
        logits: `[B, K, V]` float32, -inf for ids that cannot be drawn.
        sampling: Temperature, top-k and top-p, applied in this order as in transformers.
        seeds: `[B]` seed of each row's utterance.
        steps: `[B]` steps done by each row.

    Returns:
        Codes `[B, K]`, and their scores `[B, K]`. A score is not finite if a logit was NaN or +inf, or no id was
        allowed.
    """
    if not sampling.do_sample:
        best = logits.max(dim=-1)
        return best.indices, best.values
    scores = logits / sampling.temperature if sampling.temperature != 1.0 else logits
    codebooks, vocabulary = scores.shape[1:]
    count = min(sampling.top_k or vocabulary, vocabulary)
    if count < vocabulary or sampling.top_p < 1.0:
        scores, ids = scores.topk(count, dim=-1)  # in descending order
    else:
        ids = torch.arange(vocabulary, device=scores.device).expand_as(scores)
    if sampling.top_p < 1.0:
        scores = _apply_top_p(scores, sampling.top_p)
    first_ids = torch.arange(codebooks, device=ids.device)[:, None] * vocabulary
    best = (scores + noise.gumbel_at(seeds, steps, ids + first_ids)).max(dim=-1)
    return ids.gather(-1, best.indices[..., None])[..., 0], best.values


def _apply_top_p(descending: Tensor, top_p: float) -> Tensor:
    """Mask the least likely ids whose probabilities sum to at most 1 - top_p. The most likely id always remains."""
    ascending = descending.flip(-1)
    removed = ascending.softmax(dim=-1).cumsum(dim=-1) <= 1 - top_p
    removed[..., -1] = False
    return ascending.masked_fill(removed, -torch.inf).flip(-1)
