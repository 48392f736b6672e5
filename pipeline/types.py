"""The values that pass between the stages: frozen, without torch, without I/O.

The journey: a `Document` is cut into `Segment`s; a segment, a voice and a seed make an `Utterance`; utterances are
dealt into `Shard`s, each utterance with the `Bucket` (the shape) it is generated in; a synthesizer turns an utterance
into a `Clip`; a clip is accepted or its utterance ends as a `Reject`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"  # IPTC's term
# The comment of every audio file that is written, for people and for programs that look for the term.
SYNTHETIC_SPEECH = f"Synthetic speech. digitalSourceType={DIGITAL_SOURCE_TYPE}"


class Boundary(str, Enum):
    """What follows a segment in the text. It becomes a pause in a book."""

    NONE = "none"  # cut inside a clause, where only the length limit asked for it
    CLAUSE = "clause"  # cut at a comma, semicolon, dash ... of an over-long sentence
    SENTENCE = "sentence"
    HEADING = "heading"  # after the title of a chapter
    PARAGRAPH = "paragraph"
    SCENE = "scene"
    CHAPTER = "chapter"


class Finish(str, Enum):
    """Why generation of a clip ended."""

    EOS = "eos"  # the model ended the audio itself
    MAX_FRAMES = "max_frames"  # it ran into the limit: the text may be cut, or the model ran away


@dataclass(frozen=True)
class Paragraph:
    """A block of text, verbatim: `text == document.text[start : start + len(text)]`."""

    text: str
    start: int  # offset into Document.text, in characters
    boundary: Boundary = Boundary.PARAGRAPH  # what follows it
    is_heading: bool = False
    keeps_lines: bool = False  # its line ends are those of verse or of an address: each is heard


@dataclass(frozen=True)
class Chapter:
    """A titled run of paragraphs; the heading, when there is one, is the first of them."""

    title: str
    paragraphs: tuple[Paragraph, ...]


@dataclass(frozen=True)
class Skip:
    """A span of the source that is not spoken, and why. Nothing is left out without one."""

    start: int
    end: int
    reason: str  # a value of text.reasons.Reason
    detail: str = ""  # what is missing, where the text has no words of it: a page that cannot be read


@dataclass(frozen=True)
class Document:
    """One source text: a whole book, or one row of a table.

    Every character of `text` that is not white space lies in exactly one paragraph or one skip.
    """

    id: str
    text: str
    chapters: tuple[Chapter, ...]
    skips: tuple[Skip, ...] = ()
    title: str = ""
    author: str = ""
    language: str = "en"
    speaker: str | None = None  # a row's own voice, when the table has such a column
    description: str | None = None  # a row's own description, likewise
    copy: int | None = None  # which one of the row's clips, if it has several
    has_own_id: bool = True  # False: the id is the number of the row, which changes when a row is inserted
    seed: int | None = None  # the row's own seed, used as it is
    split: str = ""  # of the dataset that its clips are written to; empty: train
    columns: Mapping[str, Any] = field(default_factory=dict, hash=False)  # other columns of the row: plain JSON values
    num_pages: int = 0  # files with words in an EPUB


@dataclass(frozen=True)
class Segment:
    """A span of source text spoken in one generation.

    The texts of a paragraph's segments, put together, are the paragraph: white space between two of them belongs to the
    first.
    """

    source_id: str
    chapter: int  # index into Document.chapters
    index: int  # position in the document, in reading order
    start: int  # offsets into Document.text, in characters
    end: int
    text: str  # exactly as written
    spoken: str  # the normalised form, which is what the model is given
    boundary: Boundary
    problem: str | None = None  # why this cannot be spoken (empty, only symbols, an endless word); None: it can


@dataclass(frozen=True)
class Utterance:
    """One unit of generation. A Python user needs a prompt and a description; the pipeline fills in the rest."""

    prompt: str  # the words to be spoken
    description: str  # the text that describes the voice
    seed: int = 0  # 0 <= seed < 2**63; all randomness of this utterance comes from it
    id: str = ""  # unique in a run
    speaker: str | None = None
    predicted_seconds: float = 0.0  # 0: not predicted
    segment: Segment | None = None
    bucket: Bucket | None = None  # the shape it is generated in, a function of this utterance alone; None: unpadded
    problem: str | None = None  # why it is rejected without being generated (its segment's, or it fits no bucket)
    priority: bool = False  # somebody waits to hear it: it is generated before others
    language: str = ""  # of the text; empty: that of the run
    split: str = ""  # of the dataset that it is written to; empty: train
    file_stem: str = ""  # name of its audio in the dataset, without suffix; empty: made of the id
    columns: Mapping[str, Any] = field(default_factory=dict, hash=False)  # other columns of its row: plain JSON values


@dataclass(frozen=True, order=True)
class Bucket:
    """A shape that the model sees. A length of 0 means: as long as the longest row of the batch."""

    prompt_tokens: int  # P, padded on the left
    description_tokens: int  # D, padded on the right
    max_frames: int  # T, the limit of generation
    batch_size: int  # B


@dataclass(frozen=True)
class Shard:
    """The utterances of one output file, in reading order: the unit of work, of resume and of writing."""

    index: int
    utterances: tuple[Utterance, ...]


@dataclass(frozen=True)
class Clip:
    """Finished audio of one utterance, trimmed to its own length."""

    utterance: Utterance
    samples: npt.NDArray[np.float32]  # [N], mono
    sampling_rate: int  # Hz
    num_frames: int  # codec frames
    finish: Finish
    take: int = 0  # which attempt this is, counted from 0
    seed: int = 0  # the seed that this take really used
    measures: Mapping[str, Any] = field(default_factory=dict)  # what the checks measured, by column

    @property
    def seconds(self) -> float:
        """Length of the audio in seconds."""
        return len(self.samples) / self.sampling_rate


@dataclass(frozen=True)
class Column:
    """A column of the dataset."""

    name: str
    dtype: str  # a name that `datasets` knows, or "audio"
    meaning: str  # for the card


@dataclass(frozen=True)
class Reject:
    """An utterance that was not written, and why. `takes` is 0 when it was refused before generation."""

    utterance: Utterance
    reason: str
    takes: int
    seeds: tuple[int, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """One line of `rejects.jsonl`."""
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
    """How the next code is drawn. The defaults are what the checkpoints were published with."""

    do_sample: bool = True
    temperature: float = 1.0
    top_k: int = 50  # 0: off
    top_p: float = 1.0


@dataclass(frozen=True)
class ModelInfo:
    """What the stages around a synthesizer need to know about its model."""

    model_id: str  # hub id or folder, as the user gave it
    revision: str  # commit of the hub, or a hash of the local files
    sampling_rate: int  # Hz
    frames_per_second: float
    max_frames: int  # T, what the checkpoint was made for
    num_codebooks: int  # K
    dtype: str
    device: str
    description_tokenizer: str = ""  # id@revision of a tokenizer that is not part of the checkpoint
