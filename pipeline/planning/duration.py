"""Predict the duration of spoken text.

The prediction adds a time for each character, which depends on its script, and a time for each punctuation mark between
words. It does not depend on the voice or the language. A longer text never has a shorter prediction.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from pipeline.config import BookConfig
from pipeline.types import Boundary

# Fitted to synthetic narration of a novel (136 clips), then slowed by 10 % to the pace of recorded audiobooks:
# LJ Speech (24 hours) has 15.2 characters per second, and its clips of 100 characters last 6.6 s.
_EDGE_SECONDS = 0.3  # silence at both ends of a clip
_LETTER_SECONDS = 0.074  # letter of an alphabet
_FIGURE_SECONDS = 0.3  # digit or symbol that is read aloud, usually as a word
_MARK_SECONDS = 0.03  # combining mark, for example a vowel sign in Indic scripts

# Scripts whose characters take longer than a letter. Keys are the first word of the Unicode name of a character.
_SCRIPT_SECONDS = {
    "CJK": 0.22,  # a syllable
    "HANGUL": 0.17,  # a syllable
    "HIRAGANA": 0.13,  # a mora
    "KATAKANA": 0.13,
    "ARABIC": 0.085,  # short vowels are not written
    "HEBREW": 0.085,
    "DEVANAGARI": 0.085,  # a consonant with its vowel; the same for the scripts below
    "BENGALI": 0.085,
    "GURMUKHI": 0.085,
    "GUJARATI": 0.085,
    "ORIYA": 0.085,
    "TAMIL": 0.085,
    "TELUGU": 0.085,
    "KANNADA": 0.085,
    "MALAYALAM": 0.085,
    "SINHALA": 0.085,
    "THAI": 0.085,
}

_SENTENCE_PAUSE_SECONDS = 0.55
_CLAUSE_PAUSE_SECONDS = 0.2
# Only punctuation between words adds a pause; there is none after the last word.
_SENTENCE_END = re.compile(r"[.!?\u2026\u0964\u0965\u061f]['\"\u2019\u201d)\]]*\s+(?=\S)|[\u3002\uff01\uff1f]+(?=\w)")
_CLAUSE_END = re.compile(r"[,;:\u060c\u061b]\s+(?=\S)|[\u2013\u2014\u3001\uff0c\uff1b\uff1a]\s*(?=\w)")
_ASCII_ENDS = (re.compile(r"[.!?]['\")\]]*\s+(?=\S)"), re.compile(r"[,;:]\s+(?=\S)"))  # the same for ASCII, faster


def predict_seconds(prompt: str) -> float:
    """Return the predicted duration in seconds of a text in spoken form; 0 if there is nothing to speak."""
    spoken = _ascii_seconds(prompt) if prompt.isascii() else sum(map(_character_seconds, prompt))
    if spoken == 0:
        return 0.0
    sentence_end, clause_end = _ASCII_ENDS if prompt.isascii() else (_SENTENCE_END, _CLAUSE_END)
    pauses = _SENTENCE_PAUSE_SECONDS * len(sentence_end.findall(prompt))
    pauses += _CLAUSE_PAUSE_SECONDS * len(clause_end.findall(prompt))
    return round(_EDGE_SECONDS + spoken + pauses, 2)


_SILENT = bytes(code for code in range(128) if not chr(code).isalnum() and chr(code) not in "%&@$+<=>|~")
_LETTERS = bytes(code for code in range(128) if chr(code).isalpha())


def _ascii_seconds(prompt: str) -> float:
    """Return the sum of `_character_seconds` for ASCII text, up to an error that is removed by rounding."""
    said = prompt.encode("ascii").translate(None, _SILENT)
    num_figures = len(said.translate(None, _LETTERS))
    return (len(said) - num_figures) * _LETTER_SECONDS + num_figures * _FIGURE_SECONDS


@lru_cache(maxsize=65536)
def _character_seconds(character: str) -> float:
    category = unicodedata.category(character)
    if category[0] == "M":
        return _MARK_SECONDS
    if category[0] == "N" or category in ("Sc", "Sm") or character in "%&@":
        return _FIGURE_SECONDS
    if category[0] == "L":
        script = unicodedata.name(character, "").split(" ")[0]
        return _SCRIPT_SECONDS.get(script, _LETTER_SECONDS)
    return 0.0


def pause_seconds(boundary: Boundary, config: BookConfig) -> float:
    """Return the pause in seconds between a clip with this boundary and the next clip."""
    return {
        Boundary.NONE: 0.0,
        Boundary.CLAUSE: config.clause_pause,
        Boundary.SENTENCE: config.sentence_pause,
        Boundary.HEADING: config.heading_pause,
        Boundary.PARAGRAPH: config.paragraph_pause,
        Boundary.SCENE: config.scene_pause,
        Boundary.CHAPTER: config.chapter_pause,
    }[boundary]
