"""Predicted lengths, utterances, shards, buckets, batches and the summary of a plan."""

from __future__ import annotations

import dataclasses
import re
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import ModelConfig, PlanningConfig, SpeakerChoice, VoiceConfig
from pipeline.errors import SourceError
from pipeline.planning import (
    PlanSummary,
    assign_buckets,
    audio_bytes,
    bucket_problem,
    find_bucket,
    group_into_shards,
    left_out_of,
    make_batches,
    occurrences,
    plan_utterances,
    predict_seconds,
    render_plan,
    utterance_key,
    utterance_seed,
)
from pipeline.planning.buckets import ModelLimits, Shapes
from pipeline.types import Boundary, Bucket, Chapter, Document, Paragraph, Segment, Shard, Skip, Utterance
from pipeline.voices import Casting

CASTING = Casting(VoiceConfig(speaker="jon"), ModelConfig("untrained"))
PLANNING = PlanningConfig()
FRAMES_PER_SECOND = 44100 / 512
MODEL_SECONDS = 2580 / FRAMES_PER_SECOND
POSITIONS = 4_087
LIMITS = ModelLimits(44_100, FRAMES_PER_SECOND, MODEL_SECONDS, POSITIONS)


def make_document(name: str, *texts: str, title: str = "") -> Document:
    whole = " ".join(texts)
    starts = [sum(len(text) + 1 for text in texts[:index]) for index in range(len(texts))]
    return Document(name, whole, (Chapter(title, tuple(map(Paragraph, texts, starts))),))


def by_paragraph(document: Document) -> list[Segment]:
    """Stands in for segmentation: a paragraph is a segment, and one without letters has a problem."""
    return [
        Segment(
            source_id=document.id,
            chapter=0,
            index=index,
            start=paragraph.start,
            end=paragraph.start + len(paragraph.text),
            text=paragraph.text,
            spoken=paragraph.text.strip(),
            boundary=paragraph.boundary,
            problem=None if any(map(str.isalpha, paragraph.text)) else f"symbols: {len(paragraph.text)} of them",
        )
        for index, paragraph in enumerate(document.chapters[0].paragraphs)
    ]


def plan(*documents: Document, casting: Casting = CASTING, run_seed: int = 0) -> list[Utterance]:
    return list(plan_utterances(documents, by_paragraph, casting, run_seed))


def test_clips_of_a_row_with_several_voices_can_be_joined_to_the_row():
    """Guards a table's own keys: each clip needs an id of its own, and all of them come from the one row."""
    row = make_document("r1", "Hello.", "Goodbye.")
    utterances = plan(*(dataclasses.replace(row, copy=copy) for copy in (0, 1)))
    assert [each.id for each in utterances] == ["r1-0-00000", "r1-0-00001", "r1-1-00000", "r1-1-00001"]
    assert {each.segment.source_id for each in utterances if each.segment} == {"r1"}


def place(shard: Shard, planning: PlanningConfig = PLANNING, batch_size: int = 4) -> tuple[Shard, list[int]]:
    tokens = [len(utterance.prompt.split()) for utterance in shard.utterances]
    described = [40] * len(tokens)
    return assign_buckets(shard, tokens, described, Shapes(planning, LIMITS, batch_size)), tokens


# Predicted seconds


@given(st.text(), st.text())
@settings(max_examples=300, deadline=None)
def test_more_text_is_never_shorter(text: str, more: str):
    """Segmentation fills a segment until it is too long, and relies on this."""
    assert predict_seconds(text) <= predict_seconds(text + more)
    assert predict_seconds(text) >= 0


def test_prediction_matches_recorded_narration():
    """LJ Speech: clips of 100 characters last 6.6 s on average, and 24 hours have 15.2 characters a second."""
    clip = "It is a truth universally acknowledged, that a single man with a good fortune must want a wife now."
    assert len(clip) == 99
    assert 6.0 < predict_seconds(clip) < 7.2
    chapter = (clip + " ") * 20
    assert 14 < len(chapter) / predict_seconds(chapter) < 16


def test_other_scripts_are_not_taken_for_letters():
    """At the Latin rate a Chinese clip would be cut after a third of it, and a Hindi one called too long."""
    for text, low, high in (
        ("今天的天气非常好，我们一起去公园散步吧。", 3.0, 6.0),
        ("今日はとても天気がいいので、公園を散歩しましょう。", 3.0, 6.0),
        ("오늘은 날씨가 아주 좋아서 공원에 산책하러 갑시다.", 3.0, 6.0),
        ("आज मौसम बहुत अच्छा है, चलो पार्क में टहलने चलते हैं।", 2.5, 6.0),
        ("Сегодня очень хорошая погода, пойдём гулять в парк.", 2.5, 6.0),
        ("الطقس جميل جدا اليوم، هيا نتمشى في الحديقة.", 2.5, 6.0),
    ):
        assert low < predict_seconds(text) < high, text


def test_pauses_and_figures_cost_time():
    assert predict_seconds("I came. I saw") > predict_seconds("I came I saw") + 0.3
    assert predict_seconds("Go!") == predict_seconds("Go"), "nothing follows the last mark"
    assert predict_seconds("1984") > predict_seconds("abcd") + 0.5
    assert predict_seconds("") == predict_seconds(" \n ") == predict_seconds("* * *") == 0


# Utterances


def test_utterances_come_in_reading_order_with_their_ids():
    one, first, second = plan(make_document("a", "Only one."), make_document("b", "First.", "Second."))
    assert (one.id, first.id, second.id) == ("a", "b-00000", "b-00001")
    assert [utterance.prompt for utterance in (one, first, second)] == ["Only one.", "First.", "Second."]
    assert one.seed == utterance_seed(0, one.prompt, one.description)
    assert one.predicted_seconds == predict_seconds("Only one.")
    assert one.speaker == "Jon"


def test_nothing_is_lost_on_the_way():
    """What cannot be spoken has to reach the list of rejects, also when segmentation gave nothing at all."""
    utterances = plan(make_document("a", "Good.", "***"), Document("b", " ", (Chapter("", ()),)))
    assert [utterance.problem for utterance in utterances] == [
        None,
        "symbols: 3 of them",
        "empty: the text has nothing to say",
    ]
    assert [utterance.id for utterance in utterances] == ["a-00000", "a-00001", "b"]
    assert utterances[1].predicted_seconds == 0


def test_an_utterance_does_not_depend_on_its_neighbours():
    """Inserting a line into a text must leave every other clip as it is."""
    texts = [f"This is line {index}." for index in range(20)]
    casting = Casting(VoiceConfig(speakers=[SpeakerChoice("jon"), SpeakerChoice("lea")]), ModelConfig("untrained"))
    before = plan(make_document("a", *texts), casting=casting)
    after = plan(make_document("a", texts[0], "A new line.", *texts[1:]), casting=casting)
    keys = [utterance_key(utterance, "model") for utterance in before]
    assert [utterance_key(utterance, "model") for utterance in after if utterance.prompt != "A new line."] == keys
    assert plan(make_document("a", *texts), casting=casting, run_seed=1) != before


def test_a_row_brings_its_own_voice():
    row = dataclasses.replace(make_document("a", "Hello there."), speaker="lea", description="A quiet voice.")
    (utterance,) = plan(row)
    assert (utterance.speaker, utterance.description) == ("Lea", "A quiet voice.")


def test_ids_are_unique():
    """Two rows with one id would overwrite each other's clip. Documents' and segments' ids can meet as well."""
    with pytest.raises(SourceError, match=r"'a'.*\b3\b.*source\.id_column"):
        plan(make_document("a", "One."), make_document("b", "Two."), make_document("a", "Three."))
    with pytest.raises(SourceError, match=r"'a-00001'.*\b2\b"):
        plan(make_document("a", "One.", "Two."), make_document("a-00001", "Three."))


def test_planning_streams(monkeypatch):
    """A table of a million rows must not be read before the first shard is planned, nor be held in memory."""
    monkeypatch.setattr(occurrences, "MAX_IN_MEMORY", 100)
    read = 0

    def rows() -> Iterator[Document]:
        nonlocal read
        while True:
            read += 1
            yield make_document(str(read), f"This is row {read} of a long table, and it has its own words.")

    shards = group_into_shards(plan_utterances(rows(), by_paragraph, CASTING, 0), 8)
    next(shards)
    assert read == 8
    tracemalloc.start()
    summary = PlanSummary("flac", 44100, FRAMES_PER_SECOND)
    for _ in range(50):
        summary.add_shard(*place(next(shards)))
    middle = tracemalloc.get_traced_memory()[0]
    for _ in range(50):
        summary.add_shard(*place(next(shards)))
    grown = tracemalloc.get_traced_memory()[0] - middle
    tracemalloc.stop()
    assert grown / 400 < 100, "bytes kept for each row"


@given(st.integers(0, 40), st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_every_utterance_is_dealt_once_in_order(count: int, shard_size: int):
    utterances = [Utterance("a", "b", id=str(index)) for index in range(count)]
    shards = list(group_into_shards(iter(utterances), shard_size))
    assert [utterance for shard in shards for utterance in shard.utterances] == utterances
    assert [shard.index for shard in shards] == list(range(len(shards)))
    assert all(len(shard.utterances) == shard_size for shard in shards[:-1])
    assert all(shard.utterances for shard in shards)


# Buckets and batches


def bucket_of(seconds: float, prompt_tokens: int = 10, planning: PlanningConfig = PLANNING) -> Bucket | None:
    utterance = Utterance("a", "b", predicted_seconds=seconds)
    return find_bucket(utterance, prompt_tokens, 40, Shapes(planning, LIMITS, 8))


def test_a_bucket_is_the_smallest_shape_that_holds():
    assert bucket_of(2.0) == Bucket(32, 64, 430, 8)  # 2.0 * 1.6 is below 5 s
    assert bucket_of(4.0, prompt_tokens=33) == Bucket(64, 64, 861, 8)
    assert bucket_of(4.0, prompt_tokens=64) == Bucket(64, 64, 861, 8)


def test_a_bucket_never_exceeds_the_model_nor_cuts_for_want_of_a_rung():
    """30 s are 2583 frames and the checkpoints stop at 2580; a ladder that ends at 10 s must not cut 15 s of speech."""
    for seconds in (0.0, 18.0, 29.0, 300.0):
        assert bucket_of(seconds) == Bucket(32, 64, 2580, 8)
    assert bucket_of(12.5) == Bucket(32, 64, 1722, 8)
    assert bucket_of(15.0, planning=PlanningConfig(max_seconds=[5.0, 10.0])) == Bucket(32, 64, 2580, 8)


@given(
    st.lists(st.tuples(st.floats(0, 40), st.integers(1, 600), st.integers(1, 300)), min_size=1, max_size=60),
    st.integers(1, 9),
)
@settings(max_examples=60, deadline=None)
def test_buckets_hold_and_batches_partition(rows: list[tuple[float, int, int]], batch_size: int):
    """A row in two batches is made twice, a row in none is lost; a bucket that depends on neighbours changes audio."""
    shard = Shard(0, tuple(Utterance("a", "b", id=str(i), predicted_seconds=row[0]) for i, row in enumerate(rows)))
    tokens = {str(i): row[1:] for i, row in enumerate(rows)}

    def placed(utterances: tuple[Utterance, ...]) -> tuple[Utterance, ...]:
        prompts = [tokens[utterance.id][0] for utterance in utterances]
        descriptions = [tokens[utterance.id][1] for utterance in utterances]
        shapes = Shapes(PLANNING, LIMITS, batch_size)
        return assign_buckets(Shard(0, utterances), prompts, descriptions, shapes).utterances

    together = placed(shard.utterances)
    assert together == tuple(placed((utterance,))[0] for utterance in shard.utterances)
    for utterance in together:
        prompt, description = tokens[utterance.id]
        if utterance.bucket is None:
            assert prompt > 512 or description > 256
            assert utterance.problem == bucket_problem(prompt, description, PLANNING, None, POSITIONS) is not None
        else:
            assert utterance.problem is None
            assert utterance.bucket.prompt_tokens >= prompt
            assert utterance.bucket.description_tokens >= description
            enough = utterance.predicted_seconds * PLANNING.headroom * FRAMES_PER_SECOND - 1
            assert utterance.bucket.max_frames >= min(enough, 2580)

    batches = make_batches(together)
    made = sorted(utterance.id for batch in batches for utterance in batch.utterances)
    assert made == sorted(utterance.id for utterance in together if not utterance.problem)
    for batch in batches:
        assert 1 <= len(batch.utterances) <= batch_size
        assert {utterance.bucket for utterance in batch.utterances} == {batch.bucket}
        lengths = [utterance.predicted_seconds for utterance in batch.utterances]
        assert lengths == sorted(lengths, reverse=True)
    limits = [batch.bucket.max_frames for batch in batches if batch.bucket]
    assert limits == sorted(limits, reverse=True)
    full = sum(len(batch.utterances) == batch_size for batch in batches)
    assert len(batches) - full <= len({batch.bucket for batch in batches}), "at most one partial batch for each bucket"


def test_a_reject_says_what_to_change():
    too_long = "too-long: the text has more than the 512 tokens that planning.prompt_tokens ends at"
    bucket = Bucket(512, 256, 2_000, 4)
    assert bucket_problem(513, 9, PLANNING, None, POSITIONS) == too_long
    description = bucket_problem(1, 257, PLANNING, None, POSITIONS)
    assert description is not None
    assert description.startswith("description: ")
    assert "256" in description
    assert "planning.description_tokens" in description
    assert bucket_problem(512, 256, PLANNING, bucket, 2_512) is None


def test_what_the_model_has_no_positions_for_is_rejected_by_the_plan():
    """The engine refuses such an utterance when it meets it, and that would end a run at hour nine."""
    shard = Shard(0, (Utterance("a", "b", id="1"), Utterance("c", "d", id="2")))
    limits = dataclasses.replace(LIMITS, max_positions=int(MODEL_SECONDS * FRAMES_PER_SECOND) + 20)
    fits, does_not = assign_buckets(shard, [20, 21], [9, 9], Shapes(PLANNING, limits, 4)).utterances
    assert fits.bucket is not None
    assert fits.problem is None
    assert does_not.bucket is None
    assert (does_not.problem or "").startswith("too-long: 21 ")


def test_rows_without_a_shape_are_made_alone():
    """Unpadded rows of different lengths cannot share a batch; those with a problem must not be generated."""
    rows = [Utterance("a", "b", id="1"), Utterance("c", "d", id="2"), Utterance("", "d", id="3", problem="empty")]
    assert [[utterance.id for utterance in batch.utterances] for batch in make_batches(rows)] == [["1"], ["2"]]
    with pytest.raises(ValueError, match="zip"):
        assign_buckets(Shard(0, tuple(rows)), [1, 2], [1, 2], Shapes(PLANNING, LIMITS, 4))


# The summary


def summarise(documents: list[Document], shard_size: int = 4, planning: PlanningConfig = PLANNING) -> PlanSummary:
    summary = PlanSummary("wav", 44100, FRAMES_PER_SECOND)
    for document in documents:
        summary.add_document(document)
    for shard in group_into_shards(plan(*documents), shard_size):
        summary.add_shard(*place(shard, planning))
    return summary


def test_the_summary_adds_up():
    documents = [
        make_document("a", *["Some words to be said."] * 5, "***", title="Chapter One"),
        make_document("b", "-"),
    ]
    summary = summarise(documents)
    assert (summary.documents, summary.utterances, summary.shards) == (2, 7, 2)
    assert summary.problems == {"symbols": 2}, "reasons with figures in them must be counted by their code"
    assert summary.seconds == pytest.approx(5 * predict_seconds("Some words to be said."))
    assert summary.words == 5 * 5
    assert audio_bytes(summary.seconds, "wav", 44100) == pytest.approx(summary.seconds * 88200, abs=1)
    (count,) = summary.buckets.values()
    assert (count.utterances, count.batches) == (5, 2)
    assert summary.step_waste == 0
    assert summary.prompt_waste == pytest.approx(1 - 5 / 32)


def test_what_is_left_out_is_listed_unless_it_has_no_words():
    """Guards the README's word: a note that nobody speaks must be found somewhere, but not each asterisk."""
    text = "Some words. * * * Except the cat."
    document = Document(
        "a", text, make_document("a", "Some words.").chapters, (Skip(12, 17, "mark"), Skip(18, 33, "note"))
    )
    (note,) = left_out_of(document)
    assert (note.reason, note.text, document.text[note.start : note.end]) == (
        "note",
        "Except the cat.",
        "Except the cat.",
    )
    summary = summarise([document])
    assert summary.left_out.stretches == {"note": 1}
    assert "note (1)" in render_plan(summary)


def test_much_that_is_left_out_is_a_warning_unless_a_narrator_leaves_it_out_too():
    """Bug: a play lost 96 % of its words, with exit 0 and no warning."""
    words = "Some words to be said by a voice. " * 10
    chapters = make_document("a", words).chapters
    lost = words + "in a table " * 30
    for reason, is_warned in (("table", True), ("note", False), ("chapter not selected", False)):
        summary = summarise([Document("a", lost, chapters, (Skip(len(words), len(lost), reason),))])
        assert bool(summary.left_out.warnings) is is_warned
        assert f"90 {reason}" in render_plan(summary)
        assert ("WARNING" in render_plan(summary)) is is_warned


def test_pages_that_become_one_chapter_are_a_warning():
    """Bug: a book whose chapters were not found was one chapter, and nobody was told."""
    document = make_document("a", "Some words.")
    assert summarise([replace(document, num_pages=7)]).left_out.warnings
    assert not summarise([replace(document, num_pages=1)]).left_out.warnings


def test_what_is_left_out_names_its_chapter():
    """Bug: a list of a thousand notes does not say where they were."""
    text = "Note. One. Table. Two. Note."
    chapters = tuple(Chapter(title, (Paragraph(f"{title}.", text.index(title)),)) for title in ("One", "Two"))
    skips = (Skip(0, 5, "note"), Skip(11, 17, "table"), Skip(23, 28, "note"), Skip(28, 28, "missing page", "b.xhtml"))
    found = list(left_out_of(Document("a", text, chapters, skips)))
    assert [(each.chapter_number, each.chapter) for each in found] == [(0, ""), (1, "One"), (2, "Two"), (2, "Two")]
    assert [each.expected for each in found] == [True, False, True, False]


def test_padding_is_what_rows_wait_for():
    """Two rows of 1 s and 3 s in one batch compute 6 s for 4 s of speech."""
    bucket = Bucket(32, 64, 430, 2)
    rows = tuple(Utterance("a", "b", id=str(s), predicted_seconds=s, bucket=bucket) for s in (1.0, 3.0))
    summary = PlanSummary("flac", 44100, FRAMES_PER_SECOND)
    summary.add_shard(Shard(0, rows), [8, 24])
    assert summary.step_waste == pytest.approx(1 / 3)
    assert summary.prompt_waste == pytest.approx(1 / 2)


def test_the_printed_plan_has_what_a_person_asks():
    documents = [make_document("a", *["Some words to be said."] * 5, "***", title="Chapter One")]
    summary = summarise(documents)
    text = render_plan(summary, verbose=True)
    for expected in ("Chapter One", "6, of which 5 can be spoken", "1 rejected: symbols", "%", "430", "shards"):
        assert expected in text
    assert max(map(len, text.splitlines())) <= 100
    long_title = render_plan(summarise([make_document("a", "Some words.", title="A title without end " * 9)]))
    assert max(map(len, long_title.splitlines())) <= 100
    untitled = make_document("a", "Some words.").chapters * 2
    assert render_plan(summarise([Document("a", "Some words.", untitled)])), "chapters without a title must print"
    assert render_plan(PlanSummary("flac", 44100, FRAMES_PER_SECOND)), "an empty plan must print too"


def test_shapes_are_told_on_request_only():
    """Guards the reader of a plan from figures that only an engineer of the pipeline can use."""
    summary = summarise([make_document("a", "Some words to be said.", title="One")])
    text = render_plan(summary, is_book=True)
    told = render_plan(summary, is_book=True, verbose=True)
    (bucket,) = summary.buckets
    shape = re.compile(rf"\b{bucket.prompt_tokens}\b.*\b{bucket.description_tokens}\b.*\b{bucket.max_frames}\b")
    assert shape.search(told)
    assert not shape.search(text)
    assert "One" in text


def test_the_pauses_of_a_book_belong_to_its_hours():
    """Bug: an audiobook was a sixth longer than the dry run had said."""
    document = make_document("a", *["Some words to be said."] * 5, title="One")
    summary = PlanSummary("wav", 44100, FRAMES_PER_SECOND, {Boundary.PARAGRAPH: 60.0})
    summary.add_document(document)
    for shard in group_into_shards(plan(document), 4):
        summary.add_shard(*place(shard))
    num_pauses = summary.pause_seconds / 60
    assert 4 <= num_pauses <= 5
    (chapter,) = summary.titles.values()
    assert chapter.seconds == pytest.approx(summary.seconds + summary.pause_seconds)
    assert f"{num_pauses:.0f} min 00 s" in render_plan(summary)


def test_a_table_with_titles_does_not_fill_the_terminal():
    documents = [make_document(str(index), "Some words.", title=f"Row {index}") for index in range(1000)]
    summary = summarise(documents)
    text = render_plan(summary, verbose=True)
    assert len(text.splitlines()) < 350
    assert re.search(r"\b700\b", text), "of 1,000 rows, 300 are listed"
    assert re.search(r"\b1,000\b", render_plan(summary))
    assert len(render_plan(summary).splitlines()) < 10, "the rows of a table are counted, not listed"
    chapters = tuple(Chapter(f"Part {number}", (Paragraph("Words.", 0),)) for number in range(200))
    book = render_plan(summarise([Document("a", "Words.", chapters)]))
    assert re.search(r"\b100\b.*verbose=true", book)
