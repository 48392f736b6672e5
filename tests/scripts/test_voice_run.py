"""The training of a voice as a whole: its stages, how it resumes, and the checkpoint in the end."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from voice_cases import ARGUMENTS, HOP

from pipeline.synthesis import build_synthesizer
from pipeline.types import Utterance as Request
from scripts.voice import checkpoints, codec_decoder
from scripts.voice.__main__ import main
from scripts.voice.manifest import read_lines
from scripts.voice.muon import Muon, orthogonalized
from scripts.voice.recipe import TINY
from scripts.voice.sentences import choose_lines
from scripts.voice.trainer import Training, prepared


def test_recipe_ends_in_a_checkpoint_that_generates(voice_folder: Path) -> None:
    """Bug: a stage that hands the next one what it cannot read, or a folder that only our own code could load."""
    synthesizer = build_synthesizer(str(voice_folder / "model"), device="cpu", batch_size=2)
    clips = list(synthesizer.generate([Request("Hello.", "Tone speaks."), Request("Good bye, all.", "Tone speaks.")]))
    assert len(clips) == 2
    for clip in clips:
        assert np.isfinite(clip.samples).all()
        assert len(clip.samples) == clip.num_frames * HOP > 0
    assert re.search(r"\bcodec\b.*\b4\b.*\b4\b", (voice_folder / "model" / "README.md").read_text())


def test_plain_upstream_loads_the_checkpoint(voice_folder: Path) -> None:
    """Bug: weights under names that upstream does not know, which it would silently replace by random ones."""
    from pipeline.synthesis.upstream import ParlerTTSForConditionalGeneration

    _, report = ParlerTTSForConditionalGeneration.from_pretrained(voice_folder / "model", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]


def test_a_finished_folder_is_left_alone(voice_folder: Path) -> None:
    """Bug: a second call renders or trains again what is already there."""
    before = {path: path.stat().st_mtime_ns for path in voice_folder.rglob("*.npy")}
    assert main([str(voice_folder), *ARGUMENTS, "--stages", "text", "speech", "codes", "decoder"]) == 0
    assert {path: path.stat().st_mtime_ns for path in voice_folder.rglob("*.npy")} == before
    assert checkpoints.load(voice_folder / "decoder")["step"] == TINY.decoder.steps


def test_another_recipe_is_refused(voice_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bug: codes of one quantizer mixed with those of another."""
    assert main([str(voice_folder), "--preset", "cpu", "--stages", "speech"]) == 2
    assert str(voice_folder) in capsys.readouterr().err


def test_held_out_sentences_are_not_trained_on(voice_folder: Path) -> None:
    """Bug: a word error rate measured on sentences that the voice knows by heart."""
    held_out, train = (read_lines(voice_folder / "text" / f"{part}.jsonl") for part in ("held_out", "train"))
    assert len(held_out) == TINY.speech.held_out
    assert not {line.text for line in held_out} & {line.text for line in train}


def test_all_speakers_are_judged_alike(tmp_path: Path) -> None:
    """Bug: figures of the one speaker who has nearly all of the lines."""
    choose_lines(tmp_path, tmp_path, replace(TINY.speech, held_out=6), {"Often": 0.99, "Once": 0.01}, seed=0)
    held_out, counted = (read_lines(tmp_path / f"{part}.jsonl") for part in ("held_out", "counted"))
    assert [line.speaker for line in held_out] == ["Often", "Once"] * 3
    assert [line.speaker for line in counted] == ["Often", "Once"] * 2


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


def test_a_new_folder_goes_on_from_a_checkpoint(voice_folder: Path, tmp_path: Path) -> None:
    """Bug: a voice that cannot be trained further from the repository alone: other codes, or new weights."""
    arguments = [str(tmp_path / "new"), *ARGUMENTS, "--texts", str(tmp_path), "--start", str(voice_folder / "model")]
    assert main([*arguments, "--stages", "text", "speech", "codes", "export"]) == 0
    for name in ("quantizer/000.safetensors", "lexicon.json"):
        assert (tmp_path / "new" / name).read_bytes() == (voice_folder / name).read_bytes()
    before, after = (load_file(path / "model" / "model.safetensors") for path in (voice_folder, tmp_path / "new"))
    for name, tensor in before.items():
        torch.testing.assert_close(tensor, after[name], rtol=0, atol=0)


def test_what_goes_on_is_judged_from_the_first_step_at_the_rate_that_is_asked_for(
    voice_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: a voice that is made worse by the first minutes of further training."""
    seen: list[tuple[int, float]] = []
    monkeypatch.setattr(
        codec_decoder,
        "train_codec_decoder",
        lambda training, _, recipe, *__: seen.append((recipe.codec.adversarial_from, training.learning_rate)),
    )
    arguments = [str(tmp_path / "new"), *ARGUMENTS, "--texts", str(tmp_path)]
    stages = ["--stages", "text", "speech", "codes", "codec"]
    assert main([*arguments, *stages, "--start", str(voice_folder / "model"), "--rate", "0.5"]) == 0
    assert seen == [(0, pytest.approx(0.5 * TINY.codec.learning_rate))]


def test_the_end_weighs_more_in_the_checkpoint(voice_folder: Path) -> None:
    """Bug: a voice that talks on into the limit, since an end that was only likely was not drawn."""
    state = checkpoints.load(voice_folder / "decoder")
    name, end = "decoder.lm_heads.0.weight", TINY.codec.codebook_size
    trained = dict(zip(state["model"], state["average"], strict=True))[name]
    exported = load_file(voice_folder / "model" / "model.safetensors")[name].float()
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
    voice_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Bug: hours of speech rendered and coded for a checkpoint that does not fit."""
    arguments = [str(tmp_path / "new"), "--preset", preset, "--teacher", "tones", "--start", str(voice_folder / start)]
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
