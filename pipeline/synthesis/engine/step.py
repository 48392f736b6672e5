"""One decoder step of all slots, from input codes to output codes, without synchronising with the host.

The delay pattern, for K = 4 codebooks and a limit of 5 frames. A column is a step and shows the input codes; the output
of a step is the input of the next one. `f2` is the code of frame 2; codebook k is delayed by k steps.

    step           0    1    2    3    4    5    6    7
    codebook 0    bos   f0   f1   f2   f3   f4  pad  pad
    codebook 1    bos  bos   f0   f1   f2   f3   f4  pad
    codebook 2    bos  bos  bos   f0   f1   f2   f3   f4
    codebook 3    bos  bos  bos  bos   f0   f1   f2   f3  -> f4

So step s produces the code of frame s - k for codebook k, and a frame is complete when it has all K codes. If codebook
0 draws the end of sequence at step e, frames 0 .. e - 1 are the audio, and the last of their codes is produced at step
e + K - 2. The other codebooks may end after codebook 0, one more at each step, as in the training data; a codebook that
has ended gets padding from then on. A row that is not running is computed as well, but changes nothing that is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.synthesis.engine import layers
from pipeline.synthesis.engine.cache import CrossCache, SelfCache
from pipeline.synthesis.engine.sampling import TokenRules, mask_logits, sample_codes
from pipeline.synthesis.engine.weights import Weights
from pipeline.types import Sampling

_NEVER = 2**31 - 1  # a step that no row reaches


@dataclass(frozen=True)
class Rows:
    """State of the B slots on the device. The step changes these tensors in place."""

    inputs: Tensor  # [B, K] input codes of the next step
    positions: Tensor  # [B] position of the next step in the row's sequence, which begins with the prompt
    steps: Tensor  # [B] steps done
    limits: Tensor  # [B] maximum number of frames
    seeds: Tensor  # [B]
    entries: Tensor  # [B] index in the cross-attention cache
    open_codebook: Tensor  # [B] first codebook that has not drawn its end of sequence; grows by at most 1 a step
    ended: Tensor  # [B, K] whether a codebook has drawn its end of sequence
    end_step: Tensor  # [B] step at which codebook 0 drew it
    running: Tensor  # [B] bool
    invalid: Tensor  # [B] bool: logits were not finite
    history: Tensor  # [B, K, S] output codes of each step

    @property
    def num_rows(self) -> int:
        """Number of slots, B."""
        return self.inputs.shape[0]

    def tensors(self) -> list[Tensor]:
        """Return all tensors of this state."""
        return [getattr(self, field.name) for field in fields(self)]

    def start(self, starts: Tensor, bos: int) -> None:
        """Start rows. Their keys and values must be in the caches before the next step.

        Args:
            starts: `[5, n]` int64: slots, seeds, positions, limits and entries of n rows.
            bos: The input code of the first step.
        """
        slots, *values = starts
        for tensor, value in zip((self.seeds, self.positions, self.limits, self.entries), values, strict=True):
            tensor.index_copy_(0, slots, value)
        for tensor in (self.steps, self.open_codebook, self.ended, self.invalid):
            tensor.index_fill_(0, slots, 0)
        self.inputs.index_fill_(0, slots, bos)
        self.end_step.index_fill_(0, slots, _NEVER)
        self.running.index_fill_(0, slots, 1)


def allocate_rows(num_rows: int, num_codebooks: int, max_frames: int, device: torch.device) -> Rows:
    """Return the state of slots that are all idle."""

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
        invalid=zeros(dtype=torch.bool),
        history=zeros(num_codebooks, max_frames + num_codebooks),
    )


@dataclass(frozen=True)
class DecoderState:
    """Everything that a step reads and writes. The tensors stay in place from step to step, as CUDA graphs need."""

    weights: Weights
    cache: SelfCache
    cross: CrossCache
    rows: Rows
    rules: TokenRules
    sampling: Sampling


Step = Callable[[DecoderState, int, int], None]  # see `step`


def step(decoder: DecoderState, length: int, num_entries: int) -> None:
    """Advance every running row by one step.

    Args:
        decoder: Its rows and self-attention cache are changed in place.
        length: Positions of the self-attention cache to read: more than the position of any running row.
        num_entries: Cross-attention entries to read: more than the entry of any running row.
    """
    weights, rows = decoder.weights, decoder.rows
    logits = _logits(decoder, length, num_entries)
    logits = mask_logits(logits, decoder.rules, rows.steps, rows.open_codebook)
    codes, scores = sample_codes(logits, decoder.sampling, rows.seeds, rows.steps)
    _update_rows(rows, codes, scores, decoder.rules, weights.num_codebooks)


def _logits(decoder: DecoderState, length: int, num_entries: int) -> Tensor:
    """Return the logits `[B, K, V]` in float32."""
    weights, cache, cross, rows = decoder.weights, decoder.cache, decoder.cross, decoder.rows
    batch = torch.arange(rows.num_rows, device=weights.device)
    positions = rows.positions[:, None]  # [B, 1]
    seen = torch.arange(length, device=weights.device) <= positions  # [B, C]
    bias = torch.zeros_like(seen, dtype=weights.dtype).masked_fill(~seen, -torch.inf)[:, None, None]

    # Every row reads as many positions as the longest row has, and masks the rest: about twice what it needs, and most
    # of a step on a GPU. Groups of rows by length would need one graph for each combination of lengths. A kernel that
    # reads each row's length on the device would avoid it; `scripts/gpu_check.py` measures torch's for comparison.
    def self_attention(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        keys, values = cache.keys[layer], cache.values[layer]
        keys[batch, :, rows.positions] = k[:, :, 0]
        values[batch, :, rows.positions] = v[:, :, 0]
        return layers.attend(q, keys[:, :, :length], values[:, :, :length], bias)

    x = layers.add_positions(weights, embed_codes(weights, rows.inputs), positions)
    x = layers.run_layers(
        weights,
        x,
        layers.rotation_at(weights, positions),
        self_attention,
        cross_attention(weights, cross, rows.entries, num_entries),
    )
    logits = weights.heads(x[:, 0]).float()
    return logits.view(rows.num_rows, weights.num_codebooks, weights.vocabulary)


def cross_attention(weights: Weights, cross: CrossCache, entries: Tensor, num_entries: int) -> layers.CrossAttention:
    """Return the cross-attention of rows to their entries `[B]`.

    Where the prompt is cross-attended too, each slot has its own entry with the same index, and nothing is shared.
    """

    def own(layer: int, q: Tensor) -> Tensor:
        return layers.attend(q, cross.keys[layer], cross.values[layer], cross.bias)

    def shared(layer: int, q: Tensor) -> Tensor:
        keys, values, bias = (part[:num_entries] for part in (cross.keys[layer], cross.values[layer], cross.bias))
        return layers.attend_shared(q, keys, values, bias, entries)

    return shared if weights.prompt_is_prepended else own


def embed_codes(weights: Weights, codes: Tensor) -> Tensor:
    """Return the embeddings of codes `[B, K]`, summed over codebooks: `[B, 1, hidden]`."""
    first_rows = torch.arange(weights.num_codebooks, device=codes.device) * (weights.vocabulary + 1)
    return functional.embedding(codes + first_rows, weights.code_embedding).sum(dim=1, keepdim=True)


def _update_rows(rows: Rows, codes: Tensor, scores: Tensor, rules: TokenRules, num_codebooks: int) -> None:
    """Store the codes `[B, K]` that were drawn, and prepare the input of the next step."""
    running, column = rows.running, rows.running[:, None]
    batch = torch.arange(rows.num_rows, device=codes.device)
    codes = codes.masked_fill(rows.ended, rules.pad)
    rows.history[batch, :, rows.steps] = codes
    rows.invalid.logical_or_(running & ~scores.isfinite().all(dim=1))

    ends = column & (codes == rules.eos)
    ends_audio = ends[:, 0] & ~rows.ended[:, 0] & (rows.steps < rows.limits)
    rows.end_step.copy_(torch.where(ends_audio, rows.steps, rows.end_step))
    rows.ended.logical_or_(ends)
    next_may_end = rows.ended.gather(1, rows.open_codebook[:, None])[:, 0] & running
    rows.open_codebook.add_(next_may_end).clamp_(max=num_codebooks - 1)
    rows.positions.add_(running)
    rows.steps.add_(running)

    frames = rows.steps[:, None] - 1 - torch.arange(num_codebooks, device=codes.device)  # [B, K] frame of each code
    inputs = codes.masked_fill(frames < 0, rules.bos).masked_fill(frames >= rows.limits[:, None], rules.pad)
    rows.inputs.copy_(torch.where(column, inputs, rows.inputs))
    rows.running.logical_and_(rows.steps < num_frames(rows) + num_codebooks - 1)
    rows.running.logical_and_(~rows.invalid)


def num_frames(rows: Rows) -> Tensor:
    """Return the number of frames `[B]` that each row has once it has finished."""
    return torch.minimum(rows.end_step, rows.limits)


def undelay(history: Tensor, frames: int) -> Tensor:
    """Undo the delay pattern.

    Args:
        history: `[K, S]` output codes of the steps, S at least frames + K - 1.
        frames: Number of frames to return, T.

    Returns:
        Codes `[K, T]`.
    """
    return torch.stack([codes[k : k + frames] for k, codes in enumerate(history)])
