"""Arrow schema of the dataset, and conversion of clips to rows.

Audio is encoded once, in `make_row`. Rows that are reused in another shard are copied without decoding.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import soundfile

from pipeline.audio.encoding import audio_format, decode, encode, stored_rate
from pipeline.errors import RunDirectoryError
from pipeline.planning import safe_file_stem
from pipeline.planning.dataset_schema import COLUMN_NAMES, COLUMNS
from pipeline.planning.kept_columns import NO_COLUMNS, Type, arrow_type, feature
from pipeline.quality.flaws import join_flaws
from pipeline.quality.signal import measure
from pipeline.types import Boundary, Clip, ModelInfo, Utterance

_ARROW_TYPES = {
    "string": pa.string(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "audio": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
}


def arrow_schema(sampling_rate: int, kept_columns: Mapping[str, Type] = NO_COLUMNS) -> pa.Schema:
    """Return the schema of every shard: `COLUMNS`, then the columns kept from the input.

    The metadata equals that of `datasets.Features(...).arrow_schema`. It is built here because importing `datasets`
    takes seconds in every worker, and encoding with its `Audio` requires torchcodec.
    """
    features: dict[str, Any] = {}
    for column in COLUMNS:
        if column.dtype == "audio":
            features[column.name] = {"sampling_rate": sampling_rate, "_type": "Audio"}
        else:
            features[column.name] = {"dtype": column.dtype, "_type": "Value"}
    features |= {name: feature(column) for name, column in kept_columns.items()}
    return pa.schema(
        [(column.name, _ARROW_TYPES[str(column.dtype)]) for column in COLUMNS]
        + [(name, arrow_type(column)) for name, column in kept_columns.items()],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )


@dataclass(frozen=True)
class Row:
    """A stored clip: encoded audio and all other columns."""

    columns: Mapping[str, Any]  # name -> value; only the requested columns if the row was read from a shard
    key: str  # content hash of the utterance; identifies clips that can be reused after the text was edited

    @property
    def id(self) -> str:
        """Identifier of the clip, unique in a run."""
        return str(self.columns["id"])

    @property
    def audio(self) -> bytes:
        """Encoded audio file."""
        return bytes(self.columns["audio"]["bytes"])

    def audio_sha256(self) -> str:
        """Return the SHA-256 of the encoded audio, in hexadecimal."""
        return hashlib.sha256(self.audio).hexdigest()

    def decode(self) -> tuple[npt.NDArray[np.float32], int]:
        """Return samples [N] and the sampling rate in Hz.

        Raises:
            RunDirectoryError: The audio is damaged.
        """
        try:
            return decode(self.audio)
        except soundfile.LibsndfileError as error:
            raise RunDirectoryError(
                f"clip {self.id}: the audio is damaged ({error}). Run task=verify to list all damage, delete the "
                "Parquet file of the shard that contains the clip, and rerun the same command to generate it again"
            ) from error


def make_row(clip: Clip, key: str, language: str, model: ModelInfo, format_name: str = "flac") -> Row:
    """Encode an accepted clip as a row.

    Args:
        clip: A clip that `quality.flaws.is_writable` accepts.
        key: Content hash of its utterance.
        language: Language of the run, used if the utterance has none.
        model: The model that generated the clip.
        format_name: Audio format, see `audio.encoding`.
    """
    form = audio_format(format_name)
    measures = clip.measures or measure(clip.samples, clip.sampling_rate)
    columns = {
        "audio": {"bytes": encode(clip.samples, clip.sampling_rate, format_name), "path": form.suffix},
        "duration": clip.seconds,
        "sampling_rate": stored_rate(clip.sampling_rate, format_name),
        "num_frames": clip.num_frames,
        "seed": clip.seed,
        "take": clip.take,
        "finish": clip.finish.value,
        "flaws": join_flaws(clip.flaws),
        "model_id": model.model_id,
        "model_revision": model.revision,
        **measures,
    }
    return renew_row(Row(columns, key), clip.utterance, language, measures)


def renew_row(row: Row, utterance: Utterance, language: str, check_columns: Collection[str] = ()) -> Row:
    """Reuse a row for an utterance of a new plan.

    Audio and measures are kept; the id, the texts and the position in the source come from the utterance.

    Args:
        row: The row to reuse.
        utterance: Must have the same key, that is the same prompt, description and seed.
        language: Language of the run.
        check_columns: Names of the columns that additional checks measured; they are kept too.
    """
    suffix = "." + row.columns["audio"]["path"].rpartition(".")[2]
    return dataclasses.replace(
        row,
        columns={
            **{name: value for name, value in row.columns.items() if name in COLUMN_NAMES or name in check_columns},
            **utterance.columns,
            "audio": {"bytes": row.audio, "path": (utterance.file_stem or safe_file_stem(utterance.id)) + suffix},
            **planned_columns(utterance, language),
        },
    )


def planned_columns(utterance: Utterance, language: str) -> dict[str, Any]:
    """Return the columns that depend only on the plan; `language` is the default of the run."""
    segment = utterance.segment
    return {
        "id": utterance.id,
        "text": segment.text if segment else utterance.prompt,
        "text_normalized": utterance.prompt,
        "text_description": utterance.description,
        "speaker_id": utterance.speaker,
        "language": utterance.language or language,
        "source_id": segment.source_id if segment else "",
        "chapter": segment.chapter if segment else 0,
        "segment_index": segment.index if segment else 0,
        "source_start": segment.start if segment else 0,
        "source_end": segment.end if segment else len(utterance.prompt),
        "boundary": (segment.boundary if segment else Boundary.NONE).value,
    }
