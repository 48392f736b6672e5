"""`task=verify`: all that can be said against a finished run.

Owns the order of the searches, and the comparison of frozen config and report with plan and shards. `dataset.verify`
compares the data; here is what needs the config, the report's arithmetic or a book's decoder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pipeline.storage.run_directory import FORMAT_VERSION, manifest_path, plan_path

from pipeline.commands.deep_verify import deep_problems
from pipeline.config import Config
from pipeline.config.checks import load_yaml
from pipeline.config.frozen import CONFIG_NAME, frozen_config, run_fingerprint
from pipeline.errors import PipelineError, RunDirectoryError
from pipeline.outputs.dataset.shards import Manifest, finished_shards
from pipeline.outputs.dataset.verify import VerifyReport, collect, verify_run
from pipeline.outputs.dataset.verify_card import card_problems
from pipeline.planning.plan_store import PlanHead, read_head
from pipeline.reporting.report import REPORT_NAME, RunStats, make_report
from pipeline.storage.paths import as_unreadable, place, read_json, read_regular_text, reason_of
from pipeline.synthesis import Synthesizer
from pipeline.types import ModelInfo

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
    run_dir = place(asked.run or "")
    with as_unreadable(run_dir):
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
    if not any(problem.startswith(("data/", "manifests/", "plan/")) for problem in problems):
        collect(run_dir, problems, _report_problems(run_dir, head))
        if not _is_told_of("README.md", problems):
            collect(run_dir, problems, card_problems(run_dir, head.kept_columns))
    if (run_dir / "book").is_dir() and not _is_told_of("book/", problems):
        from pipeline.outputs.audiobook.verify_audio import audio_problems  # imports PyAV

        collect(run_dir, problems, audio_problems(run_dir / "book"))
    if asked.deep:
        try:
            collect(run_dir, problems, deep_problems(run_dir, asked, head, build))
        except PipelineError as error:  # what was found so far is told as well
            problems.append(f"deep=true: no clip could be compared: {error}")
    return replace(report, problems=tuple(problems))


def _is_told_of(name: str, problems: list[str]) -> bool:
    return any(problem.startswith(name) for problem in problems)


def _config_problems(run_dir: Path, head: PlanHead) -> Iterator[str]:
    """The frozen config is the one that the plan was made with."""
    config = frozen_config(run_dir)  # refuses what is no such file
    if "format_version" in load_yaml(read_regular_text(run_dir / CONFIG_NAME)):
        older = [manifest_path(run_dir, one.index) for one in finished_shards(run_dir) if _is_old(one)]
        for path in [*([plan_path(run_dir)] if _is_old(head) else []), *older]:
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
    """The counts of the report are those of the manifests."""
    try:
        there = read_json(run_dir / REPORT_NAME)
    except FileNotFoundError:
        return  # told of
    except (OSError, ValueError) as error:
        yield f"{REPORT_NAME}: cannot be read ({reason_of(error)}); give the run's own command again"
        return
    expected = asdict(make_report(run_dir, _NO_MODEL, head.num_utterances, _NO_SESSION))
    if not isinstance(there, dict):
        there = {}
    for key in _COUNTS:
        if not _is_same(there.get(key), expected[key]):
            yield (
                f"{REPORT_NAME}: {key} is {there.get(key)!r}, the shards say {expected[key]!r}; give the run's own "
                "command again to write it anew"
            )


def _is_same(there: Any, expected: Any) -> bool:
    if isinstance(expected, float):
        return isinstance(there, (int, float)) and math.isclose(there, expected, rel_tol=1e-9, abs_tol=1e-6)
    return type(there) is type(expected) and there == expected
