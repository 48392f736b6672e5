"""The renderer: takes that are accepted, retaken, rejected or reused."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fakes import INFO, RATE, FakeSynthesizer, speak, write_shard

from pipeline.config import ChecksConfig, Config
from pipeline.generation.renderer import RenderedShard, RenderOptions, render_shards
from pipeline.outputs.dataset.clip_store import ClipStore
from pipeline.planning import take_seed, utterance_key
from pipeline.quality.check import Checker
from pipeline.types import Clip, Finish, Shard, Utterance

NOTHING_EARLIER = ClipStore([])


def shard(num_utterances: int = 4) -> Shard:
    return Shard(
        0,
        tuple(
            Utterance(f"Words number {i}.", "A voice.", seed=i, id=f"u{i}", predicted_seconds=1.0 + i)
            for i in range(num_utterances)
        ),
    )


def render(
    shard: Shard, synthesizer: FakeSynthesizer, config: Config | None = None, earlier: ClipStore = NOTHING_EARLIER
) -> RenderedShard:
    ((_, rendered),) = render_all([shard], synthesizer, config, earlier)
    return rendered


def render_all(
    shards: Iterable[Shard],
    synthesizer: FakeSynthesizer,
    config: Config | None = None,
    earlier: ClipStore = NOTHING_EARLIER,
) -> Iterator[tuple[Shard, RenderedShard]]:
    config = config or Config(checks=ChecksConfig(takes=3))
    options = RenderOptions(config, "model", "en", earlier, Checker(config), lambda clip, row: None)
    return render_shards(shards, synthesizer, options)


def test_rows_are_in_reading_order_whatever_order_they_were_generated_in() -> None:
    """Guards against a dataset in the order of generation, in which the longest utterances are first."""
    synthesizer = FakeSynthesizer()
    bucketed = [dataclasses.replace(u, bucket=None) for u in shard().utterances]
    rendered = render(Shard(0, tuple(bucketed)), synthesizer)
    assert [row.id for row in rendered.rows] == ["u0", "u1", "u2", "u3"]
    assert rendered.rejects == ()


def test_a_flawed_take_is_followed_by_one_with_another_recorded_seed() -> None:
    """Guards against a retake with the same seed, and against a recorded seed that is not the one used."""

    def silent_at_first(utterance: Utterance) -> Clip:
        clip = speak(utterance)
        return dataclasses.replace(clip, samples=clip.samples * 0) if utterance.seed == 2 else clip

    synthesizer = FakeSynthesizer(silent_at_first)
    rendered = render(shard(), synthesizer)
    (retaken,) = [row for row in rendered.rows if row.id == "u2"]
    assert (retaken.columns["take"], retaken.columns["seed"]) == (1, take_seed(2, 1))
    assert [utterance.seed for utterance in synthesizer.asked if utterance.id == "u2"] == [2, take_seed(2, 1)]
    assert len(synthesizer.asked) == 5, "only the flawed take is repeated"


def test_an_utterance_without_a_good_take_is_rejected_with_reason_and_seeds() -> None:
    """Guards against a lost utterance: planned = written + rejected."""

    def runaway(utterance: Utterance) -> Clip:
        clip = speak(utterance)
        return dataclasses.replace(clip, finish=Finish.MAX_FRAMES) if utterance.id == "u1" else clip

    rendered = render(shard(), FakeSynthesizer(runaway))
    (reject,) = rendered.rejects
    assert reject.utterance.id == "u1"
    assert reject.reason.startswith("limit: ")
    assert reject.seeds == (1, take_seed(1, 1), take_seed(1, 2))
    assert [row.id for row in rendered.rows] == ["u0", "u2", "u3"]


def test_the_last_take_is_written_with_its_flaw_if_configured() -> None:
    """Guards the setting checks.accept_last_take, and the record of the flaw."""

    def runaway(utterance: Utterance) -> Clip:
        return dataclasses.replace(speak(utterance), finish=Finish.MAX_FRAMES)

    config = Config(checks=ChecksConfig(takes=3, accept_last_take=True))
    rendered = render(shard(), FakeSynthesizer(runaway), config)
    assert rendered.rejects == ()
    assert all(row.columns["flaws"].startswith("limit: ") for row in rendered.rows)
    assert {row.columns["take"] for row in rendered.rows} == {2}


def test_audio_that_cannot_be_written_is_never_accepted() -> None:
    """Guards the encoder against NaN samples with the most lenient settings."""

    def broken(utterance: Utterance) -> Clip:
        return dataclasses.replace(speak(utterance), samples=np.array([np.nan], dtype=np.float32))

    config = Config(checks=ChecksConfig(takes=3, accept_last_take=True))
    rendered = render(shard(2), FakeSynthesizer(broken), config)
    assert rendered.rows == ()
    assert all("non-finite" in reject.reason for reject in rendered.rejects)


def test_an_utterance_with_a_planned_problem_is_rejected_without_a_take() -> None:
    """Guards against work on text that cannot be spoken."""
    planned = shard().utterances
    problem = dataclasses.replace(planned[0], problem="only symbols")
    synthesizer = FakeSynthesizer()
    rendered = render(Shard(0, (problem, *planned[1:])), synthesizer)
    (reject,) = rendered.rejects
    assert (reject.reason, reject.takes, reject.seeds) == ("only symbols", 0, ())
    assert "u0" not in {utterance.id for utterance in synthesizer.asked}


def test_unchanged_clips_are_reused_from_an_earlier_plan(tmp_path: Path) -> None:
    """Guards against the generation of more than one clip after one line was edited."""
    first = render(shard(), FakeSynthesizer())
    write_shard(
        tmp_path, 0, 1, first.rows, first.rejects, sampling_rate=INFO.sampling_rate, fingerprint="f", plan_hash="p"
    )
    kept = shard().utterances
    edited = dataclasses.replace(kept[1], prompt="Other words.", seed=77)
    moved = dataclasses.replace(kept[3], id="v0")
    synthesizer = FakeSynthesizer()
    rendered = render(Shard(0, (moved, kept[0], edited)), synthesizer, earlier=ClipStore([tmp_path]))
    assert [utterance.id for utterance in synthesizer.asked] == ["u1"]
    assert rendered.num_reused == 2
    assert [row.id for row in rendered.rows] == ["v0", "u0", "u1"]
    assert rendered.rows[0].audio == first.rows[3].audio
    assert rendered.rows[0].key == utterance_key(kept[3], "model")


def damage(run_dir: Path, audio: bytes) -> None:
    """Flip a bit in the middle of a clip; the Parquet file can still be read."""
    (path,) = (run_dir / "data").iterdir()
    content = path.read_bytes()
    middle = content.index(audio) + len(audio) // 2
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])


def test_a_damaged_clip_is_not_reused_but_generated_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Bug: damaged audio was copied and given a new hash, with which every later check passed."""
    first = render(shard(), FakeSynthesizer())
    write_shard(tmp_path, 0, 1, first.rows, [], sampling_rate=RATE, fingerprint="f", plan_hash="p")
    damage(tmp_path, first.rows[2].audio)
    synthesizer, earlier = FakeSynthesizer(), ClipStore([tmp_path])
    again = render(shard(), synthesizer, earlier=earlier)
    assert audio_of(again) == audio_of(first)
    assert (again.num_reused, [utterance.id for utterance in synthesizer.asked]) == (3, ["u2"])
    (record,) = caplog.records
    assert "u2" in record.getMessage()
    # Also beside other work, and when it is the only clip to generate of its shard.
    others = replace_ids(shard(), "v")
    both = dict(render_all([shard(), others], FakeSynthesizer(), earlier=ClipStore([tmp_path])))
    assert [rendered.num_reused for rendered in both.values()] == [3, 3]
    assert list(audio_of(both[others]).values()) == list(audio_of(first).values())


def audio_of(rendered: RenderedShard) -> dict[str, bytes]:
    return {row.id: row.audio for row in rendered.rows}


def replace_ids(shard: Shard, letter: str) -> Shard:
    utterances = (dataclasses.replace(one, id=letter + one.id) for one in shard.utterances)
    return Shard(shard.index + 1, tuple(utterances))


def test_clips_that_cannot_be_read_any_more_are_generated_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Bug: the run ended if a sub-shard with a needed clip was merged and deleted by another worker meanwhile."""
    first = render(shard(), FakeSynthesizer())
    write_shard(tmp_path, 0, 1, first.rows, [], sampling_rate=RATE, fingerprint="f", plan_hash="p")
    earlier = ClipStore([tmp_path])
    path = next((tmp_path / "data").iterdir())
    path.unlink()
    assert audio_of(render(shard(), FakeSynthesizer(), earlier=earlier)) == audio_of(first)
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert path.name in caplog.text


def numbered_shards(count: int, drawn: list[int], size: int = 3) -> Iterator[Shard]:
    """Yield shards, and record which have been drawn."""
    for index in range(count):
        drawn.append(index)
        yield Shard(
            index, tuple(Utterance(f"Words {i}.", "A voice.", seed=index, id=f"{index}-{i}") for i in range(size))
        )


def test_a_shard_is_drawn_when_it_is_needed() -> None:
    """Guards against a shard that is claimed early, which no other worker can generate then."""
    drawn: list[int] = []
    rendered = render_all(numbered_shards(5, drawn), FakeSynthesizer())
    assert drawn == []
    for number, (shard, _) in enumerate(rendered):
        assert shard.index == number
        assert drawn == list(range(number + 1))


def test_shards_share_one_stream_of_work() -> None:
    """Guards against slots that are idle at the end of each shard: one call of the synthesizer generates all."""
    calls = 0

    class Counting(FakeSynthesizer):
        def generate(self, utterances: Iterable[Utterance]) -> Iterator[Clip]:
            nonlocal calls
            calls += 1
            yield from super().generate(utterances)

    assert len(list(render_all(numbered_shards(6, []), Counting()))) == 6
    assert calls == 1


def test_a_shard_waits_for_its_retakes_and_other_shards_do_not() -> None:
    """Guards against retakes that stop the stream, and rows that get into the wrong shard."""

    def silent_at_first(utterance: Utterance) -> Clip:
        clip = speak(utterance)
        return dataclasses.replace(clip, samples=clip.samples * 0) if utterance.seed in (1, 4) else clip

    synthesizer = FakeSynthesizer(silent_at_first)
    rendered = list(render_all(numbered_shards(5, []), synthesizer))
    assert [shard.index for shard, _ in rendered] == [0, 1, 2, 3, 4]
    for shard, result in rendered:
        assert [row.id for row in result.rows] == [utterance.id for utterance in shard.utterances]
        assert {row.columns["take"] for row in result.rows} == {1 if shard.index in (1, 4) else 0}
    order = [utterance.id for utterance in synthesizer.asked]
    assert order[6:12] == ["1-0", "1-1", "1-2", "2-0", "2-1", "2-2"]


def test_a_retake_of_the_last_shard_joins_the_running_batch() -> None:
    """Guards the end of a run against a retake that waits for all others and is then generated alone."""
    calls = 0

    class ThreeAtOnce(FakeSynthesizer):
        def generate(self, utterances: Iterable[Utterance | None]) -> Iterator[Clip]:
            nonlocal calls
            calls += 1
            coming, under_way = iter(utterances), list[Utterance]()
            while True:
                while len(under_way) < 3 and (utterance := next(coming, None)) is not None:
                    under_way.append(utterance)
                if not under_way:
                    return
                yield from super().generate([under_way.pop(0)])

    def silent_at_first(utterance: Utterance) -> Clip:
        clip = speak(utterance)
        return dataclasses.replace(clip, samples=clip.samples * 0) if utterance.seed == 0 else clip

    synthesizer = ThreeAtOnce(silent_at_first)
    ((_, rendered),) = render_all([shard()], synthesizer)
    assert [row.columns["take"] for row in rendered.rows] == [1, 0, 0, 0]
    assert calls == 1


def test_a_clip_that_the_synthesizer_loses_is_an_error() -> None:
    """Guards against an endless loop when a synthesizer does not return a clip."""

    class Forgetful(FakeSynthesizer):
        def generate(self, utterances: Iterable[Utterance | None]) -> Iterator[Clip]:
            yield from list(super().generate(iter(iter(utterances).__next__, None)))[1:]

    with pytest.raises(AssertionError, match="u0"):
        list(render_all([shard()], Forgetful()))


def test_shards_may_be_complete_out_of_order() -> None:
    """Guards against shards that wait in memory for an earlier one."""

    class Backwards(FakeSynthesizer):
        def generate(self, utterances: Iterable[Utterance]) -> Iterator[Clip]:
            yield from super().generate(list(iter(iter(utterances).__next__, None))[::-1])

    assert [shard.index for shard, _ in render_all(numbered_shards(4, []), Backwards())] == [3, 2, 1, 0]


def test_shards_of_reused_clips_do_not_pile_up(tmp_path: Path) -> None:
    """Guards the memory of a run that reuses all clips: they have to be read shard by shard."""
    for shard, rendered in render_all(numbered_shards(30, []), FakeSynthesizer()):
        write_shard(
            tmp_path, shard.index, 30, rendered.rows, [], sampling_rate=RATE, fingerprint="f", plan_hash="p"
        )  # fmt: skip
    drawn: list[int] = []
    synthesizer = FakeSynthesizer()
    for number, (_, rendered) in enumerate(
        render_all(numbered_shards(30, drawn), synthesizer, earlier=ClipStore([tmp_path]))
    ):
        assert rendered.num_reused == len(rendered.rows) == 3
        assert len(drawn) <= number + 5
    assert number == 29
    assert synthesizer.asked == []


def test_the_work_of_all_shards_adds_up_to_the_elapsed_time() -> None:
    """Guards the sum in the report against shards at the same time that each count the same second."""

    def slow(utterance: Utterance) -> Clip:
        time.sleep(0.005)
        return speak(utterance)

    start = time.monotonic()
    rendered = [result for _, result in render_all(numbered_shards(3, []), FakeSynthesizer(slow))]
    assert 0.045 <= sum(result.work_seconds for result in rendered) <= time.monotonic() - start
    assert all(result.work_seconds >= 0.015 for result in rendered)
