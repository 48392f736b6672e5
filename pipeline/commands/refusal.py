"""Why a run would be refused, found without writing anything: a dry run tells it before the user waits for a model."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from pipeline.config import Config
from pipeline.config.frozen import check_config, refuse_foreign, run_directory
from pipeline.errors import PipelineError, RunDirectoryError
from pipeline.storage.locks import check_jobs, find_holders
from pipeline.storage.paths import is_local


def find_refusal(config: Config, input_digest: str, unknown_keys: Collection[str] = ()) -> PipelineError | None:
    """Return the error with which a run would end before it renders; None: nothing is known to be in its way.

    The free space of the disk is not looked at, nor whether the devices are there: a dry run may be made on another
    machine.

    Args:
        config: As the run would freeze it.
        input_digest: Of the content of its input; "": not known.
        unknown_keys: Keys whose value only a checkpoint tells that is not on this machine: they are not compared.
    """
    run_dir = run_directory(config)
    try:
        check_jobs(run_dir, config.job_index)
        refuse_foreign(run_dir)
        _check_writable(run_dir)
        check_config(run_dir, config, input_digest, unknown_keys)
        _check_free(run_dir, config)
    except PipelineError as error:
        return error
    return None


def _check_writable(run_dir: Path) -> None:
    if not is_local(run_dir):
        return
    try:
        there = next(each for each in (run_dir, *run_dir.absolute().parents) if os.path.lexists(each))
        reason = "" if there.is_dir() else "is no folder"
    except OSError as error:
        there, reason = run_dir, str(error.strerror)
    if not reason and not os.access(there, os.W_OK | os.X_OK):
        reason = "may not be written"
    if reason:
        raise RunDirectoryError(
            f"{run_dir}: cannot be written ({there} {reason}); mend the permissions, or give output_dir=... for "
            "another place"
        )


def _check_free(run_dir: Path, config: Config) -> None:
    if config.job_index is not None:  # several jobs may be at work together
        return
    if holders := [holder.name for holder in find_holders(run_dir) if holder.is_alive]:
        raise RunDirectoryError(f"{run_dir}: {'; '.join(holders)} is at work here; wait for it, or give name=...")
