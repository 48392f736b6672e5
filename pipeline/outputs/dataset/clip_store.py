"""Clips of earlier work, found by their keys: checkpoints, sub-shards, and shards of earlier plans."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

from pipeline.errors import RunDirectoryError
from pipeline.outputs.dataset.columns import Row
from pipeline.outputs.dataset.shards import Manifest, finished_shards, read_checked
from pipeline.storage.run_directory import RunDirectory

_log = logging.getLogger(__name__)


class ClipStore:
    """Index of earlier clips of this run by key.

    Args:
        folders: Folders with the layout of a run directory; they may be missing. The first one that has a key counts.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self._locations: dict[str, tuple[Path, Manifest]] = {}  # by key
        self._folders: set[Path] = set()  # folders with clips
        for folder in folders:
            self.add(folder)

    def add(self, folder: Path) -> None:
        """Add the clips of a folder with the layout of a run directory; it may be missing."""
        for manifest in finished_shards(folder):
            self._folders.add(folder)
            for clip in manifest.clips:
                self._locations.setdefault(clip.key, (folder, manifest))

    def discard(self, folder: Path) -> None:
        """Remove the clips of a folder that is about to be deleted."""
        if folder in self._folders:  # avoids a search of all clips for each shard
            self._folders.remove(folder)
            self._locations = {key: location for key, location in self._locations.items() if location[0] != folder}

    def __contains__(self, key: str) -> bool:
        return key in self._locations

    def __len__(self) -> int:
        return len(self._locations)

    def find(self, keys: Iterable[str]) -> dict[str, Row]:
        """Return the undamaged rows of these keys, by key. Each file is read once."""
        wanted = {key for key in keys if key in self._locations}
        files = {(folder, manifest.index): manifest for folder, manifest in map(self._locations.__getitem__, wanted)}
        found: dict[str, Row] = {}
        for (folder, _), manifest in files.items():
            found.update((row.key, row) for row in _intact_rows(folder, manifest, wanted))
        for key in wanted - found.keys():
            del self._locations[key]  # damaged, do not try it again
        return found


def _intact_rows(folder: Path, manifest: Manifest, wanted: Container[str]) -> Iterator[Row]:
    """Yield the undamaged rows of the wanted keys; log a warning for each damaged one."""
    path = RunDirectory(folder).data / manifest.file
    try:
        for row, is_intact in read_checked(folder, manifest):
            if row.key in wanted and is_intact:
                yield row
            elif row.key in wanted:
                _log.warning(
                    "warning: %s: the audio of %s has changed since it was written; it is generated again", path, row.id
                )
    except RunDirectoryError as error:
        _log.warning("warning: %s: cannot be read (%s); its clips are generated again", path, error.__cause__)
