"""Takes: what is accepted, tried again, given up and taken from an earlier plan."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from doubles import INFO, StandInSynthesizer, speak

from pipeline.config import Config
from pipeline.dataset.shards import write_shard
from pipeline.planning import take_seed, utterance_key
from pipeline.runtime.rendering import EarlierClips, RenderedShard, render_shard
from pipeline.types import Clip, Finish, Shard, Utterance

NOTHING_EARLIER = EarlierClips([])


def shard(num_utterances: int = 4) -> Shard:
    return Shard(
        0,
        tuple(
            Utterance(f"Words number {i}.", "A voice.", seed=i, id=f"u{i}", predicted_seconds=1.0 + i)
            for i in range(num_utterances)
        ),
    )


def render(
    shard: Shard, synthesizer: StandInSynthesizer, config: Config | None = None, earlier: EarlierClips = NOTHING_EARLIER
) -> RenderedShard:
    return render_shard(shard, synthesizer, config or Config(), "model", "en", earlier, lambda clip, accepted: None)


def test_rows_come_in_reading_order_whatever_order_they_were_made_in() -> None:
    """Guards the dataset's order: the longest are generated first."""
    synthesizer = StandInSynthesizer()
    bucketed = [dataclasses.replace(u, bucket=None) for u in shard().utterances]
    rendered = render(Shard(0, tuple(bucketed)), synthesizer)
    assert [row.id for row in rendered.rows] == ["u0", "u1", "u2", "u3"]
    assert rendered.rejects == ()


def test_a_bad_take_is_followed_by_one_with_another_recorded_seed() -> None:
    """Guards against a retry that repeats the same noise, and against a seed that is not the one used."""

    def silent_at_first(utterance: Utterance) -> Clip:
        clip = speak(utterance)
        return dataclasses.replace(clip, samples=clip.samples * 0) if utterance.seed == 2 else clip

    synthesizer = StandInSynthesizer(silent_at_first)
    rendered = render(shard(), synthesizer)
    (retaken,) = [row for row in rendered.rows if row.id == "u2"]
    assert (retaken.columns["take"], retaken.columns["seed"]) == (1, take_seed(2, 1))
    assert [utterance.seed for utterance in synthesizer.asked if utterance.id == "u2"] == [2, take_seed(2, 1)]
    assert len(synthesizer.asked) == 5, "only what failed is made again"


def test_what_never_works_is_rejected_with_reason_and_seeds() -> None:
    """Guards planned = written + rejected."""

    def runaway(utterance: Utterance) -> Clip:
        clip = speak(utterance)
        return dataclasses.replace(clip, finish=Finish.MAX_FRAMES) if utterance.id == "u1" else clip

    rendered = render(shard(), StandInSynthesizer(runaway))
    (reject,) = rendered.rejects
    assert reject.utterance.id == "u1"
    assert reject.reason.startswith("limit: ")
    assert reject.seeds == (1, take_seed(1, 1), take_seed(1, 2))
    assert [row.id for row in rendered.rows] == ["u0", "u2", "u3"]


def test_the_last_take_is_written_with_its_flaw_when_asked() -> None:
    def runaway(utterance: Utterance) -> Clip:
        return dataclasses.replace(speak(utterance), finish=Finish.MAX_FRAMES)

    config = Config()
    config.checks.accept_last_take = True
    rendered = render(shard(), StandInSynthesizer(runaway), config)
    assert rendered.rejects == ()
    assert all(row.columns["flaws"].startswith("limit: ") for row in rendered.rows)
    assert {row.columns["take"] for row in rendered.rows} == {2}


def test_audio_that_cannot_be_written_is_never_put_up_with() -> None:
    """Guards the encoder against samples that are not numbers, with the most lenient settings."""

    def broken(utterance: Utterance) -> Clip:
        return dataclasses.replace(speak(utterance), samples=np.array([np.nan], dtype=np.float32))

    config = Config()
    config.checks.accept_last_take = True
    rendered = render(shard(2), StandInSynthesizer(broken), config)
    assert rendered.rows == ()
    assert all("non-finite" in reject.reason for reject in rendered.rejects)


def test_a_planned_problem_is_a_reject_and_costs_no_generation() -> None:
    planned = shard().utterances
    problem = dataclasses.replace(planned[0], problem="only symbols")
    synthesizer = StandInSynthesizer()
    rendered = render(Shard(0, (problem, *planned[1:])), synthesizer)
    (reject,) = rendered.rejects
    assert (reject.reason, reject.takes, reject.seeds) == ("only symbols", 0, ())
    assert "u0" not in {utterance.id for utterance in synthesizer.asked}


def test_unchanged_clips_are_taken_from_an_earlier_plan(tmp_path: Path) -> None:
    """Guards the promise that one edited line costs one clip."""
    first = render(shard(), StandInSynthesizer())
    write_shard(
        tmp_path, 0, 1, first.rows, first.rejects, sampling_rate=INFO.sampling_rate, fingerprint="f", plan_hash="p"
    )
    kept = shard().utterances
    edited = dataclasses.replace(kept[1], prompt="Other words.", seed=77)
    moved = dataclasses.replace(kept[3], id="v0")
    synthesizer = StandInSynthesizer()
    rendered = render(Shard(0, (moved, kept[0], edited)), synthesizer, earlier=EarlierClips([tmp_path]))
    assert [utterance.id for utterance in synthesizer.asked] == ["u1"]
    assert rendered.num_reused == 2
    assert [row.id for row in rendered.rows] == ["v0", "u0", "u1"]
    assert rendered.rows[0].audio == first.rows[3].audio
    assert rendered.rows[0].key == utterance_key(kept[3], "model")
