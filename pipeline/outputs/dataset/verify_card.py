"""Verification of a dataset's card: its counts are those of the shards, which are folded again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.config.checks import load_yaml
from pipeline.outputs.dataset.card import collect_statistics, figures, loading, reject_table, voice_table
from pipeline.planning.kept_columns import Type
from pipeline.storage.paths import read_regular_text, reason_of

CARD_NAME = "README.md"
_MEND = "give the run's own command again to write the card anew"


def card_problems(run_dir: Path, kept_columns: Mapping[str, Type]) -> Iterator[str]:
    """Compare the figures on the card, and what `datasets` loads by, with manifests and columns.

    Wording, title and settings are not compared: another version words them differently.
    """
    try:
        text = read_regular_text(run_dir / CARD_NAME)
        head, separator, body = text.removeprefix("---\n").partition("\n---\n")
        metadata = load_yaml(head) if separator else None
    except (OSError, ValueError) as error:
        yield f"{CARD_NAME}: cannot be read ({reason_of(error)}); {_MEND}"
        return
    if not isinstance(metadata, dict):
        yield f"{CARD_NAME}: has no YAML in front, by which the dataset is loaded; {_MEND}"
        return
    statistics = collect_statistics(run_dir)
    has_clips = bool(len(statistics.durations))
    expected: dict[str, Any] = loading(kept_columns, statistics) if has_clips else {}
    for key in ("configs", "dataset_info"):
        yield from _differences(key, metadata.get(key), expected.get(key))
    lines = body.split("\n")
    for label, value in figures(statistics) if has_clips else ():
        # The first with this label: a voice may have the same name.
        there = next((line for line in lines if line.startswith(f"| {label} |")), "")
        if there != f"| {label} | {value} |":
            found = there.removeprefix(f"| {label} |").strip(" |")
            yield f"{CARD_NAME}: {label} is {found or 'missing'}, the shards say {value}; {_MEND}"
    for section in (*([voice_table(statistics)] if has_clips else []), reject_table(statistics)):
        title = section.split("\n", 1)[0]
        if _rows(lines, title) != _rows(section.split("\n"), title):
            yield f"{CARD_NAME}: the table under {title!r} is not what the shards say; {_MEND}"


def _differences(key: str, there: Any, expected: Any) -> Iterator[str]:
    if isinstance(there, dict) and isinstance(expected, dict):
        for name in dict.fromkeys([*expected, *there]):
            yield from _differences(f"{key}.{name}", there.get(name), expected.get(name))
    elif there != expected:
        is_short = all(isinstance(value, (int, str, type(None))) for value in (there, expected))
        values = f" ({there!r}, the shards say {expected!r})" if is_short else ""
        yield f"{CARD_NAME}: {key} is not what the shards say{values}; {_MEND}"


def _rows(lines: list[str], title: str) -> list[str]:
    """The rows of the table in the section with this title."""
    if title not in lines:
        return []
    section = lines[lines.index(title) + 1 :]
    end = next((number for number, line in enumerate(section) if line.startswith("## ")), len(section))
    return [line for line in section[:end] if line.startswith("| ")]
