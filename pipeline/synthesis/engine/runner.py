"""The runner: admits requests into slots, steps all slots, and returns the codes of finished rows.

It owns the decoder's tensors and knows which cross-attention entry each slot uses. Which request comes next is decided
by `scheduler`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.synthesis.engine import conditioning
from pipeline.synthesis.engine.cache import allocate_cross, allocate_self, round_up
from pipeline.synthesis.engine.conditioning import CrossCacheSlots, DescriptionEncoder
from pipeline.synthesis.engine.prefill import PrefillRequest, group_by_length, prefill
from pipeline.synthesis.engine.sampling import TokenRules
from pipeline.synthesis.engine.step import DecoderState, Rows, allocate_rows, undelay
from pipeline.synthesis.engine.strategy import Strategy
from pipeline.synthesis.engine.transfers import AsyncCopy, to_device
from pipeline.synthesis.engine.weights import Weights
from pipeline.types import Sampling


@dataclass(frozen=True)
class DecoderModel:
    """The parts of a checkpoint that make codes."""

    weights: Weights
    rules: TokenRules
    sampling: Sampling
    encoder: DescriptionEncoder


@dataclass(frozen=True)
class Request:
    """An utterance as token ids."""

    prompt: tuple[int, ...]
    description: tuple[int, ...]
    max_frames: int
    seed: int

    def positions(self, num_codebooks: int) -> int:
        """Return how many positions of the model it may need, a cross-attended prompt included."""
        return len(self.prompt) + self.max_frames + num_codebooks


@dataclass(frozen=True)
class SlotShape:
    """Sizes of a slot and its cross-attention entry."""

    positions: int = 1  # C
    description_tokens: int = 1  # D
    max_frames: int = 1  # T

    def union(self, other: SlotShape) -> SlotShape:
        """Return the smallest shape that contains both."""
        return SlotShape(
            max(self.positions, other.positions),
            max(self.description_tokens, other.description_tokens),
            max(self.max_frames, other.max_frames),
        )

    def contains(self, other: SlotShape) -> bool:
        """Return whether every request that fits the other shape fits this one."""
        return self.union(other) == self


@dataclass(frozen=True)
class FinishedRow:
    """The result of a slot."""

    slot: int
    codes: Tensor  # [K, T]; empty where the row is invalid
    has_ended: bool  # by an end of sequence, not by the limit of frames
    is_invalid: bool  # its logits were not finite


@dataclass(frozen=True)
class RowState:
    """State of one row in a snapshot."""

    running: int
    invalid: int
    steps: int
    end_step: int
    limit: int

    @property
    def num_frames(self) -> int:
        """Frames of audio that the row has once it has finished."""
        return min(self.end_step, self.limit)


class RowSnapshot:
    """A copy of the rows' state, on its way to the host."""

    def __init__(self, rows: Rows, slot_owners: Mapping[int, int]) -> None:
        self.slot_owners = dict(slot_owners)  # number of the request in each occupied slot
        parts = (rows.running.long(), rows.invalid.long(), rows.steps, rows.end_step, rows.limits)
        self._state = AsyncCopy(torch.stack(parts, dim=1))

    def wait(self) -> None:
        """Wait until the copy has arrived."""
        self._state.wait()

    def states(self) -> list[RowState]:
        """Return the state of each slot; waits for the copy."""
        return [RowState(*row) for row in self._state.wait().tolist()]


class Runner:
    """The slots of a model. Its methods must be called in `torch.inference_mode`.

    Args:
        model: The decoder.
        slots: Number of slots, B.
        shape: Sizes of each slot.
        strategy: How steps are run.

    Attributes:
        state: The tensors of the decoder.
        positions: The next position of each occupied slot, known without asking the device.
    """

    def __init__(self, model: DecoderModel, slots: int, shape: SlotShape, strategy: Strategy) -> None:
        weights = model.weights
        self.slots = slots
        self.shape = shape
        self.state = DecoderState(
            weights,
            allocate_self(weights, slots, shape.positions),
            allocate_cross(weights, slots, shape.description_tokens),
            allocate_rows(slots, weights.num_codebooks, shape.max_frames, weights.device),
            model.rules,
            model.sampling,
        )
        self.positions: dict[int, int] = {}
        self._encoder = model.encoder
        self._strategy = strategy
        self._step = strategy.make_step()
        self._entries = CrossCacheSlots(slots)
        self._entry_of: dict[int, int] = {}
        self._slot_owners: dict[int, int] = {}  # number of the request in each occupied slot
        self._num_admitted = 0

    def admit(self, arrivals: Sequence[tuple[int, Request]]) -> None:
        """Put requests into free slots: encode descriptions, start rows, prefill prompts."""
        if not arrivals:
            return
        state, prepended = self.state, self.state.weights.prompt_is_prepended
        prompts, starts = [], []
        for slot, request in arrivals:
            prompts.append(PrefillRequest(slot, torch.tensor(request.prompt)))
            position = len(request.prompt) if prepended else 0
            entry = self._fill_entry(slot, request)
            starts.append((slot, request.seed, position, request.max_frames, entry))
            self._num_admitted += 1
            self.positions[slot], self._slot_owners[slot] = position, self._num_admitted
        state.rows.start(to_device(torch.tensor(starts).T, state.weights.device), state.rules.bos)
        if prepended:
            for group in group_by_length(prompts):
                prefill(state, group, self._num_entries())

    def advance(self, steps: int = 1) -> None:
        """Queue some steps of all rows."""
        for _ in range(steps):
            longest = max(self.positions.values()) + 1
            capacity = self.state.cache.capacity
            length = min(round_up(longest, self._strategy.length_multiple), capacity)
            self._step(self.state, length, self._num_entries())
            self.positions = {slot: min(at + 1, capacity - 1) for slot, at in self.positions.items()}

    def warm_up(self) -> list[tuple[int, int]]:
        """Run a step in every shape that can occur, while all rows are idle.

        Returns:
            The shapes: pairs of cache length and number of entries.
        """
        capacity, max_entries, entries = self.state.cache.capacity, self.state.cross.num_entries, [1]
        while self.state.weights.prompt_is_prepended and entries[-1] < max_entries:
            entries.append(min(entries[-1] * self._strategy.entries_base, max_entries))
        multiple = self._strategy.length_multiple
        lengths = [min(length, capacity) for length in range(multiple, capacity + multiple, multiple)]
        shapes = [(length, count) for length in lengths for count in entries]
        for shape in shapes:
            self._step(self.state, *shape)
        return shapes

    def snapshot(self) -> RowSnapshot:
        """Start to copy the rows' state to the host."""
        return RowSnapshot(self.state.rows, self._slot_owners)

    def collect(self, snapshot: RowSnapshot) -> list[FinishedRow]:
        """Free the slots whose rows had finished in a snapshot, and return their results.

        A slot that was freed and taken by another request since the snapshot is left alone.
        """
        states = snapshot.states()
        finished = [
            slot
            for slot, owner in snapshot.slot_owners.items()
            if not states[slot].running and self._slot_owners.get(slot) == owner
        ]
        return [self._finish(slot, states[slot]) for slot in finished]

    def frames_ready(self, slot: int, snapshot: RowSnapshot) -> int:
        """Return how many frames of a row were complete in a snapshot."""
        state, delay = snapshot.states()[slot], self.state.weights.num_codebooks - 1
        return max(0, min(state.steps - delay, state.num_frames))

    def codes(self, slot: int, frames: int) -> Tensor:
        """Return a copy of the codes `[K, frames]` of a row's first frames."""
        steps = frames + self.state.weights.num_codebooks - 1
        return undelay(self.state.rows.history[slot, :, :steps], frames)

    def clear(self) -> None:
        """Free all slots and drop what they were doing."""
        self.state.rows.running.zero_()
        for slot in list(self.positions):
            self._free(slot)

    def _fill_entry(self, slot: int, request: Request) -> int:
        """Return the cross-attention entry of a request, written if it is new."""
        weights, cross = self.state.weights, self.state.cross
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
        """Number of entries that a step reads: a power of the base, so that there are few shapes."""
        entries = 1
        while entries < self._entries.num_used:
            entries *= self._strategy.entries_base
        return min(entries, self.state.cross.num_entries)

    def _finish(self, slot: int, state: RowState) -> FinishedRow:
        codes = self.codes(slot, state.num_frames) if not state.invalid else torch.zeros(0, 0)
        self._free(slot)
        return FinishedRow(slot, codes, state.end_step < state.limit, bool(state.invalid))

    def _free(self, slot: int) -> None:
        del self.positions[slot], self._slot_owners[slot]
        if self.state.weights.prompt_is_prepended:
            self._entries.release(self._entry_of.pop(slot))
            self.state.rows.entries[slot] = 0  # idle rows are computed as well: their entry must be among those read
