"""Plan a run: turn the input into shards of utterances, each with a bucket or a problem. No model is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import lru_cache, partial
from typing import Any, NoReturn, Protocol

from tqdm import tqdm

from pipeline.config import Config
from pipeline.errors import ConfigError, SourceError
from pipeline.planning import (
    PlanSummary,
    assign_buckets,
    group_into_shards,
    plan_utterances,
    predict_seconds,
    repeat_documents,
)
from pipeline.planning.buckets import ModelLimits, Shapes
from pipeline.planning.dataset_schema import COLUMN_NAMES
from pipeline.planning.duration import pause_seconds
from pipeline.planning.kept_columns import Type, TypeFinder, dataset_name
from pipeline.quality.check import check_columns
from pipeline.text.readers.dispatch import read_documents
from pipeline.text.segmentation import segment_document
from pipeline.types import Boundary, Document, Shard
from pipeline.voices import Casting

# Utterances at the beginning of a book that are generated first, so that the live preview starts early.
_NUM_PRIORITY = 3


class TokenCounter(Protocol):
    """Counts the tokens of a checkpoint's tokenizers."""

    def count_prompts(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each prompt."""

    def count_description(self, text: str) -> int:
        """Return the number of tokens of a description."""


class EstimatedTokens:
    """Estimate for tokenizers that are not on this machine: a T5 token is about 3.6 characters of English."""

    _CHARACTERS_PER_TOKEN = 3.6

    def count_prompts(self, texts: Sequence[str]) -> list[int]:
        """Return the estimated number of tokens of each prompt."""
        return [self.count_description(text) for text in texts]

    def count_description(self, text: str) -> int:
        """Return the estimated number of tokens."""
        return 1 + round(len(text) / self._CHARACTERS_PER_TOKEN)


class Planner:
    """Plans the input of a config once, and collects the summary, the column types and the skipped text."""

    def __init__(self, config: Config, casting: Casting, tokens: TokenCounter, limits: ModelLimits) -> None:
        is_book = config.task.name == "audiobook"
        pauses = {boundary: pause_seconds(boundary, config.book) for boundary in Boundary if is_book}
        self.summary = PlanSummary(config.dataset.format, limits.sampling_rate, limits.frames_per_second, pauses)
        self.first_document: Document | None = None
        self.column_types = TypeFinder()
        self.check_columns: dict[str, Type] = {name: column.dtype for name, column in check_columns(config).items()}
        self.left_out: list[dict[str, Any]] = []  # source text that is skipped, with reasons
        if standard := COLUMN_NAMES & self.check_columns.keys():
            raise ConfigError(
                f"checks.extra={config.checks.extra}: {min(standard)!r} is a standard column of the dataset; "
                "rename the column in the check"
            )
        self._taken = COLUMN_NAMES | self.check_columns.keys()
        self._config = config
        self._casting = casting
        self._tokens = tokens
        self._limits = limits
        self._count_description = lru_cache(maxsize=4096)(tokens.count_description)

    def shards(self) -> Iterator[Shard]:
        """Yield the shards in reading order, each utterance with a bucket or a problem.

        Raises:
            SourceError: The input cannot be read or contains no text.
        """
        with tqdm(desc="planning", unit=" characters", unit_scale=True, disable=None, delay=2, leave=False) as bar:
            yield from self._shards(bar)

    def _shards(self, bar: tqdm[NoReturn]) -> Iterator[Shard]:
        config = self._config
        segment = partial(segment_document, text=config.text, predict_seconds=predict_seconds, on_paragraph=bar.update)
        ids_may_repeat = config.source.id_column is not None  # generated ids are unique
        documents = repeat_documents(self._documents(bar), config.dataset.readings_per_text)
        self._casting.begin_plan(config.planning.shard_size)
        utterances = plan_utterances(documents, segment, self._casting, config.seed, ids_may_repeat)
        for shard in group_into_shards(utterances, config.planning.shard_size):
            prompt_tokens = self._tokens.count_prompts([utterance.prompt for utterance in shard.utterances])
            placed = assign_buckets(
                shard,
                prompt_tokens,
                [self._count_description(utterance.description) for utterance in shard.utterances],
                Shapes(config.planning, self._limits, config.engine.batch_size),
            )
            if config.task.name == "audiobook" and shard.index == 0:
                first, others = placed.utterances[:_NUM_PRIORITY], placed.utterances[_NUM_PRIORITY:]
                placed = replace(placed, utterances=(*(replace(one, priority=True) for one in first), *others))
            self.summary.add_shard(placed, prompt_tokens)
            yield placed
        if not self.summary.utterances:
            raise SourceError(
                f"{config.input}: the input has no text to speak; check that it is the right file and format"
            )

    def _documents(self, bar: tqdm[NoReturn]) -> Iterator[Document]:
        for document in read_documents(self._config.input, self._config.source):
            self.first_document = self.first_document or document
            if self._config.task.name == "audiobook":  # the size of a table is unknown
                bar.total = sum(len(part.text) for chapter in document.chapters for part in chapter.paragraphs)
            self.left_out += map(asdict, self.summary.add_document(document))
            kept = {dataset_name(name, self._taken): value for name, value in document.columns.items()}
            self.column_types.add(kept)
            yield replace(document, columns=kept)
