"""The schema of `checks`: when a take is rejected, and how often an utterance is tried."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipeline.config.checks import require
from pipeline.registry import Registry

# Its type is `Registry[Check]`: see `pipeline.quality.check`, which this package may not import.
CHECKS: Registry[Any] = Registry(
    "parler_pipeline.checks",
    {
        "signal": "pipeline.quality.signal:SIGNAL",
        "transcript": "pipeline.quality.transcript.inspector:TRANSCRIPT",
    },
)


@dataclass
class ChecksConfig:
    """Checks of each clip. A clip that fails is generated again with another seed (a take)."""

    takes: int = 6  # attempts before an utterance is rejected; with another model than the bundled one: 3
    silence_dbfs: float = -60.0  # a clip is silent if its loudest 50 ms are below this
    clipped_fraction: float = 0.02  # maximum share of samples at full scale
    length_ratio: float = 2.5  # maximum ratio of actual and predicted length, in either direction; 0: off
    accept_last_take: bool = False  # write the last take, with its flaws in the columns finish and flaws, not reject it
    extra: list[str] = field(default_factory=list)  # names of installed checks to run as well

    def __post_init__(self) -> None:
        require(self.takes >= 1, "checks.takes", self.takes, "give at least 1")
        is_share = 0 < self.clipped_fraction <= 1
        require(is_share, "checks.clipped_fraction", self.clipped_fraction, "give a number above 0 and at most 1")
        is_ratio = self.length_ratio == 0 or self.length_ratio > 1
        require(is_ratio, "checks.length_ratio", self.length_ratio, "give 0 (off) or more than 1")
        for name in self.extra:
            extras = [each for each in CHECKS.names() if each not in CHECKS.builtin_names()]
            advice = f"{name} is not installed; there are: {', '.join(extras) or 'none'}"
            require(name in extras, "checks.extra", self.extra, advice)
