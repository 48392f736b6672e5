"""The forecast for a thousand GPUs: its formulas against a simulation, and against cases that are known by heart."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from scripts.simulate import Assumptions, best_shard_size, expected_seconds, failure_rate, forecast, main, simulate

FEW = Assumptions(gpus=20, failures_per_minute=2.0, shard_size=512, restart=40.0, write=1.0, real_time=50.0)


def test_without_failures_nothing_is_lost() -> None:
    outcome = forecast(replace(FEW, failures_per_minute=0.0, utterances=512 * 100, write=0.0))
    assert outcome.lost_share == 0
    assert outcome.rendering == pytest.approx(100 * 512 * 6 / 50 / 20)


def test_rare_failures_cost_half_a_shard_and_a_restart() -> None:
    """Guards the formula by what everyone expects of it: (work / 2 + restart) for each failure."""
    rate, work, restart = 1e-7, 100.0, 30.0
    lost = expected_seconds(work, restart, rate) - work
    assert lost == pytest.approx(rate * work * (work / 2 + restart), rel=1e-4)


@pytest.mark.parametrize("shard_size", [128, 512, 2048])
def test_the_simulation_agrees_with_the_formula(shard_size: int) -> None:
    given = replace(FEW, shard_size=shard_size)
    shards = 12_000
    wall = simulate(given, shards)
    expected = shards * forecast(given).shard_expected / given.gpus
    assert wall == pytest.approx(expected, rel=0.03)


def test_the_best_shard_is_the_one_of_youngs_formula() -> None:
    """Guards the trade: longer shards lose more to a failure, shorter ones write more often."""
    given = replace(FEW, gpus=1000, failures_per_minute=10.0, write=2.0)
    seconds = math.sqrt(2 * given.write / failure_rate(given))
    young = seconds * given.real_time / given.clip_seconds
    assert young / 2 <= best_shard_size(given) <= young * 2


def test_planning_by_one_process_is_divided_by_the_runs() -> None:
    one, many = forecast(Assumptions()), forecast(Assumptions(runs=1000))
    assert many.planning == pytest.approx(one.planning / 1000)
    assert many.rendering == one.rendering


def test_it_prints_what_limits(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--gpus", "10", "--utterances", "1e6"])
    printed = capsys.readouterr().out
    assert "1,000,000 utterances, 10 GPUs" in printed
    assert "planning" in printed
