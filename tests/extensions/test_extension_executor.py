"""An executor of another distribution, added without changes to the package: workers in threads."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest
from fakes import build_fake, loader_of

from pipeline.__main__ import main
from pipeline.config import Config
from pipeline.config.frozen import frozen_config
from pipeline.execution import EXECUTORS, RunContext
from pipeline.execution.coordinator import Coordinator
from pipeline.execution.local import failure_message
from pipeline.execution.messages import Claim, Died, Message, Started, WorkItem
from pipeline.execution.pool import MAX_FINAL_CLAIMS, supervise
from pipeline.execution.worker import work
from pipeline.outputs.dataset.shards import finished_shards


class ThreadExecutor:
    """Run `executor.workers` workers in threads of this process."""

    isolates_workers: ClassVar[bool] = False

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self.worker_names = [f"thread-{number}" for number in range(context.config.executor.workers)]

    @classmethod
    def check(cls, config: Config) -> Config:
        return config

    def run(self, coordinator: Coordinator) -> None:
        supervise(coordinator, ThreadPool(self._context, self.worker_names))


class ThreadPool:
    def __init__(self, context: RunContext, names: list[str]) -> None:
        self._context = context
        self._names = names
        self._messages: queue.Queue[tuple[int, Message]] = queue.Queue()
        self._threads: dict[int, tuple[threading.Thread, ThreadChannel]] = {}

    def start(self, number: int) -> None:
        channel = ThreadChannel(number, self._messages)
        thread = threading.Thread(target=self._work, args=(number, channel), daemon=True)
        self._threads[number] = thread, channel
        thread.start()

    def send(self, number: int, answer: WorkItem | None) -> None:
        self._threads[number][1].answers.put(answer)

    def poll(self, timeout: float) -> list[tuple[int, Message]]:
        try:
            return [self._messages.get(timeout=timeout)]
        except queue.Empty:
            return []

    def kill(self, number: int) -> None:
        raise NotImplementedError("a thread cannot be killed")

    def close(self, at_once: bool) -> None:
        for number, (thread, _) in self._threads.items():
            for _ in range(MAX_FINAL_CLAIMS):
                self.send(number, None)
            thread.join()

    def _work(self, number: int, channel: ThreadChannel) -> None:
        channel.report(Started())
        try:
            work(self._context, self._names[number], "cpu", channel)
        except Exception as error:
            channel.report(failure_message(error))
        channel.report(Died("its thread has ended"))


class ThreadChannel:
    def __init__(self, number: int, messages: queue.Queue[tuple[int, Message]]) -> None:
        self.answers: queue.Queue[WorkItem | None] = queue.Queue()
        self._number = number
        self._messages = messages

    def claim(self, claim: Claim) -> WorkItem | None:
        self.report(claim)
        return self.answers.get()

    def report(self, message: Message) -> None:
        self._messages.put((self._number, message))


@pytest.fixture
def threads() -> Iterator[None]:
    EXECUTORS.add("threads", ThreadExecutor)
    yield
    EXECUTORS.remove("threads")


def arguments(folder: Path, name: str, executor: str) -> list[str]:
    table = folder / "texts.jsonl"
    table.write_text("".join(json.dumps({"text": f"This is number {n}."}) + "\n" for n in range(9)))
    inputs = [f"input={table}", f"output_dir={folder}", f"name={name}", "planning.shard_size=2"]
    return ["task=dataset", *inputs, f"executor={executor}", "executor.workers=2"]


def hashes(run_dir: Path) -> dict[str, str]:
    return {clip.id: clip.audio_sha256 for manifest in finished_shards(run_dir) for clip in manifest.clips}


@pytest.mark.usefixtures("threads")
def test_a_run_uses_an_executor_that_a_program_adds(tmp_path: Path) -> None:
    """Guards the extension point, and clips against a dependence on the executor."""
    run = partial(main, loader=loader_of(build_fake))
    assert run(arguments(tmp_path, "threads", "threads")) == 0
    assert {path.stem for path in (tmp_path / "threads" / "journal").iterdir()} == {"thread-0", "thread-1"}
    assert run(arguments(tmp_path, "inline", "inline")) == 0
    assert hashes(tmp_path / "threads") == hashes(tmp_path / "inline")
    assert len(hashes(tmp_path / "inline")) == 9


@pytest.mark.usefixtures("threads")
def test_a_run_is_read_when_its_executor_is_not_installed_any_more(tmp_path: Path) -> None:
    """Guards against a dataset that cannot be verified without the distribution that generated it."""
    assert main(arguments(tmp_path, "run", "threads"), loader_of(build_fake)) == 0
    assert frozen_config(tmp_path / "run").executor.kind == "threads"
    EXECUTORS.remove("threads")
    try:
        assert main(["task=status", f"run={tmp_path / 'run'}"]) == 0
        assert frozen_config(tmp_path / "run").executor.kind == "auto"
    finally:
        EXECUTORS.add("threads", ThreadExecutor)


def test_an_unknown_executor_is_refused_with_the_known_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], threads: None
) -> None:
    """Guards the list of installed executors in the error about an unknown one."""
    for key in ("executor", "executor.kind"):
        assert main(["dry_run=true", f"{key}=thread"]) == 2
        error = capsys.readouterr().err
        assert f"{key}=thread" in error
        assert all(name in error for name in ("threads", "inline", "local", "ray"))


def test_a_run_uses_an_executor_that_another_distribution_installs(tmp_path: Path) -> None:
    """Guards against installed executors that the command does not find by their entry points."""
    info = tmp_path / "toy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    entry = f"threads = {Path(__file__).stem}:{ThreadExecutor.__name__}"
    (info / "entry_points.txt").write_text(f"[parler_pipeline.executors]\n{entry}\n")
    program = (
        "import sys, fakes; from pipeline.__main__ import main; "
        "sys.exit(main(sys.argv[1:], fakes.loader_of(fakes.build_fake)))"
    )
    path = os.pathsep.join(map(str, (tmp_path, *Path(__file__).parents[:3])))
    command = [sys.executable, "-c", program, *arguments(tmp_path, "run", "threads")]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=True)
    assert len(hashes(tmp_path / "run")) == 9
    assert {file.stem for file in (tmp_path / "run" / "journal").iterdir()} == {"thread-0", "thread-1"}
