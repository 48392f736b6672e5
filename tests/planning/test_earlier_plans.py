# ruff: noqa: F811 (a fixture from elsewhere is an argument here)
"""What was made for an earlier plan: kept until it is not needed, and then gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from object_store import StrictStore, store  # noqa: F401  (a fixture)

from pipeline.planning.plan_store import delete_previous_runs, earlier_runs, is_half_set_aside
from pipeline.storage.atomic import write_text
from pipeline.storage.paths import file_sizes, resolve_path

FILES = ("data/train-00000-of-00001.parquet", "manifests/shard-00000.json", "plan/plan.json", "plan/shard-00000.jsonl")


def make_previous(run_dir: Path) -> Path:
    for number in ("000", "001"):
        for name in FILES:
            write_text(run_dir / ".previous" / number / name, name)
    return run_dir


def test_a_kill_while_earlier_plans_are_deleted_is_not_taken_for_one_while_they_are_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: the next call set all finished shards aside, and made the whole run again."""
    make_previous(tmp_path)

    def until_killed(folder: Path, **_: object) -> None:
        if folder.exists():
            next(folder.rglob("plan.json")).unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", until_killed)
        with pytest.raises(KeyboardInterrupt):
            delete_previous_runs(tmp_path)
    assert not is_half_set_aside(tmp_path)
    assert earlier_runs(tmp_path) == []
    delete_previous_runs(tmp_path)
    assert list(tmp_path.iterdir()) == [], "what was left of it as well"


@pytest.mark.parametrize("removals", range(2 * len(FILES)))
def test_nor_is_it_in_a_remote_place(removals: int, store: type[StrictStore], monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir = make_previous(resolve_path("s3://bucket/run"))
    remove, countdown = StrictStore._rm, iter([True] * removals)

    def until_killed(self: StrictStore, path: str) -> None:
        if path in self.objects and not next(countdown, False):
            raise KeyboardInterrupt
        remove(self, path)

    with monkeypatch.context() as patch:
        patch.setattr(StrictStore, "_rm", until_killed)
        with pytest.raises(KeyboardInterrupt):
            delete_previous_runs(run_dir)
    assert len(file_sizes(run_dir)) == 2 * len(FILES) - removals
    assert not is_half_set_aside(run_dir)
    delete_previous_runs(run_dir)
    assert file_sizes(run_dir) == {}
