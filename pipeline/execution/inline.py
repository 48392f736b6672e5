"""The work in this process: the same worker and the same supervisor, one speaking directly to the other."""

from __future__ import annotations

from pipeline.execution.coordinator import Desk
from pipeline.execution.messages import Claim, Message, Started, Task
from pipeline.execution.worker import Order, work


def work_inline(order: Order, name: str, device: str, desk: Desk) -> None:
    """Works until everything is done."""
    desk.supervisor.due(0.0)
    desk.take(0, Started())
    work(order, name, device, _Desktop(desk))


class _Desktop:
    """A worker's port where its supervisor is at hand."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def claim(self, claim: Claim) -> Task | None:
        self.report(claim)
        ((_, task),) = self._desk.supervisor.answers()
        return task

    def report(self, message: Message) -> None:
        self._desk.take(0, message)
