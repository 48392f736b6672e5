"""The decoder stage: turns a stream of requests into codes, for as long as requests come.

It chooses how many slots there are and how large, and handles requests that are too large for them and errors about
memory. Which request gets which slot is decided by `scheduler`; `runner` does the work.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.config import EngineConfig
from pipeline.errors import ModelError
from pipeline.synthesis.engine import memory
from pipeline.synthesis.engine.async_pipeline import Inbox, Outbox
from pipeline.synthesis.engine.batch_invariance import row_multiple
from pipeline.synthesis.engine.cache import round_up
from pipeline.synthesis.engine.runner import DecoderModel, FinishedRow, Request, RowSnapshot, Runner, SlotShape
from pipeline.synthesis.engine.scheduler import Scheduler
from pipeline.synthesis.engine.strategy import Strategy
from pipeline.synthesis.engine.transfers import record_event
from pipeline.synthesis.engine.weights import Weights
from pipeline.types import Finish, ModelInfo, Utterance

_log = logging.getLogger(__name__)
_MAX_BACKLOG = 2  # clips that wait for the codec before the decoder's thread helps
_POSITIONS_MULTIPLE = 256  # slots grow to a multiple of it, so that they seldom have to grow
_TOKENS_MULTIPLE = 64  # likewise for entries


@dataclass
class Stats:
    """What the engine has done so far. Seconds are of one thread each; threads run at the same time."""

    steps: int = 0
    row_steps: int = 0  # steps x occupied slots
    computed_frames: int = 0  # steps x slots
    step_seconds: float = 0.0
    prefill_seconds: float = 0.0  # including the text encoder
    schedule_seconds: float = 0.0
    codec_seconds: float = 0.0  # sum over its threads
    peak_bytes: int = 0  # memory of torch on a GPU, otherwise of the process

    @property
    def occupancy(self) -> float:
        """Share of the computed rows that were occupied."""
        return self.row_steps / max(1, self.computed_frames)


@dataclass(frozen=True)
class QueuedRequest:
    """A request with its utterance, before it has a slot."""

    utterance: Utterance
    request: Request

    @property
    def predicted_length(self) -> float:
        """Predicted seconds, or an estimate from the number of prompt tokens. Used by the scheduler only."""
        return self.utterance.predicted_seconds or len(self.request.prompt) / 20


@dataclass(frozen=True)
class GeneratedCodes:
    """Codes of an utterance, before they are decoded."""

    utterance: Utterance
    codes: Tensor  # [K, T]
    ready: torch.cuda.Event | None  # recorded after the codes, on a GPU
    finish: Finish


class DecoderLoop:
    """The decoder of a model. Slots and captured steps are kept between calls. One caller at a time.

    Args:
        model: The decoder.
        info: Of the model, for messages.
        engine: `slots` is used: the number of slots, 0 for an automatic choice.
        strategy: How steps are run.

    Attributes:
        stats: What was done so far; may be replaced to start again from zero.
        codec_threads: Threads that the codec should have.
    """

    def __init__(self, model: DecoderModel, info: ModelInfo, engine: EngineConfig, strategy: Strategy) -> None:
        self.model = model
        self.strategy = strategy
        self.stats = Stats()
        self._info = info
        self._wanted_slots = engine.slots
        self._runner: Runner | None = None
        self._row_multiple = row_multiple(model.weights)
        self._shape = SlotShape()  # contains all requests so far, and all that were reserved
        # Measured once for each shape: later, captured steps and the codec take some of the memory.
        self._slots_of: dict[SlotShape, int] = {}
        self._is_cuda = model.weights.device.type == "cuda"
        self._num_threads = torch.get_num_threads()
        # On a CPU each clip is decoded by one thread, while the decoder runs in others.
        self.codec_threads = 1 if self._is_cuda else max(1, self._num_threads // 2)

    @property
    def weights(self) -> Weights:
        """Weights of the decoder."""
        return self.model.weights

    @property
    def max_slots(self) -> int:
        """Upper limit of the number of slots, before memory is considered."""
        return self._wanted_slots or memory.max_slots(self.weights.device)

    @torch.inference_mode()
    def run(self, inbox: Inbox[QueuedRequest], outbox: Outbox[GeneratedCodes]) -> None:
        """Generate the codes of all requests.

        Raises:
            ModelError: The model's output is not finite.
        """
        scheduler: Scheduler[QueuedRequest] = Scheduler(0)
        self._receive(scheduler, inbox)
        slots = self.max_slots if self.strategy.keeps_slots else min(self.max_slots, scheduler.useful_slots)
        while not scheduler.is_idle:
            slots = self._rounded(min(slots, self.slots_that_fit()))
            scheduler.restart(slots)
            _log.info("%d slots of %d positions", slots, self._shape.positions)
            self._try(slots, lambda runner: self._decode(runner, scheduler, inbox, outbox))
        self.stats.peak_bytes = memory.peak_bytes(self.weights.device)
        _log.info("peak memory %.1f GiB", self.stats.peak_bytes / 2**30)

    @torch.inference_mode()
    def start(self, request: Request) -> Runner:
        """Start one request alone, in slot 0 of the runner that is returned."""
        self._grow_for(request)
        # Captured steps are kept: on a GPU a step with many rows takes hardly longer than one with few.
        kept = self._runner if self.strategy.keeps_slots else None
        runner = self.prepare(kept.slots if kept else self._rounded(1))
        runner.admit([(0, request)])
        return runner

    @torch.inference_mode()
    def extend(self, runner: Runner, utterance: Utterance, num_frames: int) -> tuple[Tensor, bool]:
        """Step until slot 0 has so many complete frames, or has finished.

        Args:
            runner: As returned by `start`.
            utterance: For messages.
            num_frames: Frames that are wanted since the start.

        Returns:
            All codes so far `[K, T]`, and whether they are the last.
        """
        while True:
            runner.advance(self.strategy.steps_per_snapshot)
            snapshot = runner.snapshot()
            for finished in runner.collect(snapshot):
                return self._checked_codes(utterance, finished), True
            if (ready := runner.frames_ready(0, snapshot)) >= num_frames:
                return runner.codes(0, ready), False

    def reserve(self, prompt_tokens: int, description_tokens: int, max_frames: int) -> None:
        """Make the slots that are allocated next large enough for such requests."""
        self._shape = self._shape.union(self._shape_of(prompt_tokens, description_tokens, max_frames))

    @torch.inference_mode()
    def warm_up(self) -> list[tuple[int, int]]:
        """Run, and on a GPU capture, the step in every shape that the reserved requests can need.

        Returns:
            The shapes, see `Runner.warm_up`; none where steps are not captured.
        """
        shapes: list[tuple[int, int]] = []
        while self.strategy.keeps_slots and not shapes:
            slots = self._rounded(min(self.max_slots, self.slots_that_fit()))
            self._try(slots, lambda runner: shapes.extend(runner.warm_up()))
        return shapes

    def prepare(self, slots: int) -> Runner:
        """Return an empty runner whose slots contain all requests so far; the present one if it is large enough."""
        if self._runner is None or self._runner.slots != slots or not self._runner.shape.contains(self._shape):
            self._runner = None  # frees its memory first
            self._runner = Runner(self.model, slots, self._shape, self.strategy)
        self._runner.clear()
        return self._runner

    def release(self) -> None:
        """Drop the runner and its memory. The next call allocates another one."""
        self._runner = None

    def slots_that_fit(self) -> int:
        """Return the number of slots that was asked for, or else that fits into memory with the present shape."""
        shape, state = self._shape, self._runner.state if self._runner else None
        if shape not in self._slots_of:
            held_bytes = state.cache.num_bytes + state.cross.num_bytes if state else 0
            self._slots_of[shape] = self._wanted_slots or memory.slots_that_fit(
                self.weights, shape.positions, shape.description_tokens, held_bytes
            )
        return self._slots_of[shape]

    def _try(self, slots: int, work: Callable[[Runner], None]) -> None:
        """Work with a number of slots. If memory runs out, return, and let `slots_that_fit` say half as many."""
        try:
            work(self.prepare(slots))
            return
        except RuntimeError as error:
            if slots == self._rounded(1) or not memory.is_out_of_memory(error):
                raise
        # Outside of the handler, whose traceback holds a reference to the runner.
        self._runner = None
        self._slots_of[self._shape] = slots // 2
        _log.warning("out of memory: continuing with %d slots", self._rounded(slots // 2))
        memory.release_unused(self.weights.device)

    def _decode(
        self,
        runner: Runner,
        scheduler: Scheduler[QueuedRequest],
        inbox: Inbox[QueuedRequest],
        outbox: Outbox[GeneratedCodes],
    ) -> None:
        """Work until all is done, or until a request comes that is too large for the runner."""
        stats, clock, num_steps = self.stats, time.perf_counter, self.strategy.steps_per_snapshot
        snapshots: deque[RowSnapshot] = deque()
        while True:
            self._balance_threads(scheduler, outbox)
            began = clock()
            self._receive(scheduler, inbox)
            if scheduler.is_idle or not runner.shape.contains(self._shape):
                return
            arrivals = [(slot, queued.request) for slot, queued in scheduler.admit()]
            scheduled = clock()
            runner.admit(arrivals)
            admitted = clock()
            runner.advance(num_steps)
            snapshots.append(runner.snapshot())
            snapshot = snapshots.popleft() if len(snapshots) > self.strategy.snapshot_delay else None
            if snapshot is not None:
                snapshot.wait()  # here, so that `step_seconds` contains the time of a GPU
            stepped = clock()
            stats.steps += num_steps
            stats.row_steps += num_steps * scheduler.num_running
            stats.computed_frames += num_steps * runner.slots
            all_finished = runner.collect(snapshot) if snapshot is not None else []
            ready = record_event(self.weights.device)
            for finished in all_finished:
                utterance = scheduler.release(finished.slot).utterance
                finish = Finish.EOS if finished.has_ended else Finish.MAX_FRAMES
                outbox.emit(GeneratedCodes(utterance, self._checked_codes(utterance, finished), ready, finish))
            stats.prefill_seconds += admitted - scheduled
            stats.step_seconds += stepped - admitted
            stats.schedule_seconds += scheduled - began + clock() - stepped

    def _balance_threads(self, scheduler: Scheduler[QueuedRequest], outbox: Outbox[GeneratedCodes]) -> None:
        """On a CPU, keep all cores busy: help the codec when it is behind, use its cores when it has no work."""
        if self._is_cuda:
            return
        while outbox.backlog > (0 if scheduler.is_idle else _MAX_BACKLOG):
            outbox.finish_one()
        torch.set_num_threads(self._num_threads if outbox.is_idle else max(1, self._num_threads - self.codec_threads))

    def _receive(self, scheduler: Scheduler[QueuedRequest], inbox: Inbox[QueuedRequest]) -> None:
        """Queue the requests that have come; wait for one if there is nothing else to do."""
        for queued in inbox.receive(wait=scheduler.is_idle):
            self._grow_for(queued.request)
            scheduler.add(queued, queued.predicted_length, priority=queued.utterance.priority)
        if inbox.has_ended or inbox.has_paused:
            scheduler.set_all_added()

    def _grow_for(self, request: Request) -> None:
        """Enlarge the shape of slots if a request does not fit: generously, since running requests start again."""
        needed = self._shape_of(len(request.prompt), len(request.description), request.max_frames)
        if not self._shape.contains(needed):
            generous = SlotShape(
                round_up(needed.positions, _POSITIONS_MULTIPLE),
                round_up(needed.description_tokens, _TOKENS_MULTIPLE),
                needed.max_frames,
            )
            self._shape = self._shape.union(generous)

    def _shape_of(self, prompt_tokens: int, description_tokens: int, max_frames: int) -> SlotShape:
        before = prompt_tokens if self.weights.prompt_is_prepended else 0
        return SlotShape(
            positions=before + max_frames + self.weights.num_codebooks,
            description_tokens=description_tokens + prompt_tokens - before,
            max_frames=max_frames,
        )

    def _rounded(self, slots: int) -> int:
        return round_up(slots, self._row_multiple)

    def _checked_codes(self, utterance: Utterance, finished: FinishedRow) -> Tensor:
        if finished.is_invalid:
            raise ModelError(
                f"{self._info.model_id}: its output is not finite for {utterance.id or utterance.prompt[:80]!r}; the "
                f"weights are damaged, or {self._info.dtype} is too narrow for them: try engine.dtype=float32"
            )
        return finished.codes
