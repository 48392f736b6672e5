"""`task=verify`: find all problems of a finished run.

`outputs.dataset.verify` checks plan, manifests and shards. This module then checks the frozen config, the report, the
deliverables and, with `deep=true`, the audio.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pipeline.commands.deep_verify import Outcome, deep_problems
from pipeline.config import Config
from pipeline.config.checks import load_yaml
from pipeline.config.frozen import frozen_config, is_of_first_format, run_fingerprint
from pipeline.errors import PipelineError, RunDirectoryError
from pipeline.outputs.dataset.shards import Manifest, finished_shards, iter_clips
from pipeline.outputs.dataset.verify import VerifyReport, collect, verify_run
from pipeline.outputs.deliverable import FinishedRun, chosen_deliverables
from pipeline.planning.plan_store import PlanHead, read_head
from pipeline.reporting.report import RunStats, make_report
from pipeline.storage.paths import read_json, read_regular_text, reason_of, resolve_path, wrap_read_errors
from pipeline.storage.run_directory import CONFIG_NAME, FORMAT_VERSION, MAX_SECONDS, REPORT_NAME, RunDirectory
from pipeline.synthesis import Synthesizer
from pipeline.types import ModelInfo
from pipeline.voices import find_catalogue, speaker_names

_COUNTS = (
    "num_utterances",
    "num_clips",
    "num_rejects",
    "rejects_by_reason",
    "audio_seconds",
    "work_seconds",
    "num_bytes",
    "num_files",
)
_REPAIR = "rerun the command of the run to write this file again"
_LATER_KEYS = ("num_restarts", "given_up")  # keys of a session that earlier versions did not write
_DATA = ("data/", "manifests/", "plan/")  # if these have problems, report and book are not checked against them
_NO_SESSION = RunStats(0.0, 0.0, 0.0, 0, 0)
_NO_MODEL = ModelInfo("", "", 0, 0.0, 0, 0, "", "")


def verify(
    asked: Config, build: Callable[..., Synthesizer], watch: Callable[[range], Iterable[int]] = iter
) -> VerifyReport:
    """Verify the run that `asked.run` names and return its problems.

    Args:
        asked: Config of this command.
        build: Like `synthesis.build_synthesizer`; called only for `deep=true`.
        watch: Wraps the iteration over shard indices, e.g. with a progress bar.

    Raises:
        RunDirectoryError: The folder does not exist or cannot be read.
    """
    run_dir = resolve_path(asked.run or "")
    with wrap_read_errors(run_dir):
        is_there = run_dir.is_dir()
    if not is_there:
        raise RunDirectoryError(f"run={run_dir}: this folder does not exist; give the folder of a run")
    report = verify_run(run_dir, watch)
    problems = list(report.problems)
    try:
        head = read_head(run_dir)
    except RunDirectoryError as error:
        return replace(report, problems=(*problems, str(error)))
    collect(run_dir, problems, _config_problems(run_dir, head))
    # The counts of damaged shards cannot be compared, and the damage was reported above.
    is_whole = not _is_reported(_DATA, problems)
    if is_whole and not _is_reported(REPORT_NAME, problems):
        collect(run_dir, problems, _report_problems(run_dir, head))
    collect(run_dir, problems, _deliverable_problems(run_dir, head, is_whole, tuple(problems)))
    outcomes: Counter[Outcome] = Counter()
    if asked.deep:
        try:
            collect(run_dir, problems, deep_problems(run_dir, asked, head, build, outcomes))
        except PipelineError as error:  # report the problems that were found before it, too
            problems.append(f"deep=true: no clip could be compared: {error}")
    deep = {outcome.value: outcomes[outcome] for outcome in Outcome} if asked.deep else None
    return replace(report, problems=tuple(problems), deep=deep)


def _is_reported(name: str | tuple[str, ...], problems: Sequence[str]) -> bool:
    return any(problem.startswith(name) for problem in problems)


def _deliverable_problems(run_dir: Path, head: PlanHead, is_whole: bool, reported: Sequence[str]) -> Iterator[str]:
    config = frozen_config(run_dir)
    run = FinishedRun(run_dir, config, head, _reported_model(run_dir), _narrator(config), is_whole=is_whole)
    for deliverable in chosen_deliverables(config).values():
        if not _is_reported(deliverable.paths, reported):
            yield from deliverable.problems(run)


def _reported_model(run_dir: Path) -> ModelInfo:
    """Return the model in the report; `_NO_MODEL` if the report cannot be read, which is reported elsewhere."""
    try:
        return replace(_NO_MODEL, revision=str(read_json(RunDirectory(run_dir).report)["model"]["revision"]))
    except (OSError, ValueError, KeyError, TypeError):
        return _NO_MODEL


def _narrator(config: Config) -> str:
    """Return the names of the speakers; "" if the catalogue is not available."""
    try:
        return ", ".join(speaker_names(config.voice, find_catalogue(config.model)))
    except PipelineError:  # the catalogue belongs to a checkpoint that is not available
        return ""


def _config_problems(run_dir: Path, head: PlanHead) -> Iterator[str]:
    """Yield a problem if the plan was made with another config, or if files have an older format than the config."""
    config = frozen_config(run_dir)  # raises an error if the file is damaged
    if "format_version" in load_yaml(read_regular_text(RunDirectory(run_dir).config)):
        older = [RunDirectory(run_dir).manifest(one.index) for one in finished_shards(run_dir) if _is_old(one)]
        for path in [*([RunDirectory(run_dir).plan_head] if _is_old(head) else []), *older]:
            name = path.relative_to(run_dir).as_posix()
            yield f"{name}: the format is older than that of {CONFIG_NAME}, so fewer checks would apply to it"
    found = run_fingerprint(run_dir, config)
    if found != head.fingerprint:
        yield (
            f"{CONFIG_NAME}: fingerprint {found} differs from that of the plan, {head.fingerprint}. A value that "
            "affects the clips (such as seed, voice or model) was changed; restore the file from a copy of the run."
        )


def _is_old(file: PlanHead | Manifest) -> bool:
    return file.format_version < FORMAT_VERSION


def _report_problems(run_dir: Path, head: PlanHead) -> Iterator[str]:
    """Yield the values of the report that differ from the manifests or from the index of the book."""
    try:
        report = read_json(RunDirectory(run_dir).report)
    except FileNotFoundError:
        return  # reported already
    except (OSError, ValueError) as error:
        yield f"{REPORT_NAME}: cannot be read ({reason_of(error)}); {_REPAIR}"
        return
    made = asdict(make_report(run_dir, _NO_MODEL, head.num_utterances, _NO_SESSION))
    expected = {key: made[key] for key in _COUNTS} | _figures_of_book(run_dir)
    if not isinstance(report, dict):
        report = {}
    book = report.get("book")
    report |= {f"book.{key}": value for key, value in book.items()} if isinstance(book, dict) else {}
    report["book.m4b"] = Path(str(report.get("book.m4b", ""))).name  # the run may have moved
    for key, value in expected.items():
        if not _is_same(report.get(key), value):
            source = "book.json" if key.startswith("book.") else "the manifests"
            yield f"{REPORT_NAME}: {key} is {report.get(key)!r}, but {value!r} according to {source}; {_REPAIR}"
    yield from _model_problems(run_dir, report)


def _model_problems(run_dir: Path, report: Mapping[str, Any]) -> Iterator[str]:
    """Yield invalid values of `model` and `session`, and a model revision that differs from the rows."""
    model, session = report.get("model"), report.get("session")
    if not isinstance(model, dict) or model.keys() != asdict(_NO_MODEL).keys():
        yield f"{REPORT_NAME}: model does not have the keys of a model description; {_REPAIR}"
        return
    if is_of_first_format(run_dir):
        return
    revisions = {row.columns["model_revision"] for row in iter_clips(run_dir, ["id", "model_revision"])}
    if revisions and revisions != {model["revision"]}:
        found = ", ".join(sorted(map(str, revisions)))
        yield f"{REPORT_NAME}: model.revision is {model['revision']!r}, but the rows have {found}; {_REPAIR}"
    if isinstance(session, dict):
        for key, value in asdict(_NO_SESSION).items():
            reported = session.get(key)
            if not isinstance(value, (int, float)) or (key in _LATER_KEYS and reported is None):
                continue
            is_number = isinstance(reported, (int, float)) and not isinstance(reported, bool)
            if not is_number or not 0 <= float(reported or 0) < MAX_SECONDS:
                yield f"{REPORT_NAME}: session.{key} is {reported!r}, which is not a valid value; {_REPAIR}"


def _figures_of_book(run_dir: Path) -> dict[str, Any]:
    """Return the expected values of `book` in the report; empty if `book.json` is missing or cannot be read."""
    try:
        index = read_json(RunDirectory(run_dir).book_index)
        return {
            "book.seconds": float(index["seconds"]),
            "book.loudness_lufs": float(index["mastering"]["loudness_lufs"]),
            "book.chapters": len(index["chapters"]),
            "book.omitted": [chapter["title"] for chapter in index["omitted_chapters"]],
            "book.m4b": next(entry["name"] for entry in index["files"] if entry["name"].endswith(".m4b")),
        }
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return {}


def _is_same(found: Any, expected: Any) -> bool:
    if isinstance(expected, float):  # the values in book.json are rounded to 4 digits
        return isinstance(found, (int, float)) and math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-4)
    return type(found) is type(expected) and found == expected
