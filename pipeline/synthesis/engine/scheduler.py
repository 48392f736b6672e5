"""Which utterance takes which slot, and when. Plain Python over plain numbers: no model, no tensor, no text.

While more jobs are to come, the first to come are the first served, so that none waits for ever and shards are finished
in about the order they were begun. Once all have come, the longest predicted go first, so that the last to finish are
short and few slots stand idle at the end. Urgent jobs go before all others.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import Generic, TypeVar

QueuedRequest = TypeVar("QueuedRequest")
_SPARE = 1.25


@dataclass(frozen=True)
class _Waiting(Generic[QueuedRequest]):
    number: int  # in order of arrival
    predicted_length: float  # in any unit: only compared
    priority: bool
    job: QueuedRequest


class Scheduler(Generic[QueuedRequest]):
    """Deals jobs to slots. Each job is admitted once and released once, unless it is put back."""

    def __init__(self, slots: int) -> None:
        self._free = list(range(slots))
        self._waiting: list[tuple[bool, float, int, _Waiting[QueuedRequest]]] = []  # a heap, by `_place`
        self._running: dict[int, _Waiting[QueuedRequest]] = {}
        self._num_added = 0
        self._all_have_come = False

    @property
    def num_running(self) -> int:
        """Slots that are occupied."""
        return len(self._running)

    @property
    def num_waiting(self) -> int:
        """Jobs without a slot."""
        return len(self._waiting)

    @property
    def useful_slots(self) -> int:
        """Slots for those that wait: with more, some would stand empty while the longest job goes on by itself.

        A few more than predictions ask for, since these are off by a fifth or so. One for each while more are to come.
        """
        lengths = [waiting.predicted_length for *_, waiting in self._waiting]
        longest = max(lengths, default=0.0)
        if not self._all_have_come or not longest:
            return self.num_waiting
        return min(self.num_waiting, ceil(_SPARE * sum(lengths) / longest))

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self._waiting and not self._running

    def add(self, job: QueuedRequest, predicted_length: float, *, priority: bool = False) -> None:
        """Takes in one more job."""
        waiting = _Waiting(self._num_added, predicted_length, priority, job)
        self._num_added += 1
        heapq.heappush(self._waiting, self._place(waiting))

    def expect_no_more(self) -> None:
        """All jobs have come, but for some that those ask for: the longest go first from now on."""
        if self._all_have_come:
            return
        self._all_have_come = True
        self._put(waiting for *_, waiting in self._waiting)

    def admit(self) -> list[tuple[int, QueuedRequest]]:
        """Fills the free slots, lowest first, from those that wait: slots and their jobs."""
        admitted = []
        while self._free and self._waiting:
            slot, (*_, waiting) = heapq.heappop(self._free), heapq.heappop(self._waiting)
            self._running[slot] = waiting
            admitted.append((slot, waiting.job))
        return admitted

    def release(self, slot: int) -> QueuedRequest:
        """Frees the slot of a job that is done, and names the job."""
        heapq.heappush(self._free, slot)
        return self._running.pop(slot).job

    def restart(self, slots: int) -> None:
        """Puts all that runs back among those that wait, and goes on with another number of slots."""
        self._put([*(waiting for *_, waiting in self._waiting), *self._running.values()])
        self._running.clear()
        self._free = list(range(slots))

    def _put(self, all_waiting: Iterable[_Waiting[QueuedRequest]]) -> None:
        self._waiting = [self._place(waiting) for waiting in all_waiting]
        heapq.heapify(self._waiting)

    def _place(self, waiting: _Waiting[QueuedRequest]) -> tuple[bool, float, int, _Waiting[QueuedRequest]]:
        """Its place in the heap; no two have the same number."""
        length = -waiting.predicted_length if self._all_have_come else 0.0
        return (not waiting.priority, length, waiting.number, waiting)
