"""The settings of the reference backend side by side: attention x compile x cache, on this machine.

Each cell loads the model, warms up for two shapes and generates twice in a row, two batches of different lengths. The
second generation is what upstream cannot do with a static cache. Prints one Markdown table, with what is refused and
why.

usage: python scripts/grid.py [MODEL]    MODEL: folder or hub id; default: a small untrained checkpoint
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from pathlib import Path

import torch

from pipeline.config import ATTENTIONS, CACHES, COMPILE_MODES, EngineConfig
from pipeline.errors import PipelineError
from pipeline.synthesis import build_synthesizer
from pipeline.synthesis.untrained import UntrainedShape, make_untrained
from pipeline.types import Bucket, Utterance

BATCHES = (
    (Bucket(64, 64, 200, 4), ["A short one.", "Another, no longer.", "And a third.", "The last."]),
    (
        Bucket(128, 64, 300, 2),
        ["It was a bright cold day in April, and the clocks were striking thirteen.", "So it was."],
    ),
)
VOICE = "A calm voice, very close and clear."


def measure(model: str, attention: str, compile_mode: str, cache: str) -> str:
    """One row of the table: seconds of warm-up, and of each batch with its times real time."""
    torch._dynamo.reset()
    EngineConfig(attention=attention, compile=compile_mode, cache=cache)  # refuses what cannot be, before loading
    synthesizer = build_synthesizer(model, backend="reference", attention=attention, compile=compile_mode, cache=cache)
    start = time.perf_counter()
    synthesizer.warm_up([bucket for bucket, _ in BATCHES])
    cells = [f"{time.perf_counter() - start:.1f}"]
    for bucket, prompts in BATCHES:
        start = time.perf_counter()
        rows = [Utterance(prompt, VOICE, seed=i, id=str(i), bucket=bucket) for i, prompt in enumerate(prompts)]
        audio = sum(clip.seconds for clip in synthesizer.generate(rows))
        seconds = time.perf_counter() - start
        cells.append(f"{seconds:.2f} s, {audio / seconds:.2f}x")
    synthesizer.close()
    return " | ".join(cells)


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        # A constant chance to end would let rounding decide on lengths; half a second on average keeps cells short.
        model = (
            sys.argv[1] if len(sys.argv) > 1 else str(make_untrained(Path(folder), UntrainedShape(mean_seconds=0.5)))
        )
        print("| attention | compile | cache | warm-up s | first batch | second batch |\n|---|---|---|---|---|---|")
        for attention, mode, cache in itertools.product(ATTENTIONS, COMPILE_MODES, CACHES):
            try:
                cells = measure(model, attention, mode, cache)
            except PipelineError as error:
                cells = f"refused: {str(error).split(': ', 1)[1][:90]} | |"
            print(f"| {attention} | {mode} | {cache} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
