"""Verify a finished run: compare all of its files with the plan and list the problems. Nothing is repaired.

This module compares the manifests with the plan; `verify_rows` compares the Parquet files and their audio. All files
are untrusted: the head of the plan and the index of the book are parsed independently of the modules that write them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.checks import MAX_NUMBER, load_yaml
from pipeline.errors import RunDirectoryError
from pipeline.outputs.audiobook.verify import book_problems
from pipeline.outputs.dataset.shards import Manifest, read_manifest, reject_line
from pipeline.outputs.dataset.verify_rows import Expected, file_problems, key_problems
from pipeline.planning.kept_columns import Type
from pipeline.planning.plan_format import utterance_from_json
from pipeline.seeds import content_digest
from pipeline.storage.checksums import book_hashes, checksum_problems
from pipeline.storage.paths import (
    file_sizes,
    parse_json,
    read_json,
    read_regular,
    read_regular_text,
    reason_of,
    sha256_of,
    wrap_read_errors,
)
from pipeline.storage.run_directory import RunDirectory
from pipeline.types import Utterance

_MAX_MISSING = 1000  # shards without any file that are reported individually
_MAX_PLAN_BYTES = 2**30  # of one shard


@dataclass(frozen=True)
class VerifyReport:
    """Result of a verification."""

    problems: tuple[str, ...]  # one line each, with the name of the file and the id if there is one
    num_shards: int
    num_planned: int
    num_written: int
    num_rejected: int
    audio_seconds: float
    deep: Mapping[str, int] | None = None  # outcome -> number of regenerated clips; None: deep=false

    def __str__(self) -> str:
        counts = (
            f"{self.num_planned} planned = {self.num_written} written + {self.num_rejected} rejected, "
            f"{self.num_shards} shard{'' if self.num_shards == 1 else 's'}, {self.audio_seconds / 3600:.2f} h of audio"
        )
        if not self.problems:
            return f"verified: {counts}"
        found = f"{len(self.problems)} problem{'' if len(self.problems) == 1 else 's'}"
        return "\n".join([*self.problems, f"{found}; counts of the plan and the manifests: {counts}"])


@dataclass(frozen=True)
class _PlanHead:
    num_shards: int
    num_utterances: int
    fingerprint: str
    plan_hash: str
    language: str
    left_out_sha256: str  # "": a plan of an older version, which has no such list
    kept_columns: Mapping[str, Type]
    check_columns: tuple[str, ...]
    format_version: int


def verify_run(run_dir: Path, watch: Callable[[range], Iterable[int]] = iter) -> VerifyReport:
    """Compare a run with its plan, including the audio of each clip, and all files with `SHA256SUMS`.

    Args:
        run_dir: Directory of the run.
        watch: Wraps the iteration over shard indices, for example with a progress bar.

    Raises:
        RunDirectoryError: The plan is missing or unreadable.
    """
    head, run = _read_head(run_dir), RunDirectory(run_dir)
    problems: list[str] = []
    manifests: list[Manifest] = []
    first_seen: dict[str, int] = {}
    splits: dict[int, str] = {}
    hashes: list[str] = []
    num_planned = 0
    with wrap_read_errors(run_dir):
        indices = _shards_to_check(run_dir, head, problems)
    for index in watch(indices):
        planned = _planned_shard(run_dir, index, problems)
        num_planned += len(planned.ids)
        hashes.append(planned.sha256)
        for id in planned.ids:
            if first_seen.setdefault(id, index) != index:
                problems.append(
                    f"{_name(run_dir, run.plan_shard(index))}: id {id} is also planned in shard {first_seen[id]}"
                )
        splits[index] = planned.split
        manifest = _checked_manifest(run_dir, index, head, planned, problems)
        if manifest is not None:
            manifests.append(manifest)
            if planned.sha256:  # otherwise the unreadable plan was reported already
                problems += _id_problems(_name(run_dir, RunDirectory(run_dir).manifest(index)), planned.ids, manifest)
            expected = Expected(planned.utterances, head.language, head.kept_columns, head.check_columns)
            collect(run_dir, problems, key_problems(manifest, planned.utterances))
            collect(run_dir, problems, file_problems(run_dir, manifest, expected))
    collect(run_dir, problems, _plan_problems(run_dir, head, num_planned, hashes))
    collect(run_dir, problems, _stray_problems(run_dir, head, splits, manifests))
    collect(run_dir, problems, _repeated_audio(run_dir, head, manifests))
    collect(run_dir, problems, _summary_problems(run_dir, manifests))
    collect(run_dir, problems, book_problems(run.book))
    collect(run_dir, problems, _unknown_damage(run_dir, manifests, tuple(problems)))
    return VerifyReport(
        problems=tuple(problems),
        num_shards=head.num_shards,
        num_planned=num_planned,
        num_written=sum(len(manifest.clips) for manifest in manifests),
        num_rejected=sum(len(manifest.rejects) for manifest in manifests),
        audio_seconds=sum(manifest.audio_seconds for manifest in manifests),
    )


def _name(run_dir: Path, path: Path) -> str:
    return path.relative_to(run_dir).as_posix()


def collect(run_dir: Path, problems: list[str], found: Iterable[str]) -> None:
    """Append the found problems to `problems`. A file that cannot be read is one problem and ends the iteration."""
    try:
        problems.extend(found)
    except RunDirectoryError as error:
        problem = str(error).removeprefix(f"{run_dir}/")
    except OSError as error:
        name = str(error.filename or run_dir).removeprefix(f"{run_dir}/")
        problem = f"{name}: cannot be read ({reason_of(error)}); repair it or restore it from a copy of the run"
    else:
        return
    if not any(known.startswith(problem.split(": ")[0] + ": ") for known in problems):
        problems.append(problem)


def _read_head(run_dir: Path) -> _PlanHead:
    path = RunDirectory(run_dir).plan_head
    try:
        head = read_json(path)
        num_shards, num_utterances = head["num_shards"], head["num_utterances"]
        for name, number in (("num_shards", num_shards), ("num_utterances", num_utterances)):
            if type(number) is not int or not 0 <= number < MAX_NUMBER:
                raise ValueError(f"{name} is {number!r}")
        return _PlanHead(
            num_shards=num_shards,
            num_utterances=num_utterances,
            fingerprint=str(head["fingerprint"]),
            plan_hash=str(head.get("plan_hash")),
            language=str(head.get("language")),
            left_out_sha256=str(head.get("left_out_sha256", "")),
            kept_columns=dict(head.get("kept_columns", {})),
            check_columns=tuple(map(str, head.get("check_columns", ()))),
            format_version=int(head.get("format_version", 1)),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise RunDirectoryError(
            f"{path}: no readable plan ({_reason(error)}); pass the directory of a run, which contains plan/ and data/"
        ) from error


def _shards_to_check(run_dir: Path, head: _PlanHead, problems: list[str]) -> range:
    """Return the indices of the shards to check. A damaged num_shards must not cause an endless loop."""
    files = sum(len(file_sizes(run_dir / folder)) for folder in ("plan", "manifests", "data"))
    limit = files + _MAX_MISSING
    if head.num_shards > limit:
        problems.append(
            f"plan/plan.json: says {head.num_shards:,} shards, but only {files:,} files of shards exist; the first "
            f"{limit:,} shards are checked. Restore plan.json from a copy of the run, or rerun the command of the run"
        )
    return range(min(head.num_shards, limit))


def _reason(error: Exception) -> str:
    return reason_of(error) if isinstance(error, OSError) else repr(error)


@dataclass(frozen=True)
class _PlannedShard:
    ids: tuple[str, ...]
    utterances: Mapping[str, Utterance]  # by id; empty if one of them cannot be read
    split: str
    sha256: str  # of its file; "" if it cannot be read


def _planned_shard(run_dir: Path, index: int, problems: list[str]) -> _PlannedShard:
    """Read the plan of a shard and append its problems."""
    path = RunDirectory(run_dir).plan_shard(index)
    try:
        content = read_regular(path, _MAX_PLAN_BYTES)
        # splitlines() would also split at characters such as U+2028, which JSON does not escape.
        lines = [parse_json(line) for line in content.decode().split("\n") if line]
        ids = tuple(str(line["id"]) for line in lines)
    except (OSError, ValueError, KeyError, TypeError) as error:
        problems.append(f"{_name(run_dir, path)}: missing or damaged ({_reason(error)})")
        return _PlannedShard((), {}, "", "")
    problems += [
        f"{_name(run_dir, path)}: id {id} is planned {count} times" for id, count in Counter(ids).items() if count > 1
    ]
    utterances: dict[str, Utterance] = {}
    try:
        for line in lines:
            utterances[str(line["id"])] = utterance_from_json(line)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problems.append(f"{_name(run_dir, path)}: id {line['id']}: not a valid utterance ({error!r})")
        utterances = {}
    split = str(lines[0].get("split", "")) if lines else ""
    return _PlannedShard(ids, utterances, split, hashlib.sha256(content).hexdigest())


def _plan_problems(run_dir: Path, head: _PlanHead, num_planned: int, hashes: Sequence[str]) -> Iterator[str]:
    """Compare the files of the plan with the counts and hashes in its head."""
    if all(hashes) and num_planned != head.num_utterances:
        yield f"plan/plan.json: says {head.num_utterances} utterances, but its shards have {num_planned}"
    if all(hashes) and content_digest(*hashes, size=16).hex() != head.plan_hash:
        yield "plan/plan.json: plan_hash does not match the shards of the plan; some were changed after planning"
    left_out = RunDirectory(run_dir).left_out
    if head.left_out_sha256 and left_out.exists() and sha256_of(left_out) != head.left_out_sha256:
        yield "plan/left_out.jsonl: changed after planning (left_out_sha256 in plan/plan.json differs)"


def _checked_manifest(
    run_dir: Path, index: int, head: _PlanHead, planned: _PlannedShard, problems: list[str]
) -> Manifest | None:
    """Return the manifest of a shard, or None if it is missing, damaged or belongs to another shard."""
    path = RunDirectory(run_dir).manifest(index)
    name = _name(run_dir, path)
    try:
        manifest = read_manifest(path)
    except RunDirectoryError as error:
        is_missing = isinstance(error.__cause__, FileNotFoundError)
        message = str(error).removeprefix(f"{run_dir}/")
        problems.append(f"{name}: missing, shard {index} is not finished" if is_missing else message)
        return None
    file = RunDirectory(run_dir).shard(index, head.num_shards, planned.split).name if manifest.clips else ""
    if (manifest.index, manifest.num_shards, manifest.file) != (index, head.num_shards, file):
        problems.append(
            f"{name}: belongs to shard {manifest.index} of {manifest.num_shards} ({manifest.file or 'no file'}), "
            f"not to shard {index} of {head.num_shards}"
        )
        return None
    if manifest.fingerprint != head.fingerprint:
        problems.append(f"{name}: made with config {manifest.fingerprint}, but the plan has {head.fingerprint}")
    if planned.sha256 and manifest.plan_hash != planned.sha256:
        problems.append(f"{name}: plan_hash does not match {_name(run_dir, RunDirectory(run_dir).plan_shard(index))}")
    return manifest


def _id_problems(name: str, planned: Sequence[str], manifest: Manifest) -> Iterator[str]:
    """Check that each planned id is written or rejected exactly once, and that the order is that of the plan."""
    written = [clip.id for clip in manifest.clips]
    found = Counter([*written, *(str(reject.get("id")) for reject in manifest.rejects)])
    known = set(planned)
    for id in planned:
        if id not in found:
            yield f"{name}: id {id} is planned but neither written nor rejected"
    for id, count in found.items():
        if id not in known:
            yield f"{name}: id {id} is not in the plan"
        if count > 1:
            yield f"{name}: id {id} is written or rejected {count} times"
    there = set(written)
    if known.issuperset(there) and written != [id for id in planned if id in there]:
        yield f"{name}: the clips are not in the order of the plan"


def _stray_problems(
    run_dir: Path, head: _PlanHead, splits: Mapping[int, str], manifests: Sequence[Manifest]
) -> Iterator[str]:
    """Yield files that belong to no shard. `datasets` would load some of them as part of the dataset."""
    names = {manifest.index: manifest.file for manifest in manifests}
    owned, run = set(), RunDirectory(run_dir)
    for index, split in splits.items():
        # The file belongs to the shard even if the manifest is missing or wrong, which was reported already.
        name = names.get(index, run.shard(index, head.num_shards, split).name)
        owned |= {run.data / name, run.manifest(index), run.plan_shard(index)}
    found = {
        run_dir / name
        for name in file_sizes(run_dir)
        if name.startswith(("data/", "manifests/", "plan/shard-")) or Path(name).match(".*.tmp")
    }
    for path in sorted(found - owned):
        yield f"{_name(run_dir, path)}: belongs to no shard; left by a run that was killed or had another plan"


def _repeated_audio(run_dir: Path, head: _PlanHead, manifests: Sequence[Manifest]) -> Iterator[str]:
    """Yield clips with identical audio: repeated sentences have different seeds, so each clip should be unique.

    Skipped if the seeds come from a column of the input, and for books of run format 1, where equal sentences had the
    same seed.
    """
    config = _frozen(run_dir)
    if config.get("source.seed_column") or (head.format_version < 2 and config.get("task.name") == "audiobook"):
        return
    first: dict[str, str] = {}
    for manifest in manifests:
        for clip in manifest.clips:
            other = first.setdefault(clip.audio_sha256, clip.id)
            if other != clip.id:
                yield f"data/{manifest.file}: id {clip.id}: the audio is identical to that of id {other}"


def _frozen(run_dir: Path) -> dict[str, Any]:
    """Return `source.seed_column` and `task.name` of the frozen config; empty if it cannot be read."""
    try:
        content = load_yaml(read_regular_text(RunDirectory(run_dir).config))
        return {"source.seed_column": content["source"].get("seed_column"), "task.name": content["task"]["name"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _summary_problems(run_dir: Path, manifests: Sequence[Manifest]) -> Iterator[str]:
    """Check the summary files, which are made after all shards are finished."""
    for name in ("README.md", "durations.png", "report.json"):
        if not (run_dir / name).exists():
            yield f"{name}: missing; the run did not finish"
    path = RunDirectory(run_dir).rejects
    expected = "".join(reject_line(reject) for manifest in manifests for reject in manifest.rejects)
    if not path.exists():
        yield "rejects.jsonl: missing"
    elif read_regular(path, len(expected.encode()) + 1) != expected.encode():
        yield "rejects.jsonl: does not match the rejects in the manifests"


def _unknown_damage(run_dir: Path, manifests: Sequence[Manifest], problems: Sequence[str]) -> Iterator[str]:
    """Yield problems that only `SHA256SUMS` shows: a missing book, a changed config, unknown files."""
    known = {f"data/{manifest.file}": manifest.sha256 for manifest in manifests if manifest.clips}
    reported = {problem.split(": ")[0] for problem in problems}
    # A missing or damaged index was reported already; without it the files of the book are unknown.
    is_book_reported = "book/book.json" in reported
    for problem in checksum_problems(run_dir, known | book_hashes(run_dir), reported):
        if not (is_book_reported and problem.startswith("book/")):
            yield problem
