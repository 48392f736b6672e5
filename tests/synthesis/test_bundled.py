"""The checkpoint that ships: that it is whole, that it speaks, and that it speaks what it is given."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from bundled_speech import SENTENCES, speak
from safetensors.torch import load_file
from transformers import AutoTokenizer

from pipeline.commands.voice_setup import set_up_voices
from pipeline.config import ModelConfig, SamplingConfig
from pipeline.config.compose import compose_config
from pipeline.planning import predict_seconds
from pipeline.synthesis.checkpoint import find_checkpoint
from pipeline.types import Clip, Finish, Sampling
from scripts.voice import checkpoints


def periods(samples: npt.NDArray[np.float32], rate: int) -> npt.NDArray[np.float64]:
    """How alike each loud frame of 40 ms is to itself a period later, of the pitches of a voice, 400 to 80 Hz."""
    length = rate // 25
    frames = samples[: len(samples) // length * length].reshape(-1, length).astype(np.float64)
    levels = np.sqrt((frames**2).mean(axis=1))
    loud = frames[levels > levels.max() / 20]
    spectra = np.abs(np.fft.rfft(loud - loud.mean(axis=1, keepdims=True), 2 * length)) ** 2
    likeness = np.fft.irfft(spectra)[:, :length] * (length / (length - np.arange(length)))
    likely: npt.NDArray[np.float64] = likeness[:, rate // 400 : rate // 80] / likeness[:, :1]
    return likely


def voiced_share(samples: npt.NDArray[np.float32], rate: int) -> float:
    """Share of the loud frames that have a pitch."""
    return float((periods(samples, rate).max(axis=1) > 0.6).mean())


def pitch(clip: Clip) -> float:
    """Median of the frames that have one, in Hz."""
    likely = periods(clip.samples, clip.sampling_rate)
    voiced = likely[likely.max(axis=1) > 0.6]
    return float(np.median(clip.sampling_rate / (clip.sampling_rate // 400 + voiced.argmax(axis=1))))


def contrast_db(samples: npt.NDArray[np.float32], rate: int) -> float:
    """How much louder the loud tenth of all frames of 25 ms is than the soft tenth: syllables and pauses make it."""
    length = rate // 40
    frames = samples[: len(samples) // length * length].reshape(-1, length).astype(np.float64)
    levels = 20 * np.log10(np.sqrt((frames**2).mean(axis=1)) + 1e-5)
    return float(np.percentile(levels, 90) - np.percentile(levels, 10))


def is_speech(clip: Clip) -> bool:
    """Whether a clip has the pitch, the syllables and the length of its sentence spoken."""
    ratio = clip.seconds / predict_seconds(clip.utterance.prompt)
    return (
        voiced_share(clip.samples, clip.sampling_rate) > 0.35
        and contrast_db(clip.samples, clip.sampling_rate) > 20
        and 0.6 < ratio < 1.6
        and clip.finish is not Finish.MAX_FRAMES
    )


def codes_of(folder: Path, sentences: Sequence[str]) -> list[npt.NDArray[np.int64]]:
    """The codes `[T, K]` that upstream's own `generate()` draws."""
    from pipeline.synthesis import upstream

    model = upstream.load(folder, attention="eager", dtype=torch.float32, device=torch.device("cpu"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    decode, drawn = model.audio_encoder.decode, []

    def listen(*, audio_codes: torch.Tensor, **more: Any) -> Any:
        drawn.append(audio_codes.reshape(-1, audio_codes.shape[-1]).T.numpy())
        return decode(audio_codes=audio_codes, **more)

    model.audio_encoder.decode = listen
    description = tokenizer("Heart speaks.", return_tensors="pt").input_ids
    torch.manual_seed(0)
    for sentence in sentences:
        prompt = tokenizer(sentence, return_tensors="pt")
        model.generate(
            input_ids=description,
            attention_mask=torch.ones_like(description),
            prompt_input_ids=prompt.input_ids,
            prompt_attention_mask=prompt.attention_mask,
        )
    return drawn


@pytest.fixture(scope="module")
def folder() -> Path:
    return find_checkpoint(ModelConfig(name="bundled"), download=False).folder


def test_it_speaks_and_noise_does_not() -> None:
    """Bug: a checkpoint whose codec, codes or alignment broke on the way into the package; it would still generate."""
    config = compose_config(["model=bundled"])
    assert all(map(is_speech, speak("bundled", config.engine.sampling)))
    assert not any(map(is_speech, speak("untrained", SamplingConfig())))


def test_each_speaker_has_a_voice() -> None:
    """Bug: names that change nothing, or a name of which there is no voice to choose."""
    config = compose_config(["model=bundled"])
    pitches = {}
    for speaker in config.model.speakers:
        typed = compose_config(["model=bundled", f"voice={speaker.lower()}"])
        assert set_up_voices(typed, "en")[0].voice.speaker == speaker
        clips = speak("bundled", config.engine.sampling, SENTENCES[1:], speaker)
        assert all(map(is_speech, clips)), speaker
        pitches[speaker] = np.median([pitch(clip) for clip in clips])
    assert max(pitches["Michael"], pitches["Puck"]) < 0.8 * min(pitches["Heart"], pitches["Sarah"]), pitches


@pytest.mark.slow
def test_it_is_understood() -> None:
    """Bug: speech with the rhythm of its sentences and none of their words. Needs scripts/voice/requirements.txt."""
    pytest.importorskip("faster_whisper")
    from scripts.voice.judges import SAMPLING_RATE, Judges, word_error_rate

    judges = Judges()
    clips = speak("bundled", compose_config(["model=bundled"]).engine.sampling)
    assert {clip.sampling_rate for clip in clips} == {SAMPLING_RATE}
    assert word_error_rate([(clip.utterance.prompt, judges.hear(clip.samples)) for clip in clips]) < 0.25


def test_its_codes_say_which_words_it_speaks(folder: Path) -> None:
    """Bug: a decoder that loses its place, skips or repeats.

    The first code of a frame is the token that is spoken, the second the sound.
    """
    classes = checkpoints.load(folder / "workshop" / "quantizer")["classes"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for codes, sentence in zip(codes_of(folder, SENTENCES), SENTENCES, strict=True):
        tokens = tokenizer.tokenize(sentence)
        places = codes[:, 0].tolist()
        assert sum(place not in (before, before + 1) for before, place in pairwise(places)) <= 2
        assert len(set(places) & set(range(len(tokens)))) > 0.9 * len(tokens)
        sounds = [unicodedata.normalize("NFKC", token) for token in tokens]  # tokens are full-width letters
        told = [(place, classes[sound][:-1]) for place, sound in codes[:, :2] if 0 < place < len(tokens)]
        assert np.mean([sound in sounds[place - 1 : place + 2] for place, sound in told]) > 0.85


def test_plain_upstream_finds_every_weight(folder: Path) -> None:
    """Bug: weights under names that upstream does not know, which it would silently replace by random ones."""
    from pipeline.synthesis.upstream import ParlerTTSForConditionalGeneration

    _, report = ParlerTTSForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]


def test_it_is_chosen_with_its_voice_and_its_sampling(folder: Path) -> None:
    """Bug: another speaker's name, or another temperature than the one that its figures were measured with."""
    config = compose_config(["model=bundled"])
    generation = json.loads((folder / "generation_config.json").read_text())
    assert set_up_voices(config, "en")[0].voice.speaker in config.model.speakers
    sampling = find_checkpoint(config.model).sampling(config.engine.sampling)
    assert sampling == Sampling(temperature=generation["temperature"])
    assert set_up_voices(compose_config(["model=mini"]), "en")[0].voice.speaker == "Jon"


def test_it_is_small_and_has_its_card(folder: Path) -> None:
    """Bug: a package of float32 weights, or one without its licence."""
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 40e6  # with its workshop
    weights = [tensor for path in folder.glob("*.safetensors") for tensor in load_file(path).values()]
    assert {tensor.dtype for tensor in weights} == {torch.float16}
    assert "license: apache-2.0" in (folder / "README.md").read_text(encoding="utf-8")


def test_words_are_read_by_sound(folder: Path) -> None:
    """Bug: a tokenizer without its lexicon, which spells all words."""
    tokens = AutoTokenizer.from_pretrained(folder).tokenize("The river, xq.")
    assert tokens == ["ð", "ə", " ", "ɹ", "ˈɪ", "ｖ", "ə", "ɹ", ",", " ", "x", "q", "."]
