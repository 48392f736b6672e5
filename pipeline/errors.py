"""Errors that a user can correct.

Every message names what is wrong and what to do about it. `__main__` prints the message without a traceback and exits
with `exit_code`. Any other exception is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PipelineError(Exception):
    """Base class of all errors that a user can correct.

    Attributes:
        exit_code: Exit status of the command.
    """

    exit_code = 2


class ConfigError(PipelineError):
    """A key, a value, or a combination of values that is not allowed."""

    def __str__(self) -> str:
        return printable(super().__str__())  # names of files and values may contain control characters


class SourceError(PipelineError):
    """An input that cannot be read: missing, empty, binary, in another encoding, or without the column."""

    def __str__(self) -> str:
        return printable(super().__str__())


class ModelError(PipelineError):
    """A checkpoint that cannot be found, downloaded or loaded."""


class NotDownloadedError(ModelError):
    """A checkpoint of the hub that is not in the local cache, when downloads are not allowed."""


class CheckError(PipelineError):
    """A check of clips failed, or returned something else than it declares."""


class RunDirectoryError(PipelineError):
    """A run directory that belongs to another config, is damaged, or cannot be written."""

    exit_code = 3


class VerificationError(PipelineError):
    """A finished run that differs from its plan."""

    exit_code = 4


class NothingAcceptedError(PipelineError):
    """A run in which every utterance was rejected."""

    exit_code = 5


class WorkersLostError(PipelineError):
    """A run that ended because all of its workers had failed."""

    exit_code = 6


def printable(text: str) -> str:
    """Return `text` on one line, with escapes for characters that control a terminal (ESC, line breaks, bidi)."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def nearest_first(given: str, known: Iterable[str], limit: int = 8) -> list[str]:
    """Return the names in `known` that are most similar to `given`, best first, for "did you mean" messages."""
    lowered = given.lower()
    return sorted(known, key=lambda name: -difflib.SequenceMatcher(None, lowered, name.lower()).ratio())[:limit]
