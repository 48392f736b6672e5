"""The hub's cache on this machine, shared with all programs that use `huggingface_hub`.

Its layout is `models--owner--name/{blobs,refs,snapshots}`; a snapshot is a folder of links to blobs.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import NotDownloadedError
from pipeline.synthesis.hub.errors import Failure, HubSource

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHORT_COMMIT = re.compile(r"[0-9a-f]{4,39}")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """Files of a repository at one commit, on this machine."""

    folder: Path
    revision: str  # the commit


def cache_folder(repository: str) -> Path:
    """Return the folder of a repository in the cache. It may not exist."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type="model")


def snapshot_at(repository: str, commit: str) -> Snapshot:
    """Return the snapshot of a commit. Its folder may not exist."""
    return Snapshot(cache_folder(repository) / "snapshots" / commit, commit)


def cached_snapshot(source: HubSource) -> Snapshot | None:
    """Return the snapshot of a revision, given as a commit, the first digits of one, or a recorded branch or tag.

    It may be incomplete; None if there is none.
    """
    folder, commit = cache_folder(source.repository), source.ref
    ref = folder / "refs" / source.ref
    if ref.is_file():
        commit = ref.read_text(encoding="utf-8").strip()
    elif _SHORT_COMMIT.fullmatch(commit):
        found = [path.name for path in (folder / "snapshots").glob(f"{commit}*")]
        commit = found[0] if len(found) == 1 else commit
    snapshot = snapshot_at(source.repository, commit)
    return snapshot if _COMMIT.fullmatch(commit) and snapshot.folder.is_dir() else None


def record_ref(source: HubSource, commit: str) -> None:
    """Record the commit of a branch or tag, so that its name can be used offline."""
    path = cache_folder(source.repository) / "refs" / source.ref
    if source.ref == commit or (path.is_file() and path.read_text(encoding="utf-8") == commit):
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(commit, encoding="utf-8")
    except OSError as error:
        _log.warning("%s cannot be written (%s): offline, give model.revision=%s", path, error.strerror, commit)


def require_cached(source: HubSource, missing: Callable[[Path], list[str]]) -> Snapshot:
    """Return a complete snapshot from the cache.

    Args:
        source: Repository and revision.
        missing: Returns the names of files that are missing in a snapshot's folder.

    Raises:
        NotDownloadedError: There is no snapshot, or a file of it is missing.
    """
    from huggingface_hub import constants

    is_offline = constants.HF_HUB_OFFLINE
    snapshot = cached_snapshot(source)
    if snapshot is None:
        raise _absent(source, "HF_HUB_OFFLINE=1 forbids downloads: unset it" if is_offline else "a run downloads it")
    if names := missing(snapshot.folder):
        cause = f"the download was interrupted: {', '.join(names)} missing in {snapshot.folder}"
        remedy = "HF_HUB_OFFLINE=1 forbids downloads: unset it" if is_offline else "a run downloads the rest"
        raise NotDownloadedError(str(source.error(Failure(cause, remedy, copy_helps=True))))
    return snapshot


def declare_layout() -> None:
    """Tell transformers that the cache has no files in the layout of 2022, which it would offer to migrate.

    It looks for the file `version.txt` when it is imported. Offline and without the file, it warns that nothing will
    load.
    """
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    marker = cache / "version.txt"
    try:
        if cache.is_dir() and not marker.exists() and not any(cache.glob("*.json")):  # files of the old layout
            marker.write_text("1", encoding="utf-8")
    except OSError:  # a shared cache may be read-only; transformers would warn that it cannot write
        logging.getLogger("transformers.utils.hub").addFilter(lambda record: "cache" not in record.getMessage())


def _absent(source: HubSource, remedy: str) -> NotDownloadedError:
    """Return an error that names the revisions in the cache."""
    folder = cache_folder(source.repository)
    refs = [str(path.relative_to(folder / "refs")) for path in sorted((folder / "refs").rglob("*")) if path.is_file()]
    commits = [path.name for path in sorted((folder / "snapshots").glob("*"))]
    here = f" (the cache has {', '.join([*refs, *commits])})" if refs or commits else ""
    what = f"revision {source.ref} is " if source.revision or here else ""
    return NotDownloadedError(
        str(source.error(Failure(f"{what}not on this machine yet{here}", remedy, copy_helps=True)))
    )
