"""Cut clips into windows of few lengths, so that the codec decodes several clips in one batch of a known shape.

Arithmetic over frames only. For a context of 2 frames and windows of 8, a clip of 17 frames:

    frames       0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15 16
    window 0    [=  =  =  =  =  =  .  .]
    window 1                [.  .  =  =  =  =  .  .]
    window 2                               [.  .  .  =  =  =  =  =]

`=` is kept; `.` is context, which is decoded and dropped. The first window starts where the clip does and the last one
ends where it does: there the codec pads each layer with zeros, which frames of context cannot replace. So no window is
longer than its clip, and a clip shorter than all windows is decoded whole.
"""

from __future__ import annotations

from dataclasses import dataclass

_LENGTHS = (4, 8, 16)  # of windows, in contexts: at most a half, a quarter, an eighth of each is context
_BATCH_CONTEXTS = 128  # frames of a batch, in contexts: 1,500 frames of the published codec fill a GPU
_CONTEXT_MULTIPLE = 4


@dataclass(frozen=True)
class Window:
    """A part of a clip, in frames of the clip."""

    start: int  # first frame that is decoded
    length: int  # frames that are decoded
    keep_start: int  # first frame that is kept
    keep_end: int  # end of the frames that are kept


class Windows:
    """How clips are cut for a codec.

    Args:
        context: Frames to either side that a sample depends on.
        batch_contexts: Frames of a batch, in contexts.
    """

    def __init__(self, context: int, batch_contexts: int = _BATCH_CONTEXTS) -> None:
        self._context = context
        unit = -(-max(1, context) // _CONTEXT_MULTIPLE) * _CONTEXT_MULTIPLE
        self._batch_frames = batch_contexts * unit
        self.lengths = tuple(factor * unit for factor in _LENGTHS)

    def batch_size(self, length: int) -> int:
        """Return how many windows of a length are decoded at once: one batch size for each length.

        A clip that is shorter than all windows is decoded alone, since hardly two have the same length.
        """
        return self._batch_frames // length if length in self.lengths else 1

    def split(self, num_frames: int) -> list[Window]:
        """Cut a clip into windows of the one length for which the fewest frames are decoded.

        The result depends on the clip's length alone, and so the clip's samples do not depend on other clips.
        """
        if num_frames == 0:
            return []
        fitting = [length for length in self.lengths if length <= num_frames]
        length = min(
            fitting, key=lambda length: (self._count(num_frames, length) * length, -length), default=num_frames
        )
        windows, kept = [], 0
        for index in range(self._count(num_frames, length)):
            start = min(index * (length - 2 * self._context), num_frames - length)
            end = start + length - (0 if start + length == num_frames else self._context)
            windows.append(Window(start, length, kept, end))
            kept = end
        return windows

    def _count(self, num_frames: int, length: int) -> int:
        """Number of windows. Each has context on both sides, the first and the last one on one side only."""
        if length == num_frames:
            return 1
        return -(-(num_frames - 2 * self._context) // (length - 2 * self._context))
