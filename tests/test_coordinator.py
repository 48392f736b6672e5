"""Where messages arrive: what is believed of a worker that died, and the shard that comes of its pieces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import INFO, RATE, build_stand_in, speak
from pipeline.storage.run_directory import plan_shard_path

from pipeline.config import Config, ExecutorConfig
from pipeline.errors import RunDirectoryError
from pipeline.execution.coordinator import Coordinator
from pipeline.execution.messages import Claim, Died, Done, Ready, Started, WorkItem
from pipeline.execution.sub_shards import sub_shards_dir
from pipeline.execution.supervisor import Supervisor
from pipeline.execution.worker import RunContext
from pipeline.outputs.dataset.columns import make_row
from pipeline.outputs.dataset.shards import finished_shard, hash_plan, write_shard
from pipeline.planning import shard_to_json_lines
from pipeline.planning.plan_store import PlanHead
from pipeline.reporting.progress import Progress
from pipeline.storage.atomic import write_text
from pipeline.synthesis.checkpoint import Checkpoint
from pipeline.types import Shard, Utterance

PLANNED = tuple(Utterance(f"Words {n}.", "A voice.", seed=n, id=f"u{n}", predicted_seconds=0.1) for n in range(4))
HEAD = PlanHead("f", 1, 4, 1.0, "T", "A", "en", (), "h", (1.0,))


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run of one planned shard."""
    write_text(plan_shard_path(tmp_path, 0), shard_to_json_lines(Shard(0, PLANNED)))
    return tmp_path


@pytest.fixture
def desk(run_dir: Path) -> Iterator[Coordinator]:
    """With one imaginary worker, whose shard is looked into."""
    supervisor = Supervisor(
        (), ["w"], ExecutorConfig(backoff_seconds=0.0), lambda _: 4, [WorkItem(0, (0, 1, 2, 3), alone=True)]
    )
    order = RunContext(run_dir, Config(), HEAD, Checkpoint("m", "r", run_dir, None, {}, 1), (), build_stand_in)
    with Progress(4, 0, 1, ["w"]) as progress:
        yield Coordinator(order, supervisor, progress, ["w"], None)


def make_piece(run_dir: Path, positions: tuple[int, ...], plan_hash: str | None = None) -> None:
    rows = [make_row(speak(PLANNED[position]), f"key-{position}", "en", INFO) for position in positions]
    write_shard(
        sub_shards_dir(run_dir, 0),
        positions[0],
        1,
        rows,
        [],
        sampling_rate=RATE,
        fingerprint="f",
        plan_hash=plan_hash or hash_plan(run_dir, 0),
    )


def give(desk: Coordinator) -> WorkItem | None:
    """What the worker is given, after it was started."""
    desk.supervisor.workers_to_start(0.0)
    for message in (Started(), Ready(INFO), Claim(idle=True)):
        desk.take(0, message)
    ((_, task),) = desk.supervisor.answers()
    return task


def test_a_piece_that_an_earlier_run_has_left_is_not_taken_for_a_larger_one(run_dir: Path, desk: Coordinator) -> None:
    """Bug: a run that was stopped while it looked for a killer could never be finished. SubShards are named by their
    first utterance; with the piece (0, 1) there, (0, 1, 2, 3) counted as done when its worker died, and the shard
    could not be put together, each time anew."""
    make_piece(run_dir, (0, 1))
    assert give(desk) == WorkItem(0, (0, 1, 2, 3), alone=True)
    desk.take(0, Died("ended by SIGKILL"))
    assert give(desk) == WorkItem(0, (0, 1), alone=True)


def test_a_piece_of_another_text_is_not_taken_for_one_of_this(run_dir: Path, desk: Coordinator) -> None:
    """Bug: so was one with the same ids, made before the text was edited."""
    make_piece(run_dir, (0, 1, 2, 3), plan_hash="of the text before")
    give(desk)
    desk.take(0, Died("ended by SIGKILL"))
    assert not desk.supervisor.finished


def test_a_piece_that_its_worker_could_not_tell_of_is_not_made_twice(run_dir: Path, desk: Coordinator) -> None:
    """Guards a worker that dies between its file and its word."""
    task = give(desk)
    assert task is not None
    make_piece(run_dir, task.positions or ())
    desk.take(0, Died("ended by SIGKILL"))
    assert desk.supervisor.finished
    manifest = finished_shard(run_dir, 0)
    assert manifest is not None
    assert [clip.id for clip in manifest.clips] == ["u0", "u1", "u2", "u3"]


def test_a_damaged_piece_is_not_put_into_its_shard(run_dir: Path, desk: Coordinator) -> None:
    """Bug: damaged audio was given a new hash, with which every check passed from then on."""
    task = give(desk)
    assert task is not None
    make_piece(run_dir, task.positions or ())
    (path,) = (sub_shards_dir(run_dir, 0) / "data").iterdir()
    content = path.read_bytes()
    middle = content.index(b"fLaC") + 500
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    with pytest.raises(RunDirectoryError, match="the audio of u0 has changed since it was written: delete the file"):
        desk.take(0, Done(task, 4))
    assert finished_shard(run_dir, 0) is None
