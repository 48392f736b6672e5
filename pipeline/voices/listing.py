"""The table of a checkpoint's voices, for `python -m pipeline --voices`."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config import DEFAULT_LANGUAGE, ModelConfig
from pipeline.voices.catalogue import Catalogue, Speaker, catalogue_names, model_argument
from pipeline.voices.languages import language_names

_DESCRIBE = 'Describe a voice: voice="A calm female voice, very close and clear."'


def list_voices(model: ModelConfig, catalogue: Catalogue, is_chosen: bool = True) -> str:
    """Return the voices with language, published similarity and the language that each is the default for.

    Args:
        model: The model, for the heading.
        catalogue: What is known of it.
        is_chosen: Whether the user named the model; else the others are named below.
    """
    heading = f"model={model_argument(model)}: "
    if catalogue.speakers is None:
        lines = [
            f"{heading}the names of its voices are not known. A file voices.yaml beside its weights lists them "
            f"(docs/voices.md). {_DESCRIBE}"
        ]
    elif not catalogue.speakers:
        lines = [f"{heading}trained without the names of speakers. {_DESCRIBE}"]
    else:
        count = len(catalogue.speakers)
        lines = [f"{heading}{count:,} voice{'' if count == 1 else 's'}", "", *_table(catalogue), *_notes(catalogue)]
    if not is_chosen:
        others = [name for name in catalogue_names() if name not in ("untrained", model_argument(model))]
        lines += ["", f"Other models: --voices model=NAME, with {', '.join(others)}, a folder or a hub id"]
    return "\n".join(lines)


def _table(catalogue: Catalogue) -> list[str]:
    speakers = catalogue.speakers or ()
    rows = [("voice", "language", "similarity", "default for")]
    rows += [(one.name, language_names(one.languages or catalogue.languages), _similarity(one),
              _default_for(one, catalogue)) for one in speakers]  # fmt: skip
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in zip(*columns, strict=True)]  # fmt: skip


def _similarity(speaker: Speaker) -> str:
    return f"{speaker.similarity:.3f}" if speaker.similarity else ""


def _default_for(speaker: Speaker, catalogue: Catalogue) -> str:
    """Return the languages whose texts this speaker reads when no voice is named."""
    languages = catalogue.languages or (DEFAULT_LANGUAGE,)
    codes = [code for code in languages if catalogue.default_speaker(code) == speaker]
    return (language_names(codes) if catalogue.languages else "all texts") if codes else ""


def _notes(catalogue: Catalogue) -> Sequence[str]:
    without = [code for code in catalogue.languages if not catalogue.speakers_of(code)]
    notes = [f"\nLanguages without a voice of their own: {language_names(without)}"] if without else []
    if any(speaker.similarity for speaker in catalogue.speakers or ()):
        notes.append("\nSimilarity: how alike a voice stays from clip to clip, 0 to 1, as published")
    return notes
