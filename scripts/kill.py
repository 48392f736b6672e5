"""Kills runs at random moments, resumes them until they are done, and compares each with one that was left alone.

    python scripts/kill.py [runs] [seed]     50 runs, some ten seconds each on two quiet cores

The runs are real commands with two worker processes and the small untrained model. Half of them lose a worker, half
their main process (whose workers must then end by themselves), by SIGKILL: some while they load, most while they work.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.outputs.dataset.shards import finished_shards
from pipeline.outputs.dataset.verify import verify_run
from pipeline.synthesis.untrained import UntrainedShape, make_untrained

NUM_TEXTS = 40
SHARD_SIZE = 2
LONGEST_SECONDS = 300.0  # of one command
SECONDS_TO_END = 10.0  # for workers that have lost their main process
SHAPE = UntrainedShape(mean_seconds=0.4, codec_hidden=24)


@dataclass(frozen=True)
class Kill:
    """What is killed, and when."""

    target: str  # worker or whole
    after_shards: int
    pause_seconds: float


@dataclass(frozen=True)
class Outcome:
    """What became of a run that was killed."""

    kill: Kill
    was_hit: bool  # False: it was done before
    commands: int  # until it was done
    complaints: tuple[str, ...]


class Bench:
    """A model, a table of texts, and what the run of them should give."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        model = make_untrained(folder / "model", SHAPE)
        table = folder / "texts.jsonl"
        table.write_text("".join(json.dumps({"text": f"This is number {n}."}) + "\n" for n in range(NUM_TEXTS)))
        self._command = [
            *(sys.executable, "-m", "pipeline", "task=dataset", f"input={table}", f"model={model}"),
            *(f"output_dir={folder}", f"planning.shard_size={SHARD_SIZE}", "checks.length_ratio=0"),
            "executor.backoff_seconds=0",
        ]
        self.start("whole", "executor=inline").wait()
        self.expected = hashes(folder / "whole")
        assert len(self.expected) == NUM_TEXTS, "the run that is left alone is not whole itself"

    def start(self, name: str, *more: str) -> subprocess.Popen[bytes]:
        """Give the command for a run, in a process group of its own."""
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [*self._command, f"name={name}", *more], stderr=log, stdout=log, start_new_session=True
            )

    def survive(self, name: str, kill: Kill) -> Outcome:
        """Start a run, kill it, and repeat the command until it is finished."""
        run_dir, workers = self.folder / name, ("executor=local", "executor.devices=[cpu,cpu]")
        process = self.start(name, *workers)
        was_hit = strike(process, run_dir, kill)
        complaints, commands = list(see_to_the_end(process)), 1
        while process.returncode and commands < 5:
            process, commands = self.start(name, *workers), commands + 1
            complaints += see_to_the_end(process)
        if process.returncode:
            complaints.append(f"exit code {process.returncode}, see {name}.log")
        if hashes(run_dir) != self.expected:
            complaints.append("ids or audio differ from the run that was left alone")
        complaints += [f"stray: {path.name}" for path in strays(run_dir)]
        complaints += verify_run(run_dir).problems
        return Outcome(kill, was_hit, commands, tuple(complaints))


def hashes(run_dir: Path) -> dict[str, str]:
    """Of every clip's audio, by id."""
    return {clip.id: clip.audio_sha256 for manifest in finished_shards(run_dir) for clip in manifest.clips}


def strays(run_dir: Path) -> Iterator[Path]:
    """What a finished run should not have."""
    yield from run_dir.rglob(".*.tmp")
    left = (".pieces", ".kept", ".previous", ".forgotten", ".plan-next")
    yield from (path for name in left if (path := run_dir / name).exists())


def strike(process: subprocess.Popen[bytes], run_dir: Path, kill: Kill) -> bool:
    """Wait for the moment and kill; return whether there was anything to kill."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while process.poll() is None and len(list(run_dir.glob("data/train-*"))) < kill.after_shards:
        assert time.monotonic() < deadline, f"{run_dir}: makes no progress"
        time.sleep(0.002)
    time.sleep(kill.pause_seconds)
    victims = [process.pid] if kill.target == "whole" else workers_of(process)
    if process.poll() is not None or not victims:
        return False
    try:
        os.kill(victims[kill.after_shards % len(victims)], signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def workers_of(process: subprocess.Popen[bytes]) -> list[int]:
    """Process ids of a run's workers."""
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def see_to_the_end(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """Wait for a command and for all its workers; yields what was wrong with that."""
    process.wait(LONGEST_SECONDS)
    deadline = time.monotonic() + SECONDS_TO_END
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    yield f"a worker of process {process.pid} is left"
    os.killpg(process.pid, signal.SIGKILL)


def moments(runs: int, seed: int) -> Iterator[Kill]:
    """Random kills: one in five while a run loads, the others between its first shard and its last."""
    chance = random.Random(seed)
    for number in range(runs):
        loads = chance.random() < 0.2
        shards = 0 if loads else chance.randrange(1, NUM_TEXTS // SHARD_SIZE)
        yield Kill("worker" if number % 2 else "whole", shards, chance.uniform(0, 8.0 if loads else 0.1))


def main() -> int:
    """Print a line for each run and a table; 1 when anything was lost."""
    runs, seed = (int(argument) for argument in [*sys.argv[1:], *("50", "0")[len(sys.argv) - 1 :]])
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="kill-") as folder:
        bench = Bench(Path(folder))
        for number, kill in enumerate(moments(runs, seed)):
            outcome = bench.survive(f"run-{number}", kill)
            outcomes.append(outcome)
            said = "; ".join(outcome.complaints) or "equal, no stray file, verified"
            print(f"{number:3} {kill.target:6} after {kill.after_shards:2} shards: {said}", flush=True)
    table(outcomes)
    return int(any(outcome.complaints for outcome in outcomes))


def table(outcomes: list[Outcome]) -> None:
    """Print the sums."""
    print("\n| killed | runs | hit while loading | hit at work | done before | commands | not equal or not whole |")
    print("|---|---|---|---|---|---|---|")
    for target in ("worker", "whole"):
        mine = [outcome for outcome in outcomes if outcome.kill.target == target]
        hits = Counter("at work" if one.kill.after_shards else "loading" for one in mine if one.was_hit)
        commands = sum(one.commands for one in mine)
        bad = sum(bool(one.complaints) for one in mine)
        missed = len(mine) - sum(hits.values())
        print(f"| {target} | {len(mine)} | {hits['loading']} | {hits['at work']} | {missed} | {commands} | {bad} |")


if __name__ == "__main__":
    sys.exit(main())
