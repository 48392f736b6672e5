"""What can be wrong with a take, and how it is written in reject reasons and in the column `flaws`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum

from pipeline.types import Flaw

__all__ = ["Flaw", "FlawCode", "is_writable", "join_flaws", "reason_codes"]


class FlawCode(str, Enum):
    """Codes of the signal check. Other checks have codes of their own; all are lower-case words joined by hyphens."""

    EMPTY = "empty"  # no samples
    NON_FINITE = "non-finite"  # samples that are not a number
    LIMIT = "limit"  # still speaking at the limit of frames
    SILENT = "silent"
    CLIPPED = "clipped"
    LENGTH = "length"  # far from the predicted length


_UNWRITABLE = (FlawCode.EMPTY.value, FlawCode.NON_FINITE.value)
_CODE = re.compile(r"([a-z-]+): ")


def join_flaws(flaws: Sequence[Flaw]) -> str:
    """Return the text that is stored: the reason of a reject, or the column `flaws`."""
    return "; ".join(map(str, flaws))


def reason_codes(reason: str) -> list[str]:
    """Return the codes in a stored text, one for each flaw.

    A detail may hold "; " itself, followed by advice or by the error of a library and not by a code.
    """
    first, *others = reason.split("; ")
    return [first.split(":")[0].strip(), *(found[1] for part in others if (found := _CODE.match(part)))]


def is_writable(flaws: Sequence[Flaw]) -> bool:
    """Return whether a clip with these flaws has audio that can be written."""
    return not any(flaw.code in _UNWRITABLE for flaw in flaws)
