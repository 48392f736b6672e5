"""Explain failures of the Hugging Face hub in one line with cause and remedy."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from pipeline.errors import ModelError

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
# ENOTDIR and EEXIST: a part of the cache's path is a file.
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}
_CONNECT = "check the connection, and run the same command again"
_MAX_REFS = 8


@dataclass(frozen=True)
class HubSource:
    """A repository of the hub at a revision."""

    repository: str  # owner/name
    revision: str | None = None  # a branch, tag, refs/pr/N or commit; None: main
    purpose: str = ""  # for messages: what it is needed for, if the user did not name it
    copy_key: str = "model"  # the config key that takes a local folder instead

    @property
    def ref(self) -> str:
        """The revision, or the default branch."""
        return self.revision or "main"

    @property
    def page(self) -> str:
        """Web page of the repository."""
        from huggingface_hub import constants

        return f"{constants.ENDPOINT}/{self.repository}"

    def error(self, failure: Failure) -> ModelError:
        """Return the error for the user."""
        name = self.repository.rstrip("/").rsplit("/", maxsplit=1)[-1]
        # The user did not name a repository with a purpose, so the message must name the key that replaces it.
        has_hint = failure.copy_helps or (self.purpose and not failure.is_local)
        copy = f", or give the folder of a copy: {self.copy_key}=/path/to/{name}" if has_hint else ""
        return ModelError(f"{self.repository}{self.purpose}: {failure.cause}; {failure.remedy}{copy}")


@dataclass(frozen=True)
class Failure:
    """Why a request failed, and what the user can do."""

    cause: str
    remedy: str
    copy_helps: bool = False  # a local copy of the repository is another remedy
    is_final: bool = False  # the cache must not be used instead
    is_local: bool = False  # caused by this machine's disk or by the name that was given


_NO_ID = Failure("neither a folder nor an id of the hub", "give owner/name or ./folder", is_local=True, is_final=True)


def describe_failure(error: BaseException, source: HubSource, num_bytes: int = 0) -> Failure:
    """Find the cause of an error of `huggingface_hub`, which often wraps others.

    `LocalEntryNotFoundError` stands for any failure to reach the hub, and requests, urllib3 and socket wrap one
    another. So the whole chain of causes is searched: first for errors of the disk, then of the server, then of the
    network.

    Args:
        error: As raised by the library.
        source: What was requested.
        num_bytes: Bytes that remained to be downloaded; 0: unknown.
    """
    from huggingface_hub.errors import HFValidationError

    chain = list(_causes(error))
    if any(isinstance(link, HFValidationError) for link in chain):
        return _NO_ID
    for link in chain:
        if failure := _disk_failure(link, num_bytes):
            return failure
    searches: tuple[Callable[[BaseException, HubSource], Failure | None], ...] = (
        _http_failure,
        _network_failure,
        _unreachable,
    )
    for search in searches:
        for link in chain:
            if failure := search(link, source):
                return failure
    first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return Failure(f"cannot be downloaded ({first_line})", "give the same command again", copy_helps=True)


def check_repository_id(source: HubSource) -> None:
    """Refuse what cannot be the id of a repository, before it becomes part of a path or an address.

    Raises:
        ModelError: It cannot.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(source.repository)
    except HFValidationError as error:
        raise source.error(_NO_ID) from error


def no_space(num_bytes: int, folder: Path) -> Failure:
    """Return a failure that names the needed space, the free space and the folder."""
    free = shutil.disk_usage(existing_parent(folder)).free
    needed = f"{format_bytes(num_bytes)} needed" if num_bytes else "more is needed"
    return Failure(
        f"no space left in {folder}: {needed}, {format_bytes(free)} free",
        "free some space, or set HF_HOME to a folder on a larger disk",
        is_local=True,
    )


def existing_parent(folder: Path) -> Path:
    """Return the folder, or its nearest parent that exists."""
    return next(parent for parent in (folder, *folder.parents) if parent.is_dir())


def format_bytes(number: int) -> str:
    """Format a size with three digits: `3.51 GB`, `12.0 MB`."""
    for unit, size in (("GB", 10**9), ("MB", 10**6)):
        if number >= size:
            return f"{number / size:.{2 if number < 10 * size else 1 if number < 100 * size else 0}f} {unit}"
    return f"{number / 1000:.1f} kB"


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _disk_failure(error: BaseException, num_bytes: int) -> Failure | None:
    from huggingface_hub import constants

    if not isinstance(error, OSError):
        return None
    cache = Path(constants.HF_HUB_CACHE)
    if error.errno in _NO_SPACE:
        return no_space(num_bytes, cache)
    if error.errno in _NOT_WRITABLE:
        return Failure(
            f"the cache {cache} cannot be written ({os.strerror(error.errno)}: {error.filename})",
            "set HF_HOME to a folder that you may write to",
            is_local=True,
        )
    return None


def _http_failure(error: BaseException, source: HubSource) -> Failure | None:
    """Explain an HTTP error by its status and headers.

    The class of the exception is not enough: `huggingface_hub` chooses it for https addresses only.
    """
    response = getattr(error, "response", None)
    if response is None:
        return None
    status, code = response.status_code, response.headers.get("X-Error-Code", "")
    said = response.headers.get("X-Error-Message", "")
    if code == "GatedRepo":
        return _gated(status, said, source)
    if code == "RevisionNotFound":
        is_commit = re.fullmatch(r"[0-9a-f]{40}", source.ref)  # it may be in the cache even if history was rewritten
        return Failure(f"there is no revision {source.ref!r}", _known_refs(source), is_final=not is_commit)
    if status == 401 and _token_source() and code != "RepoNotFound":
        remedy = "log in again (`hf auth login`) or remove it (`hf auth logout`): public repositories need none"
        if _token_source() == "HF_TOKEN":
            remedy = "set HF_TOKEN to a new one, or unset it: public repositories need none"
        return Failure(f"the hub rejects the token in {_token_source()}: it is expired or wrong", remedy)
    if status == 401 or code == "RepoNotFound":
        account = "to this account" if _token_source() else "without logging in (`hf auth login`)"
        return Failure(
            f"not on the hub, or private and not visible {account}",
            f"check the name on {source.page}",
        )
    if status == 429:
        return _too_many_requests(response)
    if status >= 500:
        return Failure(f"the hub has an internal error (HTTP {status})", "try again later", copy_helps=True)
    detail = f": {said.strip().splitlines()[0]}" if said.strip() else ""
    return Failure(f"the hub rejects the request (HTTP {status}{detail})", f"see {source.page}")


def _gated(status: int, said: str, source: HubSource) -> Failure:
    if status == 401 or not _token_source():
        return Failure(
            "the repository is gated",
            f"accept its terms on {source.page} and log in (`hf auth login`, or set HF_TOKEN)",
        )
    if "fine-grained" in said:
        return Failure(
            f"the repository is gated, and the token in {_token_source()} may not read gated ones",
            "allow it to read gated repositories on https://huggingface.co/settings/tokens",
        )
    return Failure(
        f"the repository is gated, and the account of the token in {_token_source()} has no access",
        f"accept its terms on {source.page} with the same account; some authors approve requests by hand",
    )


def _token_source() -> str:
    """Return the variable or file that the token comes from; empty if there is no token."""
    from huggingface_hub import constants, get_token

    if not get_token():
        return ""
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if os.environ.get(variable, "").strip():
            return variable
    return str(constants.HF_TOKEN_PATH)


def _known_refs(source: HubSource) -> str:
    """List branches, tags and pull requests of a repository, as far as the hub provides them."""
    from huggingface_hub import HfApi

    try:
        refs = HfApi().list_repo_refs(source.repository, include_pull_requests=True)
    except Exception:  # the list is optional, and must not hide the first error
        return f"see {source.page}/commits for the existing ones"
    names = [ref.name for ref in (*refs.branches, *refs.tags)] + [ref.ref for ref in refs.pull_requests or ()]
    more = f" and {len(names) - _MAX_REFS} more" if len(names) > _MAX_REFS else ""
    return f"give one of {', '.join(names[:_MAX_REFS])}{more}, or a commit"


def _too_many_requests(response: Any) -> Failure:
    seconds = _seconds_to_wait(response)
    wait = "some minutes" if seconds is None else f"{seconds} s"
    higher = "" if _token_source() else "; logging in (`hf auth login`) raises the limit"
    cause = "too many requests to the hub from here (HTTP 429)"
    return Failure(cause, f"wait {wait} and try again{higher}", copy_helps=True)


def _seconds_to_wait(response: Any) -> int | None:
    """Read the header Retry-After (seconds or a date), or `t` in the hub's `RateLimit: "api";r=0;t=55`."""
    after = response.headers.get("Retry-After", "").strip()
    if after.isdecimal():
        return int(after)
    if after:
        try:
            until = parsedate_to_datetime(after)
        except ValueError:
            return None
        return max(0, round((until - datetime.now(timezone.utc)).total_seconds()))
    for part in response.headers.get("RateLimit", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == "t" and value.isdecimal():
            return int(value)
    return None


def _network_failure(error: BaseException, source: HubSource) -> Failure | None:
    import requests
    from huggingface_hub import constants
    from huggingface_hub.errors import FileMetadataError

    hub = constants.ENDPOINT
    if isinstance(error, requests.exceptions.ProxyError):
        return Failure("the proxy cannot be reached", "check HTTPS_PROXY and HTTP_PROXY", copy_helps=True)
    if isinstance(error, requests.exceptions.SSLError):
        return Failure(
            f"the certificate of {hub} is not trusted",
            "if a proxy inspects traffic, set REQUESTS_CA_BUNDLE to its certificate; otherwise check the clock",
            copy_helps=True,
        )
    if isinstance(error, (FileMetadataError, json.JSONDecodeError, KeyError, TypeError)):
        # An HTML page instead of JSON or a file: a login page of the network, a proxy, a wrong HF_ENDPOINT.
        return Failure(
            f"the answer of {hub} does not come from the hub",
            "open that address in a browser (the network may require a login); check HTTPS_PROXY and HF_ENDPOINT",
            copy_helps=True,
        )
    for kinds, what in (
        ((requests.exceptions.Timeout, TimeoutError), "no answer in time"),
        ((socket.gaierror,), "its name cannot be resolved"),
        ((ConnectionRefusedError,), "it refuses the connection"),
        ((requests.exceptions.ChunkedEncodingError,), "the connection was interrupted"),
    ):
        if isinstance(error, kinds):
            return Failure(f"the hub cannot be reached ({hub}: {what})", _CONNECT, copy_helps=True)
    return None


def _unreachable(error: BaseException, source: HubSource) -> Failure | None:
    """Explain a connection error that has no more specific cause."""
    import requests
    from huggingface_hub import constants
    from huggingface_hub.errors import LocalEntryNotFoundError

    if isinstance(error, (requests.exceptions.ConnectionError, ConnectionError, LocalEntryNotFoundError)):
        return Failure(f"the hub cannot be reached ({constants.ENDPOINT})", _CONNECT, copy_helps=True)
    return None
