"""Segments: nothing lost, limits kept, cuts where a voice may pause."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import SourceConfig, TextConfig
from pipeline.text import segmentation
from pipeline.text.readers.dispatch import read_documents
from pipeline.text.segmentation import segment_document
from pipeline.text.sentences import split_sentences
from pipeline.text.spoken_form import spoken_form
from pipeline.types import Boundary, Chapter, Document, Paragraph, Segment

LIMITS = TextConfig(max_seconds=15, min_seconds=1.5)


def seconds(spoken: str) -> float:
    """A stand-in for the prediction: 15 characters a second."""
    return len(spoken) / 15


def document(*texts: str, language: str = "en") -> Document:
    """A document of one chapter with a paragraph for each text."""
    whole = "\n\n".join(texts)
    paragraphs = []
    start = 0
    for text in texts:
        paragraphs.append(Paragraph(text, start))
        start += len(text) + 2
    return Document("d", whole, (Chapter("", tuple(paragraphs)),), language=language)


def segments_of(*texts: str, config: TextConfig = LIMITS, language: str = "en") -> list[Segment]:
    found = segment_document(document(*texts, language=language), config, seconds)
    assert_tiles(document(*texts), found)
    return found


def assert_tiles(doc: Document, found: list[Segment]) -> None:
    """The segments of a paragraph are the paragraph, in order, at their offsets."""
    rest = list(found)
    for number, chapter in enumerate(doc.chapters):
        for paragraph in chapter.paragraphs:
            at = paragraph.start
            while True:
                segment = rest.pop(0)
                assert (segment.chapter, segment.start) == (number, at)
                assert doc.text[segment.start : segment.end] == segment.text
                at = segment.end
                if at >= paragraph.start + len(paragraph.text):
                    break
            assert at == paragraph.start + len(paragraph.text)
    assert not rest
    assert [segment.index for segment in found] == list(range(len(found)))


MANY_WORDS = """a the fox lantern, Mr. Hale No. 5 harbour; she — said “Yes.” “No!” it's winter. Why? and but 1897 (so)
e.g. J. R. Moss … wind." "Then £25 *very* sea-green -- ?! I. end. twenty-five however, nevertheless"""
WORDS = st.sampled_from(MANY_WORDS.split())
PARAGRAPHS = st.lists(WORDS, min_size=1, max_size=90).map(" ".join)


@settings(max_examples=120, deadline=None)
@given(st.lists(PARAGRAPHS, min_size=1, max_size=3), st.sampled_from([1.0, 3.0, 15.0]), st.sampled_from([0.0, 0.9]))
def test_nothing_is_lost_and_the_limit_holds(texts, longest, shortest):
    """Guards all text at cuts, and the limit of a segment's length."""
    found = segments_of(*texts, config=TextConfig(max_seconds=longest, min_seconds=shortest))
    for segment in found:
        if segment.problem is None:
            assert seconds(segment.spoken) <= longest
            assert segment.spoken


@settings(max_examples=40, deadline=None)
@given(PARAGRAPHS, PARAGRAPHS, PARAGRAPHS)
def test_an_edit_stays_in_its_paragraph(one, two, other):
    """Guards reuse: an edited line changes only its own paragraph."""

    def of_paragraph(found: list[Segment], first: int, length: int) -> list[tuple[str, str, Boundary]]:
        return [(s.text, s.spoken, s.boundary) for s in found if first <= s.start < first + length]

    before, after = segments_of(one, two), segments_of(other, two)
    assert of_paragraph(before, len(one) + 2, len(two)) == of_paragraph(after, len(other) + 2, len(two))
    assert before == segments_of(one, two)


@pytest.mark.parametrize(
    "sentence",
    [
        "He read vol. 3 to Capt. Wm. Brown, and then Mr. Smith came.",
        "J. R. R. Tolkien met Mrs. A. B. Finch at No. 5 on St. John Street.",
        "See fig. 2, e.g. The Fox, or p. 12.",
        "“Really!” she cried. “How odd?” he asked.",
        "It was… well, late.",
        "They sailed to the U.S. Virgin Islands.",
        "It cost £3 10s. 6d. in all, or 2s. 4½d. a head.",
        "It took 2 hrs. 15 min. to lift 5 lbs. 6 oz. and 3 cwt. 2 qrs. of it.",
        "See chs. 5 and 6, figs. 5 to 7, Pt. IV and bk. 5, est. 1850, tel. 555-1234.",
        "On Mon. 5 May and on Thurs. 8th May he came.",
    ],
)
def test_abbreviations_do_not_end_a_sentence(sentence):
    """Guards sentences with abbreviations such as "vol." and "Wm."."""
    cuts = [sentence[:end] for _, end in split_sentences(sentence, "en")][:-1]
    assert all(cut.rstrip().endswith("cried.") for cut in cuts), cuts


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("He left. “Go.” Then he came.", ["He left. ", "“Go.” ", "Then he came."]),
        ('"I know. I saw." "No."', ['"I know. ', 'I saw." ', '"No."']),
        ("‘Don’t. Go,’ he said. ‘Now.’", ["‘Don’t. ", "Go,’ he said. ", "‘Now.’"]),
        ("Was it I? It was I. He knew.", ["Was it I? ", "It was I. ", "He knew."]),
        ("At 5 p.m. she left. Good!", ["At 5 p.m. she left. ", "Good!"]),
        ("Wait.  \n Now.", ["Wait.  \n ", "Now."]),
        ("He was in his 20s. 5 men knew.", ["He was in his 20s. ", "5 men knew."]),
        ("In her 20s. 5 minutes later she left.", ["In her 20s. ", "5 minutes later she left."]),
        ("He ran it in 58s. 10 seconds on, they came.", ["He ran it in 58s. ", "10 seconds on, they came."]),
        ("It was the 90s. 3d films were new.", ["It was the 90s. ", "3d films were new."]),
        ("It was the 1990s. 6d. was nothing.", ["It was the 1990s. ", "6d. was nothing."]),
        ("He slept 8 hrs. 30 minutes on, he woke.", ["He slept 8 hrs. ", "30 minutes on, he woke."]),
        ("He slept 8 hrs. 30 min. later he woke.", ["He slept 8 hrs. ", "30 min. later he woke."]),
        ("It weighed 10 lbs. 30 minutes will do.", ["It weighed 10 lbs. ", "30 minutes will do."]),
        ("He came on Sat. 5 men left.", ["He came on Sat. ", "5 men left."]),
        ("See [a. B. c](http://x.org/a. b) now. Go.", ["See [a. B. c](http://x.org/a. b) now. ", "Go."]),
    ],
)
def test_sentences_end_where_they_end(text, sentences):
    """Guards quotation marks at the ends of sentences, and long quotations."""
    assert [text[start:end] for start, end in split_sentences(text, "en")] == sentences


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("He paid 2s. 6d. for it.", "He paid two shillings and six pence for it."),
        ("£5 10s. 6d. to her.", "five pounds ten shillings and six pence to her."),
        ("It took 2 hrs. 15 min. in all.", "It took two hours fifteen minutes in all."),
        ("On Mon. 5th May, see figs. 5, 6.", "On Monday the fifth of May, see figures five, six."),
    ],
)
def test_what_belongs_together_is_read_together(written, spoken):
    """Guards amounts such as "2s. 6d.", which were cut."""
    assert " ".join(segment.spoken for segment in segments_of(written)) == spoken


@pytest.mark.parametrize("text", ["“No. I... I don't know.”", "“No. I, for one, never did.”"])
def test_no_is_an_answer(text):
    """Guards "No. I, for one", which was read as "Number one"."""
    (segment,) = segments_of(text)
    assert segment.spoken.startswith('"No. I')


def test_sentences_are_packed_evenly():
    """Guards even lengths: greedy packing leaves a very short last segment."""
    text = " ".join(["The wind had gone round to the north and the sea was grey."] * 5)
    found = segments_of(text)
    assert [round(seconds(segment.spoken)) for segment in found] in ([8, 12], [12, 8])
    assert [segment.boundary for segment in found] == [Boundary.SENTENCE, Boundary.CHAPTER]


def test_a_short_sentence_joins_its_neighbour_even_over_the_limit():
    """Guards very short sentences: a clause of the neighbour joins them."""
    clause = "the wind had gone round to the north at last, "
    sentence = clause * 4 + "and nobody at all spoke a single word."
    assert LIMITS.max_seconds - LIMITS.min_seconds < seconds(sentence) < LIMITS.max_seconds
    found = segments_of(f"{sentence} No, no.")
    assert min(seconds(segment.spoken) for segment in found) >= LIMITS.min_seconds
    assert [segment.boundary for segment in found] == [Boundary.CLAUSE, Boundary.CHAPTER]


def test_a_long_sentence_is_cut_at_the_best_marks():
    """Guards the order of marks at which a long sentence is cut."""
    clause = "the lamp was lit and the stairs were swept and the glass was clean, or nearly so, by the time of the tide"
    cuts = segments_of(f"It is said that {clause}; but {clause}; and {clause}.")
    assert [segment.text.rstrip()[-1] for segment in cuts] == [";", "."]
    assert cuts[0].boundary is Boundary.CLAUSE

    words = segments_of(" ".join(["lantern"] * 100))
    lengths = [len(segment.text) for segment in words]
    assert max(lengths) - min(lengths) <= 2 * len("lantern ")
    assert {segment.boundary for segment in words[:-1]} == {Boundary.NONE}


def test_no_cut_behind_a_title():
    """Guards against a cut between "Mr." and "Morris"."""
    found = segments_of(("we saw Mr. Morris and Dr. Hale and Capt. Brown with " * 12).strip())
    assert len(found) > 1
    assert not any(segment.text.rstrip().endswith(("Mr.", "Dr.", "Capt.")) for segment in found)


def test_progress_counts_every_character():
    """Guards against a bar that stands still while a book of one document is planned, or that ends early."""
    counts: list[int] = []
    texts = ["The lamp was lit.", "", "It burned all night. " * 20]
    segment_document(document(*texts), LIMITS, seconds, counts.append)
    assert counts == list(map(len, texts))


def test_boundaries():
    """Guards boundaries, which become the pauses of a book."""
    text = "One\n\nFirst.\n\nSecond.\n\nTwo"
    heading = Paragraph("One", 0, Boundary.HEADING, is_heading=True)
    chapters = (
        Chapter("One", (heading, Paragraph("First.", 5, Boundary.SCENE), Paragraph("Second.", 13))),
        Chapter("Two", (Paragraph("Two", 22, Boundary.HEADING, is_heading=True),)),
    )
    found = segment_document(Document("d", text, chapters), LIMITS, seconds)
    assert [segment.boundary for segment in found] == [
        Boundary.HEADING, Boundary.SCENE, Boundary.CHAPTER, Boundary.CHAPTER,
    ]  # fmt: skip
    assert found[0].spoken == "One."


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty: "),
        ("***", "symbols: "),
        ("?! …", "symbols: "),
        ("x" * 5000, "too-long: a word of 5000 characters"),
    ],
)
def test_what_cannot_be_spoken_says_why(text, reason):
    """Guards rows that cannot be spoken: each has a reason with a code."""
    (segment,) = segments_of(text)
    assert segment.problem is not None
    assert segment.problem.startswith(reason)


def test_an_endless_word_spoils_only_itself():
    found = segments_of(f"Before it there are words. {'x' * 600} And after it there are more.")
    assert [bool(segment.problem) for segment in found] == [False, True, False]


def test_normalisation_is_for_english_only():
    """Guards other languages against the English rules."""
    text = "Dr. Hale hat\n25 *Lampen*."
    assert [segment.spoken for segment in segments_of(text, language="de-DE")] == ["Dr. Hale hat 25 Lampen."]
    plain = TextConfig(normalize=False)
    assert [segment.spoken for segment in segments_of(text, config=plain)] == ["Dr. Hale hat 25 Lampen."]
    assert "twenty-five" in segments_of(text)[0].spoken


@pytest.mark.parametrize("language", ["en", "en_GB", "EN-us", "enm", "de"])
@pytest.mark.parametrize("normalize", [True, False])
def test_the_spoken_form_is_the_same_everywhere(language, normalize):
    """Guards the spoken form of a preview."""
    text = "Dr. Hale paid *£25*\nfor [lamps](https://a.b)."
    (segment,) = segments_of(text, config=TextConfig(normalize=normalize), language=language)
    read_as_english = normalize and language in ("en", "en_GB", "EN-us")
    expected = "Doctor Hale paid twenty-five pounds for lamps." if read_as_english else "Dr. Hale paid £25 for lamps."
    assert segment.spoken == spoken_form(text, language, normalize) == expected


def test_a_sentence_sounds_the_same_beside_any_neighbour():
    """Guards spoken forms: they do not depend on the neighbours."""
    alone = segments_of("It cost £25.")[0].spoken
    assert segments_of("It cost £25. He paid.")[0].spoken.startswith(alone)


def test_the_story_that_ships():
    """Guards the story that ships: it is short and shows what the pipeline can do."""
    (story,) = read_documents("story", SourceConfig())
    found = segment_document(story, LIMITS, seconds)
    assert_tiles(story, found)
    assert len(story.chapters) == 3
    assert all(segment.problem is None for segment in found)
    assert 300 <= sum(len(segment.text.split()) for segment in found) <= 450
    assert Boundary.SCENE in {segment.boundary for segment in found}
    assert max(len(s.split()) for p in story.text.split("\n\n") for s in p.split(". ")) > 60


def test_a_thousand_words_without_a_mark_are_quick():
    """Guards linear time for a transcript without punctuation."""
    calls = 0

    def counted(spoken: str) -> float:
        nonlocal calls
        calls += 1
        return seconds(spoken)

    segment_document(document("lantern " * 1000), LIMITS, counted)
    assert calls < 5000


class _Counted(list[tuple[int, int]]):
    """Spans that count how many of them are looked at."""

    looked_at = 0

    def __iter__(self):
        for span in super().__iter__():
            self.looked_at += 1
            yield span

    def __getitem__(self, key):
        found = super().__getitem__(key)
        self.looked_at += len(found) if isinstance(key, slice) else 1
        return found


def test_a_paragraph_without_end_is_quick(monkeypatch):
    """Guards linear time for a text that is one paragraph."""
    sentences = _Counted()
    monkeypatch.setattr(
        segmentation, "split_sentences", lambda *arguments: sentences.extend(split_sentences(*arguments)) or sentences
    )
    segment_document(document("The wind had gone round to the north and the sea was grey. " * 300), LIMITS, seconds)
    assert len(sentences) == 300
    assert sentences.looked_at < 100 * len(sentences)
