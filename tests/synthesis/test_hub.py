"""Access to the model hub: which files are downloaded, and the error of each fault."""

from __future__ import annotations

import errno
import fcntl
import gc
import json
import logging
import os
import pty
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants as hub_constants
import pytest
import torch
import yaml
from fakes import Checkpoints, FakeModel
from hub_server import TOKEN, Fault, HubRepository, HubServer, running_hub, sha256_of
from huggingface_hub import file_download
from huggingface_hub.utils import _http
from safetensors.torch import load_file, save_file

from pipeline.config import ModelConfig
from pipeline.errors import ModelError, NotDownloadedError
from pipeline.synthesis.checkpoint import Checkpoint, find_checkpoint
from pipeline.synthesis.hub import download as hub_download
from pipeline.synthesis.untrained import UntrainedShape

# huggingface_hub does not close the connection of a download that fails.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

SHAPE = UntrainedShape(mean_seconds=0.4, codec_hidden=24)
REPOSITORY, TOKENIZER = "acme/parler-mini", "acme/t5"
FIRST, SECOND, PULL = "1" * 40, "2" * 40, "9" * 40
TOKENIZER_FIRST, TOKENIZER_SECOND = "a" * 40, "b" * 40
SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


@pytest.fixture
def hub(tmp_path: Path, checkpoint_of: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub with a checkpoint in two weight files, and the tokenizer of descriptions in a second repository."""
    with running_hub() as server:
        monkeypatch.setattr(hub_constants, "ENDPOINT", server.endpoint)
        template = server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
        monkeypatch.setattr(hub_constants, "HF_TOKEN_PATH", str(tmp_path / "home" / "token"))
        monkeypatch.setattr(hub_constants, "HF_HUB_ETAG_TIMEOUT", 2)
        monkeypatch.setattr(hub_constants, "HF_HUB_DOWNLOAD_TIMEOUT", 2)
        monkeypatch.setattr(hub_constants, "DOWNLOAD_CHUNK_SIZE", 1 << 14)
        for variable in (
            "HF_TOKEN",
            "HUGGING_FACE_HUB_TOKEN",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "http_proxy",
            "https_proxy",
        ):
            monkeypatch.delenv(variable, raising=False)
        for module in (_http, file_download, hub_download):  # what waits between two attempts
            monkeypatch.setattr(module, "time", type("Clock", (), {"sleep": staticmethod(lambda _: None)}))
        first = shutil.copytree(checkpoint_of(SHAPE), tmp_path / "first")
        tokenizer = tmp_path / "t5"
        _split_tokenizer(first, tokenizer)
        _split_weights(first)
        for name in ("README.md", "pytorch_model.bin", "training_args.json", "flax_model.msgpack", "voices.yaml"):
            (first / name).write_text(f"# {name}\n")
        for name in ("pytorch_model.bin", "onnx_config.json", "model.safetensors", "tf_model.h5"):
            (tokenizer / name).write_text(f"{name}\n")
        second = shutil.copytree(first, tmp_path / "second")
        (second / "generation_config.json").write_text("{}")
        commits = {FIRST: first, SECOND: second, PULL: second}
        server.repositories[REPOSITORY] = HubRepository(commits, {"main": FIRST, "v1.0": FIRST, "refs/pr/9": PULL})
        moved = shutil.copytree(tokenizer, tmp_path / "t5-moved")
        (moved / "special_tokens_map.json").write_text("{}")
        server.repositories[TOKENIZER] = HubRepository(
            {TOKENIZER_FIRST: tokenizer, TOKENIZER_SECOND: moved}, {"main": TOKENIZER_FIRST}
        )
        yield server
    _http.reset_sessions()
    gc.collect()  # here, where the warnings of connections left open are ignored


def _split_tokenizer(checkpoint: Path, tokenizer: Path) -> None:
    """Give descriptions another vocabulary than prompts, as in mini-v1.1."""
    tokenizer.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(checkpoint / name, tokenizer)
    config = json.loads((checkpoint / "config.json").read_text())
    config["text_encoder"]["_name_or_path"] = TOKENIZER
    config["vocab_size"] += 8
    (checkpoint / "config.json").write_text(json.dumps(config))


def _split_weights(checkpoint: Path) -> None:
    tensors = load_file(checkpoint / "model.safetensors")
    tensors["embed_prompts.weight"] = torch.nn.functional.pad(tensors["embed_prompts.weight"], (0, 0, 0, 8))
    (checkpoint / "model.safetensors").unlink()
    names = sorted(tensors)
    weight_map = {name: SHARDS[2 * i >= len(names)] for i, name in enumerate(names)}
    for shard in SHARDS:
        part = {name: tensors[name] for name in names if weight_map[name] == shard}
        save_file(part, checkpoint / shard, {"format": "pt"})
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def find(revision: str | None = None, *, download: bool = True, **model: str) -> Checkpoint:
    return find_checkpoint(ModelConfig("mini", REPOSITORY, revision, **model), download=download)


def message_of(revision: str | None = None, *, download: bool = True) -> str:
    """The message of an error, which must be one line."""
    with pytest.raises(ModelError) as refused:
        find(revision, download=download)
    assert len(str(refused.value).splitlines()) == 1
    return str(refused.value)


def test_only_what_is_needed_is_fetched_and_only_once(hub: HubServer, caplog: pytest.LogCaptureFixture) -> None:
    """Guards against useless downloads: flan-t5-large has 15 GB of weights besides its tokenizer."""
    checkpoint = find()
    assert (checkpoint.revision, checkpoint.description_tokenizer_revision) == (FIRST, TOKENIZER_FIRST)
    assert sorted(hub.downloaded()) == sorted(
        [
            *("config.json", "generation_config.json", "preprocessor_config.json", "voices.yaml"),
            *("model.safetensors.index.json", *SHARDS),
            *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
            *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
        ]
    )
    assert not any("xet" in asked.path for asked in hub.asked), "a killed download would begin anew"
    hub.asked.clear()
    assert find().folder == checkpoint.folder
    assert not [asked.path for asked in hub.asked if not asked.path.startswith("/api/models/")]
    assert not [record for record in caplog.records if "Xet" in record.message]


def test_one_file_of_weights_is_preferred_to_shards(hub: HubServer) -> None:
    """Bug: of a repository with a single file and an index of weights, both were downloaded."""
    folder = hub.repositories[REPOSITORY].commits[FIRST]
    tensors = {name: tensor for shard in SHARDS for name, tensor in load_file(folder / shard).items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    find()
    names = hub.downloaded()
    assert "model.safetensors" in names
    assert not {"model.safetensors.index.json", *SHARDS} & set(names)


def test_weights_of_another_kind_of_model_are_not_fetched(hub: HubServer) -> None:
    """Bug: model=openai/whisper-large was downloaded before it was refused."""
    folder = hub.repositories[REPOSITORY].commits[FIRST]
    (folder / "config.json").write_text(json.dumps({"model_type": "whisper"}))
    assert "whisper" in message_of()
    assert not set(SHARDS) & set(hub.downloaded())


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/9", FIRST, FIRST[:8], None])
def test_a_revision_is_a_commit_online_and_offline(
    revision: str | None, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the recorded commit, for every kind of revision."""
    commit = find(revision).revision
    assert commit == (PULL if revision == "refs/pr/9" else FIRST)
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
    hub.asked.clear()
    assert find(revision).revision == commit
    assert not hub.asked


def test_a_wrong_revision_names_those_that_there_are(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against misspelt branches and pull requests: the error lists those that exist."""
    said = message_of("refs/pr/8")
    assert all(word in said for word in ("'refs/pr/8'", REPOSITORY, "main", "v1.0", "refs/pr/9"))
    find()
    assert "'refs/pr/8'" in message_of("refs/pr/8"), "what is in the cache for main is not asked for"
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
    said = message_of("abcdef1")
    assert all(word in said for word in ("abcdef1", "main", FIRST, "HF_HUB_OFFLINE"))


def test_a_commit_of_the_cache_outlives_its_history(hub: HubServer) -> None:
    """Guards resumed runs after the authors have squashed the commit."""
    folder = find().folder
    repository = hub.repositories[REPOSITORY]
    repository.refs["main"] = SECOND
    del repository.commits[FIRST]
    assert find(FIRST).folder == folder
    assert find().revision == SECOND
    assert f"'{'7' * 40}'" in message_of("7" * 40)


def test_a_broken_connection_is_resumed(hub: HubServer) -> None:
    """Guards large files: huggingface_hub does not retry after an interrupted connection."""
    size = (hub.repositories[REPOSITORY].commits[FIRST] / SHARDS[0]).stat().st_size
    hub.faults.append(Fault(f"/cdn/*/{SHARDS[0]}", cut_at=size // 2, times=1))
    find()
    ranges = [asked.range for asked in hub.asked if asked.path.endswith(SHARDS[0]) and "/cdn/" in asked.path]
    begin = int(ranges[1].removeprefix("bytes=").rstrip("-"))
    assert ranges[0] == ""
    assert 0 < begin <= size // 2


def test_a_killed_download_is_resumed(hub: HubServer, tmp_path: Path) -> None:
    """Guards slow downloads: the next command resumes where a killed one stopped."""
    shard = hub.repositories[REPOSITORY].commits[FIRST] / SHARDS[1]
    released = threading.Event()
    hub.faults.append(Fault(f"/cdn/*/{SHARDS[1]}", cut_at=shard.stat().st_size // 2, stall=released, times=1))
    program = (
        "from huggingface_hub import constants, utils; constants.DOWNLOAD_CHUNK_SIZE = 1 << 14\n"
        "utils.disable_progress_bars()  # as loading a model does\n"
        "from pipeline.config import ModelConfig\nfrom pipeline.synthesis.checkpoint import find_checkpoint\n"
        f"find_checkpoint(ModelConfig('mini', {REPOSITORY!r}))"
    )
    env = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home")}
    terminal, stderr = pty.openpty()
    fcntl.ioctl(stderr, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    os.set_blocking(terminal, False)
    process = subprocess.Popen([sys.executable, "-c", program], env=env, stderr=stderr)
    shown = b""
    blobs = tmp_path / "home" / "hub" / "models--acme--parler-mini" / "blobs"
    partial = blobs / f"{sha256_of(shard)}.incomplete"
    for _ in range(600):
        if process.poll() is not None or (partial.exists() and partial.stat().st_size >= 1 << 14):
            break
        shown += _read(terminal)
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    released.set()
    shown += _read(terminal)
    os.close(terminal)
    os.close(stderr)
    bar = [part for part in re.split(r"[\r\n]+", shown.decode()) if part.startswith(SHARDS[1])][-1]
    assert f"/{shard.stat().st_size / 1e6:.2f}M" in bar, "a person sees how much there is to come"
    num_bytes = partial.stat().st_size
    assert 0 < num_bytes < shard.stat().st_size
    assert SHARDS[1] in message_of(download=False)
    hub.asked.clear()
    find()
    assert hub.downloaded()[0] == SHARDS[1], "the rest is there already"
    assert next(asked.range for asked in hub.asked if asked.path.startswith("/cdn/")) == f"bytes={num_bytes}-"


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except BlockingIOError:
        return b""


@pytest.mark.parametrize("is_too_long", [True, False], ids=["longer", "altered"])
def test_a_damaged_partial_file_is_begun_anew(is_too_long: bool, hub: HubServer) -> None:
    """Bug: a partial file that was too long made every later command fail with HTTP 416."""
    shard = hub.repositories[REPOSITORY].commits[FIRST] / SHARDS[0]
    blobs = Path(hub_constants.HF_HUB_CACHE) / "models--acme--parler-mini" / "blobs"
    blobs.mkdir(parents=True)
    content = shard.read_bytes()
    (blobs / f"{sha256_of(shard)}.incomplete").write_bytes(content + b"more" if is_too_long else b"x" * len(content))
    assert (find().folder / SHARDS[0]).read_bytes() == content


def test_a_file_that_does_not_match_its_checksum_is_not_kept(hub: HubServer) -> None:
    """Guards against damaged weights: huggingface_hub compares sizes only."""
    hub.faults.append(Fault(f"/cdn/*/{SHARDS[0]}", flip=True))
    said = message_of()
    assert SHARDS[0] in said
    assert "HF_HOME" in said
    hub.faults.clear()
    folder = find().folder
    assert sha256_of(folder / SHARDS[0]) == (folder / SHARDS[0]).resolve().name


def test_a_truncated_file_of_the_cache_is_fetched_again(hub: HubServer) -> None:
    """Bug: a truncated file of another program was never downloaded again."""
    path = find().folder / SHARDS[0]
    path.resolve().write_bytes(path.read_bytes()[:-1])
    find()
    assert sha256_of(path) == path.resolve().name


def test_an_interrupted_download_is_told_offline_and_ended_online(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: with an incomplete set of weight files in the cache, loading ended in a traceback."""
    folder = find().folder
    (folder / SHARDS[1]).resolve().unlink()
    with monkeypatch.context() as offline:
        offline.setattr(hub_constants, "HF_HUB_OFFLINE", True)
        said = message_of()
        assert SHARDS[1] in said
        assert SHARDS[0] not in said
        assert "HF_HUB_OFFLINE" in said
    local = shutil.copytree(hub.repositories[REPOSITORY].commits[FIRST], tmp_path / "local")
    (local / SHARDS[1]).unlink()
    with pytest.raises(ModelError, match=SHARDS[1]):
        find_checkpoint(ModelConfig("mini", str(local)))
    hub.asked.clear()
    find()
    assert hub.downloaded() == [SHARDS[1]]


def test_a_repository_without_all_of_its_weights_says_so(hub: HubServer) -> None:
    """Guards against an incomplete upload, and against pickles."""
    folder = hub.repositories[REPOSITORY].commits[FIRST]
    (folder / SHARDS[1]).unlink()
    assert SHARDS[1] in message_of()
    (folder / "model.safetensors.index.json").unlink()
    assert "safetensors" in message_of()
    assert not set(SHARDS) & set(hub.downloaded())


HTML = b"<html><body>Please log in to the guest network.</body></html>"
API, FILES = "/api/models/acme/parler-mini/*", "/*/resolve/*"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(API, 429, {"Retry-After": "37"}), ["429", "37 s", "hf auth login"]),
        (Fault(API, 429, {"RateLimit": '"api";r=0;t=55'}), ["429", "55 s", "hf auth login"]),
        (Fault(FILES, 429), ["429"]),
        (Fault(API, 503), ["503", "model=/path/to/parler-mini"]),
        (Fault(FILES, 502), ["502"]),
        (Fault("/cdn/*", 500), ["500"]),
        (Fault(API, 200, {"Content-Type": "text/html"}, HTML), ["HTTPS_PROXY", "HF_ENDPOINT"]),
        (Fault(API, 200, {}, b'{"message": "another service"}'), ["HTTPS_PROXY", "HF_ENDPOINT"]),
        (Fault(API, 200, {}, b"[]"), ["HTTPS_PROXY", "HF_ENDPOINT"]),
        (Fault(FILES, 200, {"Content-Type": "text/html"}, HTML), ["HTTPS_PROXY", "HF_ENDPOINT"]),
        (Fault(API, 403, {"X-Error-Message": "Access to this resource is disabled."}), ["403", "disabled"]),
        (Fault("/cdn/*", cut_at=0), []),
    ],
    ids=lambda value: None if isinstance(value, list) else f"{value.path}-{value.status}-{value.body[:6]!r}",
)
def test_what_the_hub_cannot_do_is_one_line(
    fault: Fault, words: list[str], hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards against tracebacks, and against one message for all kinds of HTTP errors."""
    fault.times = 1_000_000  # pytest reuses the parameters
    hub.faults.append(fault)
    said = message_of()
    assert said.startswith(f"{REPOSITORY}: ")
    assert all(word in said for word in words), said
    if fault.status == 429:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        assert "hf auth login" not in message_of()


def test_a_gated_repository_says_whose_terms_to_accept(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: a gated repository (indic) was reported as missing or private."""
    repository = hub.repositories[REPOSITORY]
    repository.is_gated = True
    page = f"{hub.endpoint}/{REPOSITORY}"
    said = message_of()
    assert all(word in said for word in (page, "hf auth login", "HF_TOKEN"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    repository.is_open_to_token = False
    said = message_of()
    assert all(word in said for word in (page, "HF_TOKEN"))
    assert "hf auth login" not in said, "one is logged in"
    repository.is_open_to_token = True
    assert find().revision == FIRST


def test_a_token_that_the_hub_refuses_is_named_with_its_place(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: with an expired token, public repositories were reported as missing."""
    stored = tmp_path / "home" / "token"
    stored.parent.mkdir()
    stored.write_text("hf_expired")
    said = message_of()
    assert all(word in said for word in (str(stored), "hf auth logout"))
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    said = message_of()
    assert "HF_TOKEN" in said
    assert str(stored) not in said
    assert "hf_wrong" not in said


@pytest.mark.parametrize("token", [None, TOKEN])
def test_a_repository_that_is_not_there(token: str | None, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards misspelt ids, for which the hub answers 401 or 404."""
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    hub.repositories.clear()
    said = message_of()
    assert f"{hub.endpoint}/{REPOSITORY}" in said
    with pytest.raises(ModelError, match=r"owner/name"):
        find_checkpoint(ModelConfig("mini", "acme/..mini"))


def test_a_machine_without_network(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the messages without a connection: no server, no name, no answer, no proxy."""
    hub.faults.append(Fault("*", 200, body=b"x" * 10, cut_at=0))

    def message_at(endpoint: str) -> str:
        monkeypatch.setattr(hub_constants, "ENDPOINT", endpoint)
        return message_of()

    with socket.socket() as closed, socket.socket() as silent:
        closed.bind(("127.0.0.1", 0))
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setattr(hub_constants, "HF_HUB_ETAG_TIMEOUT", 0.2)
        reasons = set()
        for endpoint in (
            f"http://127.0.0.1:{closed.getsockname()[1]}",
            f"http://127.0.0.1:{silent.getsockname()[1]}",
            "http://hub.invalid",
        ):
            said = message_at(endpoint)
            assert all(part in said for part in (endpoint, "model=/path/to/parler-mini")), said
            reasons.add(said.replace(endpoint, ""))
        assert len(reasons) == 3, "each way has its own words"
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed.getsockname()[1]}")
        assert "HTTPS_PROXY" in message_at("http://hub.invalid")


@pytest.mark.parametrize("fault", [Fault(API, 503), Fault(API, 429), Fault("*", 200, body=HTML)], ids=str)
def test_what_is_in_the_cache_is_used_when_the_hub_fails(
    fault: Fault, hub: HubServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Guards runs against an outage of the hub, if all files are in the cache."""
    find()
    fault.times = 1_000_000
    hub.faults.append(fault)
    assert find().revision == FIRST
    assert any(FIRST in record.message for record in caplog.records if record.levelno == logging.WARNING)


def test_a_full_disk_says_how_much_is_needed_before_anything_is_fetched(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: a full disk was reported, after gigabytes, as an unreachable hub."""
    usage = shutil.disk_usage("/")._replace(free=20_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    said = message_of()
    assert all(word in said for word in ("20.0 kB", "HF_HOME"))
    assert not set(SHARDS) & set(hub.downloaded())


@pytest.mark.parametrize(("code", "words"), [(errno.ENOSPC, ["space"]), (errno.EROFS, ["Read-only"])])
def test_a_disk_that_fills_or_is_forbidden(
    code: int, words: list[str], hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the messages for errors of the file system in the middle of a file."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code), "/cache/blob")

    monkeypatch.setattr(file_download, "http_get", fail)
    said = message_of()
    assert all(word in said for word in [*words, "HF_HOME", hub_constants.HF_HUB_CACHE])


def test_a_cache_below_a_file_cannot_be_written(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the message for a cache folder that cannot be written."""
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(tmp_path / "file" / "hub"))
    assert "HF_HOME" in message_of()


def test_nothing_is_fetched_for_a_dry_run(hub: HubServer) -> None:
    """Guards dry runs against downloads."""
    with pytest.raises(NotDownloadedError, match=REPOSITORY):
        find(download=False)
    assert not hub.asked


def test_the_descriptions_tokenizer_is_said_to_be_a_second_repository(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: the remedy for a missing tokenizer named the wrong key."""
    there = hub.repositories.pop(TOKENIZER)
    said = message_of()
    assert all(word in said for word in (TOKENIZER, REPOSITORY, "model.description_tokenizer="))
    assert " model=/path" not in said
    copy = shutil.copytree(there.commits[TOKENIZER_FIRST], tmp_path / "copy")
    checkpoint = find(description_tokenizer=str(copy))
    assert checkpoint.description_tokenizer == copy
    assert checkpoint.revision == FIRST
    before = checkpoint.description_tokenizer_revision
    (copy / "special_tokens_map.json").write_text('{"unk_token": "?"}')
    assert find(description_tokenizer=str(copy)).description_tokenizer_revision != before
    hub.repositories["other/t5"] = there
    checkpoint = find(description_tokenizer="other/t5")
    assert checkpoint.description_tokenizer_name == f"other/t5@{TOKENIZER_FIRST}"
    with pytest.raises(ModelError, match=r"not-there.*model\.description_tokenizer"):
        find(description_tokenizer=str(tmp_path / "not-there"))
    there.commits[TOKENIZER_FIRST].joinpath("tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"other/t5"):
        find(description_tokenizer="other/t5", description_tokenizer_revision=TOKENIZER_FIRST[:12])


def test_a_run_keeps_its_commits_when_the_hub_moves_on(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_model: FakeModel
) -> None:
    """Bug: after a push to the hub, a resumed run was refused because of the new commit."""
    texts = tmp_path / "texts.txt"
    texts.write_text("One sentence.\n\nAnother sentence.\n")
    command = [f"input={texts}", f"output_dir={tmp_path / 'out'}", f"model={REPOSITORY}", "name=run", "voice=A voice."]
    command[-1] = "voice=A calm voice."
    assert fake_model.main(command) == 0
    model = yaml.safe_load((tmp_path / "out" / "run" / "config.yaml").read_text())["model"]
    assert (model["revision"], model["description_tokenizer_revision"]) == (FIRST, TOKENIZER_FIRST)
    hub.repositories[REPOSITORY].refs["main"] = SECOND
    hub.repositories[TOKENIZER].refs["main"] = TOKENIZER_SECOND
    assert fake_model.main(command) == 0
    assert len(fake_model) == 1, "nothing is made again"
    assert yaml.safe_load((tmp_path / "out" / "run" / "config.yaml").read_text())["model"] == model
    assert fake_model.main([*command, "model.revision=main"]) == 3, "asked for by name, it is another run"
    assert fake_model.main([*command[:-2], "name=other", command[-1]]) == 0
    model = yaml.safe_load((tmp_path / "out" / "other" / "config.yaml").read_text())["model"]
    assert (model["revision"], model["description_tokenizer_revision"]) == (SECOND, TOKENIZER_SECOND)


def test_a_dataset_from_the_hub_to_its_card(hub: HubServer, tmp_path: Path) -> None:
    """Guards the whole path: download, run, and both commits in config, card and report."""
    (tmp_path / "texts.jsonl").write_text('{"text": "Hello there."}\n{"text": "It rains."}\n')
    env = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    arguments = ["task=dataset", f"input={tmp_path / 'texts.jsonl'}", f"model={REPOSITORY}", "voice=A calm voice."]
    settings = ["checks.length_ratio=0", "checks.accept_last_take=true", "engine.device=cpu", "name=run"]
    command = [sys.executable, "-m", "pipeline", *arguments, *settings, f"output_dir={tmp_path}"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "cache for model files" not in done.stderr, "transformers finds nothing to migrate"
    run_dir = tmp_path / "run"
    card = (run_dir / "README.md").read_text()
    assert FIRST in card
    assert f"{TOKENIZER}@{TOKENIZER_FIRST}" in card
    assert json.loads((run_dir / "report.json").read_text())["model"]["description_tokenizer"].endswith(TOKENIZER_FIRST)
    assert len(hub.downloaded()) == len(set(hub.downloaded())) + 3, "only the tokenizers have files of the same names"
