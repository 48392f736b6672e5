"""What a person sees while a run goes on: one bar, or a line for each shard where there is no terminal.

Owns wording and counting of progress. Knows nothing of where clips come from, but for the names of the workers.
"""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from types import TracebackType

from tqdm import tqdm

from pipeline.errors import printable

_MAX_WARNINGS = 5
_MAX_RATES = 8  # workers whose own speed has room beside the bar


def clock(seconds: float) -> str:
    """Seconds as `1:02:03` or `2:03`."""
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def count(number: int, noun: str) -> str:
    """`1 shard`, `2 shards`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def say(line: str) -> None:
    """Tells a person something, beside what the command prints."""
    print("\n".join(map(printable, line.split("\n"))), file=sys.stderr, flush=True)


def warn(warnings: Sequence[str]) -> None:
    """Tells a person the first of several warnings, and how many there are."""
    for warning in warnings[:_MAX_WARNINGS]:
        say(f"warning: {warning}")
    if len(warnings) > _MAX_WARNINGS:
        say(f"warning: and {len(warnings) - _MAX_WARNINGS} more of the kind")


def show(text: str) -> None:
    """Prints what was asked for: of `| head` and the like no more than they take."""
    try:
        print(text, flush=True)
    except BrokenPipeError:  # what is flushed when Python ends would raise it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Progress:
    """Counts utterances as they are finished, and the audio that was accepted.

    Clips count when they are made; those of a shard that its worker's death has cost do not count any more.
    """

    def __init__(self, num_utterances: int, num_done: int, num_shards: int, workers: Sequence[str] = ("",)) -> None:
        self.num_retakes = 0
        self._workers = workers
        self._num_shards = num_shards
        self._start = time.monotonic()
        self._num_done = num_done  # of shards that are written
        self._audio_seconds = [0.0] * len(workers)  # accepted, in this call of the command
        self._in_hand: list[dict[int, list[float]]] = [defaultdict(list) for _ in workers]  # clips' seconds, by shard
        self._bar = tqdm(
            total=num_utterances,
            initial=num_done,
            unit="utt",
            desc="rendering",
            disable=None,  # where standard error is no terminal
            smoothing=0.05,
            bar_format="{desc} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]",
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._bar.close()

    @property
    def audio_seconds(self) -> float:
        """Accepted so far, in this call of the command."""
        return sum(self._audio_seconds)

    def begin(self) -> None:
        """The first model is loaded: speed counts from here."""
        self._start = time.monotonic()

    def on_clip(self, worker: int, shard: int, seconds: float, accepted: bool) -> None:
        """A take is done."""
        if accepted:
            self._audio_seconds[worker] += seconds
            self._in_hand[worker][shard].append(seconds)
        else:
            self.num_retakes += 1
        self._show()

    def on_written(self, worker: int, shard: int, num_utterances: int, is_whole: bool = True) -> None:
        """A shard is written, or a piece of one."""
        self._in_hand[worker].pop(shard, None)
        self._num_done += num_utterances
        self._show()
        if self._bar.disable and is_whole:
            self.say(f"shard {shard + 1} of {self._num_shards} written: {self.summary()}")

    def on_death(self, worker: int) -> None:
        """A worker is gone, and with it the clips of the shards in its hands."""
        self._audio_seconds[worker] -= sum(sum(clips) for clips in self._in_hand[worker].values())
        self._in_hand[worker].clear()
        self._show()

    def say(self, line: str) -> None:
        """Prints a line above the bar."""
        if self._bar.disable:
            say(line)
        else:
            self._bar.write(line, file=sys.stderr)

    def summary(self) -> str:
        """Audio so far and how fast, e.g. `audio 0:42, 3.1x real time`; with several workers, of each as well."""
        elapsed = max(time.monotonic() - self._start, 1e-9)
        total = f"audio {clock(self.audio_seconds)}, {self.audio_seconds / elapsed:.2f}x real time"
        if not 1 < len(self._workers) <= _MAX_RATES:
            return total
        rates = zip(self._workers, self._audio_seconds, strict=True)
        return f"{total} ({', '.join(f'{name} {seconds / elapsed:.2f}x' for name, seconds in rates)})"

    def _show(self) -> None:
        num_in_hand = sum(len(clips) for worker in self._in_hand for clips in worker.values())
        self._bar.set_postfix_str(self.summary(), refresh=False)
        self._bar.update(self._num_done + num_in_hand - self._bar.n)
