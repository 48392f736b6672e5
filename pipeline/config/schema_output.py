"""Schema of the keys about the output of a command. None of them changes a clip.

`Config` inherits them, so they are given without a group: `json=true`.
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
    """Keys about the output of a command; all may change when a run is resumed."""

    json: bool = False  # dry_run=true, task=status, task=verify: print one JSON object (docs/dry_run.md)
    verbose: bool = False  # dry_run=true: also print shards, shapes, padding and every chapter
    speed: float | None = None  # dry_run=true: seconds of audio per second, of all devices; null: from earlier runs
    price_per_hour: float | None = None  # dry_run=true: of all machines together, in any currency
    extra_deliverables: list[str] = field(default_factory=list)  # names of installed deliverables to make as well
    check_disk: bool = True  # refuse to start if the disk has less free space than the run needs

    def check_output(self) -> None:
        """Raise `ConfigError` for a value that is not allowed."""
        require(self.speed is None or self.speed > 0, "speed", self.speed, "give a positive number")
        for name in self.extra_deliverables:
            extras = [each for each in DELIVERABLES.names() if each not in DELIVERABLES.builtin_names()]
            advice = f"{name} is not installed; there are: {', '.join(extras) or 'none'}"
            require(name in extras, "extra_deliverables", self.extra_deliverables, advice)
        price = self.price_per_hour
        require(price is None or price >= 0, "price_per_hour", price, "give 0 or more")


OUTPUT_KEYS = frozenset(OutputConfig.__dataclass_fields__)
