"""Finding checkpoints, and untrained checkpoints."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import Checkpoints
from safetensors.torch import load_file, save_file

from pipeline.config import EngineConfig, ModelConfig, SamplingConfig
from pipeline.errors import ConfigError, ModelError
from pipeline.synthesis import build_synthesizer, upstream
from pipeline.synthesis.checkpoint import find_checkpoint
from pipeline.synthesis.devices import choose_device, choose_dtype
from pipeline.synthesis.tokenizers import load_tokenizers
from pipeline.synthesis.untrained import UntrainedShape, make_untrained
from pipeline.types import Bucket, Finish, Sampling, Utterance

TINY = UntrainedShape(mean_seconds=0.4, codec_hidden=24)


def named(path: Path | str) -> ModelConfig:
    return ModelConfig(name="mine", path=str(path))


def test_the_same_seed_makes_the_same_checkpoint(tmp_path: Path) -> None:
    """Guards reproducible runs of the untrained model: the same seed gives the same weights."""
    one, two, other = (
        load_file(make_untrained(tmp_path / name, TINY, seed) / "model.safetensors")
        for name, seed in (("one", 0), ("two", 0), ("other", 1))
    )
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert not all(torch.equal(one[key], other[key]) for key in one)


def test_untrained_noise_is_audible_and_ends_by_itself() -> None:
    """Guards the untrained model against silent, clipped and endless clips, which the checks would refuse."""
    synthesizer = build_synthesizer(ModelConfig("untrained"), backend="reference", device="cpu")
    bucket = Bucket(64, 64, 500, 8)
    clips = list(synthesizer.generate(Utterance("Hello.", "A voice.", seed=i, bucket=bucket) for i in range(16)))
    levels = [20 * np.log10(np.sqrt(np.mean(np.square(clip.samples)))) for clip in clips]
    assert all(-40 < level < -10 for level in levels)
    assert all(abs(np.mean(clip.samples)) < 0.01 for clip in clips), "noise, not an offset"
    assert sum(clip.finish is Finish.EOS for clip in clips) >= 14
    assert 0.8 < np.mean([clip.seconds for clip in clips]) < 4.0


@pytest.mark.parametrize("is_hub_codec", [False, True], ids=["transformers", "descript"])
def test_the_codecs_weights_can_be_had_as_they_were_saved(
    is_hub_codec: bool, tmp_path: Path, small_hub_codec: None
) -> None:
    """Guards the codec of a model in bfloat16: rounded weights cost more quality than rounded arithmetic."""
    shape = dataclasses.replace(TINY, hub_codec=is_hub_codec, sampling_rate=44_100 if is_hub_codec else 16_000)
    folder, device = make_untrained(tmp_path, shape), torch.device("cpu")
    exact = upstream.load(folder, attention="sdpa", dtype=torch.float32, device=device)
    saved = load_file(folder / "model.safetensors")
    old_names = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    for new, old in old_names.items():  # as published checkpoints have them
        saved = {key.replace(new, old): tensor for key, tensor in saved.items()}
    save_file(saved, folder / "model.safetensors")
    rounded = upstream.load(folder, attention="sdpa", dtype=torch.bfloat16, device=device, codec_dtype=torch.float32)
    expected = exact.audio_encoder.state_dict()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in rounded.audio_encoder.state_dict().items())
    assert rounded.decoder.dtype == torch.bfloat16


def test_rates_are_those_of_the_codec(checkpoint_of: Checkpoints) -> None:
    checkpoint = find_checkpoint(named(checkpoint_of(TINY)))
    assert (checkpoint.sampling_rate, checkpoint.frames_per_second, checkpoint.num_codebooks) == (16_000, 50.0, 4)
    assert checkpoint.max_frames == 1500
    assert checkpoint.description_tokenizer is None


def test_changed_weights_are_another_revision(checkpoint_of: Checkpoints, tmp_path: Path) -> None:
    """Guards resumed runs against a folder whose weights have changed in between."""
    folder = shutil.copytree(checkpoint_of(TINY), tmp_path / "copy")
    before = find_checkpoint(named(folder)).revision
    assert find_checkpoint(named(folder)).revision == before
    make_untrained(folder, TINY, seed=5)
    assert find_checkpoint(named(folder)).revision != before


def test_a_checkpoint_made_again_is_the_same_revision() -> None:
    """Guards resumed runs with the untrained checkpoint, which each command makes again."""
    assert find_checkpoint(ModelConfig("untrained")).revision == find_checkpoint(ModelConfig("untrained")).revision


def test_untrained_checkpoints_of_killed_processes_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: each killed run left a checkpoint in the temporary folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead = subprocess.Popen(["true"])
    dead.wait()
    (tmp_path / f"parler-untrained-{dead.pid}-abc").mkdir()
    kept = [tmp_path / f"parler-untrained-{os.getpid()}-abc", tmp_path / "parler-untrained-mine", tmp_path / "other"]
    for folder in kept:
        folder.mkdir()
    made = find_checkpoint(ModelConfig("untrained")).folder
    assert set(tmp_path.iterdir()) == {made, *kept}


@pytest.mark.parametrize(
    "name", ["tokenizer.json", "generation_config.json", "description_tokenizer/tokenizer.json", "vocabulary.model"]
)
def test_whatever_a_clip_depends_on_is_in_the_revision(name: str, checkpoint_of: Checkpoints, tmp_path: Path) -> None:
    """Bug: a changed tokenizer did not change the revision, so that old clips were kept."""
    folder = shutil.copytree(checkpoint_of(TINY), tmp_path / "copy")
    tokenizer = shutil.copytree(folder, folder / "description_tokenizer", ignore=shutil.ignore_patterns("[!t]*"))
    assert (tokenizer / "tokenizer.json").is_file()
    before = find_checkpoint(named(folder)).revision
    with (folder / name).open("a") as file:
        file.write("\n")
    assert find_checkpoint(named(folder)).revision != before
    before = find_checkpoint(named(folder)).revision
    for beside in ("README.md", "notes.txt", "trainer_state.json"):
        (folder / beside).write_text("It says something else now.")
    assert find_checkpoint(named(folder)).revision == before


def of_temperature(temperature: float | None, folder: Path, copy: Path) -> Path:
    """A copy of the checkpoint with settings in its generation config."""
    generation = json.loads((shutil.copytree(folder, copy) / "generation_config.json").read_text())
    (copy / "generation_config.json").write_text(json.dumps({**generation, "temperature": temperature}))
    return copy


def test_sampling_that_is_not_given_is_the_checkpoints_own(checkpoint_of: Checkpoints, tmp_path: Path) -> None:
    """Bug: the temperature in the generation config was ignored."""
    checkpoint = find_checkpoint(named(of_temperature(0.25, checkpoint_of(TINY), tmp_path / "cool")))
    assert checkpoint.sampling(SamplingConfig()) == Sampling(True, 0.25, 50, 1.0)
    assert checkpoint.sampling(SamplingConfig(temperature=0.5, top_k=0)) == Sampling(True, 0.5, 0, 1.0)
    silent = find_checkpoint(named(of_temperature(None, checkpoint_of(TINY), tmp_path / "silent")))
    assert silent.sampling(SamplingConfig()) == Sampling()
    impossible = of_temperature(0.0, checkpoint_of(TINY), tmp_path / "impossible")
    with pytest.raises(ModelError, match=r"generation_config\.json.*temperature=0\.0"):
        find_checkpoint(named(impossible))
    generation = dataclasses.replace(checkpoint.generation, do_sample=False, temperature=0.0)
    greedy = dataclasses.replace(checkpoint, generation=generation)
    assert greedy.sampling(SamplingConfig()) == Sampling(do_sample=False)


@pytest.mark.parametrize("backend", ["engine", "reference"])
def test_clips_are_sampled_as_the_checkpoint_says(backend: str, checkpoint_of: Checkpoints, tmp_path: Path) -> None:
    """Bug: `build_synthesizer` used the schema's defaults instead of the checkpoint's settings."""
    folder, utterance = checkpoint_of(TINY), Utterance("Yes.", "A voice.", seed=3, bucket=Bucket(0, 0, 20, 1))

    def samples(folder: Path, **settings: object) -> np.ndarray:
        (clip,) = build_synthesizer(str(folder), backend=backend, device="cpu", **settings).generate([utterance])
        return clip.samples

    cool = samples(of_temperature(0.25, folder, tmp_path / "cool"))
    assert np.array_equal(cool, samples(folder, sampling=SamplingConfig(temperature=0.25)))
    assert not np.array_equal(cool, samples(folder))


def test_a_description_may_have_its_own_tokenizer(checkpoint_of: Checkpoints, tmp_path: Path) -> None:
    """Guards mini-v1.1 and the multilingual checkpoints, whose prompts and descriptions have different vocabularies."""
    folder = shutil.copytree(checkpoint_of(TINY), tmp_path / "two")
    own = tmp_path / "t5"
    own.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(folder / name, own)
    config = json.loads((folder / "config.json").read_text())
    config["vocab_size"] += 7
    weights = load_file(folder / "model.safetensors")
    weights["embed_prompts.weight"] = torch.zeros(config["vocab_size"], TINY.hidden)
    save_file(weights, folder / "model.safetensors")
    config["text_encoder"]["_name_or_path"] = str(own)
    (folder / "config.json").write_text(json.dumps(config))
    checkpoint = find_checkpoint(named(folder))
    assert checkpoint.description_tokenizer == own
    assert load_tokenizers(checkpoint).count_description("Jon") == 4
    config["text_encoder"]["_name_or_path"] = ""
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"model\.description_tokenizer="):
        find_checkpoint(named(folder))


def test_a_descriptions_tokenizer_may_be_as_large_as_the_prompts(checkpoint_of: Checkpoints, tmp_path: Path) -> None:
    """Bug: descriptions were silently encoded with the tokenizer of prompts, which has other ids."""
    folder = shutil.copytree(checkpoint_of(TINY), tmp_path / "alike")
    own = shutil.copytree(checkpoint_of(TINY), folder / "description_tokenizer")
    assert find_checkpoint(named(folder)).description_tokenizer == own


def test_what_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "mini-v1").mkdir()
    with pytest.raises(ModelError, match=r"mini-v2.*mini-v1"):
        find_checkpoint(named(tmp_path / "mini-v2"))
    with pytest.raises(ModelError, match=r"mini-v1.*config\.json"):
        find_checkpoint(named(tmp_path / "mini-v1"))
    config = tmp_path / "mini-v1" / "config.json"
    config.write_text("{")
    with pytest.raises(ModelError, match=r"config\.json.*JSON"):
        find_checkpoint(named(config.parent))
    config.write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(ModelError, match=r"llama.*parler_tts"):
        find_checkpoint(named(config.parent))


def test_weights_that_do_not_load_are_one_line(checkpoint_of: Checkpoints, tmp_path: Path) -> None:
    """Guards against a traceback for a damaged download."""
    folder = shutil.copytree(checkpoint_of(TINY), tmp_path / "broken")
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        build_synthesizer(str(folder), device="cpu")


def test_devices_and_precisions_that_are_not_there() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_dtype("auto", torch.device("cpu")) == torch.float32
    for device in ("cuda:99", "toaster"):
        with pytest.raises(ConfigError, match=f"engine.device={device}"):
            choose_device(device)
    with pytest.raises(ConfigError, match="flash-attn"):
        build_synthesizer("nowhere", **vars(EngineConfig(backend="reference", attention="flash_attention_2")))
