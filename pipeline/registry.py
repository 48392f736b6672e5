"""Registries of extension points: the entries of this package, and those that other distributions add.

An entry is named like an entry point, "package.module:attribute", and imported when it is first asked for, so that a
command imports only what it uses. A distribution adds one under `[project.entry-points."<group>"]` of its
`pyproject.toml`; a program adds one with `Registry.add`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar, cast

from pipeline.errors import ConfigError, nearest_first

T = TypeVar("T")


class Registry(Generic[T]):
    """Implementations of one protocol by name.

    Args:
        group: Group of the entry points that other distributions declare, e.g. "parler_pipeline.readers".
        builtin: The entries of this package: name to "package.module:attribute".
    """

    def __init__(self, group: str, builtin: Mapping[str, str]) -> None:
        self.group = group
        self._builtin = builtin
        self._loaded: dict[str, T] = {}

    def add(self, name: str, implementation: T) -> None:
        """Add an implementation, in place of one of the same name."""
        self._loaded[name] = implementation

    def remove(self, name: str) -> None:
        """Undo `add`."""
        del self._loaded[name]

    def refresh(self) -> None:
        """Look for installed distributions again, for example after one was installed into a running program."""
        installed = self.__dict__.pop("_installed", {})
        for name in installed:
            self._loaded.pop(name, None)

    def __contains__(self, name: object) -> bool:
        """Return whether there is an implementation with a name, without importing it."""
        return name in self._loaded or name in self._builtin or name in self._installed

    def names(self) -> list[str]:
        """Return all names: those of this package first, in their order, then the others by alphabet."""
        others = {*self._installed, *self._loaded} - self._builtin.keys()
        return [*self._builtin, *sorted(others)]

    def builtin_names(self) -> list[str]:
        """Return the names of this package's own entries."""
        return [*self._builtin]

    def get(self, name: str) -> T:
        """Return the implementation with a name.

        Raises:
            ConfigError: There is none, or it cannot be imported.
        """
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    @cached_property
    def _installed(self) -> Mapping[str, EntryPoint]:
        found: dict[str, EntryPoint] = {}
        for point in entry_points(group=self.group):
            if (other := found.get(point.name)) or point.name in self._builtin:
                owner = "this package" if other is None else _distribution(other)
                raise ConfigError(
                    f"{_distribution(point)}: its entry point {point.name} of {self.group} is taken by {owner}; "
                    "uninstall one of the two"
                )
            found[point.name] = point
        return found

    def _load(self, name: str) -> T:
        if name in self._builtin:
            return cast(T, EntryPoint(name, self._builtin[name], self.group).load())
        if name not in self._installed:
            known = nearest_first(name, self.names())
            raise ConfigError(f"{name}: there is no such entry of {self.group}; there are {', '.join(known)}")
        point = self._installed[name]
        try:
            return cast(T, point.load())
        except Exception as error:  # code of others: whatever it raises, the user is told whose it is
            raise ConfigError(
                f"{_distribution(point)}: its entry point {name} of {self.group} cannot be imported "
                f"({type(error).__name__}: {error}); mend or uninstall it"
            ) from error


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value
