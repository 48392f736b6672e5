"""From the clips of a run to its book: what `book.make_book` needs, taken from the plan and the shards."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from pipeline.config import Config
from pipeline.errors import RunDirectoryError, SourceError
from pipeline.outputs.audiobook.containers import picture_problem
from pipeline.outputs.audiobook.joining import BookClip
from pipeline.outputs.audiobook.live_preview import delete_live_preview
from pipeline.outputs.audiobook.make import make_book
from pipeline.outputs.audiobook.timeline import BookMetadata
from pipeline.outputs.dataset.shards import finished_shards, read_shard
from pipeline.planning.plan_store import PlanHead, read_shard_plan
from pipeline.reporting.progress import say
from pipeline.storage.atomic import write_folder
from pipeline.text.readers.dispatch import read_cover_of
from pipeline.types import Boundary

_COLUMNS = ("id", "audio")


def make_run_book(run_dir: Path, config: Config, head: PlanHead, narrator: str) -> dict[str, Any]:
    """Makes `book/` from the finished shards and returns what the report tells of it."""
    metadata = BookMetadata(
        title=config.source.title or head.title,
        author=config.source.author or head.author,
        narrator=config.book.narrator or narrator,
        language=head.language,
        cover=_cover(config),
    )
    with tqdm(desc="book", unit="s", disable=None, bar_format="{desc} {percentage:3.0f}% |{bar}| [{elapsed}]") as bar:

        def progress(done: float, total: float) -> None:
            bar.total = total
            bar.update(done - bar.n)

        titles = [chapter.title for chapter in head.chapters]
        with write_folder(run_dir / "book", last="book.json") as folder:
            book = make_book(partial(book_clips, run_dir), titles, metadata, config.book, folder, progress)
    delete_live_preview(run_dir)
    return {
        "m4b": str(run_dir / "book" / book.m4b.name),
        "seconds": book.seconds,
        "loudness_lufs": book.loudness_lufs,
        "chapters": len(book.chapters),
        "omitted": list(book.omitted),
    }


def _cover(config: Config) -> Path | bytes | None:
    """Return the cover that the config names, else that of the EPUB; None: there is none."""
    if config.book.cover is not None:
        return Path(config.book.cover) if config.book.cover else None
    try:
        cover = read_cover_of(config.input, config.source)
    except SourceError:  # the input is no longer there, or is another one by now
        return None
    problem = picture_problem(cover) if cover else ""
    if problem:
        say(f"warning: {config.input}: its cover {problem}; the book has none (book.cover=FILE gives it one)")
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
                        f"{run_dir / 'data' / manifest.file}: holds other clips than were planned; delete it and give "
                        "the same command again"
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
