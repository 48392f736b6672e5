"""The plan for a person: what `dry_run=true` prints.

Owns counting and laying out. Everything is added up in one pass, and what is kept grows with the number of buckets and
of titled chapters, not with the number of utterances.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.planning.buckets import Batch, make_batches
from pipeline.planning.left_out import LeftOut, LeftOutCounts
from pipeline.types import Bucket, Document, Shard, Utterance

_MAX_TITLES = 300  # more than any book has; a table whose every row has a title must not fill the memory
_TITLE_WIDTH = 48
# Measured on synthetic narration, mono, with the default settings of libsndfile. FLAC depends on the noise floor: at
# 44.1 kHz 0.64 bytes a sample without any, 0.88 at -75 dBFS, 1.0 at -65 dBFS; pure noise comes close to WAV.
_BYTES_PER_SAMPLE = {"flac": 0.9, "wav": 2.0}
_BYTES_PER_SECOND = {"opus": 8_000.0, "mp3": 8_600.0}


@dataclass
class ChapterCount:
    """One titled chapter and what is planned of it."""

    title: str
    utterances: int = 0
    seconds: float = 0.0


@dataclass
class BucketCount:
    """What one shape is used for."""

    utterances: int = 0
    batches: int = 0


@dataclass
class PlanSummary:
    """Adds up a plan: every document, then (or in between) every shard whose utterances come from it."""

    audio_format: str
    sampling_rate: int  # Hz
    frames_per_second: float
    documents: int = 0
    chapters: int = 0
    shards: int = 0
    utterances: int = 0
    seconds: float = 0.0  # predicted, of what can be spoken
    problems: Counter[str] = field(default_factory=Counter)  # by code, the part before the colon
    buckets: dict[Bucket, BucketCount] = field(default_factory=dict)
    titles: dict[tuple[str, int], ChapterCount] = field(default_factory=dict)
    left_out: LeftOutCounts = field(default_factory=LeftOutCounts)
    _padded_seconds: float = 0.0
    _bucketed_prompt_tokens: int = 0

    def add_document(self, document: Document) -> list[LeftOut]:
        """Counts a source text and keeps the titles of its chapters; returns what of it is left out."""
        self.documents += 1
        self.chapters += len(document.chapters)
        for index, chapter in enumerate(document.chapters):
            # Rows of a table have one chapter without a title: nothing to list.
            if (chapter.title or len(document.chapters) > 1) and len(self.titles) < _MAX_TITLES:
                self.titles[document.id, index] = ChapterCount(chapter.title)
        return self.left_out.add(document)

    def add_shard(self, shard: Shard, prompt_tokens: Sequence[int]) -> None:
        """Counts a shard whose utterances have their buckets. Token counts are in the shard's order."""
        self.shards += 1
        for utterance, tokens in zip(shard.utterances, prompt_tokens, strict=True):
            self._add_utterance(utterance, tokens)
        for batch in make_batches(shard.utterances):
            self._add_batch(batch)

    def _add_utterance(self, utterance: Utterance, prompt_tokens: int) -> None:
        self.utterances += 1
        if utterance.problem:
            self.problems[utterance.problem.partition(":")[0]] += 1
            return
        self.seconds += utterance.predicted_seconds
        if utterance.bucket is not None:
            self._bucketed_prompt_tokens += prompt_tokens
        segment = utterance.segment
        chapter = self.titles.get((segment.source_id, segment.chapter)) if segment else None
        if chapter:
            chapter.utterances += 1
            chapter.seconds += utterance.predicted_seconds

    def _add_batch(self, batch: Batch) -> None:
        rows = batch.utterances
        self._padded_seconds += len(rows) * max(utterance.predicted_seconds for utterance in rows)
        if batch.bucket is None:
            return
        count = self.buckets.setdefault(batch.bucket, BucketCount())
        count.utterances += len(rows)
        count.batches += 1

    @property
    def step_waste(self) -> float:
        """Share of the decoder's steps that is padding: rows wait for the longest of their batch."""
        return _waste(self.seconds, self._padded_seconds)

    @property
    def prompt_waste(self) -> float:
        """Share of the prompt tokens that is padding."""
        padded = sum(bucket.prompt_tokens * count.utterances for bucket, count in self.buckets.items())
        return _waste(self._bucketed_prompt_tokens, padded)

    @property
    def disk_bytes(self) -> int:
        """Estimated size of the audio files."""
        per_second = _BYTES_PER_SECOND.get(self.audio_format)
        return round(self.seconds * (per_second or _BYTES_PER_SAMPLE[self.audio_format] * self.sampling_rate))

    def __str__(self) -> str:
        """Lays the plan out as a table for a terminal."""
        warnings = [f"WARNING: {warning}" for warning in self.left_out.warnings]
        tables = [*self._bucket_table(), *self._chapter_table(), *self.left_out.lines()]
        return "\n".join([*warnings, *self._overview(), *tables])

    def _overview(self) -> list[str]:
        spoken = self.utterances - sum(self.problems.values())
        problems = [f"{'':16}{count:,} rejected: {code}" for code, count in sorted(self.problems.items())]
        return [
            f"documents       {self.documents:,}",
            *([f"chapters        {self.chapters:,}"] if self.titles else []),
            f"utterances      {self.utterances:,}, of which {spoken:,} can be spoken",
            *problems,
            *([f"left out        {_listed(self.left_out.stretches)}"] if self.left_out.stretches else []),
            f"speech          {_duration(self.seconds)} (predicted)",
            f"shards          {self.shards:,}",
            f"disk            about {_size(self.disk_bytes)} of {self.audio_format}",
            f"padding         {self.step_waste:.1%} of the steps, {self.prompt_waste:.1%} of the prompt tokens",
        ]

    def _bucket_table(self) -> list[str]:
        if not self.buckets:
            return []
        header = "\nbuckets         prompt  description  frames  (seconds)   rows  utterances   batches"
        return [header] + [
            f"{'':16}{bucket.prompt_tokens:6}{bucket.description_tokens:13}{bucket.max_frames:8}"
            f"{bucket.max_frames / self.frames_per_second:11.1f}{bucket.batch_size:7}"
            f"{count.utterances:12,}{count.batches:10,}"
            for bucket, count in sorted(self.buckets.items())
        ]

    def _chapter_table(self) -> list[str]:
        if not self.titles:
            return []
        rest = self.chapters - len(self.titles)
        return [
            f"\n{'chapters kept':16}{'':{_TITLE_WIDTH}}  utterances    predicted",
            *(
                f"{'':16}{_shorten(chapter.title or '(no title)'):{_TITLE_WIDTH}}"
                f"{chapter.utterances:12,}{_duration(chapter.seconds):>13}"
                for chapter in self.titles.values()
            ),
            *([f"{'':16}and {rest:,} more"] if rest else []),
        ]


def _listed(reasons: Counter[str]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())


def _shorten(title: str) -> str:
    line = " ".join(title.split())
    return line if len(line) <= _TITLE_WIDTH else line[: _TITLE_WIDTH - 1] + "\u2026"


def _waste(useful: float, padded: float) -> float:
    return 1 - useful / padded if padded else 0.0


def _duration(seconds: float) -> str:
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {left:02} s"


def _size(num_bytes: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6)):
        if num_bytes >= factor:
            return f"{num_bytes / factor:.1f} {unit}"
    return f"{num_bytes / 1000:.0f} kB"
