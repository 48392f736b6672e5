"""The scheduler: which request gets which slot, and when. No model, no tensors.

While more requests may come, they are served in order of arrival, so that none waits forever and shards are finished in
about the order in which they were started. When all have come, the longest predicted ones go first, so that the last to
finish are short and few slots are idle at the end. Priority requests go before all others.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import Generic, TypeVar

Item = TypeVar("Item")
_SPARE_FACTOR = 1.25  # predicted lengths are off by about a fifth


@dataclass(frozen=True)
class _Queued(Generic[Item]):
    number: int  # in order of arrival
    predicted_length: float  # in any unit: only compared
    priority: bool
    item: Item


class Scheduler(Generic[Item]):
    """Assigns items to slots. Each item is admitted once and released once, unless `restart` puts it back."""

    def __init__(self, slots: int) -> None:
        self._free = list(range(slots))
        self._waiting: list[tuple[bool, float, int, _Queued[Item]]] = []  # a heap of `_sort_key`
        self._running: dict[int, _Queued[Item]] = {}
        self._num_added = 0
        self._has_all = False

    @property
    def num_running(self) -> int:
        """Occupied slots."""
        return len(self._running)

    @property
    def num_waiting(self) -> int:
        """Items without a slot."""
        return len(self._waiting)

    @property
    def useful_slots(self) -> int:
        """Slots for the waiting items; with more, some would be idle while the longest item is running.

        One for each item while more may come; otherwise a few more than the predicted lengths ask for.
        """
        lengths = [queued.predicted_length for *_, queued in self._waiting]
        longest = max(lengths, default=0.0)
        if not self._has_all or not longest:
            return self.num_waiting
        return min(self.num_waiting, ceil(_SPARE_FACTOR * sum(lengths) / longest))

    @property
    def is_idle(self) -> bool:
        """Return whether no item is waiting or running."""
        return not self._waiting and not self._running

    def add(self, item: Item, predicted_length: float, *, priority: bool = False) -> None:
        """Queue an item."""
        queued = _Queued(self._num_added, predicted_length, priority, item)
        self._num_added += 1
        heapq.heappush(self._waiting, self._sort_key(queued))

    def set_all_added(self) -> None:
        """Serve the longest items first from now on: no more come, except those that depend on results."""
        if self._has_all:
            return
        self._has_all = True
        self._requeue(queued for *_, queued in self._waiting)

    def admit(self) -> list[tuple[int, Item]]:
        """Fill the free slots, lowest first, and return the slots with their items."""
        admitted = []
        while self._free and self._waiting:
            slot, (*_, queued) = heapq.heappop(self._free), heapq.heappop(self._waiting)
            self._running[slot] = queued
            admitted.append((slot, queued.item))
        return admitted

    def release(self, slot: int) -> Item:
        """Free the slot of a finished item, and return the item."""
        heapq.heappush(self._free, slot)
        return self._running.pop(slot).item

    def restart(self, slots: int) -> None:
        """Put all running items back into the queue, and change the number of slots."""
        self._requeue([*(queued for *_, queued in self._waiting), *self._running.values()])
        self._running.clear()
        self._free = list(range(slots))

    def _requeue(self, all_queued: Iterable[_Queued[Item]]) -> None:
        self._waiting = [self._sort_key(queued) for queued in all_queued]
        heapq.heapify(self._waiting)

    def _sort_key(self, queued: _Queued[Item]) -> tuple[bool, float, int, _Queued[Item]]:
        length = -queued.predicted_length if self._has_all else 0.0
        return (not queued.priority, length, queued.number, queued)  # numbers are unique: items are never compared
