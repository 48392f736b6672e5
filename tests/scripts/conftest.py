"""A voice made by all stages, for the tests of its training."""

from __future__ import annotations

from pathlib import Path

import pytest
from voice_cases import ARGUMENTS, HOP

from scripts.voice.__main__ import STAGES, main
from scripts.voice.codec import read_codes
from scripts.voice.decoder import Example
from scripts.voice.decoder_training import examples_of
from scripts.voice.speech import shards


@pytest.fixture(scope="session")
def voice_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A voice made by all stages but the last, which needs an ASR."""
    folder = tmp_path_factory.mktemp("voice")
    texts = tmp_path_factory.mktemp("texts")
    (texts / "book.txt").write_text("Chapter 1\n\nIt was late. Nobody spoke, and the lamp went out.\n")
    assert main([str(folder), *ARGUMENTS, "--texts", str(texts), "--stages", *STAGES[:-1]]) == 0
    return folder


@pytest.fixture(scope="session")
def examples(voice_folder: Path) -> list[Example]:
    speech = shards(voice_folder / "speech", "train")
    return examples_of(speech, read_codes(voice_folder / "codes", speech), HOP)
