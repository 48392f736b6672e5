"""The decoder's parameters, with fused projections and stacked embedding tables.

The parameters of the loaded model become views of the fused weights, or empty where those are packed, so that memory
holds one copy. This is the only module of the engine that knows the names of upstream's decoder modules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.synthesis.engine.packed_linear import PackedLinear, fuse_weights


@dataclass(frozen=True)
class Norm:
    """A layer norm."""

    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise the last axis."""
        return functional.layer_norm(x, (x.shape[-1],), self.weight, self.bias, self.eps)


@dataclass(frozen=True)
class Layer:
    """One decoder layer. d is the width of a head."""

    self_norm: Norm
    self_qkv: PackedLinear  # [(heads + 2 * kv_heads) * d, hidden]
    self_out: PackedLinear
    cross_norm: Norm
    cross_q: PackedLinear
    cross_kv: PackedLinear  # [2 * cross_kv_heads * d, hidden]
    cross_out: PackedLinear
    ffn_norm: Norm
    ffn_up: PackedLinear
    ffn_down: PackedLinear


@dataclass(frozen=True)
class Weights:
    """All decoder layers, the embeddings and the output heads."""

    layers: tuple[Layer, ...]
    norm: Norm
    activation: Callable[[Tensor], Tensor]
    code_embedding: Tensor  # [K * (V + 1), hidden]; row k * (V + 1) + id is that of an id of codebook k
    heads: PackedLinear  # [K * V, hidden]
    positions: Tensor | None  # [max_positions, hidden] sinusoidal; None: positions are rotary
    rotary_frequencies: Tensor | None  # [d / 2]; None: positions are sinusoidal
    prompt_embedding: Tensor  # [prompt vocabulary, hidden]
    prompt_positions: Tensor | None  # [max_positions, hidden] where the prompt is cross-attended, else None
    num_heads: int
    kv_heads: int
    cross_kv_heads: int
    head_width: int  # d
    num_codebooks: int  # K
    vocabulary: int  # V
    max_positions: int

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the decoder."""
        return self.heads.dtype

    @property
    def device(self) -> torch.device:
        """Device of the decoder."""
        return self.heads.device

    @property
    def prompt_is_prepended(self) -> bool:
        """Return whether the prompt is the beginning of the decoder's sequence; otherwise it is cross-attended."""
        return self.prompt_positions is None


def fuse_decoder(model: Any) -> Weights:
    """Return the decoder's weights of a loaded `upstream.Parler`, whose own decoder cannot be called afterwards."""
    config, decoder = model.config.decoder, model.decoder.model.decoder
    rotary = bool(config.rope_embeddings)
    lm_heads = model.decoder.lm_heads
    return Weights(
        layers=tuple(_layer(layer) for layer in decoder.layers),
        norm=_norm(decoder.layer_norm),
        activation=decoder.layers[0].activation_fn,
        code_embedding=_stack(decoder.embed_tokens),
        heads=fuse_weights([lm_heads] if config.use_fused_lm_heads else lm_heads),
        positions=None if rotary else decoder.embed_positions.weights.detach(),
        rotary_frequencies=decoder.rotary_emb.shared.inv_freq.detach() if rotary else None,
        prompt_embedding=model.embed_prompts.weight.detach(),
        prompt_positions=model.embed_positions.weights.detach() if model.prompt_cross_attention else None,
        num_heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        cross_kv_heads=config.num_cross_attention_key_value_heads,
        head_width=config.hidden_size // config.num_attention_heads,
        num_codebooks=config.num_codebooks,
        vocabulary=config.vocab_size,
        max_positions=config.max_position_embeddings,
    )


def _layer(layer: Any) -> Layer:
    own, cross = layer.self_attn, layer.encoder_attn
    return Layer(
        self_norm=_norm(layer.self_attn_layer_norm),
        self_qkv=fuse_weights([own.q_proj, own.k_proj, own.v_proj]),
        self_out=fuse_weights([own.out_proj]),
        cross_norm=_norm(layer.encoder_attn_layer_norm),
        cross_q=fuse_weights([cross.q_proj]),
        cross_kv=fuse_weights([cross.k_proj, cross.v_proj]),
        cross_out=fuse_weights([cross.out_proj]),
        ffn_norm=_norm(layer.final_layer_norm),
        ffn_up=fuse_weights([layer.fc1]),
        ffn_down=fuse_weights([layer.fc2]),
    )


def _norm(module: nn.LayerNorm) -> Norm:
    return Norm(module.weight.detach(), module.bias.detach(), module.eps)


def _stack(modules: Sequence[nn.Module] | nn.ModuleList) -> Tensor:
    """Concatenate the weights of modules along the first axis; each module keeps a view of its part."""
    parts: list[nn.Parameter] = [module.weight for module in modules]  # type: ignore[misc]
    stacked = torch.cat([part.detach() for part in parts])
    for part, view in zip(parts, torch.split(stacked, [len(part) for part in parts]), strict=True):
        part.data = view
    return stacked
