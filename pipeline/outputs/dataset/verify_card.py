"""Verify a dataset card: its figures must match the shards, and it must say that the speech is synthetic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.checks import load_yaml
from pipeline.outputs.dataset.card import (
    NOISE_NOTICE,
    SYNTHETIC_NOTICE,
    Statistics,
    collect_statistics,
    figures,
    loading,
    pretty_name,
    reject_table,
    tags,
    voice_table,
)
from pipeline.planning.kept_columns import Type
from pipeline.storage.paths import read_regular_text, reason_of
from pipeline.storage.run_directory import CARD_NAME, RunDirectory

_FIX = "rerun the command of the run to write the card again"


@dataclass(frozen=True)
class Stated:
    """Facts that a card must state and that do not come from the shards."""

    license: str
    title: str | None  # None: the name of the folder was used, which may have changed since
    seed: int
    revision: str  # of the model, from report.json
    is_noise: bool
    is_of_first_format: bool  # run format 1: the card has fewer metadata keys


def card_problems(run_dir: Path, kept_columns: Mapping[str, Type], stated: Stated) -> Iterator[str]:
    """Compare the metadata, figures, tables and notices of a card with the manifests, columns and config.

    Other text is not compared, because it differs between versions of this package.
    """
    try:
        text = read_regular_text(RunDirectory(run_dir).card)
        head, separator, body = text.removeprefix("---\n").partition("\n---\n")
        metadata = load_yaml(head) if separator else None
    except (OSError, ValueError) as error:
        yield f"{CARD_NAME}: cannot be read ({reason_of(error)}); {_FIX}"
        return
    if not isinstance(metadata, dict):
        yield f"{CARD_NAME}: does not begin with YAML metadata, which `datasets` needs to load the dataset; {_FIX}"
        return
    statistics = collect_statistics(run_dir)
    has_clips = bool(len(statistics.durations))
    lines = body.split("\n")
    yield from _metadata_problems(metadata, kept_columns, stated, statistics)
    yield from _notice_problems(body, stated, has_clips)
    rows = [("Revision", f"`{stated.revision}`"), ("Seed of the run", str(stated.seed))]
    for label, value in [*(figures(statistics) if has_clips else ()), *rows]:
        # Take the first row with this label: a voice may have the same name.
        there = next((line for line in lines if line.startswith(f"| {label} |")), "")
        if there != f"| {label} | {value} |":
            found = there.removeprefix(f"| {label} |").strip(" |")
            yield f"{CARD_NAME}: {label} is {found or 'missing'}, but the run has {value}; {_FIX}"
    for section in (*([voice_table(statistics)] if has_clips else []), reject_table(statistics)):
        title = section.split("\n", 1)[0]
        if _rows(lines, title) != _rows(section.split("\n"), title):
            yield f"{CARD_NAME}: the table under {title!r} does not match the shards; {_FIX}"


def _metadata_problems(
    metadata: dict[str, Any], kept_columns: Mapping[str, Type], stated: Stated, statistics: Statistics
) -> Iterator[str]:
    expected: dict[str, Any] = {"configs": None, "dataset_info": None, "license": stated.license, **tags(statistics)}
    if len(statistics.durations):
        expected |= loading(kept_columns, statistics)
    if stated.title is not None:
        expected["pretty_name"] = pretty_name(stated.title)
    for key, value in expected.items():
        if key in metadata or not stated.is_of_first_format:
            yield from _differences(key, metadata.get(key), value)


def _notice_problems(body: str, stated: Stated, has_clips: bool) -> Iterator[str]:
    """Check that the introduction and the section about limits both say that the speech is synthetic."""
    paragraphs = body.split("\n")
    opening = "Synthetic speech: " if has_clips else "Meant to be synthetic speech: "
    if not any(line.startswith(opening) for line in paragraphs):
        yield f"{CARD_NAME}: has no line that begins with {opening.strip()!r}; {_FIX}"
    notices = [SYNTHETIC_NOTICE, *([NOISE_NOTICE] if stated.is_noise and has_clips else [])]
    for notice in notices:
        if notice not in body:
            yield f"{CARD_NAME}: the notice {notice!r} is missing; {_FIX}"


def _differences(key: str, there: Any, expected: Any) -> Iterator[str]:
    if isinstance(there, dict) and isinstance(expected, dict):
        for name in dict.fromkeys([*expected, *there]):
            yield from _differences(f"{key}.{name}", there.get(name), expected.get(name))
    elif there != expected:
        is_short = all(isinstance(value, (int, str, type(None))) for value in (there, expected))
        values = f" (found {there!r}, expected {expected!r})" if is_short else ""
        yield f"{CARD_NAME}: {key} does not match the run{values}; {_FIX}"


def _rows(lines: list[str], title: str) -> list[str]:
    """Return the table rows of the section with this title."""
    if title not in lines:
        return []
    section = lines[lines.index(title) + 1 :]
    end = next((number for number, line in enumerate(section) if line.startswith("## ")), len(section))
    return [line for line in section[:end] if line.startswith("| ")]
