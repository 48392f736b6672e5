"""Distribute the shards of a run to workers, and supervise the workers.

An executor starts workers: `inline` in this process, `local` in a process for each device, `ray` on a cluster. Each
worker claims work items, generates their clips and reports messages. The coordinator dispatches the messages to the
supervisor, which makes all decisions. `execute` generates what is missing in a run.
"""

from pipeline.execution.executor import EXECUTORS, Executor, check_executor, execute
from pipeline.execution.messages import WorkItem
from pipeline.execution.supervisor import Workload
from pipeline.execution.worker import RunContext

__all__ = ["EXECUTORS", "Executor", "RunContext", "WorkItem", "Workload", "check_executor", "execute"]
