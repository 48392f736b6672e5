"""Decode several clips at once on a GPU: in windows of few lengths, with one batch size for each length.

A batch that is not full is padded with rows that are dropped. Rows do not depend on each other, and one shape always
runs the same kernels, so that a clip's samples do not depend on other clips. On a CPU, clips are decoded one by one
(`codec`); this module works there as well, for tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.synthesis.engine.codec import Codec, Samples
from pipeline.synthesis.engine.graphs import CAPTURE_LOCK
from pipeline.synthesis.engine.transfers import AsyncCopy, record_event
from pipeline.synthesis.engine.windows import Window, Windows


@dataclass(frozen=True)
class PendingCodes:
    """Codes of a clip that another stream may still be computing."""

    codes: Tensor  # [K, T]
    ready: torch.cuda.Event | None  # recorded after the codes; None where they are complete


@dataclass(frozen=True)
class CodecWindow:
    """A window of one of several clips."""

    clip: int  # index
    window: Window


class BatchedCodec:
    """A codec with its own CUDA stream. Several threads may call it."""

    def __init__(self, codec: Codec, windows: Windows | None = None) -> None:
        self.windows = windows or Windows(codec.context_frames)
        self._codec = codec
        on_gpu = codec.device.type == "cuda"
        self._stream = torch.cuda.Stream(codec.device) if on_gpu else None  # type: ignore[no-untyped-call]

    @torch.inference_mode()
    def warm_up(self, num_codebooks: int) -> None:
        """Decode one batch of each shape, so that libraries choose their kernels now."""
        for length in self.windows.lengths:
            codes = torch.zeros(num_codebooks, length, dtype=torch.int64, device=self._codec.device)
            self.decode([PendingCodes(codes, record_event(codes.device))])

    @torch.inference_mode()
    def decode(self, clips: Sequence[PendingCodes]) -> list[Samples]:
        """Return the samples `[N]` of each clip. A clip of no frames is one sample of silence, as in upstream."""
        width = self._codec.samples_per_frame
        decoded = [np.zeros(max(1, clip.codes.shape[1] * width), dtype=np.float32) for clip in clips]
        copies = []
        with CAPTURE_LOCK, torch.cuda.stream(self._stream):  # has no effect where the stream is None
            for clip in clips:
                self._wait_for(clip)
            for batch in self._batches([clip.codes.shape[1] for clip in clips]):
                samples = self._decode_batch(batch, [clips[part.clip].codes for part in batch])
                copies.append((batch, AsyncCopy(samples)))
        for batch, copy in copies:
            for part, row in zip(batch, copy.wait().numpy(), strict=False):  # the last rows are padding
                window = part.window
                kept = row[(window.keep_start - window.start) * width : (window.keep_end - window.start) * width]
                start, end = window.keep_start * width, window.keep_start * width + len(kept)
                decoded[part.clip][start:end] = kept
                if end < window.keep_end * width:  # with odd strides a clip is a few samples shorter than its frames
                    decoded[part.clip] = decoded[part.clip][:end]
        return decoded

    def _wait_for(self, clip: PendingCodes) -> None:
        """Make this stream wait for the codes, and keep their memory until this stream has read them."""
        if self._stream is not None:
            if clip.ready is not None:
                self._stream.wait_event(clip.ready)
            clip.codes.record_stream(self._stream)

    def _batches(self, frames_of_clips: Sequence[int]) -> Iterator[list[CodecWindow]]:
        """Yield the windows of all clips in batches of one length."""
        parts = [
            CodecWindow(clip, window) for clip, t in enumerate(frames_of_clips) for window in self.windows.split(t)
        ]
        for length in sorted({part.window.length for part in parts}):
            same, rows = [part for part in parts if part.window.length == length], self.windows.batch_size(length)
            yield from (same[first : first + rows] for first in range(0, len(same), rows))

    def _decode_batch(self, batch: Sequence[CodecWindow], clips: Sequence[Tensor]) -> Tensor:
        """Return samples `[batch size, N]` of windows of one length, given the codes `[K, T]` of each one's clip."""
        length = batch[0].window.length
        starts = [part.window.start for part in batch]
        codes = torch.stack([clip[:, start : start + length] for clip, start in zip(clips, starts, strict=True)])
        num_padding = self.windows.batch_size(length) - len(batch)
        return self._codec.decode_batch(functional.pad(codes, (0, 0, 0, 0, 0, num_padding)))
