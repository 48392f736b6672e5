"""The composition root: one command, from its config to its exit code.

Owns the order in which things happen: everything that can be refused is refused before a model loads; the plan is
frozen before the first clip; a shard is written before the next one begins; card, report and book are made from what
lies on disk. What is already done is not done again.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from pipeline.audio.encoding import stored_rate
from pipeline.book import check_cover
from pipeline.config import Config
from pipeline.dataset.card import CardFacts, write_card
from pipeline.dataset.files import remove_leftovers
from pipeline.dataset.shards import finished_shards, hash_plan, write_rejects, write_shard
from pipeline.dataset.sums import write_sums
from pipeline.dataset.verify import verify_run
from pipeline.errors import ConfigError, ModelError, NothingAcceptedError, RunDirectoryError, VerificationError
from pipeline.places import place
from pipeline.runtime.books import make_run_book
from pipeline.runtime.directory import check_config, freeze_config, run_directory, sole_writer
from pipeline.runtime.journal import Journal
from pipeline.runtime.page import write_page
from pipeline.runtime.plans import (
    Codec,
    EstimatedTokens,
    PlanHead,
    Planner,
    TokenCounter,
    forget_previous_runs,
    install_plan,
    previous_runs,
    read_shard_plan,
    stage_plan,
)
from pipeline.runtime.preview import run_preview
from pipeline.runtime.progress import Progress, clock, count
from pipeline.runtime.rendering import EarlierClips, RenderedShard, render_shard
from pipeline.runtime.report import Session, make_report, render_report, write_report
from pipeline.runtime.status import read_status, render_status
from pipeline.runtime.unchanged import mark_input, unchanged_plan
from pipeline.synthesis import Synthesizer, build_synthesizer, check_settings, describe_model
from pipeline.synthesis.checkpoint import Checkpoint, find_checkpoint
from pipeline.synthesis.tokenizers import Tokenizers, load_tokenizers
from pipeline.text.sources import check_source, read_documents
from pipeline.types import Bucket, Clip, ModelInfo
from pipeline.voices import Casting

_MOST_WARNINGS = 5
_MOST_FILES = 10_000  # in a folder, which is what the hub takes
_PUBLISHED_CODEC = Codec(sampling_rate=44_100, frames_per_second=44_100 / 512, max_seconds=30.0)


def run(config: Config) -> int:
    """Does what `config` asks for; returns the exit code.

    Raises:
        PipelineError: Whatever the user can mend.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    # It warns of each retry, for half a minute; in the end there is one error of ours. A level would be reset.
    logging.getLogger("huggingface_hub.utils._http").addFilter(lambda _: False)
    if config.task.name == "verify":
        return _verify(place(config.run or ""))
    if config.task.name == "status":
        print(render_status(read_status(place(config.run or ""))))
        return 0
    casting = Casting(config.voice, config.model)
    if config.task.name != "preview":
        _check_input(config)
    _warn(casting.warnings)
    if config.model.name == "untrained":
        _say("model=untrained has random weights: what you will hear is noise. For speech: model=mini")
    if config.task.name == "preview":
        return run_preview(config, casting)
    if config.dry_run:
        return _dry_run(config, casting)
    check_settings(config.engine)
    checkpoint = find_checkpoint(config.model)
    source = os.path.normpath(config.input) if Path(config.input).exists() else config.input  # ./a and a are the same
    config = replace(config, input=source, model=replace(config.model, revision=checkpoint.revision))
    planner = Planner(config, casting, _tokenizers(checkpoint), _codec(config, checkpoint))
    run_dir = run_directory(config)
    with sole_writer(run_dir):
        check_config(run_dir, config)
        remove_leftovers(run_dir)
        mark = mark_input(config)
        head = unchanged_plan(run_dir, mark)
        if head is None:
            head = stage_plan(run_dir, config, planner, mark)
            freeze_config(run_dir, config)
            install_plan(run_dir, head)
        else:
            freeze_config(run_dir, config)
        _announce(head, casting)
        session = _render(run_dir, config, head, checkpoint, head.buckets)
        _finish(run_dir, config, head, casting, describe_model(checkpoint, config.engine), session)
    return 0


def _check_input(config: Config) -> None:
    """Refuses what cannot be read, and a table where a book is wanted."""
    check_source(config.input, config.source)
    if config.task.name == "audiobook" and len(list(islice(read_documents(config.input, config.source), 2))) > 1:
        raise ConfigError(f"{config.input}: a table of texts is no book; give task=dataset")
    if config.book.cover:
        check_cover(Path(config.book.cover))


def _render(
    run_dir: Path, config: Config, head: PlanHead, checkpoint: Checkpoint, buckets: Collection[Bucket]
) -> Session | None:
    """Renders the shards that are not there yet; None when there are none."""
    finished = {manifest.index: manifest for manifest in finished_shards(run_dir)}
    missing = [index for index in range(head.num_shards) if index not in finished]
    if finished:
        _say(f"{run_dir}: {len(finished)} of {head.num_shards} shards are finished already")
    if not missing:
        return None
    num_done = sum(len(manifest.clips) + len(manifest.rejects) for manifest in finished.values())
    earlier = EarlierClips(previous_runs(run_dir))
    num_reused = 0
    device = describe_model(checkpoint, config.engine).device
    with (
        Journal(run_dir, "main", device) as journal,
        closing(build_synthesizer(checkpoint, **vars(config.engine))) as synthesizer,
    ):
        start = time.monotonic()
        synthesizer.warm_up(buckets)
        with Progress(head.num_utterances, num_done) as progress:
            for index in missing:
                rendered = _render_one(run_dir, config, head, synthesizer, index, earlier, progress, journal)
                num_reused += rendered.num_reused
        return Session(
            wall_seconds=time.monotonic() - start,
            audio_seconds=progress.audio_seconds,
            computed_seconds=synthesizer.computed_frames / synthesizer.info.frames_per_second,
            num_retakes=progress.num_retakes,
            num_reused=num_reused,
        )


def _render_one(
    run_dir: Path,
    config: Config,
    head: PlanHead,
    synthesizer: Synthesizer,
    index: int,
    earlier: EarlierClips,
    progress: Progress,
    journal: Journal,
) -> RenderedShard:
    """Renders and writes one shard."""
    start = time.monotonic()

    def on_clip(clip: Clip, accepted: bool) -> None:
        progress.on_clip(clip, accepted)
        journal.take(clip.seconds, accepted, synthesizer.computed_frames / synthesizer.info.frames_per_second)

    plan_hash = hash_plan(run_dir, index)
    rendered = render_shard(
        read_shard_plan(run_dir, index),
        synthesizer,
        config,
        _clip_fingerprint(head, synthesizer.info),
        head.language,
        earlier,
        on_clip,
    )
    manifest = write_shard(
        run_dir,
        index,
        head.num_shards,
        rendered.rows,
        rendered.rejects,
        sampling_rate=stored_rate(synthesizer.info.sampling_rate, config.dataset.format),
        fingerprint=head.fingerprint,
        plan_hash=plan_hash,
        work_seconds=time.monotonic() - start,
    )
    journal.shard(manifest)
    progress.on_shard(index + 1, head.num_shards, rendered.num_reused + len(rendered.rejects))
    return rendered


def _finish(
    run_dir: Path, config: Config, head: PlanHead, casting: Casting, model: ModelInfo, session: Session | None
) -> None:
    """Makes everything that is made of finished shards: rejects, card, book, report."""
    forget_previous_runs(run_dir)
    write_rejects(run_dir)
    facts = _card_facts(run_dir, config, head, model)
    statistics = write_card(run_dir, facts)
    report = make_report(run_dir, model, head.num_utterances, session)
    write_report(run_dir, report)
    if config.task.name == "audiobook" and report.num_clips:
        report = replace(report, book=make_run_book(run_dir, config, head, narrator=", ".join(casting.names)))
        write_report(run_dir, report)
    write_page(run_dir, report, facts, statistics.durations)
    write_sums(run_dir)
    _say(render_report(report))
    if not report.num_clips:
        raise NothingAcceptedError(f"{run_dir}: no clip was accepted; {run_dir / 'rejects.jsonl'} has the reasons")


def _card_facts(run_dir: Path, config: Config, head: PlanHead, model: ModelInfo) -> CardFacts:
    by = f", by {head.author}" if head.author else ""
    return CardFacts(
        title=config.dataset.name or run_dir.name,
        source=f"{head.title}{by}" if config.task.name == "audiobook" else Path(config.input).name,
        model=model,
        audio_format=config.dataset.format,
        license=config.dataset.license,
        seed=config.seed,
        settings={"sampling": vars(config.engine.sampling), "checks": vars(config.checks)},
        version=version("parler-pipeline"),
        is_noise=config.model.name == "untrained",
    )


def _clip_fingerprint(head: PlanHead, model: ModelInfo) -> str:
    """What all clips of a run depend on besides their utterance: the frozen config, precision and kind of device."""
    return " ".join((head.fingerprint, model.dtype, model.device.split(":")[0]))


def _dry_run(config: Config, casting: Casting) -> int:
    """Prints what would be made. Loads no model, and fetches nothing."""
    tokens: TokenCounter = EstimatedTokens()
    codec = _PUBLISHED_CODEC
    try:
        checkpoint = find_checkpoint(config.model, download=False)
        tokens, codec = _tokenizers(checkpoint), _codec(config, checkpoint)
    except ModelError as error:
        _say(f"{error}: numbers of tokens are estimated")
    planner = Planner(config, casting, tokens, codec)
    for _ in planner.shards():
        pass
    _warn(casting.row_warnings())
    print(f"{config.input} -> {run_directory(config)}\n\n{planner.summary}")
    if config.task.name == "audiobook":
        chapters, m4b = planner.summary.disk_bytes, planner.summary.seconds * config.book.bitrate_kbps * 125
        print(f"\nbook            about {chapters / 1e6:,.0f} MB of chapters and {m4b / 1e6:,.0f} MB of m4b beside it")
    return 0


def _verify(run_dir: Path) -> int:
    """Prints every problem of a finished run; exit code 4 when there is one."""
    if not run_dir.is_dir():
        raise RunDirectoryError(f"run={run_dir}: no such folder")
    report = verify_run(run_dir, partial(tqdm, desc="verifying", unit="shard", disable=None))
    print(report)
    return 0 if not report.problems else VerificationError.exit_code


def _tokenizers(checkpoint: Checkpoint) -> Tokenizers:
    return load_tokenizers(checkpoint.folder, checkpoint.description_tokenizer)


def _codec(config: Config, checkpoint: Checkpoint) -> Codec:
    max_seconds = min(config.model.max_seconds, checkpoint.max_frames / checkpoint.frames_per_second)
    return Codec(checkpoint.sampling_rate, checkpoint.frames_per_second, max_seconds)


def _announce(head: PlanHead, casting: Casting) -> None:
    shapes = ", ".join(
        f"{bucket.prompt_tokens}/{bucket.description_tokens}/{bucket.max_frames}x{bucket.batch_size}"
        for bucket in head.buckets
    )
    _say(
        f"plan: {head.num_utterances:,} utterances, {clock(head.predicted_seconds)} of speech predicted, "
        f"{count(head.num_shards, 'shard')}; shapes (prompt/description tokens/frames x rows): {shapes}"
    )
    _warn(casting.row_warnings())
    if head.num_shards > _MOST_FILES:
        size = -(-head.num_utterances // _MOST_FILES)
        _warn([f"{head.num_shards:,} files in a folder are more than the hub takes; give planning.shard_size={size}"])


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings[:_MOST_WARNINGS]:
        _say(f"warning: {warning}")
    if len(warnings) > _MOST_WARNINGS:
        _say(f"warning: and {len(warnings) - _MOST_WARNINGS} more of the kind")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
