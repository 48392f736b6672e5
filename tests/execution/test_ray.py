"""Runs with Ray actors, also on a cluster of three logical nodes one of which is removed."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import Checkpoints, build_mortal, build_slow, loader_of
from test_executors import TINY, command, hashes, numbered

from pipeline.__main__ import main
from pipeline.reporting.journal import read_journals

pytest.importorskip("ray")
pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(autouse=True)
def fakes_are_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let actors import the modules that tests share."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))


@pytest.fixture
def cluster(fakes_are_importable: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A cluster of three nodes. Bug: it failed if /tmp/ray, its default folder, did not exist."""
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="r")  # the names of Ray's sockets have to be short
    monkeypatch.setenv("RAY_TMPDIR", folder)
    (Path(folder) / "ray").mkdir()
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 2,
            "num_gpus": 1,
            "object_store_memory": 80 * 2**20,
            "include_dashboard": False,
        },
    )
    for _ in range(2):
        cluster.add_node(num_cpus=2, num_gpus=1, object_store_memory=80 * 2**20)
    yield cluster
    cluster.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def test_a_run_survives_a_lost_node_with_the_same_clips(
    cluster: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards a run on machines that may be taken away, such as spot instances."""
    loader = loader_of(build_slow)
    arguments = command(tmp_path, numbered(72), "planning.shard_size=3")
    assert main(arguments, loader) == 0
    remover = threading.Thread(target=remove_node, args=(cluster, tmp_path / "ray"))
    remover.start()
    address = f"executor.address={cluster.address}"  # type: ignore[attr-defined]
    code = main([*arguments, "name=ray", "executor=ray", address, "executor.backoff_seconds=0"], loader)
    remover.join()
    said = capsys.readouterr().err
    assert code == 0, said
    assert read_journals(tmp_path / "ray").failures, "no worker was lost"
    assert len(list((tmp_path / "ray" / "journal").glob("ray-*"))) == 3, "one worker for each logical GPU"
    assert hashes(tmp_path / "ray") == hashes(tmp_path / "run")
    assert len(hashes(tmp_path / "ray")) == 72
    assert main(["task=verify", f"run={tmp_path / 'ray'}"]) == 0


@pytest.mark.slow
def test_actors_with_the_real_engine_generate_the_same_bytes(tmp_path: Path, checkpoint_of: Checkpoints) -> None:
    """Guards against results that depend on how Ray sets up threads and libraries."""
    arguments = command(tmp_path, numbered(9), f"model={checkpoint_of(TINY)}", "checks.length_ratio=0")
    assert main(arguments) == 0
    assert main([*arguments, "name=ray", "executor=ray", "executor.workers=2"]) == 0
    assert hashes(tmp_path / "ray") == hashes(tmp_path / "run")


def remove_node(cluster: object, run_dir: Path) -> None:
    """Remove a node once each worker has written a shard."""
    deadline = time.monotonic() + 200
    while len([path for path in run_dir.glob("journal/ray-*.jsonl") if '"shard"' in path.read_text()]) < 3:
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)
    cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_poison_is_found_by_actors_as_well(tmp_path: Path) -> None:
    """Guards actors that abort: they are replaced, and the utterance that crashes them is found."""
    texts = ["One.", "This is poison.", "Three."]
    ray = ("executor=ray", "executor.workers=2", "executor.backoff_seconds=0")
    assert main(command(tmp_path, texts, *ray), loader_of(build_mortal)) == 0
    assert len(hashes(tmp_path / "run")) == 2
    assert "worker_died" in (tmp_path / "run" / "rejects.jsonl").read_text()
