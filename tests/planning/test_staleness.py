"""A plan that still stands is not made again; one that does not, always is."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import FakeModel
from object_store import StrictStore, store  # noqa: F401  (a fixture)

from pipeline.commands import plan_job as run_module
from pipeline.config import Config, SourceConfig
from pipeline.planning import staleness as unchanged
from pipeline.planning.staleness import plan_digest
from pipeline.storage.paths import content_version, resolve_path


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Grows by one with each plan that is made."""
    plans: list[object] = []
    original = run_module.stage_plan

    def spy(*arguments: object) -> object:
        plans.append(arguments)
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(run_module, "stage_plan", spy)
    return plans


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    table = tmp_path / "texts.jsonl"
    table.write_text("".join(json.dumps({"text": f"Text number {number}."}) + "\n" for number in range(5)))
    return ["task=dataset", f"input={table}", f"output_dir={tmp_path}", "name=run", "planning.shard_size=2"]


def test_the_same_input_is_planned_once(command: list[str], planned: list[object], fake_model: FakeModel) -> None:
    """Guards the minutes that planning a million rows takes, at each resume."""
    assert fake_model.main(command) == 0
    assert fake_model.main(command) == 0
    assert len(planned) == 1


def same_size_and_time(run_dir: Path) -> None:
    table = run_dir.parent / "texts.jsonl"
    before = table.stat()
    table.write_text(table.read_text().replace("number 3", "number 8"))
    os.utime(table, ns=(before.st_atime_ns, before.st_mtime_ns))


def longer_text(run_dir: Path) -> None:
    with (run_dir.parent / "texts.jsonl").open("a") as file:
        file.write('{"text": "One more."}\n')


def missing_shard(run_dir: Path) -> None:
    (run_dir / "plan" / "shard-00001.jsonl").unlink()


def truncated_shard(run_dir: Path) -> None:
    path = run_dir / "plan" / "shard-00001.jsonl"
    path.write_text(path.read_text()[:-9])


def altered_shard(run_dir: Path) -> None:
    path = run_dir / "plan" / "shard-00001.jsonl"
    path.write_text(path.read_text().replace("number", "numbed"))


def stray_shard(run_dir: Path) -> None:
    (run_dir / "plan" / "shard-00009.jsonl").write_text("")


def missing_list_of_what_is_left_out(run_dir: Path) -> None:
    (run_dir / "plan" / "left_out.jsonl").unlink()


def altered_list_of_what_is_left_out(run_dir: Path) -> None:
    (run_dir / "plan" / "left_out.jsonl").write_text("{}\n")


def damaged_head(run_dir: Path) -> None:
    (run_dir / "plan" / "plan.json").write_text("{")


def head_of_an_older_version(run_dir: Path) -> None:
    path = run_dir / "plan" / "plan.json"
    head = json.loads(path.read_text())
    for name in ("buckets", "num_bytes", "input_mark"):
        head.pop(name)
    path.write_text(json.dumps(head))


TEXT_CHANGES = [same_size_and_time, longer_text]
PLAN_CHANGES = [
    missing_shard,
    truncated_shard,
    altered_shard,
    stray_shard,
    missing_list_of_what_is_left_out,
    altered_list_of_what_is_left_out,
    damaged_head,
    head_of_an_older_version,
]


@pytest.mark.parametrize("change", TEXT_CHANGES + PLAN_CHANGES)
def test_whatever_has_changed_is_planned_again(
    command: list[str], planned: list[object], fake_model: FakeModel, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """Guards the promise that a changed text is noticed, and that a damaged plan is mended."""
    assert fake_model.main(command) == 0
    change(tmp_path / "run")
    assert fake_model.main(command) == 0
    assert len(planned) == 2


def test_new_code_plans_anew(
    command: list[str], planned: list[object], fake_model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards against the normalisation of an older version in a run that goes on after an update."""
    assert fake_model.main(command) == 0
    monkeypatch.setattr(unchanged, "_code_digest", lambda: "another")
    assert fake_model.main(command) == 0
    assert len(planned) == 2


def test_what_a_plan_is_made_of_is_in_its_mark(tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "a.csv").write_text("text\nOne.\n")
    marks = {plan_digest(Config(input=str(folder)))}
    (folder / "a.csv").rename(folder / "b.csv")
    marks.add(plan_digest(Config(input=str(folder))))
    marks.add(plan_digest(Config(input=str(folder), seed=1)))
    marks.add(plan_digest(Config(input=str(folder), source=SourceConfig(title="Another"))))
    assert len(marks) == 4
    assert plan_digest(Config(input="owner/name", source=SourceConfig(format="datasets"))) == ""


def test_a_remote_file_is_marked_by_what_its_store_tells(store: type[StrictStore]) -> None:  # noqa: F811
    path = resolve_path("s3://bucket/a.jsonl")
    path.write_text("one")
    assert content_version(path) is None, "size and time alone prove nothing"
    original = store.info

    def with_tag(self: StrictStore, key: str, **more: object) -> dict[str, object]:
        return {**original(self, key, **more), "ETag": f'"{hash(self.objects[key])}"'}

    store.info = with_tag  # type: ignore[method-assign]
    try:
        first = content_version(path)
        path.write_text("two")
        assert first is not None
        assert content_version(path) != first
    finally:
        store.info = original  # type: ignore[method-assign]
