"""Write, replace and read the plan of a run on disk.

The folder `plan/` contains the head `plan.json`, one file of utterances for each shard, and the list of skipped text.
If the text has changed since the last plan, the shards of that plan are moved to `.previous/`, and their unchanged
clips are reused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.config import Config
from pipeline.config.checks import MAX_NUMBER
from pipeline.config.frozen import run_fingerprint
from pipeline.errors import RunDirectoryError
from pipeline.planning import (
    shard_from_json_lines,
    shard_to_json_lines,
)
from pipeline.planning.kept_columns import Type
from pipeline.planning.planner import Planner
from pipeline.seeds import content_digest
from pipeline.storage.atomic import write_text
from pipeline.storage.paths import (
    is_local,
    move_folder,
    read_json,
    read_regular_text,
    reason_of,
    remove_folder,
    sha256_of,
)
from pipeline.storage.run_directory import FORMAT_VERSION, MAX_SECONDS, RunDirectory
from pipeline.types import Bucket, Shard

MAX_PLAN_BYTES = 2**30  # largest plan file of a shard that is read
_FORGOTTEN = ".forgotten"  # name of .previous during its deletion


@dataclass(frozen=True)
class PlannedChapter:
    """A chapter of the source text."""

    source_id: str
    title: str


@dataclass(frozen=True)
class PlanHead:
    """Contents of `plan/plan.json`, the summary of a plan."""

    fingerprint: str  # of the config
    num_shards: int
    num_utterances: int
    predicted_seconds: float
    title: str  # of the first document
    author: str
    language: str
    chapters: tuple[PlannedChapter, ...]  # of the first document
    plan_hash: str  # hash of the hashes of all shard files
    shard_seconds: tuple[float, ...]  # predicted, of each shard; the longest shards start first
    buckets: tuple[Bucket, ...] = ()  # all shapes in the plan
    num_bytes: int = 0  # of all shard files
    input_mark: str = ""  # digest of everything the plan depends on, see `staleness.plan_digest`; "": unknown
    left_out_sha256: str = ""  # of `left_out.jsonl`; "": a plan of an older version, without the list
    kept_columns: Mapping[str, Type] = field(default_factory=dict)  # name -> type, see `kept_columns`
    check_columns: tuple[str, ...] = ()  # the kept columns that checks measure; the others come from the input
    format_version: int = 1  # of the files in `plan/`, see `FORMAT_VERSION`


def stage_plan(run_dir: Path, config: Config, planner: Planner, input_mark: str = "") -> PlanHead:
    """Write a new plan to a hidden folder of the run directory, which is removed on failure.

    Args:
        run_dir: Directory of the run.
        config: Config of the run.
        planner: Makes the plan.
        input_mark: See `PlanHead.input_mark`.
    """
    run = RunDirectory(run_dir)
    staged = run.staged_plan
    remove_folder(staged)
    try:
        hashes: list[str] = []
        seconds: list[float] = []
        num_bytes = 0
        for shard in planner.shards():
            content = shard_to_json_lines(shard)
            write_text(staged / run.plan_shard(shard.index).name, content)
            encoded = content.encode()
            hashes.append(hashlib.sha256(encoded).hexdigest())
            seconds.append(round(sum(utterance.predicted_seconds for utterance in shard.utterances), 1))
            num_bytes += len(encoded)
        left_out = json_lines(planner.left_out)
        write_text(staged / run.left_out.name, left_out)
        head = replace(
            _head(config, planner, _hash_of(hashes), tuple(seconds)),
            fingerprint=run_fingerprint(run_dir, config),
            num_bytes=num_bytes,
            input_mark=input_mark,
            left_out_sha256=hashlib.sha256(left_out.encode()).hexdigest(),
        )
        write_text(staged / run.plan_head.name, json.dumps(asdict(head), indent=1, ensure_ascii=False) + "\n")
    except BaseException:
        remove_folder(staged)
        raise
    return head


def json_lines(rows: Iterable[dict[str, Any]]) -> str:
    """Return rows in JSON Lines format."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def install_plan(run_dir: Path, head: PlanHead) -> None:
    """Replace the plan of the run by the staged plan, which has this head.

    If the plan is unchanged, its files are replaced too, which repairs damaged ones. If the text has changed, the
    finished shards are first moved to `.previous/` (see `earlier_runs`), so that no clip is lost if the process is
    killed.
    """
    run = RunDirectory(run_dir)
    if is_half_set_aside(run_dir):
        _set_aside(run_dir)
    if run.plan.exists() and _planned_hash(run_dir) == head.plan_hash:
        move_folder(run.staged_plan, run.plan, last=run.plan_head.name)
        return
    if run.plan.exists():
        _set_aside(run_dir)
    move_folder(run.staged_plan, run.plan, last=run.plan_head.name)


def read_head(run_dir: Path) -> PlanHead:
    """Read `plan/plan.json`.

    Raises:
        RunDirectoryError: It is missing or damaged.
    """
    path = RunDirectory(run_dir).plan_head
    try:
        content = read_json(path)
        chapters = tuple(PlannedChapter(**chapter) for chapter in content.pop("chapters"))
        buckets = tuple(Bucket(**bucket) for bucket in content.pop("buckets"))
        seconds, checked = tuple(content.pop("shard_seconds")), tuple(content.pop("check_columns", ()))
        head = PlanHead(chapters=chapters, buckets=buckets, shard_seconds=seconds, check_columns=checked, **content)
        _check_types(head)
        return head
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else error
        raise RunDirectoryError(
            f"{path}: the plan is missing or damaged ({reason}). Delete it and rerun the same command"
        ) from error


def _check_types(head: PlanHead) -> None:
    """Raise `ValueError` for numbers of a wrong type or range."""
    for name in ("num_shards", "num_utterances", "num_bytes", "format_version"):
        value = getattr(head, name)
        if type(value) is not int or not 0 <= value < MAX_NUMBER:
            raise ValueError(f"{name} is {value!r}")
    if len(head.shard_seconds) != head.num_shards:
        raise ValueError(f"num_shards is {head.num_shards}, but shard_seconds has {len(head.shard_seconds)} entries")
    for value in (head.predicted_seconds, *head.shard_seconds):
        if type(value) not in (int, float) or not 0 <= value < MAX_SECONDS:
            raise ValueError(f"predicted_seconds or shard_seconds contains {value!r}")


def hash_files(paths: Iterable[Path]) -> str:
    """Return the `PlanHead.plan_hash` for these plan files, in order of shards."""
    return _hash_of([sha256_of(path) for path in paths])


def read_shard_plan(run_dir: Path, index: int) -> Shard:
    """Read the planned utterances of a shard.

    Raises:
        RunDirectoryError: The file is missing or damaged.
    """
    path = RunDirectory(run_dir).plan_shard(index)
    try:
        return shard_from_json_lines(index, read_regular_text(path, MAX_PLAN_BYTES))
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise RunDirectoryError(f"{path}: cannot be read ({error}). Rerun the same command") from error


def earlier_runs(run_dir: Path) -> list[Path]:
    """Return the folders with `data/` and `manifests/` of earlier plans of this run, newest first."""
    return sorted(RunDirectory(run_dir).earlier_plans.glob("*"), key=lambda folder: folder.name, reverse=True)


def delete_previous_runs(run_dir: Path) -> None:
    """Delete the shards of earlier plans, after all shards of this plan are written.

    If the process is killed here, the rest must not look like an interrupted `_set_aside`, which the next call would
    complete by moving all shards away. Therefore the folder is first renamed on a disk; on other storage the head of
    each plan is deleted last.
    """
    folder, renamed = RunDirectory(run_dir).earlier_plans, run_dir / _FORGOTTEN
    remove_folder(renamed)
    if is_local(folder) and folder.exists():
        folder.rename(renamed)
        remove_folder(renamed)
        return
    for previous in earlier_runs(run_dir):
        remove_folder(previous, last=RunDirectory(previous).plan_head.relative_to(previous).as_posix())


def _hash_of(hashes: Sequence[str]) -> str:
    return content_digest(*hashes, size=16).hex()


def _head(config: Config, planner: Planner, plan_hash: str, shard_seconds: tuple[float, ...]) -> PlanHead:
    document, summary = planner.first_document, planner.summary
    assert document is not None  # Planner.shards() raises for a plan without documents
    return PlanHead(
        fingerprint="",
        num_shards=summary.shards,
        num_utterances=summary.utterances,
        predicted_seconds=round(summary.seconds, 2),
        title=document.title,
        author=document.author,
        language=document.language,
        chapters=tuple(PlannedChapter(document.id, chapter.title) for chapter in document.chapters),
        plan_hash=plan_hash,
        shard_seconds=shard_seconds,
        buckets=tuple(sorted(summary.buckets)),
        kept_columns={**planner.column_types.types(), **planner.check_columns},
        check_columns=tuple(planner.check_columns),
        format_version=FORMAT_VERSION,
    )


def _planned_hash(run_dir: Path) -> str | None:
    """Return the hash of the existing plan; None if its head is damaged."""
    try:
        return read_head(run_dir).plan_hash
    except RunDirectoryError:
        return None


def is_half_set_aside(run_dir: Path) -> bool:
    """Return whether `_set_aside` was interrupted, which moves the plan last."""
    newest = earlier_runs(run_dir)[:1]
    return any(not RunDirectory(folder).plan_head.exists() for folder in newest)


def _set_aside(run_dir: Path) -> None:
    """Move the finished shards of the old plan, then the plan, to `.previous/`; resume an interrupted call."""
    number = len(earlier_runs(run_dir)) - is_half_set_aside(run_dir)
    run = RunDirectory(run_dir)
    target = run.earlier_plans / f"{number:03d}"
    if is_local(target):
        target.mkdir(parents=True, exist_ok=True)
    for folder in (run.data, run.manifests, run.plan):
        if folder.exists():
            move_folder(folder, target / folder.name, last=run.plan_head.name)
