"""The recipe of the bundled voice: that all of its stages run, and what they must not get wrong."""

from __future__ import annotations

import json
import math
import random
import re
from collections import Counter
from dataclasses import asdict, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from pipeline.synthesis import build_synthesizer
from pipeline.types import Utterance as Request
from scripts.voice import checkpoints, codec_decoder
from scripts.voice.__main__ import STAGES, main
from scripts.voice.codec import Codes, Crops, make_codec, read_codes, set_codebooks, with_places
from scripts.voice.codec_decoder import Speaking
from scripts.voice.decoder import IGNORED, Decoder, Example, collate, delayed, make_model
from scripts.voice.decoder_training import evened, examples_of
from scripts.voice.excitation import HARMONICS, NOISE
from scripts.voice.judges import word_errors
from scripts.voice.manifest import Line, read_lines
from scripts.voice.muon import Muon, orthogonalized
from scripts.voice.neural_teachers import Hibari
from scripts.voice.phones import locate_words
from scripts.voice.prompt_encoding import Reader, places_of, spoken_tokens
from scripts.voice.quantizer import HEIGHT, PHASE, PHASE_LEAD, PHASES, Quantizer, classes_of, in_turn
from scripts.voice.recipe import CPU, TINY
from scripts.voice.retiming import retimed
from scripts.voice.sentences import choose_lines
from scripts.voice.spectra import log_mel, mel_filters, reconstruction_loss
from scripts.voice.speech import Shard, Utterance, shards
from scripts.voice.teachers import HALVES, Sound, Span, Tones, Voice
from scripts.voice.template_sentences import own_sentences
from scripts.voice.tokenizer import make_lexicon, make_tokenizer
from scripts.voice.trainer import Training, prepared

_HOP = TINY.codec.hop
_LEXICON = {"late": ["l", "ˈA", "t"], "don't": ["d", "ˈO", "n", "t"], "don": ["d", "ˈɑ", "n"], "it": ["ɪ", "t"]}
_SOUNDS = ["A", "d", "l", "n", "t", "ɪ", "ˈA", "ˈO", "ˈɑ"]
_ARGUMENTS = ["--preset", "tiny", "--teacher", "tones", "--processes", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A voice made by all stages but the last, which needs an ASR."""
    folder = tmp_path_factory.mktemp("voice")
    texts = tmp_path_factory.mktemp("texts")
    (texts / "book.txt").write_text("Chapter 1\n\nIt was late. Nobody spoke, and the lamp went out.\n")
    assert main([str(folder), *_ARGUMENTS, "--texts", str(texts), "--stages", *STAGES[:-1]]) == 0
    return folder


@pytest.fixture(scope="module")
def examples(folder: Path) -> list[Example]:
    speech = shards(folder / "speech", "train")
    return examples_of(speech, read_codes(folder / "codes", speech), _HOP)


def test_recipe_ends_in_a_checkpoint_that_generates(folder: Path) -> None:
    """Bug: a stage that hands the next one what it cannot read, or a folder that only our own code could load."""
    synthesizer = build_synthesizer(str(folder / "model"), device="cpu", batch_size=2)
    clips = list(synthesizer.generate([Request("Hello.", "Tone speaks."), Request("Good bye, all.", "Tone speaks.")]))
    assert len(clips) == 2
    for clip in clips:
        assert np.isfinite(clip.samples).all()
        assert len(clip.samples) == clip.num_frames * _HOP > 0
    assert re.search(r"\bcodec\b.*\b4\b.*\b4\b", (folder / "model" / "README.md").read_text())


def test_plain_upstream_loads_the_checkpoint(folder: Path) -> None:
    """Bug: weights under names that upstream does not know, which it would silently replace by random ones."""
    from pipeline.synthesis.upstream import ParlerTTSForConditionalGeneration

    _, report = ParlerTTSForConditionalGeneration.from_pretrained(folder / "model", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]


def test_a_finished_folder_is_left_alone(folder: Path) -> None:
    """Bug: a second call renders or trains again what is already there."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.npy")}
    assert main([str(folder), *_ARGUMENTS, "--stages", "text", "speech", "codes", "decoder"]) == 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.npy")} == before
    assert checkpoints.load(folder / "decoder")["step"] == TINY.decoder.steps


def test_another_recipe_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bug: codes of one quantizer mixed with those of another."""
    assert main([str(folder), "--preset", "cpu", "--stages", "speech"]) == 2
    assert str(folder) in capsys.readouterr().err


def test_held_out_sentences_are_not_trained_on(folder: Path) -> None:
    """Bug: a word error rate measured on sentences that the voice knows by heart."""
    held_out, train = (read_lines(folder / "text" / f"{part}.jsonl") for part in ("held_out", "train"))
    assert len(held_out) == TINY.speech.held_out
    assert not {line.text for line in held_out} & {line.text for line in train}


def test_all_speakers_are_judged_alike(tmp_path: Path) -> None:
    """Bug: figures of the one speaker who has nearly all of the lines."""
    choose_lines(tmp_path, tmp_path, replace(TINY.speech, held_out=6), {"Often": 0.99, "Once": 0.01}, seed=0)
    held_out, counted = (read_lines(tmp_path / f"{part}.jsonl") for part in ("held_out", "counted"))
    assert [line.speaker for line in held_out] == ["Often", "Once"] * 3
    assert [line.speaker for line in counted] == ["Often", "Once"] * 2


def test_dac_reads_the_codes_as_the_quantizer_wrote_them(folder: Path) -> None:
    """Bug: vectors in channels of another codebook, or a place in the text that can be heard."""
    quantizer, codes = Quantizer(**checkpoints.load(folder / "quantizer")), _codes(7)
    vectors, codec = quantizer.vectors(TINY.codec.hidden, 0), make_codec(TINY.codec)
    set_codebooks(codec, vectors, 0)
    with torch.no_grad():
        frames = codec.quantizer.from_codes(codes.T[None])[0]
        samples = codec.decode(audio_codes=codes.T[None]).audio_values
    torch.testing.assert_close(frames[0].T, _latents(vectors, codes))
    assert samples.shape == (1, 7 * _HOP)


def test_codes_say_what_is_said_by_whom_how_high_and_how_loud(folder: Path) -> None:
    """Bug: codes that are shifted in time, or those of another speaker."""
    (shard,) = shards(folder / "speech", "held_out")
    quantizer = Quantizer(**checkpoints.load(folder / "quantizer"))
    two = replace(quantizer, speakers=["Other", *quantizer.speakers], heights=quantizer.heights.repeat(2, 1, 1))
    one = shard.utterances[0]
    samples, voice = torch.from_numpy(shard.audio(one)), shard.voice(one, _HOP)
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


def test_what_is_alike_begins_with_like_vectors(folder: Path) -> None:
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
    samples = torch.zeros(len(heights) * _HOP)
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


def test_what_is_set_stays_when_the_codec_is_trained(folder: Path) -> None:
    """Bug: pulses that drift, or noise that is trained away since it is far from any other noise."""
    torch.manual_seed(TINY.seed)
    codec, quantizer = make_codec(TINY.codec), Quantizer(**checkpoints.load(folder / "quantizer"))
    set_codebooks(codec, quantizer.vectors(TINY.codec.hidden, TINY.seed), TINY.seed)
    trained = {
        name.removeprefix("codec."): value for name, value in checkpoints.load(folder / "codec")["model"].items()
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
    times = np.interp(np.arange(frames * _HOP) / (_HOP / 2), halves, cycles)
    sounds = np.repeat(heard, _HOP // 2)
    samples = np.where(sounds, np.cos(2 * np.pi * times), 0).astype(np.float32)
    advances = np.zeros((frames, HALVES))
    advances[first:last] = steps * (1 + off)
    counted = np.arange((last - first) * _HOP) / (_HOP / 2) * steps * (1 + off)
    moved = retimed(samples, voice, advances, _HOP)
    assert moved.shape == samples.shape
    inner = slice(4 * _HOP, -4 * _HOP)
    made = moved[first * _HOP : last * _HOP][inner]
    np.testing.assert_allclose(made, np.cos(2 * np.pi * counted)[inner], atol=0.02)


def test_a_teacher_knows_where_its_pulses_are() -> None:
    """Bug: cycles that are counted from another moment than the samples."""
    speech = Tones().speak(Line("ab", "Tone", "moderate", 1.0), 0)
    angles = 2 * np.pi * np.interp(np.arange(800), np.arange(5) * 200, speech.voice.cycles[:5])
    np.testing.assert_allclose(speech.samples[:800], 0.3 * np.sin(angles), atol=0.02)


@settings(max_examples=30, deadline=None)
@given(frames=st.integers(1, 12), codebooks=st.integers(1, 5))
def test_delay_pattern_is_that_of_upstream(frames: int, codebooks: int) -> None:
    """Bug: a voice trained on another delay than the one it is generated with."""
    from parler_tts.modeling_parler_tts import build_delay_pattern_mask

    bos, eos = 99, 98
    codes = torch.arange(frames * codebooks).reshape(frames, codebooks)
    inputs, labels = delayed(codes, bos, eos)
    if frames + 1 + codebooks >= 2 * codebooks - 1:  # below that upstream does not delay at all
        rows = torch.cat([torch.full((1, codebooks, 1), bos), codes.T[None]], dim=-1)
        mask = build_delay_pattern_mask(rows, bos, eos, frames + 1 + codebooks, codebooks)[1]
        expected = torch.where(mask == -1, eos, mask)[:, :-1]
        torch.testing.assert_close(inputs, expected)
    for k in range(codebooks):
        targets = labels[k][labels[k] != IGNORED].tolist()
        assert targets == [*codes[:, k].tolist(), eos]
    torch.testing.assert_close(labels[:, :-1][labels[:, :-1] >= 0], inputs[:, 1:][labels[:, :-1] >= 0])


def test_guidance_points_at_the_letter_that_is_heard(examples: list[Example]) -> None:
    """Bug: the guided heads learn from frames or characters that are shifted, by padding or by the tokenizer."""
    tokenizer = make_tokenizer({}, [])
    batch = collate(examples[:3], Reader(tokenizer), TINY.decoder, TINY.codec, (0, 0))
    for row, example in enumerate(examples[:3]):
        text, frames_of_letter = (
            example.utterance.line.text.lower(),
            len(example.codes) // len(example.utterance.line.text),
        )
        for frame in range(len(example.codes)):
            token = int(batch.prompts.ids[row, round(float(batch.spoken[row, frame]))])
            assert token == tokenizer.convert_tokens_to_ids(text[frame // frames_of_letter])
    assert (batch.spoken[batch.frames == 0] == -1).all()


def test_a_row_learns_the_same_alone_and_in_a_batch(examples: list[Example]) -> None:
    """Bug: padding of a prompt that counts as positions, so that training and generation differ."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer({}, [])
    recipe = replace(TINY.decoder, corrupted=0.0)
    model = make_model(recipe, TINY.codec, make_codec(TINY.codec), len(tokenizer)).eval()
    decoder = Decoder(model, recipe)
    rows = sorted(examples, key=lambda example: example.cost)
    pair = [rows[0], rows[-1]]
    together = collate(pair, Reader(tokenizer), recipe, TINY.codec, (1,))
    states = decoder.states(together)
    alone = collate(pair[:1], Reader(tokenizer), recipe, TINY.codec, (1,))
    alone = replace(alone, descriptions=together.descriptions, description_of_row=together.description_of_row[:1])
    own = decoder.states(alone)
    steps = int(alone.frames.sum())
    long = together.frames.shape[1]
    own = own[:, -alone.frames.shape[1] :]
    torch.testing.assert_close(states[:1, -long:][:, :steps], own[:, :steps], rtol=1e-4, atol=1e-4)


def test_words_are_read_by_sound_and_others_by_letter() -> None:
    """Bug: a rule that finds a word within another, or within the sounds that another rule wrote."""
    tokenizer = make_tokenizer(_LEXICON, _SOUNDS)
    read = tokenizer.convert_ids_to_tokens(tokenizer("Don’t sit, it is Late.").input_ids)
    assert read == [*"ｄ", "ˈＯ", *"ｎｔ sit, ɪｔ is ｌ", "ˈＡ", *"ｔ.", "</s>"]


@settings(max_examples=100, deadline=None)
@given(text=st.text(alphabet="doniltae '’-,é\u200d", min_size=1, max_size=30))
def test_reader_reads_as_the_tokenizer_does(text: str) -> None:
    """Bug: training on other tokens than those that the checkpoint's own tokenizer gives."""
    tokenizer = make_tokenizer(_LEXICON, _SOUNDS)
    read = Reader(tokenizer).read(text)
    assert Reader(tokenizer, [text, "don't"]).read(text) == read
    assert list(read.ids) == tokenizer(text).input_ids
    assert len(read.ids) == len(read.places)
    assert list(read.places) == sorted(read.places)


def test_a_spelled_word_has_its_letters_at_their_places() -> None:
    """Bug: the joiner that hides a word from the lexicon shifts what is said of its letters."""
    tokenizer = make_tokenizer(_LEXICON, _SOUNDS)
    read = Reader(tokenizer).read("it: late", random.Random(0), spelled=1.0)
    assert tokenizer.convert_ids_to_tokens(read.ids) == [*"it: late", "</s>"]
    assert read.places == (0, 1, 2, 3, 4, 5, 6, 7, 8)


def test_a_known_word_is_followed_sound_by_sound() -> None:
    """Bug: a long vowel whose frames are spread over the consonants around it."""
    tokenizer = make_tokenizer(_LEXICON, _SOUNDS)
    sounds = (Sound("_", 2), Sound("l", 1), Sound("ˈA", 4), Sound("t", 1), Sound(" ", 1), Sound("ɪ", 1), Sound("t", 2))
    utterance = Utterance(Line("late it", "", "", 1.0), 0, 0, (Span(0, 4, 2, 9), Span(5, 7, 9, 12)), sounds)
    spoken = spoken_tokens(utterance, Reader(tokenizer).read("late it"), padding=1)
    assert spoken.tolist() == [-1, -1, 1, 2, 2, 2, 2, 3, 4, 5, 6, 6]
    assert places_of(spoken, padding=1).tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 3, 4, 5, 5]


def test_a_frame_without_a_token_stays_where_the_speech_was() -> None:
    """Bug: a pause that sends the decoder back to the beginning of its text."""
    spoken = torch.tensor([-1, 2.5, 3.4, -1, 3.9, 6.0, -1])
    assert places_of(spoken, padding=2).tolist() == [0, 1, 1, 1, 2, 4, 4]


def test_lexicon_takes_the_most_usual_way_of_the_most_usual_words() -> None:
    """Bug: one odd pronunciation, or a word heard once, for good in the tokenizer."""
    said = [("The", ["ð", "ə"]), ("the", ["ð", "i"]), ("the", ["ð", "ə"]), ("cat", ["k"]), ("A", ["ə"]), ("a", ["ə"])]
    assert make_lexicon(said, 9) == {"the": ["ð", "ə"], "a": ["ə"]}
    assert make_lexicon(said, 1) == {"the": ["ð", "ə"]}


def test_first_code_says_sound_and_place() -> None:
    """Bug: frames that are named after the sound beside them."""
    assert classes_of([Sound("t", 1), Sound("a", 0), Sound("ˈi", 2), Sound("s", 4)]) == [
        *("tS", "ˈiB", "ˈiE"), *("sB", "sM", "sM", "sE"),
    ]  # fmt: skip


def test_decoder_learns_and_its_guided_head_finds_the_text(examples: list[Example]) -> None:
    """Bug: a loss whose gradient does not reach the model."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer({}, [])
    model = make_model(TINY.decoder, TINY.codec, make_codec(TINY.codec), len(tokenizer))
    decoder = Decoder(model, TINY.decoder)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    batch = collate(sorted(examples, key=lambda e: e.cost)[:2], Reader(tokenizer), TINY.decoder, TINY.codec, (0,))
    history = []
    for _ in range(40):
        losses = decoder.losses(batch)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        history.append({name: float(value.detach()) for name, value in losses.items()})
    for codes in ("codes 0", "codes 1", "codes 2"):
        assert history[-1][codes] < 0.8 * history[0][codes]
    assert history[-1]["guided"] < 0.6 * history[0]["guided"]


def _codes(count: int) -> torch.Tensor:
    size = (count, TINY.codec.codebooks)
    return torch.randint(TINY.codec.codebook_size, size, generator=torch.Generator().manual_seed(6))


def _latents(vectors: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """`[T, (K - 1) * hidden]` of codes `[T, K]`."""
    return torch.cat([book[column] for book, column in zip(vectors, codes[:, 1:].T, strict=True)], dim=1)


def test_a_crop_is_made_as_the_whole_clip_is(folder: Path) -> None:
    """Bug: a codec that is trained on codes beside its samples."""
    speaking = Speaking(make_codec(TINY.codec), TINY.codec)
    set_codebooks(speaking.codec, Quantizer(**checkpoints.load(folder / "quantizer")).vectors(TINY.codec.hidden, 0), 0)
    codes = _codes(9).T[None]
    with torch.no_grad():
        whole = speaking.codec.decode(audio_codes=codes).audio_values
        torch.testing.assert_close(speaking.made(codes), whole[:, PHASE_LEAD * _HOP :])


def test_crops_are_moved_to_where_their_codes_count_pulses(tmp_path: Path) -> None:
    """Bug: a codec that hears the teacher's own pulses, which its codes do not know."""
    quantizer, frames = _quantizer(), 60
    heights = np.full(frames, 30)
    heights[:4] = heights[-4:] = 0
    codes = np.column_stack([heights, heights, heights, quantizer.phases(torch.from_numpy(heights))[:frames].numpy()])
    steps = float(quantizer.advances[30].mean())
    cycles = 0.37 + steps * np.arange(HALVES * frames)
    times = np.interp(np.arange(frames * _HOP), np.arange(HALVES * frames) * _HOP // HALVES, cycles)
    path = tmp_path / "train-0000.npy"
    np.save(path, (16_000 * np.cos(2 * np.pi * times)).astype(np.int16))
    hertz = np.where(np.repeat(heights, HALVES), 80 * steps, 0)
    with path.with_suffix(".voice").open("wb") as file:
        np.save(file, np.stack([hertz, cycles]).astype(np.float32))
    row = {"line": asdict(Line("x", "x", "", 1.0)), "start": 0, "num_samples": frames * _HOP, "spans": [], "sounds": []}
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
            heard[frame * _HOP : (frame + 1) * _HOP] = True
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


def test_discriminators_and_codec_do_not_train_each_other(folder: Path) -> None:
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


def _fit(folder: Path, *runs: int) -> dict[str, torch.Tensor]:
    """Trains a line on noise that depends on the step alone, in so many runs that end at the given steps."""
    for last in runs:
        torch.manual_seed(0)
        model = nn.Linear(3, 1)
        training = Training("test", folder, model, 6, 0.1, 2, matrices=[model.weight])
        training.resume()

        def losses(step: int, training: Training = training, last: int = last) -> dict[str, torch.Tensor]:
            if step + 1 == last:
                training.stop_seconds = 0.0
            generator = torch.Generator().manual_seed(step)
            return {"loss": training.model(torch.randn(4, 3, generator=generator)).square().mean()}

        training.run(losses)
        assert training.step == last
    training.take_average()
    return training.model.state_dict()


def test_a_training_in_slices_equals_one_run(tmp_path: Path) -> None:
    """Bug: a state that is not saved (moments of an optimizer, the average, the step), so that slices cost quality."""
    whole, sliced = _fit(tmp_path / "whole", 6), _fit(tmp_path / "sliced", 2, 5, 6)
    for name, tensor in whole.items():
        torch.testing.assert_close(tensor, sliced[name], rtol=0, atol=0)


def test_a_training_that_ends_early_ends_cool(tmp_path: Path) -> None:
    """Bug: a model that is taken in the middle of its large steps, because its last step was never reached."""
    cooling, going = (
        Training("test", tmp_path, nn.Linear(3, 1), 900, 0.1, 2, stop_seconds=10.0, cool=cool) for cool in (True, False)
    )
    assert [cooling._share_of_rate(seconds) for seconds in (0, 5, 10, 11)] == [0.5, 0.5, 0, 0]
    cooling.step = going.step = 100
    assert [cooling._share_of_rate(seconds) for seconds in (0, 5, 10, 11)] == [1, 0.5, 0, 0]
    assert [going._share_of_rate(seconds) for seconds in (0, 5, 10, 11)] == [1, 1, 1, 1]
    going.step = 900
    assert going._share_of_rate(0) == 0


def test_a_new_folder_goes_on_from_a_checkpoint(folder: Path, tmp_path: Path) -> None:
    """Bug: a voice that cannot be trained further from the repository alone: other codes, or new weights."""
    arguments = [str(tmp_path / "new"), *_ARGUMENTS, "--texts", str(tmp_path), "--start", str(folder / "model")]
    assert main([*arguments, "--stages", "text", "speech", "codes", "export"]) == 0
    for name in ("quantizer/000.safetensors", "lexicon.json"):
        assert (tmp_path / "new" / name).read_bytes() == (folder / name).read_bytes()
    before, after = (load_file(path / "model" / "model.safetensors") for path in (folder, tmp_path / "new"))
    for name, tensor in before.items():
        torch.testing.assert_close(tensor, after[name], rtol=0, atol=0)


def test_what_goes_on_is_judged_from_the_first_step_at_the_rate_that_is_asked_for(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: a voice that is made worse by the first minutes of further training."""
    seen: list[tuple[int, float]] = []
    monkeypatch.setattr(
        codec_decoder,
        "train_codec_decoder",
        lambda training, _, recipe, *__: seen.append((recipe.codec.adversarial_from, training.learning_rate)),
    )
    arguments = [str(tmp_path / "new"), *_ARGUMENTS, "--texts", str(tmp_path)]
    stages = ["--stages", "text", "speech", "codes", "codec"]
    assert main([*arguments, *stages, "--start", str(folder / "model"), "--rate", "0.5"]) == 0
    assert seen == [(0, pytest.approx(0.5 * TINY.codec.learning_rate))]


def test_the_end_weighs_more_in_the_checkpoint(folder: Path) -> None:
    """Bug: a voice that talks on into the limit, since an end that was only likely was not drawn."""
    state = checkpoints.load(folder / "decoder")
    name, end = "decoder.lm_heads.0.weight", TINY.codec.codebook_size
    trained = dict(zip(state["model"], state["average"], strict=True))[name]
    exported = load_file(folder / "model" / "model.safetensors")[name].float()
    torch.testing.assert_close(exported[end], TINY.decoder.ending * trained[end], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(exported[:end], trained[:end], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    ("start", "preset", "complaint"),
    [
        ("model", "cpu", "codec.hidden=16"),
        ("speech", "tiny", "workshop"),
    ],
)
def test_a_checkpoint_of_another_shape_is_refused_at_once(
    start: str,
    preset: str,
    complaint: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Bug: hours of speech rendered and coded for a checkpoint that does not fit."""
    arguments = [str(tmp_path / "new"), "--preset", preset, "--teacher", "tones", "--start", str(folder / start)]
    assert main(arguments) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("shape", [(4, 9), (9, 4)])
def test_muon_steps_as_that_of_torch(shape: tuple[int, int]) -> None:
    """Bug: an optimizer of our own, for the sake of its precision, that is another one."""
    generator = torch.Generator().manual_seed(0)
    start, *gradients = (torch.randn(shape, generator=generator) for _ in range(4))
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    settings = {"lr": 0.01, "weight_decay": 0.1}
    optimizers = [
        Muon([ours], **settings, dtype=torch.bfloat16),
        torch.optim.Muon([theirs], **settings, adjust_lr_fn="match_rms_adamw"),
    ]
    for gradient in gradients:
        for parameter, optimizer in zip((ours, theirs), optimizers, strict=True):
            parameter.grad = gradient.clone()
            optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3)
    values = torch.linalg.svdvals(orthogonalized(gradients[0], torch.float32))
    assert 0.5 < float(values.min()) <= float(values.max()) < 1.5


@pytest.fixture
def two_speakers(tmp_path: Path) -> tuple[Shard, Codes]:
    """A shard in which one speaks nine times and another once; each frame's samples and codes are its number."""
    frames, rows = 0, []
    for speaker in ["Often"] * 9 + ["Once"]:
        rows.append({"line": asdict(Line("x", speaker, "", 1.0)), "start": frames * _HOP, "num_samples": 30 * _HOP})
        frames += 30
    path = tmp_path / "train-0000.npy"
    np.save(path, np.repeat(np.arange(frames), _HOP).astype(np.int16))
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
    assert samples.shape == (400, 16 * _HOP)
    assert drawn.shape == (400, 5, PHASE_LEAD + 16)
    middles = (samples[:, _HOP // 2 :: _HOP] * 32768).round().long()
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


def test_rarer_speakers_are_heard_more_often(examples: list[Example]) -> None:
    """Bug: a speaker of a few minutes whose name changes nothing."""

    def by(speaker: str, number: int) -> list[Example]:
        line = replace(examples[0].utterance.line, speaker=speaker)
        return [replace(examples[0], utterance=replace(examples[0].utterance, line=line))] * number

    speakers = Counter(one.utterance.line.speaker for one in evened(by("a", 80) + by("b", 10) + by("c", 70)))
    assert speakers == {"a": 80, "b": 20, "c": 70}


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_the_order_of_the_steps(workers: int) -> None:
    """Bug: batches made ahead by several processes in an order of their own, so that no two runs are alike."""
    assert list(prepared(_square, range(3, 9), workers)) == [9, 16, 25, 36, 49, 64]


def _square(step: int) -> int:
    return step**2


def test_checkpoint_survives_a_kill_between_its_renames(tmp_path: Path) -> None:
    """Bug: hours of training lost by a kill at the wrong moment."""
    state = {"a": [torch.arange(3), {1: torch.ones(2), "x": None}], "step": 4, "rate": math.pi}
    checkpoints.save(tmp_path / "state", state)
    (tmp_path / "state").rename(tmp_path / ".state.previous")
    loaded = checkpoints.load(tmp_path / "state")
    assert loaded["step"] == 4
    assert loaded["rate"] == math.pi
    assert loaded["a"][1]["x"] is None
    torch.testing.assert_close(loaded["a"][0], torch.arange(3))
    torch.testing.assert_close(loaded["a"][1][1], torch.ones(2))


def test_checkpoint_pieces_stay_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: one file too large for where checkpoints have to pass."""
    monkeypatch.setattr(checkpoints, "_PIECE_BYTES", 100)
    state = {str(i): torch.full((10,), float(i)) for i in range(5)}
    checkpoints.save(tmp_path / "state", state)
    assert len(list((tmp_path / "state").glob("*.safetensors"))) == 3
    assert all(torch.equal(value, state[name]) for name, value in checkpoints.load(tmp_path / "state").items())


def test_words_are_located_in_the_text_and_in_time() -> None:
    """Bug: a word that the teacher rewrote shifts all words after it."""
    words = [("Mister", "abc "), ("&", "and "), ("I", "d "), ("!", "!")]
    durations = np.arange(1, len("abc and d !") + 3)  # opening pad, each phoneme, closing pad
    ends = np.concatenate([[0], np.cumsum(durations)])
    spans, character = locate_words("Mister and I!", words, 0, durations, 100)
    assert [(span.start, span.end) for span in spans] == [(0, 6), (11, 12), (12, 13)]
    assert character == 13
    assert spans[0] == Span(0, 6, 100 + int(ends[1]), 100 + int(ends[5]))
    assert spans[1].first_frame == 100 + ends[9]


@settings(max_examples=30, deadline=None)
@given(text=st.text(alphabet="ab ,.", min_size=1, max_size=20), speed=st.sampled_from([0.8, 1.0, 1.25]))
def test_spans_lie_inside_the_audio(text: str, speed: float) -> None:
    """Bug: spans of a teacher that reach past its samples."""
    speech = Tones().speak(Line(text, "Tone", "moderate", speed), 0)
    assert len(speech.samples) % _HOP == 0
    assert speech.spans[-1].last_frame * _HOP == len(speech.samples)
    assert speech.spans[-1].end == len(text)
    assert sum(sound.frames for sound in speech.sounds) * _HOP == len(speech.samples)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_own_sentences_are_spoken_forms(seed: int) -> None:
    """Bug: an unfilled slot, or digits that a teacher and an ASR would read in ways of their own."""
    sentence = next(own_sentences(random.Random(seed)))
    assert not any(character.isdigit() or character in "{}" for character in sentence)


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("Twenty-four ships.", "24 ships", 0),
        ("It is late.", "It was late", 1),
        ("It is late.", "", 3),
        ("Late.", "It is late", 2),
    ],
)
def test_word_errors(said: str, heard: str, errors: int) -> None:
    """Bug: a word error rate that counts spelling, or leaves out words that were added or lost."""
    assert word_errors(said, heard) == (errors, len(said.replace("-", " ").split()))


def test_spectra_can_be_trained_on_after_speech_was_coded() -> None:
    """Bug: filters that were made while nothing was trained, for which a folder with --start fails at its codec."""
    mel_filters.cache_clear()
    with torch.inference_mode():
        log_mel(torch.zeros(1, 4_000), 16_000, 1024, 200, 80)
    made = torch.randn(1, 4_000, requires_grad=True)
    reconstruction_loss(made, torch.randn(1, 4_000), 16_000).backward()
    assert made.grad is not None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_recorded_step_trains_as_the_step_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the codec's training on a GPU against a graph that computes something else."""
    weights = []
    for name in ("recorded", "plain"):
        folder = tmp_path / name
        stages = ["text", "speech", "codes", "codec"]
        assert (
            main([str(folder), "--preset", "tiny", "--teacher", "tones", "--device", "cuda", "--stages", *stages]) == 0
        )
        state = checkpoints.load(folder / "codec")
        assert state is not None
        weights.append(state["model"])
        monkeypatch.setattr(codec_decoder, "Recorded", lambda _, losses: lambda *x: losses(*(y.cuda() for y in x)))
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=1e-3, atol=1e-4, msg=name)
