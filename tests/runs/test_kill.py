"""The short version of `scripts/kill.py`: SIGKILL for one worker, and for a whole run, during work."""

from __future__ import annotations

from pathlib import Path

from scripts.kill import Bench, Kill


def test_killed_and_resumed_runs_equal_uninterrupted_ones(tmp_path: Path) -> None:
    """Guards against lost and duplicate clips, different audio, and files or workers that are left after SIGKILL."""
    bench = Bench(tmp_path)
    for name, kill in (("worker", Kill("worker", 3, 0.05)), ("whole", Kill("whole", 6, 0.02))):
        outcome = bench.survive(name, kill)
        assert outcome.was_hit
        assert outcome.complaints == ()
        assert outcome.commands == (1 if name == "worker" else 2)
