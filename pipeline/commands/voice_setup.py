"""Choose the catalogue, the speakers and the length limits of a run.

A checkpoint may have its own catalogue beside its weights. Therefore commands call `set_up_voices` twice: before the
download, with the files that are available, and again when the checkpoint has been found.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.config import SPEAKER_AUTO, Config, ModelConfig
from pipeline.errors import NotDownloadedError
from pipeline.reporting.progress import say
from pipeline.voices import Casting, Catalogue, find_catalogue
from pipeline.voices.advice import list_command
from pipeline.voices.catalogue import VOICES_FILE, is_other_repository
from pipeline.voices.listing import list_voices

_SEGMENT_SHARE = 0.8  # longest segment / longest clip; longer segments are often cut off


def set_up_voices(config: Config, language: str, folder: Path | None = None) -> tuple[Config, Casting]:
    """Return the config with resolved speakers and length limits, and the casting.

    Args:
        config: Composed config.
        language: Language of the text.
        folder: Folder of the checkpoint; None: not found yet.

    Raises:
        ConfigError: The checkpoint does not have a speaker that the config names.
        ModelError: The `voices.yaml` of the checkpoint is invalid.
    """
    catalogue = find_catalogue(config.model, folder or _cached(config.model))
    casting = Casting(config.voice, config.model, catalogue, language)
    return _limited(replace(config, voice=casting.voice), catalogue), casting


def announce_voice(config: Config, chosen: Config, casting: Casting) -> None:
    """Print the voices and the length limits that the checkpoint sets.

    Args:
        config: Composed config.
        chosen: Config that `set_up_voices` returned.
        casting: Casting that `set_up_voices` returned.
    """
    is_chosen = config.voice.speaker == SPEAKER_AUTO and not (config.voice.description or config.voice.speakers)
    hint = f"; {list_command(config.model)}" if is_chosen and casting.catalogue.speakers else ""
    say(f"voice: {casting.spoken_by}{' (default' if is_chosen else ''}{hint}{')' if is_chosen else ''}")
    if chosen.text != config.text:
        limits = f"text.min_seconds={chosen.text.min_seconds:g} text.max_seconds={chosen.text.max_seconds:g}"
        say(f"{VOICES_FILE} of model={config.model.name} sets limits: {limits}")


def render_voices(model: ModelConfig, is_chosen: bool) -> str:
    """Return the table of a model's voices, for `--voices`, without downloading anything or importing torch.

    Args:
        model: The model.
        is_chosen: Whether the user chose the model; if not, the table is followed by a list of the other models.
    """
    if not is_other_repository(model.path):
        return list_voices(model, find_catalogue(model), is_chosen)
    from pipeline.synthesis.checkpoint import find_checkpoint  # imports numpy, which is slow

    try:
        folder = find_checkpoint(model, download=False).folder
    except NotDownloadedError as error:
        return f"model={model.path}: its voices are not known until it is downloaded: {error}"
    return list_voices(model, find_catalogue(model, folder), is_chosen)


def _cached(model: ModelConfig) -> Path | None:
    """Return the cached folder of a repository that the built-in catalogue does not cover; None if there is none."""
    if not is_other_repository(model.path):
        return None
    from pipeline.synthesis.checkpoint import known_folder

    return known_folder(model)


def _limited(config: Config, catalogue: Catalogue) -> Config:
    """Apply the limits of the catalogue: shorter clips, and segments that fit them."""
    longest = min(config.model.max_seconds, catalogue.max_seconds or config.model.max_seconds)
    text = config.text
    if catalogue.max_seconds and text.max_seconds > longest * _SEGMENT_SHARE:
        text = replace(text, min_seconds=min(text.min_seconds, longest / 4), max_seconds=longest * _SEGMENT_SHARE)
    if catalogue.min_seconds:
        text = replace(text, min_seconds=min(max(text.min_seconds, catalogue.min_seconds), text.max_seconds / 2))
    return replace(config, text=text, model=replace(config.model, max_seconds=longest))
