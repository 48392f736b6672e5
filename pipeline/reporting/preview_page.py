"""The page of a preview in several voices: one player for each, beside its description.

The page links to the WAV files beside it, and needs no network and no script. All text is escaped.
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
    """A voice that was heard."""

    title: str  # its name, else its description
    description: str
    file_name: str  # of the WAV, in the folder of the page
    report: PreviewReport


def render_page(text: str, model: str, voices: Sequence[PreviewedVoice]) -> str:
    """Returns the page, as HTML.

    Args:
        text: What the voices say.
        model: Name of the model.
        voices: In the order in which they were asked for.
    """
    environment = Environment(
        loader=PackageLoader("pipeline.runtime", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    links = [quote(voice.file_name) for voice in voices]
    return environment.get_template(_TEMPLATE).render(
        text=text, model=model, voices=list(zip(voices, links, strict=True))
    )
