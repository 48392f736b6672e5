"""Helpers of the engine's tests: the cases of `scripts.cases`, and comparisons of clips."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import cast

import numpy as np

from pipeline.synthesis import build_synthesizer
from pipeline.synthesis.engine.engine import EngineSynthesizer
from pipeline.types import Clip
from scripts.cases import TINY, VARIANTS, random_utterances

__all__ = ["TINY", "VARIANTS", "assert_same", "by_id", "engine", "random_utterances"]


def engine(folder: Path, **settings: object) -> EngineSynthesizer:
    return cast(EngineSynthesizer, build_synthesizer(str(folder), backend="engine", device="cpu", **settings))


def by_id(clips: Iterable[Clip]) -> dict[str, Clip]:
    return {clip.utterance.id: clip for clip in clips}


def assert_same(clips: dict[str, Clip], expected: dict[str, Clip], tolerance: float = 0.0) -> None:
    """Assert that clips have the same length, end and samples."""
    assert clips.keys() == expected.keys()
    for key, clip in clips.items():
        assert (clip.num_frames, clip.finish) == (expected[key].num_frames, expected[key].finish), key
        np.testing.assert_allclose(clip.samples, expected[key].samples, rtol=0, atol=tolerance, err_msg=key)
