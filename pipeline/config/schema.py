"""The schemas of the configuration, and what can be said against a value before anything is loaded.

`configs/*.yaml` are composed over these dataclasses by Hydra; everything else receives plain instances of them. A
field's comment is its documentation. `__post_init__` checks values, that of `Config` combinations. Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipeline.config.checks import check_numbers
from pipeline.config.checks import require as _require
from pipeline.config.checks import require_choice as _require_choice
from pipeline.config.checks import require_entry as _require_entry
from pipeline.config.schema_executor import ExecutorConfig as ExecutorConfig
from pipeline.config.schema_output import OutputConfig
from pipeline.config.schema_text import TRAINED_ON, SourceConfig, TextConfig
from pipeline.registry import Registry

TASKS = ("audiobook", "dataset", "preview", "verify", "status", "retry_rejects")
SPEAKER_AUTO, SPEAKER_VARIED = "auto", "varied"  # of voice.speaker: the checkpoint's own; drawn from a list or its own
# Dotted, old to new. A frozen config may use the old name; on the command line it is an error that names the new one.
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
DTYPES = ("auto", "float32", "bfloat16", "float16")  # auto: bfloat16 on a GPU that is good at it, else float32
BUILTIN_MODELS = (
    "bundled",
    "untrained",
)  # need no path: the one in the package, and random weights
MAX_TOKENS = 65_536  # of a prompt or a description, far beyond what any checkpoint was trained on
AUDIO_FORMATS = ("flac", "wav", "opus", "mp3")


@dataclass
class ModelConfig:
    """A checkpoint: a name of the catalogue, a folder, or an id of the hub."""

    name: str = "untrained"
    path: str = ""  # hub id or local folder; empty for those in BUILTIN_MODELS
    revision: str | None = None  # of the hub: a commit, tag, branch or refs/pr/N; null: main
    description_tokenizer: str | None = None  # folder or hub id; null: beside the weights, else as config.json says
    description_tokenizer_revision: str | None = None  # as revision, of that repository
    speakers: list[str] = field(default_factory=list)  # names this checkpoint knows; empty: those of its catalogue
    similarity: str | None = None  # mini_v1, large_v1: a checkpoint without a catalogue knows the names of this one
    max_seconds: float = 30.0  # longest audio that it was trained for

    def __post_init__(self) -> None:
        _require(
            bool(self.path) or self.name in BUILTIN_MODELS,
            "model.path",
            self.path,
            "give a folder or a hub id: model=./my-model, model=owner/name",
        )
        _require(0 < self.max_seconds <= 30, "model.max_seconds", self.max_seconds, TRAINED_ON)


@dataclass
class StyleConfig:
    """Words of a description. An empty value leaves its clause out."""

    expressivity: str = "slightly expressive and animated"
    pace: str = "moderate speed"
    pitch: str = ""
    room: str = "very close"
    quality: str = "very clear audio"
    weight: float = 1.0  # chance of this style among several, relative

    def __post_init__(self) -> None:
        _require(self.weight > 0, "voice.style.weight", self.weight, "give a positive weight")


@dataclass
class SpeakerChoice:
    """One speaker of a list to draw from."""

    speaker: str = ""
    weight: float = 1.0

    def __post_init__(self) -> None:
        _require(self.weight > 0, "voice.speakers[].weight", self.weight, "give a positive weight")


@dataclass
class VoiceConfig:
    """Who speaks, and how: a named speaker, a free description, or lists to draw from."""

    speaker: str | None = SPEAKER_AUTO  # a name that the checkpoint knows; auto: its own for the language of the text
    description: str | None = None  # a free description; used instead of speaker and style
    style: StyleConfig = field(default_factory=StyleConfig)
    speakers: list[SpeakerChoice] = field(default_factory=list)  # drawn for each utterance
    styles: list[StyleConfig] = field(default_factory=list)  # likewise
    balance: bool = False  # each of `speakers` equally often, by position in the plan instead of by content


@dataclass
class SamplingConfig:
    """How the next code is drawn. null: as the checkpoint's own generation config says, else as `types.Sampling`."""

    do_sample: bool | None = None  # false: greedy, which tends to silence with real checkpoints
    temperature: float | None = None
    top_k: int | None = None  # 0: off
    top_p: float | None = None

    def __post_init__(self) -> None:
        t, k, p = self.temperature, self.top_k, self.top_p
        _require(t is None or t > 0, "engine.sampling.temperature", t, "give a value above 0, or do_sample=false")
        _require(k is None or k >= 0, "engine.sampling.top_k", k, "give 0 (off) or a positive number of codes")
        _require(p is None or 0 < p <= 1, "engine.sampling.top_p", p, "give a value above 0 and at most 1")


@dataclass
class EngineConfig:
    """How utterances become audio."""

    backend: str = "engine"  # engine: continuous batching; reference: upstream's generate(); or an installed one
    device: str = "auto"  # auto, cpu, cuda, cuda:1, mps
    dtype: str = "auto"
    attention: str = "sdpa"
    compile: str = "none"
    cache: str = "dynamic"
    batch_size: int = 8  # of the reference backend
    slots: int = 0  # of the engine: utterances generated at once, rounded up to a multiple of 4; 0: as many as are good
    sampling: SamplingConfig = field(default_factory=SamplingConfig)

    def __post_init__(self) -> None:
        _require_entry("engine.backend", self.backend, BACKENDS)
        _require_choice("engine.dtype", self.dtype, DTYPES)
        _require_choice("engine.attention", self.attention, ATTENTIONS)
        _require_choice("engine.compile", self.compile, COMPILE_MODES)
        _require_choice("engine.cache", self.cache, CACHES)
        _require(self.batch_size >= 1, "engine.batch_size", self.batch_size, "give at least 1")
        _require(self.slots >= 0, "engine.slots", self.slots, "give 0 (as many as are good) or a number of slots")
        _require(
            not (self.attention == "flash_attention_2" and self.cache == "static"),
            "engine.attention",
            self.attention,
            "flash attention 2 cannot read a static cache: set engine.cache=dynamic or engine.attention=sdpa",
        )


@dataclass
class PlanningConfig:
    """Shards and shapes. Lengths of a bucket are rounded up to the next value of each ladder."""

    shard_size: int = 128  # utterances in a shard, which is one Parquet file and one worker's task
    prompt_tokens: list[int] = field(default_factory=lambda: [32, 64, 128, 256, 512])
    description_tokens: list[int] = field(default_factory=lambda: [64, 128, 256])
    max_seconds: list[float] = field(default_factory=lambda: [5.0, 10.0, 20.0, 30.0])  # limits of generation
    headroom: float = 1.6  # an utterance may take that many times its predicted length before it is cut

    def __post_init__(self) -> None:
        _require(self.shard_size >= 1, "planning.shard_size", self.shard_size, "give at least 1")
        _require(self.headroom >= 1, "planning.headroom", self.headroom, "give at least 1, or every clip would be cut")
        for key in ("prompt_tokens", "description_tokens", "max_seconds"):
            ladder: list[Any] = getattr(self, key)
            is_rising = bool(ladder) and ladder == sorted(set(ladder)) and ladder[0] > 0
            _require(is_rising, f"planning.{key}", ladder, "give positive lengths in rising order")
            _require(ladder[-1] <= MAX_TOKENS, f"planning.{key}", ladder, f"no model takes more than {MAX_TOKENS}")


@dataclass
class ChecksConfig:
    """When a take is refused, and how often an utterance is tried."""

    takes: int = 3  # attempts for an utterance before it is rejected
    silence_dbfs: float = -60.0  # a clip whose loudest 50 ms stay below this is silent
    clipped_fraction: float = 0.02  # share of samples at full scale
    length_ratio: float = 2.5  # how far from the predicted length, in either direction; 0: off
    accept_last_take: bool = False  # true: write the last take with its flaw in `finish` and `flaws`, do not reject

    def __post_init__(self) -> None:
        _require(self.takes >= 1, "checks.takes", self.takes, "give at least 1")
        _require(0 < self.clipped_fraction <= 1, "checks.clipped_fraction", self.clipped_fraction, "give a share of 1")
        _require(
            self.length_ratio == 0 or self.length_ratio > 1,
            "checks.length_ratio",
            self.length_ratio,
            "give 0 (off) or more than 1",
        )


@dataclass
class DatasetConfig:
    """How shards are written."""

    format: str = "flac"
    license: str = "other"  # of the dataset, for its card
    name: str | None = None  # title of the card; default: the run's name
    readings_per_text: int = 1  # clips of each row of a table, each another reading

    def __post_init__(self) -> None:
        _require_choice("dataset.format", self.format, AUDIO_FORMATS)
        readings = self.readings_per_text
        _require(1 <= readings <= 10_000, "dataset.readings_per_text", readings, "give 1 to 10000")


@dataclass
class BookConfig:
    """How clips become a book. Pauses are in seconds."""

    clause_pause: float = 0.15
    sentence_pause: float = 0.35
    paragraph_pause: float = 0.7
    scene_pause: float = 1.6
    heading_pause: float = 1.2  # after a chapter's title
    chapter_pause: float = 2.5  # between chapters in the one file
    loudness_lufs: float = -18.0
    peak_dbfs: float = -3.0
    bitrate_kbps: int = 96  # AAC in the m4b
    narrator: str | None = None  # default: the voice's name
    cover: str | None = None  # a JPEG or PNG; default: that of an EPUB; "": none

    def __post_init__(self) -> None:
        for key in ("clause", "sentence", "paragraph", "scene", "heading", "chapter"):
            value = getattr(self, f"{key}_pause")
            _require(0 <= value <= 60, f"book.{key}_pause", value, "give seconds from 0 to 60")
        _require(-40 <= self.loudness_lufs <= -5, "book.loudness_lufs", self.loudness_lufs, "give -40 to -5 LUFS")
        _require(-20 <= self.peak_dbfs <= 0, "book.peak_dbfs", self.peak_dbfs, "give -20 to 0 dBFS")
        _require(16 <= self.bitrate_kbps <= 256, "book.bitrate_kbps", self.bitrate_kbps, "give 16 to 256 kbit/s")


@dataclass
class TaskConfig:
    """What is asked for."""

    name: str = "audiobook"
    text: str | None = None  # what a preview says
    voices: list[str] = field(default_factory=list)  # of a preview: names or descriptions, to hear side by side

    def __post_init__(self) -> None:
        _require_choice("task.name", self.name, TASKS)
        _require(self.name != "preview" or bool(self.text), "text", self.text, 'say what to speak: text="Hello there."')
        _require(self.name == "preview" or self.text is None, "text", self.text, "give task=preview to have it spoken")


@dataclass
class Config(OutputConfig):
    """One run, whole. What is printed and checked beside it: `config_output`."""

    # A file, a folder, a glob, a list [a.jsonl,b.jsonl], - for standard input (with source.format), a hub dataset with
    # source.format=datasets, or `story`: the one that ships.
    input: str = "story"
    name: str | None = None  # of the run's directory; default: from the input and the model
    output_dir: str = "outputs"
    run: str | None = None  # an existing run directory, for task=verify, status and retry_rejects
    deep: bool = False  # of task=verify: generate some clips again, and compare
    deep_clips: int = 8  # how many: spread over the shards, a quarter of them retaken ones
    seed: int = 0
    dry_run: bool = False  # plan, print, load no model, write nothing
    left_out: str | None = None  # with dry_run: write what is not spoken, and why, to this file (JSON lines)
    job_index: int | None = None  # of this job among num_jobs jobs on one run, from 0; null: the only one
    num_jobs: int = 1  # jobs that share the run, e.g. a Slurm array
    task: TaskConfig = field(default_factory=TaskConfig)
    source: SourceConfig = field(default_factory=SourceConfig)
    text: TextConfig = field(default_factory=TextConfig)
    voice: VoiceConfig = field(default_factory=VoiceConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    executor: ExecutorConfig = field(default_factory=ExecutorConfig)
    planning: PlanningConfig = field(default_factory=PlanningConfig)
    checks: ChecksConfig = field(default_factory=ChecksConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    book: BookConfig = field(default_factory=BookConfig)

    def __post_init__(self) -> None:
        check_numbers("", self)
        self.check_output()
        _require(not self.deep or self.task.name == "verify", "deep", self.deep, "give task=verify with it")
        _require(self.deep_clips >= 1, "deep_clips", self.deep_clips, "give at least 1")
        _require(0 <= self.seed < 2**63, "seed", self.seed, "give 0 or more")
        _require(
            self.text.max_seconds <= self.model.max_seconds,
            "text.max_seconds",
            self.text.max_seconds,
            f"model={self.model.name} was trained on at most {self.model.max_seconds:g} s",
        )
        _require(self.num_jobs >= 1, "num_jobs", self.num_jobs, "give the number of jobs that share the run")
        is_one = self.num_jobs == 1 if self.job_index is None else 0 <= self.job_index < self.num_jobs
        _require(is_one, "job_index", self.job_index, f"say which of the num_jobs={self.num_jobs} jobs, from 0")
        _require(
            self.task.name != "audiobook" or self.dataset.readings_per_text == 1,
            "dataset.readings_per_text",
            self.dataset.readings_per_text,
            "a book is read once; give task=dataset",
        )
        is_split = self.text.split or self.task.name != "audiobook"
        _require(is_split, "text.split", self.text.split, "a book does not fit into one clip; give task=dataset")
        if self.task.name in ("verify", "status", "retry_rejects"):
            _require(self.run is not None, "run", self.run, "name the run directory, e.g. run=outputs/story-bundled")
