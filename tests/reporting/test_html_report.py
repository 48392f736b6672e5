"""`report.html`: it needs no other file, contains no markup of the text, and describes every kind of run."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fakes import INFO, RATE, speak, write_shard

from pipeline.outputs.dataset.card import CardFacts, collect_statistics
from pipeline.outputs.dataset.columns import make_row
from pipeline.reporting import html_report
from pipeline.reporting.html_report import write_html_report
from pipeline.reporting.journal import Journal
from pipeline.reporting.report import make_report
from pipeline.reporting.svg_charts import Series, histogram, line_chart, waveform
from pipeline.types import Reject, Utterance

NASTY = '<script>alert("1")</script> & </figcaption> {{ 7 * 7 }} \'"'
VOID = {"meta", "link", "br", "img", "rect", "line", "polyline", "hr", "input"}


class Reader(HTMLParser):
    """Collects elements, addresses and text; checks that all elements are closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        assert not [name for name, _ in attrs if name.startswith("on")], "a script in an attribute"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def utterance(number: int, speaker: str | None = "Jon", text: str = "Some words.") -> Utterance:
    return Utterance(text, "A voice.", seed=number, id=f"u-{number:03d}", speaker=speaker, predicted_seconds=0.5)


def make_page(
    run_dir: Path, spoken: list[Utterance], rejects: list[Reject], book: dict[str, object] | None = None
) -> str:
    """Write a run with shards of four utterances, and return its page."""
    shards = [spoken[start : start + 4] for start in range(0, len(spoken), 4)] or [[]]
    for index, shard in enumerate(shards):
        rows = [make_row(speak(each), f"key-{each.id}", "en", INFO) for each in shard]
        refused = rejects if index == 0 else []
        marks = {"fingerprint": "f", "plan_hash": "p"}
        write_shard(run_dir, index, len(shards), rows, refused, sampling_rate=RATE, work_seconds=2.0, **marks)
    facts = CardFacts(NASTY, NASTY, INFO, "flac", "other", 0, {"sampling": {"top_k": 50}}, "0.1")
    report = replace(make_report(run_dir, INFO, len(spoken) + len(rejects), None), book=book)
    write_html_report(run_dir, report, facts, collect_statistics(run_dir).durations)
    return (run_dir / "report.html").read_text(encoding="utf-8")


def test_the_page_needs_no_network_and_escapes_text(tmp_path: Path) -> None:
    """Guards against a page that loads something from the network, and against text that becomes markup."""
    now = [0.0]
    with Journal(tmp_path, "main", "cpu", wall=lambda: now[0], monotonic=lambda: now[0]) as journal:
        for _ in range(20):
            now[0] += 6
            journal.record_take(9.0, True, 12.0)
        journal.record_failure(NASTY)
    (tmp_path / "config.yaml").write_text(f"input: {NASTY}\n")
    spoken = [utterance(number, speaker=NASTY, text=NASTY) for number in range(6)]
    text = make_page(tmp_path, spoken, [Reject(utterance(9, text=NASTY), f"silent: {NASTY}", 3)])
    reader = Reader(text)
    assert "script" not in reader.tags
    assert "link" not in reader.tags
    assert reader.addresses
    assert all(address.startswith("data:audio/mpeg;base64,") for address in reader.addresses)
    assert not re.search(r"url\(|@import|https?://", text)
    assert reader.words.count(NASTY) >= 6, "texts are shown unchanged"
    assert "{{ 7 * 7 }}" in reader.words, "a text is not a template"
    assert "polyline" in reader.tags


def test_a_few_clips_of_each_voice_can_be_played(tmp_path: Path) -> None:
    """Guards against players whose audio is not that of the clip."""
    names = ["Jon", "Lea", None]
    text = make_page(tmp_path, [utterance(number, names[number % 3]) for number in range(24)], [])
    clips = re.findall(r'src="data:audio/mpeg;base64,([^"]+)"', text)
    assert len(clips) == 9
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(clips[0])))
    assert len(samples) / rate == pytest.approx(0.5, abs=0.15)


def test_the_audio_in_the_page_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against a page of a gigabyte for a run with a thousand voices."""
    monkeypatch.setattr(html_report, "_MAX_AUDIO_BYTES", 10_000)
    text = make_page(tmp_path, [utterance(number, f"voice {number}") for number in range(40)], [])
    audio = sum(len(base64.b64decode(clip)) for clip in re.findall(r'base64,([^"]+)"', text))
    assert 0 < audio <= 10_000


def test_a_run_without_clips_has_a_page(tmp_path: Path) -> None:
    """Guards the page against a run in which everything was rejected."""
    rejects = [
        Reject(utterance(number, text=f"Text {number}."), "silent: nothing; limit: long", 3) for number in range(30)
    ]
    reader = Reader(make_page(tmp_path, [], rejects))
    assert "audio" not in reader.tags
    assert "Text 0." in reader.words
    assert "silent · 30" in reader.words
    assert "limit · 30" in reader.words
    assert "Text 18." not in reader.words
    assert re.search(r"\b18\b", reader.words), "how many more there are"


def test_chapters_of_a_book_are_listed(tmp_path: Path) -> None:
    """Guards against chapters without title, time or loudness."""
    measures = {"loudness_lufs": -18.04}
    chapters = [{"number": 1, "title": NASTY, "start": 0.0, "end": 61.0, "measures": measures}]
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "book.json").write_text(json.dumps({"chapters": chapters}))
    reader = Reader(make_page(tmp_path, [utterance(0)], [], {"m4b": "book/x.m4b", "seconds": 61.0}))
    for fact in (NASTY, "0:00", "1:01", "-18.0 LUFS"):
        assert fact in reader.words


@pytest.mark.parametrize("top", [0.0, 0.004, 1.0, 59.0, 3_600.0, 1e7])
def test_charts_of_any_scale_are_drawn(top: float) -> None:
    """Guards the axes against runs of a moment and of months, and against empty clips."""
    chart = line_chart([Series("<a>", (((0.0, 0.0), (top, top)),))], "x", lambda x: f"{x:g}")
    assert 2 <= Reader(str(chart)).tags.count("line") <= 8
    assert "<a>" not in chart
    Reader(str(histogram(np.array([0.0, top]), "seconds", "clips")))
    assert "nan" not in chart


def test_silence_and_an_empty_clip_have_a_waveform() -> None:
    """Guards against a division by a peak of zero."""
    assert waveform(np.zeros(0, dtype=np.float32))
    assert "nan" not in waveform(np.zeros(500, dtype=np.float32))
