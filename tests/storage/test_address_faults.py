# ruff: noqa: F811 (a fixture from elsewhere is an argument here)
"""Addresses that refuse, break off or answer slowly; and what is compressed."""

from __future__ import annotations

import gzip
import http.server
import io
import json
import threading
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes import INFO
from object_store import StrictStore, store  # noqa: F401  (a fixture)

from pipeline.config import SourceConfig
from pipeline.errors import RunDirectoryError, SourceError
from pipeline.reporting.report import Report, render_report
from pipeline.storage.atomic import write_text
from pipeline.storage.lease import hold_lease
from pipeline.storage.paths import resolve_path
from pipeline.text.readers.dispatch import check_source, read_documents

ROWS = [{"text": f"Sentence number {number}."} for number in range(9)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
TABLE = ("text\n" + "".join(row["text"] + "\n" for row in ROWS)).encode()


def refuse(*_: object, **__: object) -> None:
    raise RuntimeError("Unable to locate credentials")  # a store's own family, no OSError


@pytest.mark.parametrize("root", ["", "s3://bucket"])
@pytest.mark.parametrize(("name", "content"), [("t.jsonl", LINES), ("t.csv", TABLE), ("book.txt", b"One. Two.")])
def test_what_is_compressed_reads_as_what_is_not(
    name: str,
    content: bytes,
    root: str,
    tmp_path: Path,
    store: type[StrictStore],
) -> None:
    for there, kept in ((name, content), (f"{name}.gz", gzip.compress(content))):
        (tmp_path / there).write_bytes(kept)
        store.objects[f"bucket/{there}"] = kept
    plain, packed = (read_documents(f"{root or tmp_path}/{name}{ending}", SourceConfig()) for ending in ("", ".gz"))
    assert list(packed) == list(plain)


@pytest.mark.parametrize("content", [gzip.compress(LINES)[:-20], LINES], ids=["cut short", "not compressed"])
def test_what_cannot_be_unpacked_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl.gz").write_bytes(content)
    with pytest.raises(SourceError, match=r"t\.jsonl\.gz"):
        list(read_documents(str(tmp_path / "t.jsonl.gz"), SourceConfig()))


@pytest.mark.parametrize("name", ["t.jsonl", "t.parquet"])
def test_the_beginning_of_a_table_is_had_without_its_end(
    name: str,
    store: type[StrictStore],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Guards tables larger than memory; Arrow fetches every row group of a file at once unless it is told not to."""
    rows = [{"text": f"{number} " + "word " * 400} for number in range(20_000)]  # 40 MB
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink, row_group_size=1000, compression="none", use_dictionary=False)
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    content = sink.getvalue().to_pybytes() if name.endswith("parquet") else lines
    fetched = []

    class Counted(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            found = super().read(size)
            fetched.append(len(found))
            return found

        read1 = read

    store.objects[f"bucket/{name}"] = content
    monkeypatch.setattr(StrictStore, "_open", lambda *_, **__: Counted(content))
    first = list(islice(read_documents(f"s3://bucket/{name}", SourceConfig()), 3))
    assert [document.text.split()[0] for document in first] == ["0", "1", "2"]
    assert 0 < sum(fetched) < len(content) / 4


def test_what_a_store_raises_is_one_line(
    store: type[StrictStore],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Guards a user against the tracebacks of a store's own package, and a name against half an object."""
    store.objects["bucket/t.jsonl"] = LINES
    path = resolve_path("s3://bucket/run/config.yaml")
    with monkeypatch.context() as patch:
        patch.setattr(StrictStore, "put_file", refuse)
        with pytest.raises(RunDirectoryError, match=r"config\.yaml.*Unable to locate"):
            write_text(path, "a: 1")
    assert list(store.objects) == ["bucket/t.jsonl"]
    monkeypatch.setattr(StrictStore, "_open", refuse)
    with pytest.raises(SourceError, match=r"t\.jsonl.*Unable to locate"):
        check_source("s3://bucket/t.jsonl", SourceConfig())
    with pytest.raises(RunDirectoryError, match="Unable to locate"), hold_lease(path.parent):
        pytest.fail("nobody can write there")


@pytest.fixture
def website(tmp_path: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """A test's output is for failures."""

        def do_GET(self) -> None:
            if "secret" in self.path:
                self.send_error(403)
            else:
                super().do_GET()

        do_HEAD = do_GET

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_text_comes_from_a_website(website: str, tmp_path: Path) -> None:
    """Guards addresses with a query, and what a server without ranges can do."""
    (tmp_path / "t.csv").write_bytes(TABLE)
    (tmp_path / "book.txt").write_text("One thing.")
    assert len(list(read_documents(f"{website}/t.csv?raw=1", SourceConfig()))) == len(ROWS)
    assert next(read_documents(f"{website}/book.txt", SourceConfig())).id == "book"
    with pytest.raises(SourceError, match=r"none\.txt"):
        check_source(f"{website}/none.txt", SourceConfig())


def test_the_report_names_addresses_that_can_be_given_again() -> None:
    """Guards `s3://` against becoming `s3:/`, as a path makes it."""
    report = Report("s3://bucket/run", INFO, 1, 1, 0, {}, 1.0, 1.0, 100, 1, None)
    assert render_report(report).count("s3://bucket/run/") == 3
