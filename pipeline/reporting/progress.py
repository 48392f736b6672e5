"""Terminal output: messages, warnings, and the progress bar of a run, or one line per shard without a terminal."""

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
_MAX_RATES = 8  # with more workers, the bar does not show the speed of each


def clock(seconds: float) -> str:
    """Return a duration as `1:02:03` or `2:03`."""
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def count(number: int, noun: str) -> str:
    """Return a number with a noun in singular or plural: `1 shard`, `2 shards`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def say(line: str) -> None:
    """Print a message to standard error; control characters are escaped."""
    print("\n".join(map(printable, line.split("\n"))), file=sys.stderr, flush=True)


def warn(warnings: Sequence[str]) -> None:
    """Print the first warnings to standard error, then the number of further ones."""
    for warning in warnings[:_MAX_WARNINGS]:
        say(f"warning: {warning}")
    if len(warnings) > _MAX_WARNINGS:
        say(f"warning: and {len(warnings) - _MAX_WARNINGS} more like these")


def show(text: str) -> None:
    """Print the result of a command to standard output; ignore a reader, such as `| head`, that stops early."""
    try:
        print(text, flush=True)
    except BrokenPipeError:  # otherwise the flush at exit raises the error again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Progress:
    """Progress bar over the utterances of a run, with the accepted audio and the speed.

    A clip is counted when it is generated, and subtracted again if its worker dies before the shard is written.

    Attributes:
        num_retakes: Takes that were refused during this command.
        num_reused: Clips that were reused from earlier work during this command.
    """

    def __init__(
        self, num_utterances: int, num_done: int, num_shards: int, worker_names: Sequence[str] = ("",)
    ) -> None:
        """Show the bar.

        Args:
            num_utterances: Utterances of the run.
            num_done: Utterances in shards that are written already.
            num_shards: Shards of the run.
            worker_names: Names of the workers, indexed by their numbers.
        """
        self.num_retakes = 0
        self.num_reused = 0
        self._worker_names = worker_names
        self._num_shards = num_shards
        self._start = time.monotonic()
        self._num_done = num_done
        self._audio_seconds = [0.0] * len(worker_names)  # accepted audio of each worker, during this command
        # Seconds of each accepted clip by worker and shard, for shards that are not written yet.
        self._unwritten: list[dict[int, list[float]]] = [defaultdict(list) for _ in worker_names]
        self._bar = tqdm(
            total=num_utterances,
            initial=num_done,
            unit="utt",
            desc="rendering",
            disable=None,  # None: shown only in a terminal
            smoothing=0.05,
            bar_format="{desc} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]",
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._bar.close()

    @property
    def audio_seconds(self) -> float:
        """Seconds of audio accepted during this command."""
        return sum(self._audio_seconds)

    def start_clock(self) -> None:
        """Start measuring the speed; call this when the first model is loaded."""
        self._start = time.monotonic()

    def on_take(self, worker: int, shard: int, seconds: float, accepted: bool) -> None:
        """Count a take."""
        if accepted:
            self._audio_seconds[worker] += seconds
            self._unwritten[worker][shard].append(seconds)
        else:
            self.num_retakes += 1
        self._update()

    def on_written(self, worker: int, shard: int, num_utterances: int, is_whole: bool = True) -> None:
        """Count the utterances of a shard or sub-shard that was written."""
        self._unwritten[worker].pop(shard, None)
        self._num_done += num_utterances
        self._update()
        if self._bar.disable and is_whole:
            self.say(f"shard {shard + 1} of {self._num_shards} written: {self.summary()}")

    def on_exit(self, worker: int) -> None:
        """Subtract the unwritten clips of a worker that has exited."""
        self._audio_seconds[worker] -= sum(sum(clips) for clips in self._unwritten[worker].values())
        self._unwritten[worker].clear()
        self._update()

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self._bar.disable:
            say(line)
        else:
            self._bar.write(line, file=sys.stderr)

    def summary(self) -> str:
        """Return the amount of audio and the speed, e.g. `audio 0:42, 3.10x real time, 5 clips reused`.

        With several workers, the speed of each worker that has accepted audio is included.
        """
        audio_seconds = self.audio_seconds
        parts = []
        if audio_seconds > 0:
            elapsed = max(time.monotonic() - self._start, 1e-9)
            speed = f"{audio_seconds / elapsed:.2f}x real time"
            if 1 < len(self._worker_names) <= _MAX_RATES:
                rates = zip(self._worker_names, self._audio_seconds, strict=True)
                speed += f" ({', '.join(f'{name} {seconds / elapsed:.2f}x' for name, seconds in rates if seconds)})"
            parts = [f"audio {clock(audio_seconds)}", speed]
        if self.num_reused:
            parts.append(f"{count(self.num_reused, 'clip')} reused")
        return ", ".join(parts) or "no audio yet"

    def _update(self) -> None:
        num_unwritten = sum(len(clips) for worker in self._unwritten for clips in worker.values())
        self._bar.set_postfix_str(self.summary(), refresh=False)
        self._bar.update(self._num_done + num_unwritten - self._bar.n)
