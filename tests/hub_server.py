"""A small Hugging Face hub on loopback: what `huggingface_hub` asks for a download, with faults to switch on.

It answers as the real one does, as far as downloads see it: small files come from a relative redirect (307) with
git's SHA-1 as their ETag, large ones from another host (302) with their SHA-256, to which no token may be sent; both
announce commit, size and Xet storage. Errors carry X-Error-Code and X-Error-Message.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

LARGE = ("*.safetensors", "*.model", "*.bin", "*.h5", "*.msgpack")  # as .gitattributes of the hub has them
TOKEN = "hf_valid"


@dataclass
class HubRepository:
    """A repository: its commits, and what points to them."""

    commits: dict[str, Path]  # the folder with the files of each
    refs: dict[str, str]  # branches, tags and refs/pr/N
    is_gated: bool = False
    is_open_to_token: bool = True  # of a gated one: whether the account has been granted access

    def commit_of(self, revision: str) -> str | None:
        """The commit of a ref, or of a hash, which may be short."""
        if revision in self.refs:
            return self.refs[revision]
        found = [commit for commit in self.commits if len(revision) >= 7 and commit.startswith(revision)]
        return found[0] if len(found) == 1 else None


@dataclass
class Fault:
    """An answer that is given instead of the right one."""

    path: str  # a pattern of addresses
    status: int = 0  # 0: the right answer, but for `cut_at` and `flip`
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_at: int | None = None  # bytes after which the connection is closed
    stall: threading.Event | None = None  # what the server waits for before it closes the connection
    flip: bool = False  # the last byte of the content is another
    times: int = 1_000_000


@dataclass(frozen=True)
class Asked:
    """A request that came in."""

    method: str
    path: str
    range: str
    has_token: bool


class HubServer(ThreadingHTTPServer):
    """Repositories by name, faults, and a list of everything that was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, HubRepository] = {}
        self.faults: list[Fault] = []
        self.asked: list[Asked] = []

    @property
    def endpoint(self) -> str:
        """Its address, for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.server_port}"

    def downloaded(self) -> list[str]:
        """Names of files whose content was asked for, in order."""
        return [
            asked.path.rsplit("/", maxsplit=1)[-1]
            for asked in self.asked
            if asked.method == "GET" and re.match("/api/resolve-cache/|/cdn/", asked.path)
        ]


@contextmanager
def running_hub() -> Iterator[HubServer]:
    """A hub that runs in threads of this process."""
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def sha1_of(path: Path) -> str:
    """Git's object id of a file."""
    return _digests(path, path.stat().st_mtime_ns)[0]


def sha256_of(path: Path) -> str:
    """What a large file is stored under."""
    return _digests(path, path.stat().st_mtime_ns)[1]


@cache
def _digests(path: Path, _: int) -> tuple[str, str]:
    content = path.read_bytes()
    sha1 = hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False)
    return sha1.hexdigest(), hashlib.sha256(content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for an acknowledgement
    server: HubServer

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed: `asked` keeps it."""

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.server.asked.append(Asked(self.command, path, self.headers.get("Range", ""), bool(token)))
        fault = next((f for f in self.server.faults if f.times > 0 and fnmatchcase(path, f.path)), None)
        if fault is not None:
            fault.times -= 1
            if fault.status:
                self._send(fault.status, fault.headers, fault.body)
                return
        if path.startswith("/cdn/"):
            _, _, repository, commit, name = path.split("/", maxsplit=4)
            assert not token, "a token must not be sent to another host"
            self._content(self.server.repositories[repository.replace("--", "/")].commits[commit] / name, fault)
        elif token and token != TOKEN:
            self._refuse(401, "", "Invalid credentials in Authorization header")
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(refs|revision/(.+))", path):
            self._api(found[1], found[3])
        elif found := re.fullmatch(
            r"(/api/resolve-cache/models)?/([^/]+/[^/]+)(?:/resolve)?/([^/]+|refs/pr/\d+)/(.+)", path
        ):
            self._file(found[2], found[3], found[4], is_final=bool(found[1]), fault=fault)
        else:
            self._refuse(404, "", "Sorry, we can't find the page you are looking for.")

    def _repository(self, name: str) -> HubRepository | None:
        repository = self.server.repositories.get(name)
        has_token = "Authorization" in self.headers
        if repository is None:
            # Without a token the real hub does not say whether there is a private one.
            self._refuse(404 if has_token else 401, "RepoNotFound", "Repository not found")
        return repository

    def _api(self, name: str, revision: str | None) -> None:
        repository = self._repository(name)
        if repository is None:
            return
        if revision is None:
            pulls = [ref for ref in repository.refs if ref.startswith("refs/pr/")]
            branches = [ref for ref in repository.refs if ref not in pulls]
            entries = {ref: {"name": ref, "ref": ref, "targetCommit": repository.refs[ref]} for ref in repository.refs}
            refs = {"branches": [entries[ref] for ref in branches], "tags": [], "converts": []}
            self._json({**refs, "pullRequests": [entries[ref] for ref in pulls]})
            return
        commit = repository.commit_of(revision)
        if commit is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        folder = repository.commits[commit]
        has_sizes = "blobs=" in self.path
        siblings = [_sibling(path, folder, has_sizes) for path in sorted(folder.rglob("*")) if path.is_file()]
        self._json({"id": name, "modelId": name, "sha": commit, "private": False, "siblings": siblings})

    def _file(self, name: str, revision: str, file: str, *, is_final: bool, fault: Fault | None) -> None:
        repository = self._repository(name)
        if repository is None:
            return
        if repository.is_gated and not (repository.is_open_to_token and "Authorization" in self.headers):
            has_token = "Authorization" in self.headers
            said = f"Access to model {name} is restricted" + (
                f" and you are not in the authorized list. Visit {self.server.endpoint}/{name} to ask for access."
                if has_token
                else ". You must have access to it and be authenticated to access it. Please log in."
            )
            self._refuse(403 if has_token else 401, "GatedRepo", said)
            return
        commit = repository.commit_of(revision)
        if commit is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        path = repository.commits[commit] / file
        if not path.is_file():
            self._refuse(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
            return
        headers = {"X-Repo-Commit": commit, "X-Linked-Size": str(path.stat().st_size)}
        if is_final:
            self._content(path, fault, {**headers, "ETag": f'"{sha1_of(path)}"'})
        elif is_large(file):
            xet = f"{self.server.endpoint}/api/models/{name}/xet-read-token/{commit}"
            other_host = f"http://localhost:{self.server.server_port}/cdn/{name.replace('/', '--')}/{commit}/{file}"
            large = {"X-Linked-ETag": f'"{sha256_of(path)}"', "X-Xet-Hash": "0" * 64, "Location": other_host}
            self._send(302, {**headers, **large, "Link": f'<{xet}>; rel="xet-auth"'}, b"")
        else:
            there = f"/api/resolve-cache/models/{name}/{commit}/{file}"
            self._send(307, {**headers, "X-Linked-ETag": f'"{sha1_of(path)}"', "Location": there}, b"")

    def _content(self, path: Path, fault: Fault | None, headers: Mapping[str, str] | None = None) -> None:
        content = path.read_bytes()
        if fault is not None and fault.flip:
            content = content[:-1] + bytes([content[-1] ^ 1])
        begin, status = 0, 200
        disposition = f"inline; filename*=UTF-8''{path.name}; filename=\"{path.name}\";"
        extra = {"Accept-Ranges": "bytes", "Content-Disposition": disposition, **(headers or {})}
        if found := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            begin, status = int(found[1]), 206
            if begin >= len(content):
                self._send(416, {"Content-Range": f"bytes */{len(content)}"}, b"")
                return
            extra["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        self._send(status, extra, content[begin:], fault=fault)

    def _refuse(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        extra = {"X-Error-Code": code, "X-Error-Message": message, **(headers or {})}
        body = json.dumps({"error": message}).encode()
        self._send(status, {name: value for name, value in extra.items() if value}, body, "application/json")

    def _json(self, value: object) -> None:
        self._send(200, {}, json.dumps(value).encode(), "application/json; charset=utf-8")

    def _send(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        content_type: str = "application/octet-stream",
        fault: Fault | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": content_type, **headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body[: fault.cut_at if fault else None])
        if fault is not None and fault.cut_at is not None:
            self.close_connection = True
            if fault.stall is not None:
                fault.stall.wait(60)


def is_large(name: str) -> bool:
    """Whether a file is stored outside of git."""
    return any(fnmatchcase(name, pattern) for pattern in LARGE)


def _sibling(path: Path, folder: Path, has_sizes: bool) -> dict[str, object]:
    name, size = path.relative_to(folder).as_posix(), path.stat().st_size
    if not has_sizes:
        return {"rfilename": name}
    large = {"lfs": {"sha256": sha256_of(path), "size": size, "pointerSize": 135}} if is_large(name) else {}
    return {"rfilename": name, "size": size, "blobId": sha1_of(path), **large}
