"""The columns of the dataset. Names of input columns are planned around them, before there is a clip."""

from __future__ import annotations

from pipeline.types import Boundary, Column

COLUMNS = (
    Column("id", "string", "unique in the dataset"),
    Column("audio", "audio", "the clip, mono"),
    Column("text", "string", "as written in the source"),
    Column("text_normalized", "string", "as spoken: what the model was given to say"),
    Column("text_description", "string", "the voice that the model was asked for, in words"),
    Column("speaker_id", "string", "name of the speaker, null when only described"),
    Column("language", "string", "language code of the text"),
    Column("duration", "float64", "seconds"),
    Column("sampling_rate", "int32", "Hz"),
    Column("num_frames", "int32", "frames of the audio codec"),
    Column("seed", "int64", "seed of this take: the same seed, model and settings give the same audio"),
    Column("take", "int32", "attempt that was accepted, counted from 0"),
    Column("finish", "string", "`eos`: the model ended by itself; `max_frames`: it was cut at the limit"),
    Column("flaws", "string", "what the checks found and the settings put up with; usually empty"),
    Column("model_id", "string", "checkpoint"),
    Column("model_revision", "string", "its commit, or a hash of its files"),
    Column("source_id", "string", "document or row that the text is from"),
    Column("chapter", "int32", "index of the chapter, from 0"),
    Column("segment_index", "int32", "position in the document, from 0"),
    Column("source_start", "int64", "offset of the text in its document, in characters"),
    Column("source_end", "int64", "end of the text in its document"),
    Column("boundary", "string", f"what follows in the source: {', '.join(kind.value for kind in Boundary)}"),
    Column("peak_dbfs", "float32", "largest sample"),
    Column("rms_dbfs", "float32", "mean level"),
    Column("loudest_50ms_dbfs", "float32", "level of the loudest 50 ms"),
    Column("clipped_fraction", "float32", "share of samples at full scale"),
    Column("leading_silence_seconds", "float32", "before the first sound above -60 dBFS"),
    Column("trailing_silence_seconds", "float32", "after the last sound above -60 dBFS"),
)

COLUMN_NAMES = frozenset(column.name for column in COLUMNS)
