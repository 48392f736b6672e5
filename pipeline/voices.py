"""Who speaks, and the description that says so.

Owns the speaker catalogue, the wording of descriptions and the casting of every utterance. Loads no model: what a
checkpoint can do with a name is told by `ModelConfig` and by the similarities in `voices.csv`. These were published
with Parler-TTS v1: how alike a speaker stays from clip to clip, for the best 20 of each checkpoint.
"""

from __future__ import annotations

import csv
import re
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from itertools import accumulate

from pipeline.config import ModelConfig, StyleConfig, VoiceConfig
from pipeline.errors import ConfigError, nearest_first
from pipeline.seeds import content_fraction

_MOST_ROW_NAMES = 1000  # remembered for warnings: a column of a million names must not fill the memory
_COLUMN_SUFFIX = "_similarity"
_PACE_NOUNS = ("speed", "pace", "rate", "tempo", "delivery")
_RECORDING_NOUNS = ("audio", "sound", "quality", "noise", "reverberation", "echo")


@dataclass(frozen=True)
class Speaker:
    """A name that the checkpoints were trained on."""

    name: str
    similarity: Mapping[
        str, float
    ]  # by checkpoint column, 0 to 1; a checkpoint is missing where it is not among the 20


@dataclass(frozen=True)
class Voice:
    """The outcome of casting: what an utterance needs to know."""

    speaker: str | None
    description: str


@lru_cache(maxsize=1)
def catalogue() -> tuple[Speaker, ...]:
    """Returns the 34 speakers in the order of the table."""
    text = resources.files("pipeline").joinpath("voices.csv").read_text(encoding="utf-8")
    return tuple(
        Speaker(
            row["speaker"],
            {
                column.removesuffix(_COLUMN_SUFFIX): float(value)
                for column, value in row.items()
                if column.endswith(_COLUMN_SUFFIX) and value
            },
        )
        for row in csv.DictReader(text.splitlines())
    )


def describe(speaker: str | None, style: StyleConfig) -> str:
    """Says in one or two sentences how `speaker` sounds.

    The name comes first, which is what keeps a voice steady. The words are those of the descriptions that Parler-TTS
    was trained on (the bins of dataspeech), in any of their forms: "very slowly", "slightly fast", "moderate speed".
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
    """Makes a noun phrase: "very slowly" -> "a very slow delivery", "moderate speed" -> "a moderate speed"."""
    if not words:
        return ""
    if words.endswith(_PACE_NOUNS):
        return _article(words)
    return _article(f"{words.removesuffix('ly')} delivery")


def _pitch(words: str) -> str:
    """Makes a noun phrase of "very low", "very low-pitch", "very low-pitched" or "very low pitch"."""
    if not words:
        return ""
    level = re.sub(r"[- ]*pitch(ed)?$", "", words)
    return _article(f"{level} pitch".strip())


def _recording(room: str, quality: str) -> str:
    """Makes the predicate of "the recording ...": adjectives after "is", nouns after "has"."""
    phrases = [(_verb(words), words) for words in (room, quality) if words]
    if len(phrases) == 2 and phrases[0][0] == phrases[1][0]:
        return f"{phrases[0][0]} {room} and {quality}"
    return " and ".join(f"{verb} {words}" for verb, words in phrases)


def _verb(words: str) -> str:
    return "has" if words.endswith(_RECORDING_NOUNS) else "is"


class Casting:
    """Decides the voice of every utterance. Made once a run; refuses what cannot work before a model is loaded.

    `warnings` are lines for a person: choices that work, with a better one named.
    """

    warnings: tuple[str, ...]
    names: tuple[str, ...]  # the speakers that the config can draw, for reports and cards; empty: no named one

    def __init__(self, voice: VoiceConfig, model: ModelConfig) -> None:
        self._model = model
        self._known = {name.lower(): name for name in [speaker.name for speaker in catalogue()] + model.speakers}
        self._row_names: set[str] = set()
        self._description = voice.description.strip() if voice.description else None
        self._speakers, self._speaker_weights = self._choices(voice)
        self._styles = voice.styles or [voice.style]
        self._describe = lru_cache(maxsize=1024)(lambda name, style: describe(name, self._styles[style]))
        self._style_weights = list(accumulate(style.weight for style in self._styles))
        self.names = tuple(dict.fromkeys(name for name in self._speakers if name))
        self.warnings = (*self._general_warnings(voice), *filter(None, map(self._warning, self.names)))

    def cast(
        self, source_id: str, text: str, run_seed: int, speaker: str | None = None, description: str | None = None
    ) -> Voice:
        """Returns the voice of one utterance.

        A row's own `description` or `speaker` wins, then the config's free description, then a draw from its lists. The
        draw depends on nothing but `run_seed`, `source_id` and `text`, so that order and neighbours do not matter.
        """
        own_speaker = self._canonical(speaker) if speaker and speaker.strip() else None
        if own_speaker and len(self._row_names) < _MOST_ROW_NAMES:
            self._row_names.add(own_speaker)
        if description and description.strip():
            return Voice(own_speaker, description)
        if self._description and not own_speaker:
            return Voice(None, self._description)
        style = _draw(self._style_weights, "style", run_seed, source_id, text)
        name = own_speaker or self._speakers[_draw(self._speaker_weights, "speaker", run_seed, source_id, text)]
        return Voice(name, self._describe(name, style))

    def row_warnings(self) -> tuple[str, ...]:
        """What speaks against the speakers that rows have named so far; the config's own are in `warnings`."""
        return tuple(filter(None, (self._row_warning(name) for name in sorted(self._row_names - set(self.names)))))

    def _row_warning(self, name: str) -> str | None:
        if name.lower() in self._known:
            return self._warning(name)
        nearest = ", ".join(nearest_first(name, self._model.speakers or self._known.values(), limit=3))
        return f"voice {name}: no checkpoint is known to know this name; nearest are {nearest}"

    def _choices(self, voice: VoiceConfig) -> tuple[list[str | None], list[float]]:
        """Returns the speakers to draw from, in the catalogue's spelling, and their cumulative weights."""
        if self._description:
            return [None], [1.0]
        if not voice.speakers:
            return [self._checked("voice.speaker", voice.speaker) if voice.speaker else None], [1.0]
        names: list[str | None] = [
            self._checked(f"voice.speakers[{index}].speaker", choice.speaker)
            for index, choice in enumerate(voice.speakers)
        ]
        if self._model.speakers and not set(names) & set(self._model.speakers):
            return [*self._model.speakers], list(accumulate(1.0 for _ in self._model.speakers))
        return names, list(accumulate(choice.weight for choice in voice.speakers))

    def _canonical(self, name: str) -> str:
        return self._known.get(name.strip().lower(), name.strip())

    def _checked(self, key: str, name: str) -> str:
        if name.strip().lower() in self._known:
            return self._canonical(name)
        nearest = ", ".join(nearest_first(name, self._known.values(), limit=5))
        raise ConfigError(
            f"{key}={name}: there is no such speaker. Nearest: {nearest}. "
            "Name one of them, add it to model.speakers if your checkpoint knows it, or give voice.description"
        )

    def _general_warnings(self, voice: VoiceConfig) -> list[str]:
        warnings = []
        if self._description:
            unused = [key for key in ("speakers", "styles") if getattr(voice, key)]
            warnings += [f"voice.{key} is not used, because voice.description is set" for key in unused]
            named = self._known.get(re.split(r"\W", self._description)[0].lower())
            speakers = self._model.speakers
            if speakers and named not in speakers:
                warnings.append(
                    f"voice.description does not open with a name that model={self._model.name} knows, and which voice "
                    f'is heard is left to chance. It knows {", ".join(speakers)}: "{speakers[0]}\'s voice is ..."'
                )
            elif named is None:
                warnings.append(
                    "voice.description does not open with the name of a speaker: every clip may have another voice. "
                    'A name keeps it steady, e.g. "Jon\'s voice is ..."'
                )
        elif voice.speakers and not set(self._speakers) & {self._canonical(each.speaker) for each in voice.speakers}:
            warnings.append(
                f"voice.speakers: model={self._model.name} knows none of these names; its own are drawn: "
                f"{', '.join(self._model.speakers)}"
            )
        elif None in self._speakers:
            warnings.append(
                "voice.speaker is empty: every clip may have another voice. A name keeps it steady, e.g. voice=jon"
            )
        return warnings

    def _warning(self, name: str) -> str | None:
        """What speaks against `name` for this checkpoint, if anything is known."""
        model = self._model
        if model.speakers and name not in model.speakers:
            nearest = ", ".join(nearest_first(name, model.speakers, limit=3))
            return f"voice {name}: model={model.name} was not trained on this name. It knows, for example, {nearest}"
        ranking = _ranking(model.similarity)
        if not ranking or name in ranking:
            return None
        best = ", ".join(f"{other} ({ranking[other]:.3f})" for other in list(ranking)[:3])
        return (
            f"voice {name}: not among the {len(ranking)} names that model={model.name} keeps steady from clip to clip. "
            f"The best are {best}"
        )


def _ranking(column: str | None) -> dict[str, float]:
    """Returns the published names of a checkpoint with their similarity, the most alike first."""
    if column is None:
        return {}
    columns = sorted({name for speaker in catalogue() for name in speaker.similarity})
    if column not in columns:
        nearest = ", ".join(nearest_first(column, columns))
        raise ConfigError(f"model.similarity={column}: the speaker catalogue has no such column. It has {nearest}")
    ranked = [(speaker.similarity[column], speaker.name) for speaker in catalogue() if column in speaker.similarity]
    return {name: similarity for similarity, name in sorted(ranked, reverse=True)}


def _draw(cumulative: Sequence[float], *content: str | int) -> int:
    """Returns an index, drawn by the hash of `content` with the chances that the cumulative weights give."""
    if len(cumulative) == 1:
        return 0
    return bisect(cumulative, content_fraction(*content) * cumulative[-1], hi=len(cumulative) - 1)
