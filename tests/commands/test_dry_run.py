"""Dry runs, the output of `json=true`, and the check of disk space before a run."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import sys
from collections import namedtuple
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fakes import INFO, RATE, FakeModel

from pipeline.__main__ import main as run
from pipeline.commands.disk_space import Work, disk_problem, estimate_disk, free_bytes
from pipeline.commands.model_loader import ModelLoader
from pipeline.config.compose import compose_config
from pipeline.config.frozen import fingerprint
from pipeline.outputs.dataset.shards import finished_shards, read_manifest
from pipeline.planning import PlanSummary
from pipeline.planning.plan_store import read_head
from pipeline.planning.planner import EstimatedTokens
from pipeline.reporting.as_json import show_json
from pipeline.reporting.journal import Journal
from pipeline.reporting.speeds import Speed, find_speed
from pipeline.storage.locks import write_lock
from pipeline.storage.paths import file_sizes, resolve_path
from pipeline.storage.run_directory import RunDirectory

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "dry_run.md").read_text(encoding="utf-8")
SENTENCE = "The keeper of the lamp went slowly up the long stair, and counted each of the steps as he went. "
BOOK = f"# The Lamp\n\n## One: Oil\n\n{SENTENCE * 3}\n\n## Two: Wick\n\n{SENTENCE * 5}\n"
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "lamp.md"
    path.write_text(BOOK, encoding="utf-8")
    return path


def main(arguments: Sequence[str], model: FakeModel | None = None) -> int:
    """Run a command with a fake model, and with estimated tokens: to load tokenizers takes longer than a command."""
    build = (FakeModel() if model is None else model).build  # a list that is empty at first
    return run(arguments, ModelLoader(build, lambda *_: INFO, lambda _: EstimatedTokens()))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a table and a run of it in `out/run` (WAV). Tests must not change it."""
    folder = tmp_path_factory.mktemp("finished")
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": f"Row {n}. {SENTENCE}"}) + "\n" for n in range(40)), encoding="utf-8")
    assert main(command(path, "name=run")) == 0
    return folder


@pytest.fixture
def rows(tmp_path: Path, finished: Path) -> Path:
    """Return a copy of the folder with the table and its run."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path / "rows.jsonl"


def command(path: Path, *more: str) -> list[str]:
    task = "audiobook" if path.suffix == ".md" else "dataset"
    form = "flac" if task == "audiobook" else "wav"
    common = [f"input={path}", f"output_dir={path.parent / 'out'}", "planning.shard_size=4", f"dataset.format={form}"]
    return [f"task={task}", *common, *more]


def told(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int = 0, model: FakeModel | None = None
) -> dict[str, Any]:
    """Return the JSON that a command prints; it must print nothing else to standard output."""
    capsys.readouterr()
    assert main([*arguments, "json=true"], model) == code
    (line,) = capsys.readouterr().out.splitlines()

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    values: dict[str, Any] = json.loads(line, parse_constant=refuse)
    return values


def documented(section: str) -> set[str]:
    """Return the keys in the first column of a table of docs/dry_run.md."""
    table = DOCUMENT.split(f"### Keys of {section}\n")[1].split("\n#")[0]
    return {key for line in table.splitlines()[3:] for key in re.findall(r"`(\w+)`", line.split("|")[1])}


def set_free(monkeypatch: pytest.MonkeyPatch, free: float) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, round(free)))


# The words


def test_a_reader_is_told_chapters_hours_disk_and_time_first(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(book, "dry_run=true", "speed=2", "price_per_hour=90")) == 0
    text = capsys.readouterr().out
    labels = [line[:16].strip() for line in text.splitlines() if line[:1].strip()]
    assert labels[1:] == [
        "chapter",
        "One: Oil",
        "Two: Wick",
        "chapters",
        "words",
        "utterances",
        "audio",
        "disk",
        "time",
        "cost",
    ]
    values = told(capsys, command(book, "dry_run=true", "speed=2", "price_per_hour=90"))
    assert values["num_chapters"] == 2
    assert [chapter["title"] for chapter in values["chapters"]] == ["One: Oil", "Two: Wick"]
    assert values["render_seconds"] == pytest.approx(values["speech_seconds"] / 2)
    assert values["cost"] == pytest.approx(values["render_seconds"] / 40)
    assert f"words           {values['words']}" in text
    assert f"about {values['cost']:.2f}" in text
    assert f"{values['disk_bytes'] / 1e6:.1f} MB" in text
    assert values["audio_seconds"] > values["speech_seconds"], "the pauses of a book"
    assert sum(chapter["audio_seconds"] for chapter in values["chapters"]) == pytest.approx(values["audio_seconds"])
    assert not (book.parent / "out").exists()


def test_a_time_that_nobody_knows_is_not_made_up(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(book, "dry_run=true", "price_per_hour=2")) == 0
    text = capsys.readouterr().out
    assert "time            not known" in text
    assert "speed=" in text
    assert "cost            not known" in text
    values = told(capsys, command(book, "dry_run=true", "price_per_hour=2"))
    assert (values["speed"], values["render_seconds"], values["cost"]) == (None, None, None)


def test_the_rows_of_a_table_are_counted(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(rows, "dry_run=true")) == 0
    text = capsys.readouterr().out
    assert "rows            40" in text
    assert "m4b" not in text
    assert "pauses" not in text


# The speed of earlier runs


def test_the_speed_is_that_of_a_run_with_the_same_settings(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = json.loads((rows.parent / "out" / "run" / "report.json").read_text(encoding="utf-8"))["session"]
    measured = report["audio_seconds"] / report["wall_seconds"]
    values = told(capsys, command(rows, "dry_run=true", "name=whole"))
    assert values["speed"]["ratio"] == pytest.approx(measured)
    assert Path(values["speed"]["run"]).name == "run"
    assert values["render_seconds"] == pytest.approx(values["speech_seconds"] / measured)
    for other in ("engine.batch_size=4", "engine.device=cuda", "model=untrained", "executor=local"):
        assert find_speed(compose_config(command(rows, other))) is None
    assert find_speed(compose_config(command(rows, "speed=3"))) == Speed(3)


def test_an_unfinished_run_tells_its_speed_by_its_journals(rows: Path) -> None:
    run_dir = rows.parent / "out" / "run"
    (run_dir / "report.json").unlink()
    shutil.rmtree(run_dir / "journal")
    now = [0.0]
    for name in ("cuda-0", "cuda-1"):
        with Journal(run_dir, name, "cpu", wall=lambda: now[0], monotonic=lambda: now[0]) as journal:
            now[0] += 100  # in which the model is loaded
            for _ in range(60):
                now[0] += 1
                journal.record_take(3.0, True, 1.0)
    speed = find_speed(compose_config(command(rows)))
    assert speed
    assert speed.ratio == pytest.approx(6, rel=0.02)
    assert speed.device == "cpu"


def test_a_damaged_report_measures_nothing(rows: Path) -> None:
    (rows.parent / "out" / "other").mkdir()
    RunDirectory(rows.parent / "out" / "other").config.write_text("input: [", encoding="utf-8")
    config = compose_config(command(rows))
    no_time = '{"session": {"audio_seconds": 60, "wall_seconds": 0}, "model": {"device": "cpu"}}'
    for content in ("", "[]", '{"session": null}', no_time):
        (rows.parent / "out" / "run" / "report.json").write_text(content)
        shutil.rmtree(rows.parent / "out" / "run" / "journal", ignore_errors=True)
        assert find_speed(config) is None
    (rows.parent / "out" / "run" / "report.json").unlink()
    os.mkfifo(rows.parent / "out" / "run" / "report.json")
    assert find_speed(config) is None, "and nobody waits for a pipe"


# The disk


def test_a_full_disk_is_told_of_before_the_model_is_loaded(
    rows: Path,
    fake_model: FakeModel,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_free(monkeypatch, 50_000)
    run_dir = rows.parent / "out" / "new"
    new = command(rows, "name=new", "source.limit=4")
    assert main([*new, "dry_run=true"], fake_model) == 3
    assert "REFUSED" in capsys.readouterr().out
    assert main([*new, "dry_run=true", "check_disk=false"], fake_model) == 0
    assert "WARNING" in capsys.readouterr().out
    assert main(new, fake_model) == 3
    error = capsys.readouterr().err
    for fact in (str(run_dir), "kB", "50 kB", "output_dir=", "dataset.format=opus", "check_disk=false"):
        assert fact in error
    assert fake_model == []
    assert not RunDirectory(run_dir).config.exists(), "another format may still be chosen"
    assert not list(run_dir.glob(".plan-next*"))
    assert main([*new, "dataset.format=opus", "check_disk=false"], fake_model) == 0
    assert len(fake_model) == 1


def test_only_what_is_still_missing_must_have_room(
    rows: Path,
    fake_model: FakeModel,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Guards almost finished runs: their own files must not count as missing disk space."""
    run_dir = rows.parent / "out" / "run"
    for index in (3, 7):
        (run_dir / "data" / read_manifest(run_dir / "manifests" / f"shard-{index:05d}.json").file).unlink()
    plan = told(capsys, command(rows, "name=run", "dry_run=true"), model=fake_model)
    set_free(monkeypatch, plan["disk_peak_bytes"] - plan["disk_written_bytes"])
    assert told(capsys, command(rows, "name=run", "dry_run=true"), model=fake_model)["disk_problem"] == ""
    assert main(command(rows, "name=run"), fake_model) == 0
    assert len(list(finished_shards(run_dir))) == 10
    shutil.rmtree(run_dir / "data")
    assert main(command(rows, "name=run"), fake_model) == 3
    assert len(fake_model) == 1


def test_what_is_estimated_is_what_is_written(finished: Path) -> None:
    run_dir = finished / "out" / "run"
    head = read_head(run_dir)
    config = compose_config(command(finished / "rows.jsonl"))
    needs = estimate_disk(config, Work(head.shard_seconds, head.num_utterances, 0, RATE))
    written = sum(file_sizes(run_dir).values())
    assert 0.8 < needs.total_bytes / written < 1.25
    assert needs.peak_bytes > needs.total_bytes


def test_a_remote_place_is_not_asked_but_its_temporary_files_are(monkeypatch: pytest.MonkeyPatch) -> None:
    set_free(monkeypatch, 1000)
    run_dir = resolve_path("memory://bucket/run")
    assert free_bytes(run_dir) is None
    needs = estimate_disk(compose_config([]), Work([60.0], 10, 60.0, 16_000))
    assert "TMPDIR" in disk_problem(compose_config([]), run_dir, needs)
    set_free(monkeypatch, 10**9)
    assert disk_problem(compose_config([]), run_dir, needs) == ""


# What the run would be refused for


def test_a_run_of_another_config_is_refused_in_the_dry_run(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Guards against a dry run that succeeds although the run would fail, or counts files of another run."""
    mine = told(capsys, command(rows, "name=run", "dry_run=true"))
    assert (mine["refusal"], mine["disk_written_bytes"] > 0) == ("", True)
    other = command(rows, "name=run", "seed=7", "dry_run=true")
    values = told(capsys, other, code=3)
    assert re.search(r"\bseed\b.*\b0\b.*\b7\b", values["refusal"])
    assert values["disk_written_bytes"] == 0
    assert values["utterances"] == mine["utterances"], "all the rest is told as well"
    assert main(other) == 3
    *_, last = capsys.readouterr().out.partition("REFUSED")
    assert re.search(r"\bseed\b.*\b0\b.*\b7\b", last)
    assert main(command(rows, "name=run", "seed=7")) == 3
    assert re.search(r"\bseed\b.*\b0\b.*\b7\b", capsys.readouterr().err)


def test_a_place_that_cannot_be_written_is_refused_in_the_dry_run(
    book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards against exit code 0 if the output is a file or a folder with other files."""
    elsewhere = command(book, "dry_run=true", f"output_dir={book}")
    assert str(book) in told(capsys, elsewhere, code=3)["refusal"]
    (book.parent / "out" / "photos").mkdir(parents=True)
    (book.parent / "out" / "photos" / "sea.jpg").touch()
    for name, code in (("photos", 3), ("new", 0)):
        for dry_run in ("true", "false")[: 2 if code else 1]:
            assert main(command(book, f"name={name}", f"dry_run={dry_run}")) == code


def test_a_run_at_work_is_refused_in_the_dry_run(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Guards against exit code 0 while another process uses the run."""
    with write_lock(rows.parent / "out" / "run"):
        assert f"process {os.getpid()}" in told(capsys, command(rows, "name=run", "dry_run=true"), code=3)["refusal"]
        jobs = ("job_index=0", "num_jobs=2")
        assert told(capsys, command(rows, "name=run", "dry_run=true", *jobs))["refusal"] == ""


def test_standard_input_has_its_own_name(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Guards `input=-`: no temporary file name in the output, and the same piped input is accepted again."""
    lines = b'{"text": "One row of a table."}\n'
    arguments = ["task=dataset", "input=-", "source.format=jsonl", f"output_dir={tmp_path}", "planning.shard_size=4"]
    for _ in range(2):  # before there is a run, and beside one
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
            values = told(capsys, [*arguments, "dry_run=true"])
            assert (values["input"], values["refusal"]) == ("-", "")
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
            assert main(arguments) == 0


@pytest.mark.parametrize("place", [".", "lamp.md", "lamp.md/list.jsonl"])
def test_the_list_of_what_is_left_out_needs_a_file(book: Path, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Guards `left_out`: advice about the file instead of a run, and no overwritten input."""
    path = book.parent / place
    assert main(command(book, "dry_run=true", f"left_out={path}")) == 2
    error = capsys.readouterr().err
    assert f"left_out={path}" in error
    assert "goes on" not in error
    assert book.read_text(encoding="utf-8") == BOOK


def test_a_machine_may_cost_nothing(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Guards `price_per_hour=0`, for users who own the machine, against an error."""
    assert told(capsys, command(book, "dry_run=true", "speed=2", "price_per_hour=0"))["cost"] == 0
    assert main(command(book, "dry_run=true", "price_per_hour=-1")) == 2


def test_no_padding_is_no_negative_number() -> None:
    """Guards against "-0.0%" caused by rounding."""
    assert f"{PlanSummary('wav', RATE, 50.0, seconds=0.3, _padded_seconds=0.1 * 3 - 1e-12).step_waste:.1%}" == "0.0%"


# The JSON


def test_the_commands_of_the_page_are_good() -> None:
    for line in re.findall(r"^python -m pipeline (.*)$", DOCUMENT, re.MULTILINE):
        assert compose_config(shlex.split(line)).dry_run


def test_a_number_that_json_does_not_have_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    show_json({"a": [float("nan"), {"b": float("inf")}], "c": 1.5})
    assert json.loads(capsys.readouterr().out) == {"a": [None, {"b": None}], "c": 1.5}


def test_every_key_is_documented(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = told(capsys, command(rows, "dry_run=true", "verbose=true"))
    assert set(plan) == documented("a dry run")
    assert plan["plan"]["shards"] == 10
    assert sum(bucket["utterances"] for bucket in plan["plan"]["buckets"]) == plan["utterances"]
    run = f"run={rows.parent / 'out' / 'run'}"
    status = told(capsys, ["task=status", run])
    assert set(status) == documented("task=status")
    assert (status["state"], status["clips"], status["speed"]) == ("finished", plan["utterances"], None)
    verified = told(capsys, ["task=verify", run])
    assert set(verified) == documented("task=verify")
    assert (verified["is_whole"], verified["problems"], verified["clips"]) == (True, [], plan["utterances"])
    (rows.parent / "out" / "run" / "rejects.jsonl").unlink()
    verified = told(capsys, ["task=verify", run], code=4)
    assert not verified["is_whole"]
    assert verified["problems"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["task=status", "run=nowhere"],
        ["task=verify", "run=nowhere"],
        ["input=nowhere.txt", "dry_run=true"],
        ["dry_rum=true"],
        ["task=preview", "text=Hello."],
        ["dry_run=true", "speed=-1"],
    ],
    ids=" ".join,
)
def test_an_error_is_json_too(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    code = main([*arguments, "json=true"])
    printed = capsys.readouterr()
    values = json.loads(printed.out)
    assert values["exit_code"] == code != 0
    assert values["error"].splitlines()[0] in printed.err


def test_what_is_printed_is_no_part_of_a_run(
    rows: Path, fake_model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards resumed runs: a key that does not affect clips must not cause an error or new clips."""
    output = ["verbose=true", "speed=3", "price_per_hour=2", "check_disk=false"]
    assert fingerprint(compose_config([*output, "json=true"])) == fingerprint(compose_config([]))
    status = told(capsys, command(rows, "name=run", *output), model=fake_model)
    assert set(status) == documented("task=status")
    assert status["state"] == "finished"
    assert fake_model == []
