"""Guards the files of a book: names that a system refuses, subtitles that a player cannot read, marks that are lost."""

from __future__ import annotations

import os
import re
from pathlib import Path

import av
import numpy as np
import pytest
from book_sounds import RATE, tone
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.outputs.audiobook.containers import (
    NAME_BYTES,
    RESERVED_NAMES,
    Cue,
    M4bOptions,
    Mark,
    check_cover,
    open_m4b,
    publish,
    safe_name,
    srt,
    vtt,
)


def write_cover(path: Path, codec: str, size: int = 16) -> Path:
    """A picture made by the same library that reads it; no other one is needed for that."""
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream(codec, rate=1)
        stream.width = stream.height = size
        stream.pix_fmt = {"mjpeg": "yuvj420p", "png": "rgb24", "bmp": "bgr24"}[codec]
        frame = av.VideoFrame.from_ndarray(np.full((size, size, 3), 128, dtype=np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@settings(max_examples=200, deadline=None, derandomize=True)
@given(title=st.text(max_size=300))
@example("CON")
@example("nul.txt")
@example("../../etc/passwd")
@example("a\x00b\nc")
@example(".hidden. ")
@example("ä" * 300)
def test_a_name_is_safe_on_every_system(title: str) -> None:
    """Bug: a title with a slash, a colon or a line break cannot be written, or is written somewhere else."""
    name = safe_name(title, "Chapter")
    assert name
    assert not re.search(r'[<>:"/\\|?*\x00-\x1f\x7f]', name)
    assert name == name.strip(" .")
    assert len(name.encode()) <= NAME_BYTES + 1
    assert name.split(".")[0].upper() not in RESERVED_NAMES


@pytest.mark.parametrize("title", ["The Title", "Élan — “So what”", "第一章", "Mr. Darcy's 3 days, 50% off!"])
def test_a_harmless_title_stays_as_it_is(title: str) -> None:
    """Bug: every letter that is not ASCII becomes an underscore."""
    assert safe_name(title, "Chapter") == title


def test_an_empty_title_gets_the_default() -> None:
    """Bug: a file without a name."""
    assert safe_name(" ?? ", "Chapter 3") == "Chapter 3"


CUES = [Cue("One\n\ntwo & <three>", 0.5, 2.0), Cue("a --> b", 3599.9996, 36_000.25)]


def test_srt() -> None:
    """Bug: an empty line in the text ends the cue; a rounded second reads 60; hours are cut at 24."""
    assert srt(CUES) == (
        "1\n00:00:00,500 --> 00:00:02,000\nOne two & <three>\n\n2\n01:00:00,000 --> 10:00:00,250\na → b\n"
    )


def test_vtt() -> None:
    """Bug: an ampersand or a tag in the text is taken for markup."""
    assert vtt(CUES) == (
        "WEBVTT\n\n00:00:00.500 --> 00:00:02.000\nOne two &amp; &lt;three&gt;\n\n01:00:00.000 --> 10:00:00.250\na → b\n"
    )


def test_players_libraries_read_the_subtitles(tmp_path: Path) -> None:
    """Bug: the files look right to us alone."""
    for name, text in (("a.srt", srt(CUES)), ("a.vtt", vtt(CUES))):
        (tmp_path / name).write_text(text, encoding="utf-8")
        with av.open(str(tmp_path / name)) as container:
            times = [packet.pts * packet.time_base for packet in container.demux() if packet.pts is not None]
        assert [float(time) for time in times] == pytest.approx([0.5, 3600.0], abs=0.001)


def nero_titles(content: bytes) -> list[str]:
    """The titles of Nero's list: a count, then for each a time of 8 bytes, the length of its title, the title."""
    position = content.index(b"chpl") + 4 + 8
    titles = []
    for _ in range(content[position]):
        length = content[position + 9]
        titles.append(content[position + 10 : position + 10 + length].decode())
        position += 9 + length
    return titles


def test_every_mark_is_read_back_beyond_nero_s_255_and_whatever_its_title(tmp_path: Path) -> None:
    """Bug: the list of marks ends at 255, or a long title is cut in the middle of a letter."""
    step = RATE // 100
    marks = [Mark(f"{n}: {'€' * n}", n * step, (n + 1) * step) for n in range(300)]
    path = tmp_path / "many.m4b"
    with open_m4b(path, RATE, M4bOptions(48, {}, "en", marks)) as book:
        book.write(tone(3.0))
    with av.open(str(path)) as container:
        read = container.chapters()
    assert [float(chapter["start"] * chapter["time_base"]) for chapter in read] == [mark.start / RATE for mark in marks]
    assert all(mark.title.startswith(chapter["metadata"]["title"]) for mark, chapter in zip(marks, read, strict=True))
    assert read[299]["metadata"]["title"].startswith("299: €€€")
    nero = nero_titles(path.read_bytes())
    assert len(nero) == 255
    assert all(mark.title.startswith(title) and title for mark, title in zip(marks, nero, strict=False))


@pytest.mark.parametrize("codec", ["mjpeg", "png"])
def test_a_cover_is_attached_and_the_sound_stays_whole(tmp_path: Path, codec: str) -> None:
    """Bug: the cover becomes a film track, or takes the place of the sound."""
    cover = check_cover(write_cover(tmp_path / "cover.img", codec))
    path = tmp_path / "covered.m4b"
    with open_m4b(path, RATE, M4bOptions(48, {}, "en", [Mark("One", 0, RATE)], cover)) as book:
        book.write(tone(1.0))
    with av.open(str(path)) as container:
        assert container.streams.video[0].disposition == av.stream.Disposition.attached_pic
        assert bytes(next(container.demux(video=0))) == cover
        assert container.streams.audio[0].language == "eng"
        assert len(container.chapters()) == 1
    with av.open(str(path)) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) >= RATE


def test_a_cover_may_lie_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: no shell expands the ~ of book.cover=~/cover.png, and of all paths that are given only this one kept it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    path = write_cover(tmp_path / "cover.png", "png")
    assert check_cover(Path("~/cover.png")) == path.read_bytes()


def test_a_cover_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    """Bug: after hours of rendering the muxer fails with a number."""
    text = tmp_path / "cover.png"
    text.write_text("not a picture")
    bitmap = write_cover(tmp_path / "cover.bmp", "bmp")
    drawing, pipe = tmp_path / "cover.svg", tmp_path / "pipe.png"
    drawing.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'
    )
    os.mkfifo(pipe)
    given = [(tmp_path / "missing.png", "No such file"), (bitmap, "bmp")]
    given += [(path, "") for path in (text, drawing, pipe, Path("/dev/zero"), Path("/dev/null"))]
    for path, fact in given:
        with pytest.raises(ConfigError) as caught:
            check_cover(path)
        assert str(path) in str(caught.value)
        assert fact in str(caught.value).replace(str(path), "")


def test_publishing_replaces_the_old_files_and_spares_those_of_others(tmp_path: Path) -> None:
    """Bug: a chapter that was renamed is there twice; or a picture that the user put there is gone."""
    staging = tmp_path / ".partial"
    staging.mkdir()
    (staging / "new.flac").write_text("new")
    (staging / "kept.flac").write_text("second")
    (tmp_path / "kept.flac").write_text("first")
    (tmp_path / "old.flac").write_text("old")
    (tmp_path / "mine.jpg").write_text("mine")
    publish(staging, tmp_path, ["new.flac", "kept.flac"], ["old.flac", "kept.flac", "gone.flac"])
    assert {path.name for path in tmp_path.iterdir()} == {".partial", "new.flac", "kept.flac", "mine.jpg"}
    assert (tmp_path / "kept.flac").read_text() == "second"
