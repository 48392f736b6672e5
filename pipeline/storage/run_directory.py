"""Paths of the files in a run directory, and the version of their format."""

from __future__ import annotations

from pathlib import Path

FORMAT_VERSION = 2  # version of plan, manifests and frozen config; files without a version have format 1
MAX_SECONDS = 1e12  # limit for seconds of audio or work in a run; a file with a larger value is damaged
TRAIN = "train"  # default split


def shard_path(run_dir: Path, index: int, num_shards: int, split: str = "") -> Path:
    """Return the path of the Parquet file of a shard. An empty `split` means `TRAIN`."""
    return run_dir / "data" / f"{split or TRAIN}-{index:05d}-of-{num_shards:05d}.parquet"


def manifest_path(run_dir: Path, index: int) -> Path:
    """Return the path of the manifest of a shard, which holds its hashes, ids and rejects."""
    return run_dir / "manifests" / f"shard-{index:05d}.json"


def plan_shard_path(run_dir: Path, index: int) -> Path:
    """Return the path of the planned utterances of a shard (JSON Lines)."""
    return run_dir / "plan" / f"shard-{index:05d}.jsonl"


def plan_path(run_dir: Path) -> Path:
    """Return the path of the head of the plan: number of shards and utterances, fingerprint of the config."""
    return run_dir / "plan" / "plan.json"


def staged_plan_folder(run_dir: Path) -> Path:
    """Return the folder in which a plan is written before it becomes the plan of the run."""
    return run_dir / ".plan-next"
