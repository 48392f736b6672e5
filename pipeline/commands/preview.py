"""`task=preview`: speak a sentence in one or several voices and stream the audio to files.

The text of the command line becomes one utterance for each voice. The time to first audio is printed.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.commands.voice_setup import set_up_voices
from pipeline.config import DEFAULT_LANGUAGE, Config, VoiceConfig
from pipeline.config.checks import is_description
from pipeline.errors import ConfigError, NotDownloadedError, RunDirectoryError
from pipeline.planning import predict_seconds, utterance_seed
from pipeline.reporting.preview_page import PreviewedVoice, render_page
from pipeline.reporting.progress import say, show, warn
from pipeline.storage.atomic import write_text
from pipeline.storage.paths import is_address
from pipeline.synthesis import Synthesizer, build_synthesizer
from pipeline.synthesis.checkpoint import check_revision, find_checkpoint
from pipeline.synthesis.streaming import Streamer, preview
from pipeline.text.normalization import is_speakable
from pipeline.text.spoken_form import spoken_form
from pipeline.types import Utterance

_MAX_FILE_NAME = 40  # characters of the voice in a file name


@dataclass(frozen=True)
class _Part:
    """One voice of the preview, its utterance and its output file."""

    title: str
    utterance: Utterance
    path: Path


def run_preview(config: Config, build: Callable[..., Synthesizer] = build_synthesizer) -> int:
    """Write `<output_dir>/<name, or preview>.wav` and print the time to first audio.

    With `task.voices`, each voice has its own file, `<name>-<voice>.wav`, and `<name>.html` has a player for each.

    Raises:
        PipelineError: A voice is not known, the text cannot be spoken, or a file cannot be written.
    """
    check_revision(config.model)
    parts, warnings = _parts(config, None)  # reports unknown voices before anything is downloaded
    if config.dry_run:
        try:
            parts, warnings = _parts(config, find_checkpoint(config.model, download=False).folder)
        except NotDownloadedError as error:
            say(str(error))
    else:
        if is_address(config.output_dir):
            raise ConfigError(
                f"output_dir={config.output_dir}: a preview is written while it is generated; give a local folder"
            )
        _check_writable([parts[0].path])
        checkpoint = find_checkpoint(config.model)
        limit = min(config.model.max_seconds, checkpoint.max_seconds)
        config = replace(config, model=replace(config.model, max_seconds=limit))
        parts, warnings = _parts(config, checkpoint.folder)
        _check_writable([part.path for part in parts])
    warn(warnings)
    for part in parts:
        print(f"voice:  {part.utterance.description}\nspoken: {part.utterance.prompt}", file=sys.stderr)
    if config.dry_run:
        return 0
    synthesizer = build(checkpoint, **vars(config.engine))
    if not isinstance(synthesizer, Streamer):
        raise ConfigError(f"task=preview: engine.backend={config.engine.backend} cannot stream; use engine=default")
    heard = []
    for part in parts:
        report = preview(synthesizer, part.utterance, part.path)
        heard.append(PreviewedVoice(part.title, part.utterance.description, part.path.name, report))
        show(
            f"{part.path}: first audio after {report.first_audio_seconds:.2f} s, {report.audio_seconds:.2f} s of audio "
            f"in {report.total_seconds:.2f} s"
        )
    if config.task.voices:
        page = _path(config, "", ".html")
        write_text(page, render_page(config.task.text or "", config.model.name, heard))
        show(f"{page}: players of all {len(heard)} voices")
    return 0


def _parts(config: Config, folder: Path | None) -> tuple[list[_Part], list[str]]:
    """Return the parts of the preview and the warnings of casting.

    Args:
        config: Of the command.
        folder: Of the checkpoint; None: not known yet.

    Raises:
        ConfigError: The checkpoint does not have a speaker, or the text cannot be spoken.
    """
    parts: dict[tuple[str | None, str], _Part] = {}
    names: set[str] = set()
    warnings: list[str] = []
    for voice in _voices(config):
        chosen, casting = set_up_voices(
            replace(config, voice=voice), config.source.language or DEFAULT_LANGUAGE, folder
        )
        warnings += casting.warnings
        cast = casting.cast("preview", config.task.text or "", config.seed)
        key = (cast.speaker, cast.description)
        if key in parts:  # two spellings of the same voice
            continue
        title = cast.speaker or cast.description
        name = _file_name(title, names) if config.task.voices else ""
        parts[key] = _Part(title, _utterance(chosen, cast.speaker, cast.description), _path(config, name, ".wav"))
    return list(parts.values()), list(dict.fromkeys(warnings))


def _voices(config: Config) -> list[VoiceConfig]:
    """Return the voices of `task.voices`, or the voice of the config if that is empty."""
    plain = replace(config.voice, speakers=[])
    return [
        replace(plain, speaker=None, description=words)
        if is_description(words)
        else replace(plain, speaker=words, description=None)
        for words in config.task.voices
    ] or [config.voice]


def _utterance(config: Config, speaker: str | None, description: str) -> Utterance:
    text = config.task.text or ""
    prompt = spoken_form(text, config.source.language or DEFAULT_LANGUAGE, config.text.normalize)
    if not is_speakable(prompt):
        raise ConfigError(f"text={text}: the text contains nothing that can be spoken")
    seconds = predict_seconds(prompt)
    if seconds > config.model.max_seconds:
        raise ConfigError(
            f"text={text[:40]}...: about {seconds:.0f} s of speech, but a preview has at most "
            f"{config.model.max_seconds:g} s; give a shorter text, or render it from a file with input=text.txt"
        )
    seed = utterance_seed(config.seed, prompt, description)
    return Utterance(prompt, description, seed, id="preview", speaker=speaker, predicted_seconds=seconds)


def _path(config: Config, voice: str, suffix: str) -> Path:
    name = config.name or "preview"
    return Path(config.output_dir).expanduser() / f"{name}{'-' if voice else ''}{voice}{suffix}"


def _file_name(title: str, taken: set[str]) -> str:
    """Return a unique, portable file name for a voice, and add it to `taken`."""
    kept = "".join(
        letter if letter.isalnum() or unicodedata.category(letter).startswith("M") else "-"
        for letter in unicodedata.normalize("NFC", title.lower())
    )
    stem = "-".join(filter(None, kept.split("-")))[:_MAX_FILE_NAME].strip("-") or "voice"
    name, number = stem, 1
    while name.casefold() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.casefold())
    return name


def _check_writable(paths: Sequence[Path]) -> None:
    for path in paths:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            is_new = not path.exists()
            path.touch()
            if is_new:  # so that no empty file remains if the command is stopped early
                path.unlink()
        except OSError as error:
            raise RunDirectoryError(
                f"{path}: cannot be written ({error.strerror}); choose another place with output_dir=..."
            ) from error
