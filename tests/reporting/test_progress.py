"""Progress of a run and its report: figures of generated and of reused clips."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fakes import INFO, FakeModel

from pipeline.reporting import progress as progress_module
from pipeline.reporting.progress import Progress
from pipeline.reporting.report import Report, RunStats, render_report

SPEED = re.compile(r"\d\.\d\dx")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that progress sees, to be set in its only entry."""
    now = [0.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    return now


def test_speed_is_that_of_generated_audio_since_the_model_was_loaded(clock: list[float]) -> None:
    """Guards the displayed speed against the time for loading the model and against refused takes."""
    with Progress(4, 0, 1, ["a", "b"]) as progress:
        clock[0] = 100.0
        progress.start_clock()
        clock[0] = 110.0
        progress.on_take(0, 0, 30.0, True)
        progress.on_take(1, 0, 10.0, True)
        progress.on_take(1, 0, 99.0, False)
        assert SPEED.findall(progress.summary()) == ["4.00x", "3.00x", "1.00x"]
        progress.on_exit(1)
        assert SPEED.findall(progress.summary()) == ["3.00x", "3.00x"], "the unwritten clip of b is lost"


def test_reused_clips_have_no_speed(clock: list[float]) -> None:
    """Bug: a run whose clips were all reused showed a speed of 0.00x."""
    with Progress(4, 0, 1) as progress:
        clock[0] = 10.0
        assert not SPEED.search(progress.summary())
        progress.num_reused += 4
        progress.on_written(0, 0, 4)
        assert re.search(r"\b4 clips reused\b", progress.summary())
        assert not SPEED.search(progress.summary())
        progress.on_take(0, 1, 10.0, True)
        assert SPEED.findall(progress.summary()) == ["1.00x"]


@pytest.mark.parametrize(("audio_seconds", "speeds"), [(0.0, []), (30.0, ["3.00x", "6.00x"])])
def test_the_report_has_a_speed_only_where_something_was_generated(audio_seconds: float, speeds: list[str]) -> None:
    stats = RunStats(10.0, audio_seconds, 2 * audio_seconds, 0, num_reused=4)
    text = render_report(Report("run", INFO, 9, 9, 0, {}, 45.0, 1.0, 100, 1, stats))
    assert SPEED.findall(text) == speeds
    assert re.search(r"^reused .*\b4 clips\b", text, re.MULTILINE)


def test_a_run_that_reuses_all_clips_shows_no_speed(
    tmp_path: Path, fake_model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards all outputs of such a run: terminal, report.html and status."""
    table = tmp_path / "texts.jsonl"
    table.write_text("".join(json.dumps({"text": f"This is number {n}."}) + "\n" for n in range(6)))
    arguments = ["task=dataset", f"input={table}", f"output_dir={tmp_path}", "name=run"]
    assert fake_model.main(arguments) == 0
    assert SPEED.search(capsys.readouterr().err)
    table.write_text(table.read_text().replace("}", ', "source": "new"}'))  # another plan with the same clips
    assert fake_model.main(arguments) == 0
    error = capsys.readouterr().err
    assert not SPEED.search(error)
    assert re.search(r"\b6 clips\b", error)
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert re.search(r"<b>6</b><span>clips reused", page)
    assert not re.search(r"\b0\.00x", page)
    assert fake_model.main(["task=status", f"run={tmp_path / 'run'}"]) == 0
    assert not SPEED.search(capsys.readouterr().out)
