"""Verification of books that somebody has altered, with all hashes of files made to fit again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from fakes import RATE, FakeSynthesizer, loader_of, speak
from test_tampering import BOOK, make_hashes_fit, problems_of, rewrite

from pipeline.__main__ import main
from pipeline.outputs.audiobook.comparison import spectral_distance
from pipeline.outputs.audiobook.containers import M4bOptions, Mark, cover_packet, open_m4b
from pipeline.types import SYNTHETIC_SPEECH


def picture(path: Path, shade: int = 0) -> Path:
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "rgb24"
        frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), shade, np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    (folder / "lamp.md").write_text(BOOK)
    picture(folder / "cover.png")
    given = [f"output_dir={folder}", "name=book", "source.author=Ann Author", f"book.cover={folder / 'cover.png'}"]
    loader = loader_of(lambda *_, **__: FakeSynthesizer(speak))
    assert main([f"input={folder / 'lamp.md'}", *given], loader) == 0
    return folder / "book"


@pytest.fixture
def book(made_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_once, tmp_path / "book"))


def chapter_file(run_dir: Path) -> Path:
    return sorted((run_dir / "book").glob("*.flac"))[1]


def m4b_of(run_dir: Path) -> Path:
    return next((run_dir / "book").glob("*.m4b"))


def change_flac(path: Path, change: Callable[[np.ndarray], None], comment: str = SYNTHETIC_SPEECH) -> None:
    """Change samples, and keep all tags but the comment."""
    samples, rate = soundfile.read(path, dtype="int16")
    change(samples)
    with av.open(str(path)) as container:
        tags = {**container.metadata, "comment": comment}
    with av.open(str(path), "w", format="flac") as container:
        container.metadata.update(tags)
        stream = container.add_stream("flac", rate=rate, layout="mono", format="s16")
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def noise_in_a_chapter(run_dir: Path) -> str:
    def change(samples: np.ndarray) -> None:
        samples[RATE : RATE + 400] = np.random.default_rng(0).integers(-3000, 3000, 400)

    change_flac(chapter_file(run_dir), change)
    return f"book/{chapter_file(run_dir).name}: at 1.0 s"


def faint_noise_in_a_pause(run_dir: Path) -> str:
    def change(samples: np.ndarray) -> None:
        samples[100] = 5

    change_flac(chapter_file(run_dir), change)
    return f"book/{chapter_file(run_dir).name}: at 0.0 s ... 1 samples"


def chapter_without_the_synthetic_tag(run_dir: Path) -> str:
    change_flac(chapter_file(run_dir), lambda samples: None, comment="A recording of a person.")
    return f"book/{chapter_file(run_dir).name}: ... tag comment is 'A recording"


def other_subtitle(run_dir: Path) -> str:
    path = next((run_dir / "book").glob("*.srt"))
    path.write_text(path.read_text().replace("The wick", "The duke"))
    return f"book/{path.name}: line "


def shifted_subtitle(run_dir: Path) -> str:
    path = next((run_dir / "book").glob("*.vtt"))
    path.write_text(path.read_text().replace("00:00:00.", "00:00:01.", 1))
    return f"book/{path.name}: line 3 is"


def no_subtitles(run_dir: Path) -> str:
    path = next((run_dir / "book").glob("*.vtt"))
    path.unlink()

    def drop(index: dict) -> None:
        index["files"] = [entry for entry in index["files"] if entry["name"] != path.name]

    rewrite(run_dir / "book" / "book.json", drop)
    return f"book/{path.name}: cannot be read"


def other_text_in_the_index(run_dir: Path) -> str:
    rewrite(run_dir / "book" / "book.json", lambda index: index["chapters"][1]["segments"][0].update(text="Else."))
    return "book/book.json: chapters[1].segments[0].text is 'Else.'"


def other_time_in_the_index(run_dir: Path) -> str:
    rewrite(run_dir / "book" / "book.json", lambda index: index["chapters"][1]["segments"][0].update(start=0.01))
    return "book/book.json: chapters[1].segments[0].start is 0.01"


def other_level_in_the_index(run_dir: Path) -> str:
    rewrite(run_dir / "book" / "book.json", lambda index: index["chapters"][0]["measures"].update(peak_dbfs=-9.0))
    return "book/book.json: chapters[0].measures.peak_dbfs is -9.0"


def no_synthetic_source_in_the_index(run_dir: Path) -> str:
    rewrite(run_dir / "book" / "book.json", lambda index: index.pop("digital_source_type"))
    return "book/book.json: digital_source_type is missing"


def other_narrator_in_the_index(run_dir: Path) -> str:
    rewrite(run_dir / "book" / "book.json", lambda index: index.update(narrator="A person"))
    return "book/book.json: narrator is 'A person'"


def dropped_file_in_the_index(run_dir: Path) -> str:
    rewrite(run_dir / "book" / "book.json", lambda index: index["files"].pop(0))
    return "book/book.json: files has"


def older_index(run_dir: Path) -> str:
    def change(index: dict) -> None:
        index["files"] = [entry["name"] for entry in index["files"]]

    rewrite(run_dir / "book" / "book.json", change)
    return "book/book.json: files[0]"


def other_book_in_report(run_dir: Path) -> str:
    rewrite(run_dir / "report.json", lambda report: report["book"].update(chapters=9))
    return "report.json: book.chapters is 9"


def remade_m4b(
    run_dir: Path,
    tags: dict[str, str] | None = None,
    first_mark: str | None = None,
    cover: Path | None = None,
    change: Callable[[np.ndarray], None] = lambda samples: None,
) -> None:
    """Write the m4b again from its own audio, with something changed."""
    path = m4b_of(run_dir)
    with av.open(str(path)) as container:
        rate = container.streams.audio[0].rate
        there = {key: value for key, value in container.metadata.items() if key in ALL_TAGS}
        marks = [
            Mark(mark["metadata"]["title"], *(round(mark[end] * mark["time_base"] * rate) for end in ("start", "end")))
            for mark in container.chapters()
        ]
        picture = next(bytes(packet) for packet in container.demux(video=0) if packet.size)
    with av.open(str(path)) as container:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    samples = samples[: marks[-1].end]
    change(samples)
    if first_mark:
        marks[0] = marks[0]._replace(title=first_mark)
    options = M4bOptions(96, {**there, **(tags or {})}, "en", marks, cover.read_bytes() if cover else picture)
    with open_m4b(path, rate, options) as file:
        file.write(samples)


ALL_TAGS = ("title", "artist", "album", "album_artist", "composer", "date", "genre", "comment", "description")


def other_title(run_dir: Path) -> str:
    remade_m4b(run_dir, {"title": "Another Book"})
    return "tag title is 'Another Book' ... 'The Lamp'"


def no_synthetic_tag(run_dir: Path) -> str:
    remade_m4b(run_dir, {"comment": ""})
    return "tag comment is missing ... 'Synthetic speech."


def added_tag(run_dir: Path) -> str:
    remade_m4b(run_dir, {"description": "Read by a person."})
    return "tag description is 'Read by a person.' ... missing"


def other_mark(run_dir: Path) -> str:
    remade_m4b(run_dir, first_mark="Another chapter")
    return "chapter mark 1 is 'Another chapter'"


def other_cover(run_dir: Path) -> str:
    remade_m4b(run_dir, cover=picture(run_dir.parent / "other.png", shade=200))
    return "cover"


def silence_in_the_m4b(run_dir: Path) -> str:
    def change(samples: np.ndarray) -> None:
        samples[RATE : RATE + RATE // 2] = 0

    remade_m4b(run_dir, change=change)
    return "spectrum"


def tone_in_a_pause_of_the_m4b(run_dir: Path) -> str:
    def change(samples: np.ndarray) -> None:
        samples[: RATE // 2] += 0.1 * np.sin(np.arange(RATE // 2, dtype=np.float32) / 3)

    remade_m4b(run_dir, change=change)
    return "spectrum"


# What is independent of one another is altered together, which saves the time of a verification each.
TAMPERINGS: list[tuple[Callable[[Path], str], ...]] = [
    (noise_in_a_chapter, other_subtitle, shifted_subtitle, other_text_in_the_index, other_title, other_book_in_report),
    (faint_noise_in_a_pause, other_time_in_the_index, other_level_in_the_index, no_synthetic_tag),
    (chapter_without_the_synthetic_tag, no_synthetic_source_in_the_index, other_narrator_in_the_index, added_tag),
    (no_subtitles, other_mark),
    (dropped_file_in_the_index, other_cover),
    *((one,) for one in (older_index, silence_in_the_m4b, tone_in_a_pause_of_the_m4b)),
]


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tamper: tamper[0].__name__)
def test_an_altered_book_is_found_although_all_hashes_fit(
    book: Path, tamper: tuple[Callable[[Path], str], ...]
) -> None:
    """Bug: of a book only hashes and lengths were compared, so that whoever renewed them could put anything in it."""
    expected = [one(book) for one in tamper]
    make_hashes_fit(book)
    problems = problems_of(book).split("\n")
    for facts in expected:
        assert any(all(fact in problem for fact in facts.split(" ... ")) for problem in problems), (facts, problems)


def test_a_whole_book_is_no_problem(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bug: a book that was made of its clips is damaged; also when its m4b was encoded again, or its cover is gone."""
    remade_m4b(book)
    make_hashes_fit(book)
    assert main(["task=verify", f"run={book}"]) == 0, capsys.readouterr()
    config = book / "config.yaml"
    config.write_text(config.read_text().replace("cover.png", "gone.png"))
    make_hashes_fit(book)
    assert main(["task=verify", f"run={book}"]) == 0, capsys.readouterr()


def test_pauses_of_another_command_are_those_that_are_verified(book: Path) -> None:
    """Bug: a book with other pauses than the default is damaged; or one whose frozen pauses were changed is whole."""
    config = book / "config.yaml"
    config.write_text(config.read_text().replace("heading_pause: 1.2", "heading_pause: 1.5"))
    make_hashes_fit(book)
    problems = problems_of(book)
    assert "s of audio" in problems
    assert problems.count("book/book.json: ") <= 11, "one cause is not told as hundreds"


def test_another_sound_is_far_from_the_right_one() -> None:
    """Guards the limits of `judge_spectrum`: noise in place of a voice, or the voice at another moment, is found."""
    rate, rng = 16_000, np.random.default_rng(0)
    times = np.arange(rate) / rate
    voiced = sum(np.sin(2 * np.pi * 120 * k * times) / k for k in range(1, 20)) * np.abs(np.sin(7 * times)) * 0.1
    voice = voiced.astype(np.float32)
    noise = rng.normal(0, float(np.sqrt(np.square(voice).mean())), rate).astype(np.float32)
    assert spectral_distance(voice, voice, rate) == 0.0
    assert spectral_distance(voice, voice * np.float32(0.98), rate) < 0.5
    assert spectral_distance(voice, noise, rate) > 6.0
    assert spectral_distance(voice, np.roll(voice, rate // 4), rate) > 6.0
    assert spectral_distance(voice[:100], voice[:100], rate) == 0.0, "less than a frame"


def test_the_cover_of_an_m4b_is_its_picture(tmp_path: Path) -> None:
    """Guards the comparison of covers: an m4b holds the bytes of the picture's file."""
    path = picture(tmp_path / "cover.png")
    assert cover_packet(path.read_bytes()) == path.read_bytes()
