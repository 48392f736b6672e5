"""Counts of a plan for `dry_run=true`; `summary_text` formats them.

Everything is counted in one pass. Memory grows with the number of buckets and titled chapters, not with the number of
utterances.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.planning.buckets import Batch, make_batches
from pipeline.planning.left_out import LeftOut, LeftOutCounts
from pipeline.types import Boundary, Bucket, Document, Shard, Utterance

_MAX_TITLES = 300  # more than a book has; limits memory for tables with a title in every row
# Measured on synthetic mono narration with the default settings of libsndfile. FLAC depends on the noise floor: at
# 44.1 kHz 0.64 bytes per sample without noise, 0.88 at -75 dBFS, 1.0 at -65 dBFS; pure noise is as large as WAV.
_BYTES_PER_SAMPLE = {"flac": 0.9, "wav": 2.0}
_BYTES_PER_SECOND = {"opus": 8_000.0, "mp3": 8_600.0}


def audio_bytes(seconds: float, audio_format: str, sampling_rate: int) -> int:
    """Return the estimated size of speech in bytes."""
    per_second = _BYTES_PER_SECOND.get(audio_format)
    return round(seconds * (per_second or _BYTES_PER_SAMPLE[audio_format] * sampling_rate))


@dataclass
class ChapterCount:
    """Counts of a titled chapter."""

    title: str
    words: int = 0
    utterances: int = 0
    seconds: float = 0.0  # predicted, including pauses


@dataclass
class BucketCount:
    """Counts of a bucket."""

    utterances: int = 0
    batches: int = 0


@dataclass
class PlanSummary:
    """Counts of a plan. Add each document before the shards that contain its utterances."""

    audio_format: str
    sampling_rate: int  # Hz
    frames_per_second: float
    pauses: Mapping[Boundary, float] = field(default_factory=dict)  # seconds, between the clips of a book
    documents: int = 0
    chapters: int = 0
    shards: int = 0
    utterances: int = 0
    words: int = 0  # of speakable utterances, as in the source
    seconds: float = 0.0  # predicted, of speakable utterances
    pause_seconds: float = 0.0  # predicted, between the clips of a book
    problems: Counter[str] = field(default_factory=Counter)  # reason code -> number of utterances
    buckets: dict[Bucket, BucketCount] = field(default_factory=dict)
    titles: dict[tuple[str, int], ChapterCount] = field(default_factory=dict)
    left_out: LeftOutCounts = field(default_factory=LeftOutCounts)
    _padded_seconds: float = 0.0
    _bucketed_prompt_tokens: int = 0

    def add_document(self, document: Document) -> list[LeftOut]:
        """Count a document and its chapters, and return its text that is not spoken."""
        self.documents += 1
        self.chapters += len(document.chapters)
        for index, chapter in enumerate(document.chapters):
            # Rows of a table have a single chapter without a title, which is not listed.
            if (chapter.title or len(document.chapters) > 1) and len(self.titles) < _MAX_TITLES:
                self.titles[document.id, index] = ChapterCount(chapter.title)
        return self.left_out.add(document)

    def add_shard(self, shard: Shard, prompt_tokens: Sequence[int]) -> None:
        """Count a shard whose utterances have buckets. `prompt_tokens` are in the order of the shard."""
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
        segment = utterance.segment
        words = len((segment.text if segment else utterance.prompt).split())
        pause = self.pauses.get(segment.boundary, 0.0) if segment else 0.0
        self.words += words
        self.seconds += utterance.predicted_seconds
        self.pause_seconds += pause
        if utterance.bucket is not None:
            self._bucketed_prompt_tokens += prompt_tokens
        chapter = self.titles.get((segment.source_id, segment.chapter)) if segment else None
        if chapter:
            chapter.words += words
            chapter.utterances += 1
            chapter.seconds += utterance.predicted_seconds + pause

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
        """Share of the decoder steps that is padding, because a batch runs until its longest row ends."""
        return _waste(self.seconds, self._padded_seconds)

    @property
    def prompt_waste(self) -> float:
        """Share of the prompt tokens that is padding."""
        padded = sum(bucket.prompt_tokens * count.utterances for bucket, count in self.buckets.items())
        return _waste(self._bucketed_prompt_tokens, padded)

    @property
    def speakable(self) -> int:
        """Utterances without a problem."""
        return self.utterances - sum(self.problems.values())


def _waste(useful: float, padded: float) -> float:
    return max(0.0, 1 - useful / padded) if padded else 0.0  # rounding errors can make it slightly negative
