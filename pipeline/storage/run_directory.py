"""Paths of the files in a run directory, and the version of their format.

The folders in which unfinished shards, sub-shards and earlier plans are kept have the layout of a run directory too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FORMAT_VERSION = 2  # of plan, manifests and frozen config; files without a version are of format 1
MAX_SECONDS = 1e12  # of audio or work in a run; a file that claims more is damaged
TRAIN = "train"  # the split of a shard that names none

CONFIG_NAME = "config.yaml"
LEFT_OUT_NAME = "left_out.jsonl"
CARD_NAME = "README.md"
REPORT_NAME = "report.json"
HTML_REPORT_NAME = "report.html"
CHECKSUMS_NAME = "SHA256SUMS"
BOOK_INDEX_NAME = "book.json"


@dataclass(frozen=True)
class RunDirectory:
    """Paths of the files and folders in a run directory. Nothing is read or created."""

    path: Path  # local, or a `upath.UPath` behind an address

    @property
    def config(self) -> Path:
        """The frozen config."""
        return self.path / CONFIG_NAME

    @property
    def plan(self) -> Path:
        """The folder of the plan."""
        return self.path / "plan"

    @property
    def plan_head(self) -> Path:
        """The head of the plan: number of shards and utterances, fingerprint of the config."""
        return self.plan / "plan.json"

    def plan_shard(self, index: int) -> Path:
        """The planned utterances of a shard, one JSON object a line."""
        return self.plan / f"shard-{index:05d}.jsonl"

    @property
    def left_out(self) -> Path:
        """The text that is not spoken, with reasons, one JSON object a line."""
        return self.plan / LEFT_OUT_NAME

    @property
    def staged_plan(self) -> Path:
        """The folder in which a plan is written before it becomes the plan of the run."""
        return self.path / ".plan-next"

    @property
    def earlier_plans(self) -> Path:
        """The folder of earlier plans and their shards; each of its folders has the layout of a run directory."""
        return self.path / ".previous"

    @property
    def data(self) -> Path:
        """The folder of the Parquet files."""
        return self.path / "data"

    def shard(self, index: int, num_shards: int, split: str = "") -> Path:
        """The Parquet file of a shard, which belongs to one split; "" is `TRAIN`."""
        return self.data / f"{split or TRAIN}-{index:05d}-of-{num_shards:05d}.parquet"

    @property
    def manifests(self) -> Path:
        """The folder of the manifests."""
        return self.path / "manifests"

    def manifest(self, index: int) -> Path:
        """What is known about the Parquet file of a shard: hashes, ids, rejects."""
        return self.manifests / f"shard-{index:05d}.json"

    @property
    def all_checkpoints(self) -> Path:
        """The folder of the checkpoints of all unfinished shards."""
        return self.path / ".kept"

    def checkpoints(self, shard: int) -> Path:
        """The checkpoints of an unfinished shard; a folder with the layout of a run directory."""
        return self.all_checkpoints / f"shard-{shard:05d}"

    @property
    def all_sub_shards(self) -> Path:
        """The folder of the sub-shards of all split shards."""
        return self.path / ".pieces"

    def sub_shards(self, shard: int) -> Path:
        """The sub-shards of a split shard; a folder with the layout of a run directory."""
        return self.all_sub_shards / f"shard-{shard:05d}"

    @property
    def journal(self) -> Path:
        """The folder of the journals, one file for each worker."""
        return self.path / "journal"

    @property
    def lock(self) -> Path:
        """The lock of the run."""
        return self.path / ".lock"

    @property
    def lease(self) -> Path:
        """The lease of a run on storage that other machines can write to."""
        return self.path / ".lease"

    @property
    def book(self) -> Path:
        """The folder of the audiobook."""
        return self.path / "book"

    @property
    def book_index(self) -> Path:
        """The index of the audiobook: chapters, files, their checksums."""
        return self.book / BOOK_INDEX_NAME

    @property
    def card(self) -> Path:
        """The dataset card."""
        return self.path / CARD_NAME

    @property
    def duration_histogram(self) -> Path:
        """The picture in the dataset card."""
        return self.path / "durations.png"

    @property
    def rejects(self) -> Path:
        """The rejects of the run, one JSON object a line."""
        return self.path / "rejects.jsonl"

    @property
    def report(self) -> Path:
        """The report as JSON."""
        return self.path / REPORT_NAME

    @property
    def html_report(self) -> Path:
        """The report as a page."""
        return self.path / HTML_REPORT_NAME

    @property
    def checksums(self) -> Path:
        """The checksums of all files, written last."""
        return self.path / CHECKSUMS_NAME
