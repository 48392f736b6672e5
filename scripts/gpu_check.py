"""What to run first where there is a GPU: is the engine right there, and how near is it to what the GPU can do?

Each check prints as it ends; the table comes last. A check that fails says so and lets the others run. Weights are
random, lengths are forced: exactness and speed do not depend on what is said. With `--tiny` all models are small.

usage: python -m scripts.gpu_check [--device cuda] [--tiny] [--bandwidth 3.35e12] [--only WORDS] [--shapes mini,large]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import torch

from scripts.checks import exactness, speed
from scripts.checks.setting import Check, Setting


def run(check: Check, device: torch.device) -> tuple[str, str]:
    """The outcome of a check in a word, and in words."""
    if check.needs_cuda and device.type != "cuda":
        return "skipped: needs CUDA", ""
    try:
        return ("measured" if check.measures else "ok"), check.run()
    except Exception as error:
        traceback.print_exc()
        return "failed", f"{type(error).__name__}: {(str(error).strip() or '?').splitlines()[0][:150]}"


def device_line(device: torch.device) -> str:
    """What this was measured on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"
    return f"torch {torch.__version__}, CUDA {torch.version.cuda}, {name}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tiny", action="store_true", help="small models, to try the script itself")
    parser.add_argument(
        "--bandwidth", type=float, default=3.35e12, help="of the GPU's memory, bytes a second (H100 SXM)"
    )
    parser.add_argument("--only", default="", help="only the checks whose names have these words")
    parser.add_argument("--shapes", default="mini,large", help="of the models whose speed is measured")
    args = parser.parse_args(arguments)

    device = torch.device(args.device)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    shapes = ("tiny",) if args.tiny else tuple(args.shapes.split(","))
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(device, args.tiny, args.bandwidth, shapes, Path(folder))
        checks = [check for check in [*exactness.checks(setting), *speed.checks(setting)] if args.only in check.name]
        rows = []
        for check in checks:
            began = time.perf_counter()
            outcome, words = run(check, device)
            rows.append(f"| {check.name} | {outcome} | {words} | {time.perf_counter() - began:.1f} |")
            print(rows[-1], flush=True)
    print(f"\n{device_line(device)}\n\n| check | outcome | what was found | seconds |\n|---|---|---|---|")
    print("\n".join(rows), flush=True)
    return int(any("| failed |" in row for row in rows))


if __name__ == "__main__":
    sys.exit(main())
