"""The engine's Synthesizer: utterances in, clips out, with decoder, codec and caller side by side.

Owns the order of things and the choice of sizes: how many slots, how many threads for what, what happens when memory
runs out. The work itself is done in the other files of this folder.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pipeline.config import EngineConfig
from pipeline.errors import ModelError
from pipeline.synthesis.engine import memory
from pipeline.synthesis.engine.codec import Codec, CodecStream, Samples
from pipeline.synthesis.engine.conditioning import DescriptionEncoder
from pipeline.synthesis.engine.graphs import LENGTH_MULTIPLE, GraphedStep
from pipeline.synthesis.engine.overlap import overlapped
from pipeline.synthesis.engine.runner import Finished, Request, Runner, Shape
from pipeline.synthesis.engine.sampling import Rules
from pipeline.synthesis.engine.scheduler import Job, Scheduler
from pipeline.synthesis.engine.step import padded_rows, step
from pipeline.synthesis.engine.weights import Weights, weights_of
from pipeline.synthesis.tokenizers import Tokenizers
from pipeline.types import Bucket, Clip, Finish, ModelInfo, Utterance

_log = logging.getLogger(__name__)
_LOOK_EVERY_ON_GPU = 8  # steps between two looks at which rows have finished: each look makes the GPU wait
_FIRST_PIECE_FRAMES = 8  # of a stream: a tenth of a second


@dataclass
class Stats:
    """What the engine has done so far. Seconds are of one thread each, and threads run side by side."""

    steps: int = 0
    row_steps: int = 0  # of rows that had an utterance
    computed_frames: int = 0  # rows x steps, empty rows included
    step_seconds: float = 0.0
    prefill_seconds: float = 0.0  # the description's encoding included
    schedule_seconds: float = 0.0
    codec_seconds: float = 0.0  # of all its threads together
    peak_bytes: int = 0  # of the GPU's memory, else of the process

    @property
    def occupancy(self) -> float:
        """Share of computed rows that had an utterance."""
        return self.row_steps / max(1, self.computed_frames)


@dataclass(frozen=True)
class _Take:
    """Codes on their way to the codec."""

    utterance: Utterance
    codes: Tensor  # [K, T]
    ended: bool  # by itself


class EngineSynthesizer:
    """Synthesizer with continuous batching. Made by `build_synthesizer`."""

    def __init__(self, model: Any, tokenizers: Tokenizers, info: ModelInfo, engine: EngineConfig) -> None:
        self.info = info
        self.stats = Stats()
        self._tokenizers = tokenizers
        self._engine = engine
        self._weights: Weights = weights_of(model)
        self._rules = _rules(model)
        self._encoder = DescriptionEncoder(model)
        self._codec = Codec(model.audio_encoder)
        self._runner: Runner | None = None
        self._busy = threading.Lock()
        self._codec_lock = threading.Lock()
        on_gpu = self._weights.device.type == "cuda"
        self._look_every = _LOOK_EVERY_ON_GPU if on_gpu else 1
        self._codec_stream = torch.cuda.Stream() if on_gpu else None  # type: ignore[no-untyped-call]
        threads = torch.get_num_threads()
        self._decoder_threads = max(1, threads // 2)
        self._codec_threads = 1 if on_gpu else max(1, threads - self._decoder_threads)

    @property
    def computed_frames(self) -> int:
        """Rows x steps so far, empty rows included."""
        return self.stats.computed_frames

    def warm_up(self, buckets: Iterable[Bucket]) -> None:
        """Nothing to compile on a CPU; on a GPU the graphs are captured as their lengths come up."""

    def generate(self, utterances: Iterable[Utterance]) -> Iterator[Clip]:
        """Yields a clip for each utterance, as they are done: the longest are begun first.

        Raises:
            ValueError: An utterance that cannot fit; before anything starts.
            ModelError: The model's output is not finite.
            RuntimeError: Another `generate` or `stream` of this synthesizer has not come to its end.
        """
        taken = list(utterances)
        requests = [self._request(index, utterance) for index, utterance in enumerate(taken)]
        if not requests:
            return
        with self._alone():
            yield from overlapped(
                lambda emit: self._decode(taken, requests, emit), self._finish, finishers=self._codec_threads
            )

    def close(self) -> None:
        """Frees the model's memory."""
        del self._weights, self._encoder, self._codec
        self._runner = None
        gc.collect()
        if self.info.device.startswith("cuda"):
            torch.cuda.empty_cache()

    def _request(self, index: int, utterance: Utterance) -> Request:
        """The utterance in ids, if it fits."""
        bucket = utterance.bucket
        prompt = self._tokenizers.prompts([utterance.prompt], bucket.prompt_tokens if bucket else 0)
        description = self._tokenizers.descriptions([utterance.description], bucket.description_tokens if bucket else 0)
        request = Request(
            index=index,
            prompt=tuple(prompt.ids[prompt.mask.bool()].tolist()),
            description=tuple(description.ids[description.mask.bool()].tolist()),
            max_frames=bucket.max_frames if bucket else self.info.max_frames,
            seed=utterance.seed,
        )
        positions = request.positions(self.info.num_codebooks)
        if request.max_frames < 1 or positions > self._weights.max_positions:
            raise ValueError(
                f"{utterance.id or utterance.prompt[:80]!r} does not fit: {len(request.prompt)} prompt tokens and "
                f"{request.max_frames} frames take {positions} positions of the model's {self._weights.max_positions}"
            )
        return request

    def stream(self, utterance: Utterance) -> Iterator[Samples]:
        """Yields the clip of one utterance in pieces, while it is generated. Together they are its clip.

        The first piece comes as early as the codec's context allows; the later ones grow, since each decodes its
        context anew.

        Raises:
            Like `generate`.
        """
        request = self._request(0, utterance)
        with self._alone():
            runner = self._begin(request)
            pieces = CodecStream(self._codec)
            ready, piece, is_last = 0, _FIRST_PIECE_FRAMES, False
            while not is_last:
                codes, is_last = self._grow(runner, utterance, max(ready, self._codec.context_frames) + piece)
                yield pieces.extend(codes, is_last=is_last)
                ready, piece = codes.shape[1], min(2 * piece, round(self.info.frames_per_second))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Slots and caches are there once: two callers at a time would write over each other."""
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("this synthesizer is still generating: finish or close that generator first")
        try:
            yield
        finally:
            self._busy.release()

    @torch.inference_mode()
    def _begin(self, request: Request) -> Runner:
        runner = self._prepare(padded_rows(1), [request])
        runner.admit([(0, request)])
        return runner

    @torch.inference_mode()
    def _grow(self, runner: Runner, utterance: Utterance, wanted: int) -> tuple[Tensor, bool]:
        """Steps the one row until so many frames are ready: all codes so far, and whether they are the last."""
        while True:
            runner.advance(self._look_every)
            for finished in runner.collect():
                return self._codes(utterance, finished), True
            if (ready := runner.frames_ready(0)) >= wanted:
                return runner.codes(0, ready), False

    @torch.inference_mode()
    def _decode(
        self, utterances: Sequence[Utterance], requests: Sequence[Request], emit: Callable[[_Take], None]
    ) -> None:
        """The decoder's thread: all requests to codes."""
        torch.set_num_threads(self._decoder_threads)
        slots = self._choose_slots(requests)
        scheduler = Scheduler([Job(r.index, _expected_length(utterances[r.index], r)) for r in requests], slots)
        while not scheduler.finished:
            _log.info("%d utterances in %d slots", len(requests), slots)
            try:
                self._run(self._prepare(slots, requests), scheduler, utterances, requests, emit)
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if slots == padded_rows(1) or not memory.is_exhaustion(error):
                    raise
            else:
                self.stats.peak_bytes = memory.peak_bytes(self._weights.device)
                _log.info("peak memory %.1f GiB", self.stats.peak_bytes / 2**30)
                return
            self._runner = None
            gc.collect()
            slots = padded_rows(slots // 2)
            _log.warning("out of memory: going on with %d slots", slots)
            scheduler.restart(slots)

    def _run(
        self,
        runner: Runner,
        scheduler: Scheduler,
        utterances: Sequence[Utterance],
        requests: Sequence[Request],
        emit: Callable[[_Take], None],
    ) -> None:
        stats, clock = self.stats, time.perf_counter
        while not scheduler.finished:
            began = clock()
            arrivals = [(admission.slot, requests[admission.job.index]) for admission in scheduler.admit()]
            scheduled = clock()
            runner.admit(arrivals)
            admitted = clock()
            runner.advance(self._look_every)
            stepped = clock()
            stats.steps += self._look_every
            stats.row_steps += self._look_every * len(scheduler.running)
            stats.computed_frames += self._look_every * runner.shape.slots
            for finished in runner.collect():
                utterance = utterances[scheduler.release(finished.slot).index]
                emit(_Take(utterance, self._codes(utterance, finished), finished.ended))
            stats.prefill_seconds += admitted - scheduled
            stats.step_seconds += stepped - admitted
            stats.schedule_seconds += scheduled - began + clock() - stepped

    def _finish(self, take: _Take) -> Clip:
        """A codec thread's work."""
        if self._weights.device.type == "cpu":
            torch.set_num_threads(1)
        began = time.perf_counter()
        with torch.cuda.stream(self._codec_stream):  # nothing, where there is no stream
            samples = self._codec.decode(take.codes)
        with self._codec_lock:
            self.stats.codec_seconds += time.perf_counter() - began
        return Clip(
            utterance=take.utterance,
            samples=samples,
            sampling_rate=self.info.sampling_rate,
            num_frames=take.codes.shape[1],
            finish=Finish.EOS if take.ended else Finish.MAX_FRAMES,
            seed=take.utterance.seed,
        )

    def _prepare(self, slots: int, requests: Sequence[Request]) -> Runner:
        """A runner with so many slots that any of the requests fits, the last one if it does."""
        shape = self._shape(slots, requests)
        if self._runner is None or not self._runner.shape.holds(shape):
            self._runner = None  # before the next one is made
            self._runner = Runner(
                self._weights, self._rules, self._engine.sampling, self._encoder, shape, **self._how_to_step()
            )
        self._runner.clear()
        return self._runner

    def _how_to_step(self) -> dict[str, Any]:
        """On a GPU, recorded for few lengths; on a CPU, as it is."""
        if self._weights.device.type != "cuda":
            return {}
        one_step = step if self._engine.compile == "none" else torch.compile(step, dynamic=False)
        return {"take_step": GraphedStep(one_step), "length_multiple": LENGTH_MULTIPLE}

    def _shape(self, slots: int, requests: Sequence[Request]) -> Shape:
        prepended = self._weights.prompt_is_prepended
        return Shape(
            slots=slots,
            positions=max(
                (len(request.prompt) if prepended else 0) + request.max_frames + self.info.num_codebooks
                for request in requests
            ),
            description_tokens=max(
                len(request.description) + (0 if prepended else len(request.prompt)) for request in requests
            ),
            max_frames=max(request.max_frames for request in requests),
        )

    def _choose_slots(self, requests: Sequence[Request]) -> int:
        slots = self._engine.slots
        if not slots:
            held_bytes = self._runner.decoder.cache.num_bytes if self._runner else 0
            slots = memory.slots_that_fit(self._weights, self._shape(1, requests).positions, held_bytes)
        if self._weights.device.type == "cpu":  # an empty row costs as much as a full one
            slots = min(slots, len(requests))
        return padded_rows(slots)

    def _codes(self, utterance: Utterance, finished: Finished) -> Tensor:
        if finished.broken:
            raise ModelError(
                f"{self.info.model_id}: its output is not finite at {utterance.id or utterance.prompt[:80]!r}; the "
                f"weights are damaged, or {self.info.dtype} is too narrow for them: try engine.dtype=float32"
            )
        return finished.codes


def _expected_length(utterance: Utterance, request: Request) -> float:
    """What the scheduler sorts by; a prompt's tokens where nobody predicted seconds."""
    return utterance.predicted_seconds or len(request.prompt) / 20


def _rules(model: Any) -> Rules:
    config = model.generation_config
    bias = torch.zeros(model.config.decoder.vocab_size, device=model.device)
    bias[config.suppress_tokens or []] = -torch.inf
    return Rules(
        bos=config.bos_token_id,
        eos=config.eos_token_id,
        pad=config.pad_token_id,
        min_steps=config.min_new_tokens or 0,
        bias=bias,
    )
