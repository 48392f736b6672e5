"""What is spoken: novels cut as the pipeline cuts them, and sentences of our own.

Chooses which lines are trained on and which are not. Knows no audio.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

from pipeline.config import SourceConfig, TextConfig
from pipeline.planning import predict_seconds
from pipeline.text.readers.dispatch import read_documents
from pipeline.text.segmentation import segment_document
from scripts.voice.manifest import Line, write_lines
from scripts.voice.recipe import SpeechRecipe
from scripts.voice.template_sentences import own_sentences


def choose_lines(texts: Path, folder: Path, recipe: SpeechRecipe, speakers: Mapping[str, float], seed: int) -> None:
    """Write `held_out.jsonl`, `train.jsonl` and `counted.jsonl`, which the teacher does not speak, into `folder`.

    No sentence is chosen twice, so that no training line has the words of another part.

    Args:
        texts: A folder of books, `*.txt`; without any, all sentences are our own.
        folder: Where the files go.
        recipe: How many lines, and of which lengths.
        speakers: Names that the teacher knows, and the share of training lines of each; the other parts have all alike.
        seed: Of the shuffling and of our own sentences.
    """
    lines = _lines(texts, recipe, speakers, random.Random(seed))
    judged = (replace(line, speaker=speaker) for line, speaker in zip(lines, cycle(speakers), strict=False))  # in turn
    held_out = list(islice(judged, recipe.held_out))
    train: list[Line] = []
    seconds = 0.0
    while seconds < recipe.hours * 3600:
        train.append(next(lines))
        seconds += predict_seconds(train[-1].text) / train[-1].speed
    folder.mkdir(parents=True, exist_ok=True)
    write_lines(folder / "held_out.jsonl", held_out)
    write_lines(folder / "counted.jsonl", list(islice(judged, recipe.counted)))
    write_lines(folder / "train.jsonl", train)  # last: it says that all are there
    print(f"text: {len(train)} lines of about {seconds / 3600:.2f} h, {len(held_out)} are held out", flush=True)


def _lines(texts: Path, recipe: SpeechRecipe, speakers: Mapping[str, float], chance: random.Random) -> Iterator[Line]:
    """Endless different lines, each with a speaker and a pace."""
    books = list(dict.fromkeys(_segments(sorted(texts.glob("*.txt")), recipe.segment_seconds)))
    chance.shuffle(books)
    sources = [iter(books), own_sentences(chance)]
    names, speeds, weights = zip(*recipe.paces, strict=True)
    seen: set[str] = set()
    while True:
        is_own = chance.random() < recipe.own_share
        text = next(sources[is_own], None) or next(sources[1])
        if text in seen:
            continue
        seen.add(text)
        (chosen,) = chance.choices(range(len(names)), weights)
        (speaker,) = chance.choices(list(speakers), list(speakers.values()))
        yield Line(text, speaker, names[chosen], speeds[chosen])


def _segments(books: Sequence[Path], limits: Sequence[float]) -> Iterator[str]:
    for book, limit in zip(books, cycle(limits), strict=False):
        (document,) = read_documents(str(book), SourceConfig())
        text = TextConfig(max_seconds=limit, min_seconds=min(1.0, limit / 4))
        for segment in segment_document(document, text, predict_seconds):
            if segment.problem is None:
                yield segment.spoken
