"""Verification of runs that were changed on purpose, with all file hashes updated to match."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from fakes import RATE, FakeModel, FakeSynthesizer, build_fake, loader_of, speak

from pipeline.__main__ import main
from pipeline.audio.encoding import encode
from pipeline.commands.deep_verify import Outcome, choose_clips, compare_samples
from pipeline.commands.verify import verify
from pipeline.config import Config, TaskConfig
from pipeline.config.compose import compose_config
from pipeline.config.frozen import fingerprint
from pipeline.errors import ConfigError
from pipeline.outputs.dataset.shards import iter_clips
from pipeline.planning.plan_store import hash_files
from pipeline.reporting.as_json import verify_values
from pipeline.seeds import take_seed
from pipeline.storage.checksums import write_checksums
from pipeline.storage.paths import sha256_of
from pipeline.storage.run_directory import RunDirectory
from pipeline.types import Clip, Utterance

ROWS = [
    {"id": "a", "text": "One morning the lamp was lit.", "label": 1, "meta": {"page": 1}},
    {"id": "b", "text": "It cost 5 dollars, and nobody paid.", "label": 2, "meta": {"page": 2}},
    {"id": "c", "text": "***", "label": 3, "meta": {"page": 3}},  # rejected: there is nothing to say
    {"id": "d", "text": "The wick was trimmed twice.", "label": 4, "meta": None},
    {"id": "e", "text": "Then it was dark.", "label": 5, "meta": {"page": 5}},
]
BOOK = "# The Lamp\n\n## Oil\n\nMr. Grey lit the lamp, and it burned.\n\n## Wick\n\nThe wick was trimmed. It smoked.\n"


def speak_at_second_try(utterance: Utterance) -> Clip:
    """Synthesizer whose first take of some texts is silent."""
    clip = speak(utterance)
    if "trimmed" in utterance.prompt and utterance.seed not in _RETAKES:
        _RETAKES.add(take_seed(utterance.seed, 1))
        return Clip(utterance, np.zeros_like(clip.samples), RATE, clip.num_frames, clip.finish, seed=clip.seed)
    return clip


_RETAKES: set[int] = set()


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two finished runs, `dataset` and `book`, whose inputs were deleted."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (folder / "lamp.md").write_text(BOOK)
    loader = loader_of(lambda *_, **__: FakeSynthesizer(speak_at_second_try))
    given = [f"output_dir={folder}", "planning.shard_size=2", "seed=7"]
    rows = ["task=dataset", f"input={folder / 'rows.jsonl'}", "name=dataset", "source.id_column=id"]
    assert main([*rows, *given], loader) == 0
    assert main([f"input={folder / 'lamp.md'}", "name=book", *given], loader) == 0
    (folder / "rows.jsonl").unlink()
    (folder / "lamp.md").unlink()
    return folder


@pytest.fixture
def dataset(made_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_once / "dataset", tmp_path / "dataset"))


@pytest.fixture
def book(made_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_once / "book", tmp_path / "book"))


def rewrite(path: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def make_hashes_fit(run_dir: Path) -> None:
    """Update every hash of a changed file, to hide the change. Fingerprint and plan_hash stay the same."""
    for path in sorted((run_dir / "manifests").iterdir()):
        manifest = json.loads(path.read_text())
        file = run_dir / "data" / manifest["file"]
        manifest["plan_hash"] = sha256_of(RunDirectory(run_dir).plan_shard(manifest["index"]))
        if manifest["file"]:
            manifest["sha256"], manifest["num_bytes"] = sha256_of(file), file.stat().st_size
        path.write_text(json.dumps(manifest))
    index = run_dir / "book" / "book.json"
    if index.exists():
        content = json.loads(index.read_text())
        for entry in filter(lambda entry: isinstance(entry, dict), content["files"]):
            file = index.parent / entry["name"]
            entry["sha256"], entry["bytes"] = sha256_of(file), file.stat().st_size
        index.write_text(json.dumps(content))
    (run_dir / "SHA256SUMS").unlink(missing_ok=True)
    write_checksums(run_dir)


def problems_of(run_dir: Path) -> str:
    """Return the problems that verification finds."""
    asked = replace(Config(), task=TaskConfig("verify"), run=str(run_dir))
    return "\n".join(verify(asked, FakeSynthesizer).problems)


def said_of(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the output of `task=verify`, which must find a problem."""
    capsys.readouterr()
    code = main(["task=verify", f"run={run_dir}"])
    printed = capsys.readouterr()
    assert code in (3, 4), printed
    assert "Traceback" not in printed.err
    return printed.out + printed.err


def set_column(run_dir: Path, name: str, change: Callable[[list[Any]], list[Any]], shard: int = 0) -> None:
    path = run_dir / "data" / f"train-{shard:05d}-of-00003.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index(name)
    values = pa.array(change(table[name].to_pylist()), table.schema.field(name).type)
    pq.write_table(table.set_column(place, table.schema.field(name), values), path)


def change_table(run_dir: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    path = run_dir / "data" / "train-00000-of-00003.parquet"
    pq.write_table(change(pq.read_table(path)), path)


def set_first(value: Any) -> Callable[[list[Any]], list[Any]]:
    return lambda values: [value, *values[1:]]


def test_hashes_that_fit_are_no_problem(
    dataset: Path, book: Path, fake_model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards unchanged runs, and runs without their input, against false problems."""
    assert max(row.columns["take"] for row in iter_clips(dataset)) == 1
    for run_dir in (dataset, book):
        make_hashes_fit(run_dir)
        assert fake_model.main(["task=verify", f"run={run_dir}"]) == 0, capsys.readouterr()
    assert not fake_model, "without deep=true no model is loaded"


def other_text(run_dir: Path) -> str:
    set_column(run_dir, "text", set_first("Another text."))
    return "id a: ... text is 'Another text.' ... 'One morning"


def other_spoken_text(run_dir: Path) -> str:
    set_column(run_dir, "text_normalized", set_first("Another text."))
    return "id a: ... text_normalized is"


def other_description(run_dir: Path) -> str:
    set_column(run_dir, "text_description", set_first("Another voice."))
    return "id a: ... text_description is"


def other_kept_value(run_dir: Path) -> str:
    set_column(run_dir, "label", set_first(9))
    return "id a: ... label is 9 ... 1"


def other_nested_value(run_dir: Path) -> str:
    set_column(run_dir, "meta", set_first({"page": 9}))
    return "id a: ... meta is"


def other_seed(run_dir: Path) -> str:
    set_column(run_dir, "seed", set_first(9))
    return "id a: ... seed 9 ... take 0"


def duration_that_is_no_number(run_dir: Path) -> str:
    set_column(run_dir, "duration", set_first(float("nan")))
    return "id a: "


def duration_of_a_sample_more(run_dir: Path) -> str:
    set_column(run_dir, "duration", lambda values: [values[0] + 1 / RATE, *values[1:]])
    return "row says"


def other_peak(run_dir: Path) -> str:
    set_column(run_dir, "peak_dbfs", set_first(-3.0))
    return "id a: ... peak_dbfs is -3.0"


def other_level(run_dir: Path) -> str:
    set_column(run_dir, "rms_dbfs", lambda values: [value + 0.01 for value in values])
    return "id a: ... rms_dbfs is"


def no_level(run_dir: Path) -> str:
    set_column(run_dir, "loudest_50ms_dbfs", set_first(float("nan")))
    return "id a: ... loudest_50ms_dbfs is nan"


def other_clipping(run_dir: Path) -> str:
    set_column(run_dir, "clipped_fraction", set_first(0.5))
    return "id a: ... clipped_fraction is 0.5"


def other_silence(run_dir: Path) -> str:
    set_column(run_dir, "trailing_silence_seconds", set_first(1.0))
    return "id a: ... trailing_silence_seconds is 1.0"


def missing_duration(run_dir: Path) -> str:
    set_column(run_dir, "duration", set_first(None))
    return "row says None"


def renamed_column(run_dir: Path) -> str:
    change_table(run_dir, lambda t: t.rename_columns(["speaker" if n == "speaker_id" else n for n in t.schema.names]))
    return "column ... speaker_id"


def renamed_id(run_dir: Path) -> str:
    change_table(run_dir, lambda t: t.rename_columns(["name" if n == "id" else n for n in t.schema.names]))
    return "column ... id"


def renamed_kept_column(run_dir: Path) -> str:
    change_table(run_dir, lambda t: t.rename_columns(["tag" if n == "label" else n for n in t.schema.names]))
    return "column ... label"


def added_column(run_dir: Path) -> str:
    change_table(run_dir, lambda t: t.append_column("extra", pa.array(range(t.num_rows))))
    return "column ... extra"


def missing_column(run_dir: Path) -> str:
    change_table(run_dir, lambda t: t.drop_columns(["take"]))
    return "column ... take"


def column_of_another_type(run_dir: Path) -> str:
    def cast(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index("duration")
        return table.set_column(place, "duration", table["duration"].cast(pa.string()))

    change_table(run_dir, cast)
    return "column duration ... string ... double"


def other_features(run_dir: Path) -> str:
    change_table(run_dir, lambda t: t.replace_schema_metadata({"huggingface": '{"info": {"features": {}}}'}))
    return "features"


def shorter_audio(run_dir: Path) -> str:
    """Change the audio, its hash and its duration; only the report or the model can reveal it."""
    path = run_dir / "data" / "train-00000-of-00003.parquet"
    row = pq.read_table(path).to_pylist()[0]
    samples = np.frombuffer(np.random.default_rng(1).bytes(3 * RATE), np.int16).astype(np.float32) / 65536
    sound = encode(samples, RATE)
    set_column(run_dir, "audio", set_first({**row["audio"], "bytes": sound}))
    set_column(run_dir, "duration", set_first(len(samples) / RATE))
    digest = hashlib.sha256(sound).hexdigest()
    rewrite(RunDirectory(run_dir).manifest(0), lambda manifest: manifest["clips"][0].update(audio_sha256=digest))
    return "s of audio ... the rows have"


def edited_plan(run_dir: Path) -> str:
    path = RunDirectory(run_dir).plan_shard(0)
    path.write_text(path.read_text().replace("One morning", "One evening"))
    return "plan/plan.json: ... plan_hash"


def edited_plan_and_rows(run_dir: Path) -> str:
    """Change a text in plan, plan hash and rows; only the content hash of the clip reveals it."""
    edited_plan(run_dir)
    for name in ("text", "text_normalized"):
        set_column(run_dir, name, lambda values: [value.replace("One morning", "One evening") for value in values])
    shards = [RunDirectory(run_dir).plan_shard(index) for index in range(3)]
    rewrite(RunDirectory(run_dir).plan_head, lambda head: head.update(plan_hash=hash_files(shards)))
    return "shard-00000.json: id a: ... key"


def edited_left_out(run_dir: Path) -> str:
    (run_dir / "plan" / "left_out.jsonl").write_text('{"reason": "x"}\n')
    return "plan/left_out.jsonl: ... left_out_sha256"


def other_config_seed(run_dir: Path) -> str:
    path = run_dir / "config.yaml"
    path.write_text(path.read_text().replace("seed: 7", "seed: 8"))
    return "config.yaml: fingerprint"


def fewer_clips_on_card(run_dir: Path) -> str:
    path = run_dir / "README.md"
    path.write_text(path.read_text().replace("| Clips | 4 |", "| Clips | 40 |"))
    return "README.md: Clips is 40 ... 4"


def other_length_on_card(run_dir: Path) -> str:
    path = run_dir / "README.md"
    text = path.read_text()
    line = next(line for line in text.split("\n") if line.startswith("| Audio |"))
    path.write_text(text.replace(line, "| Audio | 900.0 hours, 5.0 s a clip on average |"))
    return "README.md: Audio is 900.0 hours"


def other_examples_on_card(run_dir: Path) -> str:
    path = run_dir / "README.md"
    path.write_text(path.read_text().replace("num_examples: 4", "num_examples: 3"))
    return "README.md: dataset_info.splits"


def no_rejects_on_card(run_dir: Path) -> str:
    path = run_dir / "README.md"
    lines = path.read_text().split("\n")
    place = lines.index("## Rejects")
    kept = [line for number, line in enumerate(lines) if number < place or not line.startswith("| ")]
    path.write_text("\n".join(kept))
    return "README.md: the table under '## Rejects'"


def other_count_in_report(run_dir: Path) -> str:
    rewrite(run_dir / "report.json", lambda report: report.update(num_clips=40))
    return "report.json: num_clips is 40 ... 4"


def other_hours_in_report(run_dir: Path) -> str:
    rewrite(run_dir / "report.json", lambda report: report.update(audio_seconds=3600.0))
    return "report.json: audio_seconds is 3600.0"


def no_reasons_in_report(run_dir: Path) -> str:
    rewrite(run_dir / "report.json", lambda report: report.update(rejects_by_reason={}))
    return "report.json: rejects_by_reason is {}"


def card_with(old: str, new: str) -> Callable[[Path], None]:
    def change(run_dir: Path) -> None:
        path = run_dir / "README.md"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return change


def no_notice_on_card(run_dir: Path) -> str:
    card_with("This is synthetic speech. Nobody said these words", "These words were said")(run_dir)
    return "README.md: ... 'This is synthetic speech."


def other_opening_of_card(run_dir: Path) -> str:
    card_with("Synthetic speech: ", "Recorded speech: ")(run_dir)
    return "README.md: ... 'Synthetic speech:'"


def no_synthetic_tag_on_card(run_dir: Path) -> str:
    card_with("- synthetic\n", "")(run_dir)
    return "README.md: tags"


def no_source_type_on_card(run_dir: Path) -> str:
    card_with("digital_source_type: ", "source: ")(run_dir)
    return "README.md: digital_source_type ... None"


def other_license_on_card(run_dir: Path) -> str:
    card_with("license: other", "license: cc0-1.0")(run_dir)
    return "README.md: license ... 'cc0-1.0'"


def other_seed_on_card(run_dir: Path) -> str:
    card_with("| Seed of the run | 7 |", "| Seed of the run | 8 |")(run_dir)
    return "README.md: Seed of the run is 8"


def other_model_in_report(run_dir: Path) -> str:
    rewrite(run_dir / "report.json", lambda report: report["model"].update(revision="r2"))
    return "report.json: model.revision is 'r2' ... r1"


def other_session_in_report(run_dir: Path) -> str:
    rewrite(run_dir / "report.json", lambda report: report["session"].update(wall_seconds=-1.0))
    return "report.json: session.wall_seconds is -1.0"


# What is independent of one another is altered together, which saves the time of a verification each.
TAMPERINGS: list[tuple[Callable[[Path], str], ...]] = [
    (other_text, other_spoken_text, other_description, other_kept_value, other_nested_value, other_seed),
    (
        fewer_clips_on_card,
        other_length_on_card,
        other_examples_on_card,
        no_rejects_on_card,
        other_count_in_report,
        other_hours_in_report,
        no_reasons_in_report,
        other_config_seed,
    ),
    (
        no_notice_on_card,
        other_opening_of_card,
        no_synthetic_tag_on_card,
        no_source_type_on_card,
        other_license_on_card,
        other_seed_on_card,
        other_model_in_report,
        other_session_in_report,
    ),
    *((one,) for one in (other_peak, other_level, no_level, other_clipping, other_silence)),
    *((one,) for one in (duration_that_is_no_number, duration_of_a_sample_more, missing_duration, shorter_audio)),
    *((one,) for one in (renamed_column, renamed_id, renamed_kept_column, added_column, missing_column)),
    *((one,) for one in (column_of_another_type, other_features, edited_plan_and_rows)),
    (edited_plan, edited_left_out),
]


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tamper: tamper[0].__name__)
def test_what_was_altered_is_found_although_all_hashes_fit(
    dataset: Path, tamper: tuple[Callable[[Path], str], ...]
) -> None:
    """Bug: verify trusted hashes that can be changed together with the data."""
    expected = [one(dataset) for one in tamper]
    make_hashes_fit(dataset)
    problems = problems_of(dataset).split("\n")
    for facts in expected:
        assert any(all(fact in problem for fact in facts.split(" ... ")) for problem in problems), (facts, problems)


@pytest.mark.parametrize(
    "name", ["config.yaml", "report.json", "README.md", "manifests/shard-00000.json", "plan/shard-00000.jsonl"]
)
def test_a_pipe_in_place_of_a_file_is_one_problem(dataset: Path, name: str) -> None:
    """Bug: an unreadable file was reported by each check that reads it."""
    (dataset / name).unlink()
    os.mkfifo(dataset / name)
    problems = problems_of(dataset).split("\n")
    assert len([problem for problem in problems if problem.startswith(f"{name}: ")]) == 1
    assert len(problems) == 1


def older_format(run_dir: Path) -> None:
    """Guards against files that claim an older format, for which fewer checks apply."""
    for path in (RunDirectory(run_dir).plan_head, RunDirectory(run_dir).manifest(0)):
        rewrite(path, lambda content: content.pop("format_version"))


def test_a_file_that_says_it_is_older_is_found(dataset: Path) -> None:
    older_format(dataset)
    make_hashes_fit(dataset)
    problems = problems_of(dataset)
    assert "plan/plan.json: the format is older" in problems
    assert "manifests/shard-00000.json: the format is older" in problems


@pytest.mark.parametrize("suffix", [".m4b", ".flac"])
def test_a_book_file_that_was_cut_is_found(book: Path, suffix: str) -> None:
    """Bug: half a book with a matching hash was accepted."""
    path = next((book / "book").glob(f"*{suffix}"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    make_hashes_fit(book)
    assert f"book/{path.name}: " in problems_of(book)


def test_a_book_that_is_another_one_is_found(book: Path) -> None:
    """Bug: a valid but shorter m4b was accepted."""
    import av

    path = next((book / "book").glob("*.m4b"))
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, RATE), np.float32), format="fltp", layout="mono")
        frame.sample_rate = RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    make_hashes_fit(book)
    assert f"book/{path.name}: 1." in problems_of(book)


def deep(run_dir: Path, build: Callable[..., Any], clips: int = 8) -> list[str]:
    asked = replace(Config(), task=TaskConfig("verify"), run=str(run_dir), deep=True, deep_clips=clips)
    return list(verify(asked, build).problems)


def other_audio_everywhere(run_dir: Path) -> None:
    """Replace the audio of the retaken clip, and update length, hashes and sizes to match."""
    for index in range(3):
        path = run_dir / "data" / f"train-{index:05d}-of-00003.parquet"
        if not path.exists():
            continue
        for position, row in enumerate(pq.read_table(path).to_pylist()):
            if row["take"] != 1:
                continue
            samples, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")
            sound = encode(samples[::-1].copy(), rate)
            digest = hashlib.sha256(sound).hexdigest()
            rewrite(RunDirectory(run_dir).manifest(index), lambda m: m["clips"][position].update(audio_sha256=digest))  # noqa: B023
            set_column(
                run_dir,
                "audio",
                lambda values: [{**v, "bytes": sound} if p == position else v for p, v in enumerate(values)],  # noqa: B023
                index,
            )
    make_hashes_fit(run_dir)


def test_deep_finds_audio_that_the_model_does_not_make(dataset: Path) -> None:
    """Bug: a recording in place of a clip, with matching metadata, passed verification."""
    synthesizer = FakeSynthesizer()
    assert deep(dataset, lambda *_, **__: synthesizer) == []
    retaken = {row.id: row for row in iter_clips(dataset) if row.columns["take"]}
    assert {asked.id: asked.seed for asked in synthesizer.asked}.items() >= {
        id: row.columns["seed"] for id, row in retaken.items()
    }.items(), "also takes with a seed of their own"
    assert len(synthesizer.asked) == 4
    other_audio_everywhere(dataset)
    found = deep(dataset, build_fake)
    assert any(f"id {id}: the regenerated clip is different" in problem for id in retaken for problem in found)


def test_deep_chooses_the_same_clips_from_all_shards(dataset: Path, book: Path) -> None:
    """Guards the choice of clips: it covers several shards, and retakes."""
    for run_dir in (dataset, book):
        chosen = choose_clips(run_dir, 3, "salt")
        assert chosen == choose_clips(run_dir, 3, "salt")
        assert len(chosen) > 1
        assert sum(map(len, chosen.values())) == 3
    takes = {row.id: row.columns["take"] for row in iter_clips(dataset)}
    assert any(takes[id] for ids in choose_clips(dataset, 1, "salt").values() for id in ids), "a retaken one"


def speak_with(change: Callable[[np.ndarray], np.ndarray]) -> Callable[..., FakeSynthesizer]:
    """Return a function that builds a model whose samples are changed, as on another device or version."""

    def speak_otherwise(utterance: Utterance) -> Clip:
        clip = speak(utterance)
        return replace(clip, samples=change(clip.samples).astype(np.float32))

    return lambda *_, **__: FakeSynthesizer(speak_otherwise)


def other_versions(run_dir: Path) -> None:
    rewrite(run_dir / "report.json", lambda report: report["versions"].update(torch="1.0"))
    make_hashes_fit(run_dir)


def test_deep_elsewhere_takes_what_is_similar_and_says_so(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bug: a run made on a GPU was reported as damaged when it was verified on a CPU."""
    build = speak_with(lambda samples: samples * 0.99)
    assert len(deep(dataset, build)) == 4
    other_versions(dataset)
    capsys.readouterr()
    assert deep(dataset, build) == []
    said = capsys.readouterr().err
    assert "0 identical, 4 similar, 0 different" in said
    asked = replace(Config(), task=TaskConfig("verify"), run=str(dataset), deep=True, deep_clips=4)
    assert verify_values(verify(asked, build))["deep"] == {"identical": 0, "similar": 4, "different": 0}
    assert verify_values(verify(replace(asked, deep=False), build))["deep"] is None
    assert "made with torch 1.0" in said


@pytest.mark.parametrize(
    "change",
    [
        lambda samples: np.random.default_rng(1).uniform(-0.5, 0.5, len(samples)),
        lambda samples: np.concatenate([samples[:-800], samples[-800:][::-1]]),
        lambda samples: samples[:-1],
        lambda samples: np.zeros_like(samples),
    ],
    ids=["noise", "another end", "a sample less", "silence"],
)
def test_deep_elsewhere_still_finds_another_clip(dataset: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Bug: with changed `versions` in the report, clips of the right length were accepted."""
    other_versions(dataset)
    found = deep(dataset, speak_with(change))
    assert len(found) == 4
    assert all("the regenerated clip is different" in problem for problem in found)
    assert all("made with torch 1.0" in problem for problem in found), "it may be the machine, which is told"


def test_a_lossy_format_may_pad_and_ring() -> None:
    """Guards lossy formats: another encoder version is similar, noise is different."""
    sound = (0.3 * np.sin(np.arange(RATE) / 5)).astype(np.float32)
    ringing = np.append(sound + 0.03 * np.cos(np.arange(RATE) / 3), np.zeros(200)).astype(np.float32)
    noise = np.random.default_rng(0).uniform(-0.4, 0.4, RATE).astype(np.float32)
    assert compare_samples(sound, ringing, RATE, is_lossless=False).outcome is Outcome.SIMILAR
    assert compare_samples(sound, ringing, RATE, is_lossless=True).outcome is Outcome.DIFFERENT
    assert compare_samples(sound, noise, RATE, is_lossless=False).outcome is Outcome.DIFFERENT
    assert compare_samples(sound, sound[:0], RATE, is_lossless=False).outcome is Outcome.DIFFERENT
    assert compare_samples(sound, sound, 0, is_lossless=True).outcome is Outcome.DIFFERENT, "of another rate"


def test_deep_is_a_task_of_its_own_and_no_part_of_a_run(tmp_path: Path) -> None:
    """Bug: a key of `task=verify` changed the fingerprint of the run's config."""
    assert fingerprint(Config()) == fingerprint(
        replace(Config(), task=TaskConfig("verify"), run="x", deep=True, deep_clips=3)
    )
    assert compose_config(["task=verify", "run=a", "deep=true", "deep_clips=2", "engine.device=cpu"]).deep_clips == 2
    with pytest.raises(ConfigError, match=r"deep=true: .*task=verify"):
        compose_config(["deep=true"])
    with pytest.raises(ConfigError, match="deep_clips=0"):
        compose_config(["task=verify", "run=a", "deep=true", "deep_clips=0"])
