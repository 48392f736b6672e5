"""The simulation of a large run against closed forms."""

from dataclasses import replace

import pytest

from scripts.simulate import Cluster, best_shard_size, expected_seconds, limits, main, play, seconds_a_shard

SMALL = Cluster(utterances=200_000, workers=50, speed=100.0, shard_size=500, failures_a_minute=3.0, slots=32)


def test_without_failures_every_worker_makes_its_share() -> None:
    calm = replace(SMALL, failures_a_minute=0.0)  # 400 shards of 40 s on 50 workers: 8 each
    assert play(calm).seconds == pytest.approx(8 * 40)
    assert play(calm).failures == 0
    assert seconds_a_shard(calm) == pytest.approx(40)


def test_what_is_played_is_what_the_closed_form_expects() -> None:
    long = replace(SMALL, utterances=5_000_000)  # so long that the end, where workers idle, hardly counts
    played = [play(long, seed).seconds for seed in range(3)]
    assert sum(played) / 3 == pytest.approx(expected_seconds(long), rel=0.02)
    assert min(played) > long.shards / long.workers * long.shard_seconds * 1.05  # failures do cost


def test_failures_come_at_their_rate() -> None:
    played = play(replace(SMALL, utterances=5_000_000))
    up = 1 - SMALL.failure_rate * SMALL.lost_seconds  # nothing fails while it restarts
    assert played.failures == pytest.approx(played.seconds / 60 * 3 * up, rel=0.1)


def test_a_failure_costs_half_a_shard_and_the_restart() -> None:
    rare = replace(SMALL, failures_a_minute=0.001)
    lost = seconds_a_shard(rare) - rare.shard_seconds
    once = rare.shard_seconds / 2 + rare.lost_seconds
    assert lost == pytest.approx(rare.failure_rate * rare.shard_seconds * once, rel=0.01)


def test_more_failures_ask_for_smaller_shards() -> None:
    sizes = [best_shard_size(replace(Cluster(), failures_a_minute=rate)) for rate in (0.01, 1.0, 100.0)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]


def test_limits_name_the_longest_first() -> None:
    parts = limits(Cluster())
    assert list(parts.values()) == sorted(parts.values(), reverse=True)
    assert parts["planning, one process"] == pytest.approx(1e9 / Cluster().planned_a_second)


def test_the_command_prints_what_limits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--utterances", "1e6", "--workers", "10", "--shard-size", "1000"]) == 0
    printed = capsys.readouterr().out
    assert "played event by event" in printed
    assert "best shard size" in printed
