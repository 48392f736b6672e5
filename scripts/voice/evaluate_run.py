"""Listens to a finished run: what whisper-tiny.en understands of it, how natural it sounds, and its worst clips.

    pip install --no-deps -r scripts/voice/requirements.txt
    python -m scripts.voice.evaluate_run outputs/story-bundled

Minutes for each hour of speech. Names and old spellings count as errors, though nobody who listens would mind.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.outputs.dataset.columns import Row
from pipeline.outputs.dataset.shards import iter_clips
from scripts.voice.judges import Judges, resampled, word_error_rate

_WORST = 10


@dataclass(frozen=True)
class Judged:
    """One clip, and what the judges say of it."""

    id: str
    said: str
    heard: str
    seconds: float
    naturalness: float

    @property
    def word_error_rate(self) -> float:
        """Of this clip."""
        return word_error_rate([(self.said, self.heard)])


def judge(clips: Iterable[Row], judges: Judges) -> Iterator[Judged]:
    """What the judges say of each clip."""
    for row in clips:
        samples, rate = row.decode()
        at_judges = resampled(samples, rate)
        yield Judged(
            row.id,
            str(row.columns["text_normalized"]),
            judges.hear(at_judges),
            len(samples) / rate,
            judges.naturalness(at_judges),
        )


def summary(judged: list[Judged]) -> str:
    """The figures of a run and, a line each, the clips that were understood worst."""
    minutes = sum(one.seconds for one in judged) / 60
    rate = word_error_rate([(one.said, one.heard) for one in judged])
    naturalness = np.mean([one.naturalness for one in judged])
    lines = [
        f"{len(judged)} clips, {minutes:.1f} minutes: word error rate {100 * rate:.1f} %, DistillMOS {naturalness:.2f}"
    ]
    worst = sorted(judged, key=lambda one: -one.word_error_rate)[:_WORST]
    lines += [f"{one.id}  {100 * one.word_error_rate:3.0f} %  {one.said}  ->  {one.heard}" for one in worst]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Print what is heard in a run."""
    parser = argparse.ArgumentParser("python -m scripts.voice.evaluate_run", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", type=Path, help="directory of a finished run")
    run = parser.parse_args(arguments).run
    judged = list(judge(iter_clips(run), Judges()))
    if not judged:
        print(f"{run}: no clips there; give the directory of a run, e.g. outputs/story-bundled", file=sys.stderr)
        return 2
    print(summary(judged))
    return 0


if __name__ == "__main__":
    sys.exit(main())
