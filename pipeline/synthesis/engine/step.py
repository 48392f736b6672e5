"""One decoder step of all slots, from the codes that go in to the codes that come out. No host synchronisation.

The delay pattern, for K = 4 codebooks and a limit of 5 frames. A column is a step: what goes in, and below, in the same
column, nothing but what came out of the step before. `f2` is the code of frame 2; codebook k is k steps late.

    step           0    1    2    3    4    5    6    7
    codebook 0    bos   f0   f1   f2   f3   f4  pad  pad
    codebook 1    bos  bos   f0   f1   f2   f3   f4  pad
    codebook 2    bos  bos  bos   f0   f1   f2   f3   f4
    codebook 3    bos  bos  bos  bos   f0   f1   f2   f3  -> f4

So step s gives codebook k its code of frame s - k. A frame counts when all its codes are there. If codebook 0 draws the
end of sequence at step e, frames 0 .. e - 1 are the audio, and the last of their codes comes out of step e + K - 2. The
other codebooks may end after it, one more at each step, which is where a trained model puts their ends; a codebook that
has ended is given padding from then on. A row that is not running computes along and changes nothing but its own
scratch space.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.synthesis.engine import layers
from pipeline.synthesis.engine.cache import CrossCache, SelfCache
from pipeline.synthesis.engine.sampling import Rules, draw, forbid
from pipeline.synthesis.engine.weights import Weights
from pipeline.types import Sampling

_NEVER = 2**31 - 1  # a step that no utterance reaches


@dataclass(frozen=True)
class Rows:
    """Where each of B slots stands. The step changes these tensors in place."""

    inputs: Tensor  # [B, K] codes that go into the next step
    positions: Tensor  # [B] of the next step in the row's own sequence: prompt, then steps
    steps: Tensor  # [B] steps done
    limits: Tensor  # [B] frames at most
    seeds: Tensor  # [B]
    entries: Tensor  # [B] of the cross-attention cache
    open_codebook: Tensor  # [B] first codebook that has not drawn its end; one more at each step at most
    ended: Tensor  # [B, K] whether a codebook has drawn its end
    end_step: Tensor  # [B] at which codebook 0 did
    running: Tensor  # [B]
    broken: Tensor  # [B] whether the logits were not finite
    history: Tensor  # [B, K, S] the codes that came out of each step

    @property
    def num_rows(self) -> int:
        """B."""
        return self.inputs.shape[0]

    def tensors(self) -> list[Tensor]:
        """All of the above."""
        return [getattr(self, field.name) for field in fields(self)]

    def admit(self, starts: Tensor, bos: int) -> None:
        """Starts rows. Their keys and values have to be there before the next step.

        Args:
            starts: `[5, n]`: slots, seeds, positions, limits and entries of n rows.
            bos: What goes in first.
        """
        slots, *values = starts
        for tensor, value in zip((self.seeds, self.positions, self.limits, self.entries), values, strict=True):
            tensor.index_copy_(0, slots, value)
        for tensor in (self.steps, self.open_codebook, self.ended, self.broken):
            tensor.index_fill_(0, slots, 0)
        self.inputs.index_fill_(0, slots, bos)
        self.end_step.index_fill_(0, slots, _NEVER)
        self.running.index_fill_(0, slots, 1)


def allocate_rows(num_rows: int, num_codebooks: int, max_frames: int, device: torch.device) -> Rows:
    """Rows that all stand idle."""

    def zeros(*shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
        return torch.zeros((num_rows, *shape), dtype=dtype, device=device)

    return Rows(
        inputs=zeros(num_codebooks),
        positions=zeros(),
        steps=zeros(),
        limits=zeros(),
        seeds=zeros(),
        entries=zeros(),
        open_codebook=zeros(),
        ended=zeros(num_codebooks, dtype=torch.bool),
        end_step=zeros(),
        running=zeros(dtype=torch.bool),
        broken=zeros(dtype=torch.bool),
        history=zeros(num_codebooks, max_frames + num_codebooks),
    )


@dataclass(frozen=True)
class Decoder:
    """All that a step reads and writes, and that stays in its place from step to step."""

    weights: Weights
    cache: SelfCache
    cross: CrossCache
    rows: Rows
    rules: Rules
    sampling: Sampling


Step = Callable[[Decoder, int, int], None]  # as `step`


def step(decoder: Decoder, length: int, num_entries: int) -> None:
    """Advances every running row by one step.

    Args:
        decoder: Its rows and cache are changed in place.
        length: How much of the self-attention cache to look at: more than any running row's position.
        num_entries: How many cross-attention entries to look at: more than any running row's.
    """
    weights, rows = decoder.weights, decoder.rows
    logits = _logits(decoder, length, num_entries)
    logits = forbid(logits, decoder.rules, rows.steps, rows.open_codebook)
    codes, scores = draw(logits, decoder.sampling, rows.seeds, rows.steps)
    _advance(rows, codes, scores, decoder.rules, weights.num_codebooks)


def _logits(decoder: Decoder, length: int, num_entries: int) -> Tensor:
    """`[B, K, V]` in float32."""
    weights, cache, cross, rows = decoder.weights, decoder.cache, decoder.cross, decoder.rows
    batch = torch.arange(rows.num_rows, device=weights.device)
    positions = rows.positions[:, None]  # [B, 1]
    seen = torch.arange(length, device=weights.device) <= positions  # [B, C]
    bias = torch.zeros_like(seen, dtype=weights.dtype).masked_fill(~seen, -torch.inf)[:, None, None]

    # Every row reads as many positions as the longest one has, and masks the rest. Where rows are halfway through clips
    # of one length, that is twice what they need, and on a GPU that memory is most of a step. Rows cannot be cut apart
    # in groups, since a graph would be needed for each combination of lengths. A kernel that takes each row's length
    # from the device could do it; `scripts/gpu_check.py` measures one of torch's beside this.
    def self_attention(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        keys, values = cache.keys[layer], cache.values[layer]
        keys[batch, :, rows.positions] = k[:, :, 0]
        values[batch, :, rows.positions] = v[:, :, 0]
        return layers.attend(q, keys[:, :, :length], values[:, :, :length], bias)

    x = layers.add_positions(weights, embed_codes(weights, rows.inputs), positions)
    x = layers.transform(
        weights,
        x,
        layers.rotation_at(weights, positions),
        self_attention,
        cross_attention(weights, cross, rows.entries, num_entries),
    )
    logits = weights.heads(x[:, 0]).float()
    return logits.view(rows.num_rows, weights.num_codebooks, weights.vocabulary)


def cross_attention(weights: Weights, cross: CrossCache, entries: Tensor, num_entries: int) -> layers.CrossAttention:
    """Attention of rows over their entries `[B]`.

    Where the prompt is attended across, each row has an entry of its own, at its own place, and nothing is shared.
    """

    def own(layer: int, q: Tensor) -> Tensor:
        return layers.attend(q, cross.keys[layer], cross.values[layer], cross.bias)

    def shared(layer: int, q: Tensor) -> Tensor:
        keys, values, bias = (part[:num_entries] for part in (cross.keys[layer], cross.values[layer], cross.bias))
        return layers.attend_shared(q, keys, values, bias, entries)

    return shared if weights.prompt_is_prepended else own


def embed_codes(weights: Weights, codes: Tensor) -> Tensor:
    """Sum over codebooks of the embeddings of codes `[B, K]`: `[B, 1, hidden]`."""
    first_rows = torch.arange(weights.num_codebooks, device=codes.device) * (weights.vocabulary + 1)
    return functional.embedding(codes + first_rows, weights.code_embedding).sum(dim=1, keepdim=True)


def _advance(rows: Rows, codes: Tensor, scores: Tensor, rules: Rules, num_codebooks: int) -> None:
    """Books the codes `[B, K]` that were drawn, and prepares the next step's input."""
    running, column = rows.running, rows.running[:, None]
    batch = torch.arange(rows.num_rows, device=codes.device)
    codes = codes.masked_fill(rows.ended, rules.pad)
    rows.history[batch, :, rows.steps] = codes
    rows.broken.logical_or_(running & ~scores.isfinite().all(dim=1))

    ends = column & (codes == rules.eos)
    ends_audio = ends[:, 0] & ~rows.ended[:, 0] & (rows.steps < rows.limits)
    rows.end_step.copy_(torch.where(ends_audio, rows.steps, rows.end_step))
    rows.ended.logical_or_(ends)
    next_may_end = rows.ended.gather(1, rows.open_codebook[:, None])[:, 0] & running
    rows.open_codebook.add_(next_may_end).clamp_(max=num_codebooks - 1)
    rows.positions.add_(running)
    rows.steps.add_(running)

    frames = rows.steps[:, None] - 1 - torch.arange(num_codebooks, device=codes.device)  # [B, K] that `codes` belong to
    inputs = codes.masked_fill(frames < 0, rules.bos).masked_fill(frames >= rows.limits[:, None], rules.pad)
    rows.inputs.copy_(torch.where(column, inputs, rows.inputs))
    rows.running.logical_and_(rows.steps < num_frames(rows) + num_codebooks - 1)
    rows.running.logical_and_(~rows.broken)


def num_frames(rows: Rows) -> Tensor:
    """`[B]` frames of audio that each row has, once it has come to its end."""
    return torch.minimum(rows.end_step, rows.limits)


def undelay(history: Tensor, frames: int) -> Tensor:
    """Codes `[K, frames]` from what came out of the steps, `[K, S]` with S at least frames + K - 1."""
    return torch.stack([codes[k : k + frames] for k, codes in enumerate(history)])
