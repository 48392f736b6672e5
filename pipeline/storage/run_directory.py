"""Paths of the files in a run directory, and the version of their format."""

from __future__ import annotations

from pathlib import Path

FORMAT_VERSION = 2  # of plan, manifests and frozen config; files without a version are of format 1
MAX_SECONDS = 1e12  # of audio or work in a run; a file that claims more is damaged
TRAIN = "train"  # the split of what names none


def shard_path(run_dir: Path, index: int, num_shards: int, split: str = "") -> Path:
    """The Parquet file of a shard, which belongs to one split; "" is `TRAIN`."""
    return run_dir / "data" / f"{split or TRAIN}-{index:05d}-of-{num_shards:05d}.parquet"


def manifest_path(run_dir: Path, index: int) -> Path:
    """What is known about the Parquet file of a shard."""
    return run_dir / "manifests" / f"shard-{index:05d}.json"


def plan_shard_path(run_dir: Path, index: int) -> Path:
    """The planned utterances of a shard, one JSON object a line."""
    return run_dir / "plan" / f"shard-{index:05d}.jsonl"


def plan_path(run_dir: Path) -> Path:
    """The head of the plan: number of shards and utterances, fingerprint of the config."""
    return run_dir / "plan" / "plan.json"


def staged_plan_folder(run_dir: Path) -> Path:
    """Where a plan is made, before it becomes the plan of the run."""
    return run_dir / ".plan-next"
