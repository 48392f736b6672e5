"""Deliverable protocol and registry: outputs that are made from a finished run.

The deliverables of this package (dataset card, audiobook) are made for every run to which they apply. Another
distribution registers one with an entry point in the group `parler_pipeline.deliverables`, a program with
`DELIVERABLES.add`. A run makes it if `extra_deliverables` contains its name.
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

    Read its clips with `outputs.dataset.shards.iter_clips` or `outputs.audiobook.from_run.book_clips`, and its plan
    with `planning.plan_store.read_shard_plan`.
    """

    directory: Path
    config: Config  # the frozen one
    head: PlanHead
    model: ModelInfo  # that generated the clips
    narrator: str = ""  # speaker names of the voice settings; "": unknown
    warn: Callable[[str], object] = print  # called with each warning
    is_whole: bool = True  # False: verification found damage in the clips or the plan


class Deliverable(Protocol):
    """Files that are made from the clips of a run and written to its directory.

    Attributes:
        paths: Prefixes of the file names, relative to the directory of the run, for example ("book/",).
    """

    @property
    def paths(self) -> tuple[str, ...]:
        """Prefixes of the file names; see the attributes of the class."""
        ...

    def applies(self, config: Config) -> bool:
        """Return whether a run with this config can have this deliverable."""
        ...

    def make(self, run: FinishedRun) -> Mapping[str, Any]:
        """Write the files and replace those of an earlier call. Write atomically, see `storage.atomic`.

        Returns:
            Figures for `report.json`, as JSON values.

        Raises:
            PipelineError: The files cannot be made; the message says what the user has to change.
        """
        ...

    def problems(self, run: FinishedRun) -> Iterator[str]:
        """Yield a line for each problem of the files; each line begins with the name of the file.

        `task=verify` calls it after it has compared all files with `SHA256SUMS`. Both may have been modified.
        """
        ...


DELIVERABLES: Registry[Deliverable] = _DELIVERABLES  # created in the schema, which validates the names


def chosen_deliverables(config: Config) -> dict[str, Deliverable]:
    """Return the deliverables of a run by name, in the order to make them.

    Raises:
        ConfigError: A name in `extra_deliverables` does not apply to the task.
    """
    chosen = {}
    for name in DELIVERABLES.builtin_names():
        if (deliverable := DELIVERABLES.get(name)).applies(config):
            chosen[name] = deliverable
    for name in config.extra_deliverables:
        deliverable = DELIVERABLES.get(name)
        if not deliverable.applies(config):
            raise ConfigError(
                f"extra_deliverables: {name} does not support task={config.task.name}; remove it from the list"
            )
        chosen[name] = deliverable
    return chosen
