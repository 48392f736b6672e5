"""The card: what it counts is so, and what it tells the reader to type works."""

import contextlib
import io
import re
from pathlib import Path

import datasets
import numpy as np
import pytest
import yaml
from fakes import write_shard

from pipeline.outputs.dataset.card import NOT_NAMED, CardFacts, collect_statistics, render_card, write_card
from pipeline.outputs.dataset.columns import make_row
from pipeline.outputs.dataset.shards import hash_plan
from pipeline.storage.atomic import write_text
from pipeline.storage.run_directory import RunDirectory
from pipeline.types import Clip, Finish, ModelInfo, Reject, Utterance

RATE = 16000
MODEL = ModelInfo("parler/mini", "abc123", RATE, 86.0, 2580, 9, "float32", "cpu")
FACTS = CardFacts(
    title='A "title": with\nmarks | and --- lines',
    source="Emma, by Jane Austen",
    model=MODEL,
    audio_format="flac",
    license="cc-by-4.0",
    seed=7,
    settings={"sampling": {"temperature": 0.9}, "checks": {"takes": 3}},
    version="0.1.0",
)


def make_clip(id: str, speaker: str | None, seconds: float) -> Clip:
    samples = np.random.default_rng(1).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)
    return Clip(Utterance(f"Text {id}.", "A voice.", 1, id, speaker), samples, RATE, 21, Finish.EOS)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Two shards of two clips each, one of rejects alone."""
    voices = {"a": "Jon", "b": "Lea", "c": None, "d": "Jon"}
    for index, ids in enumerate((("a", "b"), (), ("c", "d"))):
        write_text(RunDirectory(tmp_path).plan_shard(index), "")
        write_shard(
            tmp_path,
            index,
            3,
            [make_row(make_clip(id, voices[id], 0.1 + index / 2), "key", "en", MODEL) for id in ids],
            []
            if ids
            else [Reject(Utterance("x", "y"), reason, 3) for reason in ("silent: 1", "silent: 2", "length: 3")],
            sampling_rate=RATE,
            fingerprint="f",
            plan_hash=hash_plan(tmp_path, index),
        )
    return tmp_path


def front_matter(card: str) -> dict[str, object]:
    loaded = yaml.safe_load(card.split("---\n")[1])
    assert "synthetic" in loaded["tags"]
    assert loaded["digital_source_type"].endswith("/trainedAlgorithmicMedia")
    assert isinstance(loaded, dict)
    return loaded


def test_statistics_are_those_of_the_clips(run_dir: Path) -> None:
    """Bug: hours and voices that do not add up to what is in the files."""
    statistics = collect_statistics(run_dir)
    np.testing.assert_allclose(statistics.durations, [0.1, 0.1, 1.1, 1.1])
    assert statistics.voice_clips == {"Jon": 2, "Lea": 1, NOT_NAMED: 1}
    assert statistics.voice_seconds["Jon"] == pytest.approx(1.2)
    assert statistics.reject_reasons == {"silent": 2, "length": 1}
    assert statistics.languages == ("en",)
    assert statistics.num_file_bytes == sum(RunDirectory(run_dir).shard(index, 3).stat().st_size for index in (0, 2))


def test_card_tells_what_was_made_and_how(run_dir: Path) -> None:
    """Bug: a card that leaves a reader to guess the model, the voices or that nobody spoke."""
    write_card(run_dir, FACTS)
    card = (run_dir / "README.md").read_text()
    for part in (
        "Emma, by Jane Austen",
        "`parler/mini`",
        "`abc123`",
        "`temperature=0.9`",
        "| Jon | 2 | 1.2",
        "| silent | 2 |",
        "| 4 |",
        "durations.png",
        "`text_normalized`",
    ):
        assert part in card
    assert re.search(r"\b2\.4\b.*\b0\.6\b", card), "seconds in all, seconds of a clip"
    assert "synthetic" in card.split("---\n", 2)[2]
    assert (run_dir / "durations.png").read_bytes().startswith(b"\x89PNG")


def test_untrained_weights_are_called_noise(run_dir: Path) -> None:
    """Bug: a dataset of noise that is published as speech."""
    openings = [
        render_card(CardFacts(**{**vars(FACTS), "is_noise": is_noise}), collect_statistics(run_dir)).split("\n## ")[0]
        for is_noise in (False, True)
    ]
    assert ["noise" in opening for opening in openings] == [False, True]


def test_the_head_is_sound_yaml_whatever_the_title(run_dir: Path) -> None:
    """Bug: a colon or a line break in a title makes a README that the hub refuses."""
    write_card(run_dir, FACTS)
    head = front_matter((run_dir / "README.md").read_text())
    assert head["pretty_name"] == 'A "title": with marks | and --- lines'
    assert head["configs"] == [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]}]
    assert head["task_categories"] == ["text-to-speech"]
    assert head["size_categories"] == ["n<1K"]
    assert head["license"] == "cc-by-4.0"


def test_same_run_same_card(run_dir: Path) -> None:
    """Bug: a date or a version drawn into the picture changes a card that tells the same."""
    write_card(run_dir, FACTS)
    first = [(run_dir / name).read_bytes() for name in ("README.md", "durations.png")]
    write_card(run_dir, FACTS)
    assert [(run_dir / name).read_bytes() for name in ("README.md", "durations.png")] == first


def test_a_run_without_clips_has_a_card(tmp_path: Path) -> None:
    """Bug: a mean of nothing, a histogram of nothing, audio at 0 Hz, patterns that match no file."""
    write_text(RunDirectory(tmp_path).plan_shard(0), "")
    write_shard(
        tmp_path,
        0,
        1,
        [],
        [Reject(Utterance("x", "y"), "silent: 1", 3)],
        sampling_rate=RATE,
        fingerprint="f",
        plan_hash=hash_plan(tmp_path, 0),
    )
    write_card(tmp_path, FACTS)
    statistics = collect_statistics(tmp_path)
    assert statistics.seconds == 0
    card = (tmp_path / "README.md").read_text()
    assert front_matter(card).keys().isdisjoint({"configs", "dataset_info"})
    assert front_matter(card)["license"] == "cc-by-4.0"
    assert "| silent | 1 |" in card
    assert "load_dataset" not in card
    assert "0 Hz" not in card


def test_the_snippets_of_the_card_run(run_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Bug: the first thing that a reader types does not work."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    write_card(run_dir, FACTS)
    snippets = re.findall(r"```python\n(.*?)```", (run_dir / "README.md").read_text(), flags=re.DOTALL)
    assert len(snippets) == 2
    printed = []
    for snippet in snippets:
        with contextlib.redirect_stdout(io.StringIO()) as output:
            exec(snippet.replace("path/to/this/folder", str(run_dir)), {})
        printed.append(output.getvalue())
    assert printed == ["Text a. (1600,) 16000\n", "a Jon 0.1\nb Lea 0.1\nc None 1.1\n"]


def test_datasets_reads_our_features_and_misses_a_missing_shard(run_dir: Path, tmp_path: Path) -> None:
    """Bug: features in the card that differ from the files; a copy without one shard that loads silently short."""
    write_card(run_dir, FACTS)
    builder = datasets.load_dataset_builder(str(run_dir), cache_dir=str(tmp_path / "one"))
    schema = datasets.Dataset.from_parquet(
        str(RunDirectory(run_dir).shard(0, 3)), cache_dir=str(tmp_path / "two")
    ).features
    assert builder.info.features == schema
    assert builder.info.features["audio"].sampling_rate == RATE
    RunDirectory(run_dir).shard(2, 3).unlink()
    with pytest.raises(Exception, match=r"num_examples=4.*num_examples=2"):
        datasets.load_dataset(str(run_dir), cache_dir=str(tmp_path / "three"))
