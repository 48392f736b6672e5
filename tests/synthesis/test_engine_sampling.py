"""Sampling of codes: distribution, rules, noise."""

from __future__ import annotations

import pytest
import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from pipeline.synthesis import noise
from pipeline.synthesis.engine.sampling import TokenRules, mask_logits, sample_codes
from pipeline.types import Sampling

VOCABULARY, EOS = 40, 32
SETTINGS = [
    Sampling(),
    Sampling(top_k=0),
    Sampling(temperature=0.6, top_k=12),
    Sampling(temperature=1.3, top_k=0, top_p=0.7),
    Sampling(top_k=20, top_p=0.9),
]


def upstreams_probabilities(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """The probabilities of `generate(do_sample=True)`: softmax after transformers' warpers."""
    scores = TemperatureLogitsWarper(sampling.temperature)(None, logits)
    if sampling.top_k:
        scores = TopKLogitsWarper(sampling.top_k)(None, scores)
    if sampling.top_p < 1:
        scores = TopPLogitsWarper(sampling.top_p)(None, scores)
    return scores.softmax(dim=-1)


@pytest.mark.parametrize("sampling", SETTINGS, ids=str)
def test_draws_have_upstreams_distribution(sampling: Sampling) -> None:
    """Guards the distribution of codes, by a chi-squared test over 20,000 seeds."""
    logits = 1.5 * torch.randn(1, VOCABULARY, generator=torch.Generator().manual_seed(1))
    count = 20_000
    seeds = torch.arange(count) * 7_919 + 11
    codes, _ = sample_codes(logits.expand(count, 1, VOCABULARY), sampling, seeds, torch.zeros_like(seeds))
    expected = upstreams_probabilities(logits, sampling)[0] * count
    observed = torch.bincount(codes[:, 0], minlength=VOCABULARY).float()
    assert (observed[expected == 0] == 0).all(), "an id was drawn that upstream never draws"
    common = expected > 5
    chi_squared = ((observed - expected)[common] ** 2 / expected[common]).sum()
    freedom = int(common.sum()) - 1
    assert chi_squared < freedom + 4 * (2 * freedom) ** 0.5  # mean and 4 standard deviations


def test_steps_and_codebooks_draw_independently() -> None:
    """Guards the key of the noise: without step or codebook in it, draws would repeat."""
    seeds, steps = torch.zeros(2000, dtype=torch.int64), torch.arange(2000)
    codes, _ = sample_codes(torch.zeros(2000, 2, VOCABULARY), Sampling(top_k=0), seeds, steps)
    same_codebook = (codes[1:, 0] == codes[:-1, 0]).float().mean()
    same_step = (codes[:, 0] == codes[:, 1]).float().mean()
    for share in (same_codebook, same_step):
        assert abs(share - 1 / VOCABULARY) < 0.015


def test_noise_of_candidates_is_the_full_noise() -> None:
    """Guards noise for candidates: the noise of an id does not depend on the other candidates."""
    seeds, steps = torch.tensor([3, 2**62]), torch.tensor([0, 17])
    full = noise.gumbel(seeds, steps, 3, VOCABULARY)
    ids = torch.tensor([[[5, 0, 39]] * 3] * 2)
    some = noise.gumbel_at(seeds, steps, ids + torch.arange(3)[:, None] * VOCABULARY)
    assert torch.equal(some, full.gather(-1, ids))


def test_noise_is_finite_at_its_ends() -> None:
    """Guards against infinite noise: added to a masked logit it gives NaN, which counts as the largest score."""
    ends = noise.uniform(torch.tensor([0, -1]))
    assert ends[0] > 0
    assert ends[1] < 1
    assert torch.log(-torch.log(ends)).isfinite().all()


def test_ends_come_in_order_and_not_too_early() -> None:
    """Guards upstream's rules: no end before the minimum length, and none before the earlier codebooks have ended."""
    bias = torch.zeros(VOCABULARY)
    bias[33:] = -torch.inf
    rules = TokenRules(bos=33, eos=EOS, pad=EOS, min_steps=10, bias=bias)
    allowed = mask_logits(torch.zeros(3, 4, VOCABULARY), rules, torch.tensor([9, 10, 50]), torch.tensor([0, 0, 2]))
    may_end = allowed[:, :, EOS].isfinite().tolist()
    assert may_end == [[False] * 4, [True, False, False, False], [True, True, True, False]]
    assert not allowed[:, :, 33:].isfinite().any()
    assert allowed[:, :, :EOS].isfinite().all()


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(do_sample=False), Sampling(top_p=0.5)])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_is_not_finite_shows_in_the_score(sampling: Sampling, bad: float) -> None:
    """Guards the check for damaged weights, which reads the score of the drawn code only."""
    logits = torch.zeros(1, 1, VOCABULARY)
    logits[0, 0, 3] = bad
    zero = torch.zeros(1, dtype=torch.int64)
    assert not sample_codes(logits, sampling, zero, zero)[1].isfinite().any()
