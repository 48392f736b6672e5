"""What a finished run is turned into, and the registry of it: the card of the dataset, the audiobook.

Those of this package are made where they apply. Another distribution adds one under the entry points
`parler_pipeline.deliverables`, a program with `DELIVERABLES.add`; `extra_deliverables=[name]` makes a run produce it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pipeline.config import Config
from pipeline.config.schema_output import DELIVERABLES as _DELIVERABLES
from pipeline.errors import ConfigError
from pipeline.planning.plan_store import PlanHead
from pipeline.registry import Registry
from pipeline.types import ModelInfo

__all__ = ["DELIVERABLES", "Deliverable", "FinishedRun", "chosen_deliverables"]


@dataclass(frozen=True)
class FinishedRun:
    """A run whose shards are all finished.

    `outputs.dataset.shards.iter_clips` and `outputs.audiobook.from_run.book_clips` read its clips,
    `planning.plan_store.read_shard_plan` what was planned.
    """

    directory: Path
    config: Config  # the frozen one
    head: PlanHead
    model: ModelInfo  # that made the clips
    narrator: str = ""  # the speakers that the voice settings name; "": not known
    warn: Callable[[str], object] = print  # called with each warning
    is_whole: bool = True  # False: a verification found damage in clips or plan, so that they prove nothing


class Deliverable(Protocol):
    """Something that is made of the clips of a run, in its directory.

    Attributes:
        paths: Beginnings of the names of its files, relative to the directory of the run: ("book/",).
    """

    @property
    def paths(self) -> tuple[str, ...]:
        """See above."""
        ...

    def applies(self, config: Config) -> bool:
        """Return whether it can be made of a run with this config."""
        ...

    def make(self, run: FinishedRun) -> Mapping[str, Any]:
        """Make it, in place of one that is there. A kill must not leave half of it: see `storage.atomic`.

        Returns:
            Figures for `report.json`; plain JSON values.

        Raises:
            PipelineError: The user has to change something.
        """
        ...

    def problems(self, run: FinishedRun) -> Iterator[str]:
        """Yield what is wrong with what was made: lines that begin with the name of a file.

        `task=verify` has compared all files with the checksums of the run before; both may have been altered.
        """
        ...


DELIVERABLES: Registry[Deliverable] = _DELIVERABLES  # the schema holds it, which checks the names


def chosen_deliverables(config: Config) -> dict[str, Deliverable]:
    """Return the deliverables of a run by name, in the order in which they are made.

    Raises:
        ConfigError: One was asked for that does not apply.
    """
    chosen = {}
    for name in DELIVERABLES.builtin_names():
        if (deliverable := DELIVERABLES.get(name)).applies(config):
            chosen[name] = deliverable
    for name in config.extra_deliverables:
        deliverable = DELIVERABLES.get(name)
        if not deliverable.applies(config):
            raise ConfigError(f"extra_deliverables: {name} cannot be made of task={config.task.name}; leave it out")
        chosen[name] = deliverable
    return chosen
