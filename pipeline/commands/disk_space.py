"""Estimate the disk space that a run needs and compare it with the free space.

The estimate follows from the planned seconds and the audio format, without a safety margin. A local run keeps all its
files, temporary ones included, in its directory; a remote run needs space in the temporary folder of this machine.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Config
from pipeline.errors import RunDirectoryError
from pipeline.outputs.audiobook.live_preview import MAX_PREVIEW_UTTERANCES
from pipeline.planning import audio_bytes, size
from pipeline.planning.plan_store import PlanHead
from pipeline.storage.paths import is_local
from pipeline.synthesis.checkpoint import Checkpoint

_RECORD_BYTES = 2_000  # per utterance: plan, manifest, dataset columns, subtitles
_FIXED_BYTES = 200_000  # report.html with its audio samples, the dataset card and its image
_SMALLER = "opus"  # the dataset.format with the smallest files


@dataclass(frozen=True)
class DiskNeeds:
    """Estimated number of bytes that a run writes."""

    clips_bytes: int  # Parquet files of the dataset
    records_bytes: int  # plan, manifests, reports
    chapters_bytes: int  # FLAC files of the book
    m4b_bytes: int
    open_bytes: int  # clips of unfinished shards; deleted before the book is made
    beginning_bytes: int  # live preview of the first minutes of a book; deleted when the book is finished
    scratch_bytes: int = 0  # in the temporary folder, for a remote run

    @property
    def total_bytes(self) -> int:
        """Size of the finished run."""
        return self.clips_bytes + self.records_bytes + self.chapters_bytes + self.m4b_bytes

    @property
    def peak_bytes(self) -> int:
        """Largest size during the run."""
        book_bytes = self.chapters_bytes + self.m4b_bytes
        return self.clips_bytes + self.records_bytes + self.beginning_bytes + max(self.open_bytes, book_bytes)


@dataclass(frozen=True)
class Work:
    """Amount of speech to write."""

    shard_seconds: Sequence[float]  # predicted speech of each shard to render
    num_utterances: int  # in these shards
    book_seconds: float  # speech in the book; 0: no book
    sampling_rate: int  # Hz


def estimate_disk(config: Config, work: Work, num_workers: int = 1) -> DiskNeeds:
    """Estimate what a run writes. The pauses of a book are ignored, since silence compresses to almost nothing."""
    seconds = sum(work.shard_seconds)

    def clips(of_seconds: float) -> int:
        return audio_bytes(of_seconds, config.dataset.format, work.sampling_rate)

    # A worker keeps the clips of its unfinished shard until the Parquet file is complete.
    open_seconds = sum(sorted(work.shard_seconds, reverse=True)[: max(1, num_workers)])
    utterance_seconds = seconds / max(1, work.num_utterances)
    is_book = work.book_seconds > 0
    beginning_seconds = min(seconds, MAX_PREVIEW_UTTERANCES * utterance_seconds) if is_book else 0.0
    chapters_bytes = audio_bytes(work.book_seconds, "flac", work.sampling_rate)
    m4b_bytes = round(work.book_seconds * config.book.bitrate_kbps * 125)
    return DiskNeeds(
        clips_bytes=clips(seconds),
        records_bytes=_RECORD_BYTES * work.num_utterances + _FIXED_BYTES,
        chapters_bytes=chapters_bytes,
        m4b_bytes=m4b_bytes,
        open_bytes=clips(open_seconds),
        beginning_bytes=audio_bytes(beginning_seconds, "wav", work.sampling_rate),
        scratch_bytes=max(clips(open_seconds), chapters_bytes + m4b_bytes),
    )


def free_bytes(folder: Path) -> int | None:
    """Return the free bytes on the disk of a folder, which need not exist yet; None if they are not known."""
    if not is_local(folder):
        return None
    existing = next((each for each in (folder, *folder.absolute().parents) if each.is_dir()), None)
    try:
        return shutil.disk_usage(existing).free if existing else None
    except OSError:
        return None  # not supported by some network file systems; a full disk is then reported when writing fails


def disk_problem(config: Config, run_dir: Path, needs: DiskNeeds, written_bytes: int = 0) -> str:
    """Return an error message if the disk has too little space for a run; "" otherwise.

    Args:
        config: Of the run.
        run_dir: Directory of the run; it need not exist yet.
        needs: Estimate for the whole run.
        written_bytes: Size of the files that the run has written already.
    """
    scratch = Path(tempfile.gettempdir())
    needed = needs.peak_bytes - written_bytes if is_local(run_dir) else needs.scratch_bytes
    folder = run_dir if is_local(run_dir) else scratch
    free = free_bytes(folder)
    if free is None or needed <= free:
        return ""
    where = (
        "choose a larger disk with output_dir=FOLDER"
        if folder == run_dir
        else "set TMPDIR to a folder on a larger disk"
    )
    smaller = "" if config.dataset.format == _SMALLER else f"; dataset.format={_SMALLER} needs less space, in a new run"
    return (
        f"{folder}: the run needs about {size(needed)}, but only {size(free)} are free. Free disk space, or {where}"
        f"{smaller}. check_disk=false skips this check."
    )


def check_disk(config: Config, run_dir: Path, work: Work, num_workers: int = 1) -> None:
    """Check that the disk has enough space for a run, unless `check_disk=false`.

    Raises:
        RunDirectoryError: The disk has too little space.
    """
    if config.check_disk and (problem := disk_problem(config, run_dir, estimate_disk(config, work, num_workers))):
        raise RunDirectoryError(problem)


def check_disk_for(
    run_dir: Path, config: Config, head: PlanHead, checkpoint: Checkpoint, missing: Sequence[int]
) -> None:
    """Check that the disk has enough space for the missing shards and the book.

    Raises:
        RunDirectoryError: The disk has too little space.
    """
    num_utterances = round(head.num_utterances * len(missing) / max(1, head.num_shards))
    book_seconds = head.predicted_seconds if config.task.name == "audiobook" else 0.0
    seconds = [head.shard_seconds[index] for index in missing]
    work = Work(seconds, num_utterances, book_seconds, checkpoint.sampling_rate)
    devices = config.executor.devices
    check_disk(config, run_dir, work, len(devices) if isinstance(devices, list) else max(1, config.executor.workers))
