"""The columns of a dataset, and the row that a clip becomes.

Owns names, types and meanings of the columns, and the schema that `datasets` reads them by. Knows nothing of shards or
files. Audio is encoded here, once: a row is copied from shard to shard without being decoded.
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
    """The schema of every shard: our columns, then those of the input that go through.

    Its metadata is what `datasets.Features(...).arrow_schema` would hold, written by hand because importing
    `datasets` takes seconds in every worker, and encoding with its `Audio` needs torchcodec.
    """
    features: dict[str, Any] = {}
    for column in COLUMNS:
        if column.dtype == "audio":
            features[column.name] = {"sampling_rate": sampling_rate, "_type": "Audio"}
        else:
            features[column.name] = {"dtype": column.dtype, "_type": "Value"}
    features |= {name: feature(column) for name, column in kept_columns.items()}
    return pa.schema(
        [(column.name, _ARROW_TYPES[column.dtype]) for column in COLUMNS]
        + [(name, arrow_type(column)) for name, column in kept_columns.items()],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )


@dataclass(frozen=True)
class Row:
    """A clip as it is stored: encoded audio and everything known about it.

    `columns` is by name of `COLUMNS` and of the input's columns; a row that was read may have only some. `key` is
    the content hash under which the clip can be found again when a text was edited.
    """

    columns: Mapping[str, Any]
    key: str

    @property
    def id(self) -> str:
        """Unique in a run."""
        return str(self.columns["id"])

    @property
    def audio(self) -> bytes:
        """The encoded audio."""
        return bytes(self.columns["audio"]["bytes"])

    def audio_sha256(self) -> str:
        """Hash of the encoded audio, in hexadecimal."""
        return hashlib.sha256(self.audio).hexdigest()

    def decode(self) -> tuple[npt.NDArray[np.float32], int]:
        """Return samples [N] and the sampling rate in Hz."""
        try:
            return decode(self.audio)
        except soundfile.LibsndfileError as error:
            raise RunDirectoryError(
                f"clip {self.id}: its audio is damaged ({error}): task=verify lists what else is; delete the shard's "
                "Parquet file and give the same command again to make it anew"
            ) from error


def make_row(clip: Clip, key: str, language: str, model: ModelInfo, format_name: str = "flac") -> Row:
    """Encode a clip. Its flaws are those that the settings accept; see `quality.flaws.is_writable`."""
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
    """The same audio for an utterance of another plan: id, texts and place are the new ones, bytes and measures stay.

    Only for an utterance with the row's key, that is with the same prompt, description and seed. `check_columns` are
    those that extra checks have measured.
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
    """Return the columns that the plan alone decides; `language` is that of the run."""
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
