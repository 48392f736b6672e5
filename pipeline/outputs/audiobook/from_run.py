"""From the clips of a run to its book: what `book.make_book` needs, taken from the plan and the shards."""

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
    """Make `book/` from the finished shards and return the fields of the report about it.

    Args:
        run_dir: Directory of the run.
        config: Its config.
        head: Head of its plan.
        narrator: Name that the book gives unless the config has one.
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
    """Make the book of a run again in memory and yield what is different in `book/`.

    Args:
        run_dir: Directory of the run.
        config: The frozen one.
        head: Of the plan.
        narrator: As the voice settings name it; "": not known here, then the name in the book's index is taken.

    Raises:
        PipelineError: The clips cannot be read, or none of them can be heard.
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
    """Return the cover that a run has to have, and whether that is known: its source may be gone or changed by now."""
    try:
        if config.book.cover is None:  # that of the input, if this is still the one that the run was made of
            digest = input_digest(config)
            if not digest or digest != recorded_input_digest(run_dir):
                return None, False
        cover = _cover(config, warn=lambda _: None)  # the run has warned
        return check_cover(cover) if isinstance(cover, Path) else cover, True
    except (PipelineError, OSError):
        return None, False


def _metadata(config: Config, head: PlanHead, narrator: str) -> BookMetadata:
    """Return what is written on the book, without its cover."""
    return BookMetadata(
        title=config.source.title or head.title,
        author=config.source.author or head.author,
        narrator=config.book.narrator or narrator,
        language=head.language,
    )


@contextmanager
def _progress(name: str) -> Iterator[Callable[[float, float], None]]:
    """Show a bar; yields what tells it the seconds that are done, and those of all."""
    with tqdm(desc=name, unit="s", disable=None, bar_format="{desc} {percentage:3.0f}% |{bar}| [{elapsed}]") as bar:

        def progress(done: float, total: float) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress


def _cover(config: Config, warn: Callable[[str], object]) -> Path | bytes | None:
    """Return the cover that the config names, else that of the EPUB; None: there is none."""
    if config.book.cover is not None:
        return Path(config.book.cover) if config.book.cover else None
    try:
        cover = read_cover_of(config.input, config.source)
    except SourceError:  # the input is no longer there, or is another one by now
        return None
    problem = picture_problem(cover) if cover else ""
    if problem:
        warn(f"warning: {config.input}: its cover {problem}; the book has none (book.cover=FILE gives it one)")
    return None if problem else cover


def book_clips(run_dir: Path) -> Iterator[BookClip]:
    """Everything that was planned, in reading order; a reject has no samples, but what follows it still does.

    Those before the first clip are left out: no sampling rate is known of them, and no pause depends on them.
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
                        f"{RunDirectory(run_dir).data / manifest.file}: holds other clips than were planned; delete it "
                        "and give the same command again"
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
