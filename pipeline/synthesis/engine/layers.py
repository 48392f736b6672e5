"""The decoder's transformer layers as functions. Prefill and step differ only in their attention functions.

Every product gives a row the same bits whatever the other rows hold, provided that cache lengths are padded by
`cache.round_up` and batch sizes are multiples of `batch_invariance.row_multiple`; see "Bits" in
`docs/log/performance.md`. For that reason attention on a CPU is two matrix products and not
`scaled_dot_product_attention`, whose sums depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.synthesis.engine.weights import Weights

SelfAttention = Callable[[int, Tensor, Tensor, Tensor], Tensor]  # (layer, q, k, v) -> output of the shape of q
CrossAttention = Callable[[int, Tensor], Tensor]  # (layer, q) -> output of the shape of q
Rotation = tuple[Tensor, Tensor]  # cos, sin, both [B, 1, L, d]


def run_layers(
    weights: Weights,
    x: Tensor,
    rotation: Rotation | None,
    self_attention: SelfAttention,
    cross_attention: CrossAttention,
) -> Tensor:
    """Run all layers and the final norm.

    Args:
        weights: Of the decoder.
        x: `[B, L, hidden]`, sinusoidal positions added.
        rotation: Of the positions, where the model has rotary ones.
        self_attention: Called with the layer, q `[B, heads, L, d]` and k, v `[B, kv_heads, L, d]`.
        cross_attention: Called with the layer and q `[B, heads, L, d]`.

    Returns:
        `[B, L, hidden]`.
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
    """Return the attention of queries over keys and values.

    Args:
        q: `[B, heads, L, d]`.
        k: `[B, kv_heads, C, d]`.
        v: `[B, kv_heads, C, d]`.
        bias: `[B or 1, 1, L or 1, C]`, added to the scores.

    Returns:
        `[B, heads, L, d]`.
    """
    batch, heads, length, width = q.shape
    groups = heads // k.shape[1]  # query heads that share a key head become rows of one product
    if groups > 1 and bias.shape[2] > 1:
        bias = bias.repeat(1, 1, groups, 1)
    rows = q.reshape(batch, k.shape[1], groups * length, width)
    if q.is_cuda:  # torch's kernels that take a mask do not support grouped queries
        return functional.scaled_dot_product_attention(rows, k, v, attn_mask=bias).reshape(q.shape)
    rows = rows * width**-0.5
    if q.dtype == torch.bfloat16:  # four times faster; in float32 it is not, and its bits would depend on the rows
        scores = torch.matmul(k, rows.transpose(2, 3)).transpose(2, 3) + bias
    else:
        scores = torch.matmul(rows, k.transpose(2, 3)) + bias
    weights = scores.softmax(dim=-1)
    if groups > 1 and length == 1:  # one row at a time: the sums of several rows depend on the length of the cache
        return torch.cat([torch.matmul(row.contiguous(), v) for row in torch.split(weights, 1, dim=2)], dim=2).view(
            q.shape
        )
    return torch.matmul(weights, v).view(q.shape)


def attend_shared(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, entry_of_row: Tensor) -> Tensor:
    """Return the attention of rows that share few entries: each row attends to all E entries and keeps its own.

    No key is copied for a row, and the rows of an entry are one product. It needs E times the arithmetic, which is
    little since descriptions are short.

    Args:
        q: `[B, heads, L, d]`.
        k: `[E, kv_heads, D, d]`.
        v: `[E, kv_heads, D, d]`.
        bias: `[E, 1, 1, D]`.
        entry_of_row: `[B]` index of each row's entry, below E.

    Returns:
        `[B, heads, L, d]`.
    """
    batch, heads, length, width = q.shape
    rows = q.transpose(0, 1).reshape(1, heads, batch * length, width).expand(k.shape[0], -1, -1, -1)
    attended = attend(rows, k, v, bias).view(k.shape[0], heads, batch, length, width)
    return attended[entry_of_row, :, torch.arange(batch, device=q.device)]


def split_heads(x: Tensor, width: int) -> Tensor:
    """Reshape `[B, L, heads * d]` to `[B, heads, L, d]`; `width` is d."""
    return x.view(*x.shape[:2], -1, width).transpose(1, 2)


def _join_heads(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


def rotation_at(weights: Weights, positions: Tensor) -> Rotation | None:
    """Return cosines and sines of rotary positions `[B, L]`; None where the model's positions are not rotary."""
    if weights.rotary_frequencies is None:
        return None
    angles = positions[..., None].float() * weights.rotary_frequencies.float()  # [B, L, d / 2]
    angles = torch.cat([angles, angles], dim=-1)[:, None]
    return angles.cos().to(weights.dtype), angles.sin().to(weights.dtype)


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Rotate queries or keys `[B, heads, L, d]` by the angles of their positions."""
    cos, sin = rotation
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def add_positions(weights: Weights, x: Tensor, positions: Tensor) -> Tensor:
    """Add the sinusoidal embeddings of positions `[B, L]` to x `[B, L, hidden]`, where the model has them."""
    return x if weights.positions is None else x + weights.positions[positions]
