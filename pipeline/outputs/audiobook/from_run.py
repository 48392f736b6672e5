"""Make and verify the book of a run: read clips, metadata and cover from the plan, the shards and the config."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from pipeline.audio.encoding import LOSSLESS
from pipeline.config import Config
from pipeline.config.frozen import recorded_input_digest
from pipeline.errors import PipelineError, RunDirectoryError, SourceError
from pipeline.outputs.audiobook.containers import check_cover, picture_problem
from pipeline.outputs.audiobook.joining import BookClip
from pipeline.outputs.audiobook.live_preview import delete_live_preview
from pipeline.outputs.audiobook.make import make_book
from pipeline.outputs.audiobook.timeline import BookMetadata, BookSpec
from pipeline.outputs.audiobook.verification import ExpectedBook, made_again_problems
from pipeline.outputs.dataset.shards import finished_shards, read_shard
from pipeline.planning.plan_store import PlanHead, read_shard_plan
from pipeline.planning.staleness import input_digest
from pipeline.storage.atomic import write_folder
from pipeline.storage.paths import read_json
from pipeline.storage.run_directory import RunDirectory
from pipeline.text.readers.dispatch import read_cover_of
from pipeline.types import Boundary

_COLUMNS = ("id", "audio")


def make_run_book(
    run_dir: Path, config: Config, head: PlanHead, narrator: str, warn: Callable[[str], object]
) -> dict[str, Any]:
    """Make `book/` from the finished shards and return its figures for `report.json`.

    Args:
        run_dir: Directory of the run.
        config: Its config.
        head: Head of its plan.
        narrator: Name of the narrator, used if `book.narrator` is not set.
        warn: Called with each warning.
    """
    metadata = replace(_metadata(config, head, narrator), cover=_cover(config, warn))
    spec = BookSpec([chapter.title for chapter in head.chapters], metadata, config.book)
    with _progress("book") as progress, write_folder(RunDirectory(run_dir).book, last="book.json") as folder:
        book = make_book(partial(book_clips, run_dir), spec, folder, progress)
    delete_live_preview(run_dir)
    return {
        "m4b": str(RunDirectory(run_dir).book / book.m4b.name),
        "seconds": book.seconds,
        "loudness_lufs": book.loudness_lufs,
        "chapters": len(book.chapters),
        "omitted": list(book.omitted),
    }


def book_problems(run_dir: Path, config: Config, head: PlanHead, narrator: str) -> Iterator[str]:
    """Recreate the book of a run in memory and yield the differences from `book/`.

    Args:
        run_dir: Directory of the run.
        config: The frozen config.
        head: Head of its plan.
        narrator: Name from the voice settings; "": unknown, and the name in the index of the book is accepted.

    Raises:
        PipelineError: The clips cannot be read, or none of them is audible.
        OSError: A file of the book cannot be read.
    """
    index = read_json(RunDirectory(run_dir).book_index)
    cover, is_cover_known = _expected_cover(run_dir, config)
    expected = ExpectedBook(
        clips=partial(book_clips, run_dir),
        chapter_titles=[chapter.title for chapter in head.chapters],
        metadata=_metadata(config, head, narrator or str(index.get("narrator", ""))),
        config=config.book,
        has_lossy_clips=config.dataset.format not in LOSSLESS,
        cover=cover,
        is_cover_known=is_cover_known,
    )
    with _progress("verifying the book") as progress:
        yield from made_again_problems(RunDirectory(run_dir).book, expected, progress)


def _expected_cover(run_dir: Path, config: Config) -> tuple[bytes | None, bool]:
    """Return the expected cover, and whether it is known. It is unknown if its source was deleted or changed."""
    try:
        if config.book.cover is None:  # use the cover of the input, if the input is unchanged
            digest = input_digest(config)
            if not digest or digest != recorded_input_digest(run_dir):
                return None, False
        cover = _cover(config, warn=lambda _: None)  # the run already printed the warning
        return check_cover(cover) if isinstance(cover, Path) else cover, True
    except (PipelineError, OSError):
        return None, False


def _metadata(config: Config, head: PlanHead, narrator: str) -> BookMetadata:
    """Return the metadata of the book, without its cover."""
    return BookMetadata(
        title=config.source.title or head.title,
        author=config.source.author or head.author,
        narrator=config.book.narrator or narrator,
        language=head.language,
    )


@contextmanager
def _progress(name: str) -> Iterator[Callable[[float, float], None]]:
    """Show a progress bar; yield a function that takes the finished and the total seconds."""
    with tqdm(desc=name, unit="s", disable=None, bar_format="{desc} {percentage:3.0f}% |{bar}| [{elapsed}]") as bar:

        def progress(done: float, total: float) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress


def _cover(config: Config, warn: Callable[[str], object]) -> Path | bytes | None:
    """Return the cover from the config or from the EPUB; None: there is none."""
    if config.book.cover is not None:
        return Path(config.book.cover) if config.book.cover else None
    try:
        cover = read_cover_of(config.input, config.source)
    except SourceError:  # the input was deleted or replaced
        return None
    problem = picture_problem(cover) if cover else ""
    if problem:
        warn(f"warning: {config.input}: the cover {problem}; the book has no cover (set book.cover=FILE)")
    return None if problem else cover


def book_clips(run_dir: Path) -> Iterator[BookClip]:
    """Yield all planned utterances in reading order, rejects with their boundary but without samples.

    Rejects before the first clip are omitted: their sampling rate is unknown, and no pause depends on them.
    """
    sampling_rate = 0
    for manifest in finished_shards(run_dir):
        rows = read_shard(run_dir, manifest, _COLUMNS)
        rejected = {reject["id"] for reject in manifest.rejects}
        for utterance in read_shard_plan(run_dir, manifest.index).utterances:
            samples, segment = np.zeros(0, np.float32), utterance.segment
            if utterance.id not in rejected:
                row = next(rows, None)
                if row is None or row.id != utterance.id:
                    raise RunDirectoryError(
                        f"{RunDirectory(run_dir).data / manifest.file}: its clips do not match the plan. Delete it "
                        "and rerun the same command"
                    )
                samples, sampling_rate = row.decode()
            if sampling_rate:
                yield BookClip(
                    id=utterance.id,
                    samples=samples,
                    sampling_rate=sampling_rate,
                    chapter=segment.chapter if segment else 0,
                    boundary=segment.boundary if segment else Boundary.NONE,
                    text=segment.text if segment else utterance.prompt,
                )
