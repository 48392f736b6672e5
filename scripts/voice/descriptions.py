"""How a line is described to the decoder: who speaks and how fast, in the pipeline's own words and in others."""

from __future__ import annotations

import random

from pipeline.config import StyleConfig
from pipeline.voices import describe
from scripts.voice.manifest import Line

_PACES = {
    "slow": ("slow speed", "slow pace", "slowly", "very slowly", "very slow speed", "slightly slow pace"),
    "moderate": ("moderate speed", "moderate pace", "normal speed", "", "medium pace"),
    "fast": ("fast speed", "fast pace", "quickly", "very fast speed", "very fast", "slightly fast pace"),
}
_OTHER_WORDS = (  # they change nothing in the speech, and the decoder learns that
    ("slightly expressive and animated", "very expressive and animated", "monotone", "calm", ""),  # expressivity
    ("", "", "", "moderate pitch"),
    ("very close", "close", "quite close-sounding", ""),  # room
    ("very clear audio", "clear audio", "almost no noise", "excellent quality", ""),
)
_FREE = {
    "slow": ("{} speaks slowly.", "{} is speaking at a slow pace, with clear audio."),
    "moderate": ("{} speaks.", "{} is speaking at a moderate pace, with clear audio."),
    "fast": ("{} speaks fast.", "{} is speaking quickly, with clear audio."),
}


def default_description(line: Line) -> str:
    """The pipeline's description with its default words, but for the pace."""
    return describe(line.speaker, StyleConfig(pace=_PACES[line.pace][0]))


def any_description(line: Line, chance: random.Random) -> str:
    """One of the many ways to say it; the default one in two fifths of all cases."""
    kind = chance.random()
    if kind < 0.4:
        return default_description(line)
    if kind < 0.6:
        return chance.choice(_FREE[line.pace]).format(line.speaker)
    expressivity, pitch, room, quality = map(chance.choice, _OTHER_WORDS)
    pace = chance.choice(_PACES[line.pace])
    return describe(line.speaker, StyleConfig(expressivity, pace, pitch, room, quality))
