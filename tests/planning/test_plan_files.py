"""The plan on disk, and the keys under which finished clips are found again."""

from __future__ import annotations

import dataclasses
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.planning import (
    shard_from_json_lines,
    shard_to_json_lines,
    utterance_from_json,
    utterance_key,
    utterance_to_json,
)
from pipeline.types import Boundary, Bucket, Segment, Shard, Utterance

TEXTS = st.text(max_size=30)
SEGMENTS = st.builds(
    Segment,
    source_id=TEXTS,
    chapter=st.integers(0, 99),
    index=st.integers(0, 99),
    start=st.integers(0, 2**40),
    end=st.integers(0, 2**40),
    text=TEXTS,
    spoken=TEXTS,
    boundary=st.sampled_from(Boundary),
    problem=st.none() | TEXTS,
)
LENGTHS = st.integers(0, 3000)
UTTERANCES = st.builds(
    Utterance,
    prompt=TEXTS | st.sampled_from(["\u2028", "\x85", "a\nb\r\n", '"', "\\n", "\x00"]),
    description=TEXTS,
    seed=st.integers(0, 2**63 - 1),
    id=TEXTS,
    speaker=st.none() | TEXTS,
    predicted_seconds=st.floats(0, 1e6, allow_nan=False),
    segment=st.none() | SEGMENTS,
    bucket=st.none() | st.builds(Bucket, LENGTHS, LENGTHS, LENGTHS, LENGTHS),
    problem=st.none() | TEXTS,
)


@given(st.lists(UTTERANCES, max_size=4))
@settings(max_examples=100, deadline=None)
def test_the_plan_survives_its_file(utterances: list[Utterance]):
    """A resumed run renders what the file says: a text that splits a line, or a rounded number, would change clips."""
    shard = Shard(3, tuple(utterances))
    text = shard_to_json_lines(shard)
    assert shard_from_json_lines(3, text) == shard
    assert text.count("\n") == len(utterances)


def test_every_field_is_in_the_file():
    """A field added to a type and forgotten here would be lost when a run goes on."""
    segment = Segment("s", 1, 2, 3, 4, "Text", "text", Boundary.SCENE, "problem")
    utterance = Utterance("p", "d", 5, "i", "Jon", 6.5, segment, Bucket(1, 2, 3, 4), "problem", True)
    utterance = dataclasses.replace(utterance, language="de", split="test", file_stem="x", columns={"a": [1.5, None]})
    line = utterance_to_json(utterance)
    old_names = {"priority": "urgent"}
    assert set(line) == {old_names.get(field.name, field.name) for field in dataclasses.fields(Utterance)}
    assert set(line["segment"]) == {field.name for field in dataclasses.fields(Segment)}
    assert list(line)[:2] == ["id", "prompt"]
    assert utterance_from_json(json.loads(json.dumps(line, sort_keys=True))) == utterance


def test_the_file_is_readable():
    assert "„Füße“ 你好" in shard_to_json_lines(Shard(0, (Utterance("„Füße“ 你好", "d"),)))


def test_a_key_is_what_the_clip_is_made_of():
    """A key that is too narrow plays the old voice; one that is too wide renders a whole book again for one comma."""
    base = Utterance("p", "d", 1, "id", "Jon", 2.0, None, Bucket(32, 64, 430, 8))
    key = utterance_key(base, "model")
    segment = Segment("s", 0, 0, 0, 1, "P", "p", Boundary.SENTENCE)
    same = dataclasses.replace(base, id="other", predicted_seconds=3.0, segment=segment)
    assert utterance_key(same, "model") == key
    assert utterance_key(dataclasses.replace(base, bucket=Bucket(32, 64, 430, 16)), "model") == key
    others = [
        utterance_key(base, "other model"),
        utterance_key(dataclasses.replace(base, prompt="q"), "model"),
        utterance_key(dataclasses.replace(base, description="e"), "model"),
        utterance_key(dataclasses.replace(base, seed=2), "model"),
        utterance_key(dataclasses.replace(base, bucket=Bucket(32, 64, 861, 8)), "model"),
        utterance_key(dataclasses.replace(base, bucket=None), "model"),
    ]
    assert len({key, *others}) == 7
