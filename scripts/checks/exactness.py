"""Is it right: equal to the reference, the same in any company, and how far from the truth in half precision?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import cache, partial

import numpy as np
import torch

from pipeline.config import SamplingConfig
from pipeline.synthesis import build_synthesizer
from pipeline.synthesis.engine.batched_codec import BatchedCodec, PendingCodes
from pipeline.synthesis.engine.codec import Samples
from pipeline.synthesis.engine.snake import kernel
from pipeline.synthesis.engine.step import step
from pipeline.synthesis.engine.strategy import Strategy, cuda_strategy
from pipeline.synthesis.engine.transfers import record_event
from pipeline.types import Clip
from scripts.cases import TINY, VARIANTS, random_utterances
from scripts.checks.setting import Check, Setting, by_id

GREEDY = SamplingConfig(do_sample=False)
TOLERANCE = 1e-3  # of full scale, in float32
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def checks(setting: Setting) -> list[Check]:
    """All of this file, the ones that others rest on first."""

    @cache
    def expected(variant: str) -> Mapping[str, Clip]:
        return by_reference(setting, variant)

    def equals(variants: list[str], *, graphs: bool, **settings: str) -> Callable[[], str]:
        return partial(equals_reference, setting, expected, variants, graphs=graphs, **settings)

    few = ["sinusoidal", "grouped queries, rotary, fused heads"]
    variants = few if setting.tiny else list(VARIANTS)
    return [
        Check("greedy float32 = reference, step as it is", equals(variants, graphs=False)),
        Check("greedy float32 = reference, graphs", equals(variants, graphs=True), needs_cuda=True),
        Check("greedy float32 = reference, compiled", equals(few, graphs=True, compile="default"), needs_cuda=True),
        Check("the codec's activation as one kernel", lambda: one_kernel(setting), needs_cuda=True),
        Check("windows in batches = whole clips", lambda: windows_equal_whole(setting)),
        Check("the codec's bits in any company", lambda: codecs_bits(setting), measures=True),
        *[
            Check(f"bits alone and in a batch, {dtype}", partial(bits_in_company, setting, dtype), measures=True)
            for dtype in ("float32", "bfloat16")
        ],
    ]


def by_reference(setting: Setting, variant: str) -> Mapping[str, Clip]:
    """Clips of the reference, each made alone."""
    folder = str(setting.checkpoint(VARIANTS[variant]))
    reference = build_synthesizer(
        folder, backend="reference", device=str(setting.device), dtype="float32", sampling=GREEDY
    )
    utterances = random_utterances(seed=1, count=2 if setting.tiny else 5)
    return by_id(clip for utterance in utterances for clip in reference.generate([utterance]))


def equals_reference(
    setting: Setting,
    expected: Callable[[str], Mapping[str, Clip]],
    variants: list[str],
    *,
    graphs: bool,
    **settings: str,
) -> str:
    """The engine's clips, all of a variant at once, against the reference's."""
    worst, wrong, count = 0.0, [], 0
    for variant in variants:
        strategy = None if graphs or setting.device.type != "cuda" else without_graphs(setting)
        ours = setting.engine(VARIANTS[variant], strategy, dtype="float32", sampling=GREEDY, slots=4, **settings)
        theirs = expected(variant)
        for key, clip in by_id(ours.generate(clip.utterance for clip in theirs.values())).items():
            count += 1
            difference = distance(clip.samples, theirs[key].samples)
            worst = max(worst, difference if math.isfinite(difference) else 0.0)
            if not difference <= TOLERANCE or clip.finish != theirs[key].finish:
                wrong.append(f"{variant} {key}")
    if wrong:
        raise AssertionError(f"{len(wrong)} of {count} clips differ: {'; '.join(wrong)}")
    return f"{count} clips of {len(variants)} architectures, within {worst:.0e}"


def without_graphs(setting: Setting) -> Strategy:
    """The GPU's shapes, with steps that are not captured."""
    return dataclasses.replace(cuda_strategy(setting.device), make_step=lambda: step)


def distance(samples: Samples, others: Samples) -> float:
    """The largest difference; infinite between clips of different lengths."""
    return float(np.abs(samples - others).max()) if samples.shape == others.shape else math.inf


def one_kernel(setting: Setting) -> str:
    """The kernel against the formula in float32."""
    generator = torch.Generator().manual_seed(0)
    x = 3 * torch.randn(4, 96, 5000, generator=generator).to(setting.device)
    alpha = torch.rand(1, 96, 1, generator=generator).to(setting.device) + 0.01
    found = []
    for dtype, tolerance in zip(DTYPES, (1e-5, 0.1, 0.01), strict=True):
        value, rate = x.to(dtype), alpha.to(dtype)
        expected = value.float() + (rate.float() * value.float()).sin().square() / rate.float()
        made = kernel()(value, rate)
        worst = float((made.float() - expected).abs().max())
        if made.dtype != dtype or not worst <= tolerance:
            raise AssertionError(f"{dtype}: {made.dtype}, off by {worst:.1e}")
        found.append(f"{name_of(dtype)} {worst:.0e}")
    return "off by at most: " + ", ".join(found)


def windows_equal_whole(setting: Setting) -> str:
    """Signal to difference in dB, of windows in batches, against whole clips in float32."""
    clips = random_clips(setting)
    whole = [codec.decode(clip.codes) for codec in [setting.codec(torch.float32)] for clip in clips]
    loaded_and_computed = [(torch.float32, dtype) for dtype in DTYPES]
    loaded_and_computed += [(torch.bfloat16, dtype) for dtype in (torch.bfloat16, torch.float16)]
    found = []
    for loaded, dtype in loaded_and_computed:
        made = BatchedCodec(setting.codec(dtype, loaded)).decode(clips)
        ratio = decibels(np.concatenate(whole), np.concatenate(made))
        found.append(f"{name_of(dtype)} of {name_of(loaded)} weights {ratio:.0f} dB")
        if not ratio >= (80 if dtype == torch.float32 else 30):
            raise AssertionError(found[-1])
    return ", ".join(found)


def codecs_bits(setting: Setting) -> str:
    """Return whether a clip's samples are the same bits alone and beside others."""
    clips, found = random_clips(setting), []
    for dtype in DTYPES:
        batched = BatchedCodec(setting.codec(dtype))
        together, alone = batched.decode(clips), [batched.decode([clip])[0] for clip in clips]
        same = sum(np.array_equal(a, b) for a, b in zip(together, alone, strict=True))
        found.append(f"{name_of(dtype)} {same} of {len(clips)}")
    return "the same: " + ", ".join(found)


def bits_in_company(setting: Setting, dtype: str) -> str:
    """Return whether drawn clips are the same bits alone, in a batch, and among more slots."""
    utterances = random_utterances(seed=2, count=4 if setting.tiny else 12)
    engine = setting.engine(TINY, dtype=dtype, slots=8)
    together = by_id(engine.generate(utterances))
    alone = by_id(clip for utterance in utterances for clip in engine.generate([utterance]))
    among_more = by_id(setting.engine(TINY, dtype=dtype, slots=16).generate(utterances))
    same = [
        sum(np.array_equal(together[key].samples, others[key].samples) for key in together)
        for others in (alone, among_more)
    ]
    return f"of {len(utterances)} clips {same[0]} are the same alone, {same[1]} among 16 slots instead of 8"


def random_clips(setting: Setting) -> list[PendingCodes]:
    """Clips of lengths that need one window, several, and none."""
    generator = torch.Generator().manual_seed(0)
    codebooks = TINY.codebooks if setting.tiny else 9
    clips = []
    for length in (20, 90, 150) if setting.tiny else (20, 49, 90, 258, 300, 861, 861, 1500):
        codes = torch.randint(0, 1024, (codebooks, length), generator=generator).to(setting.device)
        clips.append(PendingCodes(codes, record_event(setting.device)))
    return clips


def decibels(signal: Samples, other: Samples) -> float:
    """Power of the signal over that of the difference."""
    noise = float(np.square(signal.astype(np.float64) - other).sum())
    return 10 * math.log10(float(np.square(signal.astype(np.float64)).sum()) / noise) if noise else math.inf


def name_of(dtype: torch.dtype) -> str:
    """As people write it."""
    return str(dtype).removeprefix("torch.")
