"""Repeated texts: which seed, voice and file name each gets, and what counting them costs."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import ModelConfig, SourceConfig, SpeakerChoice, TextConfig, VoiceConfig
from pipeline.errors import SourceError
from pipeline.planning import (
    occurrences,
    plan_utterances,
    predict_seconds,
    repeat_documents,
    safe_file_stem,
    utterance_seed,
)
from pipeline.planning.occurrences import Occurrences
from pipeline.text.readers.dispatch import read_documents
from pipeline.text.segmentation import segment_document
from pipeline.types import Utterance
from pipeline.voices import Casting

VARIED = VoiceConfig(speakers=[SpeakerChoice("Jon"), SpeakerChoice("Lea"), SpeakerChoice("Gary")])


def plan(tmp_path: Path, rows: list[dict[str, object]], readings: int = 1, **source: object) -> list[Utterance]:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    config = SourceConfig(**source)  # type: ignore[arg-type]
    documents = repeat_documents(read_documents(str(path), config), readings)
    casting = Casting(VARIED, ModelConfig("untrained"))
    return list(
        plan_utterances(
            documents,
            lambda document: segment_document(document, TextConfig(), predict_seconds),
            casting,
            0,
            config.id_column is not None,
        )
    )


def heard(utterance: Utterance) -> tuple[str, str, int]:
    return utterance.prompt, utterance.description, utterance.seed


@given(st.lists(st.integers(0, 40), max_size=200), st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_counting_is_exact_in_memory_and_on_disk(contents: list[int], max_in_memory: int):
    """A count that is lost on the way to the disk gives two rows one seed, and so the same audio."""
    expected, seen = [], Counter[int]()
    for content in contents:
        expected.append(seen[content])
        seen[content] += 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(occurrences, "MAX_IN_MEMORY", max_in_memory)
        counts = Occurrences()
        assert [counts.add("x", content) for content in contents] == expected
        counts.close()


def test_a_full_temporary_folder_is_told_of(monkeypatch):
    """SQLite's own error would be a traceback hours into a plan, and would not name TMPDIR."""
    monkeypatch.setattr(occurrences, "MAX_IN_MEMORY", 1)
    with closing(Occurrences()) as counts:
        list(map(counts.add, "ab"))
        assert counts._database is not None
        counts._database.execute("PRAGMA max_page_count = 2")
        with pytest.raises(SourceError, match="TMPDIR"):
            list(map(counts.add, range(10_000)))


def test_the_first_of_equal_texts_keeps_its_seed():
    """Another value would make all clips of all datasets anew."""
    assert utterance_seed(0, "Hello.", "Jon's voice is calm.", 0) == 8522880557322580974
    assert len({utterance_seed(0, "Hello.", "Jon's voice is calm.", n) for n in range(100)}) == 100


@pytest.mark.parametrize("id_column", [None, "id"])
def test_equal_rows_are_different_readings(tmp_path, id_column):
    """Guards rows with equal texts, which were the same audio."""
    rows = [{"id": f"take{n}", "text": "Please say this.", "v": "A calm voice."} for n in range(4)]
    utterances = plan(tmp_path, rows, id_column=id_column, description_column="v")
    assert len({utterance.seed for utterance in utterances}) == 4
    assert utterances[0].seed == utterance_seed(0, "Please say this.", "A calm voice.")


def test_equal_voices_of_a_list_and_readings_per_text_are_different_readings(tmp_path):
    """Guards several takes of one text, which were the same audio."""
    row = {"id": "u", "text": "Please say this.", "v": ["A calm voice."] * 3}
    once = plan(tmp_path, [row], id_column="id", description_column="v")
    assert len({utterance.seed for utterance in once}) == 3
    twice = plan(tmp_path, [row], readings=2, id_column="id", description_column="v")
    assert [utterance.id for utterance in twice] == [f"u-{n}" for n in range(6)]
    assert len({utterance.seed for utterance in twice}) == 6
    assert {utterance.seed for utterance in once} < {utterance.seed for utterance in twice}


def test_parts_of_a_text_and_parts_of_other_texts_count_alike(tmp_path):
    """A sentence that a row repeats, or that two rows share, is the same content wherever it stands."""
    rows = [{"text": "No.\n\nNo."}, {"text": "No."}]
    utterances = plan(tmp_path, rows, description_column=None)
    by_voice = Counter(utterance.description for utterance in utterances)
    assert len({(utterance.description, utterance.seed) for utterance in utterances}) == sum(by_voice.values()) == 3


def test_what_cannot_be_spoken_is_not_counted(tmp_path):
    """A reject is not heard: rows without words must not move the seeds of anything."""
    seeds = {utterance.seed for utterance in plan(tmp_path, [{"text": "***"}] * 3)}
    assert len(seeds) <= 3
    counted = plan(tmp_path, [{"text": "***", "v": "x"}, {"text": "***", "v": "x"}], description_column="v")
    assert len({utterance.seed for utterance in counted}) == 1


@pytest.mark.parametrize("id_column", [None, "id"])
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_an_inserted_row_changes_no_other(tmp_path_factory, id_column, data):
    """Guards tables without ids: a new first row changed voice and audio of all others."""
    folder = tmp_path_factory.mktemp("rows")
    texts = data.draw(st.lists(st.sampled_from(["It rained.", "We stayed.", "No.", "No. No."]), min_size=1, max_size=6))
    rows: list[dict[str, object]] = [{"id": f"r{n}", "text": text} for n, text in enumerate(texts)]
    position = data.draw(st.integers(0, len(rows)))
    before = plan(folder, rows, id_column=id_column)
    rows.insert(position, {"id": "new", "text": "Quite another text."})
    after = plan(folder, rows, id_column=id_column)
    assert [heard(one) for one in after if one.prompt != "Quite another text."] == [heard(one) for one in before]


def test_rows_without_ids_draw_many_voices(tmp_path):
    """Drawing by the text alone would give all equal rows one voice; with ids the draw is by the id, as ever."""
    utterances = plan(tmp_path, [{"text": "Please say this."}] * 30)
    assert len({utterance.speaker for utterance in utterances}) == 3
    named = plan(tmp_path, [{"id": "a", "text": "One."}, {"id": "b", "text": "One."}], id_column="id")
    casting = Casting(VARIED, ModelConfig("untrained"))
    assert [one.speaker for one in named] == [casting.cast(id, "One.", 0).speaker for id in ("a", "b")]


ODD_IDS = [
    "a/b/c", "../../etc/x", "naïve ☃ id", "with space", "C:\\x", ".", "..", "", "x" * 300, "é" * 300, "tab\there",
    "nl\nid", "a|b", "A1", "a1", "a1.", "con", "NUL.txt", "-rf", "~", "$HOME", "a\u202eb", "ﬁ", "fi", "a:b",
    "esc\x1b[2J", "A1-eeee", "İ", "ı", "I", "i", "K", "K",
]  # fmt: skip


def test_audio_has_a_plain_file_name_whatever_the_id(tmp_path):
    """Guards names of files: ids may have slashes and line breaks, and differ only in case."""
    ids = [id for id in dict.fromkeys(ODD_IDS) if id]
    rows: list[dict[str, object]] = [{"id": id, "text": f"Row {n} is spoken."} for n, id in enumerate(ids)]
    utterances = plan(tmp_path, rows, id_column="id")
    assert [utterance.id for utterance in utterances] == ids
    stems = [utterance.file_stem or safe_file_stem(utterance.id) for utterance in utterances]
    assert len({stem.lower() for stem in stems}) == len(ids)
    for stem in stems:
        assert stem.isascii()
        assert stem.replace("-", "").replace("_", "").replace(".", "").isalnum(), stem
        assert stem[0] not in ".-"
        assert len(stem) <= 200
        assert stem.split(".")[0].lower() not in ("con", "nul")
    assert stems[ids.index("A1")] == "A1"


@given(st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=30))
@settings(max_examples=50, deadline=None)
def test_file_names_of_different_ids_differ(ids: list[str]):
    """Stems are made of the id alone where they can be: a resumed run must give the same name."""
    stems = [safe_file_stem(id) for id in ids]
    assert len(set(stems)) == len(ids)
    assert all("/" not in stem and "\\" not in stem and "\0" not in stem and stem not in (".", "..") for stem in stems)


def test_sqlite_knows_returning():
    """Counting needs SQLite 3.35, of March 2021."""
    assert sqlite3.sqlite_version_info >= (3, 35)


@pytest.mark.parametrize(
    ("text", "spoken", "problem"),
    [
        ("Yes. No.", "Yes. No.", None),
        ("First one.\n\nSecond one.", "First one. Second one.", None),
        ("Wait... what? Really?! Yes.", "Wait... what? Really?! Yes.", None),
        ("A sentence of some length. " * 20, None, "too-long"),
        ("***", None, "symbols"),
        ("", None, "empty"),
        (" \n\n ", None, "empty"),
    ],
)
def test_without_splitting_a_row_is_one_clip_or_a_reject(tmp_path, text, spoken, problem):
    """Guards source rows as single clips with their own ids."""
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"text": text}), encoding="utf-8")
    (document,) = read_documents(str(path), SourceConfig())
    (segment,) = segment_document(document, TextConfig(split=False), predict_seconds)
    assert (segment.problem or "").split(":")[0] == (problem or "")
    assert segment.spoken == spoken or problem
    assert text.strip() in segment.text or not text.strip()
