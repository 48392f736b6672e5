"""Deliverable: the dataset card, `README.md` and `durations.png`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.config import Config
from pipeline.config.frozen import is_of_first_format
from pipeline.outputs.dataset.card import CardFacts, write_card
from pipeline.outputs.dataset.verify_card import Stated, card_problems
from pipeline.outputs.deliverable import Deliverable, FinishedRun
from pipeline.quality.check import check_columns


class CardDeliverable:
    """Write the dataset card of every run."""

    paths = ("README.md", "durations.png")

    def applies(self, config: Config) -> bool:
        """See `Deliverable`."""
        return True

    def make(self, run: FinishedRun) -> Mapping[str, Any]:
        """See `Deliverable`."""
        write_card(run.directory, card_facts(run))
        return {}

    def problems(self, run: FinishedRun) -> Iterator[str]:
        """See `Deliverable`."""
        if not run.is_whole or not run.model.revision:  # statistics of damaged shards are meaningless
            return
        stated = Stated(
            license=run.config.dataset.license,
            title=run.config.dataset.name,
            seed=run.config.seed,
            revision=run.model.revision,
            is_noise=run.config.model.name == "untrained",
            is_of_first_format=is_of_first_format(run.directory),
        )
        yield from card_problems(run.directory, run.head.kept_columns, stated)


CARD: Deliverable = CardDeliverable()


def card_facts(run: FinishedRun) -> CardFacts:
    """Collect the facts about a run that the card shows in addition to statistics."""
    config, head = run.config, run.head
    by = f", by {head.author}" if head.author else ""
    return CardFacts(
        title=config.dataset.name or run.directory.name,
        source=f"{head.title}{by}" if config.task.name == "audiobook" else Path(config.input).name,
        model=run.model,
        audio_format=config.dataset.format,
        license=config.dataset.license,
        seed=config.seed,
        settings={"sampling": vars(config.engine.sampling), "checks": vars(config.checks)},
        version=__version__,
        is_noise=config.model.name == "untrained",
        kept_columns=head.kept_columns,
        check_meanings={name: column.meaning for name, column in check_columns(config).items()},
    )
