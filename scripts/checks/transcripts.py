"""Measure how many faults of speech the transcript check finds, and how many clean clips it refuses.

Two steps, because listening takes long:

    python -m scripts.checks.transcripts listen outputs/run heard.jsonl --faults-per-clip 3
    python -m scripts.checks.transcripts table heard.jsonl

`listen` puts faults into the clips of a dataset (`speech_faults`), transcribes them and writes one line for each; the
same command resumes. `table` judges the lines and prints a table with 95 % intervals.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import soundfile

from pipeline.quality.transcript.check import Listener
from pipeline.quality.transcript.comparison import Comparison, compare
from pipeline.quality.transcript.phonetic_aligner import PhoneticAligner, PhoneticAlignment
from pipeline.quality.transcript.recognizer import (
    RECOGNIZERS,
    HeardWord,
    RecognizerOptions,
    Recording,
    TextScorer,
    Transcript,
)
from pipeline.quality.transcript.thresholds import Thresholds
from pipeline.quality.transcript.verdict import Outcome, Verdict, judge, texts_to_score
from scripts.checks.speech_faults import BABBLE, KINDS, Source, inject

CLEAN = "clean"
MANY_WORDS, ONE_WORD = "all faults of two words and more", "all faults of one word"
EVERYTHING = Thresholds(alike=1.1, alike_name=1.1, divergent_words=1_000_000, surplus_words=1_000_000)  # scores all
BATCH = 16  # clips that are read, changed and transcribed together


@dataclass(frozen=True)
class Case:
    """A clip to listen to."""

    id: str
    kind: str
    detail: str
    row: dict[str, Any]
    recording: Recording


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one of the two steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    listen_parser = steps.add_parser("listen", help="transcribe clips with and without faults")
    listen_parser.add_argument("run", type=Path, help="folder of a dataset that the pipeline wrote")
    listen_parser.add_argument("heard", type=Path, help="JSONL file to write")
    listen_parser.add_argument("--faults-per-clip", type=int, default=3)
    listen_parser.add_argument("--clips", type=int, help="of the first clips only")
    listen_parser.add_argument("--recognizer", default="faster-whisper", help=", ".join(RECOGNIZERS.names()))
    listen_parser.add_argument("--model", default=RecognizerOptions.model)
    listen_parser.add_argument("--revision", default="")
    listen_parser.add_argument("--device", default=RecognizerOptions.device)
    listen_parser.add_argument("--compute-type", default=RecognizerOptions.compute_type)
    listen_parser.add_argument("--num-threads", type=int, default=RecognizerOptions.num_threads)
    listen_parser.add_argument("--score-all", action="store_true", help="score whatever deviates, to fix thresholds by")
    listen_parser.add_argument("--beam-size", type=int, default=RecognizerOptions.beam_size)
    table_parser = steps.add_parser("table", help="judge what was heard")
    table_parser.add_argument("heard", type=Path, help="JSONL file that the first step wrote")
    table_parser.add_argument("--without-scores", action="store_true", help="as with a recogniser that cannot score")
    table_parser.add_argument("--without-alignment", action="store_true", help="with the transcripts alone")
    table_parser.add_argument("--speaker", action="append", default=[], help="of these voices only")
    table_parser.add_argument("--show", metavar="KIND", help="list what was not judged as it should be")
    options = parser.parse_args(arguments)
    if options.step == "table":
        lines = [
            line for line in read_lines(options.heard) if line["speaker"] in (options.speaker or [line["speaker"]])
        ]
        verdicts = [judge_line(line, not options.without_scores, not options.without_alignment) for line in lines]
        print(table(lines, verdicts))
        if options.show:
            print("\n".join(mistakes(options.show, lines, verdicts)))
        return
    recognizer = RECOGNIZERS.get(options.recognizer)(
        RecognizerOptions(
            model=options.model,
            revision=options.revision,
            device=options.device,
            compute_type=options.compute_type,
            beam_size=options.beam_size,
            num_threads=options.num_threads,
        )
    )
    thresholds = EVERYTHING if options.score_all else Thresholds()
    listen(
        options.run,
        options.heard,
        Listener(recognizer, thresholds, PhoneticAligner()),
        options.faults_per_clip,
        options.clips,
    )


def listen(run: Path, heard: Path, listener: Listener, faults_per_clip: int, clips: int | None = None) -> None:
    """Transcribe each clip of a run, clean and with `faults_per_clip` faults, and append what is not yet written."""
    done = {(line["id"], line["kind"]): line for line in read_lines(heard)}
    numbered = enumerate(islice(read_clips(run), clips))
    with heard.open("a", encoding="utf-8") as file:
        other: Recording | None = None
        while batch := list(islice(numbered, BATCH)):
            clean = [Case(row["id"], CLEAN, "", row, recording) for _, (row, recording) in batch]
            lines = _hear(clean, listener, done)
            faulty = []
            for (index, _), case, line in zip(batch, clean, lines, strict=True):
                words = _word_times(line)
                for kind in _kinds(index, faults_per_clip):
                    random = np.random.default_rng(zlib.crc32(f"{case.id} {kind}".encode()))
                    fault = inject(kind, Source(case.recording, words, other or clean[-1].recording, random))
                    if fault:
                        faulty.append(Case(case.id, kind, fault.detail, case.row, fault.recording))
                other = case.recording
            lines += _hear(faulty, listener, done)
            for case, line in zip(clean + faulty, lines, strict=True):
                changes = [_add_scores(case, line, listener), _add_alignment(case, line, listener)]
                if any(changes) or (case.id, case.kind) not in done:
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()


def read_lines(heard: Path) -> list[dict[str, Any]]:
    """Return the lines of a file that `listen` wrote; none where there is no file."""
    if not heard.exists():
        return []
    lines = (json.loads(line) for line in heard.read_text(encoding="utf-8").splitlines())
    return list({(line["id"], line["kind"]): line for line in lines}.values())  # the last one of each


def read_clips(run: Path) -> Iterator[tuple[dict[str, Any], Recording]]:
    """Yield the rows of a dataset with their audio."""
    columns = ["id", "audio", "text", "text_normalized", "language", "speaker_id"]
    for path in sorted((run / "data").glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(BATCH, columns=columns):
            for row in batch.to_pylist():
                samples, rate = soundfile.read(io.BytesIO(row.pop("audio")["bytes"]), dtype="float32")
                yield row, Recording(samples, rate)


def judge_line(line: dict[str, Any], with_scores: bool = True, with_alignment: bool = True) -> Verdict:
    """Return the verdict on a line that `listen` wrote."""
    alignment = PhoneticAlignment.from_json(line["alignment"]) if with_alignment and line.get("alignment") else None
    return judge(comparison_of(line), Thresholds(), line["scores"] if with_scores else None, alignment)


def table(lines: Sequence[dict[str, Any]], verdicts: Sequence[Verdict]) -> str:
    """Return a Markdown table: retaken and unsure clips of each kind, with 95 % intervals.

    A clip that is retaken without a fault put in says nothing about faults; it counts among the clean ones only.
    """
    unfit = {
        line["id"]
        for line, verdict in zip(lines, verdicts, strict=True)
        if line["kind"] == CLEAN and verdict.outcome is Outcome.RETAKE
    }
    groups: dict[str, list[Outcome]] = {kind: [] for kind in (*KINDS, MANY_WORDS, ONE_WORD, CLEAN)}
    for line, verdict in zip(lines, verdicts, strict=True):
        if line["kind"] == CLEAN or line["id"] not in unfit:
            for group in filter(None, (line["kind"], _size(line))):
                groups[group].append(verdict.outcome)
    rows = ["| clips | retaken | share, 95 % interval | unsure |", "|---|---|---|---|"]
    for group, outcomes in groups.items():
        if outcomes:
            retaken, unsure = outcomes.count(Outcome.RETAKE), outcomes.count(Outcome.UNSURE)
            low, high = wilson(retaken, len(outcomes))
            rows.append(
                f"| {group} | {retaken} / {len(outcomes)} | {retaken / len(outcomes):.1%} ({low:.1%} to {high:.1%}) "
                f"| {unsure / len(outcomes):.1%} |"
            )
    return "\n".join(rows)


def _size(line: dict[str, Any]) -> str | None:
    """The group of a fault by its number of words; None: clean, no fault of words, or a prompt too short to judge."""
    if line["kind"] == BABBLE:
        return MANY_WORDS
    if len(comparison_of(line).words) <= Thresholds.short_words:
        return None
    num_words = len(line["detail"].split())
    return None if num_words == 0 else ONE_WORD if num_words == 1 else MANY_WORDS


def wilson(count: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """Return Wilson's interval of a share."""
    share, spread = count / total, z * z / total
    middle = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))


def mistakes(kind: str, lines: Sequence[dict[str, Any]], verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Yield one line for each clip of a kind that is retaken though clean, or not retaken though faulty."""
    wanted = Outcome.PASS if kind == CLEAN else Outcome.RETAKE
    for line, verdict in zip(lines, verdicts, strict=True):
        if line["kind"] == kind and verdict.outcome is not wanted:
            reasons = "; ".join(verdict.reasons)
            yield f"{line['id']} {verdict.outcome.value} [{line['detail']}] {reasons} | {line['reference']}"


def comparison_of(line: dict[str, Any]) -> Comparison:
    """Return the comparison of a line's prompt with its transcript."""
    transcript = Transcript.from_json(line["transcript"])
    return compare(line["reference"], transcript, line["seconds"], line["language"])


def _add_scores(case: Case, line: dict[str, Any], listener: Listener) -> bool:
    """Add the scores of the texts that judging needs; False: they were all there."""
    texts = dict.fromkeys(texts_to_score(comparison_of(line), listener.thresholds))
    missing = [text for text in texts if text not in line["scores"]]
    if not missing or not isinstance(listener.recognizer, TextScorer):
        return False
    scores = listener.recognizer.score(case.recording, missing, line["language"])
    line["scores"].update(zip(missing, scores, strict=True))
    return True


def _add_alignment(case: Case, line: dict[str, Any], listener: Listener) -> bool:
    """Add the alignment of the clip; False: it was there."""
    if "alignment" in line or listener.aligner is None:
        return False
    alignment = listener.aligner.align(case.recording, line["reference"], line["language"])
    line["alignment"] = alignment and alignment.as_json()
    return True


def _word_times(line: dict[str, Any]) -> Sequence[HeardWord]:
    """Return the words of a clean clip with their times: those of the alignment, which are the more exact ones."""
    if line.get("alignment") and line["alignment"]["words"]:
        return [HeardWord(*word) for word in line["alignment"]["words"]]
    return Transcript.from_json(line["transcript"]).words


def _kinds(index: int, count: int) -> list[str]:
    kinds = list(KINDS)
    return [kinds[(index * count + step) % len(kinds)] for step in range(min(count, len(kinds)))]


def _hear(cases: list[Case], listener: Listener, done: dict[tuple[str, str], dict[str, Any]]) -> list[dict[str, Any]]:
    new = [case for case in cases if (case.id, case.kind) not in done]
    transcripts = iter(listener.recognizer.transcribe([case.recording for case in new], "en"))
    lines = [
        done.get((case.id, case.kind))
        or {
            "id": case.id,
            "kind": case.kind,
            "detail": case.detail,
            "speaker": case.row["speaker_id"],
            "language": case.row["language"],
            "reference": case.row["text_normalized"] or case.row["text"],
            "seconds": round(case.recording.seconds, 3),
            "transcript": next(transcripts).as_json(),
            "scores": {},
        }
        for case in cases
    ]
    for case, line in zip(cases, lines, strict=True):
        if case.kind == CLEAN:  # the faults are cut at its words
            _add_alignment(case, line, listener)
    return lines


if __name__ == "__main__":
    main()
