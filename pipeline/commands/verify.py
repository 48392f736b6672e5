"""`task=verify`: all that can be said against a finished run.

Owns the order of the searches, and the comparison of frozen config and report with plan and shards. `dataset.verify`
compares the data; here is what needs the config, the report's arithmetic or a book's decoder.
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
_MEND = "give the run's own command again to write it anew"
_LATER_KEYS = ("num_restarts", "given_up")  # of a session, which earlier versions did not write
_DATA = ("data/", "manifests/", "plan/")  # problems with these make figures and book worthless
_NO_SESSION = RunStats(0.0, 0.0, 0.0, 0, 0)
_NO_MODEL = ModelInfo("", "", 0, 0.0, 0, 0, "", "")


def verify(
    asked: Config, build: Callable[..., Synthesizer], watch: Callable[[range], Iterable[int]] = iter
) -> VerifyReport:
    """Verify the run that `asked.run` names.

    Args:
        asked: The config of this command.
        build: `synthesis.build_synthesizer`, or what stands in for it; called for `deep` only.
        watch: Passes the numbers of the shards on as they come up.

    Raises:
        RunDirectoryError: There is no such folder, or no readable plan in it.
    """
    run_dir = resolve_path(asked.run or "")
    with wrap_read_errors(run_dir):
        is_there = run_dir.is_dir()
    if not is_there:
        raise RunDirectoryError(f"run={run_dir}: no such folder")
    report = verify_run(run_dir, watch)
    problems = list(report.problems)
    try:
        head = read_head(run_dir)
    except RunDirectoryError as error:
        return replace(report, problems=(*problems, str(error)))
    collect(run_dir, problems, _config_problems(run_dir, head))
    # Figures of damaged shards are of no use, and their damage was told of.
    is_whole = not _is_told_of(_DATA, problems)
    if is_whole and not _is_told_of(REPORT_NAME, problems):
        collect(run_dir, problems, _report_problems(run_dir, head))
    collect(run_dir, problems, _deliverable_problems(run_dir, head, is_whole, tuple(problems)))
    outcomes: Counter[Outcome] = Counter()
    if asked.deep:
        try:
            collect(run_dir, problems, deep_problems(run_dir, asked, head, build, outcomes))
        except PipelineError as error:  # what was found so far is told as well
            problems.append(f"deep=true: no clip could be compared: {error}")
    deep = {outcome.value: outcomes[outcome] for outcome in Outcome} if asked.deep else None
    return replace(report, problems=tuple(problems), deep=deep)


def _is_told_of(name: str | tuple[str, ...], problems: Sequence[str]) -> bool:
    return any(problem.startswith(name) for problem in problems)


def _deliverable_problems(run_dir: Path, head: PlanHead, is_whole: bool, told: Sequence[str]) -> Iterator[str]:
    config = frozen_config(run_dir)
    run = FinishedRun(run_dir, config, head, _reported_model(run_dir), _narrator(config), is_whole=is_whole)
    for deliverable in chosen_deliverables(config).values():
        if not _is_told_of(deliverable.paths, told):
            yield from deliverable.problems(run)


def _reported_model(run_dir: Path) -> ModelInfo:
    """Return the model that the report names; `_NO_MODEL` if it cannot be read, which was told."""
    try:
        return replace(_NO_MODEL, revision=str(read_json(RunDirectory(run_dir).report)["model"]["revision"]))
    except (OSError, ValueError, KeyError, TypeError):
        return _NO_MODEL


def _narrator(config: Config) -> str:
    """Return the speakers that the settings name; "": that cannot be told here."""
    try:
        return ", ".join(speaker_names(config.voice, find_catalogue(config.model)))
    except PipelineError:  # a checkpoint that is not here brings a catalogue of its own
        return ""


def _config_problems(run_dir: Path, head: PlanHead) -> Iterator[str]:
    """The frozen config is the one that the plan was made with."""
    config = frozen_config(run_dir)  # refuses what is no such file
    if "format_version" in load_yaml(read_regular_text(RunDirectory(run_dir).config)):
        older = [RunDirectory(run_dir).manifest(one.index) for one in finished_shards(run_dir) if _is_old(one)]
        for path in [*([RunDirectory(run_dir).plan_head] if _is_old(head) else []), *older]:
            name = path.relative_to(run_dir).as_posix()
            yield f"{name}: has an older format than {CONFIG_NAME}, so that less of it would be verified"
    found = run_fingerprint(run_dir, config)
    if found != head.fingerprint:
        yield (
            f"{CONFIG_NAME}: is config {found}, the plan is of {head.fingerprint}: a value in it that decides what the "
            "clips are (seed, voice, model ...) is not the one that the run was made with; take the file from a copy"
        )


def _is_old(file: PlanHead | Manifest) -> bool:
    return file.format_version < FORMAT_VERSION


def _report_problems(run_dir: Path, head: PlanHead) -> Iterator[str]:
    """The counts of the report are those of the manifests, what it says of the book is what the book's index says."""
    try:
        there = read_json(RunDirectory(run_dir).report)
    except FileNotFoundError:
        return  # told of
    except (OSError, ValueError) as error:
        yield f"{REPORT_NAME}: cannot be read ({reason_of(error)}); {_MEND}"
        return
    made = asdict(make_report(run_dir, _NO_MODEL, head.num_utterances, _NO_SESSION))
    expected = {key: made[key] for key in _COUNTS} | _figures_of_book(run_dir)
    if not isinstance(there, dict):
        there = {}
    book = there.get("book")
    there |= {f"book.{key}": value for key, value in book.items()} if isinstance(book, dict) else {}
    there["book.m4b"] = Path(str(there.get("book.m4b", ""))).name  # the run may have moved
    for key, value in expected.items():
        if not _is_same(there.get(key), value):
            source = "its index says" if key.startswith("book.") else "the shards say"
            yield f"{REPORT_NAME}: {key} is {there.get(key)!r}, {source} {value!r}; {_MEND}"
    yield from _model_problems(run_dir, there)


def _model_problems(run_dir: Path, report: Mapping[str, Any]) -> Iterator[str]:
    """The model and the last session of the report are such, and the model is that of the rows."""
    model, session = report.get("model"), report.get("session")
    if not isinstance(model, dict) or model.keys() != asdict(_NO_MODEL).keys():
        yield f"{REPORT_NAME}: model is not what describes a model; {_MEND}"
        return
    if is_of_first_format(run_dir):
        return
    revisions = {row.columns["model_revision"] for row in iter_clips(run_dir, ["id", "model_revision"])}
    if revisions and revisions != {model["revision"]}:
        found = ", ".join(sorted(map(str, revisions)))
        yield f"{REPORT_NAME}: model.revision is {model['revision']!r}, the rows say {found}; {_MEND}"
    if isinstance(session, dict):
        for key, value in asdict(_NO_SESSION).items():
            there = session.get(key)
            if not isinstance(value, (int, float)) or (key in _LATER_KEYS and there is None):
                continue
            is_number = isinstance(there, (int, float)) and not isinstance(there, bool)
            if not is_number or not 0 <= float(there or 0) < MAX_SECONDS:
                yield f"{REPORT_NAME}: session.{key} is {there!r}, which no session has; {_MEND}"


def _figures_of_book(run_dir: Path) -> dict[str, Any]:
    """Return what the report has to say of a book; nothing where there is none, or no index that can be read."""
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


def _is_same(there: Any, expected: Any) -> bool:
    if isinstance(expected, float):  # those of a book's index are rounded to 4 digits
        return isinstance(there, (int, float)) and math.isclose(there, expected, rel_tol=1e-9, abs_tol=1e-4)
    return type(there) is type(expected) and there == expected
