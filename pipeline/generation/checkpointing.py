"""Clips of shards that are not complete yet, so that a kill costs half a minute of work and not a shard.

Owns `.kept/` in a run directory: for each open shard a folder with `data/` and `manifests/`, as if the clips of each
half minute were a shard of it. They are found there by their keys, as those of an earlier plan. A shard that is made in
less than that is written once, as itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from pipeline.outputs.dataset.columns import Row
from pipeline.outputs.dataset.shards import list_manifests, write_shard
from pipeline.planning.kept_columns import NO_COLUMNS, Type
from pipeline.storage.paths import remove_folder

SECONDS = 30.0
_FOLDER = ".kept"


def checkpoints_dir(run_dir: Path, shard: int) -> Path:
    """Where the clips of an open shard lie. Only who makes the shard reads or writes there."""
    return run_dir / _FOLDER / f"shard-{shard:05d}"


def delete_checkpoints(run_dir: Path) -> None:
    """Deletes them all. Called when every shard is written."""
    remove_folder(run_dir / _FOLDER)


class ClipCheckpointer:
    """Keeps the clips of one worker."""

    def __init__(
        self, run_dir: Path, sampling_rate: int, fingerprint: str, kept_columns: Mapping[str, Type] = NO_COLUMNS
    ) -> None:
        """Writes nothing yet; see `write_shard` for the arguments."""
        self._run_dir = run_dir
        self._sampling_rate = sampling_rate
        self._fingerprint = fingerprint
        self._kept_columns = kept_columns
        self._fresh: dict[int, tuple[float, list[Row]]] = {}  # by shard: clips that are not written, since when

    def add(self, shard: int, row: Row) -> None:
        """Takes in a clip; writes those of its shard when the first has waited long enough."""
        first_came, rows = self._fresh.setdefault(shard, (time.monotonic(), []))
        rows.append(row)
        if time.monotonic() - first_came < SECONDS:
            return
        folder = checkpoints_dir(self._run_dir, shard)
        number = len(list_manifests(folder))
        write_shard(
            folder,
            number,
            number + 1,
            rows,
            (),
            sampling_rate=self._sampling_rate,
            fingerprint=self._fingerprint,
            kept_columns=self._kept_columns,
            plan_hash="",  # they are found by their keys, whatever the plan is by then
        )
        del self._fresh[shard]

    def settle(self, shard: int, is_whole: bool) -> None:
        """What was in hand of a shard is on the disk; if that is all of it, nothing has to be kept."""
        self._fresh.pop(shard, None)
        if is_whole:
            remove_folder(checkpoints_dir(self._run_dir, shard))
