"""Schema of the configuration, with its defaults and the validation of values.

Hydra composes `configs/*.yaml` over these dataclasses; all other code uses plain instances of them. The defaults are
those of the command line without arguments. The comment of a field is its documentation: `scripts/reference.py` writes
`docs/settings.md` from it. `__post_init__` of a group validates its values, that of `Config` their combinations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipeline.config.checks import check_numbers
from pipeline.config.checks import require as _require
from pipeline.config.checks import require_choice as _require_choice
from pipeline.config.checks import require_entry as _require_entry
from pipeline.config.schema_checks import ChecksConfig as ChecksConfig
from pipeline.config.schema_executor import ExecutorConfig as ExecutorConfig
from pipeline.config.schema_output import OutputConfig
from pipeline.config.schema_quality import QualityConfig as QualityConfig
from pipeline.config.schema_text import MAX_SECONDS, TRAINED_ON, SourceConfig, TextConfig
from pipeline.registry import Registry

TASKS = ("audiobook", "dataset", "preview", "verify", "status", "retry_rejects")
SPEAKER_AUTO, SPEAKER_VARIED = "auto", "varied"  # special values of voice.speaker
# Old to new name. The config of an old run may use the old name; on the command line it is an error.
RENAMED_KEYS = {"num_shards": "num_jobs", "shard_index": "job_index"}
# The implementations of `pipeline.synthesis.backend.Backend`, which has this registry with its type. It stands here
# because the schema checks the name of a backend and cannot import the packages above it.
BACKENDS: Registry[Any] = Registry(
    "parler_pipeline.backends",
    {"engine": "pipeline.synthesis.engine.backend:BACKEND", "reference": "pipeline.synthesis.reference:BACKEND"},
)
ATTENTIONS = ("eager", "sdpa", "flash_attention_2")
COMPILE_MODES = ("none", "default", "reduce-overhead")
CACHES = ("dynamic", "static")
DTYPES = ("auto", "float32", "bfloat16", "float16")
BUNDLED_MODEL = "bundled"
BUNDLED_SPEAKERS = ("Heart", "Sarah", "Michael", "Puck")
BUNDLED_MAX_SECONDS = 15.0
BUILTIN_MODELS = (BUNDLED_MODEL, "untrained")  # need no path: part of the package; random weights
MAX_TOKENS = 65_536  # of a prompt or a description; far more than any checkpoint supports
AUDIO_FORMATS = ("flac", "wav", "opus", "mp3")


@dataclass
class ModelConfig:
    """The checkpoint. `model=NAME` sets these keys: a name in `configs/model`, a folder, or a hub id."""

    name: str = "bundled"  # used in messages and in the default name of the run
    path: str = ""  # hub id or local folder; "" for bundled and untrained, which need none
    revision: str | None = None  # commit, tag, branch or refs/pr/N of the hub repository; null: main
    description_tokenizer: str | None = None  # folder or hub id; null: part of the checkpoint, or named in config.json
    description_tokenizer_revision: str | None = None  # like revision, for description_tokenizer
    speakers: list[str] = field(
        default_factory=list
    )  # names that the checkpoint was trained with; []: those of its catalogue
    similarity: str | None = None  # mini_v1 or large_v1: use the catalogue of that model if this one has none
    max_seconds: float = 0.0  # longest audio that it can generate; 0: 15 for model=bundled, 30 for others

    def __post_init__(self) -> None:
        is_bundled = self.name == BUNDLED_MODEL
        self.speakers = self.speakers or [*BUNDLED_SPEAKERS] if is_bundled else self.speakers
        self.max_seconds = self.max_seconds or (BUNDLED_MAX_SECONDS if is_bundled else MAX_SECONDS)
        _require(
            bool(self.path) or self.name in BUILTIN_MODELS,
            "model.path",
            self.path,
            "give a folder or a hub id: model=./my-model, model=owner/name",
        )
        _require(0 < self.max_seconds <= MAX_SECONDS, "model.max_seconds", self.max_seconds, TRAINED_ON)


@dataclass
class StyleConfig:
    """The style of the voice, as words of the description. An empty value omits its clause."""

    expressivity: str = "slightly expressive and animated"
    pace: str = "moderate speed"
    pitch: str = ""
    room: str = "very close"
    quality: str = "very clear audio"
    weight: float = 1.0  # relative probability of this style in voice.styles

    def __post_init__(self) -> None:
        _require(self.weight > 0, "voice.style.weight", self.weight, "give a positive weight")


@dataclass
class SpeakerChoice:
    """One speaker of `voice.speakers`."""

    speaker: str = ""
    weight: float = 1.0  # relative probability

    def __post_init__(self) -> None:
        _require(self.weight > 0, "voice.speakers[].weight", self.weight, "give a positive weight")


@dataclass
class VoiceConfig:
    """The voice: a named speaker, a free description, or lists that are sampled for each utterance."""

    speaker: str | None = SPEAKER_AUTO  # a name (see --voices); auto: the checkpoint's default for the language
    description: str | None = None  # full description of the voice; replaces speaker and style
    style: StyleConfig = field(default_factory=StyleConfig)
    speakers: list[SpeakerChoice] = field(default_factory=list)  # one is sampled for each utterance
    styles: list[StyleConfig] = field(default_factory=list)  # one is sampled for each utterance
    balance: bool = False  # use each of `speakers` equally often, in turn, instead of sampling


@dataclass
class SamplingConfig:
    """Sampling of codes. null: the value of the checkpoint's generation_config.json, else that of `types.Sampling`."""

    do_sample: bool | None = None  # false: greedy decoding, which often ends in silence
    temperature: float | None = None
    top_k: int | None = None  # number of codes to choose from; 0: all
    top_p: float | None = None  # probability mass of the codes to choose from; 1: all

    def __post_init__(self) -> None:
        t, k, p = self.temperature, self.top_k, self.top_p
        _require(t is None or t > 0, "engine.sampling.temperature", t, "give a value above 0, or do_sample=false")
        _require(k is None or k >= 0, "engine.sampling.top_k", k, "give 0 (off) or a positive number of codes")
        _require(p is None or 0 < p <= 1, "engine.sampling.top_p", p, "give a value above 0 and at most 1")


@dataclass
class EngineConfig:
    """Generation of audio: backend, device and precision."""

    backend: str = "engine"  # engine: continuous batching; reference: generate() of parler_tts; or an installed one
    device: str = "auto"  # cpu, cuda, cuda:1 or mps; auto: the first CUDA device, else cpu
    dtype: str = "auto"  # float32, bfloat16 or float16; auto: bfloat16 on a GPU that is fast with it, else float32
    attention: str = "sdpa"  # reference only: eager, sdpa or flash_attention_2
    compile: str = "none"  # reference only: mode of torch.compile: none, default or reduce-overhead
    cache: str = "dynamic"  # reference only: key/value cache: dynamic or static
    batch_size: int = 8  # reference only
    slots: int = 0  # engine only: utterances generated at once, rounded up to a multiple of 4; 0: chosen automatically
    sampling: SamplingConfig = field(default_factory=SamplingConfig)

    def __post_init__(self) -> None:
        _require_entry("engine.backend", self.backend, BACKENDS)
        _require_choice("engine.dtype", self.dtype, DTYPES)
        _require_choice("engine.attention", self.attention, ATTENTIONS)
        _require_choice("engine.compile", self.compile, COMPILE_MODES)
        _require_choice("engine.cache", self.cache, CACHES)
        _require(self.batch_size >= 1, "engine.batch_size", self.batch_size, "give at least 1")
        _require(self.slots >= 0, "engine.slots", self.slots, "give 0 (chosen automatically) or a positive number")
        _require(
            not (self.attention == "flash_attention_2" and self.cache == "static"),
            "engine.attention",
            self.attention,
            "flash attention 2 does not support a static cache; give engine.cache=dynamic or engine.attention=sdpa",
        )


@dataclass
class PlanningConfig:
    """Division into shards and padded shapes (buckets)."""

    shard_size: int = 128  # utterances of a shard, which is one Parquet file and one work item of a worker
    # Lengths that prompts are padded to, in rising order.
    prompt_tokens: list[int] = field(default_factory=lambda: [32, 64, 128, 256, 512])
    # Lengths that descriptions are padded to, in rising order.
    description_tokens: list[int] = field(default_factory=lambda: [64, 128, 256])
    # Limits of generation in seconds; an utterance gets the next limit above its predicted length times headroom.
    max_seconds: list[float] = field(default_factory=lambda: [5.0, 10.0, 20.0, 30.0])
    headroom: float = 1.6  # how many times its predicted length an utterance may last

    def __post_init__(self) -> None:
        _require(self.shard_size >= 1, "planning.shard_size", self.shard_size, "give at least 1")
        _require(self.headroom >= 1, "planning.headroom", self.headroom, "give at least 1, so that clips are not cut")
        for key in ("prompt_tokens", "description_tokens", "max_seconds"):
            lengths: list[Any] = getattr(self, key)
            is_rising = bool(lengths) and lengths == sorted(set(lengths)) and lengths[0] > 0
            _require(is_rising, f"planning.{key}", lengths, "give positive lengths in rising order")
            _require(lengths[-1] <= MAX_TOKENS, f"planning.{key}", lengths, f"no model supports more than {MAX_TOKENS}")


@dataclass
class DatasetConfig:
    """The dataset that is written."""

    format: str = "flac"  # of the audio: flac, wav, opus or mp3
    license: str = "other"  # license tag of the dataset card
    name: str | None = None  # title of the dataset card; null: the name of the run
    readings_per_text: int = 1  # clips of each row of a table, each with another seed

    def __post_init__(self) -> None:
        _require_choice("dataset.format", self.format, AUDIO_FORMATS)
        readings = self.readings_per_text
        _require(1 <= readings <= 10_000, "dataset.readings_per_text", readings, "give 1 to 10000")


@dataclass
class BookConfig:
    """The audiobook. Pauses are in seconds; they follow a clip, depending on what ends there in the text."""

    clause_pause: float = 0.15
    sentence_pause: float = 0.35
    paragraph_pause: float = 0.7
    scene_pause: float = 1.6
    heading_pause: float = 1.2  # after the title of a chapter
    chapter_pause: float = 2.5  # between chapters in the m4b
    loudness_lufs: float = -18.0  # integrated loudness of the book
    peak_dbfs: float = -3.0  # maximum true peak
    bitrate_kbps: int = 96  # of AAC in the m4b
    narrator: str | None = None  # null: the name of the voice
    cover: str | None = None  # JPEG or PNG file; null: the cover of the EPUB; "": none

    def __post_init__(self) -> None:
        for key in ("clause", "sentence", "paragraph", "scene", "heading", "chapter"):
            value = getattr(self, f"{key}_pause")
            _require(0 <= value <= 60, f"book.{key}_pause", value, "give seconds from 0 to 60")
        _require(-40 <= self.loudness_lufs <= -5, "book.loudness_lufs", self.loudness_lufs, "give -40 to -5 LUFS")
        _require(-20 <= self.peak_dbfs <= 0, "book.peak_dbfs", self.peak_dbfs, "give -20 to 0 dBFS")
        _require(16 <= self.bitrate_kbps <= 256, "book.bitrate_kbps", self.bitrate_kbps, "give 16 to 256 kbit/s")


@dataclass
class TaskConfig:
    """The task. `task=NAME` sets its name: audiobook, dataset, preview, verify, status or retry_rejects."""

    name: str = "audiobook"  # set by task=NAME
    text: str | None = None  # task=preview: the sentence to speak; short form: text="..."
    voices: list[str] = field(default_factory=list)  # task=preview: voices to compare; short form: voice=[jon,lea]

    def __post_init__(self) -> None:
        _require_choice("task.name", self.name, TASKS)
        _require(
            self.name != "preview" or bool(self.text),
            "text",
            self.text,
            'task=preview needs the words to speak: text="Hello there."',
        )
        _require(
            self.name == "preview" or self.text is None,
            "text",
            self.text,
            "only task=preview speaks it; give task=preview, or input=FILE for a whole text",
        )


@dataclass
class Config(OutputConfig):
    """The configuration of one command."""

    # A file, folder, glob, or list [a.jsonl,b.jsonl]; - for standard input (with source.format); a hub dataset (with
    # source.format=datasets); or story: the short story in the package.
    input: str = "story"
    name: str | None = None  # name of the run directory; null: made of the input and the model
    output_dir: str = "outputs"  # folder that contains the run directory
    run: str | None = None  # existing run directory, for task=verify, status and retry_rejects
    deep: bool = False  # task=verify: also generate some clips again and compare them
    deep_clips: int = 8  # deep=true: number of clips, spread over the shards; a quarter of them have several takes
    seed: int = 0  # base of all random numbers; another seed gives other takes of all clips
    dry_run: bool = False  # print the plan without loading a model or writing anything
    left_out: str | None = None  # dry_run=true: write the text that is not spoken, with reasons, to this file (JSONL)
    job_index: int | None = None  # index of this job, 0 to num_jobs - 1; null: there is only one
    num_jobs: int = 1  # number of jobs that share the run, e.g. in a Slurm array
    task: TaskConfig = field(default_factory=TaskConfig)
    source: SourceConfig = field(default_factory=SourceConfig)
    text: TextConfig = field(default_factory=TextConfig)
    voice: VoiceConfig = field(default_factory=VoiceConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    executor: ExecutorConfig = field(default_factory=ExecutorConfig)
    planning: PlanningConfig = field(default_factory=PlanningConfig)
    checks: ChecksConfig = field(default_factory=ChecksConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    book: BookConfig = field(default_factory=BookConfig)

    def __post_init__(self) -> None:
        check_numbers("", self)
        self.check_output()
        _require(
            not self.deep or self.task.name == "verify", "deep", self.deep, "only task=verify has it; give task=verify"
        )
        _require(self.deep_clips >= 1, "deep_clips", self.deep_clips, "give at least 1")
        _require(0 <= self.seed < 2**63, "seed", self.seed, "give 0 or more")
        _require(
            self.text.max_seconds <= self.model.max_seconds,
            "text.max_seconds",
            self.text.max_seconds,
            f"model={self.model.name} generates at most {self.model.max_seconds:g} s; give at most that",
        )
        _require(
            self.num_jobs >= 1, "num_jobs", self.num_jobs, "give at least 1: the number of jobs that share the run"
        )
        is_one = self.num_jobs == 1 if self.job_index is None else 0 <= self.job_index < self.num_jobs
        _require(
            is_one,
            "job_index",
            self.job_index,
            f"give the index of this job, 0 to {self.num_jobs - 1} (num_jobs={self.num_jobs})",
        )
        _require(
            self.task.name != "audiobook" or self.dataset.readings_per_text == 1,
            "dataset.readings_per_text",
            self.dataset.readings_per_text,
            "an audiobook has one reading of each text; give task=dataset",
        )
        is_split = self.text.split or self.task.name != "audiobook"
        _require(is_split, "text.split", self.text.split, "an audiobook has to be split into clips; give task=dataset")
        needs_run = self.task.name in ("verify", "status", "retry_rejects")
        advice = (
            "only task=status, verify and retry_rejects use this key; to resume a run, rerun the command that "
            "started it"
        )
        _require(needs_run or self.run is None, "run", self.run, advice)
        if needs_run:
            need = f"task={self.task.name} needs a run directory, e.g. run=outputs/story-bundled"
            _require(self.run is not None, "run", self.run, need)
