"""Contents of `book.json`: metadata, files with hashes, start and end of every segment, measures of every chapter.

Applications can use it to show the text in time with the audio. `task=verify` uses it to detect changed files. The cues
of the subtitles are made here too, because they have the same times.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.errors import RunDirectoryError
from pipeline.outputs.audiobook.containers import Cue, Mark
from pipeline.outputs.audiobook.joining import HEAD_SECONDS, ChapterSpan
from pipeline.outputs.audiobook.mastering import Measures
from pipeline.outputs.audiobook.timeline import BookSpec, Layout
from pipeline.storage.paths import sha256_of
from pipeline.text.strip_markup import plain_words
from pipeline.types import DIGITAL_SOURCE_TYPE

NOTE = (
    "Times are seconds in the m4b; less a chapter's file_start, they are seconds in its own file. Levels are measured "
    "on the chapter files, before rounding to 16 bits; null is digital silence. The m4b is lossy and may peak a little "
    "higher. acx_technical_spec says which numbers of that specification a chapter meets, and nothing more."
)
OMITTED = "none of its clips was accepted, or all of them are silent"


def book_json(
    layout: Layout, measures: Sequence[Measures], loudness_lufs: float, spec: BookSpec, files: Sequence[Path]
) -> str:
    """Return the text of `book.json`.

    Args:
        layout: Positions of chapters and segments.
        measures: One for each chapter in `layout.chapters`.
        loudness_lufs: Of all chapters, after mastering.
        spec: Metadata and settings of the book.
        files: All other files of the book, completely written.
    """
    metadata, config = spec.metadata, spec.config
    heard = {chapter.index for chapter in layout.chapters}
    contents = {
        "note": NOTE,
        "digital_source_type": DIGITAL_SOURCE_TYPE,
        **{key: value for key, value in asdict(metadata).items() if key != "cover"},
        "seconds": _rounded(layout.num_samples / layout.sampling_rate),
        "sampling_rate": layout.sampling_rate,
        "files": [{"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)} for path in files],
        "mastering": {
            "gain_db": _rounded(layout.gain_db),
            "target_lufs": config.loudness_lufs,
            "loudness_lufs": _rounded(loudness_lufs),
            "peak_limit_dbfs": config.peak_dbfs,
        },
        "chapters": [
            _chapter(layout, span, mark, measured)
            for span, mark, measured in zip(layout.chapters, layout.marks, measures, strict=True)
        ],
        "omitted_chapters": [
            {"number": index + 1, "title": title, "reason": OMITTED}
            for index, title in enumerate(layout.titles)
            if index not in heard
        ],
        "silent_clips": list(layout.silent_clips),
    }
    return json.dumps(contents, ensure_ascii=False, indent=1) + "\n"


def _chapter(layout: Layout, span: ChapterSpan, mark: Mark, measured: Measures) -> dict[str, Any]:
    rate = layout.sampling_rate
    return {
        "number": span.index + 1,
        "title": mark.title,
        "file": layout.names[span.index],
        "start": _rounded(mark.start / rate),
        "end": _rounded(mark.end / rate),
        "file_start": _rounded(span.spoken[0].start / rate - HEAD_SECONDS),
        "measures": {key: _rounded(value) for key, value in asdict(measured).items()},
        "acx_technical_spec": measured.meets_acx(),
        "segments": [
            {
                "id": spoken.id,
                "text": spoken.text,
                "start": _rounded(spoken.start / rate),
                "end": _rounded(spoken.end / rate),
            }
            for spoken in span.spoken
        ],
    }


def _rounded(value: float) -> float | None:
    return None if math.isinf(value) else round(value, 4)


def cues(layout: Layout) -> list[Cue]:
    """Return a subtitle for each audible segment, with Markdown syntax removed."""
    rate = layout.sampling_rate
    return [
        Cue(plain_words(spoken.text), spoken.start / rate, spoken.end / rate)
        for chapter in layout.chapters
        for spoken in chapter.spoken
    ]


def files_of(index: Path) -> list[str]:
    """Return the names of the files that an index lists, without its own name; empty if the index does not exist.

    Raises:
        RunDirectoryError: The file is not a valid `book.json`.
    """
    if not index.exists():
        return []
    try:
        entries = json.loads(index.read_text(encoding="utf-8"))["files"]
        # Older versions list names only, including the name of the index.
        names = [Path(entry if isinstance(entry, str) else entry["name"]).name for entry in entries]
        return [name for name in names if name != index.name]
    except (ValueError, KeyError, TypeError) as error:
        raise RunDirectoryError(
            f"{index}: is damaged, so the old book cannot be replaced; delete its folder and rerun the command"
        ) from error
