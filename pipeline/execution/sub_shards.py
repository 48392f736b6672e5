"""Shards that are made in pieces: because one of their utterances kills workers, or to take their rejects again.

Owns `.pieces/` in a run directory: for each such shard a folder with `data/` and `manifests/`, as if each piece were a
shard of it. Nothing of it is lost when a run is killed: an utterance's clip is found there by its key, as in an earlier
plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.storage.run_directory import manifest_path

from pipeline.errors import RunDirectoryError
from pipeline.execution.supervisor import SubShards
from pipeline.outputs.dataset.columns import Row
from pipeline.outputs.dataset.shards import (
    Manifest,
    finished_shard,
    hash_plan,
    read_checked,
    read_manifest,
    write_shard,
)
from pipeline.planning import take_seed
from pipeline.planning.plan_store import PlanHead, read_shard_plan
from pipeline.storage.paths import remove_folder
from pipeline.types import Reject, Utterance

POISON = "worker_died"  # code of the rejects that end their worker
_FOLDER = ".pieces"


def sub_shards_dir(run_dir: Path, shard: int) -> Path:
    """Where the pieces of a shard lie."""
    return run_dir / _FOLDER / f"shard-{shard:05d}"


def all_sub_shards(run_dir: Path) -> list[Path]:
    """The folders of all shards in pieces; each is like a run directory."""
    return sorted((run_dir / _FOLDER).glob("*"), key=lambda folder: folder.name)


def delete_sub_shards(run_dir: Path) -> None:
    """Deletes them all. Called when every shard is written."""
    remove_folder(run_dir / _FOLDER)


def earlier_rejects(run_dir: Path, shard: int) -> dict[str, Mapping[str, Any]]:
    """What was rejected of a shard that is finished, by id; nothing of one that is not."""
    manifest = finished_shard(run_dir, shard)
    return {reject["id"]: reject for reject in manifest.rejects} if manifest else {}


def merge_sub_shards(run_dir: Path, head: PlanHead, parts: SubShards) -> Manifest:
    """Writes a shard from its pieces, from what was there of it, and from what cannot be made."""
    index, folder = parts.shard, sub_shards_dir(run_dir, parts.shard)
    planned = read_shard_plan(run_dir, index).utterances
    by_id = {utterance.id: utterance for utterance in planned}
    old = finished_shard(run_dir, index)
    sources = [(run_dir, old)] if old else []
    sources += [(folder, read_manifest(manifest_path(folder, piece))) for piece in parts.pieces]
    rows: dict[str, Row] = {}
    rejects: dict[str, Reject] = {}
    for place, manifest in sources:
        rows.update({row.id: row for row in _intact_rows(place, manifest)})
        rejects.update({reject["id"]: _reject(by_id[reject["id"]], reject) for reject in manifest.rejects})
    for position, reason in parts.poison.items():
        utterance = planned[position]
        rejects[utterance.id] = _poison(utterance, reason, rejects.get(utterance.id))
    if missing := by_id.keys() - rows.keys() - rejects.keys():
        raise RuntimeError(f"shard {index}: {sorted(missing)} were neither made nor rejected")

    def write(run: Path) -> Manifest:
        return write_shard(
            run,
            index,
            head.num_shards,
            [rows[utterance.id] for utterance in planned if utterance.id in rows],
            [rejects[utterance.id] for utterance in planned if utterance.id not in rows],
            sampling_rate=next((row.columns["sampling_rate"] for row in rows.values()), 0),
            fingerprint=head.fingerprint,
            plan_hash=hash_plan(run_dir, index),
            work_seconds=sum(manifest.work_seconds for _, manifest in sources),
            split=planned[0].split,
            kept_columns=head.kept_columns,
        )

    if old:  # a kill between the removal of the old file and the name of the new one must not cost the old clips
        whole = folder.with_name(f"whole-{index:05d}")
        write(whole)
    manifest = write(run_dir)
    for done in (folder, folder.with_name(f"whole-{index:05d}")):
        remove_folder(done)
    return manifest


def _intact_rows(place: Path, manifest: Manifest) -> Iterator[Row]:
    for row, is_intact in read_checked(place, manifest):
        if not is_intact:
            raise RunDirectoryError(
                f"{place / 'data' / manifest.file}: the audio of {row.id} has changed since it was written: delete the "
                "file and give the run's own command again to make it anew"
            )
        yield row


def _reject(utterance: Utterance, record: Mapping[str, Any]) -> Reject:
    return Reject(utterance, record["reason"], record["takes"], tuple(record["seeds"]))


def _poison(utterance: Utterance, reason: str, earlier: Reject | None) -> Reject:
    takes = 1 + (earlier.takes if earlier else 0)
    seeds = tuple(take_seed(utterance.seed, take) for take in range(takes))
    return Reject(utterance, f"{POISON}: {reason}", takes, seeds)
