"""Choice of the voice of each utterance, and validation of names.

`resolve_voice` replaces `auto` and `varied` in the voice settings by names of the checkpoint; a run freezes the result.
`Casting` chooses the voice of each utterance from them.
"""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING

from pipeline.config import (
    DEFAULT_LANGUAGE,
    SPEAKER_AUTO,
    SPEAKER_VARIED,
    ModelConfig,
    SpeakerChoice,
    StyleConfig,
    VoiceConfig,
)
from pipeline.errors import ConfigError
from pipeline.seeds import content_fraction
from pipeline.voices.advice import (
    drift_warning,
    language_warnings,
    list_command,
    listed,
    mismatch_warnings,
    names_not_known,
    unknown_name,
    unnamed_warnings,
)
from pipeline.voices.balance import BalancedDraw
from pipeline.voices.catalogue import SPEAKER_FIELD, Catalogue, find_catalogue, load_catalogue
from pipeline.voices.description import describe
from pipeline.voices.languages import language_code

if TYPE_CHECKING:
    from pipeline.types import Document, Segment  # imports numpy, which would make `--voices` slow

_MAX_ROW_NAMES = 1000  # limit of memory, for a column of a million names


@dataclass(frozen=True)
class Voice:
    """The voice of an utterance."""

    speaker: str | None
    description: str


def resolve_voice(voice: VoiceConfig, model: ModelConfig, catalogue: Catalogue, language: str) -> VoiceConfig:
    """Return the voice settings with names of speakers in place of `auto` and `varied`.

    Args:
        voice: Settings as composed.
        model: The model, for messages.
        catalogue: Its catalogue.
        language: Code of the text's language, which `auto` and `varied` depend on.

    Raises:
        ConfigError: The checkpoint does not know a name.
    """
    description = (voice.description or "").strip() or None
    speaker = (voice.speaker or "").strip() or None
    named = catalogue.find(description) if description else None
    if named:  # voice="Mary Ann" is composed as a description
        description, speaker = None, named.name
    speakers = voice.speakers if description else _speakers_to_draw(voice, model, catalogue, language)
    if speaker == SPEAKER_VARIED:
        speaker = None
    elif speaker == SPEAKER_AUTO:
        default = catalogue.default_speaker(language)
        speaker = default.name if default else None
        if not (description or speakers or voice.styles) and voice.style == StyleConfig():
            description = _default_description(catalogue, language)
    elif speaker and not description:
        if not speakers:
            _check("voice", speaker, model, catalogue)
        speaker = _spelling(speaker, catalogue)
    return replace(voice, speaker=speaker, description=description, speakers=speakers)


def speaker_names(voice: VoiceConfig, catalogue: Catalogue) -> tuple[str, ...]:
    """Return the speakers that resolved settings can choose; empty if no speaker is named."""
    if voice.description:
        return ()
    names = [choice.speaker for choice in voice.speakers] or [voice.speaker or ""]
    return tuple(dict.fromkeys(_spelling(name, catalogue) for name in names if name))


class Casting:
    """Choice of the voice of each utterance of a run. It is created before a model is loaded.

    Args:
        voice: Settings as composed.
        model: The model.
        catalogue: Its catalogue; None: find it.
        language: Language of the text.

    Attributes:
        voice: Settings as resolved, which a run freezes.
        names: Speakers that can be chosen, for reports and cards; empty if no speaker is named.
        warnings: Messages about settings that work badly, each with a better choice.

    Raises:
        ConfigError: The checkpoint does not know a name, or `voice.balance` has nothing to balance.
    """

    def __init__(
        self,
        voice: VoiceConfig,
        model: ModelConfig,
        catalogue: Catalogue | None = None,
        language: str = DEFAULT_LANGUAGE,
    ) -> None:
        self._model = model
        self.catalogue = find_catalogue(model) if catalogue is None else catalogue
        self._language = language_code(language)
        self.voice = resolve_voice(voice, model, self.catalogue, self._language)
        self.names = speaker_names(self.voice, self.catalogue)
        choices = self.voice.speakers
        self._speakers: list[str | None] = [_spelling(choice.speaker, self.catalogue) for choice in choices]
        self._speakers = self._speakers or [self.voice.speaker]
        self._speaker_weights = list(accumulate(choice.weight for choice in choices)) or [1.0]
        self._styles = voice.styles or [voice.style]
        self._describe = lru_cache(maxsize=1024)(lambda name, style: describe(name, self._styles[style]))
        self._style_weights = list(accumulate(style.weight for style in self._styles))
        self._balanced: BalancedDraw | None = None
        self._row_names: Counter[str] = Counter()
        self._last_row = ("", "")
        self.warnings = self._warnings(voice)
        if voice.balance:
            _check_balance(self.voice, self._speakers)

    def cast(
        self, source_id: str, text: str, run_seed: int, speaker: str | None = None, description: str | None = None
    ) -> Voice:
        """Return the voice of one utterance.

        In order of precedence: `description` or `speaker` of the row, `voice.description`, a random choice from
        `voice.speakers` and `voice.styles`. The choice depends on `run_seed`, `source_id` and `text` only, not on the
        order of utterances.

        Args:
            source_id: Id of the document.
            text: Source text of the segment.
            run_seed: Seed of the run.
            speaker: Speaker of the row, if it names one.
            description: Description of the row, if it has one.
        """
        own_speaker = _spelling(speaker, self.catalogue) if speaker and speaker.strip() else None
        if own_speaker:
            self._count_row(own_speaker, source_id)
        if description and description.strip():
            return Voice(own_speaker, description)
        if self.voice.description and not own_speaker:
            return Voice(None, self.voice.description)
        style = _draw(self._style_weights, "style", run_seed, source_id, text)
        name = own_speaker or self._speakers[_draw(self._speaker_weights, "speaker", run_seed, source_id, text)]
        return Voice(name, self._describe(name, style))

    def begin_plan(self, shard_size: int) -> None:
        """Reset the state of `voice.balance`, before the first utterance of a plan.

        Args:
            shard_size: Utterances of a shard; speakers are balanced in each shard.
        """
        self._balanced = BalancedDraw(len(self._speakers), shard_size) if self.voice.balance else None

    def cast_next(self, document: Document, segment: Segment, drawn_by: str, run_seed: int) -> Voice:
        """Return the voice of the next utterance of a plan: by position with `voice.balance`, else like `cast`.

        Args:
            document: The document of the segment; a row may name its own voice.
            segment: The segment.
            drawn_by: Id that random choices depend on.
            run_seed: Seed of the run.
        """
        speaker = document.speaker
        if self._balanced:
            names_voice = (speaker and speaker.strip()) or (document.description and document.description.strip())
            if not (names_voice or segment.problem):
                speaker = self._speakers[self._balanced.draw(run_seed, document.split)]
            self._balanced.end_utterance(document.split)
        return self.cast(drawn_by, segment.text, run_seed, speaker, document.description)

    @property
    def spoken_by(self) -> str:
        """Name or description of the voice, for messages."""
        return f'"{self.voice.description}"' if self.voice.description else listed(self.names) or "no named speaker"

    def row_warnings(self) -> tuple[str, ...]:
        """Return warnings about speakers that rows have named so far; `warnings` has those about the settings."""
        rows = {name: count for name, count in sorted(self._row_names.items()) if name not in self.names}
        if self.catalogue.speakers is None:
            not_known = names_not_known(self._model)
            return (not_known,) if rows and not_known not in self.warnings else ()
        lines = []
        for name, count in rows.items():
            where = f"{count:,} row{'' if count == 1 else 's'}"
            if self.catalogue.find(name) is None:
                problems = [f"voice {name}: {unknown_name(name, self._model, self.catalogue)}"]
            else:
                problems = self._speaker_warnings([name])
            lines += [f"{problem} (named by {where})" for problem in problems]
        return tuple(lines)

    def _count_row(self, name: str, source_id: str) -> None:
        """Count rows that name a speaker, not their segments."""
        is_new = (name, source_id) != self._last_row
        self._last_row = (name, source_id)
        if is_new and (name in self._row_names or len(self._row_names) < _MAX_ROW_NAMES):
            self._row_names[name] += 1

    def _speaker_warnings(self, names: Sequence[str]) -> list[str]:
        drifting = [drift_warning(name, self._model, self.catalogue) for name in names]
        return [*mismatch_warnings(names, self.catalogue, self._language), *filter(None, drifting)]

    def _warnings(self, asked: VoiceConfig) -> tuple[str, ...]:
        model, catalogue, voice = self._model, self.catalogue, self.voice
        warnings = []
        if voice.description:
            unused = [key for key in ("speakers", "styles") if getattr(asked, key)]
            warnings += [f"voice.{key} is not used, because voice.description is set" for key in unused]
        if self.names and catalogue.speakers is None:
            warnings.append(names_not_known(model))
        is_default = voice.description and voice.description == _default_description(catalogue, self._language)
        if not self.names and not is_default:
            warnings += unnamed_warnings(voice, model, catalogue)
        unknown = [each.speaker for each in asked.speakers if catalogue.find(each.speaker) is None]
        if self.names and catalogue.speakers and unknown and len(unknown) < len(asked.speakers):
            warnings.append(f"voice.speakers: model={model.name} does not know {listed(unknown)}; the others are used")
        return (*warnings, *language_warnings(model, catalogue, self._language), *self._speaker_warnings(self.names))


def _default_description(catalogue: Catalogue, language: str) -> str | None:
    """Return the catalogue's description for settings without a voice."""
    speaker = catalogue.default_speaker(language)
    return catalogue.description and catalogue.description.replace(SPEAKER_FIELD, speaker.name if speaker else "")


def _speakers_to_draw(
    voice: VoiceConfig, model: ModelConfig, catalogue: Catalogue, language: str
) -> list[SpeakerChoice]:
    """Return the speakers to choose from.

    With `voice=varied`, these are the speakers of its list that the checkpoint knows; if it knows none, all speakers of
    the checkpoint for the language of the text. In any other list, each name has to be known.
    """
    if voice.speaker == SPEAKER_VARIED and catalogue.speakers is not None:
        known = [choice for choice in voice.speakers if catalogue.find(choice.speaker)]
        own = catalogue.speakers_of(language) or catalogue.speakers
        return known or [SpeakerChoice(speaker.name) for speaker in own]
    for index, choice in enumerate(voice.speakers):
        _check(f"voice.speakers[{index}].speaker", choice.speaker, model, catalogue)
    return voice.speakers  # as typed: the frozen config of a run is compared with it


def _check_balance(voice: VoiceConfig, speakers: Sequence[str | None]) -> None:
    """Refuse `voice.balance` with fewer than two speakers, with weights, or with repeated names."""
    if voice.description or len(voice.speakers) < 2:
        raise ConfigError(
            "voice.balance=true: needs several speakers: voice=varied, or voice.speakers=[{speaker:Jon},{speaker:Lea}]"
        )
    twice = [str(name) for name, count in Counter(speakers).items() if count > 1]
    if twice:
        raise ConfigError(f"voice.balance=true: voice.speakers contains {listed(twice)} more than once; give each once")
    if len({choice.weight for choice in voice.speakers}) > 1:
        raise ConfigError("voice.balance=true: voice.speakers have different weights; remove the weights")


def _check(key: str, name: str, model: ModelConfig, catalogue: Catalogue) -> None:
    """Refuse a name that the checkpoint does not know."""
    if not name.strip():
        raise ConfigError(f"{key}={name}: give the name of a speaker; list them with `{list_command(model)}`")
    if catalogue.speakers is not None and catalogue.find(name) is None:
        raise ConfigError(
            f"{key}={name}: {unknown_name(name, model, catalogue)}; describe a voice instead: "
            'voice.description="A calm female voice, very close and clear."'
        )


def _spelling(name: str, catalogue: Catalogue) -> str:
    """Return the spelling in the catalogue, else that of the 34 published names, else the name as given."""
    speaker = catalogue.find(name) or load_catalogue("mini").find(name)
    return speaker.name if speaker else name.strip()


def _draw(cumulative: Sequence[float], *content: str | int) -> int:
    """Return a random index, derived from the hash of `content`, with the given cumulative weights."""
    if len(cumulative) == 1:
        return 0
    return bisect(cumulative, content_fraction(*content) * cumulative[-1], hi=len(cumulative) - 1)
