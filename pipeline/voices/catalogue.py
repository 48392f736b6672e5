"""Catalogues: the speakers and languages of a checkpoint.

A catalogue is a YAML file: `voices.yaml` in the folder or repository of a checkpoint, or a file in `catalogues/` for a
published checkpoint. docs/voices.md describes the format. It is read with the safe loader, and every value is checked.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib import resources
from pathlib import Path, PurePath
from typing import Any

import yaml

from pipeline.config import ModelConfig
from pipeline.errors import ConfigError, ModelError, nearest_first
from pipeline.storage.paths import local_folder
from pipeline.voices.languages import LANGUAGE_TAG, language_code

VOICES_FILE = "voices.yaml"
SPEAKER_FIELD = "{speaker}"  # in a default description: the name of the default speaker
_MAX_BYTES = 1 << 20
_MAX_VOICES = 10_000
_MAX_NAME = 100  # characters
_MAX_DESCRIPTION = 2_000  # characters
_MAX_SECONDS = 30.0  # Parler-TTS was trained on clips of up to 30 s
_CONTROL = ("Cc", "Cs", "Cf")  # categories of Unicode
_JOINERS = "\u200c\u200d"  # in category Cf, but part of names in Indic scripts
_RESERVED = ("auto", "varied")  # special values of voice=
_MAX_SHOWN = 10**18
_KEYS = ("languages", "default", "description", "max_seconds", "min_seconds", "voices")
_VOICE_KEYS = ("name", "languages", "similarity")

# The catalogue of each model group, and of each published repository (in lower case).
_BY_MODEL = {
    "bundled": "bundled",
    "untrained": "untrained",
    "mini": "mini",
    "mini-v1.1": "mini",  # similarity was measured on v1
    "mini-v0.1": "mini-v0.1",
    "large": "large",
    "tiny": "tiny",
    "multilingual": "multilingual",
    "indic": "indic",
    "expresso": "expresso",
    "jenny": "jenny",
}
_BY_REPOSITORY = {
    "parler-tts/parler-tts-mini-v1": "mini",
    "parler-tts/parler-tts-mini-v1.1": "mini",
    "parler-tts/parler_tts_mini_v0.1": "mini-v0.1",
    "parler-tts/parler-tts-large-v1": "large",
    "parler-tts/parler-tts-tiny-v1": "tiny",
    "parler-tts/parler-tts-mini-multilingual-v1.1": "multilingual",
    "ai4bharat/indic-parler-tts": "indic",
    "parler-tts/parler-tts-mini-expresso": "expresso",
    "parler-tts/parler-tts-mini-jenny-30h": "jenny",
    "ylacombe/parler-tts-mini-jenny-30h": "jenny",
}
_BY_SIMILARITY = {"mini_v1": "mini", "large_v1": "large"}  # values of model.similarity


@dataclass(frozen=True)
class Speaker:
    """A speaker whose name a checkpoint was trained with."""

    name: str
    languages: tuple[str, ...] = ()  # codes; empty: all languages of the checkpoint
    similarity: float | None = None  # published similarity of the voice between clips, 0 to 1


@dataclass(frozen=True)
class Catalogue:
    """The speakers and languages of a checkpoint."""

    speakers: tuple[Speaker, ...] | None = None  # None: the names are not known; (): trained without names
    languages: tuple[str, ...] = ()  # codes; empty: not known
    default: str | None = None  # speaker of languages that have no speaker of their own
    description: str | None = None  # used if no voice is given; may contain SPEAKER_FIELD
    max_seconds: float | None = None  # of a clip
    min_seconds: float | None = None  # of a segment: shorter ones are joined with a neighbor
    digest: str = ""  # hash of the file; "" for one of `catalogues/`

    @cached_property
    def _by_key(self) -> dict[str, Speaker]:
        return {name_key(speaker.name): speaker for speaker in self.speakers or ()}

    def find(self, name: str) -> Speaker | None:
        """Return the speaker with a name, ignoring case and white space."""
        return self._by_key.get(name_key(name))

    def speakers_of(self, language: str) -> tuple[Speaker, ...]:
        """Return the speakers of a language, given as a code, in the order of the catalogue."""
        return tuple(
            each for each in self.speakers or () if language in (each.languages or self.languages or (language,))
        )

    def default_speaker(self, language: str) -> Speaker | None:
        """Return the default speaker of a language, given as a code; None if no speakers are known."""
        preferred = self.find(self.default) if self.default else None
        candidates = self.speakers_of(language) or self.speakers or (None,)
        return preferred if preferred in candidates else candidates[0]


def _is_control(letter: str) -> bool:
    return letter not in _JOINERS and unicodedata.category(letter) in _CONTROL


def name_key(name: str) -> str:
    """Return a name in the form for comparison: without differences in case, white space and Unicode form."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def find_catalogue(model: ModelConfig, folder: Path | None = None) -> Catalogue:
    """Return the catalogue of a model without downloading anything.

    Args:
        model: The model. `model.speakers` takes precedence over a catalogue.
        folder: Folder of the checkpoint, if it is known. Its `voices.yaml` takes precedence over `catalogues/`.
            Default: `model.path`, if it is a folder.

    Raises:
        ModelError: `voices.yaml` cannot be read, or a value in it is wrong.
        ConfigError: The value of `model.similarity` is unknown.
    """
    folder, published = folder or local_folder(model.path), _published(model)
    if folder is None and is_other_repository(model.path):  # its voices.yaml, not here yet, may name other speakers
        return Catalogue(speakers=tuple(map(Speaker, model.speakers)) if model.speakers else None)
    file = folder / VOICES_FILE if folder is not None else None
    catalogue = read_catalogue(file) if file is not None and file.is_file() else published
    if not model.speakers:
        return catalogue
    speakers = tuple(catalogue.find(name) or Speaker(name.strip()) for name in model.speakers)
    default = catalogue.find(catalogue.default) if catalogue.default else None
    return replace(catalogue, speakers=speakers, default=default.name if default in speakers and default else None)


def is_other_repository(path: str) -> bool:
    """Return whether a path is the id of a hub repository without a file in `catalogues/`."""
    is_id = path.count("/") == 1 and not path.startswith((".", "/", "~"))
    return is_id and path.lower() not in _BY_REPOSITORY


def _published(model: ModelConfig) -> Catalogue:
    """Return the catalogue in `catalogues/` for a model, or an empty one."""
    if model.similarity and model.similarity not in _BY_SIMILARITY:
        nearest = ", ".join(nearest_first(model.similarity, _BY_SIMILARITY))
        raise ConfigError(f"model.similarity={model.similarity}: no such value; give {nearest}")
    name = _BY_REPOSITORY.get(model.path.strip("/").lower())
    if name is None and (not model.path or PurePath(model.path).name != model.name):
        # With model=FOLDER, the name is that of the folder; here it is model=indic model.path=/a/copy.
        name = _BY_MODEL.get(model.name)
    if name is None and model.similarity:
        name = _BY_SIMILARITY[model.similarity]
    return load_catalogue(name) if name else Catalogue()


def model_argument(model: ModelConfig) -> str:
    """Return the value of `model=` for a model: its name in `configs/model`, else its path."""
    group = _BY_MODEL.get(model.name)
    is_group = group is not None and (not model.path or _BY_REPOSITORY.get(model.path.lower()) == group)
    return model.name if is_group else model.path


def catalogue_names() -> tuple[str, ...]:
    """Return the names in `configs/model` that have a catalogue."""
    return tuple(_BY_MODEL)


def catalogue_of_group(group: str) -> Catalogue:
    """Return the catalogue of a name in `configs/model`."""
    return load_catalogue(_BY_MODEL[group])


@cache
def load_catalogue(name: str) -> Catalogue:
    """Read a file of `catalogues/`."""
    file = resources.files("pipeline.voices").joinpath("catalogues").joinpath(f"{name}.yaml")
    return parse_catalogue(file.read_bytes(), f"{name}.yaml")


def read_catalogue(path: Path) -> Catalogue:
    """Read the `voices.yaml` of a checkpoint.

    Raises:
        ModelError: The file cannot be read, or a value in it is wrong. The message names file, key and fix.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    return replace(parse_catalogue(content, str(path)), digest=hashlib.sha256(content).hexdigest()[:16])


def parse_catalogue(content: bytes, file: str) -> Catalogue:
    """Parse and check the content of a catalogue.

    Args:
        content: YAML in UTF-8.
        file: Name of the file, for errors.

    Raises:
        ModelError: It is not valid.
    """
    if len(content) > _MAX_BYTES:
        raise ModelError(f"{file}: is larger than {_MAX_BYTES:,} bytes; list the voices only")
    try:
        fields = yaml.load(content.decode("utf-8-sig"), Loader=_UniqueKeyLoader)
    except (UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or type(error).__name__
        raise ModelError(f"{file}: {where}not valid YAML in UTF-8 ({problem})") from error
    return _Reader(file).catalogue({} if fields is None else fields)


class _UniqueKeyLoader(yaml.SafeLoader):
    """Safe loader that refuses duplicate keys, of which the first value would be lost."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuse merge keys (`<<`), because a small file of them can expand to more than the memory."""
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, "merge keys are not supported", key.start_mark)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        counts = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        twice = [key for key, count in counts.items() if count > 1]
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"{twice[0][:40]} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


@dataclass(frozen=True)
class _Reader:
    """Parser of the fields of a catalogue. Each error names the file and the key."""

    file: str

    def catalogue(self, fields: Any) -> Catalogue:
        self._check_keys("", fields, _KEYS)
        voices = fields.get("voices")
        catalogue = Catalogue(
            speakers=None if voices is None else self._speakers(voices),
            languages=self._languages("languages", fields.get("languages")),
            default=self._text("default", fields.get("default"), _MAX_NAME),
            description=self._text("description", fields.get("description"), _MAX_DESCRIPTION),
            max_seconds=self._number("max_seconds", fields.get("max_seconds"), _MAX_SECONDS, 2.0),
            min_seconds=self._number("min_seconds", fields.get("min_seconds"), _MAX_SECONDS),
        )
        names = [speaker.name for speaker in catalogue.speakers or ()]
        if catalogue.default and catalogue.find(catalogue.default) is None:
            near = ", ".join(nearest_first(catalogue.default, names, limit=3))
            raise self._error("default", catalogue.default, f"name one of its voices{f': {near}' if near else ''}")
        if (catalogue.min_seconds or 0) >= (catalogue.max_seconds or _MAX_SECONDS):
            raise self._error("min_seconds", catalogue.min_seconds, "give less than max_seconds")
        if catalogue.description and SPEAKER_FIELD in catalogue.description and not names:
            raise self._error("description", catalogue.description[:40], f"{SPEAKER_FIELD} needs names: list voices")
        own = tuple(dict.fromkeys(code for each in catalogue.speakers or () for code in each.languages))
        return catalogue if catalogue.languages else replace(catalogue, languages=own)

    def _speakers(self, voices: Any) -> tuple[Speaker, ...]:
        if not isinstance(voices, list) or len(voices) > _MAX_VOICES:
            raise self._error("voices", voices, f"give a list of at most {_MAX_VOICES:,} names")
        speakers = tuple(self._speaker(f"voices[{index}]", voice) for index, voice in enumerate(voices))
        seen: dict[str, str] = {}
        for speaker in speakers:
            if (key := name_key(speaker.name)) in seen:
                raise self._error("voices", speaker.name, "is given twice; one entry can have several languages")
            seen[key] = speaker.name
        return speakers

    def _speaker(self, key: str, voice: Any) -> Speaker:
        fields = voice if isinstance(voice, dict) else {"name": voice}
        self._check_keys(f"{key}.", fields, _VOICE_KEYS)
        name = self._text(f"{key}.name", fields.get("name"), _MAX_NAME)
        if name is None:
            raise ModelError(f"{self.file}: {key}.name: is missing; add the name of the speaker")
        if name_key(name) in _RESERVED:
            raise self._error(f"{key}.name", name, "is a special value of voice=; give another name")
        similarity = self._number(f"{key}.similarity", fields.get("similarity"), 1.0)
        return Speaker(name, self._languages(f"{key}.languages", fields.get("languages")), similarity)

    def _languages(self, key: str, value: Any) -> tuple[str, ...]:
        values = [] if value is None else value if isinstance(value, list) else [value]
        codes = []
        for each in values:
            if not isinstance(each, str) or not LANGUAGE_TAG.fullmatch(each) or not language_code(each):
                raise self._error(key, each, 'give codes such as en or hi, in quotes if YAML misreads them: "no"')
            codes.append(language_code(each))
        return tuple(dict.fromkeys(codes))

    def _text(self, key: str, value: Any, max_length: int) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str):
            raise self._error(key, value, "give a text; put it in quotes")
        text = " ".join(value.split())
        if not text or len(text) > max_length or any(map(_is_control, text)):
            raise self._error(key, ascii(text[:40]), f"give 1 to {max_length:,} characters without control codes")
        return text

    def _number(self, key: str, value: Any, maximum: float, minimum: float = 0.0) -> float | None:
        if value is None:
            return None
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not minimum < value <= maximum:
            raise self._error(key, value, f"give a number above {minimum:g} and at most {maximum:g}")
        return float(value)

    def _check_keys(self, prefix: str, fields: Any, known: Sequence[str]) -> None:
        if not isinstance(fields, Mapping):
            raise self._error(prefix.rstrip(".") or "content", fields, f"give keys and values: {', '.join(known)}")
        for key in fields:
            if key not in known:
                near = ", ".join(nearest_first(str(key), known, limit=3))
                raise ModelError(f"{self.file}: {prefix}{str(key)[:40]}: no such key; the nearest are {near}")

    def _error(self, key: str, value: object, fix: str) -> ModelError:
        is_huge = isinstance(value, int) and abs(value) > _MAX_SHOWN  # str() fails with thousands of digits
        is_shown = isinstance(value, (str, int, float)) and not is_huge
        shown = str(value)[:60] if is_shown else "a large number" if is_huge else type(value).__name__
        return ModelError(f"{self.file}: {key}: {shown}: {fix}")
