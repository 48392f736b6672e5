"""The voices of a run: which catalogue holds, who speaks, and how long a clip may be.

The catalogue of a checkpoint may lie beside its weights, so this is done twice: before anything is downloaded, with
what is known then, and again when the checkpoint has been found.
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

_SEGMENT_SHARE = 0.8  # of the longest clip: a longer segment is often cut


def set_up_voices(config: Config, language: str, folder: Path | None = None) -> tuple[Config, Casting]:
    """Return the config with the names of the speakers and the limits that hold, and the casting.

    Args:
        config: As composed.
        language: Of the text.
        folder: Of the checkpoint, once it has been found.

    Raises:
        ConfigError: A name that the checkpoint does not know.
        ModelError: Its `voices.yaml` is wrong.
    """
    catalogue = find_catalogue(config.model, folder or _cached(config.model))
    casting = Casting(config.voice, config.model, catalogue, language)
    return _limited(replace(config, voice=casting.voice), catalogue), casting


def announce_voice(config: Config, chosen: Config, casting: Casting) -> None:
    """Tell a person who speaks, and limits that the checkpoint sets.

    Args:
        config: As composed.
        chosen: As `set_up_voices` returned it.
        casting: Likewise.
    """
    is_chosen = config.voice.speaker == SPEAKER_AUTO and not (config.voice.description or config.voice.speakers)
    hint = f"; {list_command(config.model)}" if is_chosen and casting.catalogue.speakers else ""
    say(f"voice: {casting.spoken_by}{' (default' if is_chosen else ''}{hint}{')' if is_chosen else ''}")
    if chosen.text != config.text:
        limits = f"text.min_seconds={chosen.text.min_seconds:g} text.max_seconds={chosen.text.max_seconds:g}"
        say(f"{VOICES_FILE} of model={config.model.name} sets limits: {limits}")


def render_voices(model: ModelConfig, is_chosen: bool) -> str:
    """Return the table of a model's voices, for `--voices`. Downloads nothing, and imports no torch.

    Args:
        model: The model.
        is_chosen: Whether the user named it; else the other models are named below the table.
    """
    if not is_other_repository(model.path):
        return list_voices(model, find_catalogue(model), is_chosen)
    from pipeline.synthesis.checkpoint import find_checkpoint  # imports numpy, which takes a while

    try:
        folder = find_checkpoint(model, download=False).folder
    except NotDownloadedError as error:
        return f"model={model.path}: the names of its voices are not known: {error}"
    return list_voices(model, find_catalogue(model, folder), is_chosen)


def _cached(model: ModelConfig) -> Path | None:
    """Return where the files of another repository than the published ones lie already; None: nowhere."""
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
