"""Which utterance takes which slot, and when. Plain Python over plain numbers: no model, no tensor, no text.

The longest predicted go first, so that the last to finish are short and few slots stand idle at the end.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Job:
    """One utterance, as far as the scheduler knows it."""

    index: int
    predicted_length: float  # in any unit: only compared


@dataclass(frozen=True)
class Admission:
    """A job that takes a slot now."""

    slot: int
    job: Job


class Scheduler:
    """Deals jobs to slots. Each job is admitted once and released once, unless it is put back."""

    def __init__(self, jobs: Sequence[Job], slots: int) -> None:
        self._waiting = [(-job.predicted_length, job.index, job) for job in jobs]
        heapq.heapify(self._waiting)
        self._free = list(range(slots))
        self._running: dict[int, Job] = {}

    @property
    def running(self) -> dict[int, Job]:
        """The job of each occupied slot."""
        return dict(self._running)

    @property
    def finished(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self._waiting and not self._running

    def admit(self) -> list[Admission]:
        """Fills the free slots, lowest first, from those that wait."""
        admissions = []
        while self._free and self._waiting:
            slot = heapq.heappop(self._free)
            job = heapq.heappop(self._waiting)[2]
            self._running[slot] = job
            admissions.append(Admission(slot, job))
        return admissions

    def release(self, slot: int) -> Job:
        """Frees the slot of a job that is done, and names the job."""
        job = self._running.pop(slot)
        heapq.heappush(self._free, slot)
        return job

    def restart(self, slots: int) -> None:
        """Puts all that runs back among those that wait, and goes on with another number of slots."""
        for job in self._running.values():
            heapq.heappush(self._waiting, (-job.predicted_length, job.index, job))
        self._running.clear()
        self._free = list(range(slots))
