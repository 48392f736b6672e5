"""Decide whether a resumed run can reuse its plan.

The digest of a plan covers everything it depends on: the content of the input, the config, and the code. With the same
digest, planning would write the same files. An input whose digest would require downloading it completely has no digest
and is planned again at each start.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from pipeline.config import Config
from pipeline.config.frozen import fingerprint
from pipeline.errors import RunDirectoryError
from pipeline.planning.plan_store import PlanHead, hash_files, is_half_set_aside, read_head
from pipeline.seeds import content_digest
from pipeline.storage.paths import content_version, file_sizes, is_local, sha256_of
from pipeline.storage.run_directory import RunDirectory
from pipeline.text.readers.dispatch import STORY
from pipeline.text.readers.inputs import input_paths

_PACKAGE = Path(__file__).resolve().parent.parent
_DISTRIBUTION = "parler-pipeline"


def plan_digest(config: Config, catalogue_digest: str = "") -> str:
    """Return the digest of everything that a plan depends on; "" if there is none. Call it before reading the input.

    Args:
        config: Config of the run.
        catalogue_digest: Digest of the `voices.yaml` of the checkpoint, which has the names of the speakers.
    """
    if config.source.format == "datasets":
        return ""  # a stream from the hub, or the cache of `datasets`
    content = input_digest(config)
    if not content:
        return ""
    free = (config.source.title or "", config.source.author or "")  # title and author are in the head of the plan
    return content_digest("plan", fingerprint(config), *free, content, _code_digest(), catalogue_digest, size=16).hex()


def input_digest(config: Config) -> str:
    """Return the hash of the input files; "" if that would require downloading them."""
    if config.source.format == "datasets":
        return ""
    marks = [] if config.input == STORY else [content_version(path) for path in input_paths(config.input)]
    if None in marks:
        return ""
    return marks[0] if len(marks) == 1 and marks[0] else content_digest("inputs", *filter(None, marks), size=16).hex()


def reusable_plan(run_dir: Path, mark: str) -> PlanHead | None:
    """Return the head of the existing plan if it has this digest and all its files; None: plan again."""
    if not mark or is_half_set_aside(run_dir):
        return None
    try:
        head = read_head(run_dir)
    except RunDirectoryError:
        return None
    if head.input_mark != mark:
        return None
    folder = RunDirectory(run_dir).plan
    sizes = {name: size for name, size in file_sizes(folder).items() if name.startswith("shard-")}
    names = [RunDirectory(run_dir).plan_shard(index).name for index in range(head.num_shards)]
    if sizes.keys() != set(names) or sum(sizes.values()) != head.num_bytes:
        return None
    # Local files are hashed, which is fast compared with planning. For remote files, names and sizes must suffice.
    if not is_local(folder):
        return head
    is_whole = hash_files(folder / name for name in names) == head.plan_hash
    return head if is_whole and _is_left_out_as_planned(RunDirectory(run_dir).left_out, head) else None


def _is_left_out_as_planned(path: Path, head: PlanHead) -> bool:
    return not head.left_out_sha256 or (path.exists() and sha256_of(path) == head.left_out_sha256)


@lru_cache(maxsize=1)
def _code_digest() -> str:
    """Return the hash of this package and of the versions of its direct dependencies; an update causes planning."""
    try:
        needed = [line for line in requires(_DISTRIBUTION) or () if "extra ==" not in line]
    except PackageNotFoundError:  # run from a checkout that is not installed
        needed = []
    names = sorted(re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in needed)
    digest = hashlib.sha256(" ".join(f"{name} {version(name)}" for name in names).encode())
    for file in sorted(path for path in _PACKAGE.rglob("*") if path.suffix in (".py", ".md", ".yaml")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
