"""How much space a run needs, and whether its disk has it.

The estimate is made of planned seconds and the format of the audio, without a margin: a disk that has just enough is
not refused. On a disk all files of a run, temporary ones included, lie in its directory; for a remote place they pass
through the folder for temporary files of this machine.
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

_RECORD_BYTES = 2_000  # for each utterance: plan, manifest, columns of the dataset, subtitles
_FIXED_BYTES = 200_000  # the page with its clips to listen to, the card and its picture
_SMALLER = "opus"  # the smallest of dataset.format


@dataclass(frozen=True)
class DiskNeeds:
    """Estimated bytes of what a run writes."""

    clips_bytes: int  # of the dataset
    records_bytes: int  # plan, manifests, report and the like
    chapters_bytes: int  # of the book: FLAC
    m4b_bytes: int
    open_bytes: int  # clips of shards that are not finished; gone before the book is made
    beginning_bytes: int  # the first minutes of a book, until the book is there
    scratch_bytes: int = 0  # of the temporary folder, for a remote place

    @property
    def total_bytes(self) -> int:
        """What is there at the end."""
        return self.clips_bytes + self.records_bytes + self.chapters_bytes + self.m4b_bytes

    @property
    def peak_bytes(self) -> int:
        """The most that is there at a time."""
        book_bytes = self.chapters_bytes + self.m4b_bytes
        return self.clips_bytes + self.records_bytes + self.beginning_bytes + max(self.open_bytes, book_bytes)


@dataclass(frozen=True)
class Work:
    """What is to be written, in seconds of speech."""

    shard_seconds: Sequence[float]  # of the shards that are to be made
    num_utterances: int  # in these
    book_seconds: float  # 0: no book is made
    sampling_rate: int  # Hz


def estimate_disk(config: Config, work: Work, num_workers: int = 1) -> DiskNeeds:
    """Return what a run writes. Pauses of a book count for nothing: silence compresses to almost nothing."""
    seconds = sum(work.shard_seconds)

    def clips(of_seconds: float) -> int:
        return audio_bytes(of_seconds, config.dataset.format, work.sampling_rate)

    # A worker keeps the finished clips of its open shard beside the file that it becomes.
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
    """Return the free space where a folder is or will be; None: that cannot be asked of its place."""
    if not is_local(folder):
        return None
    existing = next((each for each in (folder, *folder.absolute().parents) if each.is_dir()), None)
    try:
        return shutil.disk_usage(existing).free if existing else None
    except OSError:
        return None  # some network file systems do not tell; what cannot be written is told of when it happens


def disk_problem(config: Config, run_dir: Path, needs: DiskNeeds, written_bytes: int = 0) -> str:
    """Return what is wrong with the space for a run, and what to do; "": nothing is known to be.

    Args:
        config: For the keys that a user can change.
        run_dir: Directory of the run; need not be there yet.
        needs: What is to be written.
        written_bytes: How much of it is there already.
    """
    scratch = Path(tempfile.gettempdir())
    needed = needs.peak_bytes - written_bytes if is_local(run_dir) else needs.scratch_bytes
    folder = run_dir if is_local(run_dir) else scratch
    free = free_bytes(folder)
    if free is None or needed <= free:
        return ""
    where = "give output_dir=FOLDER on a larger disk" if folder == run_dir else "set TMPDIR to a larger disk"
    smaller = "" if config.dataset.format == _SMALLER else f"; dataset.format={_SMALLER} needs less, in a new run"
    return (
        f"{folder}: the run needs about {size(needed)} and {size(free)} are free: free some space, or {where}"
        f"{smaller}; check_disk=false starts it all the same"
    )


def check_disk(config: Config, run_dir: Path, work: Work, num_workers: int = 1) -> None:
    """Refuse a run for which the disk has too little space.

    Raises:
        RunDirectoryError: It has.
    """
    if config.check_disk and (problem := disk_problem(config, run_dir, estimate_disk(config, work, num_workers))):
        raise RunDirectoryError(problem)


def check_disk_for(
    run_dir: Path, config: Config, head: PlanHead, checkpoint: Checkpoint, missing: Sequence[int]
) -> None:
    """Refuse a disk that has too little space for the shards that are missing, and the book.

    Raises:
        RunDirectoryError: It has.
    """
    num_utterances = round(head.num_utterances * len(missing) / max(1, head.num_shards))
    book_seconds = head.predicted_seconds if config.task.name == "audiobook" else 0.0
    seconds = [head.shard_seconds[index] for index in missing]
    work = Work(seconds, num_utterances, book_seconds, checkpoint.sampling_rate)
    devices = config.executor.devices
    check_disk(config, run_dir, work, len(devices) if isinstance(devices, list) else max(1, config.executor.workers))
