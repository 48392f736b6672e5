"""Data that passes between the stages: frozen dataclasses without torch and without I/O.

A `Document` is cut into `Segment`s. A segment, a voice and a seed make an `Utterance`. Utterances are grouped into
`Shard`s, and each has the `Bucket` (padded shape) that it is generated in. A synthesizer turns an utterance into a
`Clip`. An utterance without an acceptable clip becomes a `Reject`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"  # IPTC's term
# Comment in every audio file that is written, for people and for programs that search for the IPTC term.
SYNTHETIC_SPEECH = f"Synthetic speech. digitalSourceType={DIGITAL_SOURCE_TYPE}"


class Boundary(str, Enum):
    """What follows a segment in the text; it decides the pause in an audiobook."""

    NONE = "none"  # cut inside a clause, because of the length limit
    CLAUSE = "clause"  # cut at a comma, semicolon or dash of a sentence that is too long
    SENTENCE = "sentence"
    HEADING = "heading"  # after the title of a chapter
    PARAGRAPH = "paragraph"
    SCENE = "scene"
    CHAPTER = "chapter"


class Finish(str, Enum):
    """Why generation of a clip ended."""

    EOS = "eos"  # the model ended the audio
    MAX_FRAMES = "max_frames"  # the length limit: the end of the text may be missing, or the model did not stop


@dataclass(frozen=True)
class Paragraph:
    """A block of text, verbatim: `text == document.text[start : start + len(text)]`."""

    text: str
    start: int  # offset into Document.text, in characters
    boundary: Boundary = Boundary.PARAGRAPH  # what follows it
    is_heading: bool = False
    keeps_lines: bool = False  # verse or an address: each line end is a pause


@dataclass(frozen=True)
class Chapter:
    """A chapter with its title; the heading, if there is one, is the first paragraph."""

    title: str
    paragraphs: tuple[Paragraph, ...]


@dataclass(frozen=True)
class Skip:
    """A span of the source that is not spoken, with the reason. Everything that is left out has one."""

    start: int
    end: int
    reason: str  # a value of text.skip_reasons.Reason
    detail: str = ""  # what is missing, if it is not in the text, e.g. a page that cannot be read


@dataclass(frozen=True)
class Document:
    """One source text: a book, or a row of a table.

    Every character of `text` that is not white space is in exactly one paragraph or skip.
    """

    id: str
    text: str
    chapters: tuple[Chapter, ...]
    skips: tuple[Skip, ...] = ()
    title: str = ""
    author: str = ""
    language: str = "en"
    speaker: str | None = None  # of a row, if the table has a column of speakers
    description: str | None = None  # of a row, if the table has a column of descriptions
    copy: int | None = None  # index of this clip, if the row has several
    has_own_id: bool = True  # False: the id is the row number, which changes when a row is inserted
    seed: int | None = None  # of a row, used without change
    split: str = ""  # of the dataset that its clips belong to; "": train
    columns: Mapping[str, Any] = field(default_factory=dict, hash=False)  # other columns of the row: plain JSON values
    num_pages: int = 0  # files of an EPUB that contain words


@dataclass(frozen=True)
class Segment:
    """A span of source text that is spoken in one generation.

    Concatenated, the texts of the segments of a paragraph are the paragraph; white space between two segments belongs
    to the first.
    """

    source_id: str
    chapter: int  # index into Document.chapters
    index: int  # position in the document, in reading order
    start: int  # offsets into Document.text, in characters
    end: int
    text: str  # exactly as written
    spoken: str  # the normalized form, the input of the model
    boundary: Boundary
    problem: str | None = None  # why it cannot be spoken, e.g. only symbols; None: it can


@dataclass(frozen=True)
class Utterance:
    """One unit of generation. `prompt` and `description` are enough from Python; the pipeline fills in the rest."""

    prompt: str  # words to be spoken
    description: str  # how the voice sounds
    seed: int = 0  # 0 <= seed < 2**63; the only source of randomness of this utterance
    id: str = ""  # unique in a run
    speaker: str | None = None
    predicted_seconds: float = 0.0  # 0: not predicted
    segment: Segment | None = None
    bucket: Bucket | None = None  # padded shape, which depends on this utterance only; None: no padding
    problem: str | None = None  # why it is rejected before generation: that of its segment, or no bucket fits
    priority: bool = False  # generate it before others, because somebody is waiting to hear it
    language: str = ""  # of the text; "": that of the run
    split: str = ""  # of the dataset; "": train
    file_stem: str = ""  # of its audio file in the dataset; "": derived from the id
    columns: Mapping[str, Any] = field(default_factory=dict, hash=False)  # other columns of its row: plain JSON values


@dataclass(frozen=True, order=True)
class Bucket:
    """A padded shape of the model's input. A length of 0 means the length of the longest row of the batch."""

    prompt_tokens: int  # P, with padding on the left
    description_tokens: int  # D, with padding on the right
    max_frames: int  # T, maximum length of generation
    batch_size: int  # B


@dataclass(frozen=True)
class Shard:
    """The utterances of one output file in reading order: the unit of scheduling, resuming and writing."""

    index: int
    utterances: tuple[Utterance, ...]


@dataclass(frozen=True)
class Flaw:
    """A reason against a take."""

    code: str  # stays the same from version to version
    detail: str  # what was measured and what is allowed

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


@dataclass(frozen=True)
class Clip:
    """Generated audio of one utterance, without padding."""

    utterance: Utterance
    samples: npt.NDArray[np.float32]  # [N], mono
    sampling_rate: int  # Hz
    num_frames: int  # codec frames
    finish: Finish
    take: int = 0  # attempt, counted from 0
    seed: int = 0  # that this take was generated with
    measures: Mapping[str, Any] = field(default_factory=dict)  # results of the checks, by column
    flaws: tuple[Flaw, ...] = ()  # what the checks found

    @property
    def seconds(self) -> float:
        """Length of the audio in seconds."""
        return len(self.samples) / self.sampling_rate


@dataclass(frozen=True)
class Column:
    """A column of the dataset."""

    name: str
    dtype: str | Mapping[str, Any]  # a name that `datasets` knows, "audio", or a type of `planning.kept_columns`
    meaning: str  # for the card


@dataclass(frozen=True)
class Reject:
    """An utterance without an accepted clip, and the reason. `takes` is 0 if it was rejected before generation."""

    utterance: Utterance
    reason: str
    takes: int
    seeds: tuple[int, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the object of one line of `rejects.jsonl`."""
        segment = self.utterance.segment
        return {
            "id": self.utterance.id,
            "reason": self.reason,
            "takes": self.takes,
            "seeds": list(self.seeds),
            "seed": self.utterance.seed,
            "speaker": self.utterance.speaker,
            "text": segment.text if segment else self.utterance.prompt,
            "prompt": self.utterance.prompt,
            "description": self.utterance.description,
            "source_id": segment.source_id if segment else "",
            "chapter": segment.chapter if segment else 0,
        }


@dataclass(frozen=True)
class Sampling:
    """How codes are sampled. The defaults are those of the published checkpoints."""

    do_sample: bool = True
    temperature: float = 1.0
    top_k: int = 50  # 0: off
    top_p: float = 1.0


@dataclass(frozen=True)
class ModelInfo:
    """Facts about a model that other stages need."""

    model_id: str  # hub id or folder, as the user gave it
    revision: str  # commit of the hub, or a hash of the local files
    sampling_rate: int  # Hz
    frames_per_second: float
    max_frames: int  # T, maximum of the checkpoint
    num_codebooks: int  # K
    dtype: str
    device: str
    description_tokenizer: str = ""  # id@revision of a tokenizer that is not part of the checkpoint
