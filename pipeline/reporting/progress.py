"""What a person sees while a run works: a progress bar, or a line for each shard where there is no terminal."""

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
    """Return a duration as `1:02:03` or `2:03`."""
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 shard`, `2 shards`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def say(line: str) -> None:
    """Print a message to standard error; control characters are escaped."""
    print("\n".join(map(printable, line.split("\n"))), file=sys.stderr, flush=True)


def warn(warnings: Sequence[str]) -> None:
    """Print the first few warnings to standard error, and how many more there are."""
    for warning in warnings[:_MAX_WARNINGS]:
        say(f"warning: {warning}")
    if len(warnings) > _MAX_WARNINGS:
        say(f"warning: and {len(warnings) - _MAX_WARNINGS} more like these")


def show(text: str) -> None:
    """Print the result of a command to standard output, as far as a reader like `| head` takes it."""
    try:
        print(text, flush=True)
    except BrokenPipeError:  # Python flushes again at exit, which would raise it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Progress:
    """A progress bar over the utterances of a run, with the accepted audio and the speed.

    A clip counts when it is generated. The clips of a shard that is lost with its worker do not count any more.

    Attributes:
        num_retakes: Takes that were refused, in this call of the command.
        num_reused: Clips that were taken over from earlier work, in this call of the command.
    """

    def __init__(
        self, num_utterances: int, num_done: int, num_shards: int, worker_names: Sequence[str] = ("",)
    ) -> None:
        """Show the bar.

        Args:
            num_utterances: Of the run.
            num_done: Of these, in shards that are written already.
            num_shards: Of the run.
            worker_names: One name for each worker, by its number.
        """
        self.num_retakes = 0
        self.num_reused = 0
        self._worker_names = worker_names
        self._num_shards = num_shards
        self._start = time.monotonic()
        self._num_done = num_done
        self._audio_seconds = [0.0] * len(worker_names)  # accepted, in this call of the command
        # The seconds of each accepted clip, by worker and by shard; of shards that are not written yet.
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
        """Seconds of accepted audio, in this call of the command."""
        return sum(self._audio_seconds)

    def start_clock(self) -> None:
        """Measure the speed from now on; called when the first model is loaded."""
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
        """Count the utterances of a shard that is written, or of a sub-shard."""
        self._unwritten[worker].pop(shard, None)
        self._num_done += num_utterances
        self._update()
        if self._bar.disable and is_whole:
            self.say(f"shard {shard + 1} of {self._num_shards} written: {self.summary()}")

    def on_exit(self, worker: int) -> None:
        """Subtract the clips of a worker that died before it had written them."""
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
        """Return the audio so far and its speed, e.g. `audio 0:42, 3.10x real time, 5 clips reused`.

        With several workers the speed of each is added, as soon as it has one. Reused clips have no speed.
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
