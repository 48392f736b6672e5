"""From the clips of a run to its book: what `book.make_book` needs, taken from the plan and the shards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pipeline.book.joining import BookClip
from pipeline.book.layout import BookMetadata
from pipeline.book.making import make_book
from pipeline.config import Config
from pipeline.dataset.files import write_folder
from pipeline.dataset.shards import iter_clips
from pipeline.runtime.beginning import remove_beginning
from pipeline.runtime.plans import PlanHead
from pipeline.types import Boundary

_COLUMNS = ("id", "audio", "text", "chapter", "boundary")


def make_run_book(run_dir: Path, config: Config, head: PlanHead, narrator: str) -> dict[str, Any]:
    """Makes `book/` from the finished shards and returns what the report tells of it."""

    def clips() -> Iterator[BookClip]:
        for row in iter_clips(run_dir, _COLUMNS):
            samples, sampling_rate = row.decode()
            yield BookClip(
                id=row.id,
                samples=samples,
                sampling_rate=sampling_rate,
                chapter=row.columns["chapter"],
                boundary=Boundary(row.columns["boundary"]),
                text=row.columns["text"],
            )

    metadata = BookMetadata(
        title=config.source.title or head.title,
        author=config.source.author or head.author,
        narrator=config.book.narrator or narrator,
        language=head.language,
        cover=Path(config.book.cover) if config.book.cover else None,
    )
    with tqdm(desc="book", unit="s", disable=None, bar_format="{desc} {percentage:3.0f}% |{bar}| [{elapsed}]") as bar:

        def progress(done: float, total: float) -> None:
            bar.total = total
            bar.update(done - bar.n)

        titles = [chapter.title for chapter in head.chapters]
        with write_folder(run_dir / "book", last="book.json") as folder:
            book = make_book(clips, titles, metadata, config.book, folder, progress)
    remove_beginning(run_dir)
    return {
        "m4b": str(run_dir / "book" / book.m4b.name),
        "seconds": book.seconds,
        "loudness_lufs": book.loudness_lufs,
        "chapters": len(book.chapters),
        "omitted": list(book.omitted),
    }
