"""Whole runs, from the command line to the files a user opens."""

from __future__ import annotations

import errno
import gc
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import pytest
import soundfile
from fakes import Checkpoints, FakeModel, FakeSynthesizer, loader_of, speak

from pipeline.__main__ import main
from pipeline.outputs.dataset.shards import Manifest, finished_shards, iter_clips, list_manifests, read_manifest
from pipeline.planning.plan_store import read_shard_plan
from pipeline.synthesis.untrained import UntrainedShape
from pipeline.types import Clip, Utterance

TINY = UntrainedShape(mean_seconds=0.4, max_seconds=30.0, codec_hidden=24)
BOOK = """\
# The Lamp

by A. Nobody

## Chapter I: Oil

Mr. Grey lit the lamp at 6 p.m. "Who goes there?" he asked. Nobody answered, and he waited for some time.

It cost him $5.50 in 1893.

## Chapter II: Wick

The wick was trimmed. Then it was trimmed again, because it smoked.[^1]

[^1]: Except once.
"""


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "lamp.md"
    path.write_text(BOOK, encoding="utf-8")
    return path


def command(book: Path, *more: str) -> list[str]:
    return [f"input={book}", f"output_dir={book.parent / 'out'}", "name=run", "planning.shard_size=3", *more]


def hashes(run_dir: Path) -> dict[str, str]:
    """Of every clip's audio, by id."""
    return {clip.id: clip.audio_sha256 for manifest in finished_shards(run_dir) for clip in manifest.clips}


def test_a_book_from_text_to_m4b(book: Path, checkpoint_of: Checkpoints, capsys: pytest.CaptureFixture[str]) -> None:
    """The main journey, with a real (untrained) model and every file that a user opens."""
    model = f"model={checkpoint_of(TINY)}"
    assert main(command(book, model, "checks.length_ratio=0")) == 0
    run_dir = book.parent / "out" / "run"
    report = json.loads((run_dir / "report.json").read_text())
    assert report["num_utterances"] == report["num_clips"] + report["num_rejects"] > 5
    assert report["session"]["computed_seconds"] > report["session"]["audio_seconds"] > 0
    (m4b,) = (run_dir / "book").glob("*.m4b")
    assert m4b.name == "A. Nobody - The Lamp.m4b"
    with av.open(str(m4b)) as container:
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == [
            "Chapter I: Oil",
            "Chapter II: Wick",
        ]
        assert container.metadata["artist"] == "A. Nobody"
    assert len(list((run_dir / "book").glob("*.flac"))) == 2
    assert "# " in (run_dir / "README.md").read_text()
    texts = [row.columns["text_normalized"] for row in iter_clips(run_dir, ["id", "text_normalized"])]
    assert any("five dollars and fifty cents" in text and "eighteen ninety-three" in text for text in texts)
    (left_out,) = (run_dir / "plan" / "left_out.jsonl").read_text().splitlines()
    assert (json.loads(left_out)["reason"], json.loads(left_out)["text"]) == ("footnote", "[^1]: Except once.")
    assert main(["task=verify", f"run={run_dir}"]) == 0
    printed = capsys.readouterr()
    assert str(run_dir / "beginning.wav") in printed.err
    assert not (run_dir / "beginning.wav").exists(), "the book is there"
    planned = read_shard_plan(run_dir, 0).utterances
    assert [utterance.priority for utterance in planned] == [True] * 3 + [False] * (len(planned) - 3)
    assert "Flash attention" not in printed.err


def test_the_same_command_again_does_nothing_twice(book: Path, fake_model: FakeModel) -> None:
    """Guards finished work: a second call must not load a model, nor write a shard."""
    assert fake_model.main(command(book)) == 0
    run_dir = book.parent / "out" / "run"
    before = {path: path.stat().st_mtime_ns for path in (run_dir / "data").iterdir()}
    assert fake_model.main(command(book)) == 0
    assert len(fake_model) == 1
    assert json.loads((run_dir / "report.json").read_text())["session"]["audio_seconds"] > 0, "of the first call"
    assert {path: path.stat().st_mtime_ns for path in (run_dir / "data").iterdir()} == before


def test_a_stopped_run_goes_on_and_is_as_if_never_stopped(book: Path, fake_model: FakeModel) -> None:
    """Guards resume: Ctrl-C in the second shard keeps the first, and the rest comes out the same."""
    assert fake_model.main(command(book, f"output_dir={book.parent / 'whole'}")) == 0
    countdown = iter([True] * 4)

    def until_ctrl_c(utterance: Utterance) -> Clip:
        if not next(countdown, False):
            raise KeyboardInterrupt
        return speak(utterance)

    assert main(command(book), loader_of(lambda *_, **__: FakeSynthesizer(until_ctrl_c))) == 130
    run_dir = book.parent / "out" / "run"
    assert len(hashes(run_dir)) == 3
    assert fake_model.main(command(book)) == 0
    assert hashes(run_dir) == hashes(book.parent / "whole" / "run")
    assert fake_model.main(["task=verify", f"run={run_dir}"]) == 0


def test_a_run_that_goes_on_forgets_the_manifests_it_has_read(book: Path, fake_model: FakeModel) -> None:
    """Bug: it held those of all finished shards while it rendered, 390 MiB for a million clips."""
    assert fake_model.main(command(book)) == 0
    run_dir = book.parent / "out" / "run"
    marks = {read_manifest(path).plan_hash for path in list_manifests(run_dir)}
    next((run_dir / "data").iterdir()).unlink()

    def count(*_: object, **__: object) -> FakeSynthesizer:
        gc.collect()
        there = [one for one in gc.get_objects() if type(one) is Manifest and one.plan_hash in marks]
        assert there == []
        return FakeSynthesizer()

    assert main(command(book), loader_of(count)) == 0


def test_one_changed_line_costs_its_own_clips(book: Path, fake_model: FakeModel) -> None:
    """Guards an author's corrections: everything that was not touched is kept, though shards may shift."""
    assert fake_model.main(command(book)) == 0
    run_dir = book.parent / "out" / "run"
    before = set(hashes(run_dir).values())
    book.write_text(BOOK.replace("It cost him $5.50 in 1893.", "It cost him nothing.\n\nNothing at all, he said."))
    assert fake_model.main(command(book)) == 0
    prompts = {utterance.prompt for utterance in fake_model[1].asked}
    assert prompts == {"It cost him nothing.", "Nothing at all, he said."}
    after = hashes(run_dir)
    assert len(set(after.values()) & before) == len(after) - 2
    assert not (run_dir / ".previous").exists()
    assert fake_model.main(["task=verify", f"run={run_dir}"]) == 0


@pytest.mark.parametrize("moves", [1, 2, 3])
def test_a_kill_while_the_old_plan_is_set_aside_loses_no_clip(
    moves: int, book: Path, fake_model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the moment between two renames, when some of the old run has moved and some has not."""
    assert fake_model.main(command(book)) == 0
    before = set(hashes(book.parent / "out" / "run").values())
    book.write_text(BOOK.replace("$5.50", "nothing"))
    rename, countdown = Path.rename, iter([True] * (moves - 1))

    def until_killed(path: Path, target: Path) -> Path:
        if not next(countdown, False):
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", until_killed)
        assert fake_model.main(command(book)) == 130
    assert fake_model.main(command(book)) == 0
    assert [len(synthesizer.asked) for synthesizer in fake_model[1:]] == [1], "only the changed line is made again"
    assert len(set(hashes(book.parent / "out" / "run").values()) & before) == len(before) - 1


def test_a_damaged_plan_is_mended_by_the_same_command(book: Path, fake_model: FakeModel) -> None:
    """Guards against a run that can never go on because of one file that can be made again."""
    assert fake_model.main(command(book)) == 0
    run_dir = book.parent / "out" / "run"
    (run_dir / "plan" / "shard-00001.jsonl").write_text("garbage\n")
    (run_dir / "manifests" / "shard-00001.json").unlink()
    assert fake_model.main(command(book)) == 0
    assert fake_model.main(["task=verify", f"run={run_dir}"]) == 0
    (run_dir / "plan" / "plan.json").write_text("{")
    assert fake_model.main(command(book)) == 0
    assert fake_model.main(["task=verify", f"run={run_dir}"]) == 0
    assert all(not synthesizer.asked for synthesizer in fake_model[2:]), "all clips were taken again"


def test_input_that_is_refused_while_it_is_planned_leaves_nothing(
    tmp_path: Path, fake_model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards the fix that an error proposes: a config frozen too early would refuse it."""
    table = tmp_path / "texts.jsonl"
    table.write_text('{"id": "a", "text": "One."}\n{"id": "a", "text": "Two."}\n')
    arguments = ["task=dataset", *command(table)]
    assert fake_model.main([*arguments, "source.id_column=id"]) == 2
    assert "source.id_column=null" in capsys.readouterr().err
    assert not (tmp_path / "out" / "run").exists()
    assert fake_model.main([*arguments, "source.id_column=null"]) == 0


def test_a_run_without_a_single_clip_says_so(
    tmp_path: Path, fake_model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "texts.jsonl"
    table.write_text('{"text": "***"}\n')
    assert fake_model.main(["task=dataset", *command(table)]) == 5
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    assert json.loads((tmp_path / "out" / "run" / "report.json").read_text())["num_clips"] == 0


def test_speakers_of_rows_that_nobody_knows_are_warned_of(
    tmp_path: Path, fake_model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "texts.jsonl"
    table.write_text('{"text": "One.", "speaker": ["Jon", "Zork"]}\n')
    assert fake_model.main(["task=dataset", *command(table), "source.speaker_column=speaker"]) == 0
    told = capsys.readouterr().err
    (warning,) = [line for line in told.splitlines() if "Zork" in line]
    assert "model=bundled" in warning
    assert re.search(r"\b1\b", warning), "the number of rows"
    assert len(hashes(tmp_path / "out" / "run")) == 2


def test_another_config_is_refused(book: Path, fake_model: FakeModel, capsys: pytest.CaptureFixture[str]) -> None:
    assert fake_model.main(command(book)) == 0
    assert fake_model.main(command(book, "voice=sarah")) == 3
    assert re.search(r"voice\.speaker\b.*Heart.*Sarah", capsys.readouterr().err)


def test_rows_that_cannot_be_spoken_are_rejected_and_the_rest_is_made(tmp_path: Path, fake_model: FakeModel) -> None:
    """Guards a million rows against the one that is empty."""
    rows = [{"text": text} for text in ("A good one.", "", "*** !!", "x" * 5000, "Another good one.", None)]
    table = tmp_path / "texts.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert fake_model.main(["task=dataset", *command(table)]) == 0
    run_dir = tmp_path / "out" / "run"
    assert len(hashes(run_dir)) == 2
    rejects = [json.loads(line) for line in (run_dir / "rejects.jsonl").read_text().splitlines()]
    assert len(rejects) == 4
    assert all(reject["reason"] and reject["takes"] == 0 for reject in rejects)
    assert fake_model.main(["task=verify", f"run={run_dir}"]) == 0
    assert fake_model.main([*command(table), "name=book"]) == 2, "a table is no book"
    assert not (tmp_path / "out" / "book").exists()


def test_a_full_disk_stops_cleanly_and_goes_on_later(
    book: Path,
    fake_model: FakeModel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Guards what is finished when there is no space left for the next shard."""
    sync = os.fsync

    def full(descriptor: int) -> None:
        if "train-00001" in Path(f"/proc/self/fd/{descriptor}").readlink().name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert fake_model.main(command(book)) == 3
    assert os.strerror(errno.ENOSPC) in capsys.readouterr().err
    run_dir = book.parent / "out" / "run"
    assert [manifest.index for manifest in finished_shards(run_dir)] == [0]
    assert fake_model.main(command(book)) == 0
    assert fake_model.main(["task=verify", f"run={run_dir}"]) == 0


def test_a_dry_run_plans_and_writes_nothing(
    book: Path, fake_model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fake_model.main(command(book, "dry_run=true", "model=owner/unheard-of")) == 0
    printed = capsys.readouterr().out
    assert "I: Oil" in printed
    assert fake_model.main(command(book, "dry_run=true", "model=owner/unheard-of", "verbose=true")) == 0
    assert len(capsys.readouterr().out.splitlines()) > len(printed.splitlines())
    assert not (book.parent / "out").exists()
    assert fake_model == []


@pytest.mark.parametrize(
    ("prepare", "complaint"),
    [
        (lambda path: None, "book.txt"),
        (lambda path: path.write_bytes(b""), "book.txt"),
        (lambda path: path.write_bytes(bytes(range(256)) * 20), "book.txt"),
        (
            lambda path: path.write_bytes("Das Mädchen hörte die Bäume rauschen.\n".encode("cp1252") * 9),
            "source.encoding=cp1252",
        ),
    ],
    ids=["missing", "empty", "binary", "not UTF-8"],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    prepare: Callable[[Path], object], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "book.txt"
    prepare(path)
    assert main(command(path)) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.strip().count("\n") == 0
    assert not (tmp_path / "out").exists()


def test_a_preview_speaks_into_a_file(
    tmp_path: Path, checkpoint_of: Checkpoints, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards the quickest way to hear a voice, and its text against Hydra's grammar."""
    model = [f"model={checkpoint_of(TINY)}", f"output_dir={tmp_path}"]
    assert main(["task=preview", "text=Dr. Who's $5, at [3] p.m.: there!", *model]) == 0
    printed = capsys.readouterr()
    assert "Doctor Who's five dollars" in printed.err
    assert str(tmp_path / "preview.wav") in printed.out
    samples, rate = soundfile.read(tmp_path / "preview.wav")
    assert rate == TINY.sampling_rate
    assert len(samples) > 0
    assert main(["task=preview", "text=...", *model]) == 2
    assert main(["task=preview", f"text={'word ' * 300}", *model]) == 2
    assert main(["task=preview", "text=Hello.", "engine=reference", *model]) == 2
    assert "engine.backend=reference" in capsys.readouterr().err


def test_a_model_folder_without_weights_is_refused(
    book: Path, checkpoint_of: Checkpoints, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(
        checkpoint_of(TINY), book.parent / "hollow", ignore=shutil.ignore_patterns("*.safetensors")
    )
    assert main(command(book, f"model={folder}")) == 2
    assert "model.safetensors" in capsys.readouterr().err
    assert main(command(book, f"model={folder}-or-not/")) == 2
    assert f"{folder}-or-not" in (error := capsys.readouterr().err)
    assert folder.name in error.replace(f"{folder}-or-not", ""), "the nearest that is there"


def test_a_killed_process_loses_nothing_that_was_finished(book: Path, checkpoint_of: Checkpoints) -> None:
    """Guards against everything that cannot be caught: SIGKILL, then the same command, against a run left alone."""
    arguments = command(
        book, f"model={checkpoint_of(TINY)}", "checks.length_ratio=0", "planning.shard_size=2", "task=dataset"
    )
    program = [sys.executable, "-m", "pipeline", *arguments]
    run_dir = book.parent / "out" / "run"
    # The last bits of a matrix product depend on the number of threads; this process has one, see conftest.py.
    process = subprocess.Popen(program, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if len(list((run_dir / "data").glob("train-*.parquet"))) >= 2:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.002)
    assert process.wait() == -signal.SIGKILL
    survived = hashes(run_dir)
    assert survived
    assert main(arguments) == 0
    assert main([*arguments, f"output_dir={book.parent / 'whole'}"]) == 0
    assert hashes(run_dir) == hashes(book.parent / "whole" / "run")
    assert survived.items() <= hashes(run_dir).items()
    assert main(["task=verify", f"run={run_dir}"]) == 0
