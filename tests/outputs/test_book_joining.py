"""Guards the trimming and the timeline: speech eaten at the edges, clicks, pauses that are not what was asked for."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from book_sounds import RATE, clip, noise, silence, tone
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import BookConfig
from pipeline.outputs.audiobook.joining import (
    HEAD_SECONDS,
    MARGIN_SECONDS,
    TAIL_SECONDS,
    Timeline,
    fade_edges,
    join,
    trim_edges,
)
from pipeline.types import Boundary

CONFIG = BookConfig()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(before=st.floats(0.1, 1.0), after=st.floats(0.1, 1.0), level_db=st.floats(-25, 0))
def test_silent_edges_are_cut_to_the_margin_at_every_level(before: float, after: float, level_db: float) -> None:
    """Bug: the silence a model happens to leave at the edges makes the pauses of a book uneven."""
    sound = tone(0.4) * np.float32(10 ** (level_db / 20))
    hiss_amplitude = 10 ** ((level_db - 75) / 20)
    padded = np.concatenate([silence(before), sound, silence(after)])
    padded += noise(len(padded) / RATE, hiss_amplitude)
    trimmed = trim_edges(padded, RATE)
    assert 0.4 + 2 * MARGIN_SECONDS - 0.005 <= len(trimmed) / RATE <= 0.4 + 2 * MARGIN_SECONDS + 0.021


@settings(max_examples=25, deadline=None, derandomize=True)
@given(below_db=st.floats(0, 40), level_db=st.floats(-20, 0), seed=st.integers(0, 100))
def test_quiet_speech_at_the_edges_is_never_eaten(below_db: float, level_db: float, seed: int) -> None:
    """Bug: an f or a fading breath, 40 dB below the vowels, is cut off as silence."""
    level = np.float32(10 ** (level_db / 20))
    consonant = noise(0.08, amplitude=0.2 * 10 ** (-below_db / 20), seed=seed) * level
    spoken = np.concatenate([consonant, tone(0.5) * level, consonant])
    trimmed = trim_edges(np.concatenate([silence(0.3), spoken, silence(0.3)]), RATE)
    start = round(0.3 * RATE)
    position = np.flatnonzero(trimmed == spoken[0])[0]
    np.testing.assert_array_equal(trimmed[position : position + len(spoken)], spoken)
    assert position < start


def test_noise_as_loud_as_speech_is_left_alone() -> None:
    """Bug: a model that gives noise (an untrained one) loses its clips to the trimming."""
    sound = noise(1.0)
    np.testing.assert_array_equal(trim_edges(sound, RATE), sound)


@pytest.mark.parametrize("sound", [silence(0.5), silence(0), noise(0.5, amplitude=1e-5)])
def test_nothing_is_left_of_silence(sound: np.ndarray) -> None:
    """Bug: the loudest window of a silent clip counts as sound, because it is the loudest."""
    assert len(trim_edges(sound, RATE)) == 0


@pytest.mark.parametrize("length", [0, 1, 2, 50, 159, 160, 161, 5000])
def test_a_faded_clip_begins_and_ends_at_zero(length: int) -> None:
    """Bug: a clip that does not begin at zero clicks; fading in place changes the caller's clip."""
    sound = np.ones(length, dtype=np.float32)
    faded = fade_edges(sound, RATE)
    assert len(faded) == length
    assert (sound == 1).all()
    if length > 1:
        assert faded[0] == faded[-1] == 0
    assert (faded[80:-80] == 1).all()


@pytest.mark.parametrize("boundary", list(Boundary))
def test_each_boundary_has_its_own_pause(boundary: Boundary) -> None:
    """Bug: two boundaries share a key, or one has none."""
    seconds = {kind: 0.1 * (1 + place) for place, kind in enumerate(Boundary)} | {Boundary.NONE: 0.0}
    config = BookConfig(
        clause_pause=seconds[Boundary.CLAUSE],
        sentence_pause=seconds[Boundary.SENTENCE],
        heading_pause=seconds[Boundary.HEADING],
        paragraph_pause=seconds[Boundary.PARAGRAPH],
        scene_pause=seconds[Boundary.SCENE],
        chapter_pause=seconds[Boundary.CHAPTER],
    )
    head, second = join([clip(tone(0.2), boundary=boundary), clip(tone(0.2))], config)
    assert head.pause == round(HEAD_SECONDS * RATE)
    assert second.pause == round(seconds[boundary] * RATE)


def test_a_new_chapter_is_announced_by_its_own_pause_whatever_ended_the_last_one() -> None:
    """Bug: the last sentence of a chapter was rejected, and the chapters run into each other."""
    parts = list(join([clip(tone(0.2), 0), clip(tone(0.2), 2), clip(tone(0.2), 2)], CONFIG))
    assert [part.opens_chapter for part in parts] == [True, True, False]
    assert parts[1].pause == round(CONFIG.chapter_pause * RATE)


@pytest.mark.parametrize("silent_one_ends_it", [True, False])
def test_a_silent_clip_takes_no_time_but_keeps_its_boundary(silent_one_ends_it: bool) -> None:
    """Bug: a clip that cannot be heard fakes the pause, or swallows the end of a paragraph."""
    boundaries = [Boundary.SENTENCE, Boundary.PARAGRAPH]
    heard, mute = boundaries if silent_one_ends_it else boundaries[::-1]
    clips = [clip(tone(0.2), boundary=heard), clip(silence(1), boundary=mute, name="mute"), clip(tone(0.2))]
    parts = list(join(clips, CONFIG))
    assert (len(parts[1].samples), parts[1].pause) == (0, 0)
    assert parts[2].pause == round(CONFIG.paragraph_pause * RATE)


def test_clips_out_of_order_or_of_another_rate_are_refused() -> None:
    """Bug: two runs mixed up give a book that jumps between chapters or between pitches."""
    with pytest.raises(ValueError, match=r"\b0\b.*\b1\b"):
        list(join([clip(tone(0.2), 1), clip(tone(0.2), 0)], CONFIG))
    with pytest.raises(ValueError, match="24000"):
        list(join([clip(tone(0.2)), clip(tone(0.2), rate=24_000)], CONFIG))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    kinds=st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from(Boundary)), min_size=1, max_size=12),
    chapter_pause=st.sampled_from([0.0, 0.3, 2.5]),
)
def test_the_timeline_is_the_sum_of_its_parts(kinds: list[tuple[bool, bool, Boundary]], chapter_pause: float) -> None:
    """Bug: times drift, because somewhere a rounded second is added and not a sample."""
    config = BookConfig(chapter_pause=chapter_pause)
    chapter, clips = 0, []
    for number, (new_chapter, heard, boundary) in enumerate(kinds):
        chapter += new_chapter
        clips.append(clip(tone(0.1111) if heard else silence(0.2), chapter, boundary, name=str(number)))
    parts = list(join(clips, config))
    timeline = Timeline()
    for part in parts:
        timeline.add(part)
    assert timeline.num_samples == sum(part.pause + len(part.samples) for part in parts) + round(TAIL_SECONDS * RATE)
    spoken = [segment for span in timeline.chapters for segment in span.spoken]
    assert [segment.id for segment in spoken] + timeline.silent == sorted(
        (c.id for c in clips), key=lambda name: (not kinds[int(name)][1], int(name))
    )
    assert all(one.end <= two.start for one, two in pairwise(spoken))
    assert all(span.mark <= span.spoken[0].start for span in timeline.chapters)
    assert all(one.spoken[-1].end <= two.mark for one, two in pairwise(timeline.chapters))
