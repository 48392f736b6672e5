"""`task=preview`: hear a sentence at once, in the voice and by the model of the config.

Owns how a text from the command line becomes one utterance, and what is said about how quickly it was heard.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.config import DEFAULT_LANGUAGE, Config
from pipeline.errors import ConfigError, RunDirectoryError
from pipeline.places import is_address
from pipeline.planning import predict_seconds, utterance_seed
from pipeline.runtime.progress import show
from pipeline.synthesis import build_synthesizer
from pipeline.synthesis.checkpoint import find_checkpoint
from pipeline.synthesis.streaming import Streamer, preview
from pipeline.text.normalization import is_speakable
from pipeline.text.spoken import spoken_form
from pipeline.types import Utterance
from pipeline.voices import Casting


def run_preview(config: Config, casting: Casting) -> int:
    """Writes `<output_dir>/<name, or preview>.wav` and prints the time to first audio."""
    utterance = _utterance(config, casting)
    print(f"{utterance.description}\n{utterance.prompt}", file=sys.stderr)
    if config.dry_run:
        return 0
    if is_address(config.output_dir):
        raise ConfigError(f"output_dir={config.output_dir}: a preview grows while it is spoken; give a local folder")
    path = Path(config.output_dir).expanduser() / f"{config.name or 'preview'}.wav"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise RunDirectoryError(f"{path}: cannot be written ({error.strerror}); give output_dir=...") from error
    synthesizer = build_synthesizer(find_checkpoint(config.model), **vars(config.engine))
    if not isinstance(synthesizer, Streamer):
        raise ConfigError(f"task=preview: engine.backend={config.engine.backend} cannot stream; give engine=default")
    heard = preview(synthesizer, utterance, path)
    show(
        f"{path}: first audio after {heard.first_audio_seconds:.2f} s, {heard.audio_seconds:.2f} s of audio in "
        f"{heard.total_seconds:.2f} s"
    )
    return 0


def _utterance(config: Config, casting: Casting) -> Utterance:
    text = config.task.text or ""
    prompt = spoken_form(text, config.source.language or DEFAULT_LANGUAGE, config.text.normalize)
    if not is_speakable(prompt):
        raise ConfigError(f"text={text}: there is nothing to say in it")
    seconds = predict_seconds(prompt)
    if seconds > config.model.max_seconds:
        raise ConfigError(
            f"text={text[:40]}...: about {seconds:.0f} s of speech, and one generation has at most "
            f"{config.model.max_seconds:g} s; give a shorter text, or put it into a file: input=text.txt"
        )
    voice = casting.cast("preview", text, config.seed)
    seed = utterance_seed(config.seed, prompt, voice.description)
    return Utterance(prompt, voice.description, seed, id="preview", speaker=voice.speaker, predicted_seconds=seconds)
