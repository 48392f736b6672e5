"""The step as CUDA graphs: recorded once for each pair of cache length and number of entries, then replayed.

The CPU never comes here. What is recorded is the step function itself, compiled or not. What makes that right:

* A step reads and writes tensors that stay in their place, and nothing that it allocates outlives it. So all graphs may
  share one pool of memory, in which each overwrites what the others left, and may be replayed in any order.
* They are replayed on one stream, the decoder's, never two at a time.
* Warm-up steps write keys, values and codes where the step itself will write the same; the rows' state is put back.
"""

from __future__ import annotations

import threading

import torch

from pipeline.synthesis.engine.step import Decoder, Step

LENGTH_MULTIPLE = 256  # cache lengths to record: few graphs, and at most that many positions looked at in vain
ENTRIES_BASE = 4  # entries to record: its powers, since descriptions are short
_WARM_UPS = 2  # before recording, libraries have to have chosen their kernels and workspaces

# Held by whoever records, and by other threads while they give the GPU work: torch records one graph at a time in a
# process, and what another thread allocates or frees meanwhile may end the recording.
RECORDING = threading.Lock()


class GraphedStep:
    """A step that records itself when it meets a shape for the first time. For one decoder."""

    def __init__(self, step: Step, device: torch.device) -> None:
        self._step = step
        self._device = device
        self._graphs: dict[tuple[int, int], torch.cuda.CUDAGraph] = {}
        self._pool = torch.cuda.graph_pool_handle()
        # One for all: torch's own would be made on whichever device comes first, and a shared pool asks for a shared
        # stream. What is recorded keeps its priority: the decoder's small kernels go before the codec's large ones.
        self._stream = torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]

    def __call__(self, decoder: Decoder, length: int, num_entries: int) -> None:
        """As `step.step`."""
        shape = (length, num_entries)
        if shape not in self._graphs:
            with RECORDING, torch.cuda.device(self._device):  # a thread begins with the first device
                self._graphs[shape] = self._record(decoder, *shape)
        self._graphs[shape].replay()

    def _record(self, decoder: Decoder, length: int, num_entries: int) -> torch.cuda.CUDAGraph:
        rows, current = decoder.rows, torch.cuda.current_stream()
        before = [tensor.clone() for tensor in rows.tensors()]  # the warm-up steps must not count
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            for _ in range(_WARM_UPS):
                self._step(decoder, length, num_entries)
                for tensor, value in zip(rows.tensors(), before, strict=True):
                    tensor.copy_(value)
        current.wait_stream(self._stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            self._step(decoder, length, num_entries)
        return graph
