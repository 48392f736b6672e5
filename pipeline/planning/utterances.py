"""Turn documents into utterances in reading order, and group utterances into shards.

Documents are processed as a stream. The caller passes the function that splits a document into segments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from pipeline.errors import SourceError
from pipeline.planning.duration import predict_seconds
from pipeline.planning.occurrences import Occurrences
from pipeline.planning.plan_format import safe_file_stem
from pipeline.seeds import content_digest, reading_seed, utterance_seed
from pipeline.types import Boundary, Document, Segment, Shard, Utterance
from pipeline.voices import Casting, Voice


def plan_utterances(
    documents: Iterable[Document],
    segment: Callable[[Document], list[Segment]],
    casting: Casting,
    run_seed: int,
    ids_may_repeat: bool = True,
) -> Iterator[Utterance]:
    """Yield the utterances of all documents in reading order, without a bucket.

    A segment with a problem yields an utterance with this problem, so that planned = written + rejected. A document
    without segments yields one such utterance. Utterances with the same prompt and description get different seeds, see
    `seeds.utterance_seed`.

    Args:
        documents: The documents of the input.
        segment: Splits a document into segments.
        casting: Assigns the voices.
        run_seed: Seed of the run.
        ids_may_repeat: Whether to check that ids are unique; false for generated ids.

    Raises:
        SourceError: An id occurs twice.
    """
    counts = Occurrences()  # of texts, rows without an id, ids and file names
    language = None
    try:
        for number, document in enumerate(documents, start=1):
            language = language or document.language
            segments = segment(document) or [_nothing_to_say(document)]
            name = document.id if document.copy is None else f"{document.id}-{document.copy}"
            drawn_by = name if document.has_own_id else _name_of_content(document, counts)
            for part in segments:
                utterance = replace(
                    _utterance(document, part, casting.cast_next(document, part, drawn_by, run_seed)),
                    id=name if len(segments) == 1 else f"{name}-{part.index:05d}",
                    language="" if document.language == language else document.language,
                )
                if ids_may_repeat:
                    utterance = _with_unique_names(utterance, number, counts)
                yield _seeded(utterance, document.seed, run_seed, counts)
    finally:
        counts.close()


def repeat_documents(documents: Iterable[Document], num_readings: int) -> Iterator[Document]:
    """Yield `num_readings` copies of each document, with different seeds."""
    for document in documents:
        for reading in range(num_readings):
            if num_readings == 1:
                yield document
                continue
            copy = (document.copy or 0) * num_readings + reading
            seed = None if document.seed is None else reading_seed(document.seed, reading)
            yield replace(document, copy=copy, seed=seed)


def group_into_shards(utterances: Iterable[Utterance], shard_size: int) -> Iterator[Shard]:
    """Yield shards of `shard_size` utterances in reading order. Each has one split; the last may be smaller."""
    index = 0
    open_shards: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        members = open_shards.setdefault(utterance.split, [])
        members.append(utterance)
        if len(members) == shard_size:
            yield Shard(index, tuple(members))
            index += 1
            members.clear()
    for members in filter(None, open_shards.values()):
        yield Shard(index, tuple(members))
        index += 1


def _name_of_content(document: Document, counts: Occurrences) -> str:
    """Return a name for a row without an id, from its content and the number of earlier rows with this content."""
    content = ("row", document.text, document.speaker or "", document.description or "")
    occurrence = counts.add(*content)
    name = content_digest(*content).hex()
    return f"{name}-{occurrence}" if occurrence else name


def _with_unique_names(utterance: Utterance, number: int, counts: Occurrences) -> Utterance:
    """Check that the id is unique, and set another file name if that of the id is already used."""
    if counts.add("id", utterance.id):
        raise SourceError(
            f"the id {utterance.id!r} of source text number {number} is already used by an earlier one; "
            "make the ids unique, or set source.id_column=null to number the rows"
        )
    stem, is_taken = safe_file_stem(utterance.id), False
    while counts.add("file", stem.lower()):
        stem, is_taken = safe_file_stem(f"{utterance.id} {stem}"), True
    return replace(utterance, file_stem=stem) if is_taken else utterance


def _seeded(utterance: Utterance, own_seed: int | None, run_seed: int, counts: Occurrences) -> Utterance:
    """Set the seed. Utterances with a problem are not counted, because they are not spoken."""
    prompt, description = utterance.prompt, utterance.description
    if own_seed is not None:
        return replace(utterance, seed=own_seed)
    occurrence = 0 if utterance.problem else counts.add("text", prompt, description)
    return replace(utterance, seed=utterance_seed(run_seed, prompt, description, occurrence))


def _utterance(document: Document, segment: Segment, voice: Voice) -> Utterance:
    return Utterance(
        prompt=segment.spoken,
        description=voice.description,
        speaker=voice.speaker,
        predicted_seconds=0.0 if segment.problem else predict_seconds(segment.spoken),
        segment=segment,
        problem=segment.problem,
        split=document.split,
        columns=document.columns,
    )


def _nothing_to_say(document: Document) -> Segment:
    """Return a segment with a problem for a document without segments, so that it is recorded as a reject."""
    return Segment(
        source_id=document.id,
        chapter=0,
        index=0,
        start=0,
        end=len(document.text),
        text=document.text,
        spoken="",
        boundary=Boundary.CHAPTER,
        problem="empty: the text has nothing to say",
    )
