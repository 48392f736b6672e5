"""What is said of a finished run by those who listen to it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeModel

from scripts.voice import evaluate_run as listen
from scripts.voice.judges import SAMPLING_RATE


class HardOfHearing:
    """Understands the first clip, half of the second and nothing of the third."""

    def __init__(self) -> None:
        self._heard = iter(["This is number one.", "this is", ""])

    def hear(self, samples: Any) -> str:
        assert len(samples) > SAMPLING_RATE // 2
        return next(self._heard)

    def naturalness(self, samples: Any) -> float:
        return 4.0


def test_a_run_is_judged_clip_by_clip_and_its_worst_ones_shown_first(
    tmp_path: Path,
    fake_model: FakeModel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Guards the figure against clips that are judged by the text of another."""
    texts = ("This is number one.", "This is number two.", "Words.")
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    command = ["task=dataset", f"input={tmp_path / 'texts.jsonl'}", f"output_dir={tmp_path}", "name=run"]
    assert fake_model.main(command) == 0
    monkeypatch.setattr(listen, "Judges", HardOfHearing)
    capsys.readouterr()
    assert listen.main([str(tmp_path / "run")]) == 0
    head, *worst = capsys.readouterr().out.splitlines()
    assert re.search(r"\b3\b", head)
    assert re.search(r"\b33\.3 %.*DistillMOS 4\.00", head)
    assert [line.split("%")[0].split()[-1] for line in worst] == ["100", "50", "0"]
    assert listen.main([str(tmp_path / "nothing")]) == 2
