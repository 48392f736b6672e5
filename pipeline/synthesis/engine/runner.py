"""B slots of a model: takes requests into slots, steps them all, hands out what is finished.

Owns the tensors of a decoder and which entry of the cross-attention cache each slot looks at. Which request comes when
is the scheduler's affair; what becomes of the codes, the codec's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.synthesis.engine import conditioning
from pipeline.synthesis.engine.cache import allocate_cross, allocate_self, padded
from pipeline.synthesis.engine.conditioning import CrossCacheSlots, DescriptionEncoder
from pipeline.synthesis.engine.prefill import PrefillRequest, groups, prefill
from pipeline.synthesis.engine.sampling import Rules
from pipeline.synthesis.engine.step import Decoder, Rows, Step, allocate_rows, step, undelay
from pipeline.synthesis.engine.transfers import AsyncCopy, to_device
from pipeline.synthesis.engine.weights import Weights
from pipeline.types import Sampling


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
    codes: Tensor  # [K, T]
    ended: bool  # by itself, not by its limit
    broken: bool  # its logits were not finite


@dataclass(frozen=True)
class RowState:
    """Where a row stood."""

    running: int
    broken: int
    steps: int
    end_step: int
    limit: int

    @property
    def num_frames(self) -> int:
        """Frames of audio, once it has come to its end."""
        return min(self.end_step, self.limit)


class RowSnapshot:
    """What the host learns of the rows as they are when it begins to look. It may go on, and wait for that later."""

    def __init__(self, rows: Rows, slot_owners: Mapping[int, int]) -> None:
        self.slot_owners = dict(slot_owners)
        parts = (rows.running.long(), rows.broken.long(), rows.steps, rows.end_step, rows.limits)
        self._state = AsyncCopy(torch.stack(parts, dim=1))

    def wait(self) -> None:
        """Until it is known."""
        self._state.wait()

    def standings(self) -> list[RowState]:
        """Of all slots."""
        return [RowState(*row) for row in self._state.wait().tolist()]


class Runner:
    """See the head of this module. All its methods want `torch.inference_mode`."""

    def __init__(
        self,
        weights: Weights,
        rules: Rules,
        sampling: Sampling,
        encoder: DescriptionEncoder,
        slots: int,
        shape: Shape,
        *,
        length_multiple: int = 32,
        entries_base: int = 2,
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
        self._entries = CrossCacheSlots(slots)
        self._length_multiple = length_multiple
        self._entries_base = entries_base
        self._take_step = take_step
        self._entry_of: dict[int, int] = {}
        self._positions: dict[int, int] = {}  # of each occupied slot, so that nobody has to ask the device
        self._tenants: dict[int, int] = {}  # likewise, the number of who is in it
        self._num_admitted = 0

    def admit(self, arrivals: Sequence[tuple[int, Request]]) -> None:
        """Takes requests into free slots."""
        if not arrivals:
            return
        decoder, prepended = self.decoder, self.decoder.weights.prompt_is_prepended
        newcomers, starts = [], []
        for slot, request in arrivals:
            newcomers.append(PrefillRequest(slot, torch.tensor(request.prompt)))
            position = len(request.prompt) if prepended else 0
            entry = self._fill_entry(slot, request)
            starts.append((slot, request.seed, position, request.max_frames, entry))
            self._num_admitted += 1
            self._positions[slot], self._tenants[slot] = position, self._num_admitted
        decoder.rows.admit(to_device(torch.tensor(starts).T, decoder.weights.device), decoder.rules.bos)
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

    def warm_up(self) -> list[tuple[int, int]]:
        """Takes a step in every shape that can come: of idle rows, so that nothing happens. All slots are free."""
        capacity, entries, most = self.decoder.cache.capacity, [1], self.decoder.cross.num_entries
        while self.decoder.weights.prompt_is_prepended and entries[-1] < most:
            entries.append(min(entries[-1] * self._entries_base, most))
        padded_lengths = range(self._length_multiple, capacity + self._length_multiple, self._length_multiple)
        shapes = [(min(length, capacity), count) for length in padded_lengths for count in entries]
        for shape in shapes:
            self._take_step(self.decoder, *shape)
        return shapes

    def look(self) -> RowSnapshot:
        """Begins to look at how far the rows have come."""
        return RowSnapshot(self.decoder.rows, self._tenants)

    def collect(self, look: RowSnapshot) -> list[Finished]:
        """Takes those out of their slots that were seen to have finished, and have not been taken out since."""
        standings = look.standings()
        done = [
            slot
            for slot, tenant in look.slot_owners.items()
            if not standings[slot].running and self._tenants.get(slot) == tenant
        ]
        return [self._take(slot, standings[slot]) for slot in done]

    def frames_ready(self, slot: int, look: RowSnapshot) -> int:
        """How many frames of a running row had all their codes."""
        standing, delay = look.standings()[slot], self.decoder.weights.num_codebooks - 1
        return max(0, min(standing.steps - delay, standing.num_frames))

    def codes(self, slot: int, frames: int) -> Tensor:
        """The first frames of a row, `[K, frames]`: a copy."""
        steps = frames + self.decoder.weights.num_codebooks - 1
        return undelay(self.decoder.rows.history[slot, :, :steps], frames)

    def clear(self) -> None:
        """Empties all slots, whatever they were at."""
        self.decoder.rows.running.zero_()
        for slot in list(self._positions):
            self._leave(slot)

    def _fill_entry(self, slot: int, request: Request) -> int:
        weights, cross = self.decoder.weights, self.decoder.cross
        states = self._encoder.encode(request.description).to(weights.dtype)
        if not weights.prompt_is_prepended:
            prompt = to_device(torch.tensor(request.prompt), weights.device)
            states = torch.cat([states, conditioning.prompt_states(weights, prompt)])
            cross.write(slot, conditioning.keys_and_values(weights, states))
            return slot
        entry, is_new = self._entries.acquire(request.description)
        self._entry_of[slot] = entry
        if is_new:
            cross.write(entry, conditioning.keys_and_values(weights, states))
        return entry

    def _num_entries(self) -> int:
        """CrossCacheSlots to look at: a power of the base, so that there are few shapes."""
        entries = 1
        while entries < self._entries.num_used:
            entries *= self._entries_base
        return min(entries, self.decoder.cross.num_entries)

    def _take(self, slot: int, standing: RowState) -> Finished:
        codes = self.codes(slot, standing.num_frames) if not standing.broken else torch.zeros(0, 0)
        self._leave(slot)
        return Finished(slot, codes, ended=standing.end_step < standing.limit, broken=bool(standing.broken))

    def _leave(self, slot: int) -> None:
        del self._positions[slot], self._tenants[slot]
        if self.decoder.weights.prompt_is_prepended:
            self._entries.release(self._entry_of.pop(slot))
            self.decoder.rows.entries[slot] = 0  # an idle row computes along: it needs an entry that is looked at
