"""Standard columns of the dataset. Planning uses their names to rename columns of the input that conflict."""

from __future__ import annotations

from pipeline.types import Boundary, Column

COLUMNS = (
    Column("id", "string", "unique in the dataset"),
    Column("audio", "audio", "the clip, mono"),
    Column("text", "string", "as written in the source"),
    Column("text_normalized", "string", "spoken form of the text, as given to the model"),
    Column("text_description", "string", "description of the voice, as given to the model"),
    Column("speaker_id", "string", "name of the speaker; null if the voice has only a description"),
    Column("language", "string", "language code of the text"),
    Column("duration", "float64", "seconds"),
    Column("sampling_rate", "int32", "Hz"),
    Column("num_frames", "int32", "frames of the audio codec"),
    Column("seed", "int64", "seed of this take; the same seed, model and settings give the same audio"),
    Column("take", "int32", "accepted attempt, counted from 0"),
    Column("finish", "string", "`eos`: the model ended the clip; `max_frames`: the clip reached the length limit"),
    Column("flaws", "string", "flaws found by the checks and accepted by the settings; usually empty"),
    Column("model_id", "string", "checkpoint"),
    Column("model_revision", "string", "commit of the checkpoint, or a hash of its files"),
    Column("source_id", "string", "id of the source document or row"),
    Column("chapter", "int32", "index of the chapter, counted from 0"),
    Column("segment_index", "int32", "position in the document, counted from 0"),
    Column("source_start", "int64", "start offset of the text in its document, in characters"),
    Column("source_end", "int64", "end offset of the text in its document, in characters"),
    Column("boundary", "string", f"boundary after the text: {', '.join(kind.value for kind in Boundary)}"),
    Column("peak_dbfs", "float32", "level of the largest sample"),
    Column("rms_dbfs", "float32", "mean level"),
    Column("loudest_50ms_dbfs", "float32", "level of the loudest 50 ms"),
    Column("clipped_fraction", "float32", "share of samples at full scale"),
    Column("leading_silence_seconds", "float32", "before the first sound above -60 dBFS"),
    Column("trailing_silence_seconds", "float32", "after the last sound above -60 dBFS"),
)

COLUMN_NAMES = frozenset(column.name for column in COLUMNS)
