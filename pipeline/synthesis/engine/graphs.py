"""The step as CUDA graphs: recorded once for each pair of cache length and number of entries, then replayed.

Unproven: written without a GPU at hand. The CPU never comes here. A step reads and writes only tensors that stay in
their place, which is all that a graph asks; what is recorded is the step function itself, compiled or not.
"""

from __future__ import annotations

import torch

from pipeline.synthesis.engine.step import Decoder, Step

LENGTH_MULTIPLE = 256  # cache lengths to record: few graphs, and at most that many positions looked at in vain
_WARM_UPS = 2  # before recording, libraries have to have chosen their kernels and workspaces


class GraphedStep:
    """A step that records itself when it meets a shape for the first time. For one decoder."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._graphs: dict[tuple[int, int], torch.cuda.CUDAGraph] = {}
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, decoder: Decoder, length: int, num_entries: int) -> None:
        """As `step.step`."""
        shape = (length, num_entries)
        if shape not in self._graphs:
            self._graphs[shape] = self._record(decoder, *shape)
        self._graphs[shape].replay()

    def _record(self, decoder: Decoder, length: int, num_entries: int) -> torch.cuda.CUDAGraph:
        rows = decoder.rows
        before = [tensor.clone() for tensor in rows.tensors()]  # the warm-up steps must not count
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                self._step(decoder, length, num_entries)
                for tensor, value in zip(rows.tensors(), before, strict=True):
                    tensor.copy_(value)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            self._step(decoder, length, num_entries)
        return graph
