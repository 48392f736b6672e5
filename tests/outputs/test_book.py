"""Guards whole books: marks beside the words, lengths that do not add up, a book held in memory or left half done."""

from __future__ import annotations

import errno
import json
import weakref
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from book_sounds import RATE, clip, noise, silence, tone

from pipeline.config import BookConfig
from pipeline.errors import PipelineError, RunDirectoryError
from pipeline.outputs.audiobook import make as making
from pipeline.outputs.audiobook.joining import HEAD_SECONDS, MARGIN_SECONDS, TAIL_SECONDS, BookClip
from pipeline.outputs.audiobook.make import BookFiles, make_book
from pipeline.outputs.audiobook.timeline import BookMetadata, BookSpec
from pipeline.types import DIGITAL_SOURCE_TYPE, SYNTHETIC_SPEECH, Boundary

CONFIG = BookConfig(chapter_pause=0.8, bitrate_kbps=64)
METADATA = BookMetadata("The Book", "Ann Author", "Jon", date="2026", description="About a book.")
TITLES = ["One", "Two: the second", "Three"]


def story() -> Iterator[BookClip]:
    """Three chapters of two clips; the edges of every clip are silent, its sound is one tone."""
    for chapter in range(3):
        for place, boundary in enumerate((Boundary.HEADING, Boundary.CHAPTER)):
            sound = np.concatenate([silence(0.2), tone(0.5 + 0.1 * chapter, 300 + 200 * chapter), silence(0.3)])
            yield clip(sound, chapter, boundary, f"Text {chapter}.{place}", f"{chapter}.{place}")


def make(
    directory: Path,
    clips: Callable[[], Iterator[BookClip]] = story,
    titles: list[str] = TITLES,
    config: BookConfig = CONFIG,
    metadata: BookMetadata = METADATA,
) -> BookFiles:
    return make_book(clips, BookSpec(titles, metadata, config), directory)


def decoded(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def index_of(book: BookFiles) -> dict:
    return json.loads(book.index.read_text(encoding="utf-8"))


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_every_length_is_the_sum_of_its_parts(tmp_path: Path) -> None:
    """Bug: head, pause, margin or tail is forgotten or counted twice, and all times after it are wrong."""
    book = make(tmp_path)
    # A tone fills its windows of 10 ms exactly, so that what is left of a clip is known to the sample.
    spoken = [0.5 + 0.1 * chapter + 2 * MARGIN_SECONDS for chapter in range(3)]
    for chapter, seconds in zip(book.chapters, spoken, strict=True):
        expected = HEAD_SECONDS + 2 * seconds + CONFIG.heading_pause + TAIL_SECONDS
        assert soundfile.info(chapter.path).frames == round(expected * RATE)
        assert chapter.measures.seconds == pytest.approx(expected)
    pauses = 3 * CONFIG.heading_pause + 2 * CONFIG.chapter_pause
    assert book.seconds == pytest.approx(HEAD_SECONDS + 2 * sum(spoken) + pauses + TAIL_SECONDS)
    assert 0 <= len(decoded(book.m4b)) - round(book.seconds * RATE) < 1024  # AAC fills its last frame


def test_marks_and_segments_are_where_the_sound_is(tmp_path: Path) -> None:
    """Bug: the delay of the encoder, or a pause, shifts every mark of the m4b."""
    book = make(tmp_path)
    sound = np.abs(decoded(book.m4b)) > 0.02
    with av.open(str(book.m4b)) as container:
        marks = container.chapters()
    index = index_of(book)
    assert [mark["metadata"]["title"] for mark in marks] == TITLES
    for mark, chapter in zip(marks, index["chapters"], strict=True):
        start = float(mark["start"] * mark["time_base"])
        assert start == pytest.approx(chapter["start"], abs=0.001)
        onset = np.flatnonzero(sound[round(start * RATE) :])[0] / RATE  # from the mark to the first word
        assert onset == pytest.approx(min(HEAD_SECONDS, CONFIG.chapter_pause) + MARGIN_SECONDS, abs=0.01)
        own_file = np.abs(soundfile.read(tmp_path / chapter["file"])[0]) > 0.02
        for segment in chapter["segments"]:
            for heard, offset in ((sound, 0.0), (own_file, chapter["file_start"])):
                first = round((segment["start"] - offset) * RATE)
                last = round((segment["end"] - offset) * RATE)
                inside = np.flatnonzero(heard[first:last]) / RATE
                assert inside[0] == pytest.approx(MARGIN_SECONDS, abs=0.01)
                assert inside[-1] == pytest.approx((last - first) / RATE - MARGIN_SECONDS, abs=0.01)
    assert [mark["end"] for mark in marks[:-1]] == [mark["start"] for mark in marks[1:]]
    assert book.subtitles[0].read_text().count("Text") == book.subtitles[1].read_text().count("Text") == 6


def test_subtitles_are_plain_words(tmp_path: Path) -> None:
    """Bug: who reads along is shown the asterisks and addresses of Markdown."""

    def clips() -> Iterator[BookClip]:
        yield clip(tone(0.5), text="*Nobody* had asked [Mara](http://example.com).[^1]")

    book = make(tmp_path, clips, ["One"])
    for path in book.subtitles:
        assert "Nobody had asked Mara." in path.read_text().splitlines()
    assert index_of(book)["chapters"][0]["segments"][0]["text"].startswith("*Nobody*")


def test_tags_say_what_players_look_for(tmp_path: Path) -> None:
    """Bug: a library shows "Unknown artist", or sorts the chapters by name."""
    book = make(tmp_path)
    assert book.m4b.name == "Ann Author - The Book.m4b"
    with av.open(str(book.m4b)) as container:
        tags = dict(container.metadata)
    assert tags["major_brand"] == "M4B "
    assert tags.items() >= {
        "title": "The Book",
        "album": "The Book",
        "artist": "Ann Author",
        "composer": "Jon",
        "genre": "Audiobook",
        "date": "2026",
        "description": "About a book.",
        "comment": SYNTHETIC_SPEECH,
    }.items()  # fmt: skip
    assert [chapter.path.name for chapter in book.chapters] == [
        "01 - One.flac",
        "02 - Two the second.flac",
        "03 - Three.flac",
    ]
    with soundfile.SoundFile(book.chapters[1].path) as file:
        assert (file.title, file.artist, file.album) == ("Two: the second", "Ann Author", "The Book")
        assert file.tracknumber == "2/3"
        assert file.subtype == "PCM_16"
    assert index_of(book)["digital_source_type"] == DIGITAL_SOURCE_TYPE
    with av.open(str(book.chapters[1].path)) as container:
        assert container.metadata["comment"] == SYNTHETIC_SPEECH


def test_the_book_has_the_loudness_and_the_peak_that_were_asked_for(tmp_path: Path) -> None:
    """Bug: the gain is measured before the pauses, applied twice, or undone by the limiter."""
    config = BookConfig(loudness_lufs=-20.0, peak_dbfs=-6.0)
    book = make(tmp_path, config=config)
    assert book.loudness_lufs == pytest.approx(-20.0, abs=0.2)
    loud = make(tmp_path, config=BookConfig(loudness_lufs=-6.0, peak_dbfs=-6.0))
    assert loud.loudness_lufs < -6.0
    for chapter in loud.chapters:
        assert np.abs(soundfile.read(chapter.path)[0]).max() <= 10 ** (-6.0 / 20)
    described = index_of(loud)
    assert described["mastering"]["loudness_lufs"] == pytest.approx(loud.loudness_lufs, abs=0.001)
    assert described["chapters"][0]["measures"]["peak_dbfs"] <= -6.0


def test_one_gain_keeps_a_quiet_chapter_quiet(tmp_path: Path) -> None:
    """Bug: each chapter is raised to the target on its own, and the voice jumps from chapter to chapter."""

    def clips() -> Iterator[BookClip]:
        yield clip(tone(2.0, amplitude=0.2), 0)
        yield clip(tone(2.0, amplitude=0.1), 1)

    loud, quiet = make(tmp_path, clips, ["Loud", "Quiet"]).chapters
    assert loud.measures.peak_dbfs - quiet.measures.peak_dbfs == pytest.approx(6.02, abs=0.05)


def test_the_same_clips_give_the_same_files_and_old_ones_go(tmp_path: Path) -> None:
    """Bug: a time or a random number gets into a file; or a chapter renamed is there under both names."""
    make(tmp_path)
    first = content(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    make(tmp_path)
    assert content(tmp_path) == first | {"notes.txt": b"mine"}
    make(tmp_path, titles=["Uno", "Dos", "Tres"])
    assert {name for name in content(tmp_path) if name.endswith(".flac")} == {
        "01 - Uno.flac",
        "02 - Dos.flac",
        "03 - Tres.flac",
    }
    assert (tmp_path / "notes.txt").exists()


def test_a_chapter_that_cannot_be_heard_has_no_mark_but_a_note(tmp_path: Path) -> None:
    """Bug: the mark of a rejected chapter leads into the next one, and all titles after it are shifted."""

    def clips() -> Iterator[BookClip]:
        yield clip(silence(1.0), 0, name="mute")
        yield clip(tone(0.5), 1, name="first")
        yield clip(silence(0.0), 2, name="rejected")
        yield clip(tone(0.5), 3, name="last")

    book = make(tmp_path, clips, ["Silent", "", "Rejected", "Last"])
    assert [chapter.title for chapter in book.chapters] == ["Chapter 2", "Last"]
    assert [chapter.path.name for chapter in book.chapters] == ["02 - Chapter 2.flac", "04 - Last.flac"]
    assert book.omitted == ("Silent", "Rejected")
    with av.open(str(book.m4b)) as container:
        assert [mark["metadata"]["title"] for mark in container.chapters()] == ["Chapter 2", "Last"]
    index = index_of(book)
    assert [(omitted["number"], omitted["title"]) for omitted in index["omitted_chapters"]] == [
        (1, "Silent"),
        (3, "Rejected"),
    ]
    assert index["silent_clips"] == ["mute"]


def test_the_index_knows_every_other_file_to_the_byte(tmp_path: Path) -> None:
    """Bug: a book that is short by a chapter or a bit cannot be told from a whole one."""
    index = index_of(make(tmp_path))
    there = {name: (len(found), sha256(found).hexdigest()) for name, found in content(tmp_path).items()}
    del there["book.json"]
    assert len(there) == 3 + 3  # chapters, m4b, subtitles
    assert {file["name"]: (file["bytes"], file["sha256"]) for file in index["files"]} == there


def test_a_book_of_an_older_version_is_replaced(tmp_path: Path) -> None:
    """Bug: files of a book whose index lists names alone stay beside the new one for good, or it is refused."""
    old = index_of(make(tmp_path, titles=["Uno", "Dos", "Tres"]))
    names = [*(file["name"] for file in old["files"]), "book.json"]
    (tmp_path / "book.json").write_text(json.dumps({**old, "files": names}), encoding="utf-8")
    index = index_of(make(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"book.json", *(file["name"] for file in index["files"])}


@pytest.mark.parametrize("clips", [[], [clip(silence(1.0))]])
def test_a_book_of_nothing_says_so_and_writes_nothing(tmp_path: Path, clips: list[BookClip]) -> None:
    """Bug: a traceback from an empty array, or an empty audiobook."""
    with pytest.raises(PipelineError):
        make(tmp_path / "book", lambda: iter(clips))
    assert not (tmp_path / "book").exists()


@pytest.mark.parametrize(
    "sound", [noise(1.0, 0.5), noise(0.02, 0.5), tone(0.3, amplitude=1.0), tone(1.0, amplitude=0.0005)]
)
def test_any_sound_makes_a_book(tmp_path: Path, sound: np.ndarray) -> None:
    """Bug: the noise of an untrained model, a click, a clipped or a faint clip breaks the mastering."""
    book = make(tmp_path, lambda: iter([clip(sound)]), ["Only"])
    assert book.chapters[0].measures.peak_dbfs <= CONFIG.peak_dbfs
    assert len(decoded(book.m4b)) >= (HEAD_SECONDS + TAIL_SECONDS) * RATE
    assert np.isfinite(soundfile.read(book.chapters[0].path)[0]).all()


def test_chapters_without_pauses_keep_their_marks_apart(tmp_path: Path) -> None:
    """Bug: a mark that goes before its first word lands in the chapter before when there is no pause."""
    book = make(tmp_path, config=BookConfig(chapter_pause=0.0, bitrate_kbps=64))
    index = index_of(book)
    for one, two in zip(index["chapters"], index["chapters"][1:], strict=False):
        assert one["segments"][-1]["end"] == two["start"] == two["segments"][0]["start"]
    assert len(soundfile.read(book.chapters[1].path)[0]) / RATE > HEAD_SECONDS + TAIL_SECONDS + 1.2


def test_a_book_is_never_held_in_memory(tmp_path: Path) -> None:
    """Bug: clips are gathered in a list somewhere, and a book of ten hours needs all memory there is."""
    given: list[weakref.ref[BookClip]] = []
    most = 0

    def clips() -> Iterator[BookClip]:
        nonlocal most
        for number in range(30):
            fresh = BookClip(str(number), "Text.", number // 10, Boundary.SENTENCE, tone(0.2), RATE)
            given.append(weakref.ref(fresh))
            most = max(most, sum(ref() is not None for ref in given))
            yield fresh

    make(tmp_path, clips)
    assert most <= 4  # the one being read, the one being written, the first, a name or two of loops


def test_what_fails_leaves_the_old_book_as_it_was(tmp_path: Path) -> None:
    """Bug: a disk that is full in the middle leaves half a book, or takes the space it needs with it."""
    make(tmp_path)
    before = content(tmp_path)
    readings = 0

    def clips() -> Iterator[BookClip]:
        nonlocal readings
        readings += 1
        for number, one in enumerate(story()):
            if readings == 2 and number == 4:
                raise RunDirectoryError("shard 3: cannot be read")
            yield one

    with pytest.raises(RunDirectoryError, match="shard 3"):
        make(tmp_path, clips, ["Uno", "Dos", "Tres"])
    assert content(tmp_path) == before


@pytest.mark.parametrize("name", ["AudioWriter.write", "AudioWriter.__exit__", "publish", "srt"])
def test_a_full_disk_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Bug: hours of clips are made, the disk is full as the book is written, and the user gets a traceback."""
    make(tmp_path)
    before = content(tmp_path)

    owner = making.AudioWriter if "." in name else making
    original = getattr(owner, name.split(".")[-1])

    def fail(*arguments: object) -> None:
        if name == "AudioWriter.__exit__":  # an open file would be written when it is collected, in another test
            original(*arguments)
        # What PyAV raises, which is an OSError with two bases.
        raise av.error.OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "name"))

    monkeypatch.setattr(owner, name.split(".")[-1], fail)
    with pytest.raises(RunDirectoryError) as caught:
        make(tmp_path, titles=["Uno", "Dos", "Tres"])
    assert str(tmp_path) in str(caught.value)
    assert "No space left on device" in str(caught.value)
    assert content(tmp_path) == before


def test_a_folder_that_cannot_be_made_is_told_in_a_line(tmp_path: Path) -> None:
    """Bug: a file that is in the way of the book's folder gives a traceback."""
    (tmp_path / "book").write_text("in the way")
    with pytest.raises(RunDirectoryError, match=r"book.*Not a directory"):
        make(tmp_path / "book")


def test_clips_that_change_between_the_readings_are_noticed(tmp_path: Path) -> None:
    """Bug: another process adds clips meanwhile, and the marks of the first reading do not fit."""
    lengths = iter([0.5, 0.6])
    with pytest.raises(ValueError, match=r"\d{4,}.*\d{4,}"):  # lengths in samples
        make(tmp_path, lambda: iter([clip(tone(next(lengths)))]), ["One"])


def test_a_damaged_index_is_named_before_anything_is_read(tmp_path: Path) -> None:
    """Bug: a traceback of the JSON parser, after all has been encoded."""
    (tmp_path / "book.json").write_text("{", encoding="utf-8")

    def clips() -> Iterator[BookClip]:
        raise AssertionError("read too early")

    with pytest.raises(RunDirectoryError, match=r"book\.json"):
        make(tmp_path, clips)


def test_progress_reaches_the_end(tmp_path: Path) -> None:
    """Bug: a bar that stops short or runs over."""
    seen: list[tuple[float, float]] = []
    book = make_book(
        story, BookSpec(TITLES, METADATA, CONFIG), tmp_path, lambda done, total: seen.append((done, total))
    )
    assert len(seen) == 6
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert {total for _, total in seen} == {book.seconds}
    assert seen[-1][0] == pytest.approx(book.seconds - TAIL_SECONDS)
