"""What would limit a run of a billion utterances on a thousand GPUs that fail once a minute.

`python -m scripts.simulate` prints it; every assumption is a flag. Small formulas, and beside them a simulation of the
workers, event by event, which must agree with them (`tests/scripts/test_simulate.py`). `docs/log/scale.md` says where
the measured figures among the defaults are from, and which are assumed.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

_DAY = 86_400
_HOPELESS = 500  # failures in the time of a shard: it will never be finished


@dataclass(frozen=True)
class Assumptions:
    """Of a run and its machines; times are in seconds."""

    utterances: float = 1e9
    gpus: int = 1000
    failures_per_minute: float = 1.0  # of all machines together
    clip_seconds: float = 6.0  # audio of an utterance
    real_time: float = 500.0  # seconds of audio a second, by one GPU
    shard_size: int = 128  # utterances
    restart: float = 90.0  # from a failure until the next shard begins: noticed, started, model loaded, warmed up
    write: float = 0.5  # to write a shard and its manifest
    plan_rows: float = 4000.0  # rows planned a second, by one process
    manifests: float = 5000.0  # manifests read a second, by one process
    listed: float = 5000.0  # names listed a second in an object store
    runs: int = 1  # into which the whole is cut, each planned, resumed and ended by itself


@dataclass(frozen=True)
class Forecast:
    """What comes of it; times are in seconds."""

    shards: float
    shard_work: float  # to make and write one, undisturbed
    shard_expected: float  # with failures
    lost_share: float  # of the GPUs' time, to failures: work done again, and restarts
    written_share: float  # of the undisturbed time, to writing
    rendering: float  # wall time of all workers
    planning: float  # of a run, before its first clip
    resuming: float  # of a run: names and manifests
    shards_a_second: float  # that are finished, all workers together
    restarting: float  # GPUs that are starting again, at any time


def forecast(given: Assumptions) -> Forecast:
    """The closed form: failures come at random, and a shard that is hit begins anew after a restart."""
    shards = given.utterances / given.shard_size
    synthesis = given.shard_size * given.clip_seconds / given.real_time
    work = synthesis + given.write
    expected = expected_seconds(work, given.restart, failure_rate(given))
    return Forecast(
        shards=shards,
        shard_work=work,
        shard_expected=expected,
        lost_share=1 - work / expected,
        written_share=given.write / work,
        rendering=shards * expected / given.gpus,
        planning=given.utterances / given.runs / given.plan_rows,
        resuming=shards / given.runs * (1 / given.manifests + 2 / given.listed),  # names of data and of manifests
        shards_a_second=given.gpus / expected,
        restarting=min(float(given.gpus), given.failures_per_minute / 60 * given.restart),
    )


def failure_rate(given: Assumptions) -> float:
    """Failures a second, of one GPU."""
    return given.failures_per_minute / 60 / given.gpus


def expected_seconds(work: float, restart: float, rate: float) -> float:
    """Until `work` seconds have passed without a failure, each failure costing a restart and a new beginning.

    Of n attempts that fail, each lasts as long as it went well, plus the restart; `1 / rate` is the mean time to a
    failure: (1 / rate + restart) * (e^(rate * work) - 1).
    """
    if not rate:
        return work
    return (1 / rate + restart) * math.expm1(rate * work) if rate * work < _HOPELESS else math.inf


def best_shard_size(given: Assumptions) -> int:
    """At which least time is lost to writing and failures together, to a power of 2."""
    sizes = [1 << power for power in range(24)]
    return min(sizes, key=lambda size: forecast(replace(given, shard_size=size)).rendering)


def simulate(given: Assumptions, shards: int, seed: int = 0) -> float:
    """Render so many shards on all GPUs, event by event; returns the wall time until the last is written."""
    rng = random.Random(seed)
    rate = failure_rate(given)
    work = forecast(given).shard_work
    free = [(0.0, gpu) for gpu in range(given.gpus)]
    ends = 0.0
    for _ in range(shards):  # whoever is free first takes the next
        now, gpu = heapq.heappop(free)
        while rate and (survived := rng.expovariate(rate)) < work:
            now += survived + given.restart
        now += work
        ends = max(ends, now)
        heapq.heappush(free, (now, gpu))
    return ends


def limits(given: Assumptions) -> list[tuple[str, float, str]]:
    """What costs wall time in one run, the most first: what, seconds, and what it is paid with."""
    outcome = forecast(given)
    ideal = given.utterances * given.clip_seconds / given.real_time / given.gpus
    found = [
        ("synthesis", ideal, "all GPUs at work"),
        ("planning", outcome.planning, "one process, before the first clip: all GPUs wait"),
        ("resuming", outcome.resuming, "one process, at each new start of the run"),
        ("failures", outcome.rendering * outcome.lost_share, "shards begun anew, and restarts"),
        ("writing", outcome.rendering * (1 - outcome.lost_share) * outcome.written_share, "each worker, after a shard"),
    ]
    return sorted(found, key=lambda entry: -entry[1])


def render(given: Assumptions) -> str:
    """All of it as text."""
    outcome = forecast(given)
    lines = [
        f"{given.utterances:,.0f} utterances, {given.gpus:,} GPUs, {given.failures_per_minute:g} failures a minute, "
        f"{given.runs:,} run{'s' if given.runs > 1 else ''}",
        f"shards           {outcome.shards:,.0f}, {outcome.shards / given.runs:,.0f} in a run's folder",
        f"a shard          {outcome.shard_work:.1f} s, with failures {outcome.shard_expected:.2f} s",
        f"finished         {outcome.shards_a_second:.1f} shards a second; {outcome.restarting:.1f} GPUs are restarting",
        f"rendering        {outcome.rendering / _DAY:.2f} days",
        "",
        "wall time        days      share of synthesis",
    ]
    ideal = next(seconds for name, seconds, _ in limits(given) if name == "synthesis")
    lines += [f"{name:17}{seconds / _DAY:8.3f}  {seconds / ideal:8.2%}  {how}" for name, seconds, how in limits(given)]
    lines += ["", "shard size   shards   lost to failures   to writing   rendering"]
    for size in (16, 64, 128, 512, 2048, 8192, 32768):
        other = forecast(replace(given, shard_size=size))
        lines.append(
            f"{size:10,}{other.shards:11,.0f}{other.lost_share:17.3%}{other.written_share:13.3%}"
            f"{other.rendering / _DAY:10.2f} d"
        )
    lines.append(f"best: {best_shard_size(given):,}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the forecast for the assumptions that the flags give."""
    parser = argparse.ArgumentParser(prog="python -m scripts.simulate", description=__doc__.split("\n")[0])
    defaults = Assumptions()
    for each in fields(Assumptions):
        value = getattr(defaults, each.name)
        parser.add_argument(f"--{each.name.replace('_', '-')}", type=type(value), default=value, help=f"{value:g}")
    print(render(Assumptions(**vars(parser.parse_args(arguments)))))


if __name__ == "__main__":
    main()
