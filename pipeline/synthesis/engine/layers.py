"""The decoder's transformer, as functions of weights and tensors; prefill and step differ only in their attention.

Every product here gives a row the same bits whatever stands in the other rows, provided that shapes are padded as
`cache.padded` and `bits.row_multiple` say; see `docs/benchmarks.md`, "Bits". That is why attention on the CPU is two
plain products and not `scaled_dot_product_attention`, whose sums depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.synthesis.engine.weights import Weights

SelfAttention = Callable[[int, Tensor, Tensor, Tensor], Tensor]  # layer, q, k, v -> attended
CrossAttention = Callable[[int, Tensor], Tensor]  # layer, q -> attended
Rotation = tuple[Tensor, Tensor]  # cos, sin, both [B, 1, L, d]


def transform(
    weights: Weights,
    x: Tensor,
    rotation: Rotation | None,
    self_attention: SelfAttention,
    cross_attention: CrossAttention,
) -> Tensor:
    """Runs all layers and the last norm.

    Args:
        weights: The decoder.
        x: `[B, L, hidden]`, positions added.
        rotation: Of these positions, where the model has rotary ones.
        self_attention: Given the layer, q `[B, heads, L, d]` and k, v `[B, kv_heads, L, d]`; returns the shape of q.
        cross_attention: Given the layer and q; returns the shape of q.
    """
    for index, layer in enumerate(weights.layers):
        normed = layer.self_norm(x)
        widths = [heads * weights.head_width for heads in (weights.num_heads, weights.kv_heads, weights.kv_heads)]
        q, k, v = torch.split(layer.self_qkv(normed), widths, dim=-1)
        q, k, v = (split_heads(part, weights.head_width) for part in (q, k, v))
        if rotation is not None:
            q, k = rotate(q, rotation), rotate(k, rotation)
        x = x + layer.self_out(_join_heads(self_attention(index, q, k, v)))

        q = split_heads(layer.cross_q(layer.cross_norm(x)), weights.head_width)
        if rotation is not None:
            q = rotate(q, rotation)
        x = x + layer.cross_out(_join_heads(cross_attention(index, q)))

        normed = layer.ffn_norm(x)
        x = x + layer.ffn_down(weights.activation(layer.ffn_up(normed)))
    return weights.norm(x)


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Attention of q `[B, heads, L, d]` over k, v `[B, kv_heads, C, d]`; bias `[B or 1, 1, L or 1, C]` is added."""
    batch, heads, length, width = q.shape
    groups = heads // k.shape[1]  # query heads that share a key head become further rows of its product
    if groups > 1 and bias.shape[2] > 1:
        bias = bias.repeat(1, 1, groups, 1)
    rows = q.reshape(batch, k.shape[1], groups * length, width)
    if q.is_cuda:  # grouped queries are rows here too: no kernel that takes a mask knows of them
        return functional.scaled_dot_product_attention(rows, k, v, attn_mask=bias).reshape(q.shape)
    rows = rows * width**-0.5
    if q.dtype == torch.bfloat16:  # four times faster so; in float32 not, and its bits would depend on the rows
        scores = torch.matmul(k, rows.transpose(2, 3)).transpose(2, 3) + bias
    else:
        scores = torch.matmul(rows, k.transpose(2, 3)) + bias
    weights = scores.softmax(dim=-1)
    if groups > 1 and length == 1:  # one row at a time: the sums of several over a longer cache depend on its length
        return torch.cat([torch.matmul(row.contiguous(), v) for row in torch.split(weights, 1, dim=2)], dim=2).view(
            q.shape
        )
    return torch.matmul(weights, v).view(q.shape)


def attend_shared(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, entry_of_row: Tensor) -> Tensor:
    """Attention of rows that share few sets of keys: every row meets every set, then takes its own.

    No key is copied to a row, and the rows of one set are one product. It costs E times the arithmetic of one set,
    which is little: descriptions are short.

    Args:
        q: `[B, heads, L, d]`.
        k: `[E, kv_heads, D, d]`.
        v: Likewise.
        bias: `[E, 1, 1, D]`.
        entry_of_row: `[B]`, below E.
    """
    batch, heads, length, width = q.shape
    rows = q.transpose(0, 1).reshape(1, heads, batch * length, width).expand(k.shape[0], -1, -1, -1)
    attended = attend(rows, k, v, bias).view(k.shape[0], heads, batch, length, width)
    return attended[entry_of_row, :, torch.arange(batch, device=q.device)]


def split_heads(x: Tensor, width: int) -> Tensor:
    """`[B, L, heads * d]` to `[B, heads, L, d]`."""
    return x.view(*x.shape[:2], -1, width).transpose(1, 2)


def _join_heads(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


def rotation_at(weights: Weights, positions: Tensor) -> Rotation | None:
    """Rotary angles of positions `[B, L]`; None where the model has another kind."""
    if weights.rotary_frequencies is None:
        return None
    angles = positions[..., None].float() * weights.rotary_frequencies.float()  # [B, L, d / 2]
    angles = torch.cat([angles, angles], dim=-1)[:, None]
    return angles.cos().to(weights.dtype), angles.sin().to(weights.dtype)


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turns queries or keys `[B, heads, L, d]` by their positions' angles."""
    cos, sin = rotation
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def add_positions(weights: Weights, x: Tensor, positions: Tensor) -> Tensor:
    """Adds sinusoidal positions `[B, L]` to x `[B, L, hidden]`, where the model has them."""
    return x if weights.positions is None else x + weights.positions[positions]
