"""A check of another distribution, in one file: it rejects hums, and adds a column to the dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import datasets
import distributions
import numpy as np
import pytest
from fakes import FakeModel, speak

from pipeline.config import ChecksConfig, Config
from pipeline.errors import CheckError, ConfigError
from pipeline.outputs.dataset.shards import finished_shards
from pipeline.quality.check import CHECKS, Checker, Finding
from pipeline.quality.flaws import Flaw
from pipeline.types import Clip, Column, Utterance


class HumInspector:
    def inspect(self, clips: Sequence[Clip]) -> list[Finding]:
        return [self._finding(clip) for clip in clips]

    def _finding(self, clip: Clip) -> Finding:
        rate = float(np.mean(np.signbit(clip.samples[1:]) != np.signbit(clip.samples[:-1]))) * clip.sampling_rate
        is_hum = "hum" in clip.utterance.prompt  # what the fake model makes has no pitch
        flaws = (Flaw("hum", f"{rate:.0f} zero crossings a second"),) if is_hum else ()
        return Finding({"zero_crossings_per_second": rate, "letters": len(clip.utterance.prompt)}, flaws)

    def close(self) -> None:
        """Do nothing: the check has no resources."""


class HumCheck:
    columns = (
        Column("zero_crossings_per_second", "float64", "how often the sign of the samples changes"),
        Column("letters", "int64", "characters of the prompt"),
    )

    def check(self, config: Config) -> None:
        """Accept every setting."""

    def load(self, config: Config) -> HumInspector:
        return HumInspector()


HUM = HumCheck()


@pytest.fixture
def added() -> Iterator[None]:
    CHECKS.add("hum", HUM)
    yield
    CHECKS.remove("hum")


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[None]:
    with distributions.installed(tmp_path, "hum = test_extension_check:HUM", CHECKS):
        yield


@pytest.mark.parametrize("source", ["added", "installed"])
def test_a_check_of_another_distribution(
    source: str, request: pytest.FixtureRequest, tmp_path: Path, fake_model: FakeModel
) -> None:
    """Guards extension: the column is in the shards, the card and `datasets`; the flaw retakes and rejects."""
    request.getfixturevalue(source)
    table = tmp_path / "t.csv"
    table.write_text("id,text,letters\na,Good morning.,five\nb,A long hum.,six\n")
    run_dir = tmp_path / "runs" / "t"
    command = ["task=dataset", f"input={table}", "source.id_column=id", "model=untrained", "name=t"]
    command += [f"output_dir={run_dir.parent}", "checks.extra=[hum]"]
    assert fake_model.main(command) == 0
    assert fake_model.main(["task=verify", f"run={run_dir}"]) == 0
    [row] = datasets.load_dataset(str(run_dir), split="train", cache_dir=str(tmp_path / "cache")).remove_columns(
        "audio"
    )
    assert (row["id"], row["letters"], row["source_letters"]) == ("a", 13, "five")
    assert row["zero_crossings_per_second"] > 0
    [reject] = [reject for shard in finished_shards(run_dir) for reject in shard.rejects]
    assert (reject["id"], reject["takes"]) == ("b", 3)
    assert reject["reason"].startswith("hum: ")
    assert "how often the sign" in (run_dir / "README.md").read_text()
    with table.open("a") as file:
        file.write("c,Another row.,seven\n")
    assert fake_model.main(command) == 0, "the earlier clip is reused with its measures"
    rows = datasets.load_dataset(str(run_dir), split="train", cache_dir=str(tmp_path / "cache2"))["letters"]
    assert list(rows) == [13, 12]


def test_a_check_that_is_not_installed_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        ChecksConfig(extra=["hum"])
    assert "checks.extra" in str(caught.value)


@pytest.mark.usefixtures("added")
@pytest.mark.parametrize("column", [Column("audio", "string", "no"), Column("new", "picture", "no")])
def test_a_check_may_not_take_a_standard_column(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    fake_model: FakeModel,
    column: Column,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Guards the audio and its texts against being replaced."""
    monkeypatch.setattr(HumCheck, "columns", (column,))
    assert fake_model.main(["model=untrained", "checks.extra=[hum]", f"output_dir={tmp_path}"]) == 2
    assert column.name in capsys.readouterr().err


class Broken(HumCheck):
    """A check that returns what it is told to return."""

    def __init__(self, findings: list[Finding] | Exception) -> None:
        self.findings = findings

    def load(self, config: Config) -> Broken:
        return self

    def inspect(self, clips: Sequence[Clip]) -> list[Finding]:
        if isinstance(self.findings, Exception):
            raise self.findings
        return self.findings


MEASURES = {"zero_crossings_per_second": 1.0, "letters": 1}


@pytest.mark.parametrize(
    ("findings", "fact"),
    [
        (ValueError("no pitch"), "no pitch"),
        ([], "0 findings for 1"),
        ([Finding({"letters": 1})], "zero_crossings_per_second"),
        ([Finding({**MEASURES, "other": 1})], "other"),
        ([Finding(MEASURES, (Flaw("Too_Loud", "very"),))], "Too_Loud"),
    ],
    ids=["raises", "too few", "column missing", "column not declared", "code"],
)
def test_a_broken_check_is_named(findings: list[Finding] | Exception, fact: str) -> None:
    """Guards authors of checks against a traceback of the pipeline, or rejects that look like bad data."""
    CHECKS.add("broken", Broken(findings))
    try:
        config = Config(checks=ChecksConfig(extra=["broken"]))
        with closing(Checker(config)) as checker, pytest.raises(CheckError) as caught:
            checker.inspect([speak(Utterance("A hum.", ""))])
    finally:
        CHECKS.remove("broken")
    assert "broken" in str(caught.value)
    assert fact in str(caught.value)
