"""From documents to utterances in reading order, and from utterances to shards.

Owns what every utterance of a plan is called and made of. It streams: a million rows pass through one at a time. It
does not know how text is cut (that is given as a function), nor which shapes the model sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from pipeline.errors import SourceError
from pipeline.planning.seconds import predict_seconds
from pipeline.seeds import content_digest, utterance_seed
from pipeline.types import Boundary, Document, Segment, Shard, Utterance
from pipeline.voices import Casting


def plan_utterances(
    documents: Iterable[Document],
    segment: Callable[[Document], list[Segment]],
    casting: Casting,
    run_seed: int,
    ids_may_repeat: bool = True,
) -> Iterator[Utterance]:
    """Yields the utterances of all documents in reading order, without a bucket.

    A segment with a problem comes through as well, with that problem, so that what is planned is always what is written
    plus what is rejected. A document without any segment yields one such utterance.

    Raises:
        SourceError: an id occurs twice. That is looked for where `ids_may_repeat`: ids are then remembered as 64-bit
            hashes, about 75 bytes each. For a million ids the chance is one in 30 million that two different ones meet
            and the run is refused for nothing.
    """
    seen: set[int] = set()
    for number, document in enumerate(documents, start=1):
        segments = segment(document) or [_nothing_to_say(document)]
        for part in segments:
            utterance = _utterance(document, part, len(segments) == 1, casting, run_seed)
            key = int.from_bytes(content_digest(utterance.id), "big") if ids_may_repeat else None
            if key in seen:
                raise SourceError(
                    f"the id {utterance.id!r} of source text number {number} is already taken by an earlier one: "
                    "make the ids unique, or set source.id_column=null to number the rows"
                )
            if key is not None:
                seen.add(key)
            yield utterance


def deal(utterances: Iterable[Utterance], shard_size: int) -> Iterator[Shard]:
    """Yields shards of `shard_size` utterances in reading order; the last may be smaller."""
    index = 0
    hand: list[Utterance] = []
    for utterance in utterances:
        hand.append(utterance)
        if len(hand) == shard_size:
            yield Shard(index, tuple(hand))
            index, hand = index + 1, []
    if hand:
        yield Shard(index, tuple(hand))


def _utterance(document: Document, segment: Segment, alone: bool, casting: Casting, run_seed: int) -> Utterance:
    name = document.id if document.copy is None else f"{document.id}-{document.copy}"
    voice = casting.cast(name, segment.text, run_seed, document.speaker, document.description)
    return Utterance(
        prompt=segment.spoken,
        description=voice.description,
        seed=utterance_seed(run_seed, segment.spoken, voice.description),
        id=name if alone else f"{name}-{segment.index:05d}",
        speaker=voice.speaker,
        predicted_seconds=0.0 if segment.problem else predict_seconds(segment.spoken),
        segment=segment,
        problem=segment.problem,
    )


def _nothing_to_say(document: Document) -> Segment:
    """Stands in for a document that was cut into nothing, which would otherwise be lost without a record."""
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
