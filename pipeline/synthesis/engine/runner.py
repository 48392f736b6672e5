"""B slots of a model: takes requests into slots, steps them all, hands out what is finished.

Owns the tensors of a decoder and which entry of the cross-attention cache each slot looks at. Which request comes when
is the scheduler's affair; what becomes of the codes, the codec's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.config import SamplingConfig
from pipeline.synthesis.engine import conditioning
from pipeline.synthesis.engine.cache import allocate_cross, allocate_self, padded
from pipeline.synthesis.engine.conditioning import DescriptionEncoder, Entries
from pipeline.synthesis.engine.prefill import Newcomer, groups, prefill
from pipeline.synthesis.engine.sampling import Rules
from pipeline.synthesis.engine.step import Decoder, Step, allocate_rows, num_frames, step, undelay
from pipeline.synthesis.engine.weights import Weights


@dataclass(frozen=True)
class Request:
    """An utterance as the model sees it."""

    prompt: tuple[int, ...]
    description: tuple[int, ...]
    max_frames: int
    seed: int

    def positions(self, num_codebooks: int) -> int:
        """How many positions it may take in the model's sequence, a prompt that is attended across included."""
        return len(self.prompt) + self.max_frames + num_codebooks


@dataclass(frozen=True)
class Shape:
    """The sizes of a slot."""

    positions: int = 1  # C
    description_tokens: int = 1  # D
    max_frames: int = 1

    def united(self, other: Shape) -> Shape:
        """The smallest that holds both."""
        return Shape(
            max(self.positions, other.positions),
            max(self.description_tokens, other.description_tokens),
            max(self.max_frames, other.max_frames),
        )

    def holds(self, other: Shape) -> bool:
        """Whether what fits into the other fits into this one."""
        return self.united(other) == self


@dataclass(frozen=True)
class Finished:
    """A slot whose utterance is done."""

    slot: int
    codes: Tensor  # [K, T] on the CPU
    ended: bool  # by itself, not by its limit
    broken: bool  # its logits were not finite


class Runner:
    """See the head of this module. All its methods want `torch.inference_mode`."""

    def __init__(
        self,
        weights: Weights,
        rules: Rules,
        sampling: SamplingConfig,
        encoder: DescriptionEncoder,
        slots: int,
        shape: Shape,
        *,
        length_multiple: int = 32,
        take_step: Step = step,
    ) -> None:
        self.slots = slots
        self.shape = shape
        self.decoder = Decoder(
            weights,
            allocate_self(weights, slots, shape.positions),
            allocate_cross(weights, slots, shape.description_tokens),
            allocate_rows(slots, weights.num_codebooks, shape.max_frames, weights.device),
            rules,
            sampling,
        )
        self._encoder = encoder
        self._entries = Entries(slots)
        self._length_multiple = length_multiple
        self._take_step = take_step
        self._entry_of: dict[int, int] = {}
        self._positions: dict[int, int] = {}  # of each occupied slot, so that nobody has to ask the device

    def admit(self, arrivals: Sequence[tuple[int, Request]]) -> None:
        """Takes requests into free slots."""
        weights, rows = self.decoder.weights, self.decoder.rows
        prepended = weights.prompt_is_prepended
        newcomers = []
        for slot, request in arrivals:
            prompt = torch.tensor(request.prompt, device=weights.device)
            entry = self._fill_entry(slot, request, prompt)
            length = len(request.prompt) if prepended else 0
            rows.admit(slot, request.seed, length, request.max_frames, entry, self.decoder.rules.bos)
            self._positions[slot] = length
            newcomers.append(Newcomer(slot, prompt))
        if prepended:
            for group in groups(newcomers):
                prefill(self.decoder, group, self._num_entries())

    def advance(self, steps: int = 1) -> None:
        """Steps all rows."""
        for _ in range(steps):
            longest = max(self._positions.values()) + 1
            capacity = self.decoder.cache.capacity
            length = min(padded(longest, self._length_multiple), capacity)
            self._take_step(self.decoder, length, self._num_entries())
            self._positions = {slot: min(at + 1, capacity - 1) for slot, at in self._positions.items()}

    def collect(self) -> list[Finished]:
        """Takes the finished out of their slots."""
        rows = self.decoder.rows
        running = rows.running.tolist()
        slots = [slot for slot in self._positions if not running[slot]]
        return [self._take(slot) for slot in slots]

    def frames_ready(self, slot: int) -> int:
        """How many frames of a running row have all their codes."""
        rows, delay = self.decoder.rows, self.decoder.weights.num_codebooks - 1
        return max(0, min(int(rows.steps[slot]) - delay, int(num_frames(rows)[slot])))

    def codes(self, slot: int, frames: int) -> Tensor:
        """The first frames of a row, `[K, frames]` on the CPU."""
        steps = frames + self.decoder.weights.num_codebooks - 1
        return undelay(self.decoder.rows.history[slot, :, :steps].cpu(), frames)

    def clear(self) -> None:
        """Empties all slots, whatever they were at."""
        self.decoder.rows.running.zero_()
        for slot in list(self._positions):
            self._leave(slot)

    def _fill_entry(self, slot: int, request: Request, prompt: Tensor) -> int:
        weights, cross = self.decoder.weights, self.decoder.cross
        states = self._encoder.encode(request.description).to(weights.dtype)
        if not weights.prompt_is_prepended:
            states = torch.cat([states, conditioning.prompt_states(weights, prompt)])
            cross.write(slot, conditioning.keys_and_values(weights, states))
            return slot
        entry, is_new = self._entries.acquire(request.description)
        self._entry_of[slot] = entry
        if is_new:
            cross.write(entry, conditioning.keys_and_values(weights, states))
        return entry

    def _num_entries(self) -> int:
        """Entries to look at: a power of two, so that there are few shapes."""
        return min(1 << (self._entries.num_used - 1).bit_length(), self.decoder.cross.num_entries)

    def _take(self, slot: int) -> Finished:
        rows = self.decoder.rows
        end_step, limit, broken = (int(part[slot]) for part in (rows.end_step, rows.limits, rows.broken))
        codes = self.codes(slot, min(end_step, limit)) if not broken else torch.zeros(0, 0)
        self._leave(slot)
        return Finished(slot, codes, ended=end_step < limit, broken=bool(broken))

    def _leave(self, slot: int) -> None:
        del self._positions[slot]
        if self.decoder.weights.prompt_is_prepended:
            self._entries.release(self._entry_of.pop(slot))
            self.decoder.rows.entries[slot] = 0  # an idle row computes along: it needs an entry that is looked at
