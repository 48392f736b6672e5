"""Checks of clips, and their registry. A check measures clips and finds flaws; a flawed take is generated again.

`signal` always runs. Another distribution adds a check under the entry points `parler_pipeline.checks`, a program with
`CHECKS.add`; `checks.extra=[name]` makes a run use it. Its columns become columns of the dataset.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipeline.config import Config
from pipeline.config.schema_checks import CHECKS as _CHECKS
from pipeline.errors import CheckError, ConfigError, PipelineError
from pipeline.quality.flaws import Flaw
from pipeline.registry import Registry
from pipeline.types import Clip, Column

__all__ = ["CHECKS", "Check", "Checker", "Finding", "Inspector", "check_columns", "enabled_checks", "refuse_checks"]


@dataclass(frozen=True)
class Finding:
    """Result of a check for one clip."""

    measures: Mapping[str, Any] = field(default_factory=dict)  # by column name
    flaws: Sequence[Flaw] = ()  # empty: the check accepts the clip
    penalty: float | None = None  # of a clip with flaws: the lowest one is kept if no take passes; None: never keep it


_CODE = re.compile(r"[a-z]+(-[a-z]+)*")
_TYPES = ("float64", "int64", "string", "bool")


class Inspector(Protocol):
    """A check with its model loaded."""

    def inspect(self, clips: Sequence[Clip]) -> Sequence[Finding]:
        """Return one finding for each clip. A finding must not depend on the other clips of the batch.

        Args:
            clips: Generated takes. Samples may be empty or not finite. `utterance.prompt` is the text to speak.
        """
        ...

    def close(self) -> None:
        """Release the memory of the model."""


class Check(Protocol):
    """A check before its model is loaded.

    Attributes:
        columns: Columns of its measures. Types: "float64", "int64", "string", "bool", or lists and structs of them,
            as in `planning.kept_columns`.
    """

    @property
    def columns(self) -> Sequence[Column]:
        """Columns that the check adds to the dataset."""
        ...

    def check(self, config: Config) -> None:
        """Refuse settings that cannot work on this machine. Called before anything is loaded or written.

        Raises:
            ConfigError: A setting is invalid, or a package or a model is missing.
        """

    def load(self, config: Config) -> Inspector:
        """Load the model of the check in this process.

        Raises:
            ConfigError: A setting is invalid, or a package is not installed.
        """
        ...


CHECKS: Registry[Check] = _CHECKS  # created in the schema, which validates the names


def enabled_checks(config: Config) -> list[str]:
    """Return the names of the checks of a run."""
    return ["signal", *(["transcript"] if config.quality.transcript.enabled else []), *config.checks.extra]


def refuse_checks(config: Config) -> None:
    """Refuse checks that cannot work on this machine.

    Raises:
        ConfigError: See `Check.check`.
    """
    for name in enabled_checks(config):
        CHECKS.get(name).check(config)


def check_columns(config: Config) -> dict[str, Column]:
    """Return the columns that the checks add to the standard columns of the dataset, by name.

    Raises:
        ConfigError: A column has an unsupported type, or its name is used twice.
    """
    found: dict[str, Column] = {}
    for check in enabled_checks(config):
        for column in CHECKS.get(check).columns:
            if column.name in found or not _is_type(column.dtype):
                raise ConfigError(
                    f"checks.extra: {check} cannot add the column {column.name!r} of type {column.dtype}: its name "
                    f"must be unique and its type one of {', '.join(_TYPES)}"
                )
            found[column.name] = column
    return found


def _nothing() -> None:
    """Close an inspector without `close`."""


def _penalty(flawed: Sequence[Finding]) -> float | None:
    penalties = [finding.penalty for finding in flawed if finding.penalty is not None]
    return sum(penalties) if len(penalties) == len(flawed) else None


def _is_type(dtype: object) -> bool:
    """Return whether `planning.kept_columns` knows a type."""
    if isinstance(dtype, Mapping) and len(dtype) == 1:
        ((kind, inner),) = dtype.items()
        if kind == "struct":
            return isinstance(inner, Mapping) and all(map(_is_type, inner.values()))
        return kind == "list" and _is_type(inner)
    return dtype in _TYPES


class Checker:
    """All checks of a run, loaded.

    Attributes:
        is_fast: The signal check is the only one, so that clips can be checked at once.
    """

    def __init__(self, config: Config) -> None:
        """Load the checks.

        Raises:
            ConfigError: See `Check.load`.
        """
        with ExitStack() as stack:
            self._inspectors: dict[str, Inspector] = {}
            self._columns: dict[str, frozenset[str]] = {}
            names = enabled_checks(config)
            self.is_fast = names == ["signal"]
            for name in names:
                check = CHECKS.get(name)
                inspector = check.load(config)
                stack.callback(getattr(inspector, "close", _nothing))
                self._inspectors[name] = inspector
                self._columns[name] = frozenset(column.name for column in check.columns)
            self._stack = stack.pop_all()

    def inspect(self, clips: Sequence[Clip]) -> list[Finding]:
        """Return one finding for each clip, with the measures and flaws of all checks."""
        by_check = [self._inspect(name, clips) for name in self._inspectors]
        return [
            Finding(
                {name: value for finding in findings for name, value in finding.measures.items()},
                tuple(flaw for finding in findings for flaw in finding.flaws),
                _penalty([finding for finding in findings if finding.flaws]),
            )
            for findings in zip(*by_check, strict=True)
        ]

    def _inspect(self, name: str, clips: Sequence[Clip]) -> Sequence[Finding]:
        """Return the findings of one check, validated.

        Raises:
            CheckError: The check failed, or returned something else than it declares.
        """
        try:
            findings = self._inspectors[name].inspect(clips)
        except PipelineError:
            raise
        except Exception as error:
            raise CheckError(f"check {name}: failed with {type(error).__name__}: {error}") from error
        if len(findings) != len(clips):
            raise CheckError(f"check {name}: returned {len(findings)} findings for {len(clips)} clips")
        declared = self._columns[name]
        for finding in findings:
            if declared and finding.measures.keys() != declared:
                given = ", ".join(sorted(finding.measures)) or "none"
                expected = ", ".join(sorted(declared))
                raise CheckError(f"check {name}: declares the columns {expected}, but measured {given}")
            if wrong := [flaw.code for flaw in finding.flaws if not _CODE.fullmatch(flaw.code)]:
                raise CheckError(f"check {name}: the flaw code {wrong[0]!r} must be lower-case words joined by hyphens")
        return findings

    def close(self) -> None:
        """Release the memory of all checks."""
        self._stack.close()
