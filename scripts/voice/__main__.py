"""Train the voices in the package: text, speech, codec, decoder, export, evaluation. README.md says how.

    python -m scripts.voice FOLDER --preset cpu --texts novels/
    python -m scripts.voice FOLDER --stages decoder --seconds 540   # a part of one stage; the same command resumes

The stages `codec` and `decoder` need only the codes, so that they can be trained at the same time.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from pipeline.errors import PipelineError
from scripts.voice.neural_teachers import TEACHERS
from scripts.voice.recipe import PRESETS
from scripts.voice.setup import begin
from scripts.voice.stages import VoiceRecipe

STAGES = ("text", "speech", "codes", "codec", "decoder", "export", "evaluate")


def main(arguments: list[str] | None = None) -> int:
    """Run the stages that are asked for, and return the exit code."""
    parser = argparse.ArgumentParser("python -m scripts.voice", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="where everything is kept; the checkpoint ends up in FOLDER/model")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="cpu", help="sizes, see recipe.py")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES, help="default: all, in this order")
    parser.add_argument("--teacher", choices=sorted(TEACHERS), default="hibari")
    parser.add_argument("--texts", type=Path, default=Path("novels"), help="folder of books as *.txt; may be missing")
    parser.add_argument("--voice-packs", type=Path, help="folder of Kokoro's voices, for the teachers kokoro and choir")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--processes", type=int, default=max(1, (os.cpu_count() or 1) - 1), help="that render speech")
    parser.add_argument("--threads", type=int, default=0, help="of torch; default: its own choice")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end each training after so long")
    parser.add_argument("--cool", action="store_true", help="let the learning rate fall to nothing over --seconds")
    parser.add_argument("--rate", type=float, default=1.0, help="times the learning rates of the recipe")
    parser.add_argument("--evaluated", type=int, default=100, help="held-out sentences to judge")
    parser.add_argument("--counted", type=int, default=1_000, help="further ones, to count silent and runaway clips")
    parser.add_argument("--words", type=Path, help="a file of words, one a line, that the tokenizer shall know too")
    parser.add_argument("--start", type=Path, help="an exported checkpoint: a new folder goes on from it")
    given = parser.parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    if given.device.startswith("cuda"):
        torch.set_float32_matmul_precision("high")  # TF32
        torch.backends.cudnn.benchmark = True  # crops have one shape
    recipe = PRESETS[given.preset]
    try:
        begin(given.folder, recipe, given.teacher, given.start)
        voice = VoiceRecipe(
            given.folder, recipe, given.teacher, given.texts, torch.device(given.device), given.voice_packs,
            given.processes, given.seconds, given.cool, given.evaluated, given.counted, given.words, given.start,
            given.rate,
        )  # fmt: skip
        for stage in STAGES:
            if stage in given.stages:
                run: Callable[[], None] = getattr(voice, stage)
                run()
    except PipelineError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
