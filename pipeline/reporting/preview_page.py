"""The HTML page of a preview in several voices, with a player and the description of each.

The page refers to the WAV files in its folder. It uses no network and no scripts. All text is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.synthesis.streaming import PreviewReport

_TEMPLATE = "preview_page.html"


@dataclass(frozen=True)
class PreviewedVoice:
    """A voice of the preview."""

    title: str  # name of the speaker, or the description if there is none
    description: str
    file_name: str  # name of the WAV file in the folder of the page
    report: PreviewReport


def render_page(text: str, model: str, voices: Sequence[PreviewedVoice]) -> str:
    """Return the page as HTML.

    Args:
        text: Text that the voices speak.
        model: Name of the model.
        voices: Voices in the order of `task.voices`.
    """
    environment = Environment(
        loader=PackageLoader("pipeline.reporting", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    links = [quote(voice.file_name) for voice in voices]
    return environment.get_template(_TEMPLATE).render(
        text=text, model=model, voices=list(zip(voices, links, strict=True))
    )
