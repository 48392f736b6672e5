"""`task=audiobook` and `task=dataset`: render a run from its config.

Invalid settings and inputs are reported before a model is loaded. The plan is frozen before the first clip is
generated, each shard is written when it is complete, and the deliverables are made from the files of the run. An
interrupted run resumes with the missing shards.
"""

from __future__ import annotations

from dataclasses import replace

from pipeline.commands.disk_space import check_disk_for
from pipeline.commands.finalize import finalize_run
from pipeline.commands.model_loader import ModelLoader
from pipeline.commands.plan_job import make_plan
from pipeline.commands.prepare import as_frozen, check_input, choose_voices, fit_to_checkpoint
from pipeline.commands.standard_input import copy_standard_input, keep_standard_input
from pipeline.commands.voice_setup import set_up_voices
from pipeline.config import Config
from pipeline.config.frozen import check_config, recorded_revisions, refuse_foreign, run_directory
from pipeline.errors import ConfigError
from pipeline.execution import RunContext, Workload, check_executor, execute
from pipeline.outputs.dataset.shards import finished_shards, hash_plan
from pipeline.outputs.deliverable import FinishedRun, chosen_deliverables
from pipeline.planning.plan_store import PlanHead, read_head
from pipeline.planning.staleness import input_digest
from pipeline.quality.check import refuse_checks
from pipeline.reporting.as_json import show_json, status_values
from pipeline.reporting.progress import count, say
from pipeline.reporting.report import RunStats
from pipeline.reporting.status import read_status
from pipeline.storage.locks import write_lock
from pipeline.synthesis.checkpoint import check_revision, find_checkpoint
from pipeline.types import ModelInfo


def render(config: Config, loader: ModelLoader) -> int:
    """Render a run, or the missing part of it, and return the exit code.

    Raises:
        PipelineError: The run cannot continue; the message says what to change.
    """
    asked = config
    config = copy_standard_input(config)
    language = check_input(config)
    check_revision(config.model)
    set_up_voices(config, language)  # reports unknown voices before anything is downloaded
    if config.left_out:
        raise ConfigError(
            f"left_out={config.left_out}: this key needs dry_run=true; a run always writes plan/left_out.jsonl"
        )
    chosen_deliverables(config)  # raises ConfigError for deliverables that do not apply
    refuse_checks(config)
    working = check_executor(config)
    checkpoint = find_checkpoint(recorded_revisions(run_directory(config), config.model))
    config, casting = choose_voices(config, language, checkpoint)
    config = fit_to_checkpoint(config, checkpoint)
    config = as_frozen(config, checkpoint)
    engine = replace(working.engine, sampling=config.engine.sampling)
    working = replace(config, engine=engine, executor=working.executor)
    run_dir = run_directory(config)
    refuse_foreign(run_dir)
    model_source = (checkpoint, loader)
    with write_lock(run_dir, config.job_index, config.num_jobs) as lock:
        with lock.alternate() as is_alone:
            check_config(run_dir, config, input_digest(config))
            config = keep_standard_input(config, asked)
            working = replace(working, input=config.input, name=config.name)
            head = make_plan(run_dir, working, config, casting, model_source) if is_alone else read_head(run_dir)
        context = RunContext(run_dir, working, head, checkpoint, head.buckets, loader.build)
        session, model = _render_shards(context)
        with lock.alternate():
            finished = sum(1 for _ in finished_shards(run_dir))
            if finished < head.num_shards:
                say(
                    f"{run_dir}: {finished} of {count(head.num_shards, 'shard')} finished; "
                    "the job that ends last finalizes the run"
                )
            else:
                model = model or loader.describe(checkpoint, working.engine)
                run = FinishedRun(run_dir, config, head, model, ", ".join(casting.names), say)
                finalize_run(run, session)
    if config.json:
        show_json(status_values(read_status(run_dir)))
    return 0


def _share(config: Config, head: PlanHead) -> range:
    """Return the shards that this job renders; all shards if the run has no jobs."""
    return range(config.job_index or 0, head.num_shards, config.num_jobs)


def _render_shards(context: RunContext) -> tuple[RunStats | None, ModelInfo | None]:
    """Render the missing shards of this job. Returns (None, None) if there are none."""
    head = context.head
    share = _share(context.config, head)
    finished = {  # keep only counts: the manifests of a million clips need too much memory
        manifest.index: len(manifest.clips) + len(manifest.rejects)
        for manifest in finished_shards(context.run_dir)
        if manifest.index in share
        and manifest.fingerprint == head.fingerprint
        and manifest.plan_hash == hash_plan(context.run_dir, manifest.index)
    }
    missing = [index for index in share if index not in finished]
    if finished:
        say(f"{context.run_dir}: {len(finished)} of {count(len(share), 'shard')} already finished")
    if not missing:
        return None, None
    check_disk_for(context.run_dir, context.config, head, context.checkpoint, missing)
    return execute(context, Workload(tuple(missing)), num_done=sum(finished.values()))
