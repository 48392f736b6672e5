"""The family of errors that a user can act on.

Every message names the thing, says what is wrong with it and what to do. `__main__` prints the message alone, without a
traceback, and exits with `exit_code`. Anything else that is raised is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PipelineError(Exception):
    """Base of all errors that are the user's to mend."""

    exit_code = 2


class ConfigError(PipelineError):
    """A key, a value or a combination of values that cannot work."""

    def __str__(self) -> str:
        return printable(super().__str__())  # names of files and values may hold anything


class SourceError(PipelineError):
    """An input that cannot be read as text: missing, empty, binary, wrongly encoded, without the column."""

    def __str__(self) -> str:
        return printable(super().__str__())


class ModelError(PipelineError):
    """A checkpoint that cannot be found, reached or loaded."""


class NotDownloadedError(ModelError):
    """A checkpoint of the hub that is not on this machine, where nothing may be fetched."""


class RunDirectoryError(PipelineError):
    """A run directory that belongs to another config, is damaged, or cannot be written."""

    exit_code = 3


class VerificationError(PipelineError):
    """A finished run that is not what its plan says."""

    exit_code = 4


class NothingAcceptedError(PipelineError):
    """A run that came to its end without a single clip."""

    exit_code = 5


class WorkersLostError(PipelineError):
    """A run whose workers died, one after the other, until none was left."""

    exit_code = 6


def printable(text: str) -> str:
    """Return `text` on one line, with escapes for what could control a terminal or hide (ESC, line breaks, bidi)."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def nearest_first(given: str, known: Iterable[str], limit: int = 8) -> list[str]:
    """Sorts `known` by likeness to `given`, for messages of the kind "did you mean"."""
    lowered = given.lower()
    return sorted(known, key=lambda name: -difflib.SequenceMatcher(None, lowered, name.lower()).ratio())[:limit]
