"""Checkpoints of unfinished shards, so that about 30 s of work is lost if the process is killed.

The folder `.kept/` in the run directory has a folder for each unfinished shard, with `data/` and `manifests/` in the
format of a run. Each file in it contains the clips of about 30 s. The next call finds the clips by their keys, in the
same way as clips of an earlier plan. A shard that is complete within 30 s has no checkpoint.
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

CHECKPOINT_SECONDS = 30.0  # maximum age of the oldest unsaved clip of a shard


def delete_checkpoints(run_dir: Path) -> None:
    """Delete the checkpoints of all shards, after all shards are written."""
    remove_folder(RunDirectory(run_dir).all_checkpoints)


class ClipCheckpointer:
    """Writes the checkpoints of one worker."""

    def __init__(
        self, run_dir: Path, sampling_rate: int, fingerprint: str, kept_columns: Mapping[str, Type] = NO_COLUMNS
    ) -> None:
        """Create a checkpointer; see `ShardInfo` for the arguments. Nothing is written."""
        self._run_dir = run_dir
        self._sampling_rate = sampling_rate
        self._fingerprint = fingerprint
        self._kept_columns = kept_columns
        self._unsaved: dict[int, tuple[float, list[Row]]] = {}  # shard -> time of its first clip, all clips

    def add(self, shard: int, row: Row) -> None:
        """Add a clip, and write the unsaved clips of its shard if the oldest has reached `CHECKPOINT_SECONDS`."""
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
            plan_hash="",  # not needed: clips are found by their keys
            kept_columns=self._kept_columns,
        )
        write_shard(folder, info, rows, ())
        del self._unsaved[shard]

    def discard(self, shard: int, is_whole: bool) -> None:
        """Discard the unsaved clips of a shard after they are written to a shard or sub-shard.

        Args:
            shard: Index of the shard.
            is_whole: The whole shard is written, so its checkpoints are deleted too.
        """
        self._unsaved.pop(shard, None)
        if is_whole:
            remove_folder(RunDirectory(self._run_dir).checkpoints(shard))
