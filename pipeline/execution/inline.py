"""The work in this process: the same worker and the same supervisor, one speaking directly to the other."""

from __future__ import annotations

from pipeline.execution.coordinator import Coordinator
from pipeline.execution.messages import Claim, Message, Started, WorkItem
from pipeline.execution.worker import RunContext, work


def work_inline(order: RunContext, name: str, device: str, desk: Coordinator) -> None:
    """Works until everything is done."""
    desk.supervisor.workers_to_start(0.0)
    desk.take(0, Started())
    work(order, name, device, InlineChannel(desk))


class InlineChannel:
    """A worker's port where its supervisor is at hand."""

    def __init__(self, desk: Coordinator) -> None:
        self._desk = desk

    def claim(self, claim: Claim) -> WorkItem | None:
        self.report(claim)
        ((_, task),) = self._desk.supervisor.answers()
        return task

    def report(self, message: Message) -> None:
        self._desk.take(0, message)
