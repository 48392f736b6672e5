"""Keep the plan of a run on disk.

Owns `plan/` (a head, one file of utterances for each shard, and what is left out of the text), and what happens when
the text has changed since: what was made for the old plan is set aside in `.previous/`, from where unchanged clips are
taken again.
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

MAX_PLAN_BYTES = 2**30  # of one shard
_FORGOTTEN = ".forgotten"  # while it is deleted


@dataclass(frozen=True)
class PlannedChapter:
    """A chapter of a source text, for the book."""

    source_id: str
    title: str


@dataclass(frozen=True)
class PlanHead:
    """`plan/plan.json`: what the plan's shards are, without reading them."""

    fingerprint: str  # of the config
    num_shards: int
    num_utterances: int
    predicted_seconds: float
    title: str  # of the first document, for the book
    author: str
    language: str
    chapters: tuple[PlannedChapter, ...]  # of the first document
    plan_hash: str  # over the hashes of all shard files
    shard_seconds: tuple[float, ...]  # predicted, of each shard: the longest are begun first
    buckets: tuple[Bucket, ...] = ()  # the shapes that occur
    num_bytes: int = 0  # of all shard files
    input_mark: str = ""  # of what the plan was made of, see `unchanged`; empty: that could not be marked
    left_out_sha256: str = ""  # of the list of what is left out; empty: an older plan, which has none
    kept_columns: Mapping[str, Type] = field(default_factory=dict)  # beside the standard ones: see `kept_columns`
    check_columns: tuple[str, ...] = ()  # those of `kept_columns` that checks measure; the others are the input's
    format_version: int = 1  # of the files in `plan/`, see `FORMAT_VERSION`


def stage_plan(run_dir: Path, config: Config, planner: Planner, input_mark: str = "") -> PlanHead:
    """Plan the run into a hidden folder of its directory; nothing else is touched, and nothing is left on failure."""
    run = RunDirectory(run_dir)
    following = run.staged_plan
    remove_folder(following)
    try:
        hashes: list[str] = []
        seconds: list[float] = []
        num_bytes = 0
        for shard in planner.shards():
            content = shard_to_json_lines(shard)
            write_text(following / run.plan_shard(shard.index).name, content)
            encoded = content.encode()
            hashes.append(hashlib.sha256(encoded).hexdigest())
            seconds.append(round(sum(utterance.predicted_seconds for utterance in shard.utterances), 1))
            num_bytes += len(encoded)
        left_out = json_lines(planner.left_out)
        write_text(following / run.left_out.name, left_out)
        head = replace(
            _head(config, planner, _hash_of(hashes), tuple(seconds)),
            fingerprint=run_fingerprint(run_dir, config),
            num_bytes=num_bytes,
            input_mark=input_mark,
            left_out_sha256=hashlib.sha256(left_out.encode()).hexdigest(),
        )
        write_text(following / run.plan_head.name, json.dumps(asdict(head), indent=1, ensure_ascii=False) + "\n")
    except BaseException:
        remove_folder(following)
        raise
    return head


def json_lines(rows: Iterable[dict[str, Any]]) -> str:
    """Return rows as JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def install_plan(run_dir: Path, head: PlanHead) -> None:
    """Make the staged plan, whose head this is, the plan of the run.

    Of an unchanged plan each file is put in its place again, which mends a damaged one. When the text has changed, the
    finished shards are set aside first (see `earlier_runs`), so that a kill at any moment loses no clip.
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
    """Read `plan/plan.json`."""
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
            f"{path}: not a readable plan ({reason}); delete it and give the same command again"
        ) from error


def _check_types(head: PlanHead) -> None:
    """Raise `ValueError` for numbers that no plan has: everybody counts by them."""
    for name in ("num_shards", "num_utterances", "num_bytes", "format_version"):
        value = getattr(head, name)
        if type(value) is not int or not 0 <= value < MAX_NUMBER:
            raise ValueError(f"{name} is {value!r}")
    if len(head.shard_seconds) != head.num_shards:
        raise ValueError(f"num_shards is {head.num_shards}, and shard_seconds has {len(head.shard_seconds)} of them")
    for value in (head.predicted_seconds, *head.shard_seconds):
        if type(value) not in (int, float) or not 0 <= value < MAX_SECONDS:
            raise ValueError(f"a number of seconds is {value!r}")


def hash_files(paths: Iterable[Path]) -> str:
    """What `PlanHead.plan_hash` is, if these are the plan's shard files, in order."""
    return _hash_of([sha256_of(path) for path in paths])


def read_shard_plan(run_dir: Path, index: int) -> Shard:
    """Read the planned utterances of a shard."""
    path = RunDirectory(run_dir).plan_shard(index)
    try:
        return shard_from_json_lines(index, read_regular_text(path, MAX_PLAN_BYTES))
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise RunDirectoryError(f"{path}: cannot be read ({error}); give the same command again") from error


def earlier_runs(run_dir: Path) -> list[Path]:
    """What was made for earlier plans of this run, newest first: folders with `data/` and `manifests/`."""
    return sorted(RunDirectory(run_dir).earlier_plans.glob("*"), key=lambda folder: folder.name, reverse=True)


def delete_previous_runs(run_dir: Path) -> None:
    """Delete what was made for earlier plans. Called when everything of this plan is written.

    A kill on the way must leave nothing that looks like an interrupted `_set_aside`: that would be gone on with, and
    all shards be made again. So on a disk everything loses its name first; elsewhere each plan's head goes last.
    """
    folder, nameless = RunDirectory(run_dir).earlier_plans, run_dir / _FORGOTTEN
    remove_folder(nameless)
    if is_local(folder) and folder.exists():
        folder.rename(nameless)
        remove_folder(nameless)
        return
    for previous in earlier_runs(run_dir):
        remove_folder(previous, last=RunDirectory(previous).plan_head.relative_to(previous).as_posix())


def _hash_of(hashes: Sequence[str]) -> str:
    return content_digest(*hashes, size=16).hex()


def _head(config: Config, planner: Planner, plan_hash: str, shard_seconds: tuple[float, ...]) -> PlanHead:
    document, summary = planner.first_document, planner.summary
    assert document is not None  # a plan without documents has raised by now
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
    """Of the plan that is there; None: its head is damaged, so that nothing can be said of its shards."""
    try:
        return read_head(run_dir).plan_hash
    except RunDirectoryError:
        return None


def is_half_set_aside(run_dir: Path) -> bool:
    """Return whether a kill has interrupted `_set_aside`: the plan goes last."""
    newest = earlier_runs(run_dir)[:1]
    return any(not RunDirectory(folder).plan_head.exists() for folder in newest)


def _set_aside(run_dir: Path) -> None:
    """Move the finished shards of the old plan, then the plan, out of the way; goes on where it was interrupted."""
    number = len(earlier_runs(run_dir)) - is_half_set_aside(run_dir)
    run = RunDirectory(run_dir)
    target = run.earlier_plans / f"{number:03d}"
    if is_local(target):
        target.mkdir(parents=True, exist_ok=True)
    for folder in (run.data, run.manifests, run.plan):
        if folder.exists():
            move_folder(folder, target / folder.name, last=run.plan_head.name)
