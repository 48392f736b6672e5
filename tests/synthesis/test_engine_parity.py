"""The engine against the reference: the same codes, hence the same audio, for every architecture and any batch."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest
import torch
from engine_cases import TINY, VARIANTS, assert_same, by_id, engine, random_utterances
from fakes import Checkpoints

from pipeline.config import SamplingConfig
from pipeline.synthesis import build_synthesizer
from pipeline.synthesis.untrained import UntrainedShape
from pipeline.types import Clip, Utterance

GREEDY = SamplingConfig(do_sample=False)
WAVE_TOLERANCE = 1e-4
each_variant = pytest.mark.parametrize("shape", VARIANTS.values(), ids=VARIANTS.keys())


def one_by_one(folder: Path, utterances: list[Utterance], sampling: SamplingConfig) -> dict[str, Clip]:
    """Clips of the reference backend, each generated alone and unpadded."""
    synthesizer = build_synthesizer(str(folder), backend="reference", device="cpu", sampling=sampling)
    return by_id(clip for utterance in utterances for clip in synthesizer.generate([utterance]))


@each_variant
def test_greedy_codes_are_upstreams(shape: UntrainedShape, checkpoint_of: Checkpoints) -> None:
    """Guards the whole path: embeddings, positions, masks, cache, heads, rules, delay pattern, end, codec."""
    folder, utterances = checkpoint_of(shape), random_utterances(seed=1, count=3)
    expected = one_by_one(folder, utterances, GREEDY)
    assert_same(by_id(engine(folder, sampling=GREEDY).generate(utterances)), expected, WAVE_TOLERANCE)


@pytest.mark.parametrize(
    "sampling",
    [SamplingConfig(), SamplingConfig(temperature=0.7, top_k=20, top_p=0.8), SamplingConfig(top_k=0, top_p=0.95)],
    ids=["top-k", "top-k, top-p, temperature", "top-p of all"],
)
def test_draws_are_the_references(sampling: SamplingConfig, checkpoint_of: Checkpoints) -> None:
    """Guards noise that is computed for candidates only, and the order of temperature, top-k and top-p."""
    folder, utterances = checkpoint_of(VARIANTS["nine codebooks"]), random_utterances(seed=2, count=4)
    expected = one_by_one(folder, utterances, sampling)
    assert_same(by_id(engine(folder, sampling=sampling).generate(utterances)), expected, WAVE_TOLERANCE)


def test_all_ids_can_be_drawn_without_top_k_and_top_p(checkpoint_of: Checkpoints) -> None:
    """Guards sampling from all ids: the noise of each id is the same as with candidates."""
    folder, utterances = checkpoint_of(TINY), random_utterances(seed=3, count=3)
    sampling = SamplingConfig(top_k=0)
    expected = one_by_one(folder, utterances, sampling)
    assert_same(by_id(engine(folder, sampling=sampling).generate(utterances)), expected, WAVE_TOLERANCE)


def test_the_other_codec_is_upstreams(checkpoint_of: Checkpoints, small_hub_codec: None) -> None:
    """Guards the codec of checkpoints of older versions, which normalises its weights at each call."""
    folder = checkpoint_of(dataclasses.replace(TINY, hub_codec=True, sampling_rate=44_100, codebooks=9))
    utterances = random_utterances(seed=4, count=2)
    expected = one_by_one(folder, utterances, GREEDY)
    assert_same(by_id(engine(folder, sampling=GREEDY).generate(utterances)), expected, WAVE_TOLERANCE)


def test_bfloat16_runs(checkpoint_of: Checkpoints) -> None:
    """Guards the dtypes of masks, positions and heads other than float32."""
    clips = by_id(engine(checkpoint_of(TINY), dtype="bfloat16").generate(random_utterances(seed=5, count=3)))
    assert all(clip.num_frames > 0 and abs(clip.samples).max() > 0 for clip in clips.values())


NUM_QUICK_CASES = 20  # that run without -m slow


@pytest.mark.parametrize(
    "case", [case if case < NUM_QUICK_CASES else pytest.param(case, marks=pytest.mark.slow) for case in range(100)]
)
def test_a_hundred_random_cases(case: int, tmp_path: Path) -> None:
    """Guards parity for random architectures, texts and limits, greedy and sampled, with mixed lengths in few slots."""
    from pipeline.synthesis.untrained import make_untrained

    rng = random.Random(case)
    heads = rng.choice([2, 4, 8])
    shape = UntrainedShape(
        hidden=rng.choice([32, 64, 96]) if heads < 8 else 64,
        layers=rng.randint(1, 3),
        heads=heads,
        kv_heads=rng.choice([1, 2, heads]),
        cross_kv_heads=rng.choice([1, 2, heads]),
        codebooks=rng.choice([1, 2, 4, 9]),
        text_hidden=rng.choice([32, 64]),
        rope=rng.random() < 0.5,
        prompt_cross_attention=rng.random() < 0.4,
        fused_heads=rng.random() < 0.3,
        max_seconds=4.0,
        mean_seconds=rng.choice([0.2, 0.5]),
        codec_hidden=24,
    )
    folder = make_untrained(tmp_path, shape, seed=case)
    utterances = random_utterances(seed=100 + case, count=5)
    sampling = GREEDY if case % 2 else SamplingConfig()
    expected = one_by_one(folder, utterances, sampling)
    assert_same(by_id(engine(folder, sampling=sampling, slots=4).generate(utterances)), expected, WAVE_TOLERANCE)


@pytest.mark.parametrize("packed", [True, False])
def test_the_memory_is_paid_once(packed: bool, checkpoint_of: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against a second copy of fused weights: the model's parameters become views, or empty."""
    from pipeline.synthesis import upstream
    from pipeline.synthesis.engine import packed_linear
    from pipeline.synthesis.engine.weights import fuse_decoder

    monkeypatch.setattr(packed_linear, "can_pack", lambda weight: packed)
    model = upstream.load(checkpoint_of(TINY), attention="sdpa", dtype=torch.float32, device=torch.device("cpu"))
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    weights = fuse_decoder(model)
    projections = [
        part for name, part in model.decoder.named_parameters() if name.endswith(("proj.weight", "fc1.weight"))
    ]
    if packed:
        assert projections
        assert all(part.numel() == 0 for part in projections)
    else:
        fused = {weights.heads.weight.data_ptr(), weights.layers[0].self_qkv.weight.data_ptr()}
        assert fused <= {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())


def test_packed_products_are_the_plain_ones() -> None:
    """Guards packed weights, with the number of rows that they were packed for and with others."""
    from pipeline.synthesis.engine.packed_linear import PackedLinear

    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(96, 64, generator=generator)
    for shape in ((4, 64), (7, 64), (3, 16, 64), (48, 64)):
        x = torch.randn(shape, generator=generator)
        torch.testing.assert_close(PackedLinear(weight)(x), x @ weight.T, rtol=0, atol=1e-4)
