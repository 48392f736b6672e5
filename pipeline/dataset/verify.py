"""Proof that a finished run is what its plan says, or the list of what is not.

Owns the comparison of plan, manifests, Parquet files and audio, and of a book's files with their index. Believes none
of them, reads everything, mends nothing. Since it is meant to trust nothing, it reads the plan's head and the book's
index by itself, not through the rooms that write them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from pipeline.audio.encoding import decode
from pipeline.config_checks import load_yaml
from pipeline.dataset.features import Row
from pipeline.dataset.files import manifest_path, plan_path, plan_shard_path, shard_path
from pipeline.dataset.shards import Manifest, hash_plan, read_manifest, read_shard, reject_line
from pipeline.dataset.sums import book_hashes, sum_problems
from pipeline.errors import RunDirectoryError
from pipeline.places import file_sizes, readable, sha256_of

DURATION_TOLERANCE = 0.001  # seconds; a lossy format may round the length to one of its own samples


@dataclass(frozen=True)
class VerifyReport:
    """What was found. `problems` are single lines that name a file, and the id where there is one."""

    problems: tuple[str, ...]
    num_shards: int
    num_planned: int
    num_written: int
    num_rejected: int
    audio_seconds: float

    def __str__(self) -> str:
        counts = (
            f"{self.num_planned} planned = {self.num_written} written + {self.num_rejected} rejected, "
            f"{self.num_shards} shard{'' if self.num_shards == 1 else 's'}, {self.audio_seconds / 3600:.2f} h of audio"
        )
        if not self.problems:
            return f"verified: {counts}"
        return "\n".join([*self.problems, f"{len(self.problems)} problems; the plan and the manifests say: {counts}"])


@dataclass(frozen=True)
class _PlanHead:
    num_shards: int
    num_utterances: int
    fingerprint: str
    format_version: int


def verify_run(run_dir: Path, watch: Callable[[range], Iterable[int]] = iter) -> VerifyReport:
    """Compares a run with its plan, down to each clip's samples, and all of its files with `SHA256SUMS`.

    Args:
        run_dir: Directory of the run.
        watch: Passes the numbers of the shards on as they come up, and may show how far that is.

    Raises:
        RunDirectoryError: There is no readable plan, so that there is nothing to compare with.
    """
    head = _read_head(run_dir)
    problems: list[str] = []
    manifests: list[Manifest] = []
    first_seen: dict[str, int] = {}
    splits: dict[int, str] = {}
    num_planned = 0
    for index in watch(range(head.num_shards)):
        planned, split = _planned_ids(run_dir, index, problems)
        num_planned += len(planned)
        for id in planned:
            if first_seen.setdefault(id, index) != index:
                problems.append(
                    f"{_name(run_dir, plan_shard_path(run_dir, index))}: id {id} is also planned in "
                    f"shard {first_seen[id]}"
                )
        splits[index] = split
        manifest = _checked_manifest(run_dir, index, head, split, problems)
        if manifest is not None:
            manifests.append(manifest)
            problems += _id_problems(f"manifests/{manifest_path(run_dir, index).name}", planned, manifest)
            problems += _file_problems(run_dir, manifest)
    if num_planned != head.num_utterances:
        problems.append(f"plan/plan.json: says {head.num_utterances} utterances, its shards have {num_planned}")
    problems += _stray_problems(run_dir, splits, manifests)
    problems += _repeated_audio(run_dir, head, manifests)
    problems += _summary_problems(run_dir, manifests)
    problems += _book_problems(run_dir / "book")
    problems += _unknown_damage(run_dir, manifests, problems)
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


def _read_head(run_dir: Path) -> _PlanHead:
    path = plan_path(run_dir)
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
        return _PlanHead(
            num_shards=int(head["num_shards"]),
            num_utterances=int(head["num_utterances"]),
            fingerprint=str(head["fingerprint"]),
            format_version=int(head.get("format_version", 1)),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunDirectoryError(
            f"{path}: no readable plan ({error!r}): give the directory of a run, one that holds plan/ and data/"
        ) from error


def _planned_ids(run_dir: Path, index: int, problems: list[str]) -> tuple[list[str], str]:
    """The ids that a shard's plan has, and the split that it belongs to."""
    path = plan_shard_path(run_dir, index)
    try:
        with path.open(encoding="utf-8") as lines:
            planned = [json.loads(line) for line in lines]
        ids = [str(line["id"]) for line in planned]
    except (OSError, ValueError, KeyError, TypeError) as error:
        problems.append(f"{_name(run_dir, path)}: missing or damaged ({error!r})")
        return [], ""
    problems += [
        f"{_name(run_dir, path)}: id {id} is planned {count} times" for id, count in Counter(ids).items() if count > 1
    ]
    return ids, str(planned[0].get("split", "")) if planned else ""


def _checked_manifest(run_dir: Path, index: int, head: _PlanHead, split: str, problems: list[str]) -> Manifest | None:
    """The manifest of a shard, if it is one: what belongs to another shard proves nothing about this one."""
    path = manifest_path(run_dir, index)
    name = _name(run_dir, path)
    if not path.exists():
        problems.append(f"{name}: missing, shard {index} is not finished")
        return None
    try:
        manifest = read_manifest(path)
    except RunDirectoryError as error:
        problems.append(str(error))
        return None
    file = shard_path(run_dir, index, head.num_shards, split).name if manifest.clips else ""
    if (manifest.index, manifest.num_shards, manifest.file) != (index, head.num_shards, file):
        problems.append(
            f"{name}: belongs to shard {manifest.index} of {manifest.num_shards} ({manifest.file or 'no file'}), "
            f"not to shard {index} of {head.num_shards}"
        )
        return None
    if manifest.fingerprint != head.fingerprint:
        problems.append(f"{name}: made with config {manifest.fingerprint}, the plan is of {head.fingerprint}")
    if plan_shard_path(run_dir, index).exists() and manifest.plan_hash != hash_plan(run_dir, index):
        problems.append(f"{name}: made for another plan than {_name(run_dir, plan_shard_path(run_dir, index))}")
    return manifest


def _id_problems(name: str, planned: Sequence[str], manifest: Manifest) -> Iterator[str]:
    """Planned = written + rejected, each once, in order."""
    written = [clip.id for clip in manifest.clips]
    found = Counter([*written, *(str(reject.get("id")) for reject in manifest.rejects)])
    known = set(planned)
    for id in planned:
        if id not in found:
            yield f"{name}: id {id} is planned, but neither written nor rejected"
    for id, count in found.items():
        if id not in known:
            yield f"{name}: id {id} is not in the plan"
        if count > 1:
            yield f"{name}: id {id} is written or rejected {count} times"
    there = set(written)
    if known.issuperset(there) and written != [id for id in planned if id in there]:
        yield f"{name}: the clips are not in the order of the plan"


def _file_problems(run_dir: Path, manifest: Manifest) -> Iterator[str]:
    """The Parquet file is the manifest's, and so is each clip in it."""
    if not manifest.clips:
        return
    path = run_dir / "data" / manifest.file
    name = _name(run_dir, path)
    if not path.exists():
        yield f"{name}: missing"
        return
    if path.stat().st_size != manifest.num_bytes:
        yield f"{name}: {path.stat().st_size} bytes, its manifest says {manifest.num_bytes}"
    elif sha256_of(path) != manifest.sha256:
        yield f"{name}: its bytes have changed since it was written (SHA-256 differs)"
    try:
        with readable(path) as source:
            ids = pq.read_table(source, columns=["id"], partitioning=None)["id"].to_pylist()
    except (OSError, pa.ArrowException) as error:
        yield f"{name}: not a readable Parquet file ({error})"
        return
    expected = [clip.id for clip in manifest.clips]
    if ids != expected:
        yield from (f"{name}: id {id} is in the manifest, but not in the file" for id in sorted({*expected} - {*ids}))
        yield from (f"{name}: id {id} is in the file, but not in the manifest" for id in sorted({*ids} - {*expected}))
        yield f"{name}: its ids are not those of its manifest, one by one"
        return
    try:
        rows = read_shard(run_dir, manifest, ["id", "audio", "duration", "sampling_rate"])
        for row, clip in zip(rows, manifest.clips, strict=True):
            problem = _clip_problem(row, clip.audio_sha256)
            if problem:
                yield f"{name}: id {row.id}: {problem}"
    except RunDirectoryError as error:
        yield str(error)


def _clip_problem(row: Row, audio_sha256: str) -> str | None:
    if row.audio_sha256() != audio_sha256:
        return "its audio has changed since it was written (SHA-256 differs)"
    try:
        samples, sampling_rate = decode(row.audio)
    except soundfile.LibsndfileError as error:
        return f"its audio cannot be decoded ({error})"
    if sampling_rate != row.columns["sampling_rate"]:
        return f"audio at {sampling_rate} Hz, its row says {row.columns['sampling_rate']} Hz"
    seconds = len(samples) / sampling_rate
    if abs(seconds - row.columns["duration"]) > DURATION_TOLERANCE:
        return f"{seconds:.3f} s of audio, its row says {row.columns['duration']:.3f} s"
    return None


def _stray_problems(run_dir: Path, splits: Mapping[int, str], manifests: Sequence[Manifest]) -> Iterator[str]:
    """Files that no shard owns: a dataset's loader would read some of them, the others are left over."""
    names = {manifest.index: manifest.file for manifest in manifests}
    owned = set()
    for index, split in splits.items():
        # A shard whose manifest is missing or wrong was told of already; its file is no stray.
        name = names.get(index, shard_path(run_dir, index, len(splits), split).name)
        owned |= {run_dir / "data" / name, manifest_path(run_dir, index), plan_shard_path(run_dir, index)}
    found = {
        run_dir / name
        for name in file_sizes(run_dir)
        if name.startswith(("data/", "manifests/", "plan/shard-")) or Path(name).match(".*.tmp")
    }
    for path in sorted(found - owned):
        yield f"{_name(run_dir, path)}: belongs to no shard, left over from a run that was killed or had another plan"


def _repeated_audio(run_dir: Path, head: _PlanHead, manifests: Sequence[Manifest]) -> Iterator[str]:
    """Clips with the same audio, which teach a model nothing twice: each should be another reading.

    Not where a column of the input gave the seeds; nor in a book of the first format, whose equal sentences had one.
    """
    config = _frozen(run_dir)
    if config.get("source.seed_column") or (head.format_version < 2 and config.get("task.name") == "audiobook"):
        return
    first: dict[str, str] = {}
    for manifest in manifests:
        for clip in manifest.clips:
            other = first.setdefault(clip.audio_sha256, clip.id)
            if other != clip.id:
                yield f"data/{manifest.file}: id {clip.id}: its audio is that of id {other}, byte for byte"


def _frozen(run_dir: Path) -> dict[str, Any]:
    """Two keys of the frozen config, dotted; nothing of one that cannot be read, which others tell of."""
    try:
        content = load_yaml((run_dir / "config.yaml").read_text(encoding="utf-8"))
        return {"source.seed_column": content["source"].get("seed_column"), "task.name": content["task"]["name"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _summary_problems(run_dir: Path, manifests: Sequence[Manifest]) -> Iterator[str]:
    """The files that are made last, from all the others."""
    for name in ("README.md", "durations.png", "report.json"):
        if not (run_dir / name).exists():
            yield f"{name}: missing, so that the run did not come to its end"
    path = run_dir / "rejects.jsonl"
    expected = "".join(reject_line(reject) for manifest in manifests for reject in manifest.rejects)
    if not path.exists():
        yield "rejects.jsonl: missing"
    elif path.read_bytes() != expected.encode():
        yield "rejects.jsonl: does not hold the rejects of the manifests"


def _unknown_damage(run_dir: Path, manifests: Sequence[Manifest], problems: Sequence[str]) -> list[str]:
    """What only `SHA256SUMS` knows: a book that is gone whole, another config, a file that nobody made."""
    known = {f"data/{manifest.file}": manifest.sha256 for manifest in manifests if manifest.clips}
    told = {problem.split(": ")[0] for problem in problems}
    # A book without its index was told of; its files cannot be known without it.
    is_told_of = "book/book.json" in told
    found = list(sum_problems(run_dir, known | book_hashes(run_dir)))
    return [
        problem
        for problem in found
        if (name := problem.split(": ")[0]) not in told and not (is_told_of and name.startswith("book/"))
    ]


def _book_problems(book: Path) -> Iterator[str]:
    """The files of a book are those that its index lists. Their audio is not decoded: its clips were, in the shards."""
    if not book.exists():
        return
    if not (book / "book.json").exists():
        yield "book/book.json: missing, so that the book was not finished"
        return
    try:
        entries = json.loads((book / "book.json").read_text(encoding="utf-8"))["files"]
        # An older index has names alone.
        listed = [{"name": entry} if isinstance(entry, str) else dict(entry) for entry in entries]
        checked = [(book / Path(entry["name"]).name, entry) for entry in listed]
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield f"book/book.json: damaged ({error!r})"
        return
    for path, entry in checked:
        problem = _book_file_problem(path, entry)
        if problem:
            yield f"book/{path.name}: {problem}"


def _book_file_problem(path: Path, entry: dict[str, Any]) -> str | None:
    if not path.is_file():
        return "missing"
    if "bytes" in entry and path.stat().st_size != entry["bytes"]:
        return f"{path.stat().st_size} bytes, book.json says {entry['bytes']}"
    if "sha256" in entry and sha256_of(path) != entry["sha256"]:
        return "its bytes have changed since it was written (SHA-256 differs)"
    return None
