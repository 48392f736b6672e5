"""Configuration: its schema and validation, composition from the command line, and the frozen config of a run.

`schema` and `schema_*` define the dataclasses, `compose` fills them from the command line with Hydra, and `frozen`
reads and writes `config.yaml` in a run directory. The package exports the schema only and imports neither Hydra nor
torch.
"""

from __future__ import annotations

from pipeline.config.schema import (
    ATTENTIONS,
    AUDIO_FORMATS,
    BACKENDS,
    BUILTIN_MODELS,
    CACHES,
    COMPILE_MODES,
    DTYPES,
    MAX_TOKENS,
    RENAMED_KEYS,
    SPEAKER_AUTO,
    SPEAKER_VARIED,
    TASKS,
    BookConfig,
    Config,
    DatasetConfig,
    EngineConfig,
    ModelConfig,
    PlanningConfig,
    SamplingConfig,
    SpeakerChoice,
    StyleConfig,
    TaskConfig,
    VoiceConfig,
)
from pipeline.config.schema_checks import ChecksConfig
from pipeline.config.schema_executor import ExecutorConfig
from pipeline.config.schema_output import OutputConfig
from pipeline.config.schema_quality import QualityConfig, TranscriptConfig
from pipeline.config.schema_text import DEFAULT_LANGUAGE, LANGUAGE_CODE, SourceConfig, TextConfig, source_formats

__all__ = [
    "ATTENTIONS",
    "AUDIO_FORMATS",
    "BACKENDS",
    "BUILTIN_MODELS",
    "CACHES",
    "COMPILE_MODES",
    "DEFAULT_LANGUAGE",
    "DTYPES",
    "LANGUAGE_CODE",
    "MAX_TOKENS",
    "RENAMED_KEYS",
    "SPEAKER_AUTO",
    "SPEAKER_VARIED",
    "TASKS",
    "BookConfig",
    "ChecksConfig",
    "Config",
    "DatasetConfig",
    "EngineConfig",
    "ExecutorConfig",
    "ModelConfig",
    "OutputConfig",
    "PlanningConfig",
    "QualityConfig",
    "SamplingConfig",
    "SourceConfig",
    "SpeakerChoice",
    "StyleConfig",
    "TaskConfig",
    "TextConfig",
    "TranscriptConfig",
    "VoiceConfig",
    "source_formats",
]
