"""The decoder step as CUDA graphs: one graph for each pair of cache length and number of entries.

What is captured is the step function, compiled or not. Why replaying graphs in any order is correct:

* A step reads and writes tensors that stay in place, and nothing that it allocates outlives it. So all graphs share one
  memory pool, in which each overwrites what the others left.
* They are replayed on one stream, the decoder's, never two at a time.
* The warm-up steps before a capture write keys, values and codes where the step itself will write the same values; the
  state of the rows is restored.
"""

from __future__ import annotations

import threading

import torch

from pipeline.synthesis.engine.step import DecoderState, Step

LENGTH_MULTIPLE = 256  # cache lengths are rounded up to it: few graphs, and at most that many unused positions are read
ENTRIES_BASE = 4  # numbers of entries are rounded up to a power of it: few graphs, and entries are small
_NUM_WARM_UPS = 2  # before a capture, libraries must have chosen their kernels and allocated their workspaces

# Held during a capture, and by other threads while they queue work on the GPU: torch captures one graph at a time in a
# process, and an allocation in another thread may invalidate the capture.
CAPTURE_LOCK = threading.Lock()


class GraphedStep:
    """A step that captures itself as a CUDA graph at the first call with a shape. For one `DecoderState`."""

    def __init__(self, step: Step, device: torch.device) -> None:
        self._step = step
        self._device = device
        self._graphs: dict[tuple[int, int], torch.cuda.CUDAGraph] = {}
        self._pool = torch.cuda.graph_pool_handle()
        # One stream for all captures: torch's default capture stream belongs to whichever device comes first, and a
        # shared pool needs a shared stream. Graphs keep its priority, so the decoder's small kernels go before the
        # codec's large ones.
        self._stream = torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]

    def __call__(self, decoder: DecoderState, length: int, num_entries: int) -> None:
        """See `step.step`."""
        shape = (length, num_entries)
        if shape not in self._graphs:
            with CAPTURE_LOCK, torch.cuda.device(self._device):  # the current device of a new thread is the first one
                self._graphs[shape] = self._capture(decoder, *shape)
        self._graphs[shape].replay()

    def _capture(self, decoder: DecoderState, length: int, num_entries: int) -> torch.cuda.CUDAGraph:
        rows, current = decoder.rows, torch.cuda.current_stream()
        before = [tensor.clone() for tensor in rows.tensors()]
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            for _ in range(_NUM_WARM_UPS):
                self._step(decoder, length, num_entries)
                for tensor, value in zip(rows.tensors(), before, strict=True):
                    tensor.copy_(value)
        current.wait_stream(self._stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            self._step(decoder, length, num_entries)
        return graph
