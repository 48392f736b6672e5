"""The schema of what a command prints, and of what it checks before it starts. None of it changes a clip.

`config.Config` inherits these keys, so that they are typed without a group: `json=true`.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.config.checks import require


@dataclass
class OutputConfig:
    """Keys about the output of a command; all may change from call to call of the same run."""

    json: bool = False  # of dry_run=true, task=status and task=verify: print one JSON object, see docs/dry_run.md
    verbose: bool = False  # of dry_run=true: also shards, shapes and padding, and every chapter
    speed: float | None = None  # of dry_run=true: seconds of audio a second, of all devices; null: from earlier runs
    price_per_hour: float | None = None  # of dry_run=true: of all machines that work on the run, in any currency
    check_disk: bool = True  # before a run renders: refuse a disk that has less space than the run needs

    def check_output(self) -> None:
        """Raise `ConfigError` for a value that cannot be."""
        for key in ("speed", "price_per_hour"):
            value = getattr(self, key)
            require(value is None or value > 0, key, value, "give a positive number")


OUTPUT_KEYS = frozenset(OutputConfig.__dataclass_fields__)
