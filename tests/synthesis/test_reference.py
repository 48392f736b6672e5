"""The reference backend against upstream itself, and the fixes of upstream."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import Checkpoints
from transformers import AutoTokenizer

from pipeline.config import SamplingConfig
from pipeline.synthesis import Synthesizer, build_synthesizer, upstream
from pipeline.synthesis.untrained import BOS, EOS, UntrainedShape
from pipeline.types import Bucket, Clip, Finish, Utterance

TINY = UntrainedShape(mean_seconds=0.4, max_seconds=4.0, codec_hidden=24)
VARIANTS = {
    "sinusoidal": TINY,
    "rope": dataclasses.replace(TINY, rope=True),
    "cross-attended prompt": dataclasses.replace(TINY, prompt_cross_attention=True),
    "rope, cross-attended prompt": dataclasses.replace(TINY, rope=True, prompt_cross_attention=True),
    "grouped queries": dataclasses.replace(TINY, kv_heads=2, cross_kv_heads=1),
    "fused heads": dataclasses.replace(TINY, fused_heads=True),
    "projected text": dataclasses.replace(TINY, text_hidden=32),
}
GREEDY = SamplingConfig(do_sample=False)
PROMPTS = ("Yes.", "It was a bright cold day in April, and the clocks were striking.", "Who goes there?")
VOICE = "A calm voice, very close and clear."
each_variant = pytest.mark.parametrize("shape", VARIANTS.values(), ids=VARIANTS.keys())


def utterances(bucket: Bucket | None = None, prompts: Sequence[str] = PROMPTS) -> list[Utterance]:
    return [
        Utterance(prompt, VOICE, seed=i, id=str(i), bucket=bucket, predicted_seconds=1.0)
        for i, prompt in enumerate(prompts)
    ]


def by_id(clips: Iterator[Clip]) -> dict[str, Clip]:
    return {clip.utterance.id: clip for clip in clips}


def reference(folder: Path, **engine: object) -> Synthesizer:
    return build_synthesizer(str(folder), backend="reference", device="cpu", **engine)


def upstream_greedy(folder: Path, prompt: str, max_frames: int, codebooks: int) -> np.ndarray:
    """Upstream's own class and its own `generate()`, one row without padding."""
    model = upstream.ParlerTTSForConditionalGeneration.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text, description = (tokenizer(t, return_tensors="pt") for t in (prompt, VOICE))
    output = model.generate(
        input_ids=description.input_ids,
        attention_mask=description.attention_mask,
        prompt_input_ids=text.input_ids,
        prompt_attention_mask=text.attention_mask,
        do_sample=False,
        max_length=max_frames + codebooks,
        suppress_tokens=[*range(BOS, 1088)],
        return_dict_in_generate=True,
    )
    samples: np.ndarray = output.sequences[0, : output.audios_length[0]].numpy()
    return samples


@each_variant
def test_one_row_is_upstreams_sample_for_sample(shape: UntrainedShape, checkpoint_of: Checkpoints) -> None:
    """Guards the reference: what it adds to upstream's call must not change the samples."""
    folder = checkpoint_of(shape)
    synthesizer = reference(folder, sampling=GREEDY)
    for prompt in PROMPTS:
        bucket = Bucket(0, 0, 60, 1)
        (clip,) = synthesizer.generate(utterances(bucket, [prompt]))
        np.testing.assert_array_equal(clip.samples, upstream_greedy(folder, prompt, 60, shape.codebooks))


@pytest.mark.usefixtures("small_hub_codec")
def test_upstreams_own_codec_wrapper_works_too(checkpoint_of: Checkpoints) -> None:
    """Guards checkpoints from before transformers had DAC, whose codes have four dimensions."""
    shape = dataclasses.replace(TINY, hub_codec=True, sampling_rate=44_100)
    folder = checkpoint_of(shape)
    (clip,) = reference(folder, sampling=GREEDY).generate(utterances(Bucket(0, 0, 20, 1), PROMPTS[:1]))
    np.testing.assert_array_equal(clip.samples, upstream_greedy(folder, PROMPTS[0], 20, shape.codebooks))
    assert clip.num_frames * 512 == len(clip.samples)


@each_variant
@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_padding_and_neighbours_do_not_touch_a_clip(
    shape: UntrainedShape, cache: str, checkpoint_of: Checkpoints
) -> None:
    """Guards against shared positions: upstream's left padding shifts the positions of a short prompt."""
    synthesizer = reference(checkpoint_of(shape), cache=cache)
    bucket = Bucket(96, 64, 60, 3)
    together = by_id(synthesizer.generate(utterances(bucket)))
    for utterance in utterances():
        unpadded = dataclasses.replace(utterance, bucket=Bucket(0, 0, 60, 1))
        (alone,) = synthesizer.generate([unpadded])
        np.testing.assert_allclose(alone.samples, together[utterance.id].samples, atol=1e-5)


def test_a_batch_is_made_where_nothing_more_comes_for_now(checkpoint_of: Checkpoints) -> None:
    """Guards retakes, for which a full batch would wait forever."""
    synthesizer = reference(checkpoint_of(TINY))
    first, second, third = utterances(Bucket(80, 64, 10, 4), PROMPTS[:3])
    clips: list[str] = []

    def source() -> Iterator[Utterance | None]:
        yield from (first, second)
        while len(clips) < 2:
            yield None
        yield third

    for clip in synthesizer.generate(source()):
        clips.append(clip.utterance.id)
    assert clips == [first.id, second.id, third.id]


def test_the_seed_decides_and_the_order_does_not(checkpoint_of: Checkpoints) -> None:
    """Guards retries and resumed runs: a clip does not depend on its batch or on the order of work."""
    synthesizer = reference(checkpoint_of(TINY))
    bucket = Bucket(96, 64, 60, 2)
    rows = utterances(bucket)
    forwards, backwards = by_id(synthesizer.generate(rows)), by_id(synthesizer.generate(rows[::-1]))
    for key, clip in forwards.items():
        np.testing.assert_array_equal(clip.samples, backwards[key].samples)
    (other,) = synthesizer.generate([dataclasses.replace(rows[1], seed=99)])
    assert not np.array_equal(other.samples, forwards["1"].samples)


QUICK_SETTING = ("sdpa", "static", "default")  # the compiled one that runs without -m slow


@pytest.mark.parametrize(
    ("attention", "cache", "compile_mode"),
    [
        setting if setting[2] == "none" or setting == QUICK_SETTING else pytest.param(*setting, marks=pytest.mark.slow)
        for setting in product(("eager", "sdpa"), ("dynamic", "static"), ("none", "default"))
    ],
)
def test_every_setting_generates_twice_and_the_same(
    attention: str, cache: str, compile_mode: str, checkpoint_of: Checkpoints
) -> None:
    """Guards the fixes of the static cache and of the growing mask, in every combination of settings."""
    synthesizer = reference(checkpoint_of(TINY), attention=attention, cache=cache, compile=compile_mode)
    plain = by_id(reference(checkpoint_of(TINY), attention="eager").generate(utterances()))
    for bucket in (Bucket(96, 64, 200, 3), Bucket(128, 64, 150, 2)):
        synthesizer.warm_up([bucket])
        for key, clip in by_id(synthesizer.generate(utterances(bucket))).items():
            np.testing.assert_allclose(clip.samples, plain[key].samples, atol=1e-3)


def test_upstream_still_needs_the_cache_mended(checkpoint_of: Checkpoints) -> None:
    """Guards against a fix that upstream no longer needs."""
    folder = checkpoint_of(TINY)
    model = upstream.ParlerTTSForConditionalGeneration.from_pretrained(folder)
    model.generation_config.cache_implementation = "static"
    ids = torch.tensor([[3, 4, 1]])
    inputs = {"input_ids": ids, "prompt_input_ids": ids, "prompt_attention_mask": torch.ones_like(ids)}
    settings = {"max_length": 20, "do_sample": False, "suppress_tokens": [*range(BOS, 1088)]}
    model.generate(**inputs, **settings)
    with pytest.raises(AttributeError, match="max_batch_size"):
        model.generate(**inputs, **settings)


def test_ids_that_are_no_codes_are_never_drawn(checkpoint_of: Checkpoints) -> None:
    """Guards the codec, which fails with an index error for ids of 1026 and above that all published heads have."""
    synthesizer = reference(checkpoint_of(TINY))
    heads = synthesizer.model.decoder.lm_heads  # type: ignore[attr-defined]
    with torch.no_grad():
        for head in heads:
            head.weight[EOS + 1 :] = head.weight[:63].abs() + 5.0
    for clip in synthesizer.generate(utterances(Bucket(96, 64, 30, 3))):
        assert np.isfinite(clip.samples).all()
        assert clip.num_frames == 30


def test_clips_say_how_they_ended(checkpoint_of: Checkpoints) -> None:
    """Guards the check for runaway generation: upstream does not report hitting its limit."""
    synthesizer = reference(checkpoint_of(TINY))
    long = by_id(synthesizer.generate(utterances(Bucket(96, 64, 200, 3))))
    assert {clip.finish for clip in long.values()} == {Finish.EOS}
    shortest = min(clip.num_frames for clip in long.values())
    assert len({clip.num_frames for clip in long.values()}) > 1, "each clip is cut to its own length"
    for clip in synthesizer.generate(utterances(Bucket(96, 64, shortest, 3))):
        assert (clip.finish, clip.num_frames) == (Finish.MAX_FRAMES, shortest)
        np.testing.assert_allclose(clip.samples[:3000], long[clip.utterance.id].samples[:3000], atol=1e-4)


def test_a_prompt_longer_than_its_bucket_is_named(checkpoint_of: Checkpoints) -> None:
    synthesizer = reference(checkpoint_of(TINY))
    with pytest.raises(ValueError, match=r"\b65\b.*\b16\b.*It was a bright"):
        list(synthesizer.generate(utterances(Bucket(16, 64, 60, 3))))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_generates(dtype: str, checkpoint_of: Checkpoints) -> None:
    """Guards the text encoder, which overflows in float16, and mixed precisions in one forward."""
    synthesizer = reference(checkpoint_of(TINY), dtype=dtype)
    clips = list(synthesizer.generate(utterances(Bucket(96, 64, 30, 3))))
    assert all(np.isfinite(clip.samples).all() for clip in clips)
    assert synthesizer.info.dtype == dtype


def test_waiting_rows_are_counted(checkpoint_of: Checkpoints) -> None:
    """Guards the speed including padding that reports show."""
    synthesizer = reference(checkpoint_of(TINY))
    clips = list(synthesizer.generate(utterances(Bucket(96, 64, 200, 4))))
    longest = max(clip.num_frames for clip in clips)
    assert synthesizer.computed_frames >= 4 * longest
