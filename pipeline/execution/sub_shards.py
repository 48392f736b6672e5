"""Sub-shards: parts of a shard that are written separately and merged when all are complete.

A shard is split when one of its utterances crashes workers, and when its rejects are retried. The sub-shards of a shard
are in a folder under `.pieces/` in the run directory, with the layout of a run (`data/`, `manifests/`). After a killed
run their clips are reused by their keys, like clips of an earlier plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import RunDirectoryError
from pipeline.execution.supervisor import SplitShard
from pipeline.outputs.dataset.columns import Row
from pipeline.outputs.dataset.shards import (
    Manifest,
    ShardInfo,
    finished_shard,
    hash_plan,
    read_checked,
    read_manifest,
    write_shard,
)
from pipeline.planning import take_seed
from pipeline.planning.plan_store import PlanHead, read_shard_plan
from pipeline.storage.paths import remove_folder
from pipeline.storage.run_directory import RunDirectory
from pipeline.types import Reject, Utterance

POISON = "worker_died"  # reject code of utterances that crashed their worker


def split_shards(run_dir: Path) -> list[Path]:
    """Return the sub-shard folders of all split shards; each has the layout of a run directory."""
    return sorted(RunDirectory(run_dir).all_sub_shards.glob("*"), key=lambda folder: folder.name)


def delete_sub_shards(run_dir: Path) -> None:
    """Delete the sub-shards of all shards, once every shard is written."""
    remove_folder(RunDirectory(run_dir).all_sub_shards)


def earlier_rejects(run_dir: Path, shard: int) -> dict[str, Mapping[str, Any]]:
    """Return the rejects of a shard by id; none if the shard is not finished."""
    manifest = finished_shard(run_dir, shard)
    return {reject["id"]: reject for reject in manifest.rejects} if manifest else {}


def merge_sub_shards(run_dir: Path, head: PlanHead, split: SplitShard) -> Manifest:
    """Merge sub-shards, the earlier file of the shard if there is one, and rejects into one shard.

    Raises:
        RunDirectoryError: The audio in a sub-shard, or in the earlier file, is damaged.
    """
    index, folder = split.shard, RunDirectory(run_dir).sub_shards(split.shard)
    planned = read_shard_plan(run_dir, index).utterances
    old = finished_shard(run_dir, index)
    sources = [(run_dir, old)] if old else []
    sources += [(folder, read_manifest(RunDirectory(folder).manifest(sub_shard))) for sub_shard in split.sub_shards]
    rows, rejects = _collect(planned, sources)
    for position, reason in split.poison.items():
        utterance = planned[position]
        rejects[utterance.id] = _reject_poison(utterance, reason, rejects.get(utterance.id))
    if missing := {utterance.id for utterance in planned} - rows.keys() - rejects.keys():
        raise RuntimeError(f"shard {index}: {sorted(missing)} were neither accepted nor rejected")

    info = ShardInfo(
        index,
        head.num_shards,
        next((row.columns["sampling_rate"] for row in rows.values()), 0),
        head.fingerprint,
        hash_plan(run_dir, index),
        planned[0].split,
        head.kept_columns,
    )
    in_order = [rows[utterance.id] for utterance in planned if utterance.id in rows]
    rejected = [rejects[utterance.id] for utterance in planned if utterance.id not in rows]
    work_seconds = sum(manifest.work_seconds for _, manifest in sources)

    whole = folder.with_name(f"whole-{index:05d}")
    if old:  # keep a copy: a kill between the deletion of the old file and the rename would lose clips
        write_shard(whole, info, in_order, rejected, work_seconds)
    manifest = write_shard(run_dir, info, in_order, rejected, work_seconds)
    for done in (folder, whole):
        remove_folder(done)
    return manifest


def _collect(
    planned: tuple[Utterance, ...], sources: list[tuple[Path, Manifest]]
) -> tuple[dict[str, Row], dict[str, Reject]]:
    """Return the rows and the rejects of several files by id; a later file replaces an earlier one."""
    by_id = {utterance.id: utterance for utterance in planned}
    rows: dict[str, Row] = {}
    rejects: dict[str, Reject] = {}
    for folder, manifest in sources:
        rows.update({row.id: row for row in _intact_rows(folder, manifest)})
        for record in manifest.rejects:
            rejects[record["id"]] = Reject(
                by_id[record["id"]], record["reason"], record["takes"], tuple(record["seeds"])
            )
    return rows, rejects


def _intact_rows(folder: Path, manifest: Manifest) -> Iterator[Row]:
    for row, is_intact in read_checked(folder, manifest):
        if not is_intact:
            raise RunDirectoryError(
                f"{RunDirectory(folder).data / manifest.file}: the audio of {row.id} was changed after it was written; "
                "delete the file and rerun the command of the run to generate it again"
            )
        yield row


def _reject_poison(utterance: Utterance, reason: str, earlier: Reject | None) -> Reject:
    num_takes = 1 + (earlier.takes if earlier else 0)
    seeds = tuple(take_seed(utterance.seed, take) for take in range(num_takes))
    return Reject(utterance, f"{POISON}: {reason}", num_takes, seeds)
