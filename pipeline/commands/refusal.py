"""Find the error that would stop a run before it renders, without writing anything. Used by dry runs."""

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
    """Return the error that would stop a run before it renders; None if none is known.

    Disk space and devices are not checked, because a dry run may be made on another machine.

    Args:
        config: Config as the run would freeze it.
        input_digest: Digest of the content of the input; "": not known.
        unknown_keys: Keys whose values need a checkpoint that is not downloaded; they are not compared.
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
        existing = next(each for each in (run_dir, *run_dir.absolute().parents) if os.path.lexists(each))
        reason = "" if existing.is_dir() else "is not a folder"
    except OSError as error:
        existing, reason = run_dir, str(error.strerror)
    if not reason and not os.access(existing, os.W_OK | os.X_OK):
        reason = "is not writable"
    if reason:
        raise RunDirectoryError(
            f"{run_dir}: cannot be written ({existing} {reason}); correct the permissions, or choose another place "
            "with output_dir=..."
        )


def _check_free(run_dir: Path, config: Config) -> None:
    if config.job_index is not None:  # several jobs may share the run
        return
    if holders := [holder.name for holder in find_holders(run_dir) if holder.is_alive]:
        raise RunDirectoryError(
            f"{run_dir}: in use by {'; '.join(holders)}; wait until it ends, or choose another name with name=..."
        )
