"""The engine against upstream's own `generate()` on this machine: random weights, lengths forced on both sides.

Sentences of the story that ships give the lengths. Upstream runs in batches, in the order of the text, at its best of
the batch sizes that are tried first on a part; then upstream and engine take turns, so that a machine that slows down
slows both. Prints medians, ratios and where the engine's time goes; seconds are of the wall and of all cores (CPU).

usage: python scripts/bench.py [small|mini|voice] [--utterances N] [--rounds N] [--scale X] [--slots N] [--threads N]
       [--batches 8,16] [--attentions sdpa,eager] [--caches dynamic,static] [--compiles none,default]
       [--device cpu] [--dtype float32] [--start-up]
"""

from __future__ import annotations

import argparse
import gc
import itertools
import multiprocessing
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from pipeline.config import ModelConfig, SourceConfig, TextConfig
from pipeline.planning import predict_seconds
from pipeline.synthesis import build_synthesizer, upstream
from pipeline.synthesis.checkpoint import find_checkpoint
from pipeline.synthesis.engine.decoder_loop import Stats
from pipeline.synthesis.engine.engine import EngineSynthesizer
from pipeline.synthesis.engine.prefill import PrefillRequest, prefill
from pipeline.synthesis.engine.sampling import sample_codes
from pipeline.synthesis.tokenizers import load_tokenizers
from pipeline.synthesis.untrained import EOS, UntrainedShape, make_untrained
from pipeline.text.readers.dispatch import read_documents
from pipeline.text.segmentation import segment_document
from pipeline.types import Bucket, Utterance

VOICE = "Jon's voice is slightly expressive and animated at a moderate speed, very close and with very clear audio."
CALIBRATION_FRAMES = 40
_DAC = {"sampling_rate": 44_100, "codec_ratios": (2, 4, 8, 8), "codec_hidden": 1536, "mean_seconds": 1e6}
SHAPES = {
    "small": UntrainedShape(512, 8, 8, 8, 8, 2048, 9, 512, 4096, **_DAC),  # type: ignore[arg-type]
    "mini": UntrainedShape(1024, 24, 16, 16, 16, 4096, 9, 1024, 4096, **_DAC),  # type: ignore[arg-type]
    "large": UntrainedShape(1536, 30, 24, 24, 24, 6144, 9, 1024, 4096, **_DAC),  # type: ignore[arg-type]
    # The voice that is trained for this project: a codec of 16 kHz, 40 frames a second, and little work for it.
    "voice": UntrainedShape(
        256,
        8,
        4,
        4,
        4,
        1024,
        6,
        128,
        2048,
        sampling_rate=16_000,
        codec_ratios=(10, 10, 2, 2),
        codec_hidden=384,
        mean_seconds=1e6,
    ),
    "tiny": UntrainedShape(codebooks=9, mean_seconds=1e6),  # to try the script itself
}


@dataclass(frozen=True)
class Run:
    """What one pass over all utterances took."""

    wall_seconds: float
    cpu_seconds: float
    audio_seconds: float


class ForcedEnds(LogitsProcessor):  # type: ignore[misc]  # transformers is not typed here
    """Makes each row end at its own frame: codebook k draws its end k steps later, and not before."""

    def __init__(self, frames: Sequence[int], num_codebooks: int) -> None:
        ends = torch.tensor(frames)[:, None] + torch.arange(num_codebooks)
        self.ends = ends.flatten()  # [B * K] steps

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        now = (input_ids.shape[1] - 1 >= self.ends).to(scores.device)
        scores[~now, EOS] = -torch.inf
        scores[now] = -torch.inf
        scores[now, EOS] = 0.0
        return scores


def sentences(shape: UntrainedShape, count: int, scale: float) -> list[Utterance]:
    """Utterances with the story's predicted lengths as their limits; predictions are off by a fifth."""
    rng = random.Random(0)
    (document,) = read_documents("story", SourceConfig())
    segments = [
        segment
        for segment in segment_document(document, TextConfig(max_seconds=15.0), predict_seconds)
        if not segment.problem
    ]
    texts = itertools.islice(itertools.cycle(segments), count)
    made = []
    for i, segment in enumerate(texts):
        seconds = scale * predict_seconds(segment.spoken)
        bucket = Bucket(0, 0, max(10, round(seconds * shape.frames_per_second)), 1)
        predicted = seconds * rng.lognormvariate(0, 0.2)
        made.append(Utterance(segment.spoken, VOICE, i, id=str(i), predicted_seconds=predicted, bucket=bucket))
    return made


def timed(work: Callable[[], float]) -> Run:
    """Run `work`, which returns seconds of audio."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    audio_seconds = work()
    return Run(time.perf_counter() - wall, time.process_time() - cpu, audio_seconds)


@dataclass(frozen=True)
class Setting:
    """How upstream is run."""

    attention: str
    batch: int
    cache: str
    compile: str

    def __str__(self) -> str:
        return f"{self.attention}, batches of {self.batch}, {self.cache} cache, compile {self.compile}"


class Upstream:
    """Upstream's recipe: batches in the order of the text, padded, sampled."""

    def __init__(self, folder: Path, setting: Setting, device: str = "cpu", dtype: str = "float32") -> None:
        self.device = torch.device(device)
        self.model = upstream.load(folder, attention=setting.attention, dtype=getattr(torch, dtype), device=self.device)
        self.tokenizers = load_tokenizers(find_checkpoint(ModelConfig(name=folder.name, path=str(folder))))
        self.batch = setting.batch
        if setting.cache == "static":
            self.model.generation_config.cache_implementation = "static"
        if setting.compile != "none":
            torch._dynamo.reset()
            torch._dynamo.config.allow_unspec_int_on_nn_module = True  # or each step would be compiled
            self.model.forward = torch.compile(self.model.forward, mode=setting.compile)

    def run(self, utterances: Sequence[Utterance]) -> float:
        """Generate all; seconds of audio."""
        batches = [utterances[i : i + self.batch] for i in range(0, len(utterances), self.batch)]
        return sum(self._batch(batch) for batch in batches)

    def _batch(self, rows: Sequence[Utterance]) -> float:
        prompts = self.tokenizers.prompts([row.prompt for row in rows]).to(self.device)
        descriptions = self.tokenizers.descriptions([row.description for row in rows]).to(self.device)
        self.model.set_prompt_padding(prompts.mask.shape[1] - prompts.mask.sum(dim=1))
        codebooks = self.model.decoder.num_codebooks
        frames = [row.bucket.max_frames for row in rows if row.bucket]
        output = self.model.generate(
            input_ids=descriptions.ids,
            attention_mask=descriptions.mask,
            prompt_input_ids=prompts.ids,
            prompt_attention_mask=prompts.mask,
            max_length=max(frames) + 2 * codebooks + 2,
            return_dict_in_generate=True,
            logits_processor=LogitsProcessorList([ForcedEnds(frames, codebooks)]),
        )
        sampling_rate: int = self.model.config.audio_encoder.sampling_rate
        return float(sum(output.audios_length)) / sampling_rate


def engine_run(synthesizer: EngineSynthesizer, utterances: Sequence[Utterance]) -> float:
    """Generate all; seconds of audio."""
    return sum(clip.seconds for clip in synthesizer.generate(utterances))


@torch.inference_mode()
def step_parts(synthesizer: EngineSynthesizer, utterances: Sequence[Utterance], slots: int) -> dict[str, float]:
    """Seconds of one step of full slots halfway through, of its draw alone, and of one prompt's prefill."""
    requests = [synthesizer.encode(utterance) for utterance in utterances[:slots]]
    middle = round(statistics.mean(request.max_frames for request in requests)) // 2
    long = [replace(request, max_frames=request.max_frames + 100) for request in requests]
    synthesizer.warm_up([Bucket(0, 0, max(request.max_frames for request in long), slots)])
    runner = synthesizer.decoder.prepare(slots)
    runner.admit(list(enumerate(long)))
    runner.state.rows.positions.add_(middle)
    runner.positions = {slot: at + middle for slot, at in runner.positions.items()}
    rows, weights = runner.state.rows, runner.state.weights
    logits = torch.randn(rows.num_rows, weights.num_codebooks, weights.vocabulary)
    newcomer = PrefillRequest(0, torch.tensor(requests[0].prompt))

    def median(work: Callable[[], Any]) -> float:
        return statistics.median(timed(lambda: float(work() is None)).wall_seconds for _ in range(7))

    return {
        "step": median(runner.advance),
        "draw": median(lambda: sample_codes(logits, runner.state.sampling, rows.seeds, rows.steps)),
        "prefill": median(lambda: prefill(runner.state, [newcomer], 1)),
    }


def report(name: str, runs: Sequence[Run]) -> str:
    wall, cpu = (statistics.median(getattr(run, f"{clock}_seconds") for run in runs) for clock in ("wall", "cpu"))
    audio = runs[0].audio_seconds
    return f"| {name} | {audio:.0f} | {wall:.1f} | {cpu:.1f} | {audio / wall:.3f} | {audio / cpu:.3f} |"


def shares(stats: Stats) -> str:
    """Where the engine's threads spent their time."""
    parts = {
        "steps": stats.step_seconds,
        "prefill and T5": stats.prefill_seconds,
        "codec": stats.codec_seconds,
        "scheduling": stats.schedule_seconds,
    }
    total = sum(parts.values())
    return ", ".join(f"{name} {seconds / total:.1%}" for name, seconds in parts.items())


def first_clip(side: str, folder: Path, threads: int) -> None:
    """Start-up of one side, in a process of its own: from the import to the first clip of a second."""
    torch.set_num_threads(threads)
    utterance = replace(sentences(SHAPES["tiny"], 1, 1.0)[0], bucket=Bucket(0, 0, 86, 1))
    if side == "upstream":
        Upstream(folder, Setting("sdpa", 1, "dynamic", "none")).run([utterance])
    else:
        ours = build_synthesizer(str(folder), backend="engine", device="cpu", dtype="float32")
        assert isinstance(ours, EngineSynthesizer)
        engine_run(ours, [utterance])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{side}: first clip after {time.process_time():.1f} CPU s, peak memory {peak:.2f} GiB", flush=True)


def start_up(folder: Path, threads: int) -> None:
    """Start-up of both sides."""
    for side in ("upstream", "engine"):
        child = multiprocessing.get_context("spawn").Process(target=first_clip, args=(side, folder, threads))
        child.start()
        child.join()


def upstreams_best(folder: Path, utterances: Sequence[Utterance], args: argparse.Namespace) -> Setting:
    """The setting that is fastest on shortened utterances, the second time: compiling and first calls do not count."""
    choices = [
        Setting(attention, int(batch), cache, mode)
        for attention, batch, cache, mode in itertools.product(
            *(names.split(",") for names in (args.attentions, args.batches, args.caches, args.compiles))
        )
    ]
    if len(choices) == 1:
        return choices[0]
    count = max(choice.batch for choice in choices)
    part = shortened(utterances[:count])
    tried = {}
    for choice in choices:
        theirs = Upstream(folder, choice, args.device, args.dtype)
        theirs.run(part[: choice.batch])
        run = timed(lambda theirs=theirs: theirs.run(part))  # type: ignore[misc]
        tried[choice] = run.audio_seconds / run.wall_seconds
        print(f"upstream, {choice}: {tried[choice]:.3f} audio s / s", flush=True)
    return max(tried, key=lambda choice: tried[choice])


def shortened(utterances: Sequence[Utterance]) -> list[Utterance]:
    """The same with a second of audio or less."""
    return [replace(one, bucket=replace(one.bucket, max_frames=CALIBRATION_FRAMES)) for one in utterances if one.bucket]


def compare(path: Path, utterances: Sequence[Utterance], args: argparse.Namespace) -> None:
    """Both sides in turn, and the tables."""
    setting = upstreams_best(path, utterances, args)
    theirs = Upstream(path, setting, args.device, args.dtype)
    ours = build_synthesizer(str(path), backend="engine", device=args.device, dtype=args.dtype, slots=args.slots)
    assert isinstance(ours, EngineSynthesizer)
    if args.device != "cpu":  # what is prepared once does not count
        theirs.run(shortened(utterances[: theirs.batch]))
        engine_run(ours, utterances)
    runs: dict[str, list[Run]] = {"upstream": [], "engine": []}
    for _ in range(args.rounds):
        runs["upstream"].append(timed(lambda: theirs.run(utterances)))
        ours.decoder.stats = Stats()
        runs["engine"].append(timed(lambda: engine_run(ours, utterances)))
    where = torch.cuda.get_device_name() if args.device != "cpu" else f"{args.threads} threads"
    print(f"\n{args.shape}, {args.utterances} utterances, {args.dtype}, {where}, median of {args.rounds}")
    print("| | audio s | wall s | CPU s | audio s / wall s | audio s / CPU s |\n|---|---|---|---|---|---|")
    print(report(f"upstream ({setting})", runs["upstream"]))
    print(report("engine", runs["engine"]))
    paired = [theirs.wall_seconds / ours.wall_seconds for theirs, ours in zip(*runs.values(), strict=True)]
    print("ratio of each round (wall): " + ", ".join(f"{ratio:.2f}" for ratio in paired))
    ratios = [
        statistics.median(getattr(run, clock) for run in runs["upstream"])
        / statistics.median(getattr(run, clock) for run in runs["engine"])
        for clock in ("wall_seconds", "cpu_seconds")
    ]
    print(f"ratio: {ratios[0]:.2f} (wall), {ratios[1]:.2f} (CPU)")
    stats = ours.stats
    print(f"engine: occupancy {stats.occupancy:.1%}, {stats.steps / stats.step_seconds:.1f} steps/s; {shares(stats)}")
    if args.device == "cpu":
        parts = step_parts(ours, utterances, max(4, stats.computed_frames // stats.steps))
        print("one step {step:.4f} s, of which the draw {draw:.4f} s; one prompt {prefill:.4f} s".format(**parts))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB (both sides)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", nargs="?", default="small", choices=SHAPES)
    parser.add_argument("--utterances", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of the sentences' lengths")
    parser.add_argument("--batches", default="8,16,32", help="batch sizes that upstream is tried with")
    parser.add_argument("--attentions", default="sdpa,eager", help="likewise")
    parser.add_argument("--caches", default="dynamic,static", help="likewise")
    parser.add_argument("--compiles", default="none", help="likewise; each but none takes minutes")
    parser.add_argument("--device", default="cpu", help="of both sides: cpu or cuda")
    parser.add_argument("--dtype", default="float32", help="of both sides")
    parser.add_argument("--slots", type=int, default=0)
    parser.add_argument("--start-up", action="store_true", help="time and memory to the first clip, and no more")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    shape = SHAPES[args.shape]
    with tempfile.TemporaryDirectory() as folder:
        path = make_untrained(Path(folder), shape)
        utterances = sentences(shape, args.utterances, args.scale)
        if args.start_up:
            start_up(path, args.threads)
        else:
            compare(path, utterances, args)


if __name__ == "__main__":
    main()
