"""Shared fixtures: small untrained checkpoints, made once for each shape, and a fake model for whole runs."""

from __future__ import annotations

import os
import signal
import tempfile
from functools import partial
from pathlib import Path

import pytest

# Before huggingface_hub is imported, which reads it once: tests share no cache with the person who runs them.
_HOME = tempfile.TemporaryDirectory(prefix="parler-tests-")
os.environ["HF_HOME"] = _HOME.name

import torch
from fakes import Checkpoints, FakeModel

from pipeline.synthesis.untrained import UntrainedShape, make_untrained

torch.set_num_threads(1)  # these models are too small to share, and threads that wait for each other cost most
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so a shell starts what it runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def checkpoint_of(tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    """Gives the folder of an untrained checkpoint of a shape."""
    made: dict[UntrainedShape, Path] = {}

    def folder(shape: UntrainedShape) -> Path:
        if shape not in made:
            made[shape] = make_untrained(tmp_path_factory.mktemp("checkpoint"), shape)
        return made[shape]

    return folder


@pytest.fixture
def small_hub_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes upstream's own codec wrapper narrow: at its only published width it has 75 million weights."""
    from parler_tts.dac_wrapper import modeling_dac

    monkeypatch.setattr(modeling_dac, "DAC", partial(modeling_dac.DAC, encoder_dim=4, decoder_dim=64))


@pytest.fixture
def fake_model() -> FakeModel:
    """A model for `fake_model.main(arguments)`."""
    return FakeModel()
