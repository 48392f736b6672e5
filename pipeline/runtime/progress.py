"""What a person sees while a run goes on: one bar, or a line for each shard where there is no terminal.

Owns wording and counting of progress. Knows nothing of where clips come from.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType

from tqdm import tqdm

from pipeline.types import Clip


def clock(seconds: float) -> str:
    """Seconds as `1:02:03` or `2:03`."""
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def count(number: int, noun: str) -> str:
    """`1 shard`, `2 shards`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


class Progress:
    """Counts utterances as they are finished, and the audio that was accepted."""

    def __init__(self, num_utterances: int, num_done: int) -> None:
        self.audio_seconds = 0.0  # accepted, in this call of the command
        self.num_retakes = 0
        self._start = time.monotonic()
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

    def on_clip(self, clip: Clip, accepted: bool) -> None:
        """A take is done."""
        if accepted:
            self.audio_seconds += clip.seconds
            self._bar.update()
        else:
            self.num_retakes += 1
        self._bar.set_postfix_str(self.summary(), refresh=False)

    def on_shard(self, number: int, num_shards: int, num_others: int) -> None:
        """A shard is written; `num_others` of its utterances were rejected or taken from an earlier plan."""
        self._bar.update(num_others)
        if self._bar.disable:
            print(f"shard {number} of {num_shards} written: {self.summary()}", file=sys.stderr, flush=True)

    def summary(self) -> str:
        """Audio so far and how fast, e.g. `audio 0:42, 3.1x real time`."""
        elapsed = max(time.monotonic() - self._start, 1e-9)
        return f"audio {clock(self.audio_seconds)}, {self.audio_seconds / elapsed:.2f}x real time"
