"""Voices: the speaker of each utterance, and the description of how the speaker sounds.

`catalogue` reads the speakers and languages of a checkpoint, `casting` chooses the voice of each utterance,
`description` writes its description, and `listing` prints the voices of a model. Nothing here loads a model or imports
torch.
"""

from __future__ import annotations

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
    "language_code",
    "language_name",
    "load_catalogue",
    "read_catalogue",
    "resolve_voice",
    "speaker_names",
]
