"""The decoder of a voice: its examples, and what it learns from them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.voice.codec import make_codec
from scripts.voice.decoder import IGNORED, Decoder, Example, collate, delayed, make_model
from scripts.voice.decoder_training import evened
from scripts.voice.prompt_encoding import Reader
from scripts.voice.recipe import TINY
from scripts.voice.tokenizer import make_tokenizer


@settings(max_examples=30, deadline=None)
@given(frames=st.integers(1, 12), codebooks=st.integers(1, 5))
def test_delay_pattern_is_that_of_upstream(frames: int, codebooks: int) -> None:
    """Bug: a voice trained on another delay than the one it is generated with."""
    from parler_tts.modeling_parler_tts import build_delay_pattern_mask

    bos, eos = 99, 98
    codes = torch.arange(frames * codebooks).reshape(frames, codebooks)
    inputs, labels = delayed(codes, bos, eos)
    if frames + 1 + codebooks >= 2 * codebooks - 1:  # below that upstream does not delay at all
        rows = torch.cat([torch.full((1, codebooks, 1), bos), codes.T[None]], dim=-1)
        mask = build_delay_pattern_mask(rows, bos, eos, frames + 1 + codebooks, codebooks)[1]
        expected = torch.where(mask == -1, eos, mask)[:, :-1]
        torch.testing.assert_close(inputs, expected)
    for k in range(codebooks):
        targets = labels[k][labels[k] != IGNORED].tolist()
        assert targets == [*codes[:, k].tolist(), eos]
    torch.testing.assert_close(labels[:, :-1][labels[:, :-1] >= 0], inputs[:, 1:][labels[:, :-1] >= 0])


def test_guidance_points_at_the_letter_that_is_heard(examples: list[Example]) -> None:
    """Bug: the guided heads learn from frames or characters that are shifted, by padding or by the tokenizer."""
    tokenizer = make_tokenizer({}, [])
    batch = collate(examples[:3], Reader(tokenizer), TINY.decoder, TINY.codec, (0, 0))
    for row, example in enumerate(examples[:3]):
        text, frames_of_letter = (
            example.utterance.line.text.lower(),
            len(example.codes) // len(example.utterance.line.text),
        )
        for frame in range(len(example.codes)):
            token = int(batch.prompts.ids[row, round(float(batch.spoken[row, frame]))])
            assert token == tokenizer.convert_tokens_to_ids(text[frame // frames_of_letter])
    assert (batch.spoken[batch.frames == 0] == -1).all()


def test_a_row_learns_the_same_alone_and_in_a_batch(examples: list[Example]) -> None:
    """Bug: padding of a prompt that counts as positions, so that training and generation differ."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer({}, [])
    recipe = replace(TINY.decoder, corrupted=0.0)
    model = make_model(recipe, TINY.codec, make_codec(TINY.codec), len(tokenizer)).eval()
    decoder = Decoder(model, recipe)
    rows = sorted(examples, key=lambda example: example.cost)
    pair = [rows[0], rows[-1]]
    together = collate(pair, Reader(tokenizer), recipe, TINY.codec, (1,))
    states = decoder.states(together)
    alone = collate(pair[:1], Reader(tokenizer), recipe, TINY.codec, (1,))
    alone = replace(alone, descriptions=together.descriptions, description_of_row=together.description_of_row[:1])
    own = decoder.states(alone)
    steps = int(alone.frames.sum())
    long = together.frames.shape[1]
    own = own[:, -alone.frames.shape[1] :]
    torch.testing.assert_close(states[:1, -long:][:, :steps], own[:, :steps], rtol=1e-4, atol=1e-4)


def test_decoder_learns_and_its_guided_head_finds_the_text(examples: list[Example]) -> None:
    """Bug: a loss whose gradient does not reach the model."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer({}, [])
    model = make_model(TINY.decoder, TINY.codec, make_codec(TINY.codec), len(tokenizer))
    decoder = Decoder(model, TINY.decoder)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    batch = collate(sorted(examples, key=lambda e: e.cost)[:2], Reader(tokenizer), TINY.decoder, TINY.codec, (0,))
    history = []
    for _ in range(40):
        losses = decoder.losses(batch)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        history.append({name: float(value.detach()) for name, value in losses.items()})
    for codes in ("codes 0", "codes 1", "codes 2"):
        assert history[-1][codes] < 0.8 * history[0][codes]
    assert history[-1]["guided"] < 0.6 * history[0]["guided"]


def test_rarer_speakers_are_heard_more_often(examples: list[Example]) -> None:
    """Bug: a speaker of a few minutes whose name changes nothing."""

    def by(speaker: str, number: int) -> list[Example]:
        line = replace(examples[0].utterance.line, speaker=speaker)
        return [replace(examples[0], utterance=replace(examples[0].utterance, line=line))] * number

    speakers = Counter(one.utterance.line.speaker for one in evened(by("a", 80) + by("b", 10) + by("c", 70)))
    assert speakers == {"a": 80, "b": 20, "c": 70}
