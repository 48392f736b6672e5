"""The composition root: one command, from its config to its exit code.

Owns the order in which things happen: everything that can be refused is refused before a model loads; the plan is
frozen before the first clip; a shard is written as soon as it is complete; card, report and book are made from what
lies on disk. What is already done is not done again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from pipeline.commands.disk_space import Work, check_disk
from pipeline.commands.dry_run import (
    check_left_out,
    dry_run_values,
    make_forecast,
    render_dry_run,
    write_left_out,
)
from pipeline.commands.finalize import finish
from pipeline.commands.model_loader import ModelLoader
from pipeline.commands.preview import run_preview
from pipeline.commands.refusal import find_refusal
from pipeline.commands.retry import retry_rejects
from pipeline.commands.standard_input import copy_standard_input, kept_copy
from pipeline.commands.verify import verify
from pipeline.commands.voice_setup import announce_voice, set_up_voices
from pipeline.config import Config, SamplingConfig
from pipeline.config.frozen import (
    STANDARD_INPUT,
    check_config,
    freeze_config,
    is_run,
    recorded_revisions,
    refuse_foreign,
    run_directory,
)
from pipeline.errors import ConfigError, ModelError, NotDownloadedError, RunDirectoryError, VerificationError
from pipeline.execution import RunContext, Workload, check_executor, execute
from pipeline.outputs.dataset.shards import finished_shards, hash_plan
from pipeline.planning.plan_store import PlanHead, install_plan, read_head, stage_plan
from pipeline.planning.planner import EstimatedTokens, ModelLimits, Planner, TokenCounter
from pipeline.planning.staleness import input_digest, plan_digest, reusable_plan
from pipeline.reporting.as_json import show_json, status_values, verify_values
from pipeline.reporting.progress import clock, count, say, show, warn
from pipeline.reporting.report import RunStats
from pipeline.reporting.status import read_status, render_status
from pipeline.storage.atomic import remove_leftovers
from pipeline.storage.locks import writer
from pipeline.storage.paths import place, remove_folder
from pipeline.storage.run_directory import staged_plan_folder
from pipeline.synthesis import build_synthesizer, describe_model
from pipeline.synthesis.checkpoint import Checkpoint, check_revision, find_checkpoint
from pipeline.synthesis.tokenizers import load_tokenizers
from pipeline.text.readers.dispatch import check_source, read_documents
from pipeline.text.readers.inputs import is_there
from pipeline.types import ModelInfo
from pipeline.voices import Casting

_SHARE_OF_LIMIT = 0.8  # of the longest audio of a checkpoint: what segments may have, since predictions are inexact
_MAX_FILES = 10_000  # in a folder, which is what the hub takes
# What a config has only once its checkpoint is on this machine.
_KEYS_OF_CHECKPOINT = (
    "model.revision",
    "model.description_tokenizer_revision",
    "text.max_seconds",
    "text.min_seconds",
    *(f"engine.sampling.{key}" for key in SamplingConfig.__dataclass_fields__),
)
_PUBLISHED_CODEC = ModelLimits(44_100, frames_per_second=44_100 / 512, max_seconds=30.0, max_positions=4_087)


def run(config: Config, loader: ModelLoader | None = None) -> int:
    """Does what `config` asks for; returns the exit code.

    Args:
        config: The composed config of the command.
        loader: Where the model comes from; None: from its checkpoint.

    Raises:
        PipelineError: Whatever the user can mend.
    """
    loader = loader or ModelLoader(build_synthesizer, describe_model, load_tokenizers)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    # It warns of each retry, for half a minute; in the end there is one error of ours. A level would be reset.
    logging.getLogger("huggingface_hub.utils._http").addFilter(lambda _: False)
    if config.task.name == "verify":
        return _verify(config, loader)
    if config.task.name == "status":
        status = read_status(place(config.run or ""))
        if config.json:
            show_json(status_values(status))
        else:
            show(render_status(status))
        return 0
    if config.task.name == "retry_rejects":
        return retry_rejects(config, loader)
    if config.model.name == "untrained":
        say("model=untrained has random weights: what you will hear is noise. For speech: model=bundled or mini")
    if config.task.name == "preview":
        if config.json:
            raise ConfigError("json=true: task=preview has no JSON; give dry_run=true, task=status or task=verify")
        return run_preview(config, loader.build)
    asked_input = config.input
    config = copy_standard_input(config)
    language = _check_input(config)
    check_revision(config.model)
    set_up_voices(config, language)  # refuses names before anything is downloaded
    if config.dry_run:
        return _dry_run(config, language, asked_input, loader)
    if config.left_out:
        raise ConfigError(
            f"left_out={config.left_out}: give dry_run=true with it; a run lists it in plan/left_out.jsonl"
        )
    working = check_executor(config)
    checkpoint = find_checkpoint(recorded_revisions(run_directory(config), config.model))
    config, casting = _set_up_voices(config, language, checkpoint)
    config = _fit_to_checkpoint(config, checkpoint)
    config = _as_frozen(config, checkpoint)
    engine = replace(working.engine, sampling=config.engine.sampling)
    working = replace(config, engine=engine, executor=working.executor)
    run_dir = run_directory(config)
    refuse_foreign(run_dir)
    model_source = (checkpoint, loader)
    with writer(run_dir, config.job_index, config.num_jobs) as right:
        with right.alternate() as is_alone:
            check_config(run_dir, config, input_digest(config))
            head = _plan(run_dir, working, config, casting, model_source) if is_alone else read_head(run_dir)
        order = RunContext(run_dir, working, head, checkpoint, head.buckets, loader.build)
        session, model = _render(order)
        with right.alternate():
            finished = sum(1 for _ in finished_shards(run_dir))
            if finished < head.num_shards:
                say(f"{run_dir}: {finished} of {count(head.num_shards, 'shard')} finished; the last job does the rest")
            else:
                model = model or loader.describe(checkpoint, working.engine)
                finish(run_dir, config, head, model, session, narrator=", ".join(casting.names))
    if config.json:
        show_json(status_values(read_status(run_dir)))
    return 0


def _as_frozen(config: Config, checkpoint: Checkpoint | None) -> Config:
    """Return the config as a run freezes it, with what only the checkpoint tells. None: it is not on this machine."""
    source = os.path.normpath(config.input) if is_there(config.input) else config.input  # as ./a
    config = replace(config, input=source)
    if checkpoint is None:
        return config
    return replace(
        config,
        model=replace(
            config.model,
            revision=checkpoint.revision,
            description_tokenizer_revision=checkpoint.description_tokenizer_revision,
        ),
        engine=replace(config.engine, sampling=SamplingConfig(**vars(checkpoint.sampling(config.engine.sampling)))),
    )


def _plan(
    run_dir: Path, working: Config, config: Config, casting: Casting, model_source: tuple[Checkpoint, ModelLoader]
) -> PlanHead:
    """Makes the plan and freezes the config, where nobody else is at work. A plan that still stands is kept."""
    checkpoint, loader = model_source
    remove_leftovers(run_dir)
    mark = plan_digest(config, casting.catalogue.digest)
    frozen = replace(config, job_index=None, num_jobs=1)
    head = reusable_plan(run_dir, mark)
    if head is None:
        planner = Planner(config, casting, loader.tokenizers(checkpoint), _codec(config, checkpoint))
        head = stage_plan(run_dir, config, planner, mark)
        if not any(finished_shards(run_dir)):  # before a config is frozen that asks for too much of the disk
            try:
                _check_disk(run_dir, working, head, checkpoint, range(head.num_shards))
            except RunDirectoryError:
                remove_folder(staged_plan_folder(run_dir))
                raise
        freeze_config(run_dir, frozen, input_digest(config))
        install_plan(run_dir, head)
        _tell_left_out(planner)
    else:
        freeze_config(run_dir, frozen, input_digest(config))
    _announce(head, casting)
    return head


def _share(config: Config, head: PlanHead) -> range:
    """Shards that are this job's; of a run that is not shared, all."""
    return range(config.job_index or 0, head.num_shards, config.num_jobs)


def _set_up_voices(config: Config, language: str, checkpoint: Checkpoint | None) -> tuple[Config, Casting]:
    """Chooses the voices, and tells who they are. No checkpoint: it is not on this machine yet."""
    chosen, casting = set_up_voices(config, language, checkpoint.folder if checkpoint else None)
    announce_voice(config, chosen, casting)
    warn(casting.warnings)
    return chosen, casting


def _check_input(config: Config) -> str:
    """Refuses what cannot be read, and a table where a book is wanted; returns the language of the first text."""
    if config.task.name != "audiobook":
        language = check_source(config.input, config.source).language
    else:
        documents = list(islice(read_documents(config.input, config.source), 2))
        language = documents[0].language if documents else check_source(config.input, config.source).language
        if len(documents) > 1:
            raise ConfigError(f"{config.input}: a table of texts is no book; give task=dataset")
    if config.book.cover:
        from pipeline.outputs.audiobook.containers import check_cover  # imports PyAV

        check_cover(Path(config.book.cover))
    return language


def _render(order: RunContext) -> tuple[RunStats | None, ModelInfo | None]:
    """Renders the shards that are not there yet; nothing when there are none."""
    head = order.head
    share = _share(order.config, head)
    finished = {  # numbers of utterances only: the manifests of a million clips would be in memory all the time
        manifest.index: len(manifest.clips) + len(manifest.rejects)
        for manifest in finished_shards(order.run_dir)
        if manifest.index in share
        and manifest.fingerprint == head.fingerprint
        and manifest.plan_hash == hash_plan(order.run_dir, manifest.index)
    }
    missing = [index for index in share if index not in finished]
    if finished:
        say(f"{order.run_dir}: {len(finished)} of {count(len(share), 'shard')} finished already")
    if not missing:
        return None, None
    _check_disk(order.run_dir, order.config, head, order.checkpoint, missing)
    return execute(order, Workload(tuple(missing)), num_done=sum(finished.values()))


def _check_disk(run_dir: Path, config: Config, head: PlanHead, checkpoint: Checkpoint, missing: Sequence[int]) -> None:
    """Refuses a disk that has too little space for the shards that are missing, and the book."""
    num_utterances = round(head.num_utterances * len(missing) / max(1, head.num_shards))
    book_seconds = head.predicted_seconds if config.task.name == "audiobook" else 0.0
    seconds = [head.shard_seconds[index] for index in missing]
    work = Work(seconds, num_utterances, book_seconds, checkpoint.sampling_rate)
    devices = config.executor.devices
    check_disk(config, run_dir, work, len(devices) if isinstance(devices, list) else max(1, config.executor.workers))


def _dry_run(config: Config, language: str, asked_input: str, loader: ModelLoader) -> int:
    """Prints what would be made. Loads no model, and fetches nothing.

    Returns the exit code with which the run would be refused, so that `dry_run && run` stops in time.
    """
    if config.left_out:
        check_left_out(config)
    tokens: TokenCounter = EstimatedTokens()
    checkpoint: Checkpoint | None = None
    try:
        checkpoint = find_checkpoint(recorded_revisions(run_directory(config), config.model), download=False)
        checkpoint.sampling(config.engine.sampling)  # refuses values that cannot be
        tokens = loader.tokenizers(checkpoint)
    except NotDownloadedError as error:
        say(f"{error}: numbers of tokens are estimated")
    config, casting = _set_up_voices(config, language, checkpoint)
    if checkpoint:
        config = _fit_to_checkpoint(config, checkpoint)
    codec = _codec(config, checkpoint) if checkpoint else _PUBLISHED_CODEC
    planner = Planner(config, casting, tokens, codec)
    shard_seconds = [sum(each.predicted_seconds for each in shard.utterances) for shard in planner.shards()]
    warn(casting.row_warnings())
    if config.left_out:
        write_left_out(config.left_out, planner.left_out)
    frozen = _as_frozen(config, checkpoint)
    if asked_input in STANDARD_INPUT:
        frozen = replace(frozen, input=str(kept_copy(replace(config, input=asked_input))))
    digest = input_digest(config) if is_run(run_directory(config)) else ""  # reads all of the input again
    refusal = find_refusal(frozen, digest, () if checkpoint else _KEYS_OF_CHECKPOINT)
    config = replace(config, input=asked_input)
    forecast = make_forecast(config, planner.summary, shard_seconds, refusal)
    if config.json:
        show_json(dry_run_values(config, planner.summary, forecast))
    else:
        show(render_dry_run(config, planner.summary, forecast))
    return forecast.exit_code


def _verify(config: Config, loader: ModelLoader) -> int:
    """Prints every problem of a finished run; exit code 4 when there is one."""
    report = verify(config, loader.build, partial(tqdm, desc="verifying", unit="shard", disable=None))
    if config.json:
        show_json(verify_values(report))
    else:
        show(str(report))
    return 0 if not report.problems else VerificationError.exit_code


def _codec(config: Config, checkpoint: Checkpoint) -> ModelLimits:
    max_seconds = min(config.model.max_seconds, checkpoint.max_seconds)
    return ModelLimits(checkpoint.sampling_rate, checkpoint.frames_per_second, max_seconds, checkpoint.max_positions)


def _fit_to_checkpoint(config: Config, checkpoint: Checkpoint) -> Config:
    """Shorten segments that the checkpoint cannot generate whole, and name its settings that have no effect here."""
    if checkpoint.generation.unsupported:
        settings = ", ".join(checkpoint.generation.unsupported)
        warn([f"{checkpoint.model_id}: {settings} in generation_config.json has no effect here"])
    if config.text.max_seconds <= checkpoint.max_seconds:
        return config
    seconds = round(_SHARE_OF_LIMIT * checkpoint.max_seconds, 1)
    if seconds < 1:
        limit = f"max_length={checkpoint.generation.max_length} in its generation_config.json"
        raise ModelError(f"{checkpoint.model_id}: {limit} allows {checkpoint.max_seconds:.1f} s, too little for speech")
    say(
        f"{checkpoint.model_id} generates at most {checkpoint.max_seconds:.1f} s at a time: text.max_seconds="
        f"{seconds:g} instead of {config.text.max_seconds:g}"
    )
    minimum = min(config.text.min_seconds, seconds / 2)
    return replace(config, text=replace(config.text, max_seconds=seconds, min_seconds=minimum))


def _announce(head: PlanHead, casting: Casting) -> None:
    shapes = ", ".join(
        f"{bucket.prompt_tokens}/{bucket.description_tokens}/{bucket.max_frames}x{bucket.batch_size}"
        for bucket in head.buckets
    )
    say(
        f"plan: {count(head.num_utterances, 'utterance')}, {clock(head.predicted_seconds)} of speech predicted, "
        f"{count(head.num_shards, 'shard')}; shapes (prompt/description tokens/frames x rows): {shapes}"
    )
    warn(casting.row_warnings())
    if head.num_shards > _MAX_FILES:
        size = -(-head.num_utterances // _MAX_FILES)
        warn([f"{head.num_shards:,} files in a folder are more than the hub takes; give planning.shard_size={size}"])


def _tell_left_out(planner: Planner) -> None:
    """Say what of the source is not spoken, by chapter, and warn where it may be missed."""
    left_out = planner.summary.left_out
    for line in left_out.lines():
        say(line)
    for warning in left_out.warnings:
        say(f"WARNING: {warning}")
