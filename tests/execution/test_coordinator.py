"""The coordinator: the files of a worker that died, and the merge of sub-shards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import INFO, RATE, build_fake, speak, write_shard

from pipeline.config import Config, ExecutorConfig
from pipeline.errors import RunDirectoryError
from pipeline.execution.coordinator import Coordinator
from pipeline.execution.messages import Claim, Died, ItemDone, Ready, Started, WorkItem
from pipeline.execution.supervisor import Supervisor, Workload
from pipeline.execution.worker import RunContext
from pipeline.outputs.dataset.columns import make_row
from pipeline.outputs.dataset.shards import finished_shard, hash_plan
from pipeline.planning import shard_to_json_lines
from pipeline.planning.plan_store import PlanHead
from pipeline.reporting.progress import Progress
from pipeline.storage.atomic import write_text
from pipeline.storage.run_directory import RunDirectory
from pipeline.synthesis.checkpoint import Checkpoint
from pipeline.types import Shard, Utterance

PLANNED = tuple(Utterance(f"Words {n}.", "A voice.", seed=n, id=f"u{n}", predicted_seconds=0.1) for n in range(4))
HEAD = PlanHead("f", 1, 4, 1.0, "T", "A", "en", (), "h", (1.0,))


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run of one planned shard."""
    write_text(RunDirectory(tmp_path).plan_shard(0), shard_to_json_lines(Shard(0, PLANNED)))
    return tmp_path


@pytest.fixture
def coordinator(run_dir: Path) -> Iterator[Coordinator]:
    """A coordinator with one fake worker, whose shard is one sub-shard."""
    workload = Workload(sub_shards=(WorkItem(0, (0, 1, 2, 3), exclusive=True),))
    supervisor = Supervisor(workload, ["w"], ExecutorConfig(backoff_seconds=0.0), lambda _: 4)
    context = RunContext(run_dir, Config(), HEAD, Checkpoint("m", "r", run_dir, None, {}, 1), (), build_fake)
    with Progress(4, 0, 1, ["w"]) as progress:
        yield Coordinator(context, supervisor, progress, ["w"], None)


def make_sub_shard(run_dir: Path, positions: tuple[int, ...], plan_hash: str | None = None) -> None:
    rows = [make_row(speak(PLANNED[position]), f"key-{position}", "en", INFO) for position in positions]
    write_shard(
        RunDirectory(run_dir).sub_shards(0),
        positions[0],
        1,
        rows,
        [],
        sampling_rate=RATE,
        fingerprint="f",
        plan_hash=plan_hash or hash_plan(run_dir, 0),
    )


def assign(coordinator: Coordinator) -> WorkItem | None:
    """Start the worker and return the item that is assigned to it."""
    coordinator.supervisor.workers_to_start(0.0)
    for message in (Started(), Ready(INFO), Claim(idle=True)):
        coordinator.handle(0, message)
    ((_, item),) = coordinator.supervisor.answers()
    return item


def test_a_sub_shard_of_an_earlier_run_is_not_taken_for_a_larger_one(run_dir: Path, coordinator: Coordinator) -> None:
    """Bug: a run that was stopped during the search for poison could never be finished. Sub-shards are named by their
    first position; if (0, 1) was there, (0, 1, 2, 3) counted as done when its worker died, and the merge failed."""
    make_sub_shard(run_dir, (0, 1))
    assert assign(coordinator) == WorkItem(0, (0, 1, 2, 3), exclusive=True)
    coordinator.handle(0, Died("ended by SIGKILL"))
    assert assign(coordinator) == WorkItem(0, (0, 1), exclusive=True)


def test_a_sub_shard_of_another_text_is_not_reused(run_dir: Path, coordinator: Coordinator) -> None:
    """Bug: a sub-shard with the same ids, written before the text was edited, counted as done."""
    make_sub_shard(run_dir, (0, 1, 2, 3), plan_hash="of the earlier text")
    assign(coordinator)
    coordinator.handle(0, Died("ended by SIGKILL"))
    assert not coordinator.supervisor.finished


def test_a_sub_shard_that_its_worker_could_not_report_is_not_generated_twice(
    run_dir: Path, coordinator: Coordinator
) -> None:
    """Guards against lost work of a worker that dies after it has written a file and before it reports it."""
    item = assign(coordinator)
    assert item is not None
    make_sub_shard(run_dir, item.positions or ())
    coordinator.handle(0, Died("ended by SIGKILL"))
    assert coordinator.supervisor.finished
    manifest = finished_shard(run_dir, 0)
    assert manifest is not None
    assert [clip.id for clip in manifest.clips] == ["u0", "u1", "u2", "u3"]


def test_a_damaged_sub_shard_is_not_merged(run_dir: Path, coordinator: Coordinator) -> None:
    """Bug: damaged audio was given a new hash, with which every later check passed."""
    item = assign(coordinator)
    assert item is not None
    make_sub_shard(run_dir, item.positions or ())
    (path,) = (RunDirectory(run_dir).sub_shards(0) / "data").iterdir()
    content = path.read_bytes()
    middle = content.index(b"fLaC") + 500
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    with pytest.raises(RunDirectoryError, match=r"\bu0\b"):
        coordinator.handle(0, ItemDone(item, 4))
    assert finished_shard(run_dir, 0) is None
