"""Trains the Parler decoder on codes: the order of batches, precision, resuming."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scripts.voice.codec import Codes
from scripts.voice.decoder import Batch, Decoder, Example, collate
from scripts.voice.descriptions import any_description
from scripts.voice.prompt_encoding import Reader
from scripts.voice.recipe import Recipe
from scripts.voice.speech import Shard
from scripts.voice.trainer import Training, prepared, quick_products


def examples_of(speech: Sequence[Shard], codes: Sequence[Codes], hop: int) -> list[Example]:
    """The utterances of these shards with their codes."""
    return [
        Example(utterance, rows[utterance.start // hop : (utterance.start + utterance.num_samples) // hop])
        for shard, rows in zip(speech, codes, strict=True)
        for utterance in shard.utterances
    ]


def evened(examples: Sequence[Example]) -> list[Example]:
    """With examples of rarer speakers several times: of one who speaks an eighth as often as the first, twice."""
    count = Counter(example.utterance.line.speaker for example in examples)
    most = max(count.values())
    times = {speaker: round((most / number) ** (1 / 3)) for speaker, number in count.items()}
    return [example for example in examples for _ in range(times[example.utterance.line.speaker])]


class Order:
    """Which examples make the batch of a step: of like length, each example once an epoch, batches shuffled anew."""

    def __init__(self, examples: Sequence[Example], batch_positions: int, seed: int) -> None:
        self._seed = seed
        self.batches: list[list[Example]] = [[]]
        for example in sorted(examples, key=lambda example: example.cost):  # the last is the longest
            if self.batches[-1] and (len(self.batches[-1]) + 1) * example.cost > batch_positions:
                self.batches.append([])
            self.batches[-1].append(example)

    def batch(self, step: int) -> list[Example]:
        """The examples of one step, counted from 0."""
        epoch, place = divmod(step, len(self.batches))
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self.batches))
        return self.batches[order[place]]


@dataclass(frozen=True)
class TrainingSet:
    """What the decoder is trained with."""

    examples: Sequence[Example]
    tokenizer: Any
    num_workers: int = 0  # processes that make batches ahead; 0: none


def train(training: Training, data: TrainingSet, recipe: Recipe, device: torch.device) -> None:
    """Train `training.model` to the last step."""
    examples, tokenizer, workers = data.examples, data.tokenizer, data.num_workers
    decoder = Decoder(training.model, recipe.decoder)
    lines, chance = [example.utterance.line for example in examples], random.Random(recipe.seed)
    reader = Reader(tokenizer, [text for line in lines for text in (line.text, any_description(line, chance))])
    order = Order(evened(examples), recipe.decoder.batch_positions, recipe.seed)

    def make(step: int) -> Batch:
        return collate(order.batch(step), reader, recipe.decoder, recipe.codec, (recipe.seed, step))

    batches = prepared(make, range(training.step, training.steps), workers)

    def losses(_step: int) -> dict[str, Tensor]:
        batch = next(batches).to(device)
        with quick_products(device):
            return decoder.losses(batch)

    training.model.train()
    training.run(losses)
