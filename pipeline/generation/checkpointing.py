"""Checkpoints of shards that are not complete yet, so that a kill costs about 30 s of work and not a whole shard.

They lie under `.kept/` in the run directory: for each open shard a folder with `data/` and `manifests/` like those of a
run, in which the clips of each 30 s are a file. The next call finds the clips by their keys, like those of an earlier
plan. A shard that is complete sooner has no checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from pipeline.outputs.dataset.columns import Row
from pipeline.outputs.dataset.shards import ShardInfo, list_manifests, write_shard
from pipeline.planning.kept_columns import NO_COLUMNS, Type
from pipeline.storage.paths import remove_folder
from pipeline.storage.run_directory import RunDirectory

CHECKPOINT_SECONDS = 30.0  # between the first clip that is not saved and its checkpoint


def delete_checkpoints(run_dir: Path) -> None:
    """Delete the checkpoints of all shards, once every shard is written."""
    remove_folder(RunDirectory(run_dir).all_checkpoints)


class ClipCheckpointer:
    """Writes the checkpoints of one worker."""

    def __init__(
        self, run_dir: Path, sampling_rate: int, fingerprint: str, kept_columns: Mapping[str, Type] = NO_COLUMNS
    ) -> None:
        """Write nothing yet; see `write_shard` for the arguments."""
        self._run_dir = run_dir
        self._sampling_rate = sampling_rate
        self._fingerprint = fingerprint
        self._kept_columns = kept_columns
        self._unsaved: dict[int, tuple[float, list[Row]]] = {}  # by shard: time of the first clip, and all clips

    def add(self, shard: int, row: Row) -> None:
        """Add a clip; write the unsaved clips of its shard if the first of them is old enough."""
        first_time, rows = self._unsaved.setdefault(shard, (time.monotonic(), []))
        rows.append(row)
        if time.monotonic() - first_time < CHECKPOINT_SECONDS:
            return
        folder = RunDirectory(self._run_dir).checkpoints(shard)
        number = len(list_manifests(folder))
        info = ShardInfo(
            number,
            number + 1,
            self._sampling_rate,
            self._fingerprint,
            plan_hash="",  # the clips are found by their keys, also when the plan has changed
            kept_columns=self._kept_columns,
        )
        write_shard(folder, info, rows, ())
        del self._unsaved[shard]

    def discard(self, shard: int, is_whole: bool) -> None:
        """Discard the unsaved clips of a shard, now that they are written elsewhere.

        Args:
            shard: Its index.
            is_whole: Whether the whole shard is written, so that its checkpoints can be deleted as well.
        """
        self._unsaved.pop(shard, None)
        if is_whole:
            remove_folder(RunDirectory(self._run_dir).checkpoints(shard))
