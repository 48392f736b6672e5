"""Guards what a run hands to its book: clips in reading order, and the places of those that there are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeSynthesizer, loader_of, speak

from pipeline.__main__ import main
from pipeline.outputs.audiobook.from_run import book_clips
from pipeline.types import Boundary, Clip, Utterance

BOOK = """\
The lamp went out, and then the lamp was lit once more.

The wick was mute.

* * *

The oil was cheap, and it burned for the whole of the night.
"""


def speak_but_for_the_mute(utterance: Utterance) -> Clip:
    clip = speak(utterance)
    return replace(clip, samples=np.zeros_like(clip.samples)) if "mute" in utterance.prompt else clip


@pytest.mark.parametrize("shard_size", [1, 3])  # 1: the reject's shard has no file
@pytest.mark.parametrize("opening", ["", "A mute opening.\n\n"])  # a reject before every clip
def test_a_reject_leaves_its_boundary_behind(shard_size: int, opening: str, tmp_path: Path) -> None:
    """Bug: the last sentence of a scene is rejected, and the next scene follows as if it were the next sentence."""
    synthesizer = FakeSynthesizer(speak_but_for_the_mute)
    book = tmp_path / "book.txt"
    book.write_text(opening + BOOK, encoding="utf-8")
    options = [f"planning.shard_size={shard_size}", f"output_dir={tmp_path}", "name=run", "text.min_seconds=0"]
    assert main([f"input={book}", *options], loader_of(lambda *_, **__: synthesizer)) == 0
    clips = list(book_clips(tmp_path / "run"))
    assert [(clip.text.split()[1], clip.boundary, len(clip.samples) > 0) for clip in clips] == [
        ("lamp", Boundary.PARAGRAPH, True),
        ("wick", Boundary.SCENE, False),
        ("oil", Boundary.CHAPTER, True),
    ]
