"""Codes of flaws, and their text form in reject reasons and in the column `flaws`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum

from pipeline.types import Flaw

__all__ = ["Flaw", "FlawCode", "is_writable", "join_flaws", "reason_codes"]


class FlawCode(str, Enum):
    """Codes of the signal check. Other checks have codes of their own; all are lower-case words joined by hyphens."""

    EMPTY = "empty"  # no samples
    NON_FINITE = "non-finite"  # samples that are NaN or infinite
    LIMIT = "limit"  # not finished within the maximum number of frames
    SILENT = "silent"
    CLIPPED = "clipped"
    LENGTH = "length"  # far from the predicted length


_UNWRITABLE = (FlawCode.EMPTY.value, FlawCode.NON_FINITE.value)
_CODE = re.compile(r"([a-z-]+): ")


def join_flaws(flaws: Sequence[Flaw]) -> str:
    """Return flaws as text, for the reason of a reject and the column `flaws`."""
    return "; ".join(map(str, flaws))


def reason_codes(reason: str) -> list[str]:
    """Return the codes of the flaws in a text that `join_flaws` returned.

    The detail of a flaw may contain "; " too. Text after it counts as a code only if it has the form of a code.
    """
    first, *others = reason.split("; ")
    return [first.split(":")[0].strip(), *(found[1] for part in others if (found := _CODE.match(part)))]


def is_writable(flaws: Sequence[Flaw]) -> bool:
    """Return whether a clip with these flaws has audio that can be written."""
    return not any(flaw.code in _UNWRITABLE for flaw in flaws)
