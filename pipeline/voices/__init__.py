"""Voices: who speaks, and the description that says so. Loads no model and imports no torch.

`catalogue` reads what a checkpoint's speakers and languages are, `casting` chooses a voice for every utterance,
`description` words it, `listing` prints what can be chosen.
"""

from __future__ import annotations

from pipeline.config.checks import is_description
from pipeline.voices.casting import Casting, Voice, resolve_voice, speaker_names
from pipeline.voices.catalogue import Catalogue, Speaker, find_catalogue, load_catalogue, read_catalogue
from pipeline.voices.description import describe
from pipeline.voices.languages import language_code, language_name

__all__ = [
    "Casting",
    "Catalogue",
    "Speaker",
    "Voice",
    "describe",
    "find_catalogue",
    "is_description",
    "language_code",
    "language_name",
    "load_catalogue",
    "read_catalogue",
    "resolve_voice",
    "speaker_names",
]
