"""Which worker generates which shard.

An executor starts workers: `inline` in this process, `local` in a process for each device, `ray` on a cluster. Each
worker claims work items, generates them and reports messages. The coordinator dispatches the messages to the
supervisor, which makes all decisions. `execute` runs all of it.
"""

from pipeline.execution.executor import EXECUTORS, Executor, check_executor, execute
from pipeline.execution.messages import WorkItem
from pipeline.execution.supervisor import Workload
from pipeline.execution.worker import RunContext

__all__ = ["EXECUTORS", "Executor", "RunContext", "WorkItem", "Workload", "check_executor", "execute"]
