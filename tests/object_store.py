"""An object store on this machine, as strict as a real one: whole objects, no folders, no renaming, no adding."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from fsspec import AbstractFileSystem
from fsspec.registry import _registry


class _Upload(io.BytesIO):
    """Becomes an object when it is closed."""

    def __init__(self, store: type[StrictStore], path: str) -> None:
        super().__init__()
        self._place = (store, path)

    def close(self) -> None:
        if not self.closed:
            store, path = self._place
            store.objects[path] = self.getvalue()
            store.puts.append(path)
        super().close()


class StrictStore(AbstractFileSystem):  # type: ignore[misc]
    """Stands in for `s3://`: its keys and answers are those of `s3fs`, as far as this project asks."""

    protocol = ("s3", "s3a")
    cachable = False
    objects: dict[str, bytes] = {}  # noqa: RUF012
    puts: list[str] = []  # noqa: RUF012

    def _open(self, path: str, mode: str = "rb", **_: Any) -> io.BytesIO:
        assert mode in ("rb", "wb"), "an object store neither adds to an object nor changes one"
        if mode == "wb":
            return _Upload(type(self), path)
        if path not in self.objects:
            raise FileNotFoundError(path)
        return io.BytesIO(self.objects[path])

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        path = self._strip_protocol(path).rstrip("/")
        found = {}
        for key, content in self.objects.items():
            if key.startswith(path + "/"):
                name = f"{path}/{key[len(path) + 1 :].split('/')[0]}"
                is_file = name == key
                found[name] = {
                    "name": name,
                    "size": len(content) if is_file else 0,
                    "type": "file" if is_file else "directory",
                }
        if path in self.objects:
            found[path] = {"name": path, "size": len(self.objects[path]), "type": "file"}
        if not found:
            raise FileNotFoundError(path)
        return list(found.values()) if detail else list(found)

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        self.objects[self._strip_protocol(path2)] = self.objects[self._strip_protocol(path1)]

    def _rm(self, path: str) -> None:
        self.objects.pop(self._strip_protocol(path), None)  # a folder is none: it goes with its last object

    def mv(self, *_: Any, **__: Any) -> None:
        raise AssertionError("an object store cannot rename")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[StrictStore]]:
    """An empty one, behind `s3://`."""
    monkeypatch.setitem(_registry, "s3", StrictStore)
    StrictStore.objects.clear()
    StrictStore.puts.clear()
    yield StrictStore
    StrictStore.objects.clear()
