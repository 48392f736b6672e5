"""The schema of what a command prints, and of what it checks before it starts. None of it changes a clip.

`config.Config` inherits these keys, so that they are typed without a group: `json=true`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipeline.config.checks import require
from pipeline.registry import Registry

# Its type is `Registry[Deliverable]`: see `pipeline.outputs.deliverable`, which this package may not import.
DELIVERABLES: Registry[Any] = Registry(
    "parler_pipeline.deliverables",
    {
        "card": "pipeline.outputs.dataset.deliverable:CARD",
        "audiobook": "pipeline.outputs.audiobook.deliverable:AUDIOBOOK",
    },
)


@dataclass
class OutputConfig:
    """Keys about the output of a command; all may change from call to call of the same run."""

    json: bool = False  # of dry_run=true, task=status and task=verify: print one JSON object, see docs/dry_run.md
    verbose: bool = False  # of dry_run=true: also shards, shapes and padding, and every chapter
    speed: float | None = None  # of dry_run=true: seconds of audio a second, of all devices; null: from earlier runs
    price_per_hour: float | None = None  # of dry_run=true: of all machines that work on the run, in any currency
    extra_deliverables: list[str] = field(default_factory=list)  # names of installed ones that are made as well
    check_disk: bool = True  # before a run renders: refuse a disk that has less space than the run needs

    def check_output(self) -> None:
        """Raise `ConfigError` for a value that cannot be."""
        require(self.speed is None or self.speed > 0, "speed", self.speed, "give a positive number")
        for name in self.extra_deliverables:
            extras = [each for each in DELIVERABLES.names() if each not in DELIVERABLES.builtin_names()]
            advice = f"{name} is not installed; there are: {', '.join(extras) or 'none'}"
            require(name in extras, "extra_deliverables", self.extra_deliverables, advice)
        price = self.price_per_hour
        require(price is None or price >= 0, "price_per_hour", price, "give 0 or more")


OUTPUT_KEYS = frozenset(OutputConfig.__dataclass_fields__)
