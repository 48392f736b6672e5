"""The table of a checkpoint's voices, for `python -m pipeline --voices`."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config import DEFAULT_LANGUAGE, ModelConfig
from pipeline.voices.catalogue import Catalogue, Speaker, catalogue_names, model_argument
from pipeline.voices.languages import language_names

_DESCRIBE = 'Describe a voice: voice="A calm female voice, very close and clear."'


def list_voices(model: ModelConfig, catalogue: Catalogue, is_chosen: bool = True) -> str:
    """Return a table of voices: name, languages, published similarity, languages that it is the default for.

    Args:
        model: The model, for the heading.
        catalogue: Its catalogue.
        is_chosen: Whether the user gave the model; if not, the other models are listed below the table.
    """
    heading = f"model={model_argument(model)}: "
    if catalogue.speakers is None:
        lines = [
            f"{heading}the names of its voices are not known; list them in a file voices.yaml beside its weights "
            f"(docs/voices.md). {_DESCRIBE}"
        ]
    elif not catalogue.speakers:
        lines = [f"{heading}was trained without names of speakers. {_DESCRIBE}"]
    else:
        count = len(catalogue.speakers)
        lines = [f"{heading}{count:,} voice{'' if count == 1 else 's'}", "", *_table(catalogue), *_notes(catalogue)]
    if not is_chosen:
        others = [name for name in catalogue_names() if name not in ("untrained", model_argument(model))]
        lines += ["", f"Other models: --voices model=NAME, where NAME is {', '.join(others)}, a folder or a hub id"]
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
    """Return the languages that this speaker is the default for."""
    languages = catalogue.languages or (DEFAULT_LANGUAGE,)
    codes = [code for code in languages if catalogue.default_speaker(code) == speaker]
    return (language_names(codes) if catalogue.languages else "all texts") if codes else ""


def _notes(catalogue: Catalogue) -> Sequence[str]:
    without = [code for code in catalogue.languages if not catalogue.speakers_of(code)]
    notes = [f"\nLanguages without a voice: {language_names(without)}"] if without else []
    if any(speaker.similarity for speaker in catalogue.speakers or ()):
        notes.append("\nsimilarity: published similarity of the voice between clips, 0 to 1")
    return notes
