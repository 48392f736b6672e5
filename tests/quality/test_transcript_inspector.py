"""The check `transcript` in whole runs, with a recogniser that hears what it is told to hear."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from fakes import FakeModel, FakeSynthesizer, loader_of, speak

from pipeline.__main__ import main
from pipeline.config import Config
from pipeline.errors import ConfigError
from pipeline.outputs.dataset.shards import finished_shards
from pipeline.quality.check import refuse_checks
from pipeline.quality.transcript.recognizer import RECOGNIZERS, HeardWord, RecognizerOptions, Recording, Transcript
from pipeline.types import Clip, Utterance

TEXTS = ["The keeper lit the lamp.", "Nobody had asked him to do it.", "He climbed the stair again in the morning."]
MARK = 0.25  # level of the first sample, by which the recogniser knows a clip


class FakeRecognizer:
    """Hears the words of the prompt, which it knows by the first sample; `mishear` changes them."""

    def __init__(self, mishear: Callable[[str, int], str]) -> None:
        self.mishear = mishear
        self.prompts: list[str] = []
        self.heard: list[str] = []  # one entry for each clip
        self.sizes: list[int] = []

    identity = "fake"

    def check(self, options: RecognizerOptions) -> None:
        """Accept all options."""

    def __call__(self, options: RecognizerOptions) -> FakeRecognizer:
        return self

    def supports(self, language: str) -> bool:
        return language.startswith("en")

    def transcribe(self, recordings: Sequence[Recording], language: str) -> list[Transcript]:
        self.sizes.append(len(recordings))
        return [self._transcript(recording) for recording in recordings]

    def _transcript(self, recording: Recording) -> Transcript:
        prompt = self.prompts[round(float(recording.samples[0]) / MARK * 1000)]
        text = self.mishear(prompt, self.heard.count(prompt))
        self.heard.append(prompt)
        words = text.split()
        step = recording.seconds / max(1, len(words))
        times = tuple(HeardWord(f" {word}", step * i, step * (i + 1)) for i, word in enumerate(words))
        return Transcript(text, times)


@pytest.fixture
def recognizer() -> Iterator[FakeRecognizer]:
    fake = FakeRecognizer(lambda prompt, take: prompt)
    RECOGNIZERS.add("fake", fake)
    yield fake
    RECOGNIZERS.remove("fake")


def build(recognizer: FakeRecognizer) -> Callable[..., FakeSynthesizer]:
    def speak_marked(utterance: Utterance) -> Clip:
        if utterance.prompt not in recognizer.prompts:
            recognizer.prompts.append(utterance.prompt)
        clip = speak(utterance)
        samples = clip.samples.copy()
        samples[0] = MARK * recognizer.prompts.index(utterance.prompt) / 1000
        return replace(clip, samples=samples)

    return lambda *_, **__: FakeSynthesizer(speak_marked)


def run(tmp_path: Path, recognizer: FakeRecognizer, *settings: str, name: str = "run") -> Path:
    table = tmp_path / "texts.jsonl"
    table.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    command = [
        "task=dataset", f"input={table}", f"output_dir={tmp_path}", f"name={name}", "experiment=verified",
        "quality.transcript.recognizer=fake", "quality.transcript.align=false", "checks.takes=3", *settings,
    ]  # fmt: skip
    assert main(command, loader_of(build(recognizer))) == 0
    return tmp_path / name


def rows_of(run_dir: Path) -> list[dict[str, Any]]:
    return [row for path in sorted((run_dir / "data").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_each_clip_has_its_transcript(tmp_path: Path, recognizer: FakeRecognizer) -> None:
    """Guards the columns, their types in the dataset, and a run that verifies."""
    run_dir = run(tmp_path, recognizer)
    rows = rows_of(run_dir)
    assert [row["transcript"] for row in rows] == TEXTS
    assert {row["wer"] for row in rows} == {0.0}
    assert {row["transcript_verdict"] for row in rows} == {"pass"}
    words = rows[0]["words"]
    assert [word["word"] for word in words] == ["The", "keeper", "lit", "the", "lamp"]
    assert all(word["is_measured"] for word in words)
    assert words[-1]["end"] == pytest.approx(rows[0]["duration"], abs=0.01)
    assert main(["task=verify", f"run={run_dir}"]) == 0
    assert "word error rate" in (run_dir / "README.md").read_text()


def test_a_clip_with_other_words_is_generated_again(tmp_path: Path, recognizer: FakeRecognizer) -> None:
    """Guards retakes, and clips that pass at once against being generated again."""
    recognizer.mishear = lambda prompt, take: "Nobody had." if "asked" in prompt and take == 0 else prompt
    rows = rows_of(run(tmp_path, recognizer))
    assert [row["take"] for row in rows] == [0, 1, 0]
    assert sorted(recognizer.heard) == sorted([*TEXTS, TEXTS[1]])


@pytest.mark.parametrize("keep", [True, False])
def test_the_best_take_is_kept_if_none_passes(tmp_path: Path, recognizer: FakeRecognizer, keep: bool) -> None:
    """Guards a book against a gap where the recogniser, and not the voice, is at fault."""
    heard = ["Nobody.", "Nobody had asked him.", "Nobody had."]
    recognizer.mishear = lambda prompt, take: heard[take] if "asked" in prompt else prompt
    run_dir = run(tmp_path, recognizer, f"quality.keep_best={keep}")
    rows = rows_of(run_dir)
    if not keep:
        assert len(rows) == 2
        (reject,) = (reject for shard in finished_shards(run_dir) for reject in shard.rejects)
        assert reject["reason"].startswith("words: ")
        return
    assert len(rows) == 3
    assert (rows[1]["take"], rows[1]["transcript"], rows[1]["transcript_verdict"]) == (1, heard[1], "retake")
    assert rows[1]["flaws"].startswith("words: ")
    report = json.loads((run_dir / "report.json").read_text())
    assert report["words"] == {"pass": 2, "retake": 1}
    assert main(["task=verify", f"run={run_dir}"]) == 0


def test_a_language_that_is_not_understood_is_not_judged(tmp_path: Path, recognizer: FakeRecognizer) -> None:
    """Guards mixed tables: a text in another language is no fault of the voice."""
    rows = rows_of(run(tmp_path, recognizer, "source.language=de"))
    assert not recognizer.heard
    assert len(rows) == 3
    assert {row["transcript"] for row in rows} == {row["wer"] for row in rows} == {None}
    assert {row["words"] for row in rows} == {None}


def test_checked_clips_are_reused(tmp_path: Path, recognizer: FakeRecognizer, fake_model: FakeModel) -> None:
    """Guards a resumed run: clips keep their transcripts, and nobody listens to them again."""
    run_dir = run(tmp_path, recognizer)
    before, count = rows_of(run_dir), len(recognizer.heard)
    for shard in finished_shards(run_dir):
        assert shard.clips
    TEXTS.append("One more line at the end of the table.")
    try:
        after = rows_of(run(tmp_path, recognizer))
    finally:
        TEXTS.pop()
    assert [row["transcript"] for row in after[:3]] == [row["transcript"] for row in before]
    assert len(recognizer.heard) == count + 1


@pytest.mark.parametrize(("package", "facts"), [("soundswallower", ["quality", "pip install"]), ("rapidfuzz", ["pip"])])
def test_a_missing_package_is_named_at_once(monkeypatch: pytest.MonkeyPatch, package: str, facts: list[str]) -> None:
    """Guards the first try without the extra: no model is loaded before the error."""
    from pipeline.quality.transcript import inspector

    original = inspector.find_spec
    monkeypatch.setattr(inspector, "find_spec", lambda name: None if name == package else original(name))
    config = Config()
    config.quality.transcript.enabled = True
    with pytest.raises(ConfigError) as caught:
        refuse_checks(config)
    assert all(fact in str(caught.value) for fact in [package, *facts])


def test_a_recogniser_that_is_not_there_is_named_with_those_that_are() -> None:
    """Guards a misspelt name: the error names the key, the value and the choices."""
    config = Config()
    config.quality.transcript.enabled = True
    config.quality.transcript.recognizer = "faster-wisper"
    with pytest.raises(ConfigError) as caught:
        refuse_checks(config)
    assert all(fact in str(caught.value) for fact in ("recognizer", "faster-wisper", "faster-whisper"))
