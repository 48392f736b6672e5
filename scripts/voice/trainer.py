"""The loop that every training shares: steps, learning rate, checkpoints, a printed line now and then."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from scripts.voice import checkpoints
from scripts.voice.muon import Muon

T = TypeVar("T")

_PRINT_SECONDS = 30
_AVERAGE = 0.999
_SLOWER = 0.2  # of the rate: 0.0002 where the others learn at 0.001, as HiFi-GAN's discriminators do


@dataclass
class Training:
    """A model in training. `run` goes on from the checkpoint in `folder`, if there is one.

    What is not trained is not in the checkpoint: whoever makes the model has it from elsewhere.
    """

    name: str
    folder: Path
    model: nn.Module
    steps: int
    learning_rate: float
    warm_up_steps: int = 0
    save_seconds: float = 120.0
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.01
    slower: Sequence[nn.Parameter] = ()  # that learn at a fraction of the rate
    matrices: Sequence[nn.Parameter] = ()  # that Muon trains, kernels as rows of all that follows their first dimension
    stop_seconds: float = math.inf  # a run ends after so long, to be gone on with later
    cool: bool = False  # let the learning rate fall over `stop_seconds`: the last run of a training that ends early
    step: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._by_name = {name: value for name, value in self.model.named_parameters() if value.requires_grad}
        self._trained = list(self._by_name.values())
        self._average = [parameter.detach().clone() for parameter in self._trained]
        apart = {id(parameter) for parameter in (*self.matrices, *self.slower)}
        others = [parameter for parameter in self._trained if id(parameter) not in apart]
        groups = [{"params": others, "share": 1.0}]
        if self.slower:
            groups.append({"params": list(self.slower), "share": _SLOWER})
        self._optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                groups,
                lr=self.learning_rate,
                betas=self.betas,
                weight_decay=self.weight_decay,
                fused=self._trained[0].is_cuda,  # one kernel in the place of hundreds
            )
        ]
        self._rows = [nn.Parameter(matrix.detach().flatten(1)) for matrix in self.matrices]  # of the same memory
        if self._rows:
            self._optimizers.append(
                Muon(
                    self._rows,
                    lr=self.learning_rate,
                    weight_decay=self.weight_decay,
                    dtype=torch.bfloat16 if multiplies_bfloat16(self._rows[0].device) else torch.float32,
                )
            )

    def resume(self) -> None:
        """Load the checkpoint, if there is one."""
        state = checkpoints.load(self.folder)
        if state is None:
            return
        with torch.no_grad():
            for name, parameter in self._by_name.items():
                parameter.copy_(state["model"][name])
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step = state["step"]
        for average, saved in zip(self._average, state["average"], strict=True):
            average.copy_(saved)
        print(f"{self.name}: goes on at step {self.step} of {self.steps}", flush=True)

    def save(self) -> None:
        """Write a checkpoint."""
        state = {
            "model": self._by_name,
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "average": self._average,
            "step": self.step,
        }
        checkpoints.save(self.folder, state)

    @torch.no_grad()
    def take_average(self) -> None:
        """Set the model to the average of its last thousand steps or so, which is better than any single one."""
        for parameter, average in zip(self._trained, self._average, strict=True):
            parameter.copy_(average)

    @property
    def finished(self) -> bool:
        """Return whether the last step is done."""
        return self.step >= self.steps

    def run(self, losses: Callable[[int], Mapping[str, Tensor]]) -> None:
        """Train to the last step, or until its time is over.

        Args:
            losses: Given the step, returns the loss under "loss" and whatever else is to be printed. A `Recorded` one
                has left its gradients already.
        """
        began = saved = printed = time.monotonic()
        first_step = self.step
        sums: dict[str, Tensor] = {}
        count = 0
        while not self.finished and time.monotonic() - began < self.stop_seconds:
            rate = self.learning_rate * self._share_of_rate(time.monotonic() - began)
            values = losses(self.step)
            if values["loss"].requires_grad:
                self.model.zero_grad(set_to_none=True)
                values["loss"].backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self._trained, 1.0)
            for rows, matrix in zip(self._rows, self.matrices, strict=True):
                rows.grad = None if matrix.grad is None else matrix.grad.flatten(1)
            for optimizer in self._optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = rate * group.get("share", 1.0)
                optimizer.step()
            self._update_average()
            self.step += 1
            count += 1
            for key, value in values.items():
                sums[key] = sums.get(key, 0) + value.detach()  # a number of its own would wait for the GPU
            now = time.monotonic()
            if now - printed > _PRINT_SECONDS or self.finished:
                means = ", ".join(f"{key} {float(value) / count:.3f}" for key, value in sums.items())
                pace = (self.step - first_step) / (now - began)
                print(
                    f"{self.name}: step {self.step} of {self.steps}, {means}, rate {rate:.5f}, {pace:.2f} steps/s",
                    flush=True,
                )
                sums.clear()
                count, printed = 0, now
            if now - saved > self.save_seconds:
                self.save()
                saved = time.monotonic()
        if self.step > first_step:
            self.save()

    @torch.no_grad()
    def _update_average(self) -> None:
        memory = min(_AVERAGE, (1 + self.step) / (10 + self.step))  # a young average forgets its start
        torch._foreach_lerp_(self._average, self._trained, 1 - memory)  # type: ignore[arg-type]

    def _share_of_rate(self, seconds: float) -> float:
        """Rises over the warm-up and stays; falls to nothing over the last third, or over a run that is to cool."""
        rise = (self.step + 1) / max(1, self.warm_up_steps)
        fall = 3 * (1 - self.step / self.steps)
        cooling = 1 - seconds / self.stop_seconds if self.cool else 1.0
        return max(0.0, min(1.0, rise, fall, cooling))


class Recorded:
    """Losses and their gradients as one CUDA graph, in the place of thousands of small kernels launched one by one.

    Inputs have one shape, and nothing that is computed may depend on a value that Python sees.
    """

    def __init__(self, model: nn.Module, losses: Callable[..., Mapping[str, Tensor]]) -> None:
        self._model = model
        self._losses = losses
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[Tensor] = []
        self._values: dict[str, Tensor] = {}

    def __call__(self, *inputs: Tensor) -> dict[str, Tensor]:
        """The losses of `inputs`, which may be on the CPU; the gradients of the model's parameters are theirs."""
        if self._graph is None:
            self._inputs = [value.to("cuda") for value in inputs]
            self._graph = self._recorded()
        for place, value in zip(self._inputs, inputs, strict=True):
            place.copy_(value, non_blocking=True)
        self._graph.replay()
        return self._values

    def _recorded(self) -> torch.cuda.CUDAGraph:
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):  # what is prepared at the first calls must not be recorded
                self._gradients()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._values = {key: value.detach() for key, value in self._gradients().items()}
        return graph

    def _gradients(self) -> Mapping[str, Tensor]:
        self._model.zero_grad(set_to_none=True)  # so that gradients are written, not added to what is there
        values = self._losses(*self._inputs)
        values["loss"].backward()  # type: ignore[no-untyped-call]
        return values


def multiplies_bfloat16(device: torch.device) -> bool:
    """Return whether `device` has units for that: without them it is seven times as slow as float32."""
    return device.type != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def quick_products(device: torch.device) -> AbstractContextManager[Any]:
    """Inside, matrices are multiplied in bfloat16, where that is quicker."""
    return torch.autocast(device.type, torch.bfloat16, enabled=multiplies_bfloat16(device))


class _Steps(Dataset[Any]):
    def __init__(self, make: Callable[[int], Any]) -> None:
        self._make = make

    def __getitem__(self, step: int) -> Any:
        return self._make(step)


def prepared(make: Callable[[int], T], steps: range, workers: int) -> Iterator[T]:
    """Yield `make(step)` for each step in order; with workers, some are made ahead in other processes."""
    if not workers:
        return map(make, steps)
    os.environ["TOKENIZERS_PARALLELISM"] = (
        "false"  # or each worker warns that it is a copy of a process that has used it
    )
    return iter(
        DataLoader(
            _Steps(make),
            batch_size=None,
            sampler=steps,
            num_workers=workers,
            prefetch_factor=4,
            pin_memory=torch.cuda.is_available(),
        )
    )
