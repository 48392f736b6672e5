"""Measures what executors cost and bring; the tables of docs/log/scale.md.

    python scripts/executors.py overhead     seconds besides synthesis, with a synthesizer that costs nothing
    python scripts/executors.py workers      one CPU worker with all threads, one with one, and two with one each

Run it on a machine that does nothing else.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import soundfile

from pipeline.__main__ import main as pipeline
from pipeline.audio.encoding import encode
from pipeline.commands import dispatch as run
from pipeline.quality.signal import measure
from pipeline.synthesis.untrained import UntrainedShape, make_untrained
from pipeline.types import Bucket, Clip, Finish, ModelInfo, Utterance

RATE = 44_100
CLIP_SECONDS = 5.0
NUM_CLIPS = 512
ROUNDS = 3
SHAPE = UntrainedShape(hidden=256, heads=8, kv_heads=8, cross_kv_heads=8, ffn=1024, layers=4, codec_hidden=96)


class Free:
    """A synthesizer that costs nothing: each clip is the same noise, as loud as speech."""

    def __init__(self, cpu: Path, *_: object, **__: object) -> None:
        self.cpu = cpu / str(os.getpid())  # where it tells how much of its processor was used between the two below
        self.began = 0.0
        self.info = ModelInfo("free", "", RATE, RATE / 512, 2580, 9, "float32", "cpu")
        self.computed_frames = 0
        rng = np.random.default_rng(0)
        noise = rng.normal(size=round(CLIP_SECONDS * RATE)).cumsum()
        self.samples = (np.diff(noise, prepend=0.0) * 0.05).astype(np.float32)

    def warm_up(self, buckets: Iterable[Bucket]) -> None:
        """Nothing to do, but to look at the clock."""
        self.began = time.process_time()

    def generate(self, utterances: Iterable[Utterance]) -> Iterator[Clip]:
        """The same clip for each."""
        for utterance in utterances:
            yield Clip(utterance, self.samples, RATE, 431, Finish.EOS, seed=utterance.seed)

    def close(self) -> None:
        """Nothing is held."""
        self.cpu.write_text(str(time.process_time() - self.began))


def table(folder: Path, count: int) -> Path:
    """Texts of about five seconds."""
    path = folder / "texts.jsonl"
    line = "It was a bright morning in the harbour, and the {n}th ship of the season had just come in."
    path.write_text("".join(json.dumps({"text": line.format(n=n + 1)}) + "\n" for n in range(count)))
    return path


def session(folder: Path) -> dict[str, Any]:
    """What the report says of the call."""
    report: dict[str, Any] = json.loads((folder / "run" / "report.json").read_text())
    return dict(report["session"])


def overhead() -> None:
    """Seconds of wall time for an hour of audio, besides synthesis."""
    ways = {
        "inline": ["executor=inline"],
        "local, one process": ["executor=local", "executor.devices=[cpu]"],
        "local, two processes": ["executor=local", "executor.devices=[cpu,cpu]"],
    }
    for name, more in ways.items():
        rounds = [hour(more) for _ in range(ROUNDS)]
        wall, cpu = (sorted(round(one[part], 2) for one in rounds) for part in (0, 1))
        print(f"{name}: for an hour of audio {statistics.median(cpu)} CPU s {cpu}, {statistics.median(wall)} s {wall}")
    parts()


def hour(more: list[str]) -> tuple[float, float]:
    """Seconds for an hour of audio: of wall time, and of processors while the work went on."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "cpu").mkdir()
        arguments = [f"input={table(folder, NUM_CLIPS)}", f"output_dir={folder}", "name=run", "task=dataset"]
        arguments += ["checks.length_ratio=0", *more]
        with mock.patch.object(run, "build_synthesizer", partial(Free, folder / "cpu")):
            began = time.process_time()
            assert pipeline(arguments) == 0
            between = time.process_time()
            assert pipeline(arguments) == 0  # plans and finishes once more, and renders nothing
            supervising = (between - began) - (time.process_time() - between)
        workers = {int(path.name): float(path.read_text()) for path in (folder / "cpu").iterdir()}
        workers.pop(os.getpid(), None)  # inline: in what this process has used
        done = session(folder)
    hours = done["audio_seconds"] / 3600
    return done["wall_seconds"] / hours, (sum(workers.values()) + supervising) / hours


def parts() -> None:
    """Of one clip: measuring and encoding, by themselves."""
    samples = Free(Path()).samples
    works: dict[str, Callable[[], object]] = {
        "measures": lambda: measure(samples, RATE),
        "FLAC": lambda: encode(samples, RATE, "flac"),
    }
    for name, work in works.items():
        times = []
        for _ in range(50):
            began = time.process_time()
            work()
            times.append(time.process_time() - began)
        print(f"{name}: {statistics.median(times) / CLIP_SECONDS * 3600:.2f} CPU s an hour of audio")
    print(f"FLAC has {len(encode(samples, RATE, 'flac')) / (2 * len(samples)):.0%} of the size of 16-bit WAV", end="; ")
    print(f"libsndfile {soundfile.__libsndfile_version__}")


def workers() -> None:
    """The real engine, in alternation."""
    cores = os.cpu_count() or 1
    ways = {
        f"one, {cores} threads": (["executor.devices=[cpu]"], cores),
        "one, 1 thread": (["executor.devices=[cpu]"], 1),
        f"{cores}, 1 thread each": ([f"executor.devices=[{','.join(['cpu'] * cores)}]"], cores),
    }
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    used: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model = make_untrained(folder / "model", SHAPE)
        texts = table(folder, 96)
        for number in range(ROUNDS):
            for name, (more, threads) in ways.items():
                command = [sys.executable, "-m", "pipeline", "task=dataset", f"input={texts}", f"model={model}"]
                command += [f"output_dir={folder / f'{name}-{number}'}", "name=run", "planning.shard_size=16"]
                command += ["checks.length_ratio=0", "executor=local", *more]
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                subprocess.run(
                    command,
                    check=True,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={**os.environ, "OMP_NUM_THREADS": str(threads)},
                )
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                done = session(folder / f"{name}-{number}")
                speeds[name].append(done["audio_seconds"] / done["wall_seconds"])
                used[name].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    for name in ways:
        speed, cpu = statistics.median(speeds[name]), statistics.median(used[name])
        print(f"{name}: {speed:.2f}x real time {[round(s, 2) for s in speeds[name]]}, {cpu:.0f} CPU s with start-up")


if __name__ == "__main__":
    {"overhead": overhead, "workers": workers}[sys.argv[1]]()
