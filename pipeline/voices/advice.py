"""Warnings about voices that work badly: for another language, inconsistent between clips, or without a name."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from pipeline.config import ModelConfig, VoiceConfig
from pipeline.errors import nearest_first
from pipeline.voices.catalogue import Catalogue, catalogue_names, catalogue_of_group, model_argument, name_key
from pipeline.voices.languages import language_name, language_names

_MAX_LISTED = 8  # names in one line


def language_warnings(model: ModelConfig, catalogue: Catalogue, language: str) -> list[str]:
    """Return a warning if the checkpoint does not speak the language of the text.

    Args:
        model: The model, for the message.
        catalogue: Its catalogue.
        language: Code of the language; "" if it is not known.
    """
    if not language or not catalogue.languages or language in catalogue.languages:
        return []
    others = [name for name in catalogue_names() if language in catalogue_of_group(name).languages]
    remedy = f"; model={others[0]} does" if others else ""
    return [
        f"the text is in {language_name(language)} (if not, set source.language), which model={model.name} does not "
        f"speak; it speaks {language_names(catalogue.languages)}{remedy}"
    ]


def mismatch_warnings(names: Sequence[str], catalogue: Catalogue, language: str) -> list[str]:
    """Return a warning about voices that were trained on other languages than that of the text."""
    if language not in catalogue.languages:
        return []
    found = [catalogue.find(name) for name in names]
    foreign = [one for one in found if one and one.languages and language not in one.languages]
    if not foreign:
        return []
    own = catalogue.speakers_of(language)
    remedy = f"its voices are {listed([one.name for one in own])}" if own else "the model has no voice for it"
    spoken = dict.fromkeys(code for one in foreign for code in one.languages)
    return [
        f"voice {listed([one.name for one in foreign])}: speaks {language_names(spoken)}, and the text is in "
        f"{language_name(language)}; {remedy}"
    ]


def drift_warning(name: str, model: ModelConfig, catalogue: Catalogue) -> str | None:
    """Return a warning about a voice without a published similarity between clips, if other voices have one."""
    ranked = sorted((one for one in catalogue.speakers or () if one.similarity), key=lambda one: -(one.similarity or 0))
    speaker = catalogue.find(name)
    if not ranked or speaker is None or speaker.similarity:
        return None
    best = ", ".join(f"{one.name} ({one.similarity:.3f})" for one in ranked[:3])
    return (
        f"voice {name}: is not one of the {len(ranked)} most consistent voices of model={model.name}, and may change "
        f"between clips. The best are {best}"
    )


def unnamed_warnings(voice: VoiceConfig, model: ModelConfig, catalogue: Catalogue) -> list[str]:
    """Return a warning if the description names no known speaker, so that each clip may have another voice."""
    if voice.description and (catalogue.speakers == () or _opens_with_a_name(voice.description, catalogue)):
        return []
    if catalogue.speakers is None:
        what = "the names of its speakers are not known"
        fix = "give one that it was trained with, voice=NAME, or list them in its voices.yaml (docs/voices.md)"
    elif not catalogue.speakers:
        what, fix = "was trained without names of speakers", "a description makes it more consistent: voice.description"
    else:
        names = [one.name for one in catalogue.speakers]
        what = "no speaker is named"
        fix = f'begin with a name: "{names[0]}\'s voice is ..."; the names are {listed(names)}'
    subject = "voice.description does not begin with a name: " if voice.description else ""
    return [f"{subject}each clip may have another voice. model={model.name}: {what}; {fix}"]


def unknown_name(name: str, model: ModelConfig, catalogue: Catalogue) -> str:
    """Return the message that a checkpoint does not know a name, with the nearest names."""
    if not catalogue.speakers:
        return f"model={model.name} was trained without names of speakers"
    nearest = ", ".join(nearest_first(name, [speaker.name for speaker in catalogue.speakers], limit=5))
    others = [group for group in catalogue_names() if group != "untrained" and catalogue_of_group(group).find(name)]
    hint = f" (model={others[0]} has)" if others else ""
    return f"model={model.name} has no voice of this name{hint}; the nearest are {nearest}; see `{list_command(model)}`"


def names_not_known(model: ModelConfig) -> str:
    """Return the message that the names of voices cannot be checked."""
    return (
        f"model={model.name}: the names of its speakers are not known, so voices cannot be checked; list them in a "
        "voices.yaml beside its weights, or in model.speakers=[...] (docs/voices.md)"
    )


def list_command(model: ModelConfig) -> str:
    """Return the command that lists the voices of a model."""
    return f"python -m pipeline --voices {shlex.quote(f'model={model_argument(model)}')}"


def listed(names: Sequence[str]) -> str:
    """Return names separated by commas, at most the first eight."""
    more = len(names) - _MAX_LISTED
    return ", ".join(names[:_MAX_LISTED]) + (f" and {more:,} more" if more > 0 else "")


def _opens_with_a_name(description: str, catalogue: Catalogue) -> bool:
    text = name_key(description)
    names = [name_key(speaker.name) for speaker in (catalogue.speakers or catalogue_of_group("mini").speakers or ())]
    return any(text.startswith(name) and not text[len(name) : len(name) + 1].isalnum() for name in names)
