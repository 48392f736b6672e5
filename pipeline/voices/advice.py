"""Warnings about voices that work, but not well: another language, a voice that drifts, no name."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from pipeline.config import ModelConfig, VoiceConfig
from pipeline.errors import nearest_first
from pipeline.voices.catalogue import Catalogue, catalogue_names, catalogue_of_group, model_argument, name_key
from pipeline.voices.languages import language_name, language_names

_MAX_LISTED = 8  # names in one line


def language_warnings(model: ModelConfig, catalogue: Catalogue, language: str) -> list[str]:
    """Warn of a text in a language that the checkpoint does not speak. `language` is a code; "" if it is not known."""
    if not language or not catalogue.languages or language in catalogue.languages:
        return []
    others = [name for name in catalogue_names() if language in catalogue_of_group(name).languages]
    remedy = f"; model={others[0]} does" if others else ""
    return [
        f"the text is in {language_name(language)} (source.language says otherwise), which model={model.name} does not "
        f"speak; it speaks {language_names(catalogue.languages)}{remedy}"
    ]


def mismatch_warnings(names: Sequence[str], catalogue: Catalogue, language: str) -> list[str]:
    """Warn, in one line, of voices that were trained on other languages than that of the text."""
    if language not in catalogue.languages:
        return []
    found = [catalogue.find(name) for name in names]
    foreign = [one for one in found if one and one.languages and language not in one.languages]
    if not foreign:
        return []
    own = catalogue.speakers_of(language)
    remedy = f"voices for it: {listed([one.name for one in own])}" if own else "the checkpoint has no voice for it"
    spoken = dict.fromkeys(code for one in foreign for code in one.languages)
    return [
        f"voice {listed([one.name for one in foreign])}: speaks {language_names(spoken)}, and the text is in "
        f"{language_name(language)}; {remedy}"
    ]


def drift_warning(name: str, model: ModelConfig, catalogue: Catalogue) -> str | None:
    """Warn of a voice that is not among those that the checkpoint is known to keep steady from clip to clip."""
    ranked = sorted((one for one in catalogue.speakers or () if one.similarity), key=lambda one: -(one.similarity or 0))
    speaker = catalogue.find(name)
    if not ranked or speaker is None or speaker.similarity:
        return None
    best = ", ".join(f"{one.name} ({one.similarity:.3f})" for one in ranked[:3])
    return (
        f"voice {name}: not among the {len(ranked)} names that model={model.name} keeps steady from clip to clip. "
        f"The best are {best}"
    )


def unnamed_warnings(voice: VoiceConfig, model: ModelConfig, catalogue: Catalogue) -> list[str]:
    """Warn that every clip may have another voice, because no name is said that the checkpoint knows."""
    if voice.description and (catalogue.speakers == () or _opens_with_a_name(voice.description, catalogue)):
        return []
    if catalogue.speakers is None:
        what = "the names of its speakers are not known"
        fix = "name one that it was trained on: voice=NAME, or list them in its voices.yaml (docs/voices.md)"
    elif not catalogue.speakers:
        what, fix = "it was trained without the names of speakers", "a description makes it steadier: voice.description"
    else:
        names = [one.name for one in catalogue.speakers]
        what = "no speaker is named"
        fix = f'a name keeps it steady: "{names[0]}\'s voice is ..."; it knows {listed(names)}'
    subject = "voice.description does not open with a name, and " if voice.description else ""
    return [f"{subject}every clip may have another voice: model={model.name}: {what}; {fix}"]


def unknown_name(name: str, model: ModelConfig, catalogue: Catalogue) -> str:
    """Say that the checkpoint does not know a name, and which it knows."""
    if not catalogue.speakers:
        return f"model={model.name} was trained without the names of speakers"
    nearest = ", ".join(nearest_first(name, [speaker.name for speaker in catalogue.speakers], limit=5))
    others = [group for group in catalogue_names() if group != "untrained" and catalogue_of_group(group).find(name)]
    hint = f" (model={others[0]} does)" if others else ""
    return f"model={model.name} does not know this name{hint}. Nearest: {nearest}. `{list_command(model)}` lists all"


def names_not_known(model: ModelConfig) -> str:
    """Say that names cannot be checked."""
    return (
        f"model={model.name}: the names of its speakers are not known, and cannot be checked; a voices.yaml beside its "
        "weights, or model.speakers=[...], lists them (docs/voices.md)"
    )


def list_command(model: ModelConfig) -> str:
    """Return the command that lists the voices of a model."""
    return f"python -m pipeline --voices {shlex.quote(f'model={model_argument(model)}')}"


def listed(names: Sequence[str]) -> str:
    """Return names in one line; of many only the first."""
    more = len(names) - _MAX_LISTED
    return ", ".join(names[:_MAX_LISTED]) + (f" and {more:,} more" if more > 0 else "")


def _opens_with_a_name(description: str, catalogue: Catalogue) -> bool:
    text = name_key(description)
    names = [name_key(speaker.name) for speaker in (catalogue.speakers or catalogue_of_group("mini").speakers or ())]
    return any(text.startswith(name) and not text[len(name) : len(name) + 1].isalnum() for name in names)
