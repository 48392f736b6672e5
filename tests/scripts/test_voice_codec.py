"""The codec of a voice: codes, pulses, noise, crops of clips."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from voice_cases import HOP

from scripts.voice import checkpoints
from scripts.voice.codec import Codes, Crops, make_codec, set_codebooks, with_places
from scripts.voice.codec_decoder import Speaking
from scripts.voice.decoder import delayed
from scripts.voice.excitation import HARMONICS, NOISE
from scripts.voice.manifest import Line
from scripts.voice.neural_teachers import Hibari
from scripts.voice.quantizer import HEIGHT, PHASE, PHASE_LEAD, PHASES, Quantizer, classes_of, in_turn
from scripts.voice.recipe import CPU, TINY
from scripts.voice.retiming import retimed
from scripts.voice.spectra import log_mel, mel_filters, reconstruction_loss
from scripts.voice.speech import Shard, shards
from scripts.voice.teachers import HALVES, Sound, Tones, Voice


def test_dac_reads_the_codes_as_the_quantizer_wrote_them(voice_folder: Path) -> None:
    """Bug: vectors in channels of another codebook, or a place in the text that can be heard."""
    quantizer, codes = Quantizer(**checkpoints.load(voice_folder / "quantizer")), _codes(7)
    vectors, codec = quantizer.vectors(TINY.codec.hidden, 0), make_codec(TINY.codec)
    set_codebooks(codec, vectors, 0)
    with torch.no_grad():
        frames = codec.quantizer.from_codes(codes.T[None])[0]
        samples = codec.decode(audio_codes=codes.T[None]).audio_values
    torch.testing.assert_close(frames[0].T, _latents(vectors, codes))
    assert samples.shape == (1, 7 * HOP)


def test_codes_say_what_is_said_by_whom_how_high_and_how_loud(voice_folder: Path) -> None:
    """Bug: codes that are shifted in time, or those of another speaker."""
    (shard,) = shards(voice_folder / "speech", "held_out")
    quantizer = Quantizer(**checkpoints.load(voice_folder / "quantizer"))
    two = replace(quantizer, speakers=["Other", *quantizer.speakers], heights=quantizer.heights.repeat(2, 1, 1))
    one = shard.utterances[0]
    samples, voice = torch.from_numpy(shard.audio(one)), shard.voice(one, HOP)
    codes = quantizer.encode(samples, voice, one.sounds, "Tone", TINY.codec)
    assert torch.equal(two.encode(samples, voice, one.sounds, "Tone", TINY.codec)[:, 1], codes[:, 1] + 64)
    known = 0
    for frame, (name, (sound, height, loudness, _)) in enumerate(
        zip(classes_of(one.sounds), codes.tolist(), strict=True)
    ):
        known += quantizer.classes[sound] == name
        if name[-1] == "M":  # in the middle of a letter of three frames
            octaves, has_voice = quantizer.heights[0, height, 0], bool(quantizer.heights[0, height, 2:].all())
            assert has_voice == name[0].isalpha(), frame
            if has_voice:
                assert 180 * 2**octaves == pytest.approx(100 + 12 * (ord(name[0]) % 32), rel=0.15)
            assert (quantizer.loudness[loudness].mean() > -1) == has_voice
    assert known > 0.5 * len(codes)


def test_what_is_alike_begins_with_like_vectors() -> None:
    """Bug: a codec that has to learn each height by itself, from the few moments that a voice is so high."""
    heights = torch.zeros(2, 8, 4)
    heights[:, 1:, :2] = torch.linspace(-0.3, 0.3, 7)[:, None]
    heights[:, 1:, 2:] = 4.0
    loudness = torch.linspace(-1, 1, 64)[:, None].repeat(1, 2)
    _, of_heights, of_loudness, _ = Quantizer(["a"], ["x", "y"], heights, loudness).vectors(64, seed=0)
    for rows in (of_heights[1:8], of_heights[9:16], of_loudness):
        apart = torch.cdist(rows, rows)
        assert apart[0, 1] < 0.7 * apart[0, 3]
    assert torch.cdist(of_heights[1:8], of_heights[9:16]).min() > 2  # of different speakers


def _quantizer() -> Quantizer:
    """Of one speaker: no voice, and heights from 90 to 350 Hz whose halves differ."""
    octaves = torch.linspace(-1.0, 0.95, 60)
    heights = torch.stack([octaves, octaves + 0.03, torch.full((60,), 4.0), torch.full((60,), 4.0)], dim=1)
    return Quantizer(["a"], ["x"], torch.cat([torch.zeros(1, 4), heights])[None], torch.randn(64, 2))


@settings(max_examples=30, deadline=None)
@given(heights=st.lists(st.integers(0, 60), min_size=1, max_size=30))
def test_a_phase_is_the_one_before_and_the_height_between(heights: list[int]) -> None:
    """Bug: a phase that a decoder cannot count on from what it has at hand."""
    quantizer = _quantizer()
    heights[0] = 0  # of the first two frames nothing is noted
    octaves, voice = quantizer.heights[0, heights, :HALVES], quantizer.heights[0, heights, HALVES:] > 0
    hertz = torch.where(voice, 180 * octaves.exp2(), 0.0).flatten().numpy()
    samples = torch.zeros(len(heights) * HOP)
    codes = quantizer.encode(samples, Voice(hertz, hertz), [Sound("a", len(heights))], "x", TINY.codec)
    assert codes[:, 1].tolist() == heights
    steps = quantizer.advances.sum(dim=1) * PHASES
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-4)
    phase = 0
    for frame, height in enumerate(heights):  # at the beginning of the frame after this one
        phase = (phase + round(float(steps[height]))) % PHASES if height else 0
        ahead = frame + 1 - PHASE_LEAD
        if ahead >= 0:
            assert codes[ahead, PHASE] == phase
    inputs, labels = delayed(torch.from_numpy(with_places(codes.numpy())), 99, 98)
    for last, between, counted in zip(inputs[1 + PHASE], inputs[1 + HEIGHT], labels[1 + PHASE], strict=True):
        if last < PHASES and between <= 60 and counted < PHASES:  # all of an utterance but its edges
            assert int(counted) in (-100, (last + round(float(steps[between]))) % PHASES if between else 0)


@pytest.fixture(scope="module")
def sounding() -> dict[str, torch.Tensor]:
    """What the layers of a codec make of a voice that glides for two seconds, with a pause."""
    torch.manual_seed(0)
    quantizer, codec = _quantizer(), make_codec(replace(TINY.codec, decoder_hidden=CPU.codec.decoder_hidden))
    set_codebooks(codec, quantizer.vectors(TINY.codec.hidden, 0), 0)
    heights = torch.linspace(5, 60, 80).long()
    heights[:2] = heights[30:33] = 0
    phases = quantizer.phases(heights)
    ahead = torch.cat([phases[PHASE_LEAD:], torch.zeros(1, dtype=torch.long)])
    others = torch.randint(64, (80, 2))
    codes = torch.stack([0 * heights, others[:, 0], heights, others[:, 1], ahead])
    advances = quantizer.advances[heights].flatten()
    starts = advances.cumsum(0) - advances
    starts[66:] -= starts[66].clone()
    slopes = advances[:, None] * torch.arange(100) / 100
    found = {"cycles": (starts[:, None] + slopes).flatten()}
    block = codec.decoder.block[2]
    for name, layer in (("steps", block.conv_t1), ("wave", block.res_unit1), ("sources", block.res_unit2)):
        layer.register_forward_hook(partial(_note, found, name))
    codec.decoder.block[3].conv_t1.register_forward_hook(partial(_note, found, "last"))
    with torch.no_grad():
        codec.decoder(codec.quantizer.from_codes(codes[None])[0])
    return found


def _note(found: dict[str, torch.Tensor], name: str, _layer: nn.Module, _inputs: object, output: torch.Tensor) -> None:
    found[name] = output[0]


def test_pulses_of_the_codec_are_where_its_codes_count_them(sounding: dict[str, torch.Tensor]) -> None:
    """Bug: a voice that repeats itself frame by frame, or jumps at the beginning of each."""
    heard = torch.ones(16_000, dtype=torch.bool)
    heard[:400] = heard[6_000:6_600] = False
    angles = 2 * math.pi * sounding["cycles"][heard]
    first = NOISE[3] + 2  # behind noise and ramp
    torch.testing.assert_close(sounding["wave"][first, heard], angles.cos(), rtol=0, atol=1e-3)
    torch.testing.assert_close(sounding["wave"][first + 1, heard], angles.sin(), rtol=0, atol=1e-3)
    for number, harmonics in enumerate(HARMONICS[:-1]):  # the last ones are near it, not more
        wanted = sum((k * angles).cos() for k in harmonics) / len(harmonics) ** 0.5
        made = sounding["sources"][first + 2 + number, heard]
        assert float((made - wanted).square().mean() / wanted.square().mean()) < 0.01, harmonics


@pytest.mark.parametrize(("layer", "channels"), [("steps", NOISE[3]), ("last", NOISE[4])])
def test_noise_does_not_repeat_itself(sounding: dict[str, torch.Tensor], layer: str, channels: int) -> None:
    """Bug: hiss that buzzes, since it is the same in each frame."""
    noise = sounding[layer][:channels:2].double()
    torch.testing.assert_close(sounding[layer][1:channels:2].double(), -noise, rtol=0, atol=1e-5)
    assert (torch.corrcoef(noise) - torch.eye(len(noise))).abs().max() < 0.5
    for one in noise:
        again = torch.fft.irfft(torch.fft.rfft(one, 2 * len(one)).abs() ** 2)[: len(one)]
        assert again[25:].abs().max() < 0.15 * again[0]


def test_what_is_set_stays_when_the_codec_is_trained(voice_folder: Path) -> None:
    """Bug: pulses that drift, or noise that is trained away since it is far from any other noise."""
    torch.manual_seed(TINY.seed)
    codec, quantizer = make_codec(TINY.codec), Quantizer(**checkpoints.load(voice_folder / "quantizer"))
    set_codebooks(codec, quantizer.vectors(TINY.codec.hidden, TINY.seed), TINY.seed)
    trained = {
        name.removeprefix("codec."): value for name, value in checkpoints.load(voice_folder / "codec")["model"].items()
    }
    ramp = NOISE[0] + 8
    torch.testing.assert_close(trained["decoder.conv1.weight"][:ramp], codec.decoder.conv1.weight[:ramp])
    assert not torch.equal(trained["decoder.conv1.weight"][ramp:], codec.decoder.conv1.weight[ramp:])
    for name, part in {
        "quantizer.quantizers.2.codebook.weight": np.s_[:, :3],
        "quantizer.quantizers.4.codebook.weight": np.s_[:, :1],
        "decoder.block.0.conv_t1.weight": np.s_[:, : NOISE[1] + 4],
        "decoder.block.2.res_unit1.conv1.weight": np.s_[:4],
        "decoder.block.2.res_unit2.conv2.weight": np.s_[10:22],
        "decoder.block.3.conv_t1.weight": np.s_[:, : NOISE[4]],
    }.items():
        torch.testing.assert_close(trained[name][part], codec.get_parameter(name)[part], msg=name)


@settings(max_examples=20, deadline=None)
@given(hertz=st.floats(80, 300), off=st.floats(-0.02, 0.02), begins=st.floats(0, 1))
def test_retimed_pulses_are_where_codes_count_them(hertz: float, off: float, begins: float) -> None:
    """Bug: a codec that hears each pulse a little elsewhere than it made it, and learns a blur."""
    frames, first, last = 40, 6, 34
    halves = np.arange(HALVES * frames)
    heard = (halves >= HALVES * first) & (halves < HALVES * last)
    steps = hertz / 80
    cycles = begins + np.clip(halves - HALVES * first, 0, HALVES * (last - first)) * steps
    voice = Voice(np.where(heard, hertz, 0).astype(np.float32), cycles.astype(np.float32))
    times = np.interp(np.arange(frames * HOP) / (HOP / 2), halves, cycles)
    sounds = np.repeat(heard, HOP // 2)
    samples = np.where(sounds, np.cos(2 * np.pi * times), 0).astype(np.float32)
    advances = np.zeros((frames, HALVES))
    advances[first:last] = steps * (1 + off)
    counted = np.arange((last - first) * HOP) / (HOP / 2) * steps * (1 + off)
    moved = retimed(samples, voice, advances, HOP)
    assert moved.shape == samples.shape
    inner = slice(4 * HOP, -4 * HOP)
    made = moved[first * HOP : last * HOP][inner]
    np.testing.assert_allclose(made, np.cos(2 * np.pi * counted)[inner], atol=0.02)


def test_a_teacher_knows_where_its_pulses_are() -> None:
    """Bug: cycles that are counted from another moment than the samples."""
    speech = Tones().speak(Line("ab", "Tone", "moderate", 1.0), 0)
    angles = 2 * np.pi * np.interp(np.arange(800), np.arange(5) * 200, speech.voice.cycles[:5])
    np.testing.assert_allclose(speech.samples[:800], 0.3 * np.sin(angles), atol=0.02)


def test_first_code_says_sound_and_place() -> None:
    """Bug: frames that are named after the sound beside them."""
    assert classes_of([Sound("t", 1), Sound("a", 0), Sound("ˈi", 2), Sound("s", 4)]) == [
        *("tS", "ˈiB", "ˈiE"), *("sB", "sM", "sM", "sE"),
    ]  # fmt: skip


def _codes(count: int) -> torch.Tensor:
    size = (count, TINY.codec.codebooks)
    return torch.randint(TINY.codec.codebook_size, size, generator=torch.Generator().manual_seed(6))


def _latents(vectors: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """`[T, (K - 1) * hidden]` of codes `[T, K]`."""
    return torch.cat([book[column] for book, column in zip(vectors, codes[:, 1:].T, strict=True)], dim=1)


def test_a_crop_is_made_as_the_whole_clip_is(voice_folder: Path) -> None:
    """Bug: a codec that is trained on codes beside its samples."""
    speaking = Speaking(make_codec(TINY.codec), TINY.codec)
    set_codebooks(
        speaking.codec, Quantizer(**checkpoints.load(voice_folder / "quantizer")).vectors(TINY.codec.hidden, 0), 0
    )
    codes = _codes(9).T[None]
    with torch.no_grad():
        whole = speaking.codec.decode(audio_codes=codes).audio_values
        torch.testing.assert_close(speaking.made(codes), whole[:, PHASE_LEAD * HOP :])


def test_crops_are_moved_to_where_their_codes_count_pulses(tmp_path: Path) -> None:
    """Bug: a codec that hears the teacher's own pulses, which its codes do not know."""
    quantizer, frames = _quantizer(), 60
    heights = np.full(frames, 30)
    heights[:4] = heights[-4:] = 0
    codes = np.column_stack([heights, heights, heights, quantizer.phases(torch.from_numpy(heights))[:frames].numpy()])
    steps = float(quantizer.advances[30].mean())
    cycles = 0.37 + steps * np.arange(HALVES * frames)
    times = np.interp(np.arange(frames * HOP), np.arange(HALVES * frames) * HOP // HALVES, cycles)
    path = tmp_path / "train-0000.npy"
    np.save(path, (16_000 * np.cos(2 * np.pi * times)).astype(np.int16))
    hertz = np.where(np.repeat(heights, HALVES), 80 * steps, 0)
    with path.with_suffix(".voice").open("wb") as file:
        np.save(file, np.stack([hertz, cycles]).astype(np.float32))
    row = {"line": asdict(Line("x", "x", "", 1.0)), "start": 0, "num_samples": frames * HOP, "spans": [], "sounds": []}
    path.with_suffix(".jsonl").write_text(json.dumps(row) + "\n")
    recipe = replace(TINY.codec, batch=8, heard_hours=1.0)
    samples, drawn = Crops([Shard(path)], [codes.astype(np.uint16)], quantizer, recipe, 0).draw(
        np.random.default_rng(0)
    )
    for made, crop in zip(samples, drawn[:, :, PHASE_LEAD:], strict=True):
        advances = quantizer.advances[crop[1 + HEIGHT]]
        starts = crop[1 + PHASE][:, None] / PHASES + torch.stack([0 * advances[:, 0], advances[:, 0]], dim=1)
        counted = (starts[..., None] + advances[..., None] * torch.arange(200) / 200).flatten()
        heard = torch.zeros(len(made), dtype=torch.bool)
        voiced = (crop[1 + HEIGHT] == 30).nonzero().flatten()[2:-2]
        for frame in voiced.tolist():
            heard[frame * HOP : (frame + 1) * HOP] = True
        wanted = 16_000 / 32_768 * (2 * math.pi * counted).cos()
        torch.testing.assert_close(made[heard], wanted[heard], rtol=0, atol=0.03)


def test_sources_want_a_decoder_that_has_room_for_them() -> None:
    """Bug: pulses of another height, since the first layer does not begin with halves of frames."""
    for other in ({"ratios": (2, 10, 2, 10), "decoder_hidden": 512}, {"decoder_hidden": 128}):
        codec = make_codec(replace(TINY.codec, **other))
        with pytest.raises(ValueError, match=r"\b4\b.*\b2\b"):
            set_codebooks(codec, _quantizer().vectors(TINY.codec.hidden, 0), 0)


def test_hibari_knows_where_its_pulses_are() -> None:
    """Bug: cycles counted otherwise than the network's own, so that pulses of each stretch lie elsewhere."""
    pytest.importorskip("hibari")
    speech = Hibari(16_000).speak(Line("My own room is very quiet.", "Heart", "moderate", 1.0), 0)
    hertz, cycles = speech.voice.hertz, speech.voice.cycles
    angles = 2 * np.pi * np.interp(np.arange(len(speech.samples)), np.arange(len(cycles)) * 200, cycles.astype(float))
    turned = (speech.samples * np.exp(-1j * angles)).reshape(-1, 200)[hertz > 0]
    smooth = np.array([part.sum() for part in np.array_split(turned, len(turned) // 4)])
    assert abs(smooth.sum()) > 0.7 * np.abs(smooth).sum()


def test_discriminators_and_codec_do_not_train_each_other(voice_folder: Path) -> None:
    """Bug: discriminators that learn to be deceived, because the codec's loss reaches them."""
    speaking = Speaking(make_codec(TINY.codec), TINY.codec)
    judge = speaking.discriminators[0]
    samples = torch.randn(2, 800, generator=torch.Generator().manual_seed(0))
    made = samples.clone().requires_grad_()
    judge.requires_grad_(False)
    judge(made)[-1].mean().backward()
    assert made.grad is not None
    assert made.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in judge.parameters())


@pytest.fixture
def two_speakers(tmp_path: Path) -> tuple[Shard, Codes]:
    """A shard in which one speaks nine times and another once; each frame's samples and codes are its number."""
    frames, rows = 0, []
    for speaker in ["Often"] * 9 + ["Once"]:
        rows.append({"line": asdict(Line("x", speaker, "", 1.0)), "start": frames * HOP, "num_samples": 30 * HOP})
        frames += 30
    path = tmp_path / "train-0000.npy"
    np.save(path, np.repeat(np.arange(frames), HOP).astype(np.int16))
    path.with_suffix(".jsonl").write_text(
        "".join(json.dumps({**row, "spans": [], "sounds": []}) + "\n" for row in rows)
    )
    with path.with_suffix(".voice").open("wb") as file:
        np.save(file, np.zeros((2, HALVES * frames), np.float32))
    return Shard(path), np.column_stack([np.arange(frames)] * 4).astype(np.uint16)


def test_crops_hear_all_speakers_alike(two_speakers: tuple[Shard, Codes]) -> None:
    """Bug: a codec that knows one voice, because the others are a tenth of the speech; or crops beside their codes."""
    shard, codes = two_speakers
    quantizer = Quantizer([], [], torch.zeros(1, 300, 4), torch.zeros(1, 2))  # that never moves anything
    crops = Crops([shard], [codes], quantizer, replace(TINY.codec, batch=400, heard_hours=1.0), seed=0)
    samples, drawn = crops.draw(np.random.default_rng(0))
    assert samples.shape == (400, 16 * HOP)
    assert drawn.shape == (400, 5, PHASE_LEAD + 16)
    middles = (samples[:, HOP // 2 :: HOP] * 32768).round().long()
    assert (middles == drawn[:, 1, PHASE_LEAD:]).float().mean() > 0.95  # but where utterances meet
    assert (drawn[:, 2:] == drawn[:, 1:2]).all()
    first = drawn[:, 1, PHASE_LEAD]
    assert 0.4 < float((first >= 270).float().mean()) < 0.6
    assert len(set(first.tolist())) > 100


def test_the_quantizer_hears_all_speakers_alike(two_speakers: tuple[Shard, Codes]) -> None:
    """Bug: codebooks that have no codes for a voice that is a tenth of the speech."""
    speakers = [one.line.speaker for _, one in islice(in_turn([two_speakers[0]], seed=0), 4)]
    assert sorted(speakers[:2]) == ["Often", "Once"]
    assert speakers[2:] == ["Often", "Often"]


def test_spectra_can_be_trained_on_after_speech_was_coded() -> None:
    """Bug: filters that were made while nothing was trained, for which a folder with --start fails at its codec."""
    mel_filters.cache_clear()
    with torch.inference_mode():
        log_mel(torch.zeros(1, 4_000), 16_000, 1024, 200, 80)
    made = torch.randn(1, 4_000, requires_grad=True)
    reconstruction_loss(made, torch.randn(1, 4_000), 16_000).backward()
    assert made.grad is not None
