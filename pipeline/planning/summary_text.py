"""Format the counts of a plan for the terminal: chapters or rows, duration, skipped text, optionally shapes."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.planning.summary import PlanSummary

_TITLE_WIDTH = 40
_MAX_CHAPTERS = 100  # listed without verbose=true


def render_plan(summary: PlanSummary, is_book: bool = False, needs: Sequence[str] = (), verbose: bool = False) -> str:
    """Return the lines of a dry run.

    Args:
        summary: Counts of the whole plan.
        is_book: Whether the task is an audiobook.
        needs: Additional lines about disk, time and cost.
        verbose: Include every chapter, the number of shards, the shapes and the padding.
    """
    lines = [
        *(f"WARNING: {warning}" for warning in summary.left_out.warnings),
        *_chapter_lines(summary, verbose),
        *_overview_lines(summary, is_book),
        *needs,
        *summary.left_out.lines(),
        *(_detail_lines(summary) if verbose else []),
    ]
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Format a duration as `1 h 05 min` or `3 min 20 s`."""
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02} min" if hours else f"{minutes} min {left:02} s"


def size(num_bytes: float) -> str:
    """Format a number of bytes as `1.2 GB`, in powers of ten."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if num_bytes >= factor:
            return f"{num_bytes / factor:,.1f} {unit}"
    return f"{num_bytes / 1000:.0f} kB"


def _overview_lines(summary: PlanSummary, is_book: bool) -> list[str]:
    has_chapters = is_book or (summary.documents == 1 and summary.titles)
    kind, number = ("chapters", summary.chapters) if has_chapters else ("rows", summary.documents)
    pauses = f", of which {duration(summary.pause_seconds)} are pauses" if summary.pause_seconds >= 1 else ""
    left_out = ", ".join(f"{reason} ({count:,})" for reason, count in summary.left_out.stretches.most_common())
    return [
        f"{kind:16}{number:,}",
        f"words           {summary.words:,}",
        f"utterances      {summary.utterances:,}, of which {summary.speakable:,} can be spoken",
        *(f"{'':16}{count:,} rejected: {code}" for code, count in sorted(summary.problems.items())),
        *([f"left out        {left_out}"] if left_out else []),
        f"audio           {duration(summary.seconds + summary.pause_seconds)} (predicted){pauses}",
    ]


def _chapter_lines(summary: PlanSummary, verbose: bool) -> list[str]:
    """List the chapters of a book. Titles of the rows of a table are listed only with `verbose`."""
    if not summary.titles or (summary.documents > 1 and not verbose):
        return []
    shown = list(summary.titles.values())[: None if verbose else _MAX_CHAPTERS]
    rest = summary.chapters - len(shown)
    hint = " (verbose=true lists more)" if len(summary.titles) > len(shown) else ""
    return [
        f"{'chapter':{_TITLE_WIDTH}}{'words':>9}{'utterances':>12}{'audio':>14}",
        *(
            f"{_shorten(chapter.title or '(no title)'):{_TITLE_WIDTH}}"
            f"{chapter.words:9,}{chapter.utterances:12,}{duration(chapter.seconds):>14}"
            for chapter in shown
        ),
        *([f"and {rest:,} more{hint}"] if rest else []),
        "",
    ]


def _detail_lines(summary: PlanSummary) -> list[str]:
    header = "buckets         prompt  description  frames  (seconds)   rows  utterances   batches"
    return [
        f"\nshards          {summary.shards:,}",
        f"padding         {summary.step_waste:.1%} of the steps, {summary.prompt_waste:.1%} of the prompt tokens",
        *([header] if summary.buckets else []),
        *(
            f"{'':16}{bucket.prompt_tokens:6}{bucket.description_tokens:13}{bucket.max_frames:8}"
            f"{bucket.max_frames / summary.frames_per_second:11.1f}{bucket.batch_size:7}"
            f"{count.utterances:12,}{count.batches:10,}"
            for bucket, count in sorted(summary.buckets.items())
        ),
    ]


def _shorten(title: str) -> str:
    line = " ".join(title.split())
    return line if len(line) <= _TITLE_WIDTH else line[: _TITLE_WIDTH - 1] + "\u2026"
