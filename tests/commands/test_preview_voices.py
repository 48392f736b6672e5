"""Preview in several voices: one file each, a page with all players, and errors before the model is loaded."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import soundfile
from fakes import Checkpoints

from pipeline.__main__ import main
from pipeline.commands import preview as preview_module
from pipeline.commands.model_loader import ModelLoader
from pipeline.synthesis import Synthesizer, build_synthesizer
from pipeline.synthesis.checkpoint import Checkpoint
from pipeline.synthesis.untrained import UntrainedShape

TINY = UntrainedShape(hidden=16, layers=1, heads=2, kv_heads=2, cross_kv_heads=2, ffn=16, text_hidden=16)
TEXT = "text=Hello there & <b>welcome</b>."


class Page(HTMLParser):
    """Parser that collects the elements of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str, attribute: str) -> list[str]:
        return [
            attributes[attribute] or "" for name, attributes in self.tags if name == tag and attribute in attributes
        ]


@pytest.fixture
def model(tmp_path: Path, checkpoint_of: Checkpoints) -> Path:
    """Return a checkpoint with a `voices.yaml`."""
    folder = tmp_path / "fine"
    shutil.copytree(checkpoint_of(TINY), folder)
    (folder / "voices.yaml").write_text("voices: [Jon, Lea, Mary Ann, राम]\ndescription: '{speaker} speaks softly.'\n")
    return folder


def preview(model: Path, *arguments: str, loader: ModelLoader | None = None) -> int:
    limit = "engine.slots=4"
    return main(["task=preview", TEXT, f"model={model}", f"output_dir={model.parent}/out", limit, *arguments], loader)


def test_each_voice_has_a_file_and_the_page_has_all(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Guards against missing voices, overwritten files and unescaped text on the page."""
    odd = 'A "low", <script>alert(1)</script> voice & more.'
    voices = f"""voice=[jon,lea,mary ann,राम,JON,'{odd}',"{odd.replace('"', "")}"]"""
    assert preview(model, voices, "name=my voices") == 0
    out = model.parent / "out"
    files = sorted(path.name for path in out.glob("*.wav"))
    slug = "a-low-script-alert-1-script-voice-more"
    assert files == sorted(f"my voices-{name}.wav" for name in ("jon", "lea", "mary-ann", "राम", slug, f"{slug}-2"))
    assert all(soundfile.info(out / name).frames for name in files)
    html = (out / "my voices.html").read_text()
    page = Page(html)
    assert sorted(map(unquote, page.all("audio", "src"))) == files
    assert "script" not in [tag for tag, _ in page.tags]
    assert "b" not in [tag for tag, _ in page.tags]
    words = " ".join(page.words)
    assert odd in words
    assert "Hello there & <b>welcome</b>." in words
    assert all(name in unquote(html) for name in files)
    assert not re.search(r"https?://", html), "the page needs no network"
    printed = capsys.readouterr().out
    assert all(printed.count(f"{out / name}: ") == 1 for name in files), "a line for each file"


def test_one_model_speaks_all(model: Path) -> None:
    """Guards against loading the checkpoint once for each voice."""
    built = []

    def counted(checkpoint: Checkpoint, **settings: Any) -> Synthesizer:
        built.append(checkpoint)
        return build_synthesizer(checkpoint, **settings)

    assert preview(model, "voice=[jon,lea]", loader=ModelLoader(counted)) == 0
    assert len(built) == 1


def test_a_voice_sounds_as_it_does_alone(model: Path) -> None:
    """Guards against seeds that depend on the other voices of the list."""
    assert preview(model, "voice=[lea,jon]") == 0
    assert preview(model, "voice=jon") == 0
    out = model.parent / "out"
    assert (out / "preview.wav").read_bytes() == (out / "preview-jon.wav").read_bytes()
    assert sorted(path.name for path in out.iterdir()) == [
        "preview-jon.wav",
        "preview-lea.wav",
        "preview.html",
        "preview.wav",
    ]


@pytest.mark.parametrize("place", ["folder", "published"])
def test_a_name_that_is_not_known_is_refused_before_a_model_loads(
    place: str, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards against rendering the first voices before a later, misspelt voice is reported."""
    monkeypatch.setattr(preview_module, "find_checkpoint", lambda *_: pytest.fail("looked for the checkpoint"))
    asked = model if place == "folder" else Path("mini")
    assert preview(asked, "voice=[jon,leah]", f"output_dir={model.parent}/out") == 2
    assert "voice=leah" in capsys.readouterr().err
    assert not (model.parent / "out").exists()


def test_the_default_description_of_a_checkpoint_is_said(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert preview(model, "dry_run=true") == 0
    assert "Jon speaks softly." in capsys.readouterr().err
    assert preview(model, "dry_run=true", "voice=[lea,राम]") == 0
    told = capsys.readouterr().err
    assert "Lea's voice is" in told
    assert "राम's voice is" in told
    assert not (model.parent / "out").exists()
