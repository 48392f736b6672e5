"""The short version of `scripts/kill.py`: one worker and one whole run, killed at work by SIGKILL."""

from __future__ import annotations

from pathlib import Path

from scripts.kill import Bench, Kill


def test_runs_that_are_killed_come_out_as_if_they_had_been_left_alone(tmp_path: Path) -> None:
    """Guards against everything that cannot be caught: lost and doubled clips, other audio, files and workers left."""
    bench = Bench(tmp_path)
    for name, kill in (("worker", Kill("worker", 3, 0.05)), ("whole", Kill("whole", 6, 0.02))):
        outcome = bench.survive(name, kill)
        assert outcome.was_hit
        assert outcome.complaints == ()
        assert outcome.commands == (1 if name == "worker" else 2)
