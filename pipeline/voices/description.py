"""Descriptions for Parler-TTS, written from the name of a speaker and a style."""

from __future__ import annotations

import re

from pipeline.config import StyleConfig

_PACE_NOUNS = ("speed", "pace", "rate", "tempo", "delivery")
_RECORDING_NOUNS = ("audio", "sound", "quality", "noise", "reverberation", "echo")


def describe(speaker: str | None, style: StyleConfig) -> str:
    """Return a description of one or two sentences.

    The name comes first, because that makes a voice consistent between clips. Styles use the words of the descriptions
    that Parler-TTS was trained with (the bins of dataspeech) in any form: "very slowly", "slightly fast".

    Args:
        speaker: Name of the speaker; None: no name.
        style: Words for each property.
    """
    voice = f"{speaker}'s voice" if speaker else "A speaker's voice"
    manner = _clean(style.expressivity)
    traits = " and ".join(trait for trait in (_pace(_clean(style.pace)), _pitch(_clean(style.pitch))) if trait)
    recording = _recording(_clean(style.room), _clean(style.quality))
    if manner:
        first = f"{voice} is {manner}, with {traits}" if traits else f"{voice} is {manner}"
    elif traits:
        first = f"{voice} has {traits}"
    else:
        return f"{voice} is heard in a recording that {recording}." if recording else f"{voice} is heard."
    return f"{first}. The recording {recording}." if recording else f"{first}."


def _clean(words: str) -> str:
    return " ".join(words.split()).strip(" .,;")


def _article(words: str) -> str:
    if words.startswith(("a ", "an ", "the ", "no ")):
        return words
    return f"{'an' if words[0].lower() in 'aeiou' else 'a'} {words}"


def _pace(words: str) -> str:
    """Return a noun phrase: "very slowly" -> "a very slow delivery", "moderate speed" -> "a moderate speed"."""
    if not words:
        return ""
    if words.endswith(_PACE_NOUNS):
        return _article(words)
    return _article(f"{words.removesuffix('ly')} delivery")


def _pitch(words: str) -> str:
    """Return a noun phrase for "very low", "very low-pitch", "very low-pitched" or "very low pitch"."""
    if not words:
        return ""
    level = re.sub(r"[- ]*pitch(ed)?$", "", words)
    return _article(f"{level} pitch".strip())


def _recording(room: str, quality: str) -> str:
    """Return the predicate of "The recording ...": adjectives after "is", nouns after "has"."""
    phrases = [(_verb(words), words) for words in (room, quality) if words]
    if len(phrases) == 2 and phrases[0][0] == phrases[1][0]:
        return f"{phrases[0][0]} {room} and {quality}"
    return " and ".join(f"{verb} {words}" for verb, words in phrases)


def _verb(words: str) -> str:
    return "has" if words.endswith(_RECORDING_NOUNS) else "is"
