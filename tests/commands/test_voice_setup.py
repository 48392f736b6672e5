"""Voices of a run: choice by language, the frozen speakers, and retries."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from epub_files import write_epub
from fakes import Checkpoints, FakeModel

from pipeline.__main__ import main
from pipeline.commands import render
from pipeline.commands.voice_setup import set_up_voices
from pipeline.config import RENAMED_KEYS
from pipeline.config.compose import compose_config, config_from
from pipeline.config.frozen import check_config, run_fingerprint
from pipeline.config.schema_output import OUTPUT_KEYS
from pipeline.synthesis.untrained import UntrainedShape

TINY = UntrainedShape(hidden=16, layers=1, heads=2, kv_heads=2, cross_kv_heads=2, ffn=16, text_hidden=16)


def epub(folder: Path, language: str) -> Path:
    metadata = f"<dc:title>T</dc:title><dc:language>{language}</dc:language>"
    return write_epub(folder / "b.epub", {"a.xhtml": "<h1>One</h1><p>A text of some words.</p>"}, metadata=metadata)


@pytest.fixture
def fine_tune(tmp_path: Path, checkpoint_of: Checkpoints) -> Path:
    """Return a checkpoint with a `voices.yaml`."""
    folder = tmp_path / "fine"
    shutil.copytree(checkpoint_of(TINY), folder)
    (folder / "voices.yaml").write_text("languages: [de]\nmax_seconds: 10\nvoices: [Otto, Lena]\n")
    return folder


@pytest.mark.parametrize(
    ("language", "model", "facts", "is_warned"),
    [
        ("hi-IN", "indic", ["Rohit"], False),
        ("ben", "indic", ["Arjun"], False),
        ("fr", "multilingual", ["Daniel"], False),
        ("fr", "bundled", ["Heart", "French (fr)", "English (en)", "model=multilingual"], True),
        ("und", "indic", ["Thoma"], False),
    ],
)
def test_the_language_of_a_book_chooses_the_voice(
    language: str, model: str, facts: list[str], is_warned: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bug: the voice jon was used for books in all languages."""
    assert main([f"input={epub(tmp_path, language)}", f"model={model}", "dry_run=true"]) == 0
    told = capsys.readouterr().err
    for fact in facts:
        assert fact in told
    assert ("warning" in told) == is_warned


def test_the_language_that_is_set_wins_over_the_book(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"input={epub(tmp_path, 'en')}", "model=indic", "source.language=ta", "dry_run=true"]) == 0
    assert "Jaya" in capsys.readouterr().err


def test_what_is_frozen_says_who_speaks(
    fine_tune: Path, fake_model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards resumed runs against a changed default voice, and books against a missing narrator."""
    command = [
        f"input={epub(fine_tune.parent, 'de')}",
        f"model={fine_tune}",
        f"output_dir={fine_tune.parent}",
        "name=r",
    ]
    assert fake_model.main(command) == 0
    told = capsys.readouterr().err
    assert "Otto" in told
    assert "text.max_seconds=8" in told
    assert "warning" not in told
    run_dir = fine_tune.parent / "r"
    frozen = yaml.safe_load((run_dir / "config.yaml").read_text())
    assert (frozen["voice"]["speaker"], frozen["model"]["max_seconds"]) == ("Otto", 10)
    assert {utterance.speaker for utterance in fake_model[0].asked} == {"Otto"}
    assert json.loads((run_dir / "book/book.json").read_text())["narrator"] == "Otto"
    assert fake_model.main([f"run={run_dir}", "task=retry_rejects"]) == 0
    assert fake_model.main([*command, "voice=otto"]) == 0, "the same voice"
    assert fake_model.main([*command, "voice=lena"]) == 3
    assert re.search(r"voice\.speaker\b.*Otto.*Lena", capsys.readouterr().err)


def test_another_default_is_another_run(fine_tune: Path, fake_model: FakeModel) -> None:
    """Guards a book against two voices after `voices.yaml` of the checkpoint was changed."""
    command = [
        f"input={epub(fine_tune.parent, 'de')}",
        f"model={fine_tune}",
        f"output_dir={fine_tune.parent}",
        "name=r",
    ]
    assert fake_model.main(command) == 0
    (fine_tune / "voices.yaml").write_text("languages: [de]\nmax_seconds: 10\nvoices: [Lena, Otto]\n")
    assert fake_model.main(command) == 3


def test_a_new_spelling_of_a_row_is_planned_anew(fine_tune: Path, fake_model: FakeModel) -> None:
    """Guards an existing plan, which contains the spelling of a name in an older voices.yaml."""
    table = fine_tune.parent / "t.jsonl"
    table.write_text('{"text": "Ein Satz mit Worten.", "speaker": "OTTO"}\n')
    command = ["task=dataset", f"input={table}", f"model={fine_tune}", f"output_dir={fine_tune.parent}", "name=r",
               "source.speaker_column=speaker", "voice=lena"]  # fmt: skip
    assert fake_model.main(command) == 0
    (fine_tune / "voices.yaml").write_text("languages: [de]\nmax_seconds: 10\ndefault: Lena\nvoices: [oTTo, Lena]\n")
    assert fake_model.main(command) == 0
    assert [one.speaker for each in fake_model for one in each.asked] == ["Otto", "oTTo"]


@pytest.mark.parametrize("name", ["leah", "jon"])
def test_a_name_is_refused_before_the_checkpoint_is_looked_for(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards against a download of gigabytes before a misspelt name is reported."""
    monkeypatch.setattr(render, "find_checkpoint", lambda *_, **__: pytest.fail("looked for the checkpoint"))
    assert main([f"voice={name}", "model=indic", f"output_dir={tmp_path}/out"]) == 2
    assert re.search(rf"voice={name}\b.*model=indic", capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_voices_come_with_a_repository(
    fine_tune: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards fine-tuned models on the Hub: `voices.yaml` is downloaded with the weights and found in the cache."""
    from huggingface_hub import constants

    repository = fine_tune.parent / "hub/models--owner--fine"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text("a" * 40)
    shutil.copytree(fine_tune, repository / "snapshots" / ("a" * 40))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(repository.parent))
    assert main(["--voices", "model=owner/fine"]) == 0
    assert "Lena" in capsys.readouterr().out
    assert main(["model=owner/fine", "voice=lena", "source.language=de", "dry_run=true"]) == 0
    assert main(["model=owner/fine", "voice=heart", "dry_run=true"]) == 2
    assert "voice=heart: model=fine" in capsys.readouterr().err


# Of runs that were made before the checkpoints had catalogues.
OLD_FINGERPRINTS = {
    (): "45478e3bb3e46cdb7d959b0c6cb1cf92",
    ("model=mini",): "d13e2db1b87ec2cafac0818cba86d0e5",
    ("voice=gary", "model=large"): "0c2a78c844d634e454836f4aa621f83b",
    ("model=mini", "voice=varied"): "035c8dbde26b72e570717d11767798a1",
    ("model=mini", "voice=A low, calm voice."): "d9fd904ed9e00ecaad9435c4dde8b82e",
}


NEW_KEYS = (  # which a config.yaml of that time does not have
    *(("", key) for key in ("left_out", "deep", "deep_clips")),
    *(("", key) for key in OUTPUT_KEYS),
    ("task", "voices"),
    ("text", "split"),
    ("voice", "balance"),
    ("checks", "extra"),
    ("", "quality"),
    ("dataset", "readings_per_text"),
    *(("model", key) for key in ("description_tokenizer", "description_tokenizer_revision")),
    *(("source", f"{key}_column") for key in ("language", "seed", "split")),
    *(("source", key) for key in ("keep_columns", "columns", "max_inflated_mb")),
)


@pytest.mark.parametrize("arguments", OLD_FINGERPRINTS, ids=" ".join)
def test_earlier_runs_are_still_the_same_runs(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """Guards runs of earlier versions: the same command resumes them and keeps their clips."""
    config, _ = set_up_voices(compose_config(arguments), "en")
    values = dataclasses.asdict(config)
    for group, key in NEW_KEYS:
        del (values[group] if group else values)[key]
    for old, new in RENAMED_KEYS.items():
        values[old] = values.pop(new)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    check_config(tmp_path, config)
    assert run_fingerprint(tmp_path, config) == OLD_FINGERPRINTS[arguments]


def test_the_config_of_an_earlier_run_is_read() -> None:
    """Guards `retry_rejects` of runs whose voice was chosen by other rules."""
    old = {
        "voice": {"speaker": "Jon", "speakers": [{"speaker": "Jon", "weight": 1.0}]},
        "model": {"name": "indic", "path": "ai4bharat/indic-parler-tts", "speakers": [], "similarity": None},
    }
    assert config_from(old).voice.speaker == "Jon"
