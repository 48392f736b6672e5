"""A clip is a pure function of its utterance: the same bits in any batch, order, number of slots or threads."""

from __future__ import annotations

import random

import pytest
import torch
from engine_cases import TINY, VARIANTS, assert_same, by_id, engine, random_utterances
from fakes import Checkpoints

from pipeline.synthesis.engine.cache import round_up
from pipeline.synthesis.engine.layers import attend, attend_shared
from pipeline.synthesis.untrained import UntrainedShape

VARIANTS_TO_TRY = ["sinusoidal", "rotary, cross-attended prompt", "grouped queries, rotary, fused heads"]


@pytest.mark.parametrize("shape", [VARIANTS[name] for name in VARIANTS_TO_TRY], ids=VARIANTS_TO_TRY)
def test_clips_are_the_same_in_any_company(shape: UntrainedShape, checkpoint_of: Checkpoints) -> None:
    """Guards resume and retry: a clip that is generated again, in another batch, has the same samples."""
    folder, utterances = checkpoint_of(shape), random_utterances(seed=7, count=13)
    expected = by_id(engine(folder, slots=13).generate(utterances))
    for slots in (4, 8):
        shuffled = random.Random(slots).sample(utterances, len(utterances))
        assert_same(by_id(engine(folder, slots=slots).generate(shuffled)), expected)
    alone = engine(folder, slots=64)
    assert_same(by_id(clip for utterance in utterances for clip in alone.generate([utterance])), expected)


def test_clips_are_the_same_after_other_work(checkpoint_of: Checkpoints) -> None:
    """Guards against what earlier requests leave in slots, entries and histories."""
    folder, utterances = checkpoint_of(TINY), random_utterances(seed=8, count=6)
    expected = by_id(engine(folder, slots=4).generate(utterances))
    used = engine(folder, slots=4)
    for seed in (9, 10):
        list(used.generate(random_utterances(seed=seed, count=7)))
    assert_same(by_id(used.generate(utterances)), expected)


def test_a_drawn_clip_belongs_to_its_seed(checkpoint_of: Checkpoints) -> None:
    """Guards the key of the noise: without the seed, two takes would be equal."""
    (utterance,) = random_utterances(seed=11, count=1)
    synthesizer = engine(checkpoint_of(TINY))
    takes = [
        next(iter(synthesizer.generate([type(utterance)(utterance.prompt, utterance.description, seed=seed)])))
        for seed in (1, 1, 2)
    ]
    assert (takes[0].samples[:500] == takes[1].samples[:500]).all()
    assert not (takes[0].samples[:500] == takes[2].samples[:500]).all()


@pytest.mark.parametrize("width", [16, 64])
@pytest.mark.parametrize("groups", [1, 2])
def test_attention_has_the_same_bits_in_any_shape(width: int, groups: int) -> None:
    """Guards the attention against sums that depend on the number of rows, padding or threads."""
    generator = torch.Generator().manual_seed(0)
    rows, heads, capacity = 16, 4, 1024
    q = torch.randn(rows, heads * groups, 1, width, generator=generator)
    k, v = torch.randn(2, rows, heads, capacity, width, generator=generator)
    lengths = torch.randint(1, 500, (rows,), generator=generator)

    def run(count: int, length: int) -> torch.Tensor:
        seen = torch.arange(length) < lengths[:count, None]
        bias = torch.zeros(count, length).masked_fill(~seen, -torch.inf)[:, None, None]
        return attend(q[:count], k[:count, :, :length], v[:count, :, :length], bias)

    threads = torch.get_num_threads()
    expected = run(16, 512)
    try:
        for torch_threads in (1, 2):
            torch.set_num_threads(torch_threads)
            for count in (4, 8, 12, 16):
                for length in (round_up(int(lengths.max())), 1024):
                    assert torch.equal(run(count, length), expected[:count])
    finally:
        torch.set_num_threads(threads)


def test_shared_attention_is_the_rows_own() -> None:
    """Guards shared entries: a row gets the result of attention to its own entry."""
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(8, 4, 1, 16, generator=generator)
    k, v = torch.randn(2, 4, 2, 32, 16, generator=generator)
    bias = torch.zeros(4, 1, 1, 32)
    bias[1, ..., 20:] = -torch.inf
    entries = torch.tensor([0, 1, 1, 3, 2, 0, 1, 3])
    together = attend_shared(q, k, v, bias, entries)
    torch.testing.assert_close(together, attend(q, k[entries], v[entries], bias[entries]))
    fewer = attend_shared(q[:4], k[:2], v[:2], bias[:2], entries[:4].clamp(max=1))
    assert torch.equal(fewer[:3], together[:3]), "the number of entries must not change a row's bits"


def test_the_number_of_rows_is_measured(checkpoint_of: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards processors on which four rows give other sums than eight: the engine has to use multiples of eight."""
    from pipeline.synthesis.engine import batch_invariance

    weights = engine(checkpoint_of(TINY)).decoder.weights
    assert batch_invariance.row_multiple(weights) in batch_invariance.CANDIDATES
    plain = batch_invariance.rows_agree
    monkeypatch.setattr(
        batch_invariance, "rows_agree", lambda product, multiple: multiple >= 8 and plain(product, multiple)
    )
    assert batch_invariance.row_multiple(weights) == 8
    assert not plain(lambda rows: torch.full((rows, 3), float(rows)), 4), "sums that depend on the rows must be seen"
    monkeypatch.setattr(batch_invariance, "rows_agree", lambda product, multiple: multiple >= 8)
    assert_same(
        by_id(engine(checkpoint_of(TINY), slots=4).generate(random_utterances(seed=13, count=5))),
        by_id(engine(checkpoint_of(TINY), slots=16).generate(random_utterances(seed=13, count=5))),
    )
