"""Download files of one commit. Interrupted downloads are resumed, and checksums are compared with the hub's."""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ModelError
from pipeline.synthesis.hub.cache import cache_folder, snapshot_at
from pipeline.synthesis.hub.errors import (
    Failure,
    HubSource,
    describe_failure,
    existing_parent,
    format_bytes,
    no_space,
)

_MAX_ATTEMPTS = 5  # for a file whose download is interrupted or damaged
_PAUSE_SECONDS = 1.0
_MIN_ANNOUNCED_BYTES = 10**6
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RemoteFile:
    """A file in the hub's listing."""

    name: str
    num_bytes: int | None  # None: unknown
    checksum: str  # SHA-256 of a large file, git's SHA-1 of a small one; empty: unknown


@dataclass(frozen=True)
class Listing:
    """The files of a repository at one commit."""

    commit: str
    files: dict[str, RemoteFile]  # by name


def list_files(source: HubSource) -> Listing:
    """Ask the hub for the commit of a revision and its files. Errors of `huggingface_hub` are not caught."""
    from huggingface_hub import HfApi, constants

    info = HfApi().model_info(
        source.repository, revision=source.ref, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT
    )
    if not info.sha:
        raise KeyError("sha")  # the answer did not come from the hub
    files = {}
    for entry in info.siblings or ():
        checksum = (entry.lfs.sha256 if entry.lfs else entry.blob_id) or ""
        files[entry.rfilename] = RemoteFile(entry.rfilename, entry.size, checksum)
    return Listing(info.sha, files)


def download_files(source: HubSource, listing: Listing, names: Sequence[str]) -> None:
    """Download the files that are not in the cache, one after the other, each with a progress bar.

    Raises:
        ModelError: A file cannot be downloaded, or the disk has too little space for all of them.
    """
    from huggingface_hub import constants

    folder, cache = snapshot_at(source.repository, listing.commit).folder, Path(constants.HF_HUB_CACHE)
    files = [listing.files[name] for name in names if not _has_size(folder / name, listing.files[name])]
    num_bytes = sum(file.num_bytes or 0 for file in files) - _num_partial_bytes(source, files)
    try:
        if num_bytes > shutil.disk_usage(existing_parent(cache)).free:
            raise source.error(no_space(num_bytes, cache))
        if num_bytes > _MIN_ANNOUNCED_BYTES:  # a warning is visible by default, also in logs without a progress bar
            _log.warning("%s: downloading %s to %s", source.repository, format_bytes(num_bytes), cache)
        with _settings_for_downloads():
            for file in files:
                _download(source, listing.commit, file, folder / file.name)
    except ModelError:
        raise
    except Exception as error:  # it may raise errors of many libraries: each is reported in one line
        raise source.error(describe_failure(error, source, num_bytes)) from error


def _download(source: HubSource, commit: str, file: RemoteFile, path: Path) -> None:
    """Download a file into the cache: resume an interrupted download, restart a damaged one."""
    import requests
    from huggingface_hub import hf_hub_download

    for attempt in range(_MAX_ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE_SECONDS)
        if path.is_file() and not _has_size(path, file):
            _delete(path)
        try:
            hf_hub_download(source.repository, file.name, revision=commit)
        except requests.exceptions.ChunkedEncodingError:  # after other errors huggingface_hub resumes itself
            if attempt + 1 == _MAX_ATTEMPTS:
                raise
        except OSError as error:
            if not _is_damage(error):
                raise
            _partial_path(source, file).unlink(missing_ok=True)
        else:
            if _is_intact(path, file):
                return
            _delete(path)
    cause = f"{file.name} is damaged after the download: size or checksum differ from the hub's"
    remedy = "a proxy or the disk may alter it: try another network, or another HF_HOME"
    raise source.error(Failure(cause, remedy, copy_helps=True))


def _is_damage(error: OSError) -> bool:
    """Return whether an error means a damaged partial file: too long to resume (HTTP 416), or of a wrong length."""
    response = getattr(error, "response", None)
    return (response is not None and response.status_code == 416) or "Consistency check failed" in str(error)


def _has_size(path: Path, file: RemoteFile) -> bool:
    return path.is_file() and file.num_bytes in (None, path.stat().st_size)


def _is_intact(path: Path, file: RemoteFile) -> bool:
    is_git = len(file.checksum) == 40
    digest = hashlib.sha1(usedforsecurity=False) if is_git else hashlib.sha256()
    if is_git:
        digest.update(f"blob {path.stat().st_size}\0".encode())
    with path.open("rb") as content:
        while block := content.read(1 << 24):
            digest.update(block)
    return not file.checksum or digest.hexdigest() == file.checksum


def _delete(path: Path) -> None:
    """Delete a file of the cache and the blob that it links to."""
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _partial_path(source: HubSource, file: RemoteFile) -> Path:
    return cache_folder(source.repository) / "blobs" / f"{file.checksum}.incomplete"


def _num_partial_bytes(source: HubSource, files: Sequence[RemoteFile]) -> int:
    paths = {_partial_path(source, file) for file in files}
    return sum(path.stat().st_size for path in paths if path.is_file())


@contextmanager
def _settings_for_downloads() -> Iterator[None]:
    """Use plain HTTP, progress bars, and no warning of several lines for each retry.

    With the Xet protocol, which `huggingface_hub` prefers, a killed download cannot be resumed. Progress bars are off
    if a model was loaded earlier in the process.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import enable_progress_bars

    if not constants.HF_HUB_DISABLE_PROGRESS_BARS:
        enable_progress_bars("huggingface_hub.http_get")
    loggers = [logging.getLogger(f"huggingface_hub.{name}") for name in ("file_download", "utils._http")]
    is_xet_off, constants.HF_HUB_DISABLE_XET = constants.HF_HUB_DISABLE_XET, True
    for logger in loggers:
        logger.addFilter(_drop)
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_XET = is_xet_off
        for logger in loggers:
            logger.removeFilter(_drop)


def _drop(_: logging.LogRecord) -> bool:
    return False
