"""The decoder as a stage: utterances that come to codes that go, for as long as some come.

Owns the choice of sizes: how many slots, how large, and what happens when an utterance is too large for them or memory
runs out. Which utterance takes which slot is the scheduler's affair, what happens in a slot the runner's.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pipeline.config import EngineConfig
from pipeline.errors import ModelError
from pipeline.synthesis.engine import memory
from pipeline.synthesis.engine.async_pipeline import Inbox, Outbox
from pipeline.synthesis.engine.batch_invariance import row_multiple
from pipeline.synthesis.engine.cache import padded
from pipeline.synthesis.engine.conditioning import DescriptionEncoder
from pipeline.synthesis.engine.graphs import ENTRIES_BASE, LENGTH_MULTIPLE, GraphedStep
from pipeline.synthesis.engine.runner import Finished, Request, RowSnapshot, Runner, Shape
from pipeline.synthesis.engine.sampling import Rules
from pipeline.synthesis.engine.scheduler import Scheduler
from pipeline.synthesis.engine.step import step
from pipeline.synthesis.engine.transfers import now
from pipeline.synthesis.engine.weights import Weights
from pipeline.types import ModelInfo, Sampling, Utterance

_log = logging.getLogger(__name__)
_LOOK_EVERY_ON_GPU = 8  # steps between two looks at which rows have finished
_LOOKS_BEHIND_ON_GPU = 1  # so that steps are queued while the host waits for a look, and while it admits newcomers
_MAX_BACKLOG = 2  # clips that wait for the codec before the decoder helps it
_POSITIONS_MULTIPLE = 256  # of a slot that grows with the utterances it meets, so that it seldom has to
_TOKENS_MULTIPLE = 64  # likewise, of a description


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
class QueuedRequest:
    """An utterance on its way to a slot."""

    utterance: Utterance
    request: Request

    @property
    def predicted_length(self) -> float:
        """What the scheduler sorts by; a prompt's tokens where nobody predicted seconds."""
        return self.utterance.predicted_seconds or len(self.request.prompt) / 20


@dataclass(frozen=True)
class GeneratedCodes:
    """Codes on their way to the codec."""

    utterance: Utterance
    codes: Tensor  # [K, T]
    made: torch.cuda.Event | None  # when the codes are there, on a GPU
    ended: bool  # by itself


class DecoderLoop:
    """The decoder of a model with its slots, which stay from call to call. One caller at a time."""

    def __init__(
        self,
        weights: Weights,
        rules: Rules,
        encoder: DescriptionEncoder,
        info: ModelInfo,
        engine: EngineConfig,
        sampling: Sampling,
    ) -> None:
        self.weights = weights
        self.stats = Stats()
        self._rules = rules
        self._encoder = encoder
        self._info = info
        self._engine = engine
        self._sampling = sampling
        self._runner: Runner | None = None
        self._row_multiple = row_multiple(weights)
        self._shape = Shape()  # that all utterances so far fit into, and all that were announced
        self._slots_of: dict[Shape, int] = {}  # that memory holds: asked once, before graphs and codec take some of it
        self._on_gpu = weights.device.type == "cuda"
        self._look_every = _LOOK_EVERY_ON_GPU if self._on_gpu else 1
        self._looks_behind = _LOOKS_BEHIND_ON_GPU if self._on_gpu else 0
        self._threads = torch.get_num_threads()
        # On a CPU a clip is decoded by one thread, beside the decoder's; bits do not depend on how many do what.
        self.codec_threads = 1 if self._on_gpu else max(1, self._threads // 2)

    @property
    def max_slots(self) -> int:
        """Slots at most, whatever memory there is."""
        return self._engine.slots or memory.max_slots(self.weights.device)

    @torch.inference_mode()
    def run(self, inbox: Inbox[QueuedRequest], outbox: Outbox[GeneratedCodes]) -> None:
        """Decodes all jobs that come.

        Raises:
            ModelError: The model's output is not finite.
        """
        scheduler: Scheduler[QueuedRequest] = Scheduler(0)
        self._receive(scheduler, inbox)
        # On a CPU an empty row costs as much as a full one; on a GPU, slots are kept with their graphs.
        slots = self.max_slots if self._on_gpu else min(self.max_slots, scheduler.useful_slots)
        while not scheduler.is_idle:
            slots = self._padded(min(slots, self._slots_that_fit()))
            scheduler.restart(slots)
            _log.info("%d slots of %d positions", slots, self._shape.positions)
            self._try(slots, lambda runner: self._decode(runner, scheduler, inbox, outbox))
        self.stats.peak_bytes = memory.peak_bytes(self.weights.device)
        _log.info("peak memory %.1f GiB", self.stats.peak_bytes / 2**30)

    @torch.inference_mode()
    def begin(self, request: Request) -> Runner:
        """Starts one utterance by itself, in slot 0."""
        self._make_room(request)
        kept = self._runner if self._on_gpu else None  # with its graphs: many rows take hardly longer than few
        runner = self._prepare(kept.slots if kept else self._padded(1))
        runner.admit([(0, request)])
        return runner

    @torch.inference_mode()
    def grow(self, runner: Runner, utterance: Utterance, wanted: int) -> tuple[Tensor, bool]:
        """Steps the one row until so many frames are ready: all codes so far, and whether they are the last."""
        while True:
            runner.advance(self._look_every)
            look = runner.look()
            for finished in runner.collect(look):
                return self._codes(utterance, finished), True
            if (ready := runner.frames_ready(0, look)) >= wanted:
                return runner.codes(0, ready), False

    def announce(self, prompt_tokens: int, description_tokens: int, max_frames: int) -> None:
        """Says that such utterances will come, so that slots need not grow later."""
        self._shape = self._shape.united(self._shape_of(prompt_tokens, description_tokens, max_frames))

    @torch.inference_mode()
    def warm_up(self) -> list[tuple[int, int]]:
        """On a GPU, records the step in every shape that the announced utterances can need, and says which."""
        shapes: list[tuple[int, int]] = []
        while self._on_gpu and not shapes:
            slots = self._padded(min(self.max_slots, self._slots_that_fit()))
            self._try(slots, lambda runner: shapes.extend(runner.warm_up()))
        return shapes

    def _try(self, slots: int, work: Callable[[Runner], None]) -> None:
        """Works with so many slots; where memory runs out, sees to it that the next try is with half as many."""
        try:
            work(self._prepare(slots))
            return
        except RuntimeError as error:
            if slots == self._padded(1) or not memory.is_exhaustion(error):
                raise
        # Not above: the error's traceback holds on to the runner and its memory.
        self._runner = None
        self._slots_of[self._shape] = slots // 2
        _log.warning("out of memory: going on with %d slots", self._padded(slots // 2))
        memory.give_back(self.weights.device)

    def _decode(
        self,
        runner: Runner,
        scheduler: Scheduler[QueuedRequest],
        inbox: Inbox[QueuedRequest],
        outbox: Outbox[GeneratedCodes],
    ) -> None:
        """Works until all is done, or until an utterance comes that is too large for the runner."""
        stats, clock = self.stats, time.perf_counter
        looks: deque[RowSnapshot] = deque()
        while True:
            self._balance(scheduler, outbox)
            began = clock()
            self._receive(scheduler, inbox)
            if scheduler.is_idle or not runner.shape.holds(self._shape):
                return
            arrivals = [(slot, job.request) for slot, job in scheduler.admit()]
            scheduled = clock()
            runner.admit(arrivals)
            admitted = clock()
            runner.advance(self._look_every)
            looks.append(runner.look())
            look = looks.popleft() if len(looks) > self._looks_behind else None
            if look is not None:
                look.wait()  # for a GPU, whose steps these seconds are
            stepped = clock()
            stats.steps += self._look_every
            stats.row_steps += self._look_every * scheduler.num_running
            stats.computed_frames += self._look_every * runner.slots
            seen = runner.collect(look) if look is not None else []
            made = now(self.weights.device)
            for finished in seen:
                utterance = scheduler.release(finished.slot).utterance
                outbox.emit(GeneratedCodes(utterance, self._codes(utterance, finished), made, finished.ended))
            stats.prefill_seconds += admitted - scheduled
            stats.step_seconds += stepped - admitted
            stats.schedule_seconds += scheduled - began + clock() - stepped

    def _balance(self, scheduler: Scheduler[QueuedRequest], outbox: Outbox[GeneratedCodes]) -> None:
        """On a CPU, keeps all cores busy: helps the codec when it is behind, takes its cores when it has no work."""
        if self.weights.device.type == "cuda":
            return
        while outbox.backlog > (0 if scheduler.is_idle else _MAX_BACKLOG):
            outbox.finish_one()
        torch.set_num_threads(self._threads if outbox.is_idle else max(1, self._threads - self.codec_threads))

    def _receive(self, scheduler: Scheduler[QueuedRequest], inbox: Inbox[QueuedRequest]) -> None:
        """Takes in what has come; waits for it where there is nothing else to do."""
        for job in inbox.take(wait=scheduler.is_idle):
            self._make_room(job.request)
            scheduler.add(job, job.predicted_length, priority=job.utterance.priority)
        if inbox.ended or inbox.lulled:
            scheduler.expect_no_more()

    def _prepare(self, slots: int) -> Runner:
        """A runner with so many slots that all utterances so far fit, the last one if it does."""
        if self._runner is None or self._runner.slots != slots or not self._runner.shape.holds(self._shape):
            self._runner = None  # before the next one is made
            self._runner = Runner(
                self.weights,
                self._rules,
                self._sampling,
                self._encoder,
                slots,
                self._shape,
                **self._how_to_step(),
            )
        self._runner.clear()
        return self._runner

    def _how_to_step(self) -> dict[str, Any]:
        """On a GPU, recorded for few lengths; on a CPU, as it is."""
        if not self._on_gpu:
            return {}
        # Compiled for the first shape, then once more for all: a compilation of each would take many minutes.
        one_step = step if self._engine.compile == "none" else torch.compile(step)
        return {
            "take_step": GraphedStep(one_step, self.weights.device),
            "length_multiple": LENGTH_MULTIPLE,
            "entries_base": ENTRIES_BASE,
        }

    def _make_room(self, request: Request) -> None:
        """Lets slots grow, if this does not fit into them: generously, since what runs is begun anew."""
        needed = self._shape_of(len(request.prompt), len(request.description), request.max_frames)
        if not self._shape.holds(needed):
            generous = Shape(
                padded(needed.positions, _POSITIONS_MULTIPLE),
                padded(needed.description_tokens, _TOKENS_MULTIPLE),
                needed.max_frames,
            )
            self._shape = self._shape.united(generous)

    def _shape_of(self, prompt_tokens: int, description_tokens: int, max_frames: int) -> Shape:
        before = prompt_tokens if self.weights.prompt_is_prepended else 0
        return Shape(
            positions=before + max_frames + self.weights.num_codebooks,
            description_tokens=description_tokens + prompt_tokens - before,
            max_frames=max_frames,
        )

    def _padded(self, slots: int) -> int:
        return padded(slots, self._row_multiple)

    def _slots_that_fit(self) -> int:
        shape, held = self._shape, self._runner.decoder if self._runner else None
        if shape not in self._slots_of:
            held_bytes = held.cache.num_bytes + held.cross.num_bytes if held else 0
            self._slots_of[shape] = self._engine.slots or memory.slots_that_fit(
                self.weights, shape.positions, shape.description_tokens, held_bytes
            )
        return self._slots_of[shape]

    def _codes(self, utterance: Utterance, finished: Finished) -> Tensor:
        if finished.broken:
            raise ModelError(
                f"{self._info.model_id}: its output is not finite at {utterance.id or utterance.prompt[:80]!r}; the "
                f"weights are damaged, or {self._info.dtype} is too narrow for them: try engine.dtype=float32"
            )
        return finished.codes
