"""What is spoken: novels cut as the pipeline cuts them, and sentences of our own.

Chooses which lines are trained on and which are held out. Knows no audio.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path

from pipeline.config import SourceConfig, TextConfig
from pipeline.planning import predict_seconds
from pipeline.text.segmentation import segment_document
from pipeline.text.sources import read_documents
from scripts.voice.lines import Line, write_lines
from scripts.voice.own_sentences import own_sentences
from scripts.voice.recipe import SpeechRecipe


def choose_lines(texts: Path, folder: Path, recipe: SpeechRecipe, speakers: Mapping[str, float], seed: int) -> None:
    """Writes `held_out.jsonl` and `train.jsonl` into `folder`.

    A sentence is held out with all its repetitions, so that no training line has its words.

    Args:
        texts: A folder of books, `*.txt`; without any, all sentences are our own.
        folder: Where the two files go.
        recipe: How many lines, and of which lengths.
        speakers: Names that the teacher knows, and the share of lines of each.
        seed: Of the shuffling and of our own sentences.
    """
    chance = random.Random(seed)
    wanted_seconds = recipe.hours * 3600
    books = list(dict.fromkeys(_segments(sorted(texts.glob("*.txt")), recipe.segment_seconds)))
    chance.shuffle(books)
    sources = [iter(books), own_sentences(chance)]
    names, speeds, weights = zip(*recipe.paces, strict=True)
    seen: set[str] = set()
    lines: list[Line] = []
    seconds, held_seconds = 0.0, 0.0
    while seconds - held_seconds < wanted_seconds:
        is_own = chance.random() < recipe.own_share
        text = next(sources[is_own], None) or next(sources[1])
        if text in seen:
            continue
        seen.add(text)
        (chosen,) = chance.choices(range(len(names)), weights)
        (speaker,) = chance.choices(list(speakers), list(speakers.values()))
        lines.append(Line(text, speaker, names[chosen], speeds[chosen]))
        seconds += predict_seconds(text) / speeds[chosen]
        if len(lines) == recipe.held_out:
            held_seconds = seconds
    folder.mkdir(parents=True, exist_ok=True)
    write_lines(folder / "held_out.jsonl", lines[: recipe.held_out])
    write_lines(folder / "train.jsonl", lines[recipe.held_out :])
    print(f"text: {len(lines)} lines, about {seconds / 3600:.2f} h, {recipe.held_out} of them held out")


def _segments(books: Sequence[Path], limits: Sequence[float]) -> Iterator[str]:
    for book, limit in zip(books, cycle(limits), strict=False):
        (document,) = read_documents(str(book), SourceConfig())
        text = TextConfig(max_seconds=limit, min_seconds=min(1.0, limit / 4))
        for segment in segment_document(document, text, predict_seconds):
            if segment.problem is None:
                yield segment.spoken
