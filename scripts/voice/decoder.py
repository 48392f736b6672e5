"""The Parler model in training: its shape, its batches, its loss.

Knows codes and characters, no audio. `guidance` beside the ordinary loss shows one attention head of some layers which
characters are being spoken. The teacher told when it spoke which word, and a decoder that is told too follows the text
after some hundred steps, where it would take many thousands to find it out.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import GenerationConfig, T5Config, T5EncoderModel

from pipeline.synthesis import upstream
from pipeline.synthesis.tokenizers import Tokens
from scripts.voice.codec import Codes, with_places
from scripts.voice.descriptions import any_description
from scripts.voice.prompt_encoding import Reader, places_of, spoken_tokens
from scripts.voice.quantizer import HEIGHT, PHASE, PHASES
from scripts.voice.recipe import CodecRecipe, DecoderRecipe
from scripts.voice.speech import Utterance

IGNORED = -100  # label of what is no target
_HEADROOM = 64  # ids of the heads that are no codes, as in the published checkpoints
_WEIGHTS = (2.0, 2.0, 1.0, 0.5, 1.0)  # of the codebooks' losses
_GUIDED_WIDTH = 0.75  # tokens to both sides of the one that is spoken


@dataclass(frozen=True)
class Example:
    """An utterance as the decoder is to learn it."""

    utterance: Utterance
    codes: Codes  # [T, K - 1]

    @property
    def cost(self) -> int:
        """Positions in the decoder, about."""
        return len(self.utterance.line.text) + len(self.codes)


@dataclass(frozen=True)
class Batch:
    """B rows. Prompts are padded on the left, all else on the right."""

    prompts: Tokens  # [B, P]
    descriptions: Tokens  # [D', D]: each different one once
    description_of_row: Tensor  # [B]
    inputs: Tensor  # [B, K, S]
    labels: Tensor  # [B, K, S]
    frames: Tensor  # [B, S] 1: a step of the row, 0: padding
    spoken: Tensor  # [B, S] index into the padded prompt of the character that is spoken; -1: none

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        moved = {name: value.to(device) for name, value in vars(self).items()}
        return Batch(**moved)


def make_model(decoder: DecoderRecipe, codec: CodecRecipe, codec_model: Any, vocabulary: int) -> Any:
    """An untrained model around `codec_model`, of which it keeps nothing but the config."""
    text_encoder = T5Config(
        vocab_size=vocabulary,
        d_model=decoder.text_hidden,
        d_kv=decoder.text_hidden // 4,
        d_ff=2 * decoder.text_hidden,
        num_layers=decoder.text_layers,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        dropout_rate=decoder.dropout,
    )
    bos, eos = codec.codebook_size + 1, codec.codebook_size
    config = upstream.ParlerTTSDecoderConfig(
        vocab_size=codec.codebook_size + _HEADROOM,
        hidden_size=decoder.hidden,
        num_hidden_layers=decoder.layers,
        num_attention_heads=decoder.heads,
        num_cross_attention_key_value_heads=1,  # the description says little
        ffn_dim=decoder.ffn,
        num_codebooks=codec.codebooks,
        max_position_embeddings=decoder.max_positions,
        dropout=decoder.dropout,
        pad_token_id=eos,
        eos_token_id=eos,
        bos_token_id=bos,
    )
    whole = upstream.ParlerTTSConfig.from_sub_models_config(
        T5EncoderModel(text_encoder).config,
        codec_model.config,
        config,
        vocab_size=vocabulary,
        decoder_start_token_id=bos,
        pad_token_id=eos,
    )
    model = upstream.Parler._from_config(whole, attn_implementation="eager")  # SDPA's gradient is slower on a CPU
    _start_embeddings(model, codec.codebook_size)
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=decoder.temperature,
        top_k=decoder.top_k,
        min_new_tokens=10,
        max_length=round(decoder.max_seconds * codec.frames_per_second) + codec.codebooks,
        decoder_start_token_id=bos,
        bos_token_id=bos,
        pad_token_id=eos,
        eos_token_id=eos,
    )
    model.audio_encoder.requires_grad_(False)
    return model


@torch.no_grad()
def _start_embeddings(model: Any, codebook_size: int) -> None:
    """Start embeddings as wide as the positions that are added to them: upstream's start is 30 times narrower.

    The codes of the first codebook start as the positions that they name, backwards, so that they are not mistaken for
    the position at which they stand. Then attention has little to learn to find the token that a frame says it speaks.
    Those of the last start as waves of their phase, so that there is little to learn to count them on.
    """
    decoder = model.decoder.model.decoder
    torch.nn.init.normal_(model.embed_prompts.weight, std=0.5)
    for embedding in decoder.embed_tokens:
        torch.nn.init.normal_(embedding.weight, std=0.3)
    places = decoder.embed_positions.weights[:codebook_size].flip(1)
    decoder.embed_tokens[0].weight[:codebook_size] = places
    model.decoder.lm_heads[0].weight[:codebook_size] = 0.4 * places
    phases = _waves_of_phases(places.shape[1])
    decoder.embed_tokens[-1].weight[: len(phases)] = 0.5 * phases
    model.decoder.lm_heads[-1].weight[: len(phases)] = 0.2 * phases


def _waves_of_phases(hidden: int) -> Tensor:
    """Sines and cosines of each phase's step and of its multiples `[steps, hidden]`."""
    times = 1 + torch.arange(hidden // 2) % (PHASES // 2)
    angles = 2 * math.pi / PHASES * torch.arange(PHASES)[:, None] * times
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def delayed(codes: Tensor, bos: int, eos: int) -> tuple[Tensor, Tensor]:
    """Inputs and labels `[K, T + K]` of codes `[T, K]`: codebook k comes k steps late.

    For codes a, b, c of 3 frames in 2 codebooks (B: bos, E: eos, -: no target):

        inputs   B a b c E        labels   a b c E -
                 B B a b c                 - a b c E
    """
    length, codebooks = codes.shape
    labels = torch.full((codebooks, length + codebooks), IGNORED)
    inputs = torch.full((codebooks, length + codebooks), eos)
    for k in range(codebooks):
        labels[k, k : k + length] = codes[:, k]
        labels[k, k + length] = eos
        inputs[k, : k + 1] = bos
        inputs[k, k + 1 : k + 1 + length] = codes[: length + codebooks - k - 1, k]
    return inputs, labels


def collate(
    examples: Sequence[Example], reader: Reader, recipe: DecoderRecipe, codec: CodecRecipe, seed: tuple[int, ...]
) -> Batch:
    """Make a batch. Wordings of descriptions, spelled words and corrupted codes are drawn from `seed`."""
    chance = random.Random(repr(seed))
    noise = np.random.default_rng(seed)
    wordings = [any_description(example.utterance.line, chance) for example in examples]
    different = sorted(set(wordings))
    prompts = [reader.read(example.utterance.line.text, chance, recipe.spelled) for example in examples]
    longest_prompt = _rounded(max(len(prompt.ids) for prompt in prompts))
    eos = codec.codebook_size
    heard = [
        spoken_tokens(example.utterance, prompt, longest_prompt - len(prompt.ids))
        for example, prompt in zip(examples, prompts, strict=True)
    ]
    rows = []
    for example, prompt, tokens in zip(examples, prompts, heard, strict=True):
        places = places_of(tokens, longest_prompt - len(prompt.ids)) % codec.codebook_size
        rows.append(delayed(torch.from_numpy(with_places(example.codes, places)), eos + 1, eos))
    steps = _rounded(max(inputs.shape[1] for inputs, _ in rows))
    shape = (len(rows), codec.codebooks, steps)
    batch_inputs, batch_labels = torch.full(shape, eos), torch.full(shape, IGNORED)
    frames = torch.zeros(len(rows), steps, dtype=torch.long)
    spoken = torch.full((len(rows), steps), -1.0)
    for i, (inputs, labels) in enumerate(rows):
        length = inputs.shape[1]
        batch_inputs[i, :, :length], batch_labels[i, :, :length], frames[i, :length] = inputs, labels, 1
        spoken[i, : len(heard[i])] = heard[i]
    is_code = batch_inputs < codec.codebook_size
    is_code[:, [0, 1 + HEIGHT, 1 + PHASE]] = False  # what is counted on has to be right: a place, a phase and its steps
    wrong = torch.from_numpy(noise.random(shape) < recipe.corrupted) & is_code
    batch_inputs[wrong] = torch.from_numpy(noise.integers(0, codec.codebook_size, int(wrong.sum())))
    return Batch(
        reader.padded([prompt.ids for prompt in prompts], left=True, length=longest_prompt),
        reader.padded([reader.read(wording).ids for wording in different], left=False),
        torch.tensor([different.index(wording) for wording in wordings]),
        batch_inputs,
        batch_labels,
        frames,
        spoken,
    )


def _rounded(length: int) -> int:
    """A length that others share: a CPU prepares for each new shape of a matrix before it multiplies."""
    return -(-length // 16) * 16


class Decoder:
    """Computes the losses of batches. Made once: it listens to the guided heads of `model`."""

    def __init__(self, model: Any, recipe: DecoderRecipe) -> None:
        self.model = model
        self.recipe = recipe
        model.use_row_positions()
        self._heard: dict[str, Tensor] = {}
        for layer in recipe.guided_layers:
            attention = model.decoder.model.decoder.layers[layer].self_attn
            attention.q_proj.register_forward_hook(partial(self._hear, f"q{layer}"))
            attention.k_proj.register_forward_hook(partial(self._hear, f"k{layer}"))

    def _hear(self, name: str, _module: Any, _inputs: Any, output: Tensor) -> None:
        self._heard[name] = output[..., : self.recipe.hidden // self.recipe.heads]

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, the cross entropy of each codebook, and the guided heads' own.

        In the loss the first two weigh most, place and sound: an error there is a wrong word.
        """
        states = self.states(batch)
        steps = batch.labels.shape[2]
        heads = self.model.decoder.lm_heads
        entropies = [
            functional.cross_entropy(
                head(states[:, -steps:]).flatten(0, 1).float(), batch.labels[:, k].flatten(), ignore_index=IGNORED
            )
            for k, head in enumerate(heads)
        ]
        each = torch.stack(entropies)
        weights = torch.tensor(_WEIGHTS, device=each.device)
        guided = torch.stack([self._guided(batch, layer) for layer in self.recipe.guided_layers]).mean()
        loss = (weights * each).sum() / weights.sum() + self.recipe.guidance * guided
        codes = {f"codes {k}": entropy for k, entropy in enumerate(entropies)}
        return {"loss": loss, **codes, "guided": guided}

    def states(self, batch: Batch) -> Tensor:
        """The decoder's last states `[B, P + S, hidden]`."""
        model = self.model
        described = model.text_encoder(batch.descriptions.ids, attention_mask=batch.descriptions.mask)[0]
        if hasattr(model, "enc_to_dec_proj"):
            described = model.enc_to_dec_proj(described)
        described = described * batch.descriptions.mask[..., None]
        model.set_prompt_padding(batch.prompts.ids.shape[1] - batch.prompts.mask.sum(dim=1))
        states: Tensor = model.decoder.model.decoder(
            input_ids=batch.inputs,
            attention_mask=batch.frames,
            encoder_hidden_states=described[batch.description_of_row],
            encoder_attention_mask=batch.descriptions.mask[batch.description_of_row],
            prompt_hidden_states=model.embed_prompts(batch.prompts.ids),
            prompt_attention_mask=batch.prompts.mask,
            use_cache=False,
        )[0]
        return states

    def _guided(self, batch: Batch, layer: int) -> Tensor:
        """Minus the logarithm of the attention that falls near the character spoken, over frames that have one."""
        steps, prompt = batch.frames.shape[1], batch.prompts.ids.shape[1]
        queries, keys = (self._heard[f"{part}{layer}"].float() for part in "qk")
        queries = queries[:, -steps:]
        scores = queries @ keys.transpose(1, 2) * queries.shape[-1] ** -0.5  # [B, S, P + S]
        places = torch.arange(prompt + steps, device=scores.device)
        present = torch.cat([batch.prompts.mask, batch.frames], dim=1)[:, None].bool()
        seen = present & (places <= prompt + torch.arange(steps, device=scores.device)[:, None])
        scores = scores.masked_fill(~seen, -1e4)
        near = (places[:prompt] - batch.spoken[..., None]).abs() <= _GUIDED_WIDTH
        near_scores = scores[..., :prompt].masked_fill(~near, -1e4)
        missed: Tensor = scores.logsumexp(dim=-1) - near_scores.logsumexp(dim=-1)  # [B, S]
        return missed[batch.spoken >= 0].mean()
