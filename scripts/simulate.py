"""What a very large run would meet: a billion utterances on a thousand GPUs, of which one fails every minute.

    python -m scripts.simulate
    python -m scripts.simulate --speed 60 --failures-a-minute 10

A worker takes shards one after another. A failure costs it the shard that it is at, what its slots hold besides, and a
restart. `expected_seconds` says in closed form what that makes of the run, `play` plays the same run event by event,
and the table says how long each part would take alone: the longest is what limits first. All figures are flags; the
defaults are those of docs/scale.md where there is a measurement, and say so where there is none.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

_SHARD_SIZES: tuple[int, ...] = tuple(1 << power for power in range(6, 18))


@dataclass(frozen=True)
class Cluster:
    """A run and the machines it is on. Each field is a flag of the command."""

    utterances: float = 1e9
    utterance_seconds: float = 8.0  # of audio, in the mean
    workers: int = 1_000
    speed: float = 500.0  # seconds of audio a worker makes in a second: the goal for one H100, not measured
    shard_size: int = 128  # utterances
    slots: int = 128  # utterances that a worker has under way
    failures_a_minute: float = 1.0  # in the whole cluster
    restart_seconds: float = 60.0  # from a failure to the next step: a new process, the model, its graphs; not measured
    planned_a_second: float = 25_500.0  # rows that one process plans
    manifests_a_second: float = 10_000.0  # that a resumed run looks at
    bytes_a_second_of_audio: float = 48_000.0  # as FLAC at 44.1 kHz, about half of WAV
    checked_bytes_a_second: float = 1e9  # that one core hashes when a run is verified; not measured

    @property
    def shards(self) -> int:
        """Output files."""
        return math.ceil(self.utterances / self.shard_size)

    @property
    def shard_seconds(self) -> float:
        """What one worker needs for one shard, undisturbed."""
        return self.shard_size * self.utterance_seconds / self.speed

    @property
    def failure_rate(self) -> float:
        """Failures of one worker in a second."""
        return self.failures_a_minute / 60 / self.workers

    @property
    def lost_seconds(self) -> float:
        """What a failure costs besides the shard under way: the restart, and the slots' utterances."""
        return self.restart_seconds + self.slots * self.utterance_seconds / self.speed


@dataclass(frozen=True)
class Played:
    """What came of a run that was played."""

    seconds: float
    failures: int


def seconds_a_shard(cluster: Cluster) -> float:
    """Expected time that a worker spends on a shard until it is written, failures included.

    For failures at a constant rate f and a shard of d seconds that is begun anew after each, r seconds later:
    (1 / f + r) (e^(f d) - 1).
    """
    rate, alone = cluster.failure_rate, cluster.shard_seconds
    return alone if rate == 0 else (1 / rate + cluster.lost_seconds) * math.expm1(rate * alone)


def expected_seconds(cluster: Cluster) -> float:
    """Expected wall time of the synthesis; the last shards leave workers idle for about half a shard."""
    return cluster.shards / cluster.workers * seconds_a_shard(cluster) + cluster.shard_seconds / 2


def play(cluster: Cluster, seed: int = 0) -> Played:
    """Plays the synthesis event by event: every worker, shard and failure."""
    chance = random.Random(seed)
    left, failures, end = cluster.shards, 0, 0.0
    free = [(0.0, worker) for worker in range(cluster.workers)]  # when each worker takes its next shard
    mean = math.inf if cluster.failure_rate == 0 else 1 / cluster.failure_rate
    fails_at = [chance.expovariate(1 / mean) if mean < math.inf else math.inf for _ in free]
    while left:
        now, worker = heapq.heappop(free)
        done = now + cluster.shard_seconds
        if fails_at[worker] < done:  # the shard goes back to the others
            failures += 1
            back = max(now, fails_at[worker]) + cluster.lost_seconds
            fails_at[worker] = back + chance.expovariate(1 / mean)
            heapq.heappush(free, (back, worker))
        else:
            left -= 1
            end = max(end, done)
            heapq.heappush(free, (done, worker))
    return Played(end, failures)


def best_shard_size(cluster: Cluster) -> int:
    """The shard size, a power of 2, with which synthesis and one look at all manifests take least time together."""

    def cost(size: int) -> float:
        sized = replace(cluster, shard_size=size)
        return expected_seconds(sized) + sized.shards / sized.manifests_a_second

    return min(_SHARD_SIZES, key=cost)


def limits(cluster: Cluster) -> dict[str, float]:
    """Seconds of each part of a run, alone, longest first."""
    num_bytes = cluster.utterances * cluster.utterance_seconds * cluster.bytes_a_second_of_audio
    parts = {
        "planning, one process": cluster.utterances / cluster.planned_a_second,
        "synthesis, failures included": expected_seconds(cluster),
        "of it lost to failures": expected_seconds(cluster) - expected_seconds(replace(cluster, failures_a_minute=0.0)),
        "looking at all manifests once": cluster.shards / cluster.manifests_a_second,
        "verifying, on all workers": num_bytes / cluster.checked_bytes_a_second / cluster.workers,
    }
    return dict(sorted(parts.items(), key=lambda part: -part[1]))


def report(cluster: Cluster) -> Iterator[str]:
    """The lines that the command prints."""
    audio = cluster.utterances * cluster.utterance_seconds
    seconds = expected_seconds(cluster)
    yield f"{cluster.utterances:,.0f} utterances, {audio / 3600:,.0f} hours of audio, {cluster.workers:,} workers"
    yield f"{cluster.shards:,} shards of {cluster.shard_size:,}, {_span(cluster.shard_seconds)} of one worker each"
    yield ""
    for part, length in limits(cluster).items():
        yield f"  {part:32}{_span(length):>12}"
    yield ""
    played = play(cluster) if cluster.shards <= 2_000_000 else None
    if played:
        yield f"played event by event: {_span(played.seconds)}, {played.failures:,} failures"
    num_bytes = audio * cluster.bytes_a_second_of_audio
    files = 3 * cluster.shards / seconds  # plan, shard and manifest
    yield f"storage must take {num_bytes / 1e12:,.0f} TB at {num_bytes / seconds / 1e9:,.1f} GB/s, {files:,.0f} files/s"
    best = best_shard_size(cluster)
    yield f"best shard size: {best:,} utterances, with which failures cost {_lost_share(cluster, best):.2%}"


def _lost_share(cluster: Cluster, shard_size: int) -> float:
    sized = replace(cluster, shard_size=shard_size)
    return 1 - sized.shard_seconds / seconds_a_shard(sized)


def _span(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:,.1f} s"


def main(arguments: list[str] | None = None) -> int:
    """Prints the table for the figures given."""
    parser = argparse.ArgumentParser("python -m scripts.simulate", description=(__doc__ or "").split("\n")[0])
    for figure in fields(Cluster):
        kind = int if isinstance(figure.default, int) else float
        parser.add_argument(f"--{figure.name.replace('_', '-')}", type=kind, default=figure.default)
    cluster = Cluster(**vars(parser.parse_args(arguments)))
    print("\n".join(report(cluster)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
