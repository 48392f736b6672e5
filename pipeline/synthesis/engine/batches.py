"""Codes of several clips to their samples at once, on a GPU: in windows of few lengths, in batches of one size each.

The CPU decodes clip by clip (`codec`); only tests come here with one. A batch that is not full is filled up with rows
that nobody reads: rows do not depend on each other, and one shape has the same kernels each time, so that a clip does
not depend on its company.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.synthesis.engine.codec import Codec, Samples
from pipeline.synthesis.engine.graphs import RECORDING
from pipeline.synthesis.engine.transfers import AsyncCopy, now
from pipeline.synthesis.engine.windows import Window, Windows


@dataclass(frozen=True)
class Codes:
    """Codes that the decoder's stream has been given to make."""

    codes: Tensor  # [K, T]
    made: torch.cuda.Event | None  # what to wait for, on a GPU


@dataclass(frozen=True)
class _Piece:
    clip: int  # which of several
    window: Window


class BatchedCodec:
    """A codec with a stream of its own. Several threads may call it."""

    def __init__(self, codec: Codec) -> None:
        self.windows = Windows(codec.context_frames)
        self._codec = codec
        on_gpu = codec.device.type == "cuda"
        self._stream = torch.cuda.Stream(codec.device) if on_gpu else None  # type: ignore[no-untyped-call]

    @torch.inference_mode()
    def warm_up(self, num_codebooks: int) -> None:
        """Decodes a batch of each shape, so that libraries choose their kernels now."""
        for length in self.windows.lengths:
            codes = torch.zeros(num_codebooks, length, dtype=torch.int64, device=self._codec.device)
            self.decode([Codes(codes, now(codes.device))])

    @torch.inference_mode()
    def decode(self, clips: Sequence[Codes]) -> list[Samples]:
        """Samples of each clip; one sample of silence for no frame at all, like upstream."""
        width = self._codec.samples_per_frame
        made = [np.zeros(max(1, clip.codes.shape[1] * width), dtype=np.float32) for clip in clips]
        under_way = []
        with RECORDING, torch.cuda.stream(self._stream):  # where there is no stream, that is nothing
            for clip in clips:
                self._wait_for(clip)
            for pieces in self._batches([clip.codes.shape[1] for clip in clips]):
                samples = self._decode_batch(pieces, [clips[piece.clip].codes for piece in pieces])
                under_way.append((pieces, AsyncCopy(samples)))
        for pieces, arriving in under_way:
            for piece, row in zip(pieces, arriving.wait().numpy(), strict=False):  # behind the pieces come the fillers
                window = piece.window
                kept = row[(window.keep_start - window.start) * width : (window.keep_end - window.start) * width]
                start, end = window.keep_start * width, window.keep_start * width + len(kept)
                made[piece.clip][start:end] = kept
                if end < window.keep_end * width:  # odd strides: a clip's last frames are a few samples short
                    made[piece.clip] = made[piece.clip][:end]
        return made

    def _wait_for(self, clip: Codes) -> None:
        """Makes this stream wait for the decoder's, and the memory of the codes wait for this stream."""
        if self._stream is not None:
            if clip.made is not None:
                self._stream.wait_event(clip.made)
            clip.codes.record_stream(self._stream)

    def _batches(self, frames_of_clips: Sequence[int]) -> Iterator[list[_Piece]]:
        """The windows of all clips, those of one length together, as many at a time as make a batch."""
        pieces = [_Piece(clip, window) for clip, t in enumerate(frames_of_clips) for window in self.windows.cut(t)]
        for length in sorted({piece.window.length for piece in pieces}):
            same, rows = [piece for piece in pieces if piece.window.length == length], self.windows.rows(length)
            yield from (same[first : first + rows] for first in range(0, len(same), rows))

    def _decode_batch(self, pieces: Sequence[_Piece], clips: Sequence[Tensor]) -> Tensor:
        """Samples `[rows, N]` of pieces of one length, each with its clip's codes."""
        length = pieces[0].window.length
        starts = [piece.window.start for piece in pieces]
        codes = torch.stack([clip[:, start : start + length] for clip, start in zip(clips, starts, strict=True)])
        missing = self.windows.rows(length) - len(pieces)
        return self._codec.decode_together(functional.pad(codes, (0, 0, 0, 0, 0, missing)))
