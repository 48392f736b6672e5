"""The schema of `checks`: when a take is rejected, and how often an utterance is tried."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipeline.config.checks import require
from pipeline.registry import Registry

# Its type is `Registry[Check]`: see `pipeline.quality.check`, which this package may not import.
CHECKS: Registry[Any] = Registry("parler_pipeline.checks", {"signal": "pipeline.quality.signal:SIGNAL"})


@dataclass
class ChecksConfig:
    """When a take is rejected, and how often an utterance is tried."""

    takes: int = 3  # attempts for an utterance before it is rejected
    silence_dbfs: float = -60.0  # a clip whose loudest 50 ms stay below this is silent
    clipped_fraction: float = 0.02  # share of samples at full scale
    length_ratio: float = 2.5  # how far from the predicted length, in either direction; 0: off
    accept_last_take: bool = False  # true: write the last take with its flaw in `finish` and `flaws`, do not reject
    extra: list[str] = field(default_factory=list)  # names of installed checks that look at every clip as well

    def __post_init__(self) -> None:
        require(self.takes >= 1, "checks.takes", self.takes, "give at least 1")
        require(0 < self.clipped_fraction <= 1, "checks.clipped_fraction", self.clipped_fraction, "give a share of 1")
        require(
            self.length_ratio == 0 or self.length_ratio > 1,
            "checks.length_ratio",
            self.length_ratio,
            "give 0 (off) or more than 1",
        )
        for name in self.extra:
            extras = [each for each in CHECKS.names() if each not in CHECKS.builtin_names()]
            advice = f"{name} is not installed; there are: {', '.join(extras) or 'none'}"
            require(name in extras, "checks.extra", self.extra, advice)
