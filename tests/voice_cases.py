"""A small voice: what the tests of its training share."""

from __future__ import annotations

from scripts.voice.recipe import TINY

HOP = TINY.codec.hop
ARGUMENTS = ["--preset", "tiny", "--teacher", "tones", "--processes", "1", "--device", "cpu"]
