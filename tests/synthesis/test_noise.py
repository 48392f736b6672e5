"""Keyed noise: the same on every device, with the right distribution."""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats

from pipeline.synthesis.noise import gumbel

GOLDEN = (-0.0811690241098404, -0.2719792127609253, -0.26508966088294983)


def test_values_are_golden() -> None:
    """Guards published seeds: other noise would give other audio."""
    noise = gumbel(torch.tensor([0, 2**63 - 1]), torch.tensor([0, 7]), num_codebooks=2, vocabulary=3)
    assert noise.shape == (2, 2, 3)
    np.testing.assert_allclose(noise.flatten()[:3], GOLDEN, rtol=1e-6)


def test_a_number_depends_on_its_own_key_alone() -> None:
    """Guards batches and restarts: noise does not depend on other rows."""
    seeds, steps = torch.tensor([5, 6, 7]), torch.tensor([1, 20, 300])
    together = gumbel(seeds, steps, 4, 100)
    for row in range(3):
        assert torch.equal(gumbel(seeds[row : row + 1], steps[row : row + 1], 4, 100)[0], together[row])
    assert torch.equal(gumbel(seeds, steps, 2, 100), together[:, :2]), "more codebooks do not change the first"


def test_every_part_of_the_key_counts() -> None:
    base = gumbel(torch.tensor([1]), torch.tensor([1]), 2, 50)
    for seed, step in ((2, 1), (1, 2), (0, 2)):
        assert not torch.isin(gumbel(torch.tensor([seed]), torch.tensor([step]), 2, 50), base).any()
    assert len(base.unique()) == base.numel()


def test_it_is_gumbel_noise() -> None:
    sample = gumbel(torch.arange(40), torch.arange(40) * 3, 4, 250).flatten().numpy()
    assert stats.kstest(sample, stats.gumbel_r.cdf).pvalue > 0.001
    assert np.isfinite(sample).all()


def test_the_largest_score_is_a_draw_from_the_softmax() -> None:
    """Guards the distribution against upstream's multinomial sampling."""
    logits = torch.linspace(-3, 2, 12)
    steps = torch.arange(20_000)
    drawn = (logits + gumbel(torch.full_like(steps, 9), steps, 1, 12)).argmax(-1).flatten()
    counts = torch.bincount(drawn, minlength=12).numpy()
    assert stats.chisquare(counts, logits.double().softmax(-1).numpy() * len(steps)).pvalue > 0.001
