"""Names and types of the input columns that are kept in the dataset.

Types are inferred from all values of the input during planning, so that they are the same in every shard. A type is the
name of a scalar ("bool", "int64", "float64", "string"), {"list": type} or {"struct": {name: type}}. Values without a
common type (1 and "one"), and mappings that are too large or too deep, are stored as strings: strings unchanged, other
values as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pipeline.errors import SourceError

Type = Any  # str, or a dictionary with a single key, "list" or "struct"

NO_COLUMNS: Mapping[str, Type] = {}
_TEXT = "string"  # also for mixed values
_UNKNOWN = "null"  # only empty values so far
_MIXED = "mixed"
_NUMBERS = ("int64", "float64")
_MAX_COLUMNS = 1000
_MAX_FIELDS = 200
_MAX_DEPTH = 8
_PREFIX = "source_"


def dataset_name(name: str, taken: frozenset[str]) -> str:
    """Return the name of an input column in the dataset: unchanged, or source_<name> if the name is in `taken`.

    Different names remain different: if `duration` is taken, an input column `source_duration` also gets the prefix.
    """
    base = name
    while base.startswith(_PREFIX):
        base = base.removeprefix(_PREFIX)
    if base in taken:
        return _PREFIX * (2 if _PREFIX + base in taken else 1) + name
    return _PREFIX + name if name != base and _PREFIX + base in taken else name


class TypeFinder:
    """Infers the types of columns from rows."""

    def __init__(self) -> None:
        self._types: dict[str, Type] = {}

    def add(self, values: Mapping[str, Any]) -> None:
        """Update the types with the values of a row.

        Raises:
            SourceError: There are too many columns.
        """
        for name, value in values.items():
            self._types[name] = _merge(self._types.get(name, _UNKNOWN), _type_of(value, 0))
        if len(self._types) > _MAX_COLUMNS:
            raise SourceError(
                f"the rows have more than {_MAX_COLUMNS} different columns; list those to keep in source.keep_columns"
            )

    def types(self) -> dict[str, Type]:
        """Return the type of each column, in the order of their first occurrence."""
        return {name: _final(found) for name, found in self._types.items()}


def arrow_type(column: Type) -> pa.DataType:
    """Return the Arrow type of a column."""
    if isinstance(column, str):
        return {"bool": pa.bool_(), "int64": pa.int64(), "float64": pa.float64(), "string": pa.string()}[column]
    if "list" in column:
        return pa.list_(arrow_type(column["list"]))
    return pa.struct([(name, arrow_type(inner)) for name, inner in column["struct"].items()])


def leaf_paths(name: str, column: Type) -> list[str]:
    """Return the Parquet paths of the leaves of a column."""
    if isinstance(column, str):
        return [name]
    if "list" in column:
        return leaf_paths(f"{name}.list.element", column["list"])
    return [path for key, inner in column["struct"].items() for path in leaf_paths(f"{name}.{key}", inner)]


def feature(column: Type) -> Any:
    """Return the `datasets` feature for Parquet metadata, in the form that all versions of `datasets` read."""
    if isinstance(column, str):
        return {"dtype": column, "_type": "Value"}
    if "list" in column:
        inner = feature(column["list"])
        return [inner] if "struct" in column["list"] else {"feature": inner, "_type": "Sequence"}
    return {name: feature(inner) for name, inner in column["struct"].items()}


def card_entry(column: Type) -> dict[str, Any]:
    """Return the `datasets` feature for the YAML of a dataset card, without its name."""
    if isinstance(column, str):
        return {"dtype": column}
    if "list" in column:
        inner = card_entry(column["list"])
        if "struct" in column["list"]:
            return {"list": inner["struct"]}
        return {"sequence": inner.get("dtype", inner)}
    return {"struct": [{"name": name, **card_entry(inner)} for name, inner in column["struct"].items()]}


def fit(value: Any, column: Type) -> Any:
    """Convert a value to the type of its column."""
    if value is None:
        return None
    if isinstance(column, dict) and "list" in column:
        return [fit(each, column["list"]) for each in value]
    if isinstance(column, dict):
        return {name: fit(value.get(name), inner) for name, inner in column["struct"].items()}
    if column == _TEXT and not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return float(value) if column == "float64" else value


def _type_of(value: Any, depth: int) -> Type:
    if value is None:
        return _UNKNOWN
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int64" if -(2**63) <= value < 2**63 else _MIXED
    if isinstance(value, float):
        return "float64"
    if isinstance(value, str):
        return _TEXT
    if depth == _MAX_DEPTH:
        return _MIXED
    if isinstance(value, list):
        inner: Type = _UNKNOWN
        for each in value:
            inner = _merge(inner, _type_of(each, depth + 1))
        return {"list": inner}
    if len(value) > _MAX_FIELDS:
        return _MIXED
    return {"struct": {str(name): _type_of(each, depth + 1) for name, each in value.items()}}


def _merge(one: Type, other: Type) -> Type:
    if one == other or other == _UNKNOWN:
        return one
    if one == _UNKNOWN:
        return other
    if one in _NUMBERS and other in _NUMBERS:
        return "float64"
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        if "list" in one:
            return {"list": _merge(one["list"], other["list"])}
        names = dict.fromkeys([*one["struct"], *other["struct"]])
        if len(names) <= _MAX_FIELDS:
            pairs = ((one["struct"].get(name, _UNKNOWN), other["struct"].get(name, _UNKNOWN)) for name in names)
            return {"struct": dict(zip(names, (_merge(*pair) for pair in pairs), strict=True))}
    return _MIXED


def _final(found: Type) -> Type:
    """Replace types that Parquet cannot store (unknown, mixed, empty mapping) by string."""
    if isinstance(found, str):
        return _TEXT if found in (_UNKNOWN, _MIXED) else found
    if "list" in found:
        return {"list": _final(found["list"])}
    return {"struct": {name: _final(each) for name, each in found["struct"].items()}} if found["struct"] else _TEXT
