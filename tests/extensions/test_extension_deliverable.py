"""A deliverable of another distribution, in one file: the table of LJSpeech, `metadata.csv`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import distributions
import pytest
from fakes import FakeModel

from pipeline.config import Config
from pipeline.errors import ConfigError
from pipeline.outputs.dataset.shards import iter_clips
from pipeline.outputs.deliverable import DELIVERABLES, FinishedRun
from pipeline.storage.atomic import write_text


class LJSpeechTable:
    paths = ("metadata.csv",)

    def applies(self, config: Config) -> bool:
        return config.task.name == "dataset"

    def make(self, run: FinishedRun) -> Mapping[str, Any]:
        content = self._content(run)
        write_text(run.directory / "metadata.csv", content)
        return {"rows": content.count("\n")}

    def problems(self, run: FinishedRun) -> Iterator[str]:
        if run.is_whole and (run.directory / "metadata.csv").read_text(encoding="utf-8") != self._content(run):
            yield "metadata.csv: is not the table of the clips"

    def _content(self, run: FinishedRun) -> str:
        rows = iter_clips(run.directory, ["id", "text", "text_normalized"])
        columns = (row.columns for row in rows)
        return "".join(f"{each['id']}|{each['text']}|{each['text_normalized']}\n" for each in columns)


TABLE = LJSpeechTable()


@pytest.fixture
def added() -> Iterator[None]:
    DELIVERABLES.add("ljspeech", TABLE)
    yield
    DELIVERABLES.remove("ljspeech")


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[None]:
    with distributions.installed(tmp_path, "ljspeech = test_extension_deliverable:TABLE", DELIVERABLES):
        yield


@pytest.mark.parametrize("source", ["added", "installed"])
def test_a_deliverable_of_another_distribution(
    source: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    fake_model: FakeModel,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Guards extension: it is made, counted in the report, listed with its checksum, and verified."""
    request.getfixturevalue(source)
    table = tmp_path / "t.csv"
    table.write_text("id,text\na,Room 5.\nb,No.\n")
    run_dir = tmp_path / "runs" / "t"
    command = ["task=dataset", f"input={table}", "source.id_column=id", "model=untrained", "name=t"]
    command += [f"output_dir={run_dir.parent}"]
    assert fake_model.main(command) == 0
    assert not (run_dir / "metadata.csv").exists()
    assert fake_model.main([*command, "extra_deliverables=[ljspeech]"]) == 0
    assert len(fake_model) == 1, "no clip is made again for it"
    assert (run_dir / "metadata.csv").read_text() == "a|Room 5.|Room five.\nb|No.|No.\n"
    assert json.loads((run_dir / "report.json").read_text())["deliverables"] == {"ljspeech": {"rows": 2}}
    assert "  metadata.csv" in (run_dir / "SHA256SUMS").read_text()
    verify = ["task=verify", f"run={run_dir}"]
    assert fake_model.main(verify) == 0
    (run_dir / "metadata.csv").write_text("a|Room 5.|Room five.\n")
    capsys.readouterr()
    assert fake_model.main(verify) == 4
    assert "metadata.csv" in capsys.readouterr().out


@pytest.mark.usefixtures("added")
def test_what_does_not_apply_is_refused_before_a_model_loads(tmp_path: Path, fake_model: FakeModel) -> None:
    command = ["model=untrained", "extra_deliverables=[ljspeech]", f"output_dir={tmp_path}"]
    assert fake_model.main(command) == 2
    assert fake_model.main([*command, "dry_run=true"]) == 2
    assert not fake_model
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["ljspeech", "audiobook"])
def test_names_that_are_not_extras_are_refused(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config(extra_deliverables=[name])
    assert "extra_deliverables" in str(caught.value)
